/**
 * Parts of a model: the converter makes a GGUF of some of the tensors. The engine loads it, or its tensors are kept.
 */
import { NB_TENSOR_ABSENT, NB_TENSOR_BLANK, NB_TENSOR_MADE } from '../abi.js';
import { BufferPool } from './buffer-pool.js';
import { loadModel } from './load-model.js';
import { planned, plannedTensors } from './planned.js';

/** @typedef {import('../sources/open.js').Sink} Sink */

/** The token embedding. */
const EMBEDDING = 'token_embd.weight';

/** Some of the tensors, as the converter makes them. */
export class Tensors {
    /** @param {import('./convert.js').Conversion} conversion */
    constructor(conversion) {
        this.conversion = conversion;
        this.isFirst = true;
        /** Buffers for the weights that are kept. */
        this.buffers = new BufferPool();
    }

    free() {
        this.conversion.free();
    }

    /**
     * Chooses the tensors of the next GGUF. An order of columns goes with its matrix, as the converter makes both of
     * the same tensors.
     * @param {(name: string) => number} how
     */
    include(how) {
        const { core, converter } = this.conversion;
        if (!this.isFirst) this.conversion.again();
        this.isFirst = false;
        for (const { i, name } of plannedTensors(core, converter))
            core.count('nb_converter_include', converter, i, how(name.replace(/\.order$/, '.weight')));
    }

    /**
     * Reads tensors, without loading a model.
     * @param {(name: string) => boolean} isKept
     * @returns {Promise<Map<string, { from: string, weights: Uint8Array }>>} these
     */
    read(isKept) {
        const room = new Uint8Array(1 << 16);
        return this.make(isKept, isKept, (copying) =>
            this.conversion.write(copying({ room: () => room, commit: () => {} })),
        );
    }

    /**
     * @param {(name: string) => boolean} isIncluded
     * @param {(name: string) => boolean} isKept
     * @param {(copying: (sink: Sink, hash?: import('./blocks.js').Hash) => Sink) => Promise<void>} write
     */
    async make(isIncluded, isKept, write) {
        const { core, converter } = this.conversion;
        this.include((name) => (isIncluded(name) ? NB_TENSOR_MADE : NB_TENSOR_ABSENT));
        const tensors = plannedTensors(core, converter).filter(({ name }) => isIncluded(name) && isKept(name));
        /** @type {Map<string, { from: string, weights: Uint8Array }>} */
        const kept = new Map();
        const place = () => {
            const places = tensors.map(({ i }) => planned(core, converter, i));
            this.buffers.empty();
            return tensors.map(({ name, type }, k) => {
                const { at, bytes } = places[k],
                    weights = this.buffers.take(bytes);
                kept.set(name, { from: type, weights });
                return { at, bytes: weights };
            });
        };
        await write((sink, hash) => copying(sink, place, hash));
        return kept;
    }
}

/** Models in the engine that have some of the tensors, one after the other. */
export class Parts extends Tensors {
    /**
     * @param {import('./convert.js').Conversion} conversion
     * @param {import('./engine.js').Engine} engine
     */
    constructor(conversion, engine) {
        super(conversion);
        this.engine = engine;
    }

    free() {
        super.free();
        this.freeModel();
    }

    freeModel() {
        const { engine } = this;
        if (engine.model) engine.core.exports.nb_model_free(engine.model);
        engine.model = 0;
    }

    /** A model that has the vocabulary, and no weights. */
    async loadHeader() {
        this.include((name) => (name === EMBEDDING ? NB_TENSOR_BLANK : NB_TENSOR_ABSENT));
        await this.#load({ part: true, headerOnly: true }, (sink) => sink);
    }

    /**
     * From now on the token embedding has only the rows of these tokens.
     * @param {Int32Array} tokens
     * @returns {Int32Array} the tokens as numbers of rows
     */
    pickTokens(tokens) {
        this.conversion.again();
        this.isFirst = true; // nothing of the next GGUF is settled
        const { core, converter } = this.conversion,
            plan = plannedTensors(core, converter),
            rows = new Int32Array(new Set(tokens)).sort();
        const i = plan.findIndex(({ name }) => name === EMBEDDING);
        // an output bias has the size of the vocabulary, and would no longer fit
        if (i < 0 || plan.some(({ name }) => name === 'output.bias')) return tokens;
        const picked = core.borrow(4 * rows.length, (at) => {
            core.ints(at, rows.length).set(rows);
            return core.count('nb_converter_pick', converter, i, at, rows.length);
        });
        const places = new Map(Array.from(rows, (token, row) => [token, row]));
        return picked ? tokens.map((token) => /** @type {number} */ (places.get(token))) : tokens;
    }

    /**
     * @param {Parameters<typeof loadModel>[2]} options
     * @param {(sink: Sink) => Sink} through
     */
    async #load(options, through) {
        const { conversion, engine } = this,
            source = { total: 0, into: (/** @type {Sink} */ sink) => conversion.write(through(sink)) };
        engine.model = await loadModel(engine, source, options, () => {});
    }

    /**
     * @param {(name: string) => boolean} isIncluded whether the model has the tensor
     * @param {(name: string) => boolean} isKept whether its bytes are returned, too
     * @param {import('./blocks.js').Hash} [hash] of all that the engine is given
     * @param {Parameters<typeof loadModel>[2]} [options]
     * @returns {Promise<Map<string, { from: string, weights: Uint8Array }>>} these, of the type `from`; valid until
     *     the next call
     */
    async load(isIncluded, isKept = () => false, hash = undefined, options = { part: true }) {
        return this.make(isIncluded, isKept, (copying) => this.#load(options, (sink) => copying(sink, hash)));
    }
}

/**
 * A sink that also copies some ranges of the bytes.
 * @param {import('../sources/open.js').Sink} sink
 * @param {() => { at: number, bytes: Uint8Array }[]} place asked once, when the header is known: where to copy to
 * @param {import('./blocks.js').Hash} [hash] of all bytes
 * @returns {import('../sources/open.js').Sink}
 */
export function copying(sink, place, hash) {
    /** @type {{ at: number, bytes: Uint8Array }[] | undefined} */
    let places;
    let written = 0;
    /** @type {Uint8Array} */
    let room;
    return {
        ready: sink.ready,
        room: () => (room = sink.room()),
        commit(n) {
            places ??= place();
            for (const { at, bytes } of places) {
                const begin = Math.max(at, written),
                    end = Math.min(at + bytes.length, written + n);
                if (begin < end) bytes.set(room.subarray(begin - written, end - written), begin - at);
            }
            hash?.update(room.subarray(0, n));
            written += n;
            sink.commit(n);
        },
    };
}
