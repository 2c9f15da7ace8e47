// Training in the demo's lab: the model is trained a little further, and scales of files are tuned.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { halves } from '../../demo/lab-text.js';
import { serve } from '../../tools/serve.js';
import { load, quantize, train, tune } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { kept, useDemo } from '../support/demo-page.js';

/** @typedef {import('playwright-core').Page} Page */

const SAMPLE = readFileSync(`${root}demo/sample.txt`, 'utf8');
const QUERY = 'lab.html?model=./stories.gguf';
const CHOSEN = '#model-state small';

/** The bytes of a stream. @param {any} stream */
const whole = async (stream) => Buffer.from(await new Response(stream).arrayBuffer());

/** @param {Page} page @param {import('playwright-core').Locator} button */
async function saved(page, button) {
    const [download] = await Promise.all([page.waitForEvent('download'), button.click()]);
    return { name: download.suggestedFilename(), bytes: readFileSync(await download.path()) };
}

describe('training in the lab', { skip }, () => {
    const { visit } = useDemo();

    for (const isolated of [true, false])
        it(`trains the model a little further ${isolated ? 'with shared memory, and offline' : 'without shared memory'}`, async () => {
            const site = await serve({ isolated });
            try {
                await visit({ base: site.url, query: QUERY, wait: CHOSEN }, async (page) => {
                    assert.ok(await page.isDisabled('#learn-start'));
                    await trains(page);
                    if (!isolated) return; // without these headers there is no service worker
                    await kept(page, ['/demo/stories.gguf', '/build/wasm/nibble-train.wasm', '/build/pool-worker.js']);
                    await site.close();
                    await page.reload();
                    await page.waitForSelector(CHOSEN);
                    await trains(page);
                });
            } finally {
                await site.close().catch(() => {});
            }
        });

    /** The tokens of the two halves of the text. */
    async function tokensOf() {
        const { calibration, evaluation } = halves(SAMPLE),
            model = await load(models.stories, { headerOnly: true }),
            tokens = [await model.tokenize(calibration), await model.tokenize(evaluation)];
        await model.dispose();
        return tokens;
    }

    /** Runs a short training, and compares the models with those that Node makes. @param {Page} page */
    async function trains(page) {
        await page.fill('#text', SAMPLE);
        await page.fill('#learn-steps', '6');
        await page.fill('#learn-length', '32');
        await page.click('#learn-start:enabled');
        await page.locator('#learn-columns button').nth(1).waitFor();
        await page.waitForSelector('#learn-start:enabled');
        const label = /^Loss by step: [\d.]+ at step 6; [\d.]+ at step 6$/;
        await page.locator('#learn-plot canvas').waitFor();
        for (
            let tries = 0;
            tries < 50 && !label.test(String(await page.getAttribute('#learn-plot', 'aria-label')));
            tries++
        )
            await page.waitForTimeout(100);
        assert.match(String(await page.getAttribute('#learn-plot', 'aria-label')), label);
        const names = ['trained.gguf', 'trained.Q4_0.gguf'],
            tokens = await tokensOf(),
            options = {
                ...{ data: tokens.flat(), steps: 6, batch: 4, length: 32, rate: 0.0001 },
                // the last sequences are held out, beginning with the first one that has a token of the second half
                validation: 1 - Math.floor((tokens[0].length - 1) / 32) / Math.floor((tokens.flat().length - 1) / 32),
            };
        for (const [i, more] of [{}, { qat: { type: /** @type {const} */ ('q4_0') } }].entries()) {
            const column = page.locator('#learn-columns .column').nth(i);
            assert.match(await column.locator('.meta').innerText(), /After step 6 of 6/);
            assert.match(await column.locator('.body').innerText(), /^Once upon a time.+/s);
            const { name, bytes } = await saved(page, column.locator('button')),
                training = await train(models.stories, { ...options, ...more });
            for await (const _ of training);
            assert.ok(bytes.equals(await whole(training.model())), `${names[i]}: another model than in Node`);
            await training.dispose();
            assert.equal(name, names[i]);
        }
    }

    it('tunes the scales of a file that it makes of a dropped model, and measures it', async () => {
        await visit({ query: 'lab.html', wait: '#start' }, async (page) => {
            await page.evaluate(
                (bytes) => {
                    const dataTransfer = new DataTransfer();
                    dataTransfer.items.add(new File([new Uint8Array(bytes)], 'mine.gguf'));
                    document.body.dispatchEvent(
                        new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }),
                    );
                },
                [...readFileSync(models.stories)],
            );
            await page.waitForSelector(CHOSEN);
            await page.fill('#text', SAMPLE);
            while ((await page.locator('#recipes button').count()) > 0)
                await page.locator('#recipes button').first().click();
            await page.selectOption('#recipe-type', 'iq2_xxs');
            assert.ok(await page.isDisabled('#recipe-tune'), 'its scales cannot learn');
            await page.selectOption('#recipe-type', 'q4_0');
            await page.uncheck('#recipe-imatrix'); // the type that was chosen before needed one
            await page.click('#recipe-add');
            await page.check('#recipe-tune');
            await page.click('#recipe-add');
            await page.click('summary:has-text("How much")');
            await page.fill('#tune-steps', '12');
            await page.click('#start:enabled');
            await page.waitForSelector('#stop:not([hidden])');
            assert.ok(await page.isDisabled('#learn-start'));
            await page.waitForSelector('#start:not([hidden])');
            await page
                .locator('[data-state=done]:has-text("Tune: Q4_0, tuned")', { hasText: /divergence [\d.]+/ })
                .waitFor();
            const rows = await page
                .locator('#figures tr')
                .evaluateAll((all) =>
                    all.map(({ children: [head, ...cells] }) => [
                        head.firstChild?.textContent,
                        ...cells.map((cell) => cell.textContent),
                    ]),
                );
            assert.deepEqual(
                rows.map(([name]) => name),
                ['Original: mine', 'Q4_0', 'Q4_0, tuned'],
            );
            const [, plain, tuned] = rows;
            assert.equal(plain[1], tuned[1], 'the size');
            assert.ok(
                Number.parseFloat(String(tuned[4])) < Number.parseFloat(String(plain[4])),
                `${plain[4]}, tuned ${tuned[4]}`,
            );

            const { name, bytes } = await saved(page, page.locator('[aria-label="Download Q4_0, tuned"]')),
                { calibration } = halves(SAMPLE),
                file = await whole(quantize(models.stories, { type: 'q4_0', requantize: true })),
                tuning = await tune(new File([file], 'q4_0.gguf'), {
                    ...{ teacher: models.stories, data: calibration, steps: 12, batch: 4, length: 128 },
                });
            for await (const _ of tuning);
            assert.equal(name, 'mine.Q4_0.tuned.gguf');
            assert.ok(bytes.equals(await whole(tuning.model())), 'another file than in Node');
            await tuning.dispose();
        });
    });

    it('stops at any step and keeps the model, on a phone; and says what cannot be trained', async () => {
        const context = { viewport: { width: 360, height: 640 } };
        await visit({ query: QUERY, wait: CHOSEN, context }, async (page) => {
            await page.fill('#text', SAMPLE);
            await page.fill('#learn-steps', '100000');
            await page.focus('#learn-start');
            await page.keyboard.press('Enter');
            await page.locator('#learn-step', { hasText: /Step \d+ of 100000, loss / }).waitFor();
            assert.equal(await page.evaluate(() => document.activeElement?.id), 'learn-stop');
            assert.ok(await page.isDisabled('#start'));
            await page.keyboard.press('Escape');
            await page.waitForSelector('#learn-start:enabled');
            assert.match(await page.innerText('#learn-columns .meta'), /After step \d+ of 100000/);
            assert.equal(await page.evaluate(() => document.querySelector('.bench')?.scrollWidth), 360);
            const { bytes } = await saved(page, page.locator('#learn-columns button')),
                model = await load(bytes);
            assert.ok((await model.complete('Once', { maxTokens: 2 })).tokens.length > 0);
            await model.dispose();
            await page.fill('#text', 'Once.');
            await page.click('#learn-start:enabled');
            await page.locator('#learn-problem', { hasText: /take a longer text/ }).waitFor();
            assert.ok(await page.isHidden('#learned'), 'nothing is shown of the run before');
        });
    });
});
