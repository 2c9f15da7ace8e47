/**
 * compare(): a base and other models over the same text, and their weights. Each model has a worker of its own. What
 * the base computes goes to the others some rows at a time, and is compared there. Beside the base as many models are
 * loaded at a time as are small enough together; for the next ones it goes through the text again.
 */
import {
    NB_COMPARED_BASE,
    NB_COMPARED_DIVERGENCE,
    NB_COMPARED_NUMBERS,
    NB_COMPARED_OTHER,
    NB_COMPARED_SAME_TOP,
} from '../abi.js';
import { ASSET_OPTIONS } from '../assets.js';
import { checkOptions } from '../checks.js';
import { asNibbleError, NibbleError } from '../errors.js';
import { COMPARE_OPTIONS } from '../options.js';
import { ReportClock } from '../report-clock.js';
import { bitsPerWeight, simulatedOf } from '../simulated.js';
import { openModel } from './loading.js';
import { isTokens, Model } from './model.js';
import { callListener } from './pull.js';
import { measureRates, promptMaker } from './rates.js';
import { abortReason, checkSignal } from './requests.js';
import { divergenceFigures, meanOf, perplexityOf } from './statistics.js';

/** @typedef {import('../index.d.ts').CompareOptions} CompareOptions */
/** @typedef {import('../index.d.ts').ComparedFacts} ComparedFacts */
/** @typedef {import('../index.d.ts').Source} Source */
/** @typedef {import('./link.js').Link} Link */
/** @typedef {{ name: string, source: Source }} Entry */
/** @typedef {{ link: Link, info: import('../index.d.ts').ModelInfo }} Opened */

/** The most bytes of the models that are loaded together with the base. A larger model is loaded alone. */
const TOGETHER = 1 << 29;
/** The run that measures tokens per second. */
const PROMPT_TOKENS = 128,
    GENERATED_TOKENS = 32,
    REPETITIONS = 3;
/** Default context of the models: perplexity()'s, which is enough for that run. */
const CONTEXT = 512;

const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `compare(): ${what}`);

/** @type {typeof import('../index.d.ts').compare} */
export async function compare(models, options) {
    const run = new Run(check(models, options), options);
    return run.all();
}

/**
 * @param {Parameters<typeof compare>[0]} models
 * @param {CompareOptions} options
 */
function check(models, options) {
    const others = ['text', 'onProgress', 'signal', ...ASSET_OPTIONS];
    const checked = checkOptions(COMPARE_OPTIONS, options, 'compare()', others);
    if (!Array.isArray(models)) throw refuse('the models must be an array, the first of which is the base');
    if (models.length < 2) throw refuse('give a base and at least one model to compare with it');
    const entries = models.map(entryOf);
    for (const [i, { name, source }] of entries.entries())
        if (entries.slice(0, i).some((other) => isSame(other.source, source))) throw refuse(`${name} is given twice`);
    const { text, onProgress } = options ?? {};
    if (typeof text !== 'string' && !isTokens(text)) throw refuse('text must be a text or an array of token ids');
    if (onProgress !== undefined && typeof onProgress !== 'function') throw refuse('onProgress must be a function');
    const input = typeof text === 'string' ? text : Array.from(/** @type {ArrayLike<number>} */ (text));
    if (input.length === 0) throw refuse('the text is empty');
    return { entries, checked, input, onProgress, signal: checkSignal('compare()', options.signal) };
}

/** @param {any} given a source, or one with a name @param {number} i @returns {Entry} */
function entryOf(given, i) {
    const named = given !== null && typeof given === 'object' && 'source' in given;
    const source = named ? given.source : given;
    const name = named ? given.name : undefined;
    if (name !== undefined && typeof name !== 'string') throw refuse(`the name of model ${i} must be a text`);
    const own = typeof source === 'string' ? source : (source?.name ?? source?.href);
    return { source, name: name ?? (own || (i === 0 ? 'base' : `model ${i}`)) };
}

/** @param {any} a @param {any} b */
const isSame = (a, b) => a === b || (a?.href !== undefined && a.href === b?.href);

/** Whether it can be opened twice. @param {any} source */
const isStream = (source) => typeof source?.getReader === 'function';

class Run {
    /**
     * @param {ReturnType<typeof check>} asked
     * @param {CompareOptions} options
     */
    constructor({ entries, checked, input, onProgress, signal }, options) {
        const [base, ...others] = entries;
        this.base = base;
        this.others = others;
        this.checked = checked;
        this.input = input;
        this.signal = signal;
        this.onProgress = onProgress;
        this.assets = Object.fromEntries(ASSET_OPTIONS.map((name) => [name, /** @type {any} */ (options)[name]]));
        /** @type {Set<Link>} */
        this.links = new Set();
        /** Bytes of models whose header was read. @type {Map<Entry, number>} */
        this.sizes = new Map();
        /** Tokens of all models' windows, and how many of them are done. */
        this.total = 0;
        this.done = 0;
        this.clock = new ReportClock();
    }

    async all() {
        const { signal } = this;
        const abort = () => this.close(abortReason(signal));
        signal?.addEventListener('abort', abort);
        try {
            this.checkAborted();
            await this.checkHeaders();
            return await this.measure();
        } catch (error) {
            throw signal?.aborted ? abortReason(signal) : asNibbleError(error);
        } finally {
            signal?.removeEventListener('abort', abort);
            this.close(new NibbleError('NB_ERR_STATE', 'compare(): it is over'));
        }
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
            throw new NibbleError(error.code, `compare(): ${message.includes(name) ? '' : `${name}: `}${message}`, {
                cause: error,
            });
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
                if (info.encoder || info.causal === false)
                    throw new NibbleError(
                        'NB_ERR_UNSUPPORTED',
                        `this ${info.architecture} model is not causal: it does not say which token comes next, so ` +
                            'there is nothing to compare',
                    );
                if (entry === this.base) vocabulary = info.vocabulary;
                else if (vocabulary !== undefined && info.vocabulary !== vocabulary)
                    throw refuse(
                        `it has a vocabulary of ${info.vocabulary} tokens, and the base (${this.base.name}) one of ${
                            vocabulary
                        }: only models of the same vocabulary can be compared`,
                    );
            });
        }
    }

    async measure() {
        const { base, others, checked } = this;
        const opened = await this.named(base, () => this.load(base)),
            { link } = opened;
        const facts = await this.named(base, () => this.facts(base, opened));
        const text = await this.named(base, () => this.begin(link));
        const matrices = checked.weights ? await link.request('compareMatrices', { units: true }, {}) : undefined;
        this.total = others.length * text.windows * text.context;
        this.clock = new ReportClock(); // loading and measuring speed do not count
        const losses = new Float64Array(text.windows * (text.context - text.first));
        const models = [];
        for (const [i, group] of this.groups().entries()) {
            if (i > 0) await this.begin(link);
            models.push(...(await this.compareGroup(group, link, text, losses, matrices)));
        }
        return {
            base: { ...facts, ...perplexityOf(losses) },
            models,
            tokens: losses.length,
            windows: text.windows,
            context: text.context,
            stride: text.stride,
            firstPosition: text.first,
        };
    }

    /** The models in groups that are loaded at the same time. */
    groups() {
        /** @type {Entry[][]} */
        const groups = [];
        let bytes = Infinity;
        for (const entry of this.others) {
            const own = this.sizes.get(entry) ?? TOGETHER;
            if (bytes + own > TOGETHER) {
                groups.push([]);
                bytes = 0;
            }
            bytes += own;
            groups[groups.length - 1].push(entry);
        }
        return groups;
    }

    /**
     * Opens the text in a worker.
     * @param {Link} link
     * @param {import('../protocol.js').ComparedText} [base]
     */
    begin(link, base) {
        const { context, stride } = this.checked;
        return link.request('compareBegin', { input: this.input, options: { context, stride }, base }, {});
    }

    /** @param {Entry} entry */
    async load(entry) {
        await this.report(entry, 'loading', true);
        return this.open(entry, { contextLength: this.checked.context ?? CONTEXT });
    }

    /** @param {Link} link */
    async end(link) {
        await link.dispose();
        this.links.delete(link);
    }

    /**
     * @param {Entry} entry
     * @param {Opened} opened
     * @returns {Promise<Omit<ComparedFacts, 'perplexity' | 'standardError'>>}
     */
    async facts(entry, { link, info }) {
        const { bytes, parameters, memoryBytes, contextLength, vocabulary = 1 } = info;
        await this.report(entry, 'speed', true);
        const generateTokens = Math.min(GENERATED_TOKENS, contextLength >> 2),
            promptTokens = Math.min(PROMPT_TOKENS, contextLength - generateTokens);
        const rates = this.checked.speed
            ? await measureRates(new Model(link, info), promptMaker(vocabulary, promptTokens), {
                  generateTokens,
                  repetitions: REPETITIONS,
                  signal: this.signal,
              })
            : {};
        const simulated = simulatedOf(info);
        return {
            ...{ name: entry.name, bytes, parameters, bitsPerWeight: bitsPerWeight(info), memoryBytes },
            ...(simulated && { simulated }),
            ...rates,
        };
    }

    /**
     * @param {Entry[]} group
     * @param {Link} base
     * @param {import('../protocol.js').ComparedText} text
     * @param {Float64Array} losses receives the base's loss at each token
     * @param {import('../protocol.js').AnswerOf<'compareMatrices'>} [matrices] the base's
     * @returns {Promise<import('../index.d.ts').ComparedModel[]>}
     */
    async compareGroup(group, base, text, losses, matrices) {
        const members = [];
        for (const entry of group)
            members.push(
                await this.named(entry, async () => {
                    const opened = await this.load(entry);
                    const facts = await this.facts(entry, opened);
                    await this.begin(opened.link, text);
                    return { entry, link: opened.link, facts, numbers: newNumbers(losses.length) };
                }),
            );
        await this.compareText(members, base, text);
        losses.set(column(members[0].numbers, NB_COMPARED_BASE));
        const results = [];
        for (const { entry, link, facts, numbers } of members) {
            const weights =
                matrices && (await this.named(entry, () => this.compareWeights(entry, base, link, matrices)));
            await this.end(link);
            const own = column(numbers, NB_COMPARED_OTHER);
            results.push({
                ...facts,
                ...perplexityOf(own),
                logRatio: meanOf(own.map((loss, i) => loss - losses[i])),
                divergence: divergenceFigures(column(numbers, NB_COMPARED_DIVERGENCE), text.windows),
                sameTop: meanOf(column(numbers, NB_COMPARED_SAME_TOP)),
                ...(weights ? { weights } : {}),
            });
        }
        return results;
    }

    /**
     * @param {{ entry: Entry, link: Link, numbers: Float64Array }[]} members their numbers are filled
     * @param {Link} base
     * @param {import('../protocol.js').ComparedText} text
     */
    async compareText(members, base, { windows, context }) {
        const before = this.done,
            all = windows * context;
        for (let at = 0; ; ) {
            const rows = await base.request('compareNext', {}, {});
            if (!rows) return;
            for (const { entry, link, numbers } of members)
                numbers.set(await this.named(entry, () => link.request('compareRows', { rows }, {})), at);
            at += rows.rows * NB_COMPARED_NUMBERS;
            const done = rows.window * context + rows.first + rows.rows + 1;
            this.done = before + done * members.length;
            await this.report(members[members.length - 1].entry, 'text', done === all);
        }
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
     * @param {import('../index.d.ts').CompareProgress['doing']} doing
     * @param {boolean} always
     */
    async report({ name }, doing, always) {
        if (!this.onProgress || !this.clock.isDue(always)) return;
        const { done, total } = this,
            secondsLeft = this.clock.left(done / total);
        await callListener('compare()', 'onProgress', () =>
            this.onProgress?.({ model: name, doing, done, total, secondsLeft }),
        );
    }
}

/** @param {number} tokens */
const newNumbers = (tokens) => new Float64Array(tokens * NB_COMPARED_NUMBERS);

/** @param {Float64Array} numbers [tokens, NB_COMPARED_NUMBERS] @param {number} which */
const column = (numbers, which) =>
    Float64Array.from(
        { length: numbers.length / NB_COMPARED_NUMBERS },
        (_, i) => numbers[i * NB_COMPARED_NUMBERS + which],
    );

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
