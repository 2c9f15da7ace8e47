// Whether two models find the same passages similar: Spearman's rank correlation of the similarities of pairs.

/** All pairs of different numbers below n. @param {number} n @returns {[number, number][]} */
export const pairs = (n) =>
    Array.from({ length: n }, (_, i) =>
        Array.from({ length: i }, (_, j) => /** @type {[number, number]} */ ([i, j])),
    ).flat();

/**
 * Cosines of pairs of vectors of length 1.
 * @param {ArrayLike<number>[]} vectors
 * @param {[number, number][]} compared
 */
export const similarities = (vectors, compared) =>
    compared.map(([i, j]) => Array.from(vectors[i]).reduce((sum, x, k) => sum + x * vectors[j][k], 0));

/** Ranks from 0; equal numbers get the mean of their ranks. @param {number[]} numbers */
function ranks(numbers) {
    const order = numbers.map((_, i) => i).sort((a, b) => numbers[a] - numbers[b]),
        found = new Array(numbers.length);
    for (let from = 0, to = 0; from < order.length; from = to) {
        while (to < order.length && numbers[order[to]] === numbers[order[from]]) to++;
        for (let i = from; i < to; i++) found[order[i]] = (from + to - 1) / 2;
    }
    return found;
}

/** Pearson's correlation of the ranks (Spearman 1904). @param {number[]} a @param {number[]} b */
export function rankCorrelation(a, b) {
    const [x, y] = [ranks(a), ranks(b)],
        middle = (a.length - 1) / 2;
    const sum = (/** @type {(i: number) => number} */ of) => x.reduce((total, _, i) => total + of(i), 0);
    return (
        sum((i) => (x[i] - middle) * (y[i] - middle)) /
        Math.sqrt(sum((i) => (x[i] - middle) ** 2) * sum((i) => (y[i] - middle) ** 2))
    );
}
