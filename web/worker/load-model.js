/** Bytes -> a model in the core's memory, with reports of progress. */
import { NB_LOAD_ALL, NB_LOAD_HEADER, NB_LOAD_PART, TYPES } from '../abi.js';
import { NibbleError } from '../errors.js';
import { REPORT_MS, ReportClock } from '../report-clock.js';
import { severalFiles } from '../sources/folder.js';
import { opener, openOne, openPort, reopening, twice } from '../sources/open.js';
import { convert } from './convert.js';
import { feedSink } from './feed.js';
import { inBytes, nameOf, stopwatch, weightsWatch } from './journal.js';

/** @typedef {import('../index.d.ts').Progress} Progress */
/** @typedef {import('./journal.js').Journal} Journal */

/** The longest context by default: the cache of a long context can be larger than the model. */
export const DEFAULT_CONTEXT = 4096;

/** The core's number of a cache's type: that of the keys, and in the next byte that of the values, if another is given.
 * @param {NonNullable<import('../index.d.ts').LoadOptions['kvType']>} kvType */
export function cacheTypeOf(kvType) {
    const [keys, values] = kvType.split('/');
    return TYPES[keys] + 256 * (values ? TYPES[values] : 0);
}

/** Bytes of a tensor's name that are shown, and a zero. */
const MOST_NAME = 128;

/**
 * @param {import('../sources/open.js').Source} source
 * @param {import('../protocol.js').EngineOptions} options
 * @param {() => Promise<Uint8Array | null>} nextFromPort
 * @param {Journal} [journal]
 * @returns {Promise<import('../sources/open.js').Opened>} the bytes of a GGUF, or of the GGUF that is made of the source
 */
export async function openModel(source, options, nextFromPort, journal) {
    journal?.(`source: ${nameOf(source)}`);
    const several = await severalFiles(source);
    if (options.quantize || (several && (several.length > 1 || !/\.gguf$/i.test(several[0].name))))
        return convert(await inputFiles(source, several, nextFromPort), options, journal);
    const single = /** @type {import('../sources/open.js').Single} */ (several ? several[0].source : source);
    const time = stopwatch();
    const opened = source.kind === 'port' ? openPort(source.total, nextFromPort) : await openOne(single);
    journal?.(`source: open after ${time()}, ${inBytes(opened.total)}${opened.answered ? `, ${opened.answered}` : ''}`);
    return opened;
}

/**
 * The files for the converter.
 * @param {import('../sources/open.js').Source} source
 * @param {Awaited<ReturnType<typeof severalFiles>>} several
 * @param {() => Promise<Uint8Array | null>} nextFromPort
 * @returns {Promise<import('./convert.js').InputFile[]>}
 */
export async function inputFiles(source, several, nextFromPort) {
    if (several)
        return several.map((file) => ({ ...file, remote: file.source.kind === 'url', open: opener(file.source) }));
    const open =
        source.kind === 'port'
            ? twice(source.total, nextFromPort)
            : await reopening(/** @type {import('../sources/open.js').Single} */ (source));
    return [{ name: 'the model', open }];
}

/**
 * The bytes -> the model.
 * @param {{ core: import('./core.js').Core, pool: number }} engine
 * @param {import('../sources/open.js').Opened} source
 * @param {Partial<import('../protocol.js').EngineOptions> & { part?: boolean, isMost?: boolean }} options part: the GGUF
 *     lacks tensors. isMost: the model's own context counts if it is shorter than contextLength
 * @param {(progress: Progress) => void} report
 * @param {Journal} [journal]
 */
export async function loadModel({ core, pool }, source, options, report, journal) {
    const { exports } = core,
        {
            headerOnly,
            contextLength,
            kvType = 'i16',
            parallel = 1,
            part,
            isMost = contextLength === undefined,
        } = options;
    const flags = (part ? NB_LOAD_PART : NB_LOAD_ALL) | (headerOnly ? NB_LOAD_HEADER : NB_LOAD_ALL);
    const loader = core.object('nb_loader_new', source.total, flags);
    if (flags === NB_LOAD_ALL)
        // a context that does not fit is refused before the weights are fetched
        exports.nb_loader_expect(
            loader,
            pool,
            contextLength ?? DEFAULT_CONTEXT,
            isMost ? 1 : 0,
            cacheTypeOf(kvType),
            parallel,
        );
    const meter = new Meter(report);
    const total = () => source.total || exports.nb_loader_total(loader);
    const watch = journal && weightsWatch(journal, () => currentTensor(core, loader));
    const sink = feedSink(core, 'nb_loader', loader, () => {
        meter.tick(sink.loaded, total());
        watch?.tick(sink.loaded, total());
    });
    let done = false;
    try {
        await source.into(sink);
        sink.room(); // sets `filled`, if it wants no more
        if (!sink.filled && sink.loaded < total())
            throw new NibbleError(
                'NB_ERR_TRUNCATED',
                `the file ends after ${sink.loaded} bytes of ${total()}: ` +
                    'the download or copy was cut off; get it again',
            );
        const whole = total(),
            model = core.object('nb_loader_finish', loader);
        meter.end(sink.loaded, whole);
        done = true;
        return model;
    } finally {
        watch?.end(sink.loaded, done);
        meter.stop();
        sink.free();
        exports.nb_loader_free(loader);
    }
}

/**
 * @param {import('./core.js').Core} core
 * @param {number} loader
 */
const currentTensor = (core, loader) =>
    core.borrow(MOST_NAME, (at) =>
        core.string(at, Math.min(core.exports.nb_loader_tensor(loader, at, MOST_NAME), MOST_NAME - 1)),
    );

/** Progress, reported a few times a second, with the rate of the last seconds. */
export class Meter {
    /** @param {(progress: Progress) => void} report */
    constructor(report) {
        this.report = report;
        this.marks = [{ time: performance.now(), loaded: 0 }];
        this.clock = new ReportClock();
        /** @type {ReturnType<typeof setTimeout> | undefined} */
        this.later = undefined;
    }

    /**
     * @param {number} loaded
     * @param {number} total 0: unknown
     * @param {boolean} [always] whether to report even right after the last report
     */
    tick(loaded, total, always) {
        clearTimeout(this.later);
        if (!this.clock.isDue(always)) {
            // the bytes of a burst are reported even if no more come
            this.later = setTimeout(() => this.tick(loaded, total, true), REPORT_MS);
            return;
        }
        const time = performance.now();
        this.marks.push({ time, loaded });
        while (this.marks.length > 2 && time - this.marks[0].time > 3000) this.marks.shift();
        const first = this.marks[0];
        const bytesPerSecond = time > first.time ? ((loaded - first.loaded) / (time - first.time)) * 1000 : 0;
        const secondsLeft = total > 0 && bytesPerSecond > 0 ? Math.max(0, total - loaded) / bytesPerSecond : null;
        this.report({ loaded, total, rate: bytesPerSecond, secondsLeft });
    }

    /**
     * @param {number} loaded
     * @param {number} total
     */
    end(loaded, total) {
        this.tick(loaded, total, true);
    }

    /** Stops the reports. */
    stop() {
        clearTimeout(this.later);
    }
}

/** Waiting so long, in ms, a server may give up a connection. */
const LONG = 10_000;

/**
 * A source that was opened a while ago, or anew.
 * @param {import('../sources/open.js').Source} source
 * @param {import('../sources/open.js').Opened} opened
 * @param {() => Promise<import('../sources/open.js').Opened>} open
 * @param {number} ms since it was opened
 */
export async function stillOpen(source, opened, open, ms) {
    if (source.kind !== 'url' || !opened.cancel || ms < LONG) return opened;
    opened.cancel();
    return open();
}

/**
 * The reports of one of several files as reports of all of them.
 * @param {(progress: Progress) => void} report
 * @param {number} before bytes of the files before
 * @param {number} after bytes of the files after it; NaN: unknown
 * @returns {(progress: Progress) => void}
 */
export const partOf =
    (report, before, after) =>
    ({ loaded, total, rate }) => {
        const whole = (total && before + total + after) || 0,
            done = before + loaded;
        report({
            loaded: done,
            total: whole,
            rate,
            secondsLeft: whole > 0 && rate > 0 ? Math.max(0, whole - done) / rate : null,
        });
    };
