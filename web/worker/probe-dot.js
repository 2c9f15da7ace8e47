/**
 * Whether i32x4.relaxed_dot_i8x16_i7x16_add_s is right here, and how long it takes, which tells whether the CPU has one
 * instruction for it.
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
    loop,
    SPLAT,
    section,
    set,
    sized,
    V128,
} from './assemble.js';

/**
 * The instruction must take less than this share of the time that the same computation takes in parts. Engines compute
 * it in parts where the CPU has no such instruction. V8 on x86: with VNNI 0.47, in its first tier 0.78; without it 1.3,
 * in its first tier 0.88.
 */
const FASTER = 0.7;
/** A share between FASTER and this decides nothing: the optimizing compiler may not have finished yet. */
const SLOWER = 1.1;
const ROUNDS = 8;
/** Runs of each way in a round, by turns. The shortest run of each counts. */
const RUNS = 5;
/** A run should take at least this many ms, and this many steps of the clock. */
const RUN_MS = 0.2,
    CLOCK_STEPS = 8;
/** ms. If a step of the clock is longer, the probe would take too long. */
const COARSEST = 2;
/** ms after which no round begins: with a clock of 1 ms, as pages may have, a round takes about 100. */
const MOST_MS = 150;
/** A clock that is read so often without a step stands still, or is too coarse by far. */
const MOST_READS = 1e7;

const SUMS = 8; // chains that do not wait for each other
/** Four bytes of the other operand. They are within 7 bits, because engines may differ for larger ones. */
const BYTES = [1, 127, 64, 3];
const COUNT = 0, // the locals
    PARTS = 1,
    OTHER = 2,
    FIRST = 3;
const WIDEN = [0xfd, 0x7e]; // i32x4.extadd_pairwise_i16x8_s

/** A loop that takes `count` steps for each of the sums. @param {(sum: number) => number[]} step */
const steps = (step) => loop([...Array.from({ length: SUMS }, (_, i) => step(FIRST + i)).flat(), ...decrement(COUNT)]);

/**
 * The function (count: i32, parts: i32) => i32. It adds dot products to SUMS sums, which begin as `count`, and returns
 * their total. parts: 1 to compute in parts, 0 with the one instruction. Each product depends on a sum, and the result
 * on all products: otherwise the compiler would compute them once, or not at all. Both ways are in one function:
 * the optimizing compiler takes functions one by one, and must not optimize only one of the ways.
 */
function body() {
    const word = BYTES.reduce((all, byte, i) => all | (byte << (8 * i)), 0);
    const code = [
        ...[1, SUMS + 1, V128], // the locals after the parameters
        ...[...constant(word), ...SPLAT, ...set(OTHER)],
        ...Array.from({ length: SUMS }, (_, i) => [...get(COUNT), ...SPLAT, ...set(FIRST + i)]).flat(),
        ...[...get(PARTS), 0x04, 0x40], // if
        ...steps((sum) => [...get(sum), ...get(OTHER), ...DOT, ...WIDEN, ...get(sum), ...ADD, ...set(sum)]),
        0x05, // else
        ...steps((sum) => [...get(sum), ...get(OTHER), ...get(sum), ...DOT_ADD, ...set(sum)]),
        END,
        ...get(FIRST),
        ...Array.from({ length: SUMS - 1 }, (_, i) => [...get(FIRST + 1 + i), ...ADD]).flat(),
        ...[...lane(0), END],
    ];
    return sized(code);
}

/** A module with that function. */
const probeModule = () =>
    new Uint8Array([
        ...BEGIN,
        ...section(1, [1, 0x60, 2, I32, I32, 1, I32]), // its type
        ...section(3, [1, 0]),
        ...section(7, [1, 1, 0x66, 0, 0]), // exported as f
        ...section(10, [1, ...body()]),
    ]);

/** A step of the clock, in ms. */
function clockStep() {
    const from = performance.now();
    for (let i = 0; i < MOST_READS; i++) {
        const now = performance.now();
        if (now !== from) return now - from;
    }
    return Infinity;
}

/** What the function must return. @param {number} count */
function expected(count) {
    let sum = count;
    for (let i = 0; i < count; i++)
        sum = BYTES.reduce((all, byte, at) => (all + byte * ((sum << (24 - 8 * at)) >> 24)) | 0, sum);
    return Math.imul(SUMS, sum);
}

/**
 * Whether both ways give the right sums, in each tier of compilation that the runs reached. share: the time that the
 * instruction takes, relative to the computation in parts; FASTER or more where that is not sure.
 * @returns {{ isRight: boolean, share: number }}
 */
export function probeDot() {
    const run = /** @type {(count: number, parts: number) => number} */ (
        new WebAssembly.Instance(new WebAssembly.Module(probeModule())).exports.f
    );
    let isRight = [1, 2, 3, 77].every((n) => run(n, 0) === expected(n) && run(n, 1) === expected(n)),
        share = Number.NaN;
    const step = Math.min(clockStep(), clockStep());
    if (step > COARSEST) return { isRight, share: Infinity };
    const sums = [0, 0];
    const time = (/** @type {number} */ count, /** @type {number} */ parts) => {
        const began = performance.now();
        sums[parts] = run(count, parts);
        return performance.now() - began;
    };
    let count = 1000;
    // the shorter of two: the first run also compiles, and other programs may come in between
    while (Math.min(time(count, 1), time(count, 1)) < Math.max(RUN_MS, CLOCK_STEPS * step)) count *= 2;
    const last = performance.now() + MOST_MS;
    for (let round = 0; round < ROUNDS && performance.now() < last; round++) {
        const before = share;
        let whole = Infinity,
            parts = Infinity;
        // The instruction runs first. If the optimizing compiler finishes between the two runs, the instruction seems
        // too slow, which is the safe error.
        for (let i = 0; i < RUNS; i++) {
            whole = Math.min(whole, time(count, 0));
            parts = Math.min(parts, time(count, 1));
            isRight &&= sums[0] === sums[1];
        }
        share = whole / parts;
        // Two rounds must agree: the compiler may have finished within one, or other programs slowed all runs of a way.
        if (Math.max(share, before) < FASTER || Math.min(share, before) > SLOWER)
            return { isRight, share: Math.max(share, before) };
    }
    return { isRight, share: Math.max(share, FASTER) };
}

/** @type {ReturnType<typeof probeDot> | undefined} */
let remembered;

/** Whether the instruction gives the right sums. It takes some ms the first time. */
export function dotIsRight() {
    try {
        remembered ??= probeDot();
    } catch {
        // a Content-Security-Policy forbids compiling: the error of the build that is tried next says so
        remembered = { isRight: false, share: Infinity };
    }
    return remembered.isRight;
}

/** Whether builds for CPUs with the instruction run correctly here, and are faster. */
export const hasDot = () => dotIsRight() && /** @type {{ share: number }} */ (remembered).share < FASTER;
