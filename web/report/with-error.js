/**
 * A figure and its standard error, with the error's first two digits, and at least two decimals.
 * @param {number} value
 * @param {number} error
 */
export function withError(value, error) {
    const digits = error > 0 ? Math.min(9, Math.max(2, 1 - Math.floor(Math.log10(error)))) : 4;
    return `${value.toFixed(digits)} ± ${error.toFixed(digits)}`;
}
