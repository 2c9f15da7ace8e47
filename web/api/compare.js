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
import { NibbleError } from '../errors.js';
import { COMPARE_OPTIONS } from '../options.js';
import { ReportClock } from '../report-clock.js';
import { CompareRun, checkCompare, refuse } from './compare-run.js';
import { isTokens, Model } from './model.js';
import { measureRates, promptMaker } from './rates.js';
import { divergenceFigures, meanOf, perplexityOf } from './statistics.js';

/** @typedef {import('../index.d.ts').ComparedFacts} ComparedFacts */
/** @typedef {import('./compare-run.js').Entry} Entry */
/** @typedef {import('./compare-run.js').Opened} Opened */
/** @typedef {import('./link.js').Link} Link */

/** The most bytes of the models that are loaded together with the base. A larger model is loaded alone. */
const TOGETHER = 1 << 29;
/** The run that measures tokens per second. */
const PROMPT_TOKENS = 128,
    GENERATED_TOKENS = 32,
    REPETITIONS = 3;

/** Default context of the models: perplexity()'s, which is enough for that run. */
const CONTEXT = 512;

const CALLER = 'compare()';

/** @type {typeof import('../index.d.ts').compare} */
export async function compare(models, options) {
    const asked = checkCompare(CALLER, COMPARE_OPTIONS, models, options);
    const { text } = options ?? {};
    if (typeof text !== 'string' && !isTokens(text))
        throw refuse(CALLER, 'text must be a text or an array of token ids');
    const input = typeof text === 'string' ? text : Array.from(/** @type {ArrayLike<number>} */ (text));
    if (input.length === 0) throw refuse(CALLER, 'the text is empty');
    const run = new Run(asked, input);
    return run.all(() => run.measure());
}

class Run extends CompareRun {
    /** @param {ReturnType<typeof checkCompare>} asked @param {string | number[]} input */
    constructor(asked, input) {
        super(asked);
        this.input = input;
    }

    /** @type {CompareRun['checkInfo']} */
    checkInfo(_, { encoder, causal, architecture }) {
        if (encoder || causal === false)
            throw new NibbleError(
                'NB_ERR_UNSUPPORTED',
                `this ${architecture} model is not causal: it does not say which token comes next. ` +
                    'compareEmbeddings() compares models that embed texts',
            );
    }

    /** @param {Entry} entry */
    async load(entry) {
        return super.load(entry, this.checked.context ?? CONTEXT);
    }

    async measure() {
        const { base, others } = this;
        const opened = await this.named(base, () => this.load(base)),
            { link } = opened;
        const facts = await this.named(base, () => this.facts(base, opened));
        const text = await this.named(base, () => this.begin(link));
        const matrices = await this.matricesOf(link);
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

    /**
     * @param {Entry} entry
     * @param {Opened} opened
     * @returns {Promise<Omit<ComparedFacts, 'perplexity' | 'standardError'>>}
     */
    async facts(entry, { link, info }) {
        await this.report(entry, 'speed', true);
        const { contextLength, vocabulary = 1 } = info,
            generateTokens = Math.min(GENERATED_TOKENS, contextLength >> 2),
            promptTokens = Math.min(PROMPT_TOKENS, contextLength - generateTokens);
        const rates = this.checked.speed
            ? await measureRates(new Model(link, info), promptMaker(vocabulary, promptTokens), {
                  generateTokens,
                  repetitions: REPETITIONS,
                  signal: this.signal,
              })
            : {};
        return { ...this.sizesOf(entry, info), ...rates };
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
        const all = windows * context;
        for (let at = 0, before = 0; ; ) {
            const rows = await base.request('compareNext', {}, {});
            if (!rows) return;
            for (const { entry, link, numbers } of members)
                numbers.set(await this.named(entry, () => link.request('compareRows', { rows }, {})), at);
            at += rows.rows * NB_COMPARED_NUMBERS;
            const done = rows.window * context + rows.first + rows.rows + 1;
            this.done += (done - before) * members.length;
            before = done;
            await this.report(members[members.length - 1].entry, 'text', done === all);
        }
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
