/**
 * Where calibrated blocks are kept until the GGUF is written: in memory, or in a side file (side-file.js), from which
 * a run that was interrupted goes on.
 */

/** What a tensor became. @typedef {{ name: string, type: string, bytes: Uint8Array }} Made */

/**
 * What identifies a run: with other settings, plan, text or ends, an earlier run's layers are refused. plan: what the
 * layers' tensors become. choices: the options that led to the plan; they may differ if the plan is the same. ends: the
 * hash of the weights outside the layers.
 * @typedef {{ settings: Record<string, any>, choices: Record<string, any>, plan: string, text: Uint8Array,
 *     ends: string }} Run
 */

/**
 * @typedef {object} Blocks
 * @property {number} layers that are done
 * @property {(() => Hash) | undefined} hash makes one, if the source's bytes must be those of the run before
 * @property {(run: Run) => void} begin
 * @property {(layer: number, source: string) => void} check that a layer that is done was made of these weights: their
 *     hash
 * @property {(layer: number) => Iterable<Made>} made what the tensors of a layer that is done became
 * @property {(bytes: number) => Uint8Array} space for a tensor that is made, and then put
 * @property {(tensor: Made) => void} put into the current layer
 * @property {(source?: string) => void | Promise<void>} endLayer source: the hash of its weights as the source has them
 * @property {(name: string) => boolean} has
 * @property {(name: string, from: number, room: Uint8Array) => void} read fills the room with a tensor's bytes
 * @property {() => void} close
 */

/** @typedef {{ update: (bytes: Uint8Array) => unknown, digest: (form: 'hex') => string }} Hash */

/** @implements {Blocks} */
export class BlocksInMemory {
    /** @type {Map<string, Uint8Array>} */
    tensors = new Map();
    layers = 0;
    hash = undefined;

    begin() {}
    check() {}

    made() {
        return [];
    }

    /** @param {number} bytes */
    space(bytes) {
        return new Uint8Array(bytes);
    }

    /** @param {Made} tensor */
    put({ name, bytes }) {
        this.tensors.set(name, bytes);
    }

    endLayer() {
        this.layers++;
    }

    /** @param {string} name */
    has(name) {
        return this.tensors.has(name);
    }

    /** @param {string} name @param {number} from @param {Uint8Array} room */
    read(name, from, room) {
        room.set(/** @type {Uint8Array} */ (this.tensors.get(name)).subarray(from, from + room.length));
    }

    close() {}
}
