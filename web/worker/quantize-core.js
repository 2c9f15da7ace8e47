/**
 * The core of nibble-quantize.wasm (src/nibble_quantize.h) with a pool of its own, and what both its users ask of it.
 */
import { TYPES } from '../abi.js';
import { NibbleError } from '../errors.js';
import { startBuild } from './core.js';
import { startThreads } from './pool.js';

/** @typedef {import('./core.js').Core} Core */

/**
 * @param {import('../assets.js').Assets} assets
 * @param {number} threads
 * @param {(port: MessagePort) => void} watch
 * @returns {Promise<{ core: Core, pool: number, end: () => void }>} end: ends the threads
 */
export async function startQuantizeCore({ wasm, poolWorkerUrl }, threads, watch) {
    const core = await startBuild(threads > 1 ? 'quantize-threads' : 'quantize', wasm),
        pool = core.object('nb_pool_new', threads);
    return { core, pool, end: await startThreads(core, pool, threads, poolWorkerUrl, watch) };
}

/**
 * Bytes of so many weights, which are whole blocks of the type.
 * @param {Core} core
 * @param {string} type
 * @param {number} weights
 */
export const blockBytes = ({ exports }, type, weights) =>
    (weights / exports.nb_quantizer_block(TYPES[type])) * exports.nb_quantizer_block_bytes(TYPES[type]);

/**
 * An error of the core that says which tensor it is about.
 * @param {unknown} error
 * @param {string} name
 */
export const withName = (error, name) =>
    error instanceof NibbleError && !error.message.includes(name)
        ? new NibbleError(error.code, `tensor ${name}: ${error.message}`, { cause: error })
        : error;
