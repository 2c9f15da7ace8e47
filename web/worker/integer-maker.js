/**
 * quantize() with `method: 'integer'`: a model's files -> the GGUF of its integers, made as the bytes pass
 * (nb_integer_maker).
 */

import { openConversion } from './convert.js';
import { startBuild } from './core.js';
import { feedSink, passOn } from './feed.js';
import { Meter } from './load-model.js';
import { Pieces } from './pieces.js';

/**
 * @param {import('./convert.js').InputFile[]} files
 * @param {import('../protocol.js').QuantizeOptions} options
 * @param {import('./pieces.js').PiecesPort & { progress: (progress: import('../index.d.ts').Progress) => void }} port
 * @param {import('./journal.js').Journal} [journal]
 */
export async function makeIntegers(files, { assets }, port, journal) {
    const conversion = await openConversion(files, { assets }, journal);
    try {
        const core = await startBuild('quantize', assets.wasm),
            maker = core.object('nb_integer_maker_new');
        await conversion.readHeaders(port.ready);
        const meter = new Meter(port.progress),
            total = conversion.core.exports.nb_converter_total(conversion.converter);
        const out = new Pieces(
            port,
            () => {},
            () => [],
        );
        const sink = feedSink(
            core,
            'nb_integer_maker',
            maker,
            () => {
                passReady(core, maker, out);
                meter.tick(sink.loaded, total);
            },
            port.ready,
        );
        await conversion.write(sink);
        core.count('nb_integer_maker_end', maker);
        out.end();
        meter.end(sink.loaded, sink.loaded);
    } finally {
        conversion.free();
    }
}

/**
 * Passes on the output that is ready.
 * @param {import('./core.js').Core} core
 * @param {number} maker
 * @param {Pieces} out
 */
const passReady = (core, maker, out) =>
    core.borrow(4, (at) => {
        const address = core.exports.nb_integer_maker_take(maker, at) >>> 0,
            size = core.ints(at, 1)[0] >>> 0;
        passOn(core, address, size, out);
    });
