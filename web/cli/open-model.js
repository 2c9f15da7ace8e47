import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isDebugAsked } from '../debug.js';
import { messageOf } from '../errors.js';
import { load, NibbleError } from '../index.js';
import { LOAD_OPTIONS } from '../options.js';
import { placeToRead, readInput } from './files.js';
import { write, writeStatus } from './terminal.js';

/** @typedef {import('./usage.js').Arguments} Arguments */
/** @typedef {import('../checks.js').Option} Option */

/**
 * The options of a table, out of the flags' values.
 * @param {Record<string, Option>} table
 * @param {Record<string, any>} values
 */
export const pick = (table, values) => Object.fromEntries(Object.keys(table).map((name) => [name, values[name]]));

/** @typedef {import('../index.d.ts').Progress} Progress */

/**
 * The phase of quantize(). After a calibration there is only writing left. The progress of each phase goes from 0 to
 * all of it.
 * @returns {(progress: Progress) => string}
 */
export function quantizingPhases() {
    let isCalibrated = false;
    return ({ calibration, measuring }) => {
        isCalibrated ||= calibration !== undefined;
        if (measuring) return 'Measuring';
        return isCalibrated && !calibration ? 'Writing' : 'Quantizing';
    };
}

/**
 * How far something is.
 * @param {string} doing
 * @param {Progress} progress
 */
export function progressLine(doing, { loaded, total, rate, secondsLeft, calibration, measuring }) {
    if (calibration) return calibrationLine(doing, calibration, secondsLeft);
    if (measuring)
        return `${doing} ${Math.floor(measuring.share * 100)} %, ${measuring.tensor}${
            secondsLeft === null ? '' : `, ${inTime(secondsLeft)} left`
        }`;
    const mb = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
    const share = total
        ? `${Math.floor((loaded / total) * 100)} %, ${mb(loaded)} of ${mb(total)} MB`
        : `${mb(loaded)} MB`;
    const left =
        secondsLeft === null ? '' : `, ${secondsLeft < 10 ? secondsLeft.toFixed(1) : Math.round(secondsLeft)} s left`;
    return `${doing} ${share}, ${mb(rate)} MB/s${left}`;
}

/**
 * How far a calibration is.
 * @param {string} doing
 * @param {NonNullable<import('../index.d.ts').Progress['calibration']>} calibration
 * @param {number | null} secondsLeft
 */
function calibrationLine(doing, { layer, layers, stage, tensor, share }, secondsLeft) {
    const stages = { observe: 'observing the inputs of', scale: 'scaling for', quantize: 'rounding', pass: 'passing' };
    const left = secondsLeft === null ? '' : `, ${inTime(secondsLeft)} left`;
    return `${doing} ${Math.floor(share * 100)} %, layer ${layer + 1} of ${layers}: ${stages[stage]} ${tensor}${left}`;
}

/** @param {number} seconds */
export function inTime(seconds) {
    const whole = Math.ceil(seconds);
    if (whole < 60) return `${whole} s`;
    return whole < 3600 ? `${Math.floor(whole / 60)} min ${whole % 60} s` : `${(whole / 3600).toFixed(1)} h`;
}

/** Milliseconds before the first line, and between two, if standard error is not a terminal. */
const QUIET = 5000;

/**
 * If standard error is not a terminal: a line whenever another tenth is done, if it takes long.
 * @param {(progress: Progress) => string} doingOf what is being done; when it changes, the tenths begin again
 * @param {(line: string) => void} print
 * @param {() => number} now in milliseconds
 * @returns {(progress: Progress) => void}
 */
export function tenths(doingOf, print = printLine, now = () => performance.now()) {
    let printed = 0,
        last = now(),
        before = '';
    return (progress) => {
        const { loaded, total, calibration, measuring } = progress,
            doing = doingOf(progress),
            share = (calibration ?? measuring)?.share ?? (total ? loaded / total : 0),
            tenth = Math.floor(10 * share);
        if (doing !== before) printed = 0;
        before = doing;
        if (tenth <= printed || now() - last < QUIET) return;
        printed = tenth;
        last = now();
        print(progressLine(doing, progress));
    };
}

/** A line of what happens (NIBBLE_DEBUG). @param {string} line */
export function printLine(line) {
    if (process.stderr.isTTY) writeStatus('');
    write(`nibble: ${line}\n`, process.stderr);
}

/**
 * Puts the model's name into errors about the model; others name what is wrong.
 * @param {string} model
 * @param {unknown} error
 */
export const ofModel = (model, error) =>
    error instanceof NibbleError && /_(FORMAT|TRUNCATED|UNSUPPORTED|MEMORY)$/.test(error.code)
        ? new NibbleError(error.code, `${model}: ${error.message.replace(/^the (draft )?model: /, '')}`, {
              cause: error,
          })
        : error;

/**
 * The adapters of --adapter. A file may have a "=" in its name: what follows the last one counts if it is a number.
 * @param {string[]} given
 */
export const adaptersOf = (given = []) =>
    given.map((text) => {
        const [, source = text, scale = '1'] = /^(.+)=(-?[\d.]+)$/s.exec(text) ?? [];
        return { source, scale: Number(scale) };
    });

/**
 * The memory that an adapter will take, before anything is read: its numbers in F32, and its file while it is read. Of
 * what is not on this machine nothing is known.
 * @param {string} source
 */
export async function adapterMemory(source) {
    const sizeOf = (/** @type {string} */ path) =>
        stat(path).then(
            (found) => (found.isFile() ? found.size : 0),
            () => 0,
        );
    return 2 * ((await sizeOf(source)) || (await sizeOf(join(source, 'adapter_model.safetensors'))));
}

/**
 * Loads, with a line of progress on a terminal.
 * @param {Arguments} args
 * @param {AbortSignal} signal
 * @param {{ headerOnly?: boolean, contextLength?: number }} [extra]
 */
export async function open({ model, values }, signal, extra) {
    const { stderr } = process;
    const show = (/** @type {Progress} */ progress) => writeStatus(progressLine('Loading', progress));
    const debug = isDebugAsked() && printLine;
    const imatrix = values.imatrix === undefined ? undefined : await readInput('--imatrix', values.imatrix),
        draft = values.draft === undefined || extra?.headerOnly ? undefined : placeToRead(values.draft);
    try {
        return await load(model, {
            ...pick(LOAD_OPTIONS, values),
            imatrix,
            draft,
            adapters: extra?.headerOnly ? [] : adaptersOf(values.adapter),
            signal,
            debug,
            onProgress: stderr.isTTY ? show : undefined,
            ...extra,
        });
    } catch (error) {
        throw ofModel(/^the draft model: /.test(messageOf(error)) ? `${draft} (--draft)` : model, error);
    } finally {
        if (stderr.isTTY) writeStatus('');
    }
}
