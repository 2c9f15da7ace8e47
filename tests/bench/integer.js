// Measures the speed of a model of integers (docs/integer.md): node tests/bench/integer.js [MODEL] [THREADS]
//
// It prints tokens per second of a Llama converted to integers, and of the same Llama in Q8_0, which takes as much
// memory, with activations of 16 bits (exact) and of 8 bits (fast). They take turns, and the figures are medians.
// Each round has a prompt of its own, so that nothing of it is in the KV cache already.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { load, quantize } from '../../web/index.js';

/** @typedef {import('../../web/index.d.ts').QuantizeOptions} QuantizeOptions */
/** @typedef {import('../../web/index.d.ts').Model} Model */

const tiny = fileURLToPath(new URL('../fixtures/tiny.gguf', import.meta.url)),
    [source = tiny, threads = '1'] = process.argv.slice(2),
    PROMPT = 128,
    GENERATED = 32,
    ROUNDS = 5;
const median = (/** @type {number[]} */ all) => all.sort((a, b) => a - b)[all.length >> 1];

/** @param {Model} model @param {number} round */
async function measure(model, round) {
    const size = /** @type {number} */ (model.info.vocabulary),
        prompt = Array.from({ length: PROMPT }, (_, i) => (i * i + 31 * round) % size);
    const { timings } = await model.complete(prompt, { temperature: 0, maxTokens: GENERATED, ignoreEnd: true });
    return { prompt: timings.promptTokensPerSecond ?? 0, generate: timings.generateTokensPerSecond ?? 0 };
}

const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
try {
    const write = async (/** @type {string} */ name, /** @type {QuantizeOptions} */ options) => {
        const path = join(folder, name);
        writeFileSync(path, new Uint8Array(await new Response(quantize(source, options)).arrayBuffer()));
        return path;
    };
    const integers = await write('integers.gguf', { method: 'integer' }),
        q8_0 = await write('q8_0.gguf', { type: 'q8_0', requantize: true });
    const settings = { threads: Number(threads), contextLength: PROMPT + GENERATED };
    const rows = [
        { name: 'integers', model: await load(integers, settings) },
        { name: 'Q8_0, exact', model: await load(q8_0, { ...settings, precision: 'exact' }) },
        { name: 'Q8_0, fast', model: await load(q8_0, { ...settings, precision: 'fast' }) },
    ].map((row) => ({ ...row, rates: /** @type {Awaited<ReturnType<typeof measure>>[]} */ ([]) }));
    for (let round = 0; round <= ROUNDS; round++)
        for (const { model, rates } of rows) {
            const rate = await measure(model, round);
            if (round > 0) rates.push(rate); // the first one warms up
        }
    console.log(`${source}: prompts of ${PROMPT} tokens, ${GENERATED} generated, ${threads} threads; tokens/s`);
    for (const { name, model, rates } of rows) {
        const figure = (/** @type {'prompt' | 'generate'} */ what) =>
            median(rates.map((rate) => rate[what])).toLocaleString('en', { maximumFractionDigits: 1 });
        console.log(
            `${name.padEnd(12)} (${model.info.build}): prompt ${figure('prompt')}, generate ${figure('generate')}`,
        );
        await model.dispose();
    }
} finally {
    rmSync(folder, { recursive: true });
}
