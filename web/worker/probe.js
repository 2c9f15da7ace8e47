/** How much a model's output changes if one of its tensors is replaced (nb_probe). */
import { NB_PROBE_BASE, NB_PROBE_NEXT, NB_PROBE_REST, NB_PROBE_WHOLE, TYPES } from '../abi.js';
import { yieldToEvents } from '../platform.js';

export class Probe {
    /**
     * @param {import('./engine.js').Engine} engine with the model
     * @param {Int32Array} tokens
     * @param {number} window how many of them a window has
     */
    constructor({ core, model, pool }, tokens, window) {
        this.core = core;
        this.total = tokens.length;
        this.handle = core.borrow(4 * tokens.length, (at) => {
            core.ints(at, tokens.length).set(tokens);
            return core.object('nb_probe_new', model, pool, at, tokens.length / window, window);
        });
    }

    free() {
        this.core.exports.nb_probe_free(this.handle);
    }

    /** Records the output of the unchanged model. */
    base() {
        return this.#run(NB_PROBE_BASE);
    }

    /** Goes on to the next layer. */
    next() {
        return this.#run(NB_PROBE_NEXT);
    }

    /**
     * The mean KL divergence from the model as it was, in nats a token.
     * @param {boolean} isOfLayer whether a tensor of the current layer was replaced, or one outside the layers
     */
    async divergence(isOfLayer) {
        return (await this.#run(isOfLayer ? NB_PROBE_REST : NB_PROBE_WHOLE)) / this.total;
    }

    /** @param {number} what */
    async #run(what) {
        const { core } = this,
            sum = core.allocate(8, 'a sum');
        try {
            core.bytes(sum, 8).fill(0);
            for (let done = 0; done < this.total; ) {
                done = core.count('nb_probe_run', this.handle, what, done, sum);
                await yieldToEvents();
            }
            return new DataView(core.memory.buffer).getFloat64(sum, true);
        } finally {
            core.exports.nb_free(sum);
        }
    }

    /**
     * Replaces the weights of a tensor.
     * @param {string} name
     * @param {string} type
     * @param {Uint8Array} blocks
     */
    replace(name, type, blocks) {
        const { core, handle } = this;
        core.borrowText(name, (at, length) =>
            core.borrowBytes(blocks, (bytes, size) =>
                core.count('nb_probe_replace', handle, at, length, TYPES[type], bytes, size),
            ),
        );
    }
}
