// quantize() in a page: it writes through the worker into the page's own file system, and the file is the one that Node
// makes.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { serve } from '../../tools/serve.js';
import { quantize } from '../../web/index.js';
import { root } from '../support/builds.js';
import { launch, skip } from '../support/chromium.js';

/** The types of the module that the page imports. @typedef {typeof import('../../web/index.js')} Nibble */

describe('quantize() in a page', { skip }, () => {
    const name = 'tests/fixtures/models/head-size.gguf';
    /** @type {Awaited<ReturnType<typeof serve>>} */
    let site;
    /** @type {import('playwright-core').Browser} */
    let browser;
    before(async () => {
        [site, browser] = await Promise.all([serve(), launch()]);
    });
    after(async () => {
        await browser?.close();
        await site?.close();
    });

    it('writes what Node writes, to a file of the page, and ends when it is aborted', async () => {
        const stream = quantize(root + name, { type: 'q4_k_m', tensors: { ffn_down: 'q8_0' } });
        const expected = Buffer.from(await new Response(/** @type {any} */ (stream)).arrayBuffer());
        const page = await browser.newPage();
        await page.goto(`${site.url}`);
        const made = await page.evaluate(
            async ({ module, model }) => {
                const nibble = /** @type {Nibble} */ (await import(module));
                const file = new File([new Uint8Array(model)], 'model.gguf');
                const folder = await navigator.storage.getDirectory();
                const handle = await folder.getFileHandle('small.gguf', { create: true });
                const reports = /** @type {number[]} */ ([]);
                const stream = nibble.quantize(file, {
                    type: 'q4_k_m',
                    tensors: { ffn_down: 'q8_0' },
                    onProgress: ({ loaded }) => reports.push(loaded),
                });
                await stream.pipeTo(await handle.createWritable());
                const loaded = await nibble.load(await handle.getFile());
                const { tokens } = await loaded.complete('a', { maxTokens: 2, ignoreEnd: true });
                await loaded.dispose();
                const controller = new AbortController();
                const never = new ReadableStream({
                    start: (feed) => feed.enqueue(new Uint8Array(model.slice(0, 70000))),
                });
                setTimeout(() => controller.abort(new Error('enough')), 200);
                const aborted = await nibble
                    .quantize(never, { type: 'q8_0', signal: controller.signal })
                    .pipeTo(new WritableStream())
                    .catch((error) => error.message);
                return {
                    bytes: [...new Uint8Array(await (await handle.getFile()).arrayBuffer())],
                    last: reports.at(-1),
                    tokens: tokens.length,
                    aborted,
                };
            },
            { module: new URL('/web/index.js', site.url).href, model: [...readFileSync(root + name)] },
        );
        assert.deepEqual(Buffer.from(made.bytes), expected);
        assert.deepEqual([made.last, made.tokens, made.aborted], [expected.length, 2, 'enough']);
    });

    for (const method of /** @type {const} */ (['gptq', 'awq']))
        it(`quantizes by ${method}, and with threads if the page may have them`, () => calibrates(method));

    /** @param {'gptq' | 'awq'} wanted */
    async function calibrates(wanted) {
        const plain = Buffer.from(
            await new Response(/** @type {any} */ (quantize(root + name, { type: 'q4_0' }))).arrayBuffer(),
        );
        const page = await browser.newPage();
        await page.goto(`${site.url}`);
        const made = await page.evaluate(
            async ({ module, model, method }) => {
                const nibble = /** @type {Nibble} */ (await import(module));
                const file = new File([new Uint8Array(model)], 'model.gguf');
                const layers = /** @type {Set<number>} */ (new Set());
                const stream = nibble.quantize(file, {
                    type: 'q4_0',
                    method,
                    calibration: 'a text of some tokens, which are more than one window has. '.repeat(8),
                    context: 16,
                    threads: 2,
                    onProgress: ({ calibration }) => calibration && layers.add(calibration.layer),
                });
                const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
                const loaded = await nibble.load(bytes);
                const { tokens } = await loaded.complete('a', { maxTokens: 2, ignoreEnd: true });
                await loaded.dispose();
                return { bytes: [...bytes], layers: [...layers], tokens: tokens.length };
            },
            {
                module: new URL('/web/index.js', site.url).href,
                model: [...readFileSync(root + name)],
                method: wanted,
            },
        );
        assert.deepEqual([made.bytes.length, made.tokens], [plain.length, 2]);
        assert.notDeepEqual(Buffer.from(made.bytes), plain);
        assert.deepEqual(made.layers, [0, 1]);
        await page.close();
    }
});
