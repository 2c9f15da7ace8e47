/** Decodes the instructions of a WebAssembly module (core specification 3.0, binary format), to test which it uses. */

/** Reads the bytes of a module. */
class Reader {
    at = 0;

    /** @param {Uint8Array} bytes */
    constructor(bytes) {
        this.bytes = bytes;
    }

    byte() {
        if (this.at >= this.bytes.length) throw new Error('the module ends within an instruction');
        return this.bytes[this.at++];
    }

    /** The low 32 bits of a LEB128 number, signed or not. */
    number() {
        let value = 0;
        for (let shift = 0; ; shift += 7) {
            const byte = this.byte();
            if (shift < 32) value |= (byte & 0x7f) << shift;
            if (byte < 0x80) return value >>> 0;
        }
    }

    /** @param {number} n */
    skip(n) {
        this.at += n;
    }
}

/** Readers of an instruction's immediate operands. */
const memory = (/** @type {Reader} */ reader) => {
    if (reader.number() & 0x40) reader.number(); // the index of the memory
    reader.number();
};
const lane = (/** @type {Reader} */ reader) => {
    memory(reader);
    reader.skip(1);
};
const numbers = (/** @type {number} */ n) => (/** @type {Reader} */ reader) => {
    for (let i = 0; i < n; i++) reader.number();
};
const bytes = (/** @type {number} */ n) => (/** @type {Reader} */ reader) => reader.skip(n);
const none = () => {};
const table = (/** @type {Reader} */ reader) => numbers(reader.number() + 1)(reader);

/** @param {number} code @returns {(reader: Reader) => void} */
function plain(code) {
    if (code === 0x0e) return table;
    if (code === 0x1c) return (reader) => numbers(reader.number())(reader);
    if (code === 0x43) return bytes(4);
    if (code === 0x44) return bytes(8);
    if (code >= 0x28 && code <= 0x3e) return memory;
    if (code === 0x11) return numbers(2);
    const one = [
        0x02, 0x03, 0x04, 0x0c, 0x0d, 0x10, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26, 0x3f, 0x40, 0x41, 0x42, 0xd0,
        0xd2,
    ];
    if (one.includes(code)) return numbers(1);
    const known = code <= 0x01 || code === 0x05 || code === 0x0b || code === 0x0f || code === 0x1a || code === 0x1b;
    if (known || (code >= 0x45 && code <= 0xc4) || code === 0xd1) return none;
    throw new Error(`opcode 0x${code.toString(16)} is not known`);
}

/** Opcodes with the prefix 0xfc. @param {number} code */
const bulk = (code) => (code <= 7 ? none : numbers([8, 10, 12, 14].includes(code) ? 2 : 1));

/** Opcodes with the prefix 0xfd: vectors. @param {number} code @returns {(reader: Reader) => void} */
function vectors(code) {
    if (code <= 0x0b || code === 0x5c || code === 0x5d) return memory;
    if (code === 0x0c || code === 0x0d) return bytes(16);
    if (code >= 0x54 && code <= 0x5b) return lane;
    return code >= 0x15 && code <= 0x22 ? bytes(1) : none;
}

/** Opcodes with the prefix 0xfe: threads. @param {number} code */
const atomics = (code) => (code === 3 ? bytes(1) : memory);

/**
 * Whether the instruction computes with, moves or makes a floating-point number.
 * @param {number} prefix
 * @param {number} code
 */
function isFloat(prefix, code) {
    const within = (/** @type {[number, number][]} */ ...ranges) =>
        ranges.some(([from, to]) => code >= from && code <= to);
    if (prefix === 0xfc) return code <= 7;
    if (prefix === 0xfd)
        return within(
            [0x13, 0x14],
            [0x1f, 0x22],
            [0x41, 0x4c],
            [0x5e, 0x5f],
            [0x67, 0x6a],
            [0x74, 0x75],
            [0x7a, 0x7a],
            [0x94, 0x94],
            [0xe0, 0xff],
            [0x101, 0x108],
            [0x10d, 0x110],
        );
    if (prefix !== 0) return false;
    return within([0x2a, 0x2b], [0x38, 0x39], [0x43, 0x44], [0x5b, 0x66], [0x8b, 0xa6], [0xa8, 0xab], [0xae, 0xbf]);
}

const F64 = 0x7c,
    F32 = 0x7d;

/**
 * Counts the instructions of all functions, and those that have to do with floating-point numbers. types: the number
 * of parameters, results, locals and globals of floating-point types.
 * @param {Uint8Array} module
 */
export function countInstructions(module) {
    const reader = new Reader(module),
        found = { all: 0, floats: 0, types: 0 };
    reader.skip(8);
    const type = () => {
        const one = reader.byte();
        if (one === F32 || one === F64) found.types++;
    };
    while (reader.at < module.length) {
        const section = reader.byte(),
            size = reader.number(),
            end = reader.at + size;
        if (section === 1)
            for (let left = reader.number(); left > 0; left--) {
                if (reader.byte() !== 0x60) throw new Error('a type is no function');
                for (let side = 0; side < 2; side++) for (let n = reader.number(); n > 0; n--) type();
            }
        else if (section === 6)
            for (let left = reader.number(); left > 0; left--) {
                type();
                reader.skip(1);
                while (step(reader, found) !== 0x0b);
            }
        else if (section === 10)
            for (let left = reader.number(); left > 0; left--) {
                const body = reader.number() + reader.at;
                for (let n = reader.number(); n > 0; n--) {
                    reader.number();
                    type();
                }
                while (reader.at < body) step(reader, found);
                if (reader.at !== body) throw new Error('a function ends within an instruction');
            }
        reader.at = end;
    }
    return found;
}

/** Reads and counts one instruction. @param {Reader} reader @param {{ all: number, floats: number }} found */
function step(reader, found) {
    const first = reader.byte(),
        prefix = first >= 0xfc && first <= 0xfe ? first : 0,
        code = prefix === 0 ? first : reader.number();
    const operands = { 0: plain, 252: bulk, 253: vectors, 254: atomics }[prefix];
    operands?.(code)(reader);
    found.all++;
    if (isFloat(prefix, code)) found.floats++;
    return prefix === 0 ? code : -1;
}
