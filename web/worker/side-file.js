/**
 * The side file of `quantize --resume`: what was measured under a budget, and the layers of a calibration that are
 * done. Only Node has one.
 *
 *   "NBRESUM2" | record of the measurement, if there is one | record of the run | records of layers 0, 1, ...
 *   a record:  u32 bytes of JSON | u64 bytes of blocks | JSON | blocks | SHA-256 of all before it in the record
 *
 * Numbers are little-endian. A record that is cut off or damaged ends the file: its layer is made again, and those
 * after it. All runs must be of the same kind (blocks.js, Run); otherwise the file is refused, and left as it is.
 */
import { TYPES } from '../abi.js';
import { NibbleError, why } from '../errors.js';
import { nodeModule } from '../platform.js';
import { BufferPool } from './buffer-pool.js';

/** @typedef {import('./blocks.js').Blocks} Blocks */
/** @typedef {import('./blocks.js').Made} Made */
/** @typedef {import('./blocks.js').Run} Run */
/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {{ at: number, length: number, type: string }} Place */
/** @typedef {{ head: any, at: number, end: number }} Record at: where its blocks begin */

const MAGIC = 'NBRESUM2',
    FRONT = 12,
    SUM = 32,
    /** The most bytes of JSON. */
    MOST_HEAD = 1 << 24,
    PIECE = 1 << 20;

/**
 * @param {string} path
 * @param {Planned[]} plan
 */
export async function openSideFile(path, plan) {
    return new SideFile(path, plan, await nodeModule('fs'), await nodeModule('crypto'));
}

/** @implements {Blocks} */
export class SideFile {
    /**
     * The layers that are done: the hash of the layer's weights in the source, and its tensors.
     * @type {{ source: string, tensors: [string, Place][] }[]}
     */
    done = [];
    /** Where the blocks of each tensor of these layers are in the file, by its name. @type {Map<string, Place>} */
    places = new Map();
    /** The tensors of the current layer, which is not in the file yet. @type {Made[]} */
    current = [];
    /** Buffers for the blocks of the current layer. */
    making = new BufferPool();
    /** Buffers for the blocks of a layer that is read back. */
    reading = new BufferPool();
    /** Where the next record goes; 0: the file has no whole record yet. */
    end = 0;
    /** @type {number | undefined} */
    file = undefined;
    /** @type {object} */
    run = {};
    /** Whether the file has the record of the run. */
    hasRun = false;

    /**
     * @param {string} path
     * @param {Planned[]} plan
     * @param {typeof import('node:fs')} fs
     * @param {typeof import('node:crypto')} crypto
     */
    constructor(path, plan, fs, crypto) {
        this.path = path;
        this.fs = fs;
        this.crypto = crypto;
        this.plan = new Map(plan.map((tensor) => [tensor.name, tensor]));
        this.file = this.#open();
    }

    get layers() {
        return this.done.length;
    }

    hash() {
        return this.crypto.createHash('sha256');
    }

    close() {
        if (this.file !== undefined) this.fs.closeSync(this.file);
        this.file = undefined;
    }

    /**
     * What an earlier run measured, if it is there. One of another kind is refused.
     * @param {Run} run
     * @returns {{ value: any, bytes: Uint8Array } | null}
     */
    measured(run) {
        const found = this.#first();
        if (!found?.head.measured) return null;
        this.#compare(found.head.measured, this.#hashesOf(run));
        return { value: found.head.value, bytes: this.#bytes(found.at, found.end - SUM - found.at) };
    }

    /**
     * Keeps what was measured, as the first record. A file that has a record already stays as it is: an earlier run had
     * too little memory to measure, and its layers follow without a measurement.
     * @param {Run} run
     * @param {any} value as JSON
     * @param {Uint8Array} bytes
     */
    keep(run, value, bytes) {
        if (this.#first()) return;
        this.#start();
        this.end = this.#append(this.end, { measured: this.#hashesOf(run), value }, [bytes]).end;
    }

    /**
     * Before the first layer: finds the layers that an earlier run of the same kind has left.
     * @param {Run} run
     */
    begin(run) {
        this.run = this.#hashesOf(run);
        let first = this.#first();
        if (first?.head.measured) {
            this.end = first.end;
            first = this.#record(this.end);
        }
        if (!first) return; // there is no record of a run, or none that is whole
        this.#compare(first.head, this.run);
        this.hasRun = true;
        this.end = first.end;
        for (let record = this.#record(this.end); record && this.#addLayer(record); record = this.#record(this.end))
            this.end = record.end;
    }

    /**
     * What the file keeps of a run. Texts, importance matrices and the types of all tensors may be long, so these are
     * only hashes.
     * @param {Run} run
     */
    #hashesOf({ settings, choices, plan, text, ends }) {
        const sum = (/** @type {string | Uint8Array} */ data) => this.hash().update(data).digest('hex');
        const sums = (/** @type {{ [name: string]: any }} */ options) =>
            Object.fromEntries(
                Object.entries(options)
                    .filter(([, value]) => value !== undefined)
                    .map(([name, value]) => [name, sum(value instanceof Uint8Array ? value : JSON.stringify(value))]),
            );
        return {
            ...{ settings: sums(settings), choices: sums(choices) },
            ...{ text: sum(text), model: sum(ends), plan: sum(plan) },
        };
    }

    /** @param {object} before @param {object} now as #hashesOf() gives them */
    #compare(before, now) {
        const differs = difference(before, now);
        if (differs)
            throw this.#refusal(
                `is of a run with ${differs}: repeat that run's command to go on with it, or delete the file to begin anew`,
            );
    }

    /** The first record, if the file has a whole one. @returns {Record | null} */
    #first() {
        if (this.file === undefined) return null;
        const begin = this.#bytes(0, Math.min(MAGIC.length, this.#size()));
        if (!MAGIC.startsWith(String.fromCharCode(...begin)))
            throw this.#refusal('is no file of an interrupted run: move it away, or write to another OUT');
        return begin.length === MAGIC.length ? this.#record(MAGIC.length) : null;
    }

    /** Creates the file, if it is not there, and writes its first bytes, if it has no whole record. */
    #start() {
        this.file ??= this.#attempt('write', () => this.fs.openSync(this.path, 'wx+'));
        if (this.end === 0) this.end = this.#write(new TextEncoder().encode(MAGIC), 0);
    }

    /**
     * Checks that a layer that is done was made of these weights.
     * @param {number} layer
     * @param {string} source the hash of its weights in the source
     */
    check(layer, source) {
        if (source !== this.done[layer].source)
            throw this.#refusal(
                `is of a model with other weights in layer ${layer}: quantize that one, or delete the file to begin anew`,
            );
    }

    /** @param {number} layer */
    *made(layer) {
        this.reading.empty();
        for (const [name, { at, length, type }] of this.done[layer].tensors)
            yield { name, type, bytes: this.#read(at, this.reading.take(length)) };
    }

    /** @param {number} bytes */
    space(bytes) {
        return this.making.take(bytes);
    }

    /** @param {Made} tensor */
    put(tensor) {
        this.current.push(tensor);
    }

    /** Writes the current layer. @param {string} [source] */
    endLayer(source = '') {
        this.#start();
        if (!this.hasRun) this.end = this.#append(this.end, this.run, []).end;
        this.hasRun = true;
        const tensors = this.current.map(({ name, type, bytes }) => ({ name, type, bytes: bytes.length }));
        const record = this.#append(
            this.end,
            { layer: this.layers, source, tensors },
            this.current.map(({ bytes }) => bytes),
        );
        this.current = [];
        this.making.empty();
        this.#addLayer(record);
        this.end = record.end;
    }

    /** @param {string} name */
    has(name) {
        return this.places.has(name);
    }

    /** @param {string} name @param {number} from @param {Uint8Array} room */
    read(name, from, room) {
        const { at, length } = /** @type {Place} */ (this.places.get(name));
        if (from + room.length > length)
            throw this.#refusal(`has too few bytes of ${name}: delete the file to begin anew`);
        this.#read(at + from, room);
    }

    /**
     * Adds a layer that is done; false if the record is not of the next layer.
     * @param {Record} record
     */
    #addLayer({ head: { layer, source, tensors }, at, end }) {
        if (layer !== this.layers || typeof source !== 'string' || !Array.isArray(tensors)) return false;
        /** @type {[string, Place][]} */
        const found = [];
        for (const tensor of tensors) {
            const { name, type, bytes } = Object(tensor);
            if (this.plan.get(name)?.type !== type || !(type in TYPES) || !Number.isSafeInteger(bytes) || bytes < 0)
                return false;
            found.push([name, { at, length: bytes, type }]);
            at += bytes;
        }
        if (at !== end - SUM) return false;
        this.done.push({ source, tensors: found });
        for (const [name, place] of found) this.places.set(name, place);
        return true;
    }

    /**
     * The record that begins at this offset. null: there is no whole one.
     * @param {number} at
     * @returns {Record | null}
     */
    #record(at) {
        const left = this.#size() - at - FRONT - SUM;
        if (left < 0) return null;
        const front = new DataView(this.#bytes(at, FRONT).buffer),
            json = front.getUint32(0, true),
            blocks = Number(front.getBigUint64(4, true));
        if (json > MOST_HEAD || json + blocks > left) return null;
        const end = at + FRONT + json + blocks,
            hash = this.hash(),
            piece = new Uint8Array(Math.min(PIECE, end - at));
        for (let from = at; from < end; from += PIECE)
            hash.update(this.#read(from, piece.subarray(0, Math.min(PIECE, end - from))));
        if (hash.digest('hex') !== Buffer.from(this.#bytes(end, SUM)).toString('hex')) return null;
        return { head: parsed(this.#bytes(at + FRONT, json)), at: at + FRONT + json, end: end + SUM };
    }

    /**
     * Writes a record, and cuts off what the file had after it.
     * @param {number} at
     * @param {object} head
     * @param {Uint8Array[]} blocks
     * @returns {Record}
     */
    #append(at, head, blocks) {
        const json = new TextEncoder().encode(JSON.stringify(head)),
            front = new DataView(new ArrayBuffer(FRONT)),
            hash = this.hash();
        front.setUint32(0, json.length, true);
        front.setBigUint64(4, BigInt(blocks.reduce((sum, { length }) => sum + length, 0)), true);
        let end = at;
        for (const bytes of [new Uint8Array(front.buffer), json, ...blocks]) {
            hash.update(bytes);
            end = this.#write(bytes, end);
        }
        end = this.#write(hash.digest(), end);
        this.#attempt('write', () => {
            this.fs.ftruncateSync(/** @type {number} */ (this.file), end);
            this.fs.fsyncSync(/** @type {number} */ (this.file));
        });
        return { head, at: at + FRONT + json.length, end };
    }

    /** Opens the file, if it is there. */
    #open() {
        const { fs, path } = this;
        return this.#attempt('read', () => {
            const found = fs.statSync(path, { throwIfNoEntry: false });
            if (found && !found.isFile()) throw this.#refusal('is there and is no file: move it away');
            return found && fs.openSync(path, 'r+');
        });
    }

    #size() {
        return this.#attempt('read', () => this.fs.fstatSync(/** @type {number} */ (this.file)).size);
    }

    /** @param {number} at @param {number} length */
    #bytes(at, length) {
        return this.#read(at, new Uint8Array(length));
    }

    /** @param {number} at @param {Uint8Array} room */
    #read(at, room) {
        for (let done = 0; done < room.length; ) {
            const n = this.#attempt('read', () =>
                this.fs.readSync(/** @type {number} */ (this.file), room, done, room.length - done, at + done),
            );
            if (n === 0) throw this.#refusal('was cut off while it was being read');
            done += n;
        }
        return room;
    }

    /** @param {Uint8Array} bytes @param {number} at @returns {number} where they end */
    #write(bytes, at) {
        for (let done = 0; done < bytes.length; )
            done += this.#attempt('write', () =>
                this.fs.writeSync(/** @type {number} */ (this.file), bytes, done, bytes.length - done, at + done),
            );
        return at + bytes.length;
    }

    /** @template T @param {'read' | 'write'} what @param {() => T} act */
    #attempt(what, act) {
        try {
            return act();
        } catch (error) {
            if (error instanceof NibbleError) throw error;
            throw new NibbleError('NB_ERR_FILE', `cannot ${what} ${this.path}: ${why(error)}`, { cause: error });
        }
    }

    /** @param {string} what */
    #refusal(what) {
        return new NibbleError('NB_ERR_FILE', `quantize(): resume (--resume): ${this.path} ${what}`);
    }
}

/** Parsed JSON; an empty object if it is not JSON. @param {Uint8Array} json */
function parsed(json) {
    try {
        return Object(JSON.parse(new TextDecoder().decode(json)));
    } catch {
        return {};
    }
}

/**
 * How two runs differ, as words for a message. An empty string: they are of the same kind.
 * @param {any} before
 * @param {any} now
 */
function difference(before, now) {
    const differing = (/** @type {'settings' | 'choices'} */ kind) =>
        Object.keys({ ...before[kind], ...now[kind] }).filter((name) => before[kind]?.[name] !== now[kind][name]);
    const hasPlan = before.plan === now.plan,
        names = [...(hasPlan ? [] : differing('choices')), ...differing('settings')];
    if (names.length > 0) return `other options (${names.join(', ')})`;
    // Texts are compared as tokens, which another model's tokenizer may make of the same text. And only the rows of the
    // token embedding that these tokens name are hashed. So with other tokens the model may be another one, too.
    if (before.text !== now.text) return 'another calibration text, or another model';
    if (before.model !== now.model) return 'another model';
    return hasPlan ? '' : 'other types of tensors, which another version of nibble may have chosen';
}
