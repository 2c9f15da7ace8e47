/**
 * Models of integers (docs/integer.md): nibble-integer.wasm computes, and the engine, which runs anyway, handles the
 * text.
 */
import { NB_LOAD_HEADER } from '../abi.js';
import { NibbleError } from '../errors.js';
import { give } from '../sources/open.js';
import { startBuild } from './core.js';
import { feedSink } from './feed.js';
import { IntegerCore } from './integer-core.js';
import { inBytes, stopwatch } from './journal.js';
import { Meter } from './load-model.js';
import { startThreads } from './pool.js';

/** @typedef {import('./core.js').Core} Core */
/** @typedef {import('./engine.js').Engine} Engine */

const KEY = 'general.architecture',
    ARCHITECTURE = 'llama-integer';
/** Where the file's first value has its key, after the magic number, the version, two counts and the key's length. */
const KEY_AT = 32;
/** Behind the key: its type, and the length of the text. */
const TEXT_AT = KEY_AT + KEY.length + 12;
/** The first bytes of a file, which show whether it is one: nibble writes the architecture first. */
export const INTEGER_HEAD = TEXT_AT + ARCHITECTURE.length;

/** @param {Uint8Array} head */
export function isOfIntegers(head) {
    const text = (/** @type {number} */ from, /** @type {string} */ wanted) =>
        new TextDecoder('latin1').decode(head.subarray(from, from + wanted.length)) === wanted;
    return head.length === INTEGER_HEAD && text(0, 'GGUF') && text(KEY_AT, KEY) && text(TEXT_AT, ARCHITECTURE);
}

/**
 * Refuses a model of integers as a source: its codes mean nothing without their multipliers.
 * @param {{ name: string }[]} tensors of any model
 */
export function refuseIntegers(tensors) {
    if (tensors.some(({ name }) => name === 'token_embd.multipliers'))
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            'this is a model of integers: quantize the model that it was made of',
        );
}

/**
 * The file -> a model: its integers in a core of their own, and its tokenizer in the engine's. engine.core
 * then stands for both (integer-core.js).
 * @param {Engine} engine
 * @param {import('../sources/open.js').Opened} opened
 * @param {import('../protocol.js').EngineOptions} options
 * @param {import('./engine.js').LoadPort} port
 * @returns {Promise<number>} the model, for the engine's functions
 */
export async function loadIntegers(engine, opened, { assets }, { progress, watch, journal }) {
    const { core: texts, threads } = engine,
        time = stopwatch();
    const core = await startBuild(threads > 1 ? 'integer-threads' : 'integer', assets.wasm),
        pool = core.object('nb_pool_new', threads);
    await startThreads(core, pool, threads, assets.poolWorkerUrl, watch);
    journal?.(`build: ${core.build}, threads ${threads}, ${time()}`);
    const file = await readFile(core, opened, new Meter(progress)),
        model = core.object('nb_integer_model_new', file.address, file.size);
    journal?.(`integers: ${inBytes(file.size)}, ${time()}`);
    const header = await readHeader(texts, core.bytes(file.address, file.size));
    engine.core = new IntegerCore(texts, header, core, pool, model);
    engine.mostGuesses = 0; // it has no function that tries guesses
    return header;
}

/**
 * The whole file, in the core's memory.
 * @param {Core} core
 * @param {import('../sources/open.js').Opened} opened
 * @param {Meter} meter
 */
async function readFile(core, opened, meter) {
    let size = opened.total || 1 << 24,
        filled = 0,
        address = core.allocate(size, 'the model');
    const grow = () => {
        const larger = core.allocate(2 * size, 'the model');
        core.bytes(larger, size).set(core.bytes(address, size));
        core.exports.nb_free(address);
        address = larger;
        size *= 2;
    };
    await opened.into({
        room() {
            if (filled === size && !opened.total) grow();
            return core.bytes(address + filled, size - filled);
        },
        commit(n) {
            filled += n;
            meter.tick(filled, opened.total);
        },
    });
    meter.end(filled, filled);
    return { address, size: filled };
}

/**
 * The file's header, as a model that only knows texts.
 * @param {Core} core
 * @param {Uint8Array} file
 */
async function readHeader(core, file) {
    const loader = core.object('nb_loader_new', file.length, NB_LOAD_HEADER),
        sink = feedSink(core, 'nb_loader', loader);
    try {
        await give(file, sink);
        return core.object('nb_loader_finish', loader);
    } finally {
        sink.free();
        core.exports.nb_loader_free(loader);
    }
}
