// compare() in a browser gives the same figures as in Node; its page, and that of compareEmbeddings(), have plots that
// run under the page's own Content-Security-Policy.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { serve } from '../../tools/serve.js';
import { compare, compareEmbeddings, quantize } from '../../web/index.js';
import { comparisonPage } from '../../web/report/page.js';
import { root } from '../support/builds.js';
import { launch, skip } from '../support/chromium.js';

/** The types of the module that the page imports. @typedef {typeof import('../../web/index.js')} Nibble */

const names = ['tests/fixtures/models/gemma2.gguf', 'tests/fixtures/llamacpp/gemma2-q4_0.gguf'];
const text = Array.from({ length: 96 }, (_, i) => 2 + ((i * 7) % 80));
const options = { text, context: 32, threads: 1, build: /** @type {const} */ ('simd128'), speed: false };

/** What a page of a comparison is made with. */
const parts = () => {
    const read = (/** @type {string} */ name) => readFileSync(`${root}build/${name}`, 'utf8');
    return { script: read('report.js'), style: read('report.css') };
};

describe('compare() in a page', { skip }, () => {
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

    /**
     * Checks the histograms of a page with a second model that lacks the first kind of matrices: its histogram of the
     * last kind must look like the first model's.
     * @param {string} html the page with the first model alone
     * @param {import('../../web/index.js').Comparison} result
     * @param {Parameters<typeof comparisonPage>[1]} script
     */
    async function choosesByName(html, result, script) {
        const [model] = result.models,
            { histograms = [], ...others } = model.weights ?? {};
        const lacking = { ...model, name: 'lacking.gguf', weights: { ...others, histograms: histograms.slice(1) } };
        const both = /** @type {typeof result} */ ({ ...result, models: [lacking, model] });
        const [first, last] = [histograms[0].kind, histograms[histograms.length - 1].kind];
        const picture = async (/** @type {string} */ html, /** @type {string} */ name, /** @type {string} */ kind) => {
            const page = await browser.newPage({ viewport: { width: 800, height: 800 } });
            await page.setContent(html);
            const selects = page.locator('#histograms select');
            if ((await selects.count()) > 1) await selects.first().selectOption(name);
            await selects.last().selectOption(kind);
            const url = await page.locator('#histograms canvas').evaluate((canvas) => {
                return /** @type {HTMLCanvasElement} */ (canvas).toDataURL();
            });
            await page.close();
            return url;
        };
        const page = await comparisonPage(both, script),
            alone = await picture(html, '', last);
        assert.equal(await picture(page, 'lacking', last), alone);
        assert.equal(await picture(page, 'gemma2-q4_0', last), alone);
        assert.equal(await picture(page, 'gemma2-q4_0', first), await picture(html, '', first));
        assert.notEqual(await picture(page, 'lacking', first), await picture(html, '', first));
    }

    /** Checks that the page shows these plots alone, on a desktop and on a phone.
     * @param {string} html @param {string[]} plots */
    async function shows(html, plots) {
        for (const width of [1280, 360]) {
            const page = await browser.newPage({ viewport: { width, height: 800 } });
            /** @type {string[]} */
            const complaints = [];
            page.on('console', (message) => complaints.push(message.text()));
            page.on('pageerror', (error) => complaints.push(error.message));
            await page.setContent(html);
            const found = await page.evaluate(() => ({
                plots: [...document.querySelectorAll('section:not([hidden]):has(.plot canvas)')].map(({ id }) => id),
                wide: document.documentElement.scrollWidth > innerWidth,
            }));
            assert.deepEqual([found, complaints], [{ plots, wide: false }, []]);
            await page.close();
        }
    }

    it('gives what Node gives, and its page shows the plots', async () => {
        const expected = await compare(
            names.map((name) => root + name),
            options,
        );
        const page = await browser.newPage();
        await page.goto(site.url);
        const made = await page.evaluate(
            async ({ module, models, options }) => {
                const nibble = /** @type {Nibble} */ (await import(module));
                return nibble.compare(models, options);
            },
            {
                module: new URL('/web/index.js', site.url).href,
                models: names.map((name) => new URL(`/${name}`, site.url).href),
                options,
            },
        );
        assert.deepEqual(made.models[0].divergence, expected.models[0].divergence);
        assert.deepEqual(made.models[0].weights, expected.models[0].weights);

        const html = await comparisonPage(expected, parts());
        await shows(html, ['size', 'position', 'errors', 'histograms']);
        await choosesByName(html, expected, parts());
        const plain = await browser.newContext({ javaScriptEnabled: false });
        const still = await plain.newPage();
        await still.setContent(html);
        assert.match(await still.innerText('main'), /gemma2-q4_0\.gguf/);
        await plain.close();
    });

    it('shows the plots of embeddings', async () => {
        const bert = `${root}tests/fixtures/encoders/bert.gguf`,
            stream = /** @type {any} */ (quantize(bert, { type: 'q8_0', requantize: true }));
        const other = { source: new Uint8Array(await new Response(stream).arrayBuffer()), name: 'other' },
            text = readFileSync(`${root}demo/sample.txt`, 'utf8');
        const found = await compareEmbeddings([bert, other], { text, passages: 5, threads: 1, speed: false });
        await shows(await comparisonPage(found, parts()), ['size', 'errors', 'histograms']);
    });
});
