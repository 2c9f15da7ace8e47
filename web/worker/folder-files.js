/** Sends the files of a folder: one after the other, in pieces. */
import { endsEarly } from './safetensors.js';

/** @typedef {import('./safetensors.js').Entry} Entry */
/** @typedef {import('./safetensors.js').Shard} Shard */

/** Bytes that are sent at once. */
const PIECE = 1 << 20;

/** @typedef {{ file: (name: string, size: number) => void, piece: (bytes: Uint8Array) => void, ready: () =>
 *     Promise<void> }} FilePort */

export class FolderFiles {
    /**
     * @param {FilePort} port
     * @param {Shard[]} shards files of weights, whose tensors come last and in order
     */
    constructor(port, shards) {
        this.port = port;
        this.shards = [...shards];
        /** Bytes of tensors that the current file of weights still lacks. */
        this.left = 0;
        /** Bytes of weights so far. */
        this.written = 0;
    }

    /** A whole file. @param {string} name @param {Uint8Array} bytes */
    async whole(name, bytes) {
        this.port.file(name, bytes.length);
        await this.#send(bytes);
    }

    /** @param {string} name @param {string} text */
    text(name, text) {
        return this.whole(name, new TextEncoder().encode(text));
    }

    /** The next tensor of the files of weights. @param {Uint8Array} bytes */
    async tensor(bytes) {
        await this.#shard();
        await this.#send(bytes);
        this.#count(bytes.length);
    }

    /**
     * The next tensors, which the source has. Those that lie side by side are read at once.
     * @param {Entry[]} entries
     * @param {Map<string, Uint8Array>} changed the new bytes of some of them
     * @param {() => void} tick
     */
    async copy(entries, changed, tick) {
        const some = entries.filter(({ bytes }) => bytes > 0);
        for (let i = 0; i < some.length; ) {
            const now = changed.get(some[i].name);
            if (now) {
                await this.tensor(now);
                i++;
                continue;
            }
            await this.#shard();
            const { file, at } = /** @type {NonNullable<Entry['from']>} */ (some[i].from);
            let bytes = 0;
            for (; i < some.length && bytes < this.left; i++) {
                const { from, name } = some[i];
                if (from?.file !== file || from.at !== at + bytes || changed.has(name)) break;
                bytes += some[i].bytes;
            }
            const sink = new Passage(this.port, bytes);
            await (await file.open(at)).into(sink);
            if (sink.left > 0) throw endsEarly(file, at + bytes - sink.left);
            this.#count(bytes);
            tick();
        }
    }

    /** Begins the next file of weights, if the one before is complete. */
    async #shard() {
        while (this.left === 0 && this.shards.length > 0) {
            const { name, header, bytes } = /** @type {Shard} */ (this.shards.shift());
            this.port.file(name, bytes);
            await this.#send(header);
            this.left = bytes - header.length;
            this.written += header.length;
        }
    }

    /** @param {number} bytes */
    #count(bytes) {
        this.left -= bytes;
        this.written += bytes;
    }

    /** @param {Uint8Array} bytes */
    async #send(bytes) {
        for (let at = 0; at < bytes.length; at += PIECE) {
            await this.port.ready();
            this.port.piece(bytes.slice(at, at + PIECE));
        }
    }
}

/** A sink that sends the bytes on, at most `left` of them. */
class Passage {
    /** @param {FilePort} port @param {number} left */
    constructor(port, left) {
        this.port = port;
        this.left = left;
        this.ready = port.ready;
        this.bytes = new Uint8Array(0);
    }

    room() {
        this.bytes = new Uint8Array(Math.min(PIECE, this.left));
        return this.bytes;
    }

    /** @param {number} n */
    commit(n) {
        this.left -= n;
        this.port.piece(this.bytes.subarray(0, n));
    }
}
