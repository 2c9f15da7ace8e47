/**
 * How fast a model could be on this machine, by the roofline model (Williams, Waterman, Patterson 2009): it must read
 * its weights, and multiply with them, and the slower of these limits it.
 *
 *     seconds of a pass >= max(bytes of its weights / bytes read per second, multiply-adds / multiply-adds per second)
 *
 * A pass is one token that is generated, or a whole prompt. Both rates are measured here, in WebAssembly.
 */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';

/** @typedef {import('../index.d.ts').ModelInfo} ModelInfo */
/** @typedef {'exact' | 'fast'} Precision */

// The types that kernels are for, as src/kernels/matmul.h lists them, and those that share these kernels.
const BYTES = ['Q4_0', 'Q4_1', 'Q5_0', 'Q2_K', 'Q3_K', 'Q4_K', 'Q5_K', 'Q6_K'],
    HALVES = [...BYTES, 'Q5_1', 'MXFP4', 'NVFP4', 'Q1_0', 'Q2_0', 'TQ2_0', 'TQ1_0'],
    GRIDS = ['IQ1_S', 'IQ1_M', 'IQ2_XXS', 'IQ2_XS', 'IQ2_S', 'IQ3_XXS', 'IQ3_S'],
    WIDE = ['Q8_0', 'IQ4_NL', 'IQ4_XS', ...GRIDS, 'NF4', 'FP4'];
export const TYPES = { BYTES, HALVES, WIDE };

/**
 * How a build multiplies with a matrix.
 * @param {string} type
 * @param {string} build
 * @param {Precision} precision
 * @returns {{ way: string, products: number }} one of WAYS, and how many of its products a multiply-add takes
 */
export function wayOf(type, build, precision) {
    const by = (/** @type {string} */ way, products = 1) => ({ way, products });
    if (build.startsWith('integer')) return by('words');
    const isDot = build.startsWith('relaxed-dot'),
        isRelaxed = build.startsWith('relaxed');
    if (isRelaxed && precision === 'fast' && BYTES.includes(type)) return by(isDot ? 'bytes' : 'bytesInParts');
    if (isDot && HALVES.includes(type)) return by('bytes', 2); // 16 bits are two halves
    if (HALVES.includes(type) || WIDE.includes(type)) return by('words');
    return by(isRelaxed ? 'fusedFloats' : 'floats');
}

/** Bits of a weight in memory where these are more than in the file (src/kernels/packing.h). */
const BITS = /** @type {Record<string, number>} */ ({
    Q3_K: 3.5625,
    Q4_K: 4.625,
    Q5_K: 5.625,
    IQ4_XS: 4.3125,
    MXFP4: 5,
    TQ1_0: 2.0625,
    ...Object.fromEntries(GRIDS.map((type) => [type, /^IQ3/.test(type) ? 4.625 : 3.625])),
});

/** Tables of which a token takes one row. */
const LOOKED_UP = /^(token_embd|position_embd|token_types)\.weight$/;
/** Experts, stacked or one by one. Those that all tokens share are called "shexp". */
const OF_EXPERTS = /_exps\.|\.ffn_(gate|up|down)\.\d+\./;

/**
 * What a pass must do.
 * @typedef {object} Work
 * @property {number} tokens that it computes
 * @property {number} bytes of weights, each read once; of experts as many as one token uses
 * @property {number} multiplyAdds without attention; the output matrix is multiplied with the last token only
 * @property {Record<string, number>} products that these take, by their way
 */

/**
 * @param {Pick<ModelInfo, 'tensors' | 'architecture' | 'metadata' | 'build'>} info
 * @param {Precision} precision
 * @param {number} tokens
 * @returns {Work}
 */
export function workOf({ tensors, architecture, metadata, build }, precision, tokens) {
    const value = (/** @type {string} */ key) => Number(metadata[`${architecture}.${key}`]),
        used = value('expert_used_count') / value('expert_count');
    const output = ['output.weight', 'token_embd.weight'].find((output) => tensors.some(({ name }) => name === output));
    /** @type {Work} */
    const work = { tokens, bytes: 0, multiplyAdds: 0, products: {} };
    for (const { name, type, shape, bytes } of tensors) {
        const weights = shape.reduce((product, side) => product * side, 1);
        if (LOOKED_UP.test(name) && name !== output) work.bytes += (tokens * bytes * shape[0]) / weights;
        else if (weights === shape[0])
            work.bytes += bytes; // a vector
        else {
            const share = OF_EXPERTS.test(name) ? used : 1,
                multiplyAdds = weights * share * (name === output ? 1 : tokens),
                { way, products } = wayOf(type, build, precision);
            work.bytes += share * (BITS[type] ? (weights * BITS[type]) / 8 : bytes);
            work.multiplyAdds += multiplyAdds;
            work.products[way] = (work.products[way] ?? 0) + multiplyAdds * products;
        }
    }
    return work;
}

/**
 * What all threads together can do in a second. productsPerSecond: of each way.
 * @typedef {{ readBytesPerSecond: number, productsPerSecond: Record<string, number> }} Machine
 */

/** More than the caches hold, in any case: larger models are measured by so many bytes. */
const MOST_BYTES = 512 << 20;

/**
 * Measures the machine, by reading as many bytes as a token reads: if these fit a cache, the weights do, too. The
 * threads of the model must be at rest, and its memory should be free.
 * @param {object} task
 * @param {number} task.threads
 * @param {number} task.bytes
 * @param {string[]} task.ways
 * @param {number} task.rounds the best one counts
 * @param {AbortSignal} [signal]
 * @returns {Promise<Machine>}
 */
export async function measureMachine({ threads, bytes, ways, rounds }, signal) {
    const workerData = {
        threads,
        bytes: Math.min(bytes, MOST_BYTES) / threads,
        ways,
        rounds,
        meetings: new Int32Array(new SharedArrayBuffer(4)),
    };
    const script = new URL('ceiling-worker.js', import.meta.url),
        workers = Array.from({ length: threads }, () => new Worker(script, { workerData, execArgv: [] }));
    try {
        /** @type {{ reading: number[], multiplying: number[][] }[]} */
        const rates = (await Promise.all(workers.map((worker) => once(worker, 'message', { signal })))).flat();
        const best = (/** @type {number[][]} */ ofThreads) =>
            Math.max(...ofThreads[0].map((_, round) => ofThreads.reduce((sum, rates) => sum + rates[round], 0)));
        return {
            readBytesPerSecond: best(rates.map(({ reading }) => reading)),
            productsPerSecond: Object.fromEntries(
                ways.map((way, i) => [way, best(rates.map(({ multiplying }) => multiplying[i]))]),
            ),
        };
    } finally {
        await Promise.all(workers.map((worker) => worker.terminate()));
    }
}

/**
 * @param {Work} work
 * @param {Machine} machine
 * @param {number} tokensPerSecond what was measured
 */
export function ceilingOf({ tokens, bytes, multiplyAdds, products }, machine, tokensPerSecond) {
    const reading = bytes / machine.readBytesPerSecond,
        multiplying = Object.entries(products).reduce((sum, [way, n]) => sum + n / machine.productsPerSecond[way], 0),
        ceiling = tokens / Math.max(reading, multiplying);
    return {
        share: tokensPerSecond / ceiling,
        tokensPerSecond: ceiling,
        limit: reading > multiplying ? /** @type {const} */ ('reading') : /** @type {const} */ ('multiplying'),
        bytesPerToken: bytes / tokens,
        readBytesPerSecond: machine.readBytesPerSecond,
        multiplyAddsPerToken: multiplyAdds / tokens,
        multiplyAddsPerSecond: multiplyAdds / multiplying,
    };
}
