/** A folder whose matrices are rounded to nearest, without a text: layer by layer, as calibrate() makes it. */
import { possibleThreads } from './choose-build.js';
import { Conversion } from './convert.js';
import { Meter } from './load-model.js';
import { Tensors } from './parts.js';
import { layerOf, part } from './planned.js';
import { Quantizer } from './quantizer.js';

/**
 * @param {Conversion} conversion which has read the headers; another one is made of its files
 * @param {import('./planned.js').Planned[]} plan
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {Parameters<typeof import('./calibrate.js').calibrate>[3]} port
 * @param {import('./calibrate.js').Maker & import('./blocks.js').Blocks} output
 * @param {import('./journal.js').Journal} [journal]
 */
export async function roundToNearest({ core, files }, plan, options, port, output, journal) {
    const { assets } = options,
        threads = await possibleThreads(options.threads),
        wanted = plan.filter((tensor) => output.isWanted(tensor)),
        layers = Math.max(...wanted.map(({ name }) => layerOf(name))) + 1,
        meter = new Meter(port.progress);
    const quantizer = await Quantizer.start(assets, threads, options, port.watch),
        parts = new Tensors(new Conversion(core, files, { assets }, journal)),
        total = wanted.reduce((sum, tensor) => sum + output.bytesOf(quantizer, tensor), 0);
    let done = 0;
    try {
        await parts.conversion.readHeaders();
        for (let layer = 0; layer < layers; layer++) {
            const mine = new Map(wanted.filter(({ name }) => layerOf(name) === layer).map((one) => [one.name, one])),
                kept = await parts.take((name) => mine.has(name));
            for (const [name, tensor] of mine) {
                const { columns, rows, matrices } = tensor,
                    { from, weights } = /** @type {{ from: string, weights: Uint8Array }} */ (kept.get(name)),
                    room = output.room(quantizer, tensor, output);
                const experts = Array.from({ length: matrices }, (_, expert) => ({
                    ...{ ...room, ...room.parts?.[expert], name, from, rows, clips: false },
                    ...{ weights: part(weights, expert, matrices), firstRow: expert * rows },
                }));
                await quantizer.open(columns, null, (inputs) => inputs.quantize(experts, async () => {}));
                output.finish(quantizer, tensor, room);
                done += output.bytesOf(quantizer, tensor);
                meter.tick(done, total);
            }
            await output.endLayer();
        }
    } finally {
        parts.free();
        quantizer.end();
    }
}
