/** A walk of a text through a model, layer by layer (nb_walk). Quantizers that calibrate use it. */
import { NB_RANGE_BYTES, NB_WALK_ALL } from '../abi.js';
import { yieldToEvents } from '../platform.js';

/** A matrix of a group, or the matrices of all experts. part: of the layer, 0 or 1. @typedef {{ name: string,
 * columns: number, rows: number, experts: number, part: number }} Matrix */

/** Bytes of a tensor's name, and a zero. */
const MOST_NAME = 256;

/** What is done after each batch of tokens. @typedef {(share: number) => Promise<void>} Tick */

export class Walk {
    /**
     * @param {import('./engine.js').Engine} engine with its pool
     * @param {Int32Array} tokens
     * @param {number} window how many of them a window has
     */
    constructor({ core, pool }, tokens, window) {
        this.core = core;
        this.total = tokens.length;
        this.tokens = core.allocate(4 * tokens.length, 'the calibration text');
        core.ints(this.tokens, tokens.length).set(tokens);
        this.walk = core.object('nb_walk_new', pool, this.tokens, tokens.length / window, window);
    }

    free() {
        this.core.exports.nb_walk_free(this.walk);
        this.core.exports.nb_free(this.tokens);
    }

    /** @param {number} ends a model with the tensors that come before the first layer */
    begin(ends) {
        this.core.count('nb_walk_begin', this.walk, ends);
    }

    /**
     * @param {number} model which has the layer
     * @param {number} layer
     * @returns {Matrix[][]} the layer's groups: matrices that share their inputs
     */
    layer(model, layer) {
        const groups = this.core.count('nb_walk_layer', this.walk, model, layer);
        return Array.from({ length: groups }, (_, group) => this.#matrices(group));
    }

    /** @param {number} group */
    #matrices(group) {
        const { core, walk } = this;
        return core.borrow(16 + MOST_NAME, (sides) => {
            /** @type {Matrix[]} */
            const found = [];
            for (;;) {
                const at = sides + 16,
                    length = core.exports.nb_walk_matrix(walk, group, found.length, sides, at, MOST_NAME) >>> 0;
                if (length === 0) return found;
                const [columns, rows, experts, part] = core.ints(sides, 4);
                found.push({ name: core.string(at, Math.min(length, MOST_NAME - 1)), columns, rows, experts, part });
            }
        });
    }

    /**
     * @param {number} group -1: all
     * @param {number} what NB_WALK_HESSIANS, ...
     * @param {Tick} tick
     */
    observe(group, what, tick) {
        return this.#each('nb_walk_observe', [group < 0 ? NB_WALK_ALL : group, what], tick);
    }

    /** Computes the inputs of the next layer. @param {Tick} tick */
    pass(tick) {
        return this.#each('nb_walk_pass', [], tick);
    }

    /** Computes the inputs of the layer's second part. @param {Tick} tick */
    passPart(tick) {
        return this.#each('nb_walk_pass_part', [], tick);
    }

    /**
     * @param {string} name of the function
     * @param {number[]} args
     * @param {Tick} tick
     */
    async #each(name, args, tick) {
        for (let done = 0; done < this.total; ) {
            done = this.core.count(name, this.walk, ...args, done);
            await yieldToEvents();
            await tick(done / this.total);
        }
    }

    /** The residual streams now, [tokens, width]; valid until the core allocates. @param {number} width */
    streams(width) {
        return this.core.floats(this.core.exports.nb_walk_streams(this.walk) >>> 0, this.total * width);
    }

    /**
     * What was observed. The arrays are valid until the core allocates.
     * @param {number} group
     * @param {number} expert
     * @param {number} columns
     */
    observed(group, expert, columns) {
        const at = (/** @type {string} */ what) => this.core.exports[`nb_walk_${what}`](this.walk, group, expert) >>> 0,
            array = (/** @type {string} */ what, /** @type {number} */ length) => this.core.floats(at(what), length);
        return {
            hessian: at('hessian') ? array('hessian', columns * columns) : null,
            mean: array('mean', columns),
            largest: array('largest', columns),
        };
    }

    /**
     * The bytes from which the core chooses a range of the inputs (nb_walk_range).
     * @param {number} group
     * @param {number} expert
     */
    range(group, expert) {
        const { core, walk } = this;
        return core.bytes(core.exports.nb_walk_range(walk, group, expert) >>> 0, NB_RANGE_BYTES);
    }

    /** Remembers the layer's outputs with the weights as they are now. */
    note() {
        this.core.count('nb_walk_note', this.walk);
    }

    /** How far the layer's outputs are from those of note(), relative to what it adds to the streams. */
    change() {
        return this.core.count('nb_walk_change', this.walk);
    }

    /**
     * Replaces the weights of a tensor.
     * @param {string} name
     * @param {number} type
     * @param {Uint8Array} blocks
     */
    replace(name, type, blocks) {
        const { core, walk } = this;
        core.borrowText(name, (at, length) =>
            core.borrowBytes(blocks, (bytes, size) =>
                core.count('nb_walk_replace', walk, at, length, type, bytes, size),
            ),
        );
    }
}
