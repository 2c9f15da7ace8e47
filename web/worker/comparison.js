/**
 * compare(), in the worker of one model. The base's worker gives logits and weights, some rows at a time, and the
 * other model's compares them with its own.
 */
import { NB_COMPARED_NUMBERS, NB_WEIGHT_BINS, nb_matrix_facts } from '../abi.js';
import { NibbleError } from '../errors.js';
import { TYPE_NAMES } from './planned.js';
import { cut, firstScored, windowTokens } from './windows.js';

/** @typedef {import('./engine.js').Engine} Engine */
/** @typedef {import('../protocol.js').ComparedText} ComparedText */
/** @typedef {import('../protocol.js').ComparedRows} ComparedRows */
/** @typedef {import('../protocol.js').MatrixFacts} MatrixFacts */

/** Weights that are sent at once. */
const PIECE = 1 << 18;

const refuse = (/** @type {string} */ what) => new NibbleError('NB_ERR_ARGUMENT', `compare(): ${what}`);

/** Evaluates a text, and gives the logits of the tokens that are scored, some rows at a time. */
export class TextRows {
    /**
     * @param {Engine} engine
     * @param {string | number[]} input text or tokens
     * @param {{ context?: number, stride?: number }} options
     */
    constructor(engine, input, options) {
        engine.needSession();
        this.core = engine.core;
        this.adapters = engine.adapters;
        this.vocabulary = this.core.exports.nb_model_vocabulary(engine.model);
        this.all = cut(engine, input, options, 'compare()');
        this.from = firstScored(this.all);
        this.session = this.adapters.open(this.all.context);
        this.tokens = this.core.allocate(4 * this.all.context, 'a window of the text');
        this.scores = this.core.allocate(4 * this.all.context, 'a window of the text');
        this.window = -1;
        this.done = this.all.context; // tokens of the window that were evaluated
        this.at = this.all.context; // the next one whose logits are wanted
    }

    free() {
        for (const address of [this.tokens, this.scores]) this.core.exports.nb_free(address);
        this.adapters.close(this.session);
    }

    /** @returns {ComparedText} */
    facts() {
        const { tokens, context, stride, windows, begin } = this.all;
        return { tokens, context, stride, windows, begin, first: this.from, vocabulary: this.vocabulary };
    }

    /**
     * The two models must see the same tokens.
     * @param {ComparedText} base
     */
    check(base) {
        const mine = this.facts();
        if (mine.vocabulary !== base.vocabulary)
            throw refuse(
                `the base has a vocabulary of ${base.vocabulary} tokens, and this model one of ${mine.vocabulary}: only ` +
                    'models of the same vocabulary can be compared',
            );
        const other = mine.begin !== base.begin || mine.tokens.length !== base.tokens.length;
        if (other || mine.tokens.some((token, i) => token !== base.tokens[i]))
            throw refuse(
                'the base and this model make different tokens of the text, so they have different vocabularies: only ' +
                    'models of the same vocabulary can be compared',
            );
    }

    /**
     * Evaluates until there are rows that are wanted.
     * @returns {number} how many there are; 0: the text is over
     */
    advance() {
        const { core, all, session, tokens, scores } = this;
        while (this.at >= this.done) {
            if (this.done === all.context) {
                if (++this.window === all.windows) return 0;
                core.ints(tokens, all.context).set(windowTokens(all, this.window));
                this.done = 0;
                this.at = this.from - 1;
            }
            this.done = core.count('nb_session_score', session, tokens, all.context, this.done, all.context, scores);
        }
        return Math.min(this.done, all.context - 1) - this.at;
    }

    /** The base's logits of the next tokens. @returns {ComparedRows | null} null: the text is over */
    next() {
        const most = this.advance();
        if (most === 0) return null;
        const { core, session, at } = this;
        const rows = core.count('nb_session_project', session, at, most);
        this.pass(rows);
        return core.borrow(4, (count) => {
            const logits = core.exports.nb_session_logits(session, count) >>> 0;
            return {
                window: this.window,
                first: at,
                rows,
                logits: core.floats(logits, rows * this.vocabulary).slice(),
            };
        });
    }

    /** @param {number} rows that are done; the last token of a window has no next one */
    pass(rows) {
        this.at += rows;
        if (this.at === this.all.context - 1) this.at = this.all.context;
    }

    /**
     * Compares this model's logits of the same tokens with the base's.
     * @param {ComparedRows} base
     * @returns {Float64Array} [rows, NB_COMPARED_NUMBERS]
     */
    compare({ window, first, rows, logits }) {
        const { core, session } = this;
        const most = this.advance();
        if (window !== this.window || first !== this.at || rows > most)
            throw new NibbleError('NB_ERR_STATE', 'compare(): the two models are not at the same place of the text');
        const numbers = rows * NB_COMPARED_NUMBERS;
        const found = core.borrow(8 * numbers + 4 * logits.length, (out) => {
            const base = out + 8 * numbers;
            core.floats(base, logits.length).set(logits);
            const next = this.tokens + 4 * (first + 1);
            core.count('nb_session_compare', session, first, rows, base, next, out);
            return new Float64Array(core.memory.buffer, out, numbers).slice();
        });
        this.pass(rows);
        return found;
    }
}

/**
 * The model's matrices.
 * @param {Engine} engine
 * @returns {MatrixFacts[]}
 */
export function matricesOf({ core, model }) {
    const n = core.exports.nb_model_matrices(model),
        { size, fields } = nb_matrix_facts;
    return Array.from({ length: n }, (_, i) =>
        core.borrow(size, (at) => {
            core.count('nb_model_matrix', model, i, at);
            const view = new DataView(core.memory.buffer, at, size);
            const kind = core.bytes(at + fields.kind.at, size - fields.kind.at);
            const layer = view.getInt32(fields.layer.at, true);
            return {
                kind: core.string(at + fields.kind.at, kind.indexOf(0)).replace(/\.weight$/, ''),
                layer: layer < 0 ? null : layer,
                type: TYPE_NAMES.get(view.getUint32(fields.type.at, true)) ?? 'unknown',
                rows: view.getUint32(fields.rows.at, true),
                columns: view.getUint32(fields.columns.at, true),
            };
        }),
    );
}

/** Root mean squares of the matrices, the unit of the histograms. @param {Engine} engine @param {number} n */
export const unitsOf = ({ core, model }, n) =>
    Array.from({ length: n }, (_, i) => core.exports.nb_model_matrix_rms(model, i));

/**
 * The next rows of a matrix.
 * @param {Engine} engine
 * @param {{ matrix: number, row: number, rows: number, columns: number }} ask rows, columns: of the whole matrix
 * @returns {Float32Array} [some rows, columns]
 */
export const weightsOf = ({ core, model }, { matrix, row, rows, columns }) => {
    const some = Math.min(rows - row, Math.max(1, Math.floor(PIECE / columns)));
    return core.borrow(4 * some * columns, (out) => {
        core.count('nb_model_weights', model, matrix, row, some, out);
        return core.floats(out, some * columns).slice();
    });
};

/**
 * Compares rows of a matrix with the base's.
 * @param {Engine} engine
 * @param {{ matrix: number, row: number, rows: number, unit: number, weights: Float32Array }} base
 * @returns {import('../protocol.js').ComparedWeights}
 */
export function compareWeights({ core, model }, { matrix, row, rows, unit, weights }) {
    const sums = 16 + 8 * NB_WEIGHT_BINS;
    return core.borrow(sums + 4 * weights.length, (at) => {
        core.bytes(at, sums).fill(0);
        core.floats(at + sums, weights.length).set(weights);
        core.count('nb_model_weights_compare', model, matrix, row, rows, at + sums, unit, at, at + 16);
        const [difference, base] = new Float64Array(core.memory.buffer, at, 2);
        const bins = new Uint32Array(core.memory.buffer, at + 16, 2 * NB_WEIGHT_BINS).slice();
        return { difference, base, before: bins.slice(0, NB_WEIGHT_BINS), after: bins.slice(NB_WEIGHT_BINS) };
    });
}
