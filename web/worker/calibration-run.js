/** What identifies a calibrated run. `--resume` takes over only the layers of a run that is the same (blocks.js). */
import { layerOf } from './planned.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('../protocol.js').QuantizeOptions} QuantizeOptions */

/**
 * Options that do not change what the weights are rounded to. The calibration text is compared as tokens, which also
 * shows the number of windows.
 * @type {{ [name in keyof QuantizeOptions]?: undefined }}
 */
const IRRELEVANT = {
    ...{ calibration: undefined, samples: undefined, threads: undefined, resume: undefined, requantize: undefined },
    ...{ part: undefined, parts: undefined, assets: undefined, debug: undefined },
};

/**
 * Options that only choose the types of tensors. The plan has these types, so two runs with the same plan may differ in
 * these options.
 * @param {QuantizeOptions & { [name: string]: any }} options
 * @param {(value: any) => any} map
 */
const choicesOf = (options, map) =>
    Object.fromEntries(
        ['type', 'bits', 'size', 'tensors', 'outputType', 'tokenEmbeddingType', 'imatrix'].map((name) => [
            name,
            map(options[name]),
        ]),
    );

/**
 * @param {QuantizeOptions} options
 * @param {Planned[]} plan
 * @param {number} context tokens of a window
 * @param {Int32Array} tokens of the calibration text
 * @param {string} ends the hash of the weights outside the layers
 * @returns {import('./blocks.js').Run}
 */
export const calibrationRun = (options, plan, context, tokens, ends) => ({
    settings: { ...options, ...IRRELEVANT, ...choicesOf(options, () => undefined), context },
    choices: choicesOf(options, (value) => value),
    plan: plan
        .filter(({ name }) => layerOf(name) >= 0)
        .map(({ name, source, from, type, columns, rows, matrices }) =>
            [name, source, from, type, columns, rows, matrices].join(),
        )
        .join('\n'),
    text: new Uint8Array(tokens.buffer),
    ends,
});
