/**
 * What compare() and compareEmbeddings() share: models that are opened by turns, each in a worker of its own, their
 * headers, and the comparison of their weights.
 */
import { ASSET_OPTIONS } from '../assets.js';
import { checkOptions } from '../checks.js';
import { asNibbleError, NibbleError } from '../errors.js';
import { ReportClock } from '../report-clock.js';
import { bitsPerWeight, simulatedOf } from '../simulated.js';
import { openModel } from './loading.js';
import { callListener } from './pull.js';
import { abortReason, checkSignal } from './requests.js';

/** @typedef {import('../index.d.ts').Source} Source */
/** @typedef {import('../index.d.ts').ModelInfo} ModelInfo */
/** @typedef {import('../index.d.ts').CompareProgress} CompareProgress */
/** @typedef {import('./link.js').Link} Link */
/** @typedef {{ name: string, source: Source }} Entry */
/** @typedef {{ link: Link, info: ModelInfo }} Opened */
/** What the options of either function say.
 * @typedef {import('../options.js').CheckedCompare & { passages?: number }} Checked */

/** @param {string} caller for messages @param {string} what */
export const refuse = (caller, what) => new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${what}`);

/**
 * Checks what both functions are given.
 * @param {string} caller
 * @param {Record<string, import('../checks.js').Option>} table of the function's own options
 * @param {any} models
 * @param {Omit<import('../index.d.ts').CompareOptions, 'text'>} options
 */
export function checkCompare(caller, table, models, options) {
    const others = ['text', 'onProgress', 'signal', ...ASSET_OPTIONS];
    const checked = /** @type {Checked} */ (checkOptions(table, options, caller, others));
    if (!Array.isArray(models)) throw refuse(caller, 'the models must be an array, the first of which is the base');
    if (models.length < 2) throw refuse(caller, 'give a base and at least one model to compare with it');
    const entries = models.map((given, i) => entryOf(caller, given, i));
    for (const [i, { name, source }] of entries.entries())
        if (entries.slice(0, i).some((other) => isSame(other.source, source)))
            throw refuse(caller, `${name} is given twice`);
    const { onProgress } = options ?? {};
    if (onProgress !== undefined && typeof onProgress !== 'function')
        throw refuse(caller, 'onProgress must be a function');
    const assets = Object.fromEntries(ASSET_OPTIONS.map((name) => [name, /** @type {any} */ (options)?.[name]]));
    return { caller, entries, checked, assets, onProgress, signal: checkSignal(caller, options?.signal) };
}

/** @param {string} caller @param {any} given a source, or one with a name @param {number} i @returns {Entry} */
function entryOf(caller, given, i) {
    const named = given !== null && typeof given === 'object' && 'source' in given;
    const source = named ? given.source : given;
    const name = named ? given.name : undefined;
    if (name !== undefined && typeof name !== 'string') throw refuse(caller, `the name of model ${i} must be a text`);
    const own = typeof source === 'string' ? source : (source?.name ?? source?.href);
    return { source, name: name ?? (own || (i === 0 ? 'base' : `model ${i}`)) };
}

/** @param {any} a @param {any} b */
const isSame = (a, b) => a === b || (a?.href !== undefined && a.href === b?.href);

/** Whether it can be opened twice. @param {any} source */
const isStream = (source) => typeof source?.getReader === 'function';

export class CompareRun {
    /** @param {ReturnType<typeof checkCompare>} asked */
    constructor({ caller, entries, checked, assets, onProgress, signal }) {
        const [base, ...others] = entries;
        this.caller = caller;
        this.base = base;
        this.others = others;
        this.checked = checked;
        this.assets = assets;
        this.signal = signal;
        this.onProgress = onProgress;
        /** @type {Set<Link>} */
        this.links = new Set();
        /** Bytes of models whose header was read. @type {Map<Entry, number>} */
        this.sizes = new Map();
        /** Tokens or passages of all models, and how many of them are done. */
        this.total = 0;
        this.done = 0;
        this.clock = new ReportClock();
    }

    /**
     * Runs a comparison, and ends the workers in any case.
     * @template T
     * @param {() => Promise<T>} measure
     * @returns {Promise<T>}
     */
    async all(measure) {
        const { signal } = this;
        const abort = () => this.close(abortReason(signal));
        signal?.addEventListener('abort', abort);
        try {
            this.checkAborted();
            await this.checkHeaders();
            return await measure();
        } catch (error) {
            throw signal?.aborted ? abortReason(signal) : asNibbleError(error);
        } finally {
            signal?.removeEventListener('abort', abort);
            this.close(new NibbleError('NB_ERR_STATE', `${this.caller}: it is over`));
        }
    }

    /** @param {string} what */
    refuse(what) {
        return refuse(this.caller, what);
    }

    /** @param {unknown} reason */
    close(reason) {
        for (const link of this.links) link.close(reason);
        this.links.clear();
    }

    checkAborted() {
        if (this.signal?.aborted) throw abortReason(this.signal);
    }

    /**
     * Puts the model's name into errors about it.
     * @template T
     * @param {Entry} entry
     * @param {() => Promise<T>} act
     * @returns {Promise<T>}
     */
    async named({ name }, act) {
        try {
            return await act();
        } catch (error) {
            if (this.signal?.aborted || !(error instanceof NibbleError)) throw error;
            const message = error.message.replace(/^\w+\(\): /, '');
            throw new NibbleError(
                error.code,
                `${this.caller}: ${message.includes(name) ? '' : `${name}: `}${message}`,
                {
                    cause: error,
                },
            );
        }
    }

    /**
     * @param {Entry} entry
     * @param {import('../index.d.ts').LoadOptions} extra
     * @returns {Promise<Opened>}
     */
    async open({ source }, extra) {
        const { threads, kvType, precision, build } = this.checked;
        this.checkAborted();
        const opened = await openModel(source, {
            threads,
            kvType,
            precision,
            build,
            ...this.assets,
            signal: this.signal,
            ...extra,
        });
        this.links.add(opened.link);
        this.checkAborted();
        return opened;
    }

    /** Refuses models by their headers, before anything takes long. */
    async checkHeaders() {
        /** @type {number | undefined} */
        let vocabulary;
        for (const entry of [this.base, ...this.others]) {
            if (isStream(entry.source)) continue; // it can be read once
            await this.named(entry, async () => {
                await this.report(entry, 'loading', true);
                const { link, info } = await this.open(entry, { headerOnly: true });
                await this.end(link);
                this.sizes.set(entry, info.bytes);
                if (info.unsupported) throw new NibbleError('NB_ERR_UNSUPPORTED', info.unsupported);
                this.checkInfo(entry, info);
                if (entry === this.base) vocabulary = info.vocabulary;
                else if (vocabulary !== undefined && info.vocabulary !== vocabulary)
                    throw this.refuse(
                        `it has a vocabulary of ${info.vocabulary} tokens, and the base (${this.base.name}) one of ${
                            vocabulary
                        }: only models of the same vocabulary can be compared`,
                    );
            });
        }
    }

    /**
     * Refuses a model that cannot be compared in this way.
     * @param {Entry} _entry
     * @param {ModelInfo} _info
     */
    checkInfo(_entry, _info) {}

    /**
     * @param {Entry} entry
     * @param {number} [contextLength] default: load()'s
     */
    async load(entry, contextLength) {
        await this.report(entry, 'loading', true);
        return this.open(entry, { contextLength });
    }

    /** @param {Link} link */
    async end(link) {
        await link.dispose();
        this.links.delete(link);
    }

    /**
     * What is known of a loaded model without measuring it.
     * @param {Entry} entry
     * @param {ModelInfo} info
     */
    sizesOf({ name }, info) {
        const { bytes, parameters, memoryBytes } = info,
            simulated = simulatedOf(info);
        return {
            ...{ name, bytes, parameters, bitsPerWeight: bitsPerWeight(info), memoryBytes },
            ...(simulated && { simulated }),
        };
    }

    /** The base's matrices, if weights are compared. @param {Link} link */
    async matricesOf(link) {
        return this.checked.weights ? link.request('compareMatrices', { units: true }, {}) : undefined;
    }

    /**
     * Errors of all matrices that both models have in the same shape, and histograms of their weights by kind.
     * @param {Entry} entry
     * @param {Link} base
     * @param {Link} link
     * @param {import('../protocol.js').AnswerOf<'compareMatrices'>} all the base's
     */
    async compareWeights(entry, base, link, { matrices, units }) {
        const mine = (await link.request('compareMatrices', { units: false }, {})).matrices;
        /** @type {import('../index.d.ts').ComparedMatrix[]} */
        const errors = [];
        /** @type {Map<string, { before: number[], after: number[] }>} */
        const histograms = new Map();
        let difference = 0,
            size = 0;
        for (const [i, theirs] of matrices.entries()) {
            const { kind, layer, rows, columns } = theirs;
            const matrix = mine.findIndex((own) => own.kind === kind && own.layer === layer);
            const own = mine[matrix];
            if (!own || own.rows !== rows || own.columns !== columns) continue;
            const sums = { difference: 0, base: 0 };
            for (let row = 0; row < rows; ) {
                const weights = await base.request('compareTake', { ask: { matrix: i, row, rows, columns } }, {});
                const some = weights.length / columns;
                const ask = { matrix, row, rows: some, unit: units[i], weights };
                const part = await link.request('compareWeights', { base: ask }, {});
                sums.difference += part.difference;
                sums.base += part.base;
                addHistograms(histograms, kind, part);
                row += some;
                await this.report(entry, 'weights', false);
            }
            difference += sums.difference;
            size += sums.base;
            errors.push({
                kind,
                layer,
                baseType: theirs.type,
                type: own.type,
                error: Math.sqrt(sums.difference / (sums.base || 1)),
            });
        }
        return {
            error: Math.sqrt(difference / (size || 1)),
            matrices: errors,
            histograms: [...histograms].map(([kind, counts]) => ({ kind, ...counts })),
        };
    }

    /**
     * @param {Entry} entry
     * @param {CompareProgress['doing']} doing
     * @param {boolean} always
     */
    async report({ name }, doing, always) {
        if (!this.onProgress || !this.clock.isDue(always)) return;
        const { done, total } = this,
            secondsLeft = this.clock.left(done / total);
        await callListener(this.caller, 'onProgress', () =>
            this.onProgress?.({ model: name, doing, done, total, secondsLeft }),
        );
    }
}

/**
 * @param {Map<string, { before: number[], after: number[] }>} histograms
 * @param {string} kind
 * @param {import('../protocol.js').ComparedWeights} part
 */
function addHistograms(histograms, kind, { before, after }) {
    const known = histograms.get(kind);
    if (!known) return void histograms.set(kind, { before: Array.from(before), after: Array.from(after) });
    for (let i = 0; i < before.length; i++) {
        known.before[i] += before[i];
        known.after[i] += after[i];
    }
}
