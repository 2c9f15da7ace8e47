/** The tokens that a request begins with, and how the answer of a chat will be taken apart. */
import { NB_TOKENIZE_ADD_SPECIAL, NB_TOKENIZE_PARSE_SPECIAL } from '../abi.js';
import { AnswerReader } from './answers/reader.js';
import { closing } from './answers/thoughts.js';
import { fillInPrompt } from './fill-in.js';

/** @typedef {import('../protocol.js').GenerateAsk} GenerateAsk */
/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('./engine.js').Job} Job */

/**
 * @param {Engine} engine
 * @param {GenerateAsk} ask
 * @param {Job} job
 * @returns {Promise<{ prompt: number[], taking?: import('./output.js').Taking, grammar?: string }>} no tokens: the
 *     job was stopped while a template was rendered. grammar: of the calls that the answer must have
 */
export async function promptOf(engine, { what, input, options }, job) {
    if (what === 'chat') {
        const turn = await engine.chatTurn(input, options, job);
        if (!turn) return { prompt: [] };
        const { tokens, plan } = turn;
        return { prompt: tokens, taking: takingOf(engine, plan, options), grammar: plan.held?.grammar };
    }
    if (typeof input === 'string') {
        const flags = NB_TOKENIZE_ADD_SPECIAL | (options.special ? NB_TOKENIZE_PARSE_SPECIAL : 0);
        return { prompt: engine.tokenize(input, flags) };
    }
    if ('suffix' in input) return { prompt: fillInPrompt(engine, input) };
    engine.checkTokens(input);
    return { prompt: input };
}

/**
 * How the answer of a turn is taken apart; undefined: it is all text.
 * @param {Engine} engine
 * @param {import('./answers/reader.js').AnswerPlan} plan
 * @param {import('../options.js').CheckedTurn} options
 * @returns {import('./output.js').Taking | undefined}
 */
export function takingOf(engine, plan, { thinking }) {
    const { thoughts, format } = plan;
    if (!thoughts && !format) return undefined;
    /** @type {Map<number, string>} */
    const marks = new Map();
    const names = [...(thoughts ? [thoughts.begin, thoughts.end] : [])];
    if (format) names.push(...format.begins, ...(format.marks ?? []));
    for (const name of names) {
        const token = engine.tokenOf(name);
        if (token !== undefined) marks.set(token, name);
    }
    return {
        reader: new AnswerReader(plan),
        marks,
        closing: thoughts ? tokensWithin(engine, closing(thoughts)) : [],
        most: typeof thinking === 'object' ? thinking.maxTokens : Infinity,
    };
}

/**
 * The tokens of a text that follows others; some tokenizers write a text's beginning otherwise.
 * @param {Engine} engine
 * @param {string} text
 */
function tokensWithin(engine, text) {
    const before = engine.tokenize('\n', NB_TOKENIZE_PARSE_SPECIAL),
        both = engine.tokenize(`\n${text}`, NB_TOKENIZE_PARSE_SPECIAL);
    return before.every((token, i) => token === both[i])
        ? both.slice(before.length)
        : engine.tokenize(text, NB_TOKENIZE_PARSE_SPECIAL);
}
