// train() and tune() in a page, with threads and without: the model is bit for bit the one that Node makes.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { serve } from '../../tools/serve.js';
import { quantize, train, tune } from '../../web/index.js';
import { root } from '../support/builds.js';
import { launch, skip } from '../support/chromium.js';

/** The types of the module that the page imports. @typedef {typeof import('../../web/index.js')} Nibble */

const name = 'tests/fixtures/models/type-f16.gguf',
    OPTIONS = {
        data: 'A text that is learned by heart. '.repeat(60),
        steps: 6,
        batch: 4,
        length: 16,
        rate: 0.01,
        threads: 2,
    },
    /** Kinds of pages, and what is rounded there. @type {[boolean, import('../../web/index.js').QatOptions |
     * undefined][]} */
    KINDS = [
        [true, undefined],
        [false, undefined],
        [false, { type: 'q4_0', activations: 8, gradients: 8 }],
    ];

/** @param {ArrayBuffer | Uint8Array} bytes */
const hash = (bytes) => createHash('sha256').update(new Uint8Array(bytes)).digest('hex');

const TUNE = { ...OPTIONS, data: 'What is learned from another model. '.repeat(60), rate: 0.002 };

describe('train() and tune() in a page', { skip }, () => {
    /** @type {import('playwright-core').Browser} */
    let browser;
    let quantized = new Uint8Array();
    before(async () => {
        browser = await launch();
        const stream = /** @type {any} */ (quantize(root + name, { type: 'q4_0' }));
        quantized = new Uint8Array(await new Response(stream).arrayBuffer());
    });
    after(() => browser?.close());

    for (const [isolated, qat] of KINDS)
        it(`train() ${isolated ? 'with shared memory, and two threads' : 'without shared memory'}${qat ? ', rounded' : ''}`, async () => {
            const options = { ...OPTIONS, qat },
                expected = await learned(await train(root + name, options)),
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

    for (const isolated of [true, false])
        it(`tune() ${isolated ? 'with shared memory, and two threads' : 'without shared memory'}`, async () => {
            const tuned = await learned(await tune(quantized, { ...TUNE, teacher: root + name })),
                site = await serve({ isolated }),
                page = await browser.newPage();
            try {
                await page.goto(site.url);
                const made = await page.evaluate(tuneHere, {
                    module: new URL('/web/index.js', site.url).href,
                    model: [...quantized],
                    teacher: [...readFileSync(root + name)],
                    options: TUNE,
                });
                assert.deepEqual(made.losses, tuned.losses);
                assert.equal(made.threads, isolated ? 2 : 1);
                assert.equal(hash(Uint8Array.from(made.gguf)), tuned.model);
                assert.equal(hash(Uint8Array.from(made.checkpoint)), tuned.checkpoint);
                assert.equal(made.gguf.length, quantized.length);
                assert.match(made.refused, /no tensor of the model has scales that can learn/);
            } finally {
                await page.close();
                await site.close();
            }
        });
});

/** Trains in Node. @param {import('../../web/index.js').Training} training */
async function learned(training) {
    const losses = [];
    for await (const { loss } of training) losses.push(loss);
    const model = hash(await new Response(/** @type {any} */ (training.model())).arrayBuffer()),
        checkpoint = hash(await training.checkpoint());
    await training.dispose();
    return { model, checkpoint, losses };
}

/**
 * Runs in the page: trains half way, resumes from a checkpoint, and loads the model.
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

/**
 * Runs in the page: tunes half way, resumes from a checkpoint, and tries to tune what cannot be tuned.
 * @param {{ module: string, model: number[], teacher: number[], options: typeof TUNE }} given
 */
async function tuneHere({ module, model, teacher: base, options: given }) {
    const nibble = /** @type {Nibble} */ (await import(module)),
        file = new File([new Uint8Array(model)], 'model.gguf'),
        teacher = new File([new Uint8Array(base)], 'base.gguf'),
        options = { ...given, teacher },
        losses = /** @type {number[]} */ ([]);
    const first = await nibble.tune(file, options);
    for await (const { step, loss } of first) {
        losses.push(loss);
        if (step === 3) break;
    }
    const half = await first.checkpoint();
    await first.dispose();
    const second = await nibble.tune(file, { ...options, checkpoint: half });
    for await (const { loss } of second) losses.push(loss);
    const gguf = new Uint8Array(await new Response(/** @type {any} */ (second.model())).arrayBuffer()),
        checkpoint = await second.checkpoint(),
        { threads } = second.info;
    await second.dispose();
    const loaded = await nibble.load(gguf); // the model is valid
    await loaded.dispose();
    const refused = await nibble.tune(teacher, options).catch((/** @type {Error} */ error) => error.message);
    return { losses, threads, gguf: [...gguf], checkpoint: [...checkpoint], refused: String(refused) };
}
