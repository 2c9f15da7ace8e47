// What the workers of models hold that were loaded with counting().
/** modules: of the worker, in the order in which they were started, with the bytes of their memories and the objects that
 * JavaScript made in them and has not freed. heap: bytes of JavaScript's objects.
 * @typedef {{ modules: { bytes: number, live: Record<string, number> }[], heap: number }} Held */

/** Options of load(). */
export const counting = { workerUrl: new URL('counting-worker.js', import.meta.url) };

let asked = 0;

/** @param {number} workers how many there are @returns {Promise<Held[]>} in the order in which they were started */
export function memoryOf(workers) {
    const channel = new BroadcastChannel('nibble memory'),
        ask = ++asked,
        /** @type {(Held & { thread: number })[]} */
        answers = [];
    return new Promise((resolve) => {
        channel.onmessage = ({ data }) => {
            if (data.answer !== ask) return;
            answers.push(data);
            if (answers.length < workers) return;
            channel.close();
            resolve(answers.sort((a, b) => a.thread - b.thread).map(({ thread, ...held }) => held));
        };
        channel.postMessage({ ask });
    });
}
