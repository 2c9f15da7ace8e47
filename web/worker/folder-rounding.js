/**
 * A quantized folder without a calibration text: the matrices are rounded to nearest, one layer after the other, and no
 * model is computed with.
 */

import { Conversion } from './convert.js';
import { Parts } from './parts.js';
import { layerOf, part } from './planned.js';
import { withName } from './quantize-core.js';
import { Quantizer } from './quantizer.js';

/** @typedef {import('./folder-tensors.js').Coding} Coding */
/** @typedef {import('./formats/folder-formats.js').FolderFormat} FolderFormat */

/**
 * @param {Conversion} conversion which has read the headers; another one is made of its files
 * @param {Coding[]} made in the order of their layers
 * @param {import('./formats/folder-formats.js').CheckedFolder} folder
 * @param {NonNullable<FolderFormat['round']>} round
 * @param {object} output which gets what is made of each matrix
 * @param {(coding: Coding) => import('./inputs.js').Room} output.roomOf
 * @param {(quantizer: Quantizer, coding: Coding, made: import('./inputs.js').Room) => void} output.keep
 * @param {() => Promise<void>} output.endLayer
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {{ watch: (port: MessagePort) => void, tick: () => void }} port
 * @param {import('./journal.js').Journal} [journal]
 */
export async function roundMatrices({ core, files }, made, folder, round, output, options, { watch, tick }, journal) {
    const { assets } = options,
        quantizer = await Quantizer.start(assets, 1, options, watch),
        // no engine, as tensors are only taken
        parts = new Parts(new Conversion(core, files, { assets }, journal), /** @type {any} */ ({}));
    try {
        await parts.conversion.readHeaders();
        const layers = Math.max(...made.map(({ tensor }) => layerOf(tensor.name))) + 1;
        for (let layer = 0; layer < layers; layer++) {
            const now = made.filter(({ tensor }) => layerOf(tensor.name) === layer),
                names = new Set(now.map(({ tensor }) => tensor.name)),
                kept = now.length > 0 ? await parts.take((name) => names.has(name)) : new Map();
            for (const coding of now) {
                const room = output.roomOf(coding),
                    { name, matrices } = coding.tensor,
                    { from, weights } = kept.get(name),
                    expert = now.filter(({ tensor }) => tensor.name === name).indexOf(coding);
                try {
                    const its = { from, weights: part(weights, expert, matrices) };
                    await round(quantizer, coding, its, room, folder, async () => tick());
                } catch (error) {
                    throw withName(error, `${coding.module}.weight`);
                }
                output.keep(quantizer, coding, room);
            }
            await output.endLayer();
            journal?.(`layer ${layer}: ${now.length} matrices rounded`);
        }
    } finally {
        parts.free();
        quantizer.end();
    }
}
