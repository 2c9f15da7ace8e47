/** Functions that an answer must call: what is asked for, and the grammars of their arguments. */
import { show } from '../checks.js';
import { about, NibbleError } from '../errors.js';
import { objectRules } from '../grammar/schema.js';

/** @typedef {import('../worker/answers/held-calls.js').CallGrammar} CallGrammar */

/** As in OpenAI's API: a function whose parameters are not given has none. */
export const NO_PARAMETERS = { type: 'object', properties: {} };

/**
 * @param {string} caller
 * @param {Pick<import('../options.js').CheckedChat, 'tools' | 'toolChoice' | 'grammar'>} checked
 * @returns {CallGrammar[] | undefined} undefined: the answer need not call any function
 */
export function callGrammarsOf(caller, { tools = [], toolChoice, grammar }) {
    if (toolChoice === 'auto' || toolChoice === 'none') return undefined;
    const refuse = (/** @type {string} */ why) => new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${why}`);
    if (grammar !== undefined)
        throw refuse(
            'a toolChoice of "required" or { name } and a grammar or schema are two ways to hold an answer; give one',
        );
    const functions = tools.map((/** @type {any} */ tool) => tool.function ?? tool),
        names = functions.map(({ name }) => name);
    if (names.length === 0) throw refuse(`toolChoice ${show(toolChoice)} needs tools`);
    for (const [i, name] of names.entries()) {
        if (typeof name !== 'string' || name === '') throw refuse(`tool ${i} has no name, which toolChoice needs`);
        if (names.indexOf(name) < i) throw refuse(`two tools have the name ${show(name)}`);
    }
    const chosen = functions.filter(({ name }) => toolChoice === 'required' || name === toolChoice.name);
    if (chosen.length === 0) throw refuse(`toolChoice names a function that is not among tools: ${show(toolChoice)}`);
    return chosen.map(({ name, parameters = NO_PARAMETERS }, i) => {
        const prefix = `f${i}-`;
        try {
            return { name, root: `${prefix}root`, rules: objectRules(parameters ?? NO_PARAMETERS, prefix) };
        } catch (error) {
            throw about(`${caller}: the parameters of the function ${show(name)}`, error);
        }
    });
}
