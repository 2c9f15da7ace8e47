/** Parts of WebAssembly modules that are written by hand, byte by byte. */

/** LEB128, which is the same signed and unsigned for numbers from 0 on, as written here. @param {number} value
 * @returns {number[]} */
export const leb = (value) => (value < 64 ? [value] : [(value & 127) | 128, ...leb(value >> 7)]);

/** A section of a module. @param {number} id @param {number[]} bytes */
export const section = (id, bytes) => [id, ...leb(bytes.length), ...bytes];

/** The bytes that each module begins with: its magic number, and version 1. */
export const BEGIN = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

/** A function's code, with its length before it. @param {number[]} code */
export const sized = (code) => [...leb(code.length), ...code];

export const I32 = 0x7f,
    V128 = 0x7b;
export const get = (/** @type {number} */ local) => [0x20, local];
export const set = (/** @type {number} */ local) => [0x21, local];
export const constant = (/** @type {number} */ value) => [0x41, ...leb(value)]; // i32.const
export const END = 0x0b;
export const ADD = [0xfd, 0xae, 0x01], // i32x4.add
    DOT_ADD = [0xfd, 0x93, 0x02], // i32x4.relaxed_dot_i8x16_i7x16_add_s
    DOT = [0xfd, 0x92, 0x02], // i16x8.relaxed_dot_i8x16_i7x16_s
    SPLAT = [0xfd, 0x11]; // i32x4.splat
export const lane = (/** @type {number} */ i) => [0xfd, 0x1b, i]; // i32x4.extract_lane

/** A loop whose body leaves on the stack whether to go on. @param {number[]} body */
export const loop = (body) => [0x03, 0x40, ...body, 0x0d, 0, END]; // loop, br_if 0, end

/** Decrements a local, and leaves it on the stack. @param {number} local */
export const decrement = (local) => [...get(local), ...constant(1), 0x6b, 0x22, local]; // i32.sub, local.tee
