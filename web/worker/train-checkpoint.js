/**
 * Checkpoints: all that a training needs to go on with the same bits.
 *
 *     8 bytes   "NBTRAIN" and a zero
 *     u32       version of this format, VERSION
 *     u32       bytes of the JSON object that follows, with spaces at its end to a multiple of 4
 *     JSON      Facts
 *     F32       weights: `floats`
 *     bytes     AdamW's moments, in 8 or 32 bits: `moments`
 *     u32       checksum of all bytes before (random.js)
 *
 * Numbers are little-endian, as they are in memory.
 */
import { NibbleError } from '../errors.js';
import { checksum, wordsOf } from '../random.js';

/**
 * The training that a checkpoint is of. source: checksum of the weights that the training began with; text: of its
 * tokens; losses: of each step that is done; heldOut: pairs of a step and the loss of the held-out text after it.
 * @typedef {{ steps: number, floats: number, moments: number, options: Record<string, number | boolean | string>,
 *     shape: Record<string, number>, source: number, text: number, tokens: number, losses: number[],
 *     heldOut: [number, number][] }} Facts
 */

const MAGIC = 'NBTRAIN\0',
    VERSION = 3,
    HEAD = 16;

/** @param {string} what */
const broken = (what) =>
    new NibbleError('NB_ERR_FORMAT', `the checkpoint is damaged (${what}): take another one, or begin anew`);

/**
 * @param {Facts} facts
 * @param {Uint8Array} weights
 * @param {Uint8Array} moments
 */
export function writeCheckpoint(facts, weights, moments) {
    const text = new TextEncoder().encode(JSON.stringify(facts)),
        json = new Uint8Array(Math.ceil(text.length / 4) * 4).fill(0x20),
        bytes = new Uint8Array(HEAD + json.length + weights.length + moments.length + 4),
        view = new DataView(bytes.buffer);
    bytes.set(new TextEncoder().encode(MAGIC));
    view.setUint32(8, VERSION, true);
    view.setUint32(12, json.length, true);
    json.set(text);
    bytes.set(json, HEAD);
    bytes.set(weights, HEAD + json.length);
    bytes.set(moments, HEAD + json.length + weights.length);
    view.setUint32(bytes.length - 4, checksum(wordsOf(bytes.subarray(0, bytes.length - 4))), true);
    return bytes;
}

/**
 * @param {Uint8Array} given
 * @returns {{ facts: Facts, weights: Uint8Array, moments: Uint8Array }}
 */
export function readCheckpoint(given) {
    const bytes = given.byteOffset % 4 ? given.slice() : given,
        view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    if (bytes.length < HEAD || new TextDecoder().decode(bytes.subarray(0, 8)) !== MAGIC)
        throw new NibbleError('NB_ERR_FORMAT', 'the checkpoint is not one of a training by nibble');
    const version = view.getUint32(8, true),
        header = view.getUint32(12, true);
    if (version !== VERSION)
        throw new NibbleError(
            'NB_ERR_UNSUPPORTED',
            `the checkpoint has version ${version} of the format, and this nibble reads version ${VERSION}: ` +
                'go on with the nibble that wrote it, or begin anew',
        );
    if (bytes.length % 4 || header % 4 || HEAD + header + 4 > bytes.length) throw broken('it was cut off');
    if (checksum(wordsOf(bytes.subarray(0, bytes.length - 4))) !== view.getUint32(bytes.length - 4, true))
        throw broken('its checksum is another one');
    const facts = readFacts(bytes.subarray(HEAD, HEAD + header)),
        first = HEAD + header,
        middle = first + 4 * facts.floats,
        end = middle + facts.moments;
    if (end + 4 !== bytes.length) throw broken('its size does not fit');
    return { facts, weights: bytes.subarray(first, middle), moments: bytes.subarray(middle, end) };
}

/** @param {Uint8Array} json @returns {Facts} */
function readFacts(json) {
    try {
        const facts = JSON.parse(new TextDecoder().decode(json)),
            { steps, losses, heldOut } = facts;
        const isCount = (/** @type {unknown} */ n) => Number.isInteger(n) && Number(n) >= 0 && Number(n) < 2 ** 32;
        if (
            [steps, facts.floats, facts.moments, facts.source, facts.text, facts.tokens].every(isCount) &&
            losses.length === steps &&
            losses.every(Number.isFinite) &&
            heldOut.every(
                (/** @type {[unknown, unknown]} */ [step, loss]) =>
                    isCount(step) && Number(step) <= steps && Number.isFinite(loss),
            )
        )
            return { ...facts, options: { ...facts.options }, shape: { ...facts.shape } };
    } catch {}
    throw broken('its header cannot be read');
}

/**
 * Checks that a checkpoint is of this training. The error says what differs.
 * @param {Facts} theirs of the checkpoint
 * @param {Facts} ours
 */
export function checkSame(theirs, ours) {
    const refuse = (/** @type {string} */ what) =>
        new NibbleError('NB_ERR_ARGUMENT', `the checkpoint is of ${what}: a training goes on only as it began`);
    const others = (/** @type {'shape' | 'options'} */ part) =>
        Object.keys({ ...ours[part], ...theirs[part] }).filter((name) => theirs[part][name] !== ours[part][name]);
    const [size] = others('shape'),
        options = others('options'),
        [option] = options,
        rounding = options.find((name) => name.startsWith('qat.') || name === 'optimizerBits'),
        shown = (/** @type {unknown} */ value) => (value === undefined || value === '' ? 'absent' : value);
    const otherwise = (/** @type {string} */ name) =>
        refuse(
            `a training whose ${name} was ${shown(theirs.options[name])}, and now it is ${shown(ours.options[name])}`,
        );
    if (size) throw refuse(`another model (its ${size} is ${theirs.shape[size]})`);
    // a training that rounds otherwise has other parameters, or moments, so this is reported before any size
    if (rounding) throw otherwise(rounding);
    if (theirs.floats !== ours.floats || theirs.moments !== ours.moments)
        throw refuse(`another model (its size is ${theirs.floats})`);
    if (theirs.source !== ours.source) throw refuse('another model: the weights that it began with were others');
    if (theirs.text !== ours.text || theirs.tokens !== ours.tokens)
        throw refuse(`another text, which has ${theirs.tokens} tokens`);
    if (option === 'teacher') throw refuse('a training by another teacher (--teacher)');
    if (option) throw otherwise(option);
}
