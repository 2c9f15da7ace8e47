/** @typedef {{ mean: number, standardError: number }} Mean */

/**
 * By how much a perplexity is above another, in percent. The standard error of exp(x) is exp(x) times that of x.
 * @param {Mean} logarithm of their ratio
 */
export const ratio = ({ mean, standardError }) =>
    `${(100 * Math.expm1(mean)).toFixed(2)} ± ${(100 * standardError * Math.exp(mean)).toFixed(2)}`;
