/**
 * Any files that make a model -> the bytes of one GGUF, as the engine takes them: by the converter
 * (src/nibble_convert.h), a core of its own, which is fetched only where it is needed.
 */
import {
    NB_CONVERT_ALL,
    NB_CONVERT_HEADER,
    NB_QUANTIZE_AGAIN,
    NB_QUANTIZE_BEST,
    NB_QUANTIZE_DOUBLY,
    NB_QUANTIZE_FILE,
    NB_QUANTIZE_PLAINLY,
} from '../abi.js';
import { NibbleError } from '../errors.js';
import { isWeights } from '../sources/names.js';
import { isAbsent, unlessVacant } from '../sources/open.js';
import { readAhead } from '../sources/read-ahead.js';
import { startConverter } from './core.js';
import { feedSink, passOn } from './feed.js';
import { inBytes, stopwatch } from './journal.js';

/** @typedef {import('../sources/open.js').Sink} Sink */

/**
 * A file. If it has weights it is opened twice: at its beginning, and where they begin. remote: opening it before
 * its turn saves time. absent: what to do if it is not there. unless: a file before it that makes it needless.
 * @typedef {{ name: string, open: (from?: number) => Promise<import('../sources/open.js').Opened>, remote?:
 *     boolean,
 *     absent?: (error?: unknown) => Promise<null>, unless?: string }} InputFile
 */

/**
 * How many files are opened before their headers' turn: together with those that are read, fewer than a browser
 * allows for a host.
 */
const OPENED_AHEAD = 3;

/**
 * A converter's options. setUp() is called before the first file, and planned() when all
 * headers are there.
 * @typedef {object} ConvertOptions
 * @property {import('../assets.js').Assets} assets
 * @property {boolean} [headerOnly]
 * @property {string} [quantize]
 * @property {boolean} [doubleQuant]
 * @property {Uint8Array} [imatrix]
 * @property {(core: import('./core.js').Core, converter: number) => void} [setUp]
 * @property {(core: import('./core.js').Core, converter: number) => void} [planned]
 */

/**
 * @param {InputFile[]} files
 * @param {ConvertOptions} options
 * @param {import('./journal.js').Journal} [journal]
 * @returns {import('../sources/open.js').Opened}
 */
export const convert = (files, options, journal) => ({
    total: 0,
    async into(sink) {
        const conversion = await openConversion(files, options, journal);
        try {
            await conversion.readHeaders(sink.ready);
            await conversion.write(sink);
        } finally {
            conversion.free();
        }
    },
});

/**
 * @param {InputFile[]} files
 * @param {ConvertOptions} options
 * @param {import('./journal.js').Journal} [journal]
 */
export async function openConversion(files, options, journal) {
    const time = stopwatch(),
        core = await startConverter(options.assets.wasm);
    journal?.(`converter: it runs after ${time()}`);
    return new Conversion(core, files, options, journal);
}

/** A converter and its files: the headers are read once, and then one GGUF is written, or several after each other. */
export class Conversion {
    /**
     * @param {import('./core.js').Core} core the converter's
     * @param {InputFile[]} files
     * @param {ConvertOptions} options
     * @param {import('./journal.js').Journal} [journal]
     */
    constructor(core, files, options, journal) {
        this.core = core;
        this.files = files;
        this.options = options;
        this.journal = journal;
        this.converter = core.object('nb_converter_new', options.headerOnly ? NB_CONVERT_HEADER : NB_CONVERT_ALL);
        /** @type {ReturnType<typeof feedSink>[]} */
        this.sinks = [];
        /** The next file, which is read ahead. @type {{ number: number, stream: ReturnType<typeof readAhead> } |
         * undefined} */
        this.ahead = undefined;
    }

    free() {
        this.ahead?.stream.cancel();
        for (const sink of this.sinks) sink.free();
        this.core.exports.nb_converter_free(this.converter);
    }

    /**
     * @param {() => Promise<void>} [ready] what to wait for before each piece
     * @param {() => void} [tick]
     */
    sink(ready, tick) {
        const sink = feedSink(this.core, 'nb_converter', this.converter, tick, ready);
        this.sinks.push(sink);
        return sink;
    }

    /**
     * Reads the headers of all files. Call it before the other functions.
     * @param {() => Promise<void>} [ready]
     */
    async readHeaders(ready) {
        const { core, converter, options } = this;
        if (options.quantize)
            core.borrowText(options.quantize, (at, length) =>
                core.count(
                    'nb_converter_quantize',
                    converter,
                    at,
                    length,
                    options.doubleQuant ? NB_QUANTIZE_DOUBLY : NB_QUANTIZE_PLAINLY,
                ),
            );
        if (options.imatrix) giveImportance(core, converter, options.imatrix, 'load()');
        options.setUp?.(core, converter);
        await this.readFiles(ready);
        options.planned?.(core, converter);
    }

    /**
     * Reads one file after the other; remote ones are opened a few ahead.
     * @param {() => Promise<void>} [ready]
     */
    async readFiles(ready) {
        const { files } = this;
        /** @type {Map<number, Promise<import('../sources/open.js').Opened | null>>} */
        const opening = new Map();
        const open = (/** @type {number} */ i) => {
            const { absent } = files[i];
            const opened =
                opening.get(i) ??
                files[i].open().then(
                    async (found) => (absent ? ((await unlessVacant(found)) ?? absent()) : found),
                    (error) => {
                        if (absent && isAbsent(error)) return absent(error);
                        throw error;
                    },
                );
            opened.catch(() => {}); // thrown when its turn comes
            opening.set(i, opened);
            return opened;
        };
        /** @type {Set<string>} */
        const read = new Set();
        for (const [i, file] of files.entries()) {
            if (file.unless && read.has(file.unless)) continue;
            const opened = open(i);
            for (let k = i + 1; k <= i + OPENED_AHEAD && files[k]?.remote; k++) if (!files[k].unless) open(k);
            const time = stopwatch(),
                found = await opened;
            if (!found) {
                this.journal?.(`${file.name}: it is not there`);
                continue;
            }
            const bytes = await this.readHeader(file, found, ready);
            this.journal?.(
                `${file.name}: ${isWeights(file) ? 'header in the first' : 'all'} ${inBytes(bytes)}, ${time()}${
                    found.answered ? `; ${found.answered}` : ''
                }`,
            );
            read.add(file.name);
        }
    }

    /**
     * Reads a document, or the header of a file of weights.
     * @param {InputFile} file
     * @param {import('../sources/open.js').Opened} opened
     * @param {() => Promise<void>} [ready]
     * @returns {Promise<number>} bytes that were read
     */
    async readHeader(file, opened, ready) {
        const { core, converter } = this;
        core.borrowText(file.name, (at, length) =>
            core.count('nb_converter_begin', converter, at, length, opened.total),
        );
        const sink = this.sink(ready);
        await opened.into(sink);
        core.count('nb_converter_end', converter);
        return sink.loaded;
    }

    /** Which weights the converter wants next. */
    next() {
        const { core } = this;
        return core.borrow(8, (at) => {
            const number = core.count('nb_converter_next', this.converter, at);
            return { number, offset: new DataView(core.memory.buffer).getFloat64(at, true) };
        });
    }

    /**
     * Writes the GGUF. File by file; the next one is read ahead.
     * @param {Sink} out
     */
    async write(out) {
        const weights = this.files.filter(isWeights);
        for (let next = this.next(); ; next = this.next()) {
            // output that needs no more input may be as large as a model
            while (this.pass(out)) await out.ready?.();
            const { number, offset } = next;
            if (number === 0) return;
            const file = weights[number - 1],
                ready = this.ahead?.number === number ? this.ahead.stream : null;
            if (ready) this.ahead = undefined;
            const later =
                number < weights.length ? this.core.exports.nb_converter_offset(this.converter, number + 1) : 0;
            if (later > 0 && weights[number].remote)
                this.ahead ??= { number: number + 1, stream: readAhead(weights[number].open(later)) };
            await this.readWeights(file, offset, ready ?? (await file.open(offset)), out);
        }
    }

    /** After one GGUF is written: begins another one of the same files. */
    again() {
        this.ahead?.stream.cancel();
        this.ahead = undefined;
        for (const sink of this.sinks.splice(0)) sink.free();
        this.core.count('nb_converter_again', this.converter);
    }

    /**
     * @param {InputFile} file
     * @param {number} offset
     * @param {{ into: (sink: Sink) => Promise<void> }} stream from there on
     * @param {Sink} out
     */
    async readWeights(file, offset, stream, out) {
        const sink = this.sink(out.ready, () => this.drain(out)),
            time = stopwatch();
        await stream.into(sink);
        sink.room();
        if (!sink.filled)
            throw new NibbleError(
                'NB_ERR_TRUNCATED',
                `${file.name} ends after ${offset + sink.loaded} bytes, within its weights: ` +
                    'the download or copy was cut off; get it again',
            );
        this.journal?.(`${file.name}: weights, ${inBytes(sink.loaded)} from byte ${offset} on, ${time()}`);
    }

    /** Passes on all output that is ready. @param {Sink} out */
    drain(out) {
        while (this.pass(out));
    }

    /**
     * Passes on the next part of the output that is ready.
     * @param {Sink} out
     * @returns {boolean} whether there may be more
     */
    pass(out) {
        const { core } = this;
        return core.borrow(4, (at) => {
            const n = core.count('nb_converter_take', this.converter, at),
                address = core.ints(at, 1)[0] >>> 0;
            return n > 0 && passOn(core, address, n, out);
        });
    }
}

/**
 * Passes on what quantize() was asked for. Call it before the headers are read.
 * @param {import('./core.js').Core} core
 * @param {number} converter
 * @param {import('../protocol.js').QuantizeOptions} options
 */
export function giveRecipe(core, converter, { type, search, requantize, doubleQuant, imatrix, part, parts }) {
    const flags =
        NB_QUANTIZE_FILE |
        (search === 'best' ? NB_QUANTIZE_BEST : 0) |
        (requantize ? NB_QUANTIZE_AGAIN : 0) |
        (doubleQuant ? NB_QUANTIZE_DOUBLY : 0);
    core.borrowText(type, (at, length) => core.count('nb_converter_quantize', converter, at, length, flags));
    core.count('nb_converter_share', converter, part, parts);
    if (imatrix) giveImportance(core, converter, imatrix, 'quantize()');
}

/**
 * Passes on the file of an importance matrix. Call it before the headers are read.
 * @param {import('./core.js').Core} core
 * @param {number} converter
 * @param {Uint8Array} imatrix
 * @param {string} caller for messages
 */
export const giveImportance = (core, converter, imatrix, caller) =>
    namingImatrix(caller, () =>
        core.borrowBytes(imatrix, (at, length) => core.count('nb_converter_importance', converter, at, length)),
    );

/**
 * Runs `give`, which reads an importance matrix, and names the option in its errors.
 * @param {string} caller for messages
 * @param {() => void} give
 */
export function namingImatrix(caller, give) {
    try {
        give();
    } catch (error) {
        if (!(error instanceof NibbleError) || error.code === 'NB_ERR_MEMORY') throw error;
        // of another code, the error would be taken for one of the model
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: imatrix (--imatrix): ${error.message}`, { cause: error });
    }
}
