/** The normalizer of a softmax. */

/**
 * ln of the sum of exp.
 * @param {Float32Array | Int32Array} logits
 * @param {number} [unit] of a logit, where logits are integers
 */
export function logSumExp(logits, unit = 1) {
    let most = logits[0],
        sum = 0;
    for (let i = 1; i < logits.length; i++) if (logits[i] > most) most = logits[i];
    for (let i = 0; i < logits.length; i++) sum += Math.exp((logits[i] - most) * unit);
    return Math.log(sum) + most * unit;
}
