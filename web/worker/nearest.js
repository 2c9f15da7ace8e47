/**
 * Makes a folder whose matrices are rounded to nearest: without a text, and without running the model. It goes layer by
 * layer, as calibrate() does.
 */
import { possibleThreads } from './choose-build.js';
import { Conversion } from './convert.js';
import { Tensors } from './parts.js';
import { layerOf } from './planned.js';
import { Quantizer } from './quantizer.js';

/** @typedef {{ from: string, weights: Uint8Array }} Weights */
/** isSerial: threads would have nothing to do. @typedef {{ isSerial: boolean, round: (quantizer: Quantizer, tensor:
 *     import('./planned.js').Planned, weights: Weights, room: import('./inputs.js').Room) =>
 *     Promise<void> }} Rounding */

/**
 * @param {Conversion} conversion which has read the headers; another one is made of its files
 * @param {import('./planned.js').Planned[]} plan
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {Pick<Parameters<typeof import('./calibrate.js').calibrate>[3], 'watch'>} port
 * @param {import('./maker.js').Maker & import('./blocks.js').Blocks & Rounding} output
 * @param {(bytes: number) => void} tick called with the bytes of tensors that are made
 * @param {import('./journal.js').Journal} [journal]
 */
export async function roundToNearest({ core, files }, plan, options, port, output, tick, journal) {
    const { assets } = options,
        threads = output.isSerial ? 1 : await possibleThreads(options.threads),
        wanted = plan.filter((tensor) => output.isWanted(tensor)),
        layers = Math.max(...wanted.map(({ name }) => layerOf(name))) + 1;
    const quantizer = await Quantizer.start(assets, threads, options, port.watch),
        parts = new Tensors(new Conversion(core, files, { assets }, journal));
    let done = 0;
    try {
        await parts.conversion.readHeaders();
        for (let layer = 0; layer < layers; layer++) {
            const mine = new Map(wanted.filter(({ name }) => layerOf(name) === layer).map((one) => [one.name, one])),
                kept = mine.size > 0 ? await parts.read((name) => mine.has(name)) : new Map();
            for (const [name, tensor] of mine) {
                const room = output.room(quantizer, tensor, output);
                await output.round(quantizer, tensor, /** @type {Weights} */ (kept.get(name)), room);
                output.finish(quantizer, tensor, room);
                done += output.bytesOf(quantizer, tensor);
                tick(done);
            }
            await output.endLayer();
            journal?.(`layer ${layer}: ${mine.size} tensors rounded to nearest`);
        }
    } finally {
        parts.free();
        quantizer.end();
    }
}
