/** Which types the options give to which tensors. */
import { NibbleError } from '../errors.js';

/** @typedef {(readonly [RegExp, string])[]} Rules */

/**
 * Patterns of names, and the types that they give; the first that fits counts.
 * @param {Pick<import('../protocol.js').QuantizeOptions, 'tensors' | 'outputType' | 'tokenEmbeddingType'>} options
 * @param {import('./planned.js').Planned[]} plan
 * @returns {Rules}
 */
export function rulesOf({ tensors, outputType, tokenEmbeddingType }, plan) {
    const names = plan.map(({ name }) => name),
        idle = tensors.find(([pattern]) => !names.some((name) => new RegExp(pattern).test(name)));
    if (idle)
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `tensors (--tensor): no tensor's name fits ${JSON.stringify(idle[0])}; they are such as ${
                names.find((name) => name.startsWith('blk.')) ?? names[0]
            } (nibble inspect lists them)`,
        );
    /** @type {Rules} */
    const rules = tensors.map(([pattern, type]) => [new RegExp(pattern), type]);
    if (tokenEmbeddingType) rules.unshift([/^(per_layer_)?token_embd\.weight$/, tokenEmbeddingType]);
    if (outputType) rules.unshift([/^output\.weight$/, outputType]);
    if (outputType && !names.includes('output.weight'))
        // the token embedding is the output
        rules.push([/^token_embd\.weight$/, outputType]);
    return rules;
}
