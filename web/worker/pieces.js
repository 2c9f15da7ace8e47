/** Sends a GGUF to its reader, in pieces of one size, and replaces zeros by the tensors that were made before. */

/** Bytes that are sent at once. */
const PIECE = 1 << 20;

/** Bytes that take the place of zeros; read() fills a room with them. @typedef {{ at: number, end: number, read: (from:
 * number, room: Uint8Array) => void }} Placed */

/**
 * ready: waits until the reader has nearly all pieces. spare: the buffer of a piece that was read.
 * @typedef {{ piece: (bytes: Uint8Array) => void, ready: () => Promise<void>,
 *     spare: () => ArrayBuffer | undefined }} PiecesPort
 */

/** A sink (sources/open.js) that sends its bytes in pieces of one size. */
export class Pieces {
    /**
     * @param {PiecesPort} port
     * @param {(written: number) => void} tick
     * @param {() => Placed[]} place asked once, when the header is known: what takes the place of zeros
     */
    constructor(port, tick, place) {
        this.port = port;
        this.tick = tick;
        this.place = place;
        /** @type {Placed[] | undefined} */
        this.placed = undefined;
        this.ready = port.ready;
        this.buffer = new Uint8Array(PIECE);
        this.filled = 0;
        this.written = 0;
    }

    room() {
        return this.buffer.subarray(this.filled);
    }

    /** @param {number} n */
    commit(n) {
        this.put(this.written, this.buffer.subarray(this.filled, this.filled + n));
        this.filled += n;
        this.written += n;
        this.tick(this.written);
        if (this.filled === PIECE) this.send();
    }

    /**
     * Writes the parts of tensors that lie within these bytes of the GGUF.
     * @param {number} from
     * @param {Uint8Array} room
     */
    put(from, room) {
        this.placed ??= this.place();
        for (let next = this.placed[0]; next && next.at < from + room.length; next = this.placed[0]) {
            const begin = Math.max(next.at, from),
                end = Math.min(next.end, from + room.length);
            next.read(begin - next.at, room.subarray(begin - from, end - from));
            if (end < next.end) return;
            this.placed.shift();
        }
    }

    send() {
        const full = this.buffer.subarray(0, this.filled);
        // engines notice late that large buffers are garbage: a file's worth of them would pile up
        const spare = this.port.spare();
        this.buffer = spare ? new Uint8Array(spare) : new Uint8Array(PIECE);
        this.filled = 0;
        this.port.piece(full);
    }

    end() {
        if (this.filled > 0) this.send();
    }
}
