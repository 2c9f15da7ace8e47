/** How far the vectors of a model are from those of another, and whether both find the same passages similar. */
import { meanOf } from './statistics.js';

/** The vector with length 1. @param {ArrayLike<number>} vector */
export function unit(vector) {
    const numbers = Float64Array.from(vector);
    let sum = 0;
    for (const x of numbers) sum += x * x;
    const length = Math.sqrt(sum) || 1;
    return numbers.map((x) => x / length);
}

/** The cosine of vectors of length 1. @param {Float64Array} a @param {Float64Array} b */
export function dot(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
    return sum;
}

/** Cosines of all pairs of vectors. @param {Float64Array[]} units of length 1 */
function similarities(units) {
    const found = new Float64Array((units.length * (units.length - 1)) / 2);
    let at = 0;
    for (const [i, a] of units.entries()) for (let j = 0; j < i; j++) found[at++] = dot(a, units[j]);
    return found;
}

/**
 * Ranks from 0; equal numbers get the mean of their ranks.
 * @param {Float64Array} numbers
 */
function ranksOf(numbers) {
    const order = Uint32Array.from(numbers, (_, i) => i).sort((a, b) => numbers[a] - numbers[b]),
        ranks = new Float64Array(numbers.length);
    for (let from = 0, to = 0; from < order.length; from = to) {
        while (to < order.length && numbers[order[to]] === numbers[order[from]]) to++;
        for (let i = from; i < to; i++) ranks[order[i]] = (from + to - 1) / 2;
    }
    return ranks;
}

/**
 * Pearson's correlation of ranks, which is Spearman's of the numbers (Spearman 1904).
 * @param {Float64Array} a
 * @param {Float64Array} b
 * @returns {number | null} null: all ranks of one are equal
 */
function correlation(a, b) {
    const middle = (a.length - 1) / 2;
    let product = 0,
        squaresA = 0,
        squaresB = 0;
    for (let i = 0; i < a.length; i++) {
        product += (a[i] - middle) * (b[i] - middle);
        squaresA += (a[i] - middle) ** 2;
        squaresB += (b[i] - middle) ** 2;
    }
    return squaresA && squaresB ? product / Math.sqrt(squaresA * squaresB) : null;
}

/**
 * 1 - cosine of vectors of length 1, as half the square of their difference: 1 - cosine itself would lose the digits of
 * a small distance.
 * @param {Float64Array} a
 * @param {Float64Array} b
 */
function distance(a, b) {
    let sum = 0;
    for (let i = 0; i < a.length; i++) sum += (a[i] - b[i]) ** 2;
    return sum / 2;
}

/** Compares the vectors of other models with those of a base, for the same passages. */
export class VectorComparison {
    /** @param {ArrayLike<number>[]} base */
    constructor(base) {
        this.units = base.map(unit);
        this.ranks = ranksOf(similarities(this.units));
    }

    /**
     * @param {ArrayLike<number>[]} vectors
     * @returns {Pick<import('../index.d.ts').EmbeddedModel, 'distance' | 'rankCorrelation'>}
     */
    figures(vectors) {
        const units = vectors.map(unit),
            distances = Float64Array.from(units, (vector, i) => distance(vector, this.units[i]));
        return {
            distance: {
                ...meanOf(distances),
                largest: Math.max(...distances),
                byPassage: Array.from(distances),
            },
            rankCorrelation: correlation(this.ranks, ranksOf(similarities(units))),
        };
    }
}
