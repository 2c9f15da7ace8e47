/** For commands that read a text, or go through one window by window. */
import { readInput } from './files.js';
import { inTime, open } from './open-model.js';
import { writeStatus } from './terminal.js';
import { UsageError } from './usage.js';

/** @typedef {import('../index.d.ts').TextProgress} TextProgress */

/** Characters of a text at most: the limit of V8's strings. */
const LONGEST = 2 ** 29 - 24;

/** @param {string} flag for messages @param {string} path of a text in UTF-8 */
export async function readText(flag, path) {
    const bytes = await readInput(flag, path);
    if (bytes.length === 0) throw new UsageError(`${flag}: ${path} is empty`);
    try {
        return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
    } catch {
        if (bytes.length > LONGEST)
            throw new UsageError(
                `${flag}: ${path} is longer than a text can be, or not in UTF-8: take parts of less than 500 MB`,
            );
        throw new UsageError(`${flag}: ${path} is not a text in UTF-8; convert it, or take another`);
    }
}

/**
 * Loads the model and the text of --file, and calls `act` with them, with a line of progress on a terminal.
 * @template T
 * @param {import('./usage.js').Arguments} args
 * @param {AbortSignal} signal
 * @param {string} doing for the line of progress, such as "Measuring"
 * @param {(model: import('./usage.js').Model, text: string,
 *     options: { signal: AbortSignal, onProgress?: (progress: TextProgress) => void }) => Promise<T>} act
 * @returns {Promise<T>}
 */
export async function withText(args, signal, doing, act) {
    const text = await readText('--file', args.values.file);
    const model = await open(args, signal, { contextLength: 1 }); // `act` makes a session of its own
    const { stderr } = process;
    /** @param {TextProgress} progress */
    const show = ({ done, total, secondsLeft }) =>
        writeStatus(
            `${doing} ${Math.floor((done / total) * 100)} %, ${done} of ${
                total
            } tokens${secondsLeft === null ? '' : `, ${inTime(secondsLeft)} left`}`,
        );
    try {
        return await act(model, text, { signal, onProgress: stderr.isTTY ? show : undefined });
    } finally {
        if (stderr.isTTY) writeStatus('');
        await model.dispose();
    }
}
