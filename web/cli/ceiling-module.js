/**
 * A small WebAssembly module that only reads memory, and only multiplies: how fast that goes is the ceiling of kernels
 * that the same engine compiles.
 */
import {
    ADD,
    BEGIN,
    constant,
    DOT,
    DOT_ADD,
    decrement,
    END,
    get,
    I32,
    lane,
    leb,
    loop,
    SPLAT,
    section,
    set,
    sized,
    V128,
} from '../worker/assemble.js';

const XOR = [0xfd, 0x51], // v128.xor
    ADD_16 = [0xfd, 0x8e, 0x01], // i16x8.add
    DOT_16 = [0xfd, 0xba, 0x01], // i32x4.dot_i16x8_s
    MULTIPLY_FLOATS = [0xfd, 0xe6, 0x01], // f32x4.mul
    ADD_FLOATS = [0xfd, 0xe4, 0x01], // f32x4.add
    MULTIPLY_ADD = [0xfd, 0x85, 0x02]; // f32x4.relaxed_madd
/** A v128.load, at a local plus an offset. @param {number} pointer @param {number} offset */
const load = (pointer, offset) => [...get(pointer), 0xfd, 0, 4, ...leb(offset)];
/** The sum of two numbers on the stack becomes a local's value. @param {number[]} numbers @param {number} local */
const setSum = (numbers, local) => [...numbers, 0x6a, ...set(local)]; // i32.add
const times = (/** @type {number} */ n, /** @type {(i: number) => number[]} */ code) =>
    Array.from({ length: n }, (_, i) => code(i)).flat();

/** All lanes of `n` locals, one after the other, as an i32. @param {number} first @param {number} n */
const folded = (first, n) => [
    ...[...get(first), ...times(n - 1, (i) => [...get(first + 1 + i), ...XOR]), ...set(first)],
    ...[...get(first), ...lane(0), ...times(3, (i) => [...get(first), ...lane(1 + i), 0x73])], // i32.xor
];

/** Streams that are read at the same time, as kernels do (src/kernels/matmul.h, NB_SECTIONS). */
export const STREAMS = 4;
/** Bytes of a stream that a step reads. */
export const STEP = 64;

/**
 * read(at: i32, stride: i32, end: i32) => i32: reads the bytes [at, end), and those one, two and three strides further,
 * and returns the exclusive or of all their words. end - at is a multiple of STEP, and not 0.
 */
function readBody() {
    const AT = 0, // the locals
        STRIDE = 1,
        TO = 2,
        POINTERS = [AT, 3, 4, 5],
        SUM = 6;
    const code = [
        ...[2, STREAMS - 1, I32, STREAMS, V128], // the locals after the parameters
        ...times(STREAMS - 1, (i) => setSum([...get(POINTERS[i]), ...get(STRIDE)], POINTERS[i + 1])),
        ...loop([
            ...times(STEP / 16, (i) =>
                times(STREAMS, (s) => [...load(POINTERS[s], 16 * i), ...get(SUM + s), ...XOR, ...set(SUM + s)]),
            ),
            ...times(STREAMS, (s) => setSum([...get(POINTERS[s]), ...constant(STEP)], POINTERS[s])),
            ...[...get(AT), ...get(TO), 0x49], // i32.lt_u
        ]),
        ...folded(SUM, STREAMS),
        END,
    ];
    return sized(code);
}

/**
 * The ways of multiplying that the kernels have. products: of an instruction. a, b: operands. A loop has `sums` sums,
 * which do not wait for each other: as many as fit the registers of x86 beside the operands, `loads` of which are read
 * from memory in each step, and `others` stay. Without other operands in each step, or for each of the sums, the
 * compiler could compute a product once; if product and sum are one instruction, it cannot.
 * @type {Record<string, { products: number, sums: number, loads: number, others: number,
 *     step: (a: number[], b: number[], sum: number[]) => number[] }>}
 */
export const WAYS = {
    floats: {
        products: 4,
        sums: 8,
        loads: 2,
        others: 4,
        step: (a, b, sum) => [...a, ...b, ...MULTIPLY_FLOATS, ...sum, ...ADD_FLOATS],
    },
    fusedFloats: {
        products: 4,
        sums: 12,
        loads: 1,
        others: 1,
        step: (a, b, sum) => [...a, ...b, ...sum, ...MULTIPLY_ADD],
    },
    words: { products: 8, sums: 8, loads: 2, others: 4, step: (a, b, sum) => [...a, ...b, ...DOT_16, ...sum, ...ADD] },
    bytesInParts: {
        products: 16,
        sums: 8,
        loads: 2,
        others: 4,
        step: (a, b, sum) => [...a, ...b, ...DOT, ...sum, ...ADD_16],
    },
    bytes: { products: 16, sums: 12, loads: 1, others: 1, step: (a, b, sum) => [...a, ...b, ...sum, ...DOT_ADD] },
};

/** Where multiply() finds its operands: 128 times 32 bytes, and from OTHERS on those that stay. */
export const OTHERS = 4096;

/**
 * multiply(count: i32) => i32: `count` steps, count > 0, in which sum i becomes sum i + a b for a the operand
 * i % loads of the step, and b the operand floor(i / loads) % others of those that stay. The operands of a step are at
 * 32 times the steps that are left, modulo 128. At first the lanes of sum i are i. The result is the exclusive or of
 * all lanes.
 * @param {string} way
 */
function multiplyBody(way) {
    const { sums, loads, others, step } = WAYS[way];
    const COUNT = 0, // the locals
        POINTER = 1,
        LOADED = 2,
        OTHER = LOADED + loads,
        SUM = OTHER + others;
    const code = [
        ...[2, 1, I32, loads + others + sums, V128], // the locals after the parameter
        ...times(others, (i) => [...load(POINTER, OTHERS + 16 * i), ...set(OTHER + i)]),
        ...times(sums, (i) => [...constant(i), ...SPLAT, ...set(SUM + i)]),
        ...loop([
            ...[...get(COUNT), ...constant(127), 0x71, ...constant(5), 0x74, ...set(POINTER)], // i32.and, i32.shl
            ...times(loads, (i) => [...load(POINTER, 16 * i), ...set(LOADED + i)]),
            ...times(sums, (i) => [
                ...step(get(LOADED + (i % loads)), get(OTHER + (Math.floor(i / loads) % others)), get(SUM + i)),
                ...set(SUM + i),
            ]),
            ...decrement(COUNT),
        ]),
        ...folded(SUM, sums),
        END,
    ];
    return sized(code);
}

/** How many products `count` steps add to sums. @param {string} way @param {number} count */
export const productsOf = (way, count) => count * WAYS[way].sums * WAYS[way].products;

const name = (/** @type {string} */ text) => [text.length, ...new TextEncoder().encode(text)];

/**
 * @param {string} way
 * @param {WebAssembly.Memory} memory of at least a page
 * @returns {{ read: (at: number, stride: number, end: number) => number, multiply: (count: number) => number }}
 */
export function instantiate(way, memory) {
    const bytes = new Uint8Array([
        ...BEGIN,
        ...section(1, [2, 0x60, 3, I32, I32, I32, 1, I32, 0x60, 1, I32, 1, I32]), // the types of both functions
        ...section(2, [1, ...name('m'), ...name('m'), 2, 0, 1]), // imports a memory of a page or more
        ...section(3, [2, 0, 1]), // their types, by number
        ...section(7, [2, ...name('read'), 0, 0, ...name('multiply'), 0, 1]),
        ...section(10, [2, ...readBody(), ...multiplyBody(way)]),
    ]);
    return /** @type {any} */ (new WebAssembly.Instance(new WebAssembly.Module(bytes), { m: { m: memory } }).exports);
}
