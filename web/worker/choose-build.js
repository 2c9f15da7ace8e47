/** Chooses the build of the core that is best here, and the number of threads. */
import { NibbleError } from '../errors.js';
import { isNode, usefulThreads, yieldToEvents } from '../platform.js';
import { startBuild } from './core.js';
import { stopwatch } from './journal.js';
import { dotIsRight, hasDot } from './probe-dot.js';

/** @typedef {import('../index.d.ts').Build} Build */
/** @typedef {import('../assets.js').WasmUrls} WasmUrls */
/** @typedef {import('./core.js').Core} Core */

/** How often the probe runs before its answer counts: enough calls for V8 to replace its first, simple compilation. */
const PROBE_CALLS = 20000;

/**
 * Whether the engine knows an instruction: it must accept a module that uses it.
 * @param {number[]} body a function's code
 */
// biome-ignore format: a line a section of the module
const knows = (body) => WebAssembly.validate(new Uint8Array([
    0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, // "\0asm", version 1
    1, 5, 1, 0x60, 0, 1, 0x7b, // type 0: () -> v128
    3, 2, 1, 0, // function 0 has type 0
    10, body.length + 4, 1, body.length + 2, 0, ...body, 0x0b,
]));
const SPLAT = [0x41, 0, 0xfd, 0x0f]; // i32.const 0, i8x16.splat
const knowsSimd = () => knows(SPLAT);
// i32x4.relaxed_dot_i8x16_i7x16_add_s
const knowsRelaxed = () => knows([...SPLAT, ...SPLAT, ...SPLAT, 0xfd, 0x93, 0x02]);

/** Whether threads can share memory: a page needs cross-origin isolation for that. */
const mayShare = () => typeof SharedArrayBuffer === 'function' && (isNode || globalThis.crossOriginIsolated === true);

/** Threads to compute with, where memory can be shared. @param {number} [asked] */
export const possibleThreads = async (asked) => (mayShare() ? usefulThreads(asked) : 1);

/**
 * Whether the relaxed dot products compute what the kernels rely on, in the first tier of compilation and in the
 * last. Only kernels with such products need this: those with 8-bit activations, and those of builds for CPUs with dot
 * products of bytes, whose instruction probe-dot.js has checked. Of the other relaxed instructions, any result that the
 * standard allows will do.
 * @param {Core} core
 * @param {Build} build
 * @param {'exact' | 'fast' | undefined} precision
 */
async function relaxedIsRight(core, build, precision) {
    if (isDot(build) && !dotIsRight()) return false;
    if (precision !== 'fast') return true;
    const { nb_probe_relaxed } = core.exports;
    for (let i = 0; i < PROBE_CALLS; i++) if (nb_probe_relaxed() !== 1) return false;
    await yieldToEvents(); // the optimizing compiler works in the background; its code serves the next call
    return nb_probe_relaxed() === 1;
}

/** All builds, from the fastest to the one that runs everywhere. @type {Build[]} */
const BUILDS = ['relaxed-dot', 'relaxed-dot-threads', 'relaxed', 'relaxed-threads', 'simd128', 'simd128-threads'];

/** Whether a build is for CPUs with an instruction for dot products of bytes. It runs elsewhere, but is slower. */
const isDot = (/** @type {Build} */ build) => build.startsWith('relaxed-dot');
const isSlow = (/** @type {Build} */ build) => isDot(build) && !hasDot();
const isRelaxed = (/** @type {Build} */ build) => build.startsWith('relaxed');
const isThreaded = (/** @type {Build} */ build) => build.endsWith('-threads');

/**
 * Instantiates the build that is best here, or the one asked for.
 * @param {Pick<import('../protocol.js').EngineOptions, 'threads' | 'build' | 'assets' | 'precision'>} options
 * @param {import('./journal.js').Journal} [journal]
 * @returns {Promise<{ core: Core, threads: number }>} threads: how many to use; with a build that was asked for, as
 *     many as
 *     were asked for
 */
export async function startCore({ threads, build, assets: { wasm }, precision }, journal) {
    if (typeof WebAssembly !== 'object' || !knowsSimd())
        throw new NibbleError(
            'NB_ERR_ENGINE',
            `this engine has no WebAssembly${typeof WebAssembly === 'object' ? ' SIMD' : ''}, which nibble ` +
                'computes with; it came with Chrome 91, Firefox 89, Safari 16.4 and Node 16.4, and flags such as --jitless take ' +
                'it away',
        );
    const time = stopwatch(),
        given = BUILDS.filter((name) => wasm[name]);
    const forced = build ?? (given.length === 1 ? given[0] : undefined);
    if (forced) {
        const started = await startForced(forced, wasm, threads, precision);
        journal?.(
            `build: ${forced}, ${build ? 'which was asked for' : 'the only one that wasmUrl names'}, threads ${started.threads}, ${time()}`,
        );
        return started;
    }
    const wanted = await possibleThreads(threads),
        able = BUILDS.filter((name) => !obstacle(name, wasm)),
        slow = able.filter(isSlow);
    const fitting = (/** @type {Build} */ name) => isThreaded(name) === wanted > 1;
    /** Later ones are tried if earlier ones fail the probe. @type {(name: Build) => number} */
    const place = (name) => (slow.includes(name) ? 2 : 0) + (fitting(name) ? 0 : 1);
    /** @type {Build[]} */
    const wrong = [];
    /** Builds whose files are not there, as in older copies of nibble's files, and why. @type {Map<Build, NibbleError>} */
    const lost = new Map();
    for (const name of able.sort((a, b) => place(a) - place(b))) {
        const began = performance.now();
        const core = await startBuild(name, wasm).catch((error) => {
            if (!mayBeMissing(error) || performance.now() - began > PATIENCE) throw error;
            lost.set(name, error);
        });
        if (!core) continue;
        if (!isRelaxed(name) || (await relaxedIsRight(core, name, precision))) {
            const chosen = { core, threads: isThreaded(name) ? wanted : 1 };
            journal?.(`build: ${name}, threads ${chosen.threads}, ${time()}`);
            if (journal)
                for (const other of BUILDS.filter((candidate) => candidate !== name)) {
                    const why = lost.get(other)?.message ?? obstacle(other, wasm);
                    journal(`build: not ${other}: ${why ?? whyOther(other, fitting(other), wrong)}`);
                }
            return chosen;
        }
        wrong.push(name);
    }
    for (const error of lost.values()) throw error; // of the build that would be best here
    throw new NibbleError(
        'NB_ERR_ENGINE',
        `none of the builds that wasmUrl names (${given.join(', ')}) runs here; simd128 runs everywhere`,
    );
}

/** A host that takes longer, in ms, to say that it has no such file is out of order: the next file would wait as long. */
const PATIENCE = 3000;

/** Whether a build that did not start may be one whose file is not there. A server in trouble (5xx) says nothing about
 * that: another try may bring this build, which is the best one here. @param {any} error */
function mayBeMissing(error) {
    const status = error?.cause?.status;
    return error instanceof NibbleError && error.code === 'NB_ERR_ENGINE' && !(status >= 500);
}

/**
 * Why a build cannot run here, if it cannot.
 * @param {Build} build
 * @param {WasmUrls} wasm
 */
function obstacle(build, wasm) {
    if (!wasm[build]) return 'wasmUrl does not name it';
    if (isThreaded(build) && !mayShare())
        return `it needs shared memory, and ${
            isNode || globalThis.crossOriginIsolated ? 'this engine has none' : 'the page is not cross-origin isolated'
        }`;
    if (isRelaxed(build) && !knowsRelaxed()) return 'it needs relaxed SIMD, which this engine lacks';
    return undefined;
}

/**
 * Why a build that could run was not chosen.
 * @param {Build} build
 * @param {boolean} fitting whether it has threads where several are wanted, and none otherwise
 * @param {Build[]} wrong those whose probe failed
 */
const whyOther = (build, fitting, wrong) =>
    wrong.includes(build)
        ? 'its dot products of bytes give other sums here than the kernels rely on'
        : isSlow(build)
          ? 'this CPU has no fast dot products of bytes'
          : fitting
            ? 'it is slower'
            : isThreaded(build)
              ? 'one thread is wanted'
              : 'it has no threads, and several are wanted';

/**
 * @param {Build} build
 * @param {WasmUrls} wasm
 * @param {number | undefined} threads
 * @param {'exact' | 'fast' | undefined} precision
 */
async function startForced(build, wasm, threads, precision) {
    const shared = isThreaded(build);
    if (!wasm[build])
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `the build ${build} was asked for, and wasmUrl does not say where it is`,
        );
    if (shared && !mayShare())
        throw new NibbleError(
            'NB_ERR_ENGINE',
            `the build ${build} needs shared memory: serve the page with the headers ` +
                '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp", or leave build out',
        );
    if (isRelaxed(build) && !knowsRelaxed())
        throw new NibbleError(
            'NB_ERR_ENGINE',
            `the build ${build} needs relaxed SIMD, which this engine lacks ` +
                '(it came with Chrome 114, Firefox 145 and Node 22): leave build out',
        );
    const core = await startBuild(build, wasm);
    if (isRelaxed(build) && !(await relaxedIsRight(core, build, precision)))
        throw new NibbleError(
            'NB_ERR_ENGINE',
            `the build ${build} would compute wrongly here: this engine's relaxed dot ` +
                'product gives other sums than the kernels rely on; leave build out',
        );
    return { core, threads: shared ? (threads ?? (await usefulThreads())) : 1 };
}
