/** Statistics of many numbers, as llama.cpp's tools/perplexity computes them. */

/**
 * The mean, and its standard error sqrt((E[x^2] - E[x]^2) / (n - 1)).
 * @param {Float64Array} x
 */
export function meanOf(x) {
    let sum = 0;
    for (const value of x) sum += value;
    const mean = sum / x.length;
    let squares = 0;
    for (const value of x) squares += (value - mean) ** 2;
    return { mean, standardError: Math.sqrt(squares / x.length / (x.length - 1)) };
}

/** @param {Float64Array} losses -ln p of each token */
export function perplexityOf(losses) {
    const { mean, standardError } = meanOf(losses),
        perplexity = Math.exp(mean);
    return { perplexity, standardError: standardError * perplexity };
}

/**
 * The value below which this share of the numbers lies; between two neighbours, by linear interpolation.
 * @param {Float64Array} sorted
 * @param {number} share
 */
function quantile(sorted, share) {
    const at = share * (sorted.length - 1),
        low = Math.floor(at),
        high = Math.min(low + 1, sorted.length - 1);
    return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

/**
 * @param {Float64Array} divergences of each token, window by window
 * @param {number} windows
 */
export function divergenceFigures(divergences, windows) {
    const each = divergences.length / windows,
        sorted = divergences.slice().sort();
    const mean = (/** @type {number} */ n, /** @type {(i: number) => number} */ value) => {
        let sum = 0;
        for (let i = 0; i < n; i++) sum += value(i);
        return sum / n;
    };
    return {
        ...meanOf(divergences),
        median: quantile(sorted, 0.5),
        p99: quantile(sorted, 0.99),
        largest: sorted[sorted.length - 1],
        byPosition: Array.from({ length: each }, (_, i) => mean(windows, (window) => divergences[window * each + i])),
        byWindow: Array.from({ length: windows }, (_, window) => mean(each, (i) => divergences[window * each + i])),
    };
}
