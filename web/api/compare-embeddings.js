/** compareEmbeddings(): a base and other models that embed the same passages of a text, and their weights. */
import { NibbleError } from '../errors.js';
import { EMBEDDING_COMPARE_OPTIONS } from '../options.js';
import { ReportClock } from '../report-clock.js';
import { CompareRun, checkCompare, refuse } from './compare-run.js';
import { Model } from './model.js';
import { fitting, passagesOf, SHORTEST } from './passages.js';
import { VectorComparison } from './similarity.js';

/** @typedef {import('./compare-run.js').Entry} Entry */
/** @typedef {import('./compare-run.js').Opened} Opened */

const CALLER = 'compareEmbeddings()';
/** Three passages are three pairs, the fewest whose order says anything. */
const FEWEST = EMBEDDING_COMPARE_OPTIONS.passages.min ?? 3;

/** @type {typeof import('../index.d.ts').compareEmbeddings} */
export async function compareEmbeddings(models, options) {
    const asked = checkCompare(CALLER, EMBEDDING_COMPARE_OPTIONS, models, options);
    const passages = passagesIn(options?.text).slice(0, asked.checked.passages);
    if (passages.length < FEWEST)
        throw refuse(
            CALLER,
            `the text has ${passages.length} passages of more than ${SHORTEST} characters, ` +
                `and at least ${FEWEST} are needed`,
        );
    const run = new Run(asked, passages);
    return run.all(() => run.measure());
}

/** @param {unknown} text a text, or its passages @returns {string[]} */
function passagesIn(text) {
    if (typeof text === 'string') return passagesOf(text);
    if (!Array.isArray(text) || text.some((passage) => typeof passage !== 'string'))
        throw refuse(CALLER, 'text must be a text or an array of texts');
    const empty = text.findIndex((passage) => passage.trim() === '');
    if (empty >= 0) throw refuse(CALLER, `passage ${empty} is empty`);
    return text;
}

class Run extends CompareRun {
    /** @param {ReturnType<typeof checkCompare>} asked @param {string[]} passages */
    constructor(asked, passages) {
        super(asked);
        this.passages = passages;
        /** Numbers in a vector of the base. @type {number | undefined} */
        this.size = undefined;
    }

    /** @type {CompareRun['checkInfo']} */
    checkInfo(entry, { embedding }) {
        if (!embedding) throw new NibbleError('NB_ERR_UNSUPPORTED', 'this model does not embed texts');
        if (entry === this.base) this.size = embedding.size;
        else if (this.size !== undefined && embedding.size !== this.size)
            throw this.refuse(
                `its vectors have ${embedding.size} numbers, and those of the base (${this.base.name}) ${this.size}`,
            );
    }

    async measure() {
        const { base, others, passages } = this;
        const opened = await this.named(base, () => this.load(base, this.checked.context)),
            { link } = opened;
        const texts = await this.named(base, () => this.cut(opened));
        this.total = (others.length + 1) * passages.length;
        this.clock = new ReportClock(); // loading does not count
        const { facts, vectors, tokens } = await this.named(base, () => this.embed(base, opened, texts)),
            comparison = new VectorComparison(vectors),
            matrices = await this.matricesOf(link);
        this.size = vectors[0].length;
        if (!matrices) await this.end(link);
        const models = [];
        for (const entry of others)
            models.push(
                await this.named(entry, async () => {
                    const own = await this.load(entry, this.checked.context),
                        { facts, vectors } = await this.embed(entry, own, texts);
                    if (vectors[0].length !== this.size)
                        throw this.refuse('its vectors are not as long as those of the base');
                    const weights = matrices && (await this.compareWeights(entry, link, own.link, matrices));
                    await this.end(own.link);
                    return { ...facts, ...comparison.figures(vectors), ...(weights ? { weights } : {}) };
                }),
            );
        return { base: facts, models, passages: passages.length, tokens };
    }

    /**
     * The passages, without what is beyond the base's context.
     * @param {Opened} opened
     */
    async cut({ link, info }) {
        const model = new Model(link, info),
            texts = [];
        for (const passage of this.passages) texts.push(await fitting(model, passage));
        return texts;
    }

    /**
     * The vectors of the passages, and how fast they are made.
     * @param {Entry} entry
     * @param {Opened} opened
     * @param {string[]} texts
     */
    async embed(entry, { link, info }, texts) {
        const model = new Model(link, info),
            { signal } = this,
            vectors = [];
        if (this.checked.speed) await model.embed(texts[0], { signal }); // to warm up
        let tokens = 0,
            milliseconds = 0;
        for (const text of texts) {
            const began = performance.now();
            const embedded = await model.embedCounted(text, { signal });
            milliseconds += performance.now() - began;
            tokens += embedded.tokens;
            vectors.push(embedded.vector);
            this.done++;
            await this.report(entry, 'text', this.done === this.total);
        }
        const speed = this.checked.speed && milliseconds > 0 ? { tokensPerSecond: (tokens / milliseconds) * 1000 } : {};
        return { facts: { ...this.sizesOf(entry, info), ...speed }, vectors, tokens };
    }
}
