/** The options that give types to tensors by their names. */
import { NibbleError } from '../errors.js';

/** Patterns, the types that they give, and their names for messages.
 * @typedef {(readonly [RegExp, string, string])[]} Rules */
/**
 * @typedef {Pick<import('../protocol.js').QuantizeOptions, 'tensors' | 'outputType' | 'tokenEmbeddingType'>} Options
 */

/**
 * Patterns of names, each with the type that it gives. The first that is found in a name counts.
 * @param {Options} options
 * @param {import('./planned.js').Planned[]} plan
 * @returns {Rules}
 */
export function rulesOf({ tensors, outputType, tokenEmbeddingType }, plan) {
    const output = 'outputType (--output-type)',
        embedding = 'tokenEmbeddingType (--token-embedding-type)';
    /** @type {Rules} */
    const rules = tensors.map(([pattern, type]) => [
        new RegExp(pattern),
        type,
        `tensors (--tensor): ${JSON.stringify(pattern)}`,
    ]);
    if (tokenEmbeddingType) rules.unshift([/^(per_layer_)?token_embd\.weight$/, tokenEmbeddingType, embedding]);
    if (outputType) rules.unshift([/^output\.weight$/, outputType, output]);
    if (outputType && !plan.some(({ name }) => name === 'output.weight')) {
        rules.shift();
        rules.push([/^token_embd\.weight$/, outputType, output]); // which is the output matrix, too
    }
    return rules;
}

/**
 * The first pattern that is found in none of the names. It is most likely a typing mistake.
 * @param {[string, string][]} rules
 * @param {Iterable<string>} names
 */
export function unmatchedPattern(rules, names) {
    const all = [...names];
    return rules.find(([pattern]) => !all.some((name) => new RegExp(pattern).test(name)))?.[0];
}

/**
 * Refuses a rule that gives its type to no tensor.
 * @param {Rules} rules
 * @param {import('./planned.js').Planned[]} plan
 * @param {Iterable<string>} changeable names of the tensors whose types may change
 */
export function checkRules(rules, plan, changeable) {
    const names = [...changeable],
        typeOf = (/** @type {string} */ name) => rules.find(([pattern]) => pattern.test(name))?.[1];
    const useless = rules.find(([pattern, type]) => !names.some((name) => pattern.test(name) && typeOf(name) === type));
    if (!useless) return;
    const [pattern, , what] = useless,
        isName = plan.some(({ name }) => pattern.test(name)),
        { name: example } = plan.find(({ name, rows }) => name.startsWith('blk.') && rows > 1) ?? plan[0];
    throw new NibbleError(
        'NB_ERR_ARGUMENT',
        names.some((name) => pattern.test(name))
            ? `${what} changes nothing, as options that come before it give other types to all of its matrices: ` +
                  'leave it out, or pass its pattern first'
            : `${what} is found in ${
                  isName ? 'names of tensors that keep their type, but in ' : ''
              }the name of no matrix that can be quantized; an example is ${example} ` +
                  '(nibble inspect MODEL --json lists the names of all tensors)',
    );
}
