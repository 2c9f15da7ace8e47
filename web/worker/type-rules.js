/** The options that give types to tensors by their names. */
import { NibbleError } from '../errors.js';

/** @typedef {(readonly [RegExp, string])[]} Rules */
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
    /** @type {Rules} */
    const rules = tensors.map(([pattern, type]) => [new RegExp(pattern), type]);
    if (tokenEmbeddingType) rules.unshift([/^(per_layer_)?token_embd\.weight$/, tokenEmbeddingType]);
    if (outputType) rules.unshift([/^output\.weight$/, outputType]);
    if (outputType && !plan.some(({ name }) => name === 'output.weight'))
        // the token embedding is the output matrix, too
        rules.push([/^token_embd\.weight$/, outputType]);
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
 * Refuses a pattern that gives its type to no tensor.
 * @param {Options} options
 * @param {import('./planned.js').Planned[]} plan
 * @param {Set<string>} changeable names of the tensors whose types may change
 */
export function checkRules({ tensors }, plan, changeable) {
    const pattern = unmatchedPattern(tensors, changeable);
    if (pattern === undefined) return;
    const isName = plan.some(({ name }) => new RegExp(pattern).test(name)),
        { name: example } = plan.find(({ name, rows }) => name.startsWith('blk.') && rows > 1) ?? plan[0];
    throw new NibbleError(
        'NB_ERR_ARGUMENT',
        `tensors (--tensor): ${JSON.stringify(pattern)} is found in ${
            isName ? 'names of tensors that keep their type, but in ' : ''
        }the name of no matrix that can be quantized; an example is ${example} ` +
            '(nibble inspect MODEL --json lists the names of all tensors)',
    );
}
