// Tuning in the lab: lets the scales of a quantized file learn from the original.
import { tune } from '../web/index.js';

/** Sequences per step, and tokens per sequence, at most. */
const BATCH = 4,
    LENGTH = 128;

/**
 * @param {{ original: import('./lab-work.js').Original, file: File, name: string, text: string, tokens: number,
 *     window: number, steps: number, store: import('./lab-store.js').Store, signal: AbortSignal }} asked
 *     name: of the new file; tokens: how many the text has; window: the longest sequence
 * @param {import('./lab-work.js').Step} step
 * @returns {Promise<[import('./lab-store.js').Kept, string]>} the new file, and a note to show beside the step
 */
export async function tuneFile({ original, file, name, text, tokens, window, steps, store, signal }, step) {
    const length = Math.min(window, LENGTH),
        batch = Math.max(1, Math.min(BATCH, Math.floor((tokens - 1) / length)));
    const tuning = await tune(file, { teacher: original.source, data: text, steps, batch, length, signal });
    try {
        /** @type {number[]} */
        const losses = [];
        for await (const { step: done, loss, secondsLeft } of tuning) {
            losses.push(loss);
            step.progress(done / steps, secondsLeft);
        }
        const stream = /** @type {ReadableStream<Uint8Array<ArrayBuffer>>} */ (tuning.model());
        return [
            await store.keep(name, stream),
            `divergence ${losses[0].toPrecision(3)} at the first step, ` +
                `${losses[losses.length - 1].toPrecision(3)} at the last`,
        ];
    } finally {
        await tuning.dispose();
    }
}
