// train() in a page: a model learns in the tab, with threads and without, and is bit for bit what Node makes of it.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { serve } from '../../tools/serve.js';
import { train } from '../../web/index.js';
import { root } from '../support/builds.js';
import { launch, skip } from '../support/chromium.js';

/** What the page's own modules are, for tsc. @typedef {typeof import('../../web/index.js')} Nibble */

const name = 'tests/fixtures/models/type-f16.gguf',
    OPTIONS = {
        data: 'A text that is learned by heart. '.repeat(60),
        steps: 6,
        batch: 4,
        length: 16,
        rate: 0.01,
        threads: 2,
    },
    /** What is rounded, with each kind of page. @type {[boolean, import('../../web/index.js').QatOptions | undefined][]} */
    KINDS = [
        [true, undefined],
        [false, undefined],
        [false, { type: 'q4_0', activations: 8, gradients: 8 }],
    ];

/** @param {ArrayBuffer | Uint8Array} bytes */
const hash = (bytes) => createHash('sha256').update(new Uint8Array(bytes)).digest('hex');

describe('train() in a page', { skip }, () => {
    /** @type {import('playwright-core').Browser} */
    let browser;
    before(async () => {
        browser = await launch();
    });
    after(() => browser?.close());

    for (const [isolated, qat] of KINDS)
        it(`${isolated ? 'with shared memory, and two threads' : 'without shared memory'}${qat ? ', rounded' : ''}`, async () => {
            const options = { ...OPTIONS, qat },
                expected = await learned(options),
                site = await serve({ isolated }),
                page = await browser.newPage();
            try {
                await page.goto(site.url);
                const made = await page.evaluate(learn, {
                    module: new URL('/web/index.js', site.url).href,
                    model: [...readFileSync(root + name)],
                    options,
                });
                assert.deepEqual(made.losses, expected.losses);
                assert.equal(made.threads, isolated ? 2 : 1);
                assert.equal(hash(Uint8Array.from(made.gguf)), expected.model);
                assert.equal(hash(Uint8Array.from(made.checkpoint)), expected.checkpoint);
                assert.deepEqual([made.tokens, made.aborted], [2, 'enough']);
            } finally {
                await page.close();
                await site.close();
            }
        });
});

/** What Node makes of it. @param {import('../../web/index.js').TrainOptions} options */
async function learned(options) {
    const training = await train(root + name, options),
        losses = [];
    for await (const { loss } of training) losses.push(loss);
    const model = hash(await new Response(/** @type {any} */ (training.model())).arrayBuffer()),
        checkpoint = hash(await training.checkpoint());
    await training.dispose();
    return { model, checkpoint, losses };
}

/**
 * Runs in the page: trains half way, goes on from a checkpoint, and loads what came out.
 * @param {{ module: string, model: number[], options: import('../../web/index.js').TrainOptions }} given
 */
async function learn({ module, model, options }) {
    const nibble = /** @type {Nibble} */ (await import(module)),
        file = new File([new Uint8Array(model)], 'model.gguf'),
        losses = /** @type {number[]} */ ([]);
    const first = await nibble.train(file, options);
    for await (const { step, loss } of first) {
        losses.push(loss);
        if (step === 3) break;
    }
    const half = await first.checkpoint();
    await first.dispose();
    const controller = new AbortController(),
        second = await nibble.train(file, { ...options, checkpoint: half, signal: controller.signal });
    for await (const { loss } of second) losses.push(loss);
    const gguf = new Uint8Array(await new Response(/** @type {any} */ (second.model())).arrayBuffer()),
        checkpoint = await second.checkpoint();
    const loaded = await nibble.load(gguf),
        { tokens } = await loaded.complete('A text', { maxTokens: 2, ignoreEnd: true });
    await loaded.dispose();
    const { threads } = second.info;
    controller.abort(new Error('enough'));
    const aborted = await second.checkpoint().catch((/** @type {Error} */ error) => error.message);
    return { losses, threads, gguf: [...gguf], checkpoint: [...checkpoint], tokens: tokens.length, aborted };
}
