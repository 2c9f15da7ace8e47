// The demo's training page, used like by a person, with the small model and the sample text.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { train } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { kept, useDemo } from '../support/demo-page.js';

const SAMPLE = readFileSync(`${root}demo/sample.txt`, 'utf8');
const IDLE = '#start:not([hidden])';

describe('the training page', { skip }, () => {
    const { visit } = useDemo();
    const query = 'train.html',
        wait = '#model:has(option)';

    it('trains, plots, lets the model write, and saves what Node would have made', async () => {
        await visit({ query, wait }, async (page) => {
            assert.ok(await page.isDisabled('#start'));
            assert.match(await page.innerText('#start-note'), /a text/);
            await page.click('#sample-text');
            await page.fill('#steps', '6');
            await page.fill('#length', '32');
            await page.click('#start:enabled');
            await page.waitForSelector('#save:enabled');
            assert.match(await page.innerText('#sample-note'), /After step 6 of 6/);
            assert.match(await page.innerText('#sample'), /^Once upon a time.+/s);
            await page.waitForSelector('#plot canvas');
            await page.locator('#plot[aria-label$="at step 6"]').waitFor();
            const [download] = await Promise.all([page.waitForEvent('download'), page.click('#save')]);
            assert.equal(download.suggestedFilename(), 'trained.gguf');
            const training = await train(models.stories, {
                ...{ data: SAMPLE, steps: 6, batch: 4, length: 32, rate: 0.0001, validation: 0.1 },
            });
            for await (const _ of training);
            const expected = Buffer.from(await new Response(/** @type {any} */ (training.model())).arrayBuffer());
            await training.dispose();
            assert.ok(readFileSync(await download.path()).equals(expected));
            await kept(page, ['/demo/train.html', '/demo/stories.gguf', '/build/wasm/nibble-train.wasm']);
        });
    });

    it('stops on request, and says what cannot be trained', async () => {
        await visit({ query: 'train.html?model=../tests/fixtures/models/biases.gguf', wait }, async (page) => {
            await page.fill('#text', 'Once there was a cat. It was happy. '.repeat(200));
            await page.click('#start:enabled');
            await page.locator('#problem', { hasText: /biases \(blk\.0\.attn_q\.bias\)/ }).waitFor();
            await page.selectOption('#model', '1');
            await page.fill('#steps', '100000');
            await page.click('#start:enabled');
            await page.locator('#step', { hasText: /^Step \d+ of 100000, loss / }).waitFor();
            await page.click('#stop');
            await page.waitForSelector(IDLE);
            assert.match(await page.innerText('#sample-note'), /After step \d+ of 100000/);
            // stopped before the training exists, nothing is kept; and nothing of the last run is shown
            await page.fill('#text', 'Once there was a cat. It was happy. '.repeat(10_000));
            await page.click('#start:enabled');
            await page.click('#stop');
            await page.waitForSelector(IDLE);
            assert.equal(await page.textContent('#sample-note'), '');
            assert.ok(await page.isHidden('#results'));
            assert.ok(await page.isDisabled('#save'));
            await page.fill('#text', 'Once.');
            await page.click('#start:enabled');
            await page.locator('#problem', { hasText: /take a longer text/ }).waitFor();
            assert.ok(await page.isDisabled('#save'));
        });
    });
});
