// How fast texts are embedded, beside transformers.js: 1,000 texts of 32 tokens through all-MiniLM-L6-v2, in one page of
// Chromium, in turn, with the same number of threads.
//     node tests/bench/embeddings.js [--texts 1000] [--threads 1,2] [--batches 1,32]
// It needs the model (make minilm), and what tests/bench/onnx.sh puts into build/onnx. `cosine` is the least one between
// a text's vectors by this engine and by the first one, nibble with the weights in floating point.
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { buildSync } from 'esbuild';
import { median } from '../../demo/bench-work.js';
import { serve } from '../../tools/serve.js';
import { root } from '../support/builds.js';
import { launch } from '../support/chromium.js';

const { values } = parseArgs({
    options: {
        texts: { type: 'string', default: '1000' },
        threads: { type: 'string', default: '1,2' },
        quantize: { type: 'string', default: 'q8_0,q5_0:fast' },
        batches: { type: 'string', default: '1,32' },
        model: { type: 'string', default: 'build/models/all-MiniLM-L6-v2' },
        onnx: { type: 'string', default: 'build/onnx/all-MiniLM-L6-v2' },
    },
});
const CHUNK = 32;
const numbers = (/** @type {string} */ list) => list.split(',').map(Number);
for (const folder of [values.model, values.onnx, 'build/onnx/node_modules/@huggingface'])
    if (!existsSync(`${root}${folder}`)) throw new Error(`${folder} is missing: read the first lines of this script`);

/** Words that are one token each: with the beginning and the end, 30 of them are 32 tokens. */
const { model: tokenizer } = JSON.parse(readFileSync(`${root}${values.model}/tokenizer.json`, 'utf8')),
    words = Object.keys(tokenizer.vocab).filter((word) => /^[a-z]{3,}$/.test(word));
let random = 1;
const texts = Array.from({ length: Number(values.texts) }, () =>
    Array.from({ length: 30 }, () => {
        random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
        return words[Math.floor((random / 2 ** 32) * words.length)];
    }).join(' '),
);

mkdirSync(`${root}build/bench`, { recursive: true });
buildSync({
    stdin: { contents: "export { env, pipeline } from '@huggingface/transformers'", resolveDir: `${root}build/onnx` },
    ...{ bundle: true, format: 'esm', platform: 'browser', outfile: `${root}build/bench/transformers.js` },
});
/** @type {{ name: string, folder: string, options: any }[]} */
const wanted = [
    { name: 'nibble', folder: values.model, options: {} },
    ...values.quantize.split(',').map((each) => {
        const [quantize, precision] = each.split(':');
        return { name: 'nibble', folder: values.model, options: { quantize, precision } };
    }),
    ...numbers(values.batches).map((batch) => ({
        ...{ name: 'transformers', folder: values.onnx },
        options: {
            ...{ script: '/build/bench/transformers.js', wasm: '/build/onnx/node_modules/onnxruntime-web/dist/' },
            ...{ dtype: 'int8', batch },
        },
    })),
];
const { url, close } = await serve({ root, caching: 'no-store' }),
    browser = await launch();
console.log(`${cpus()[0].model}, Chromium ${browser.version()}, ${texts.length} texts; medians of ${CHUNK} texts`);

/** Seconds of CPU time of the processes that this one has started, so far. What else the machine does is not in it. */
function cpuSeconds() {
    const stats = readdirSync('/proc')
        .filter((name) => /^\d+$/.test(name))
        .flatMap((pid) => {
            try {
                const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1].split(' ').map(Number);
                return [{ pid: Number(pid), parent: fields[1], ticks: fields[11] + fields[12] }];
            } catch {
                return []; // it has ended
            }
        });
    const own = new Set([process.pid]);
    for (let size = 0; size < own.size; ) {
        size = own.size;
        for (const { pid, parent } of stats) if (own.has(parent)) own.add(pid);
    }
    return stats.reduce((sum, { pid, ticks }) => sum + (own.has(pid) && pid !== process.pid ? ticks : 0), 0) / 100;
}

/** @param {import('playwright-core').Page} page @param {string} name @param {any[]} args */
const call = (page, name, ...args) =>
    page.evaluate(([f, a]) => /** @type {any} */ (window).embeddings[String(f)](...a), [name, args]);

for (const threads of numbers(values.threads)) {
    const page = await browser.newPage();
    page.on('pageerror', (error) => console.error(error));
    await page.goto(`${url}tests/bench/page.html`);
    await page.addScriptTag({ type: 'module', url: '/tests/bench/embeddings-page.js' });
    await page.waitForFunction('window.embeddings');
    const abouts = await call(page, 'open', wanted, threads),
        cosines = await call(page, 'cosines', texts.slice(0, 50)), // this warms up, too
        times = wanted.map(() => /** @type {{ wall: number, cpu: number }[]} */ ([]));
    // a few texts at a time, in another order each time: what else the machine does slows all alike
    for (let at = 0, turn = 0; at < texts.length; at += CHUNK, turn++)
        for (const j of wanted.keys()) {
            const i = (j + turn) % wanted.length,
                chunk = texts.slice(at, at + CHUNK),
                before = cpuSeconds(),
                wall = (await call(page, 'measure', i, chunk)) / 1000;
            times[i].push({ wall: wall / chunk.length, cpu: (cpuSeconds() - before) / chunk.length });
        }
    for (const [i, { name, options }] of wanted.entries()) {
        const of = (/** @type {'wall' | 'cpu'} */ what) => median(times[i].map((each) => each[what]));
        console.log(
            `${name} ${options.quantize ?? options.dtype ?? 'f32'}${options.precision ? `, ${options.precision}` : ''} ` +
                `(${abouts[i]}): ${(1 / of('wall')).toFixed(1)} ` +
                `texts/s, ${(1000 * of('cpu')).toFixed(1)} ms of CPU each, cosine ${cosines[i].toFixed(4)}`,
        );
    }
    await page.close();
}
await browser.close();
close();
