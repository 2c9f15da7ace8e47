/**
 * Where the time goes: V8's sampling profiler watches the engine's thread from outside, which costs the engine and the
 * core nothing. The builds keep the names of some functions (tools/trim-names.js): the innermost of these in a sample
 * is its phase.
 */
import { Session } from 'node:inspector';

/** @typedef {{ phase: string, ms: number }} Phase */
/**
 * ms is by the clock; the phases add up to about that.
 * @typedef {{ ms: number, phases: (Phase & { share: number })[] }} TimeSpent
 */
/** @typedef {import('node:inspector').Profiler.Profile} Profile */
/** @typedef {import('node:inspector').Profiler.ProfileNode} ProfileNode */

const INTERVAL = 500; // microseconds between samples: finer ones slow down what they measure
const PATIENCE = 30000; // ms to wait for the profiler's answer

/**
 * A function that is not here belongs to what called it. V8 may inline a caller, so the pool's chunks are here too.
 */
const PHASES = /** @type {[RegExp, string][]} */ ([
    [/^nb_matmul_any_/, 'matmul as F32'],
    [/^nb_matmul_(.+)_[^_]+__/, 'matmul $1'], // nb_matmul_<weight>_<activation>__<isa>
    [/^nb_dequantize_(.+)/, 'dequantizing $1'],
    [/^(nb_matmul|run_chunk)$/, 'matmul, dividing the work'],
    [/^(nb_integer_multiply|run_rows)$/, 'matmul int8'],
    [/^(nb_activations_|quantize_chunk|nb_integer_codes)/, 'quantizing activations'],
    [/^(nb_attend|attend_|nb_integer_attend)/, 'attention'],
    [/^(nb_sampler_|nb_integer_session_choose$)/, 'sampling'],
    [/^nb_(integer_)?session_(advance|generate)$/, 'norms, RoPE, activation functions'],
    [/^nb_(de)?tokenize/, 'text'],
]);

/** The pool's loop and its sleep. They count only if they are innermost: otherwise a chunk runs. */
const WAITS = /^(nb_parallel|run_chunks|sleep_while)$/;

/** Whether a function of the core decides a phase: builds keep the names of such functions only.
 * @param {string} name */
export const isPhase = (name) => WAITS.test(name) || PHASES.some(([pattern]) => pattern.test(name));

/** V8's names for time that is neither JavaScript nor WebAssembly. */
const isOutside = (/** @type {ProfileNode | undefined} */ node) =>
    !node || /^\((root|program|idle)\)$/.test(node.callFrame.functionName);

/**
 * @param {ProfileNode} leaf
 * @param {Map<number, ProfileNode>} parents by the child's id
 */
function phaseOf(leaf, parents) {
    if (WAITS.test(leaf.callFrame.functionName)) return 'waiting for threads';
    for (let node = /** @type {ProfileNode | undefined} */ (leaf); node; node = parents.get(node.id)) {
        const { functionName, url } = node.callFrame;
        const found = url.startsWith('wasm:') && PHASES.find(([pattern]) => pattern.test(functionName));
        if (found) return functionName.replace(new RegExp(`${found[0].source}.*`), found[1]);
    }
    return leaf.callFrame.url.startsWith('wasm:') ? 'other WebAssembly' : 'JavaScript';
}

/**
 * @param {Profile} profile
 * @returns {Phase[]} their sum is the time from the first function to the last; the profiler's own lies outside
 */
export function phasesOf({ nodes, samples = [], timeDeltas = [] }) {
    const byId = new Map(nodes.map((node) => [node.id, node]));
    const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node])));
    const taken = samples.map((id) => byId.get(id));
    const first = taken.findIndex((node) => !isOutside(node)),
        last = taken.findLastIndex((node) => !isOutside(node));
    /** @type {Map<string, number>} */
    const sums = new Map();
    for (let i = first + 1; i <= last; i++) {
        const phase = phaseOf(/** @type {ProfileNode} */ (taken[i]), parents);
        sums.set(phase, (sums.get(phase) ?? 0) + timeDeltas[i] / 1000);
    }
    return [...sums].map(([phase, ms]) => ({ phase, ms }));
}

/**
 * @param {{ ms: number, phases: Phase[] }[]} runs of the same work
 * @returns {TimeSpent} their means, the longest phase first
 */
export function meanTime(runs) {
    /** @type {Map<string, number>} */
    const means = new Map();
    for (const { phase, ms } of runs.flatMap(({ phases }) => phases))
        means.set(phase, (means.get(phase) ?? 0) + ms / runs.length);
    const sum = [...means.values()].reduce((total, ms) => total + ms, 0);
    return {
        ms: runs.reduce((total, { ms }) => total + ms / runs.length, 0),
        phases: [...means].map(([phase, ms]) => ({ phase, ms, share: ms / sum })).sort((a, b) => b.ms - a.ms),
    };
}

/**
 * Where the time goes while something is done.
 * @returns {Promise<(act: () => Promise<unknown>) => Promise<{ ms: number, phases: Phase[] }>>}
 */
export async function openProfiler() {
    const session = new Session();
    session.connect();
    /** @type {string | undefined} */
    let engine;
    session.on('NodeWorker.attachedToWorker', ({ params }) => {
        if (params.workerInfo.url.endsWith('/engine-worker.js')) engine = params.sessionId;
    });
    await new Promise((resolve, reject) =>
        session.post('NodeWorker.enable', { waitForDebuggerOnStart: false }, (error) =>
            error ? reject(error) : resolve(undefined),
        ),
    );
    if (!engine) throw new Error("the profiler does not find the engine's thread: does this Node lack the inspector?");
    const sessionId = engine;
    let last = 0;
    const ask = (/** @type {string} */ method, /** @type {object} */ params = {}) =>
        new Promise((resolve, reject) => {
            const id = ++last;
            const listen = (/** @type {{ params: { message: string } }} */ event) => {
                const answer = JSON.parse(event.params.message);
                if (answer.id !== id) return;
                clearTimeout(timer);
                session.off('NodeWorker.receivedMessageFromWorker', listen);
                resolve(answer.result);
            };
            const timer = setTimeout(reject, PATIENCE, new Error(`the profiler does not answer ${method}`));
            session.on('NodeWorker.receivedMessageFromWorker', listen);
            session.post('NodeWorker.sendMessageToWorker', {
                sessionId,
                message: JSON.stringify({ id, method, params }),
            });
        });
    await ask('Profiler.enable');
    await ask('Profiler.setSamplingInterval', { interval: INTERVAL });
    return async (act) => {
        await ask('Profiler.start');
        const began = performance.now();
        await act();
        const ms = performance.now() - began;
        return { ms, phases: phasesOf((await ask('Profiler.stop')).profile) };
    };
}
