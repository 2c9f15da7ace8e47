// The demo's quantization lab, used like by a person, with the small model and the sample text.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { halves } from '../../demo/lab-text.js';
import { serve } from '../../tools/serve.js';
import { passagesOf } from '../../web/api/passages.js';
import { compare, compareEmbeddings, load, quantize } from '../../web/index.js';
import { models, root } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { kept, scripted, thinker, useDemo } from '../support/demo-page.js';
import { layersFor, modelOf } from '../support/large.js';

/** @typedef {import('playwright-core').Page} Page */

const SAMPLE = readFileSync(`${root}demo/sample.txt`, 'utf8');
const QUERY = 'lab.html?model=./stories.gguf';
const CHOSEN = '#model-state small';
const IDLE = '#start:not([hidden])';

describe('the quantization lab', { skip }, () => {
    const { visit } = useDemo();

    /** Removes all recipes but these. @param {Page} page @param {string[]} names */
    async function onlyMake(page, names) {
        for (const name of await page.locator('#recipes span').allInnerTexts())
            if (!names.includes(name)) await page.click(`#recipes button[aria-label="Do not make ${name}"]`);
        assert.deepEqual(await page.locator('#recipes span').allInnerTexts(), names);
    }

    /** @param {Page} page */
    async function run(page) {
        await page.click('#start:enabled');
        await page.waitForSelector('#stop:not([hidden])');
        await page.waitForSelector(IDLE);
    }

    /** The table's rows, by the names of the files. @param {Page} page */
    async function table(page) {
        const rows = await page.locator('#figures tr').evaluateAll((rows) =>
            rows.map((row) => {
                const [head, ...cells] = [...row.children].map((cell) => cell.firstChild?.textContent ?? '');
                return /** @type {[string, string[]]} */ ([head, cells]);
            }),
        );
        return new Map(rows);
    }

    /** The lab's files in the browser's file system. @param {Page} page */
    const foldersOf = (page) =>
        page.evaluate(async () => {
            const names = [];
            for await (const name of (await navigator.storage.getDirectory()).keys()) names.push(name);
            return names;
        });

    /** The different states of the steps. @param {Page} page */
    const statesOf = async (page) => [
        ...new Set(await page.locator('#steps li').evaluateAll((all) => all.map((item) => item.dataset.state))),
    ];

    /**
     * The file that Node makes from the small model.
     * @param {Omit<import('../../web/index.js').QuantizeOptions, 'requantize'>} options
     */
    async function made(options) {
        const stream = quantize(models.stories, { ...options, requantize: true });
        return new Uint8Array(await new Response(/** @type {any} */ (stream)).arrayBuffer());
    }

    const NAMES = ['Q8_0', 'Q4_K_M', 'Q4_K_M, importance matrix', 'Q4_0, GPTQ'];

    /**
     * What compare() says in Node of the original and of the files of NAMES, on the half of the sample that no file was
     * made from. The builds may differ in the last bits, so by a matrix or by GPTQ a few weights are rounded otherwise
     * than Node would; hence the page's own files are measured.
     * @param {Uint8Array[]} files
     */
    async function measured(files) {
        const { calibration, evaluation } = halves(SAMPLE),
            context = 128;
        assert.equal(calibration + evaluation, SAMPLE);
        const model = await load(models.stories),
            text = await model.tokenize(evaluation, { bare: true });
        await model.dispose();
        const { base, models: others } = await compare(
            [models.stories, ...files.map((source, i) => ({ source, name: NAMES[i] }))],
            { text, context, weights: false, speed: false },
        );
        return /** @type {import('../../demo/lab-plots.js').Figures[]} */ ([base, ...others]);
    }

    /** @param {string} name @param {string[]} cells @param {import('../../demo/lab-plots.js').Figures} facts */
    function agree(name, [size, bits, perplexity, divergence, same, speed], facts) {
        const near = (/** @type {string} */ shown, /** @type {number} */ wanted) =>
            assert.ok(Math.abs(Number.parseFloat(shown) - wanted) <= 0.01 * wanted, `${name}: ${shown}, ${wanted}`);
        assert.equal(size, `${(facts.bytes / 1e6).toFixed(1)} MB`);
        near(bits, facts.bitsPerWeight);
        near(perplexity, Number(facts.perplexity));
        near(perplexity.split('±')[1], Number(facts.standardError));
        if (facts.divergence && facts.sameTop) {
            near(divergence, facts.divergence.mean);
            near(same, 100 * facts.sameTop.mean);
        }
        assert.ok(Number(speed) > 1, speed);
    }

    it('makes files, measures them as compare() does, lets them answer, and saves them', async () => {
        await visit({ query: '?model=./stories.gguf' }, async (page) => {
            await page.click('#lab-link');
            await page.waitForSelector(CHOSEN);
            assert.match(await page.innerText('#model-state'), /^Stories\n.*quantized already/);
            await page.locator('#start-note', { hasText: 'Still needed: a text' }).waitFor();
            await page.click('#sample-text');
            await page.locator('#text-state', { hasText: 'no part of the text does both' }).waitFor();
            await page.selectOption('#recipe-method', 'gptq');
            assert.ok(await page.isDisabled('#recipe-imatrix'));
            await page.click('#recipe-add');
            await onlyMake(page, NAMES);
            await run(page);
            assert.deepEqual(await statesOf(page), ['done']);
            const rows = [...(await table(page))];
            assert.deepEqual(
                rows.map(([name]) => name),
                ['Original: Stories', ...NAMES],
            );
            const files = [];
            for (const name of NAMES) {
                const [download] = await Promise.all([
                    page.waitForEvent('download'),
                    page.click(`[aria-label="Download ${name}"]`),
                ]);
                if (name === 'Q4_K_M') assert.equal(download.suggestedFilename(), 'Stories.Q4_K_M.gguf');
                files.push(new Uint8Array(readFileSync(await download.path())));
            }
            assert.deepEqual(files.slice(0, 2), [await made({ type: 'q8_0' }), await made({ type: 'q4_k_m' })]);
            assert.notDeepEqual(files[2], files[1]);
            const figures = await measured(files);
            for (const [i, [name, cells]] of rows.entries()) agree(name, cells, figures[i]);
            assert.equal(await page.locator('#plots canvas').count(), 2);
            assert.match(String(await page.getAttribute('#plot-quality', 'aria-label')), /Q8_0: [\d.e-]+ at 3\.0 MB/);

            const speaker = await load(models.stories, { contextLength: 512 });
            const { text: expected } = await speaker.chat('Tell me a story.', { maxTokens: 200 });
            await speaker.dispose();
            for (const name of ['importance', 'GPTQ']) await page.uncheck(`#speakers label:has-text("${name}") input`);
            await page.fill('#ask', 'Tell me a story.');
            await page.press('#ask', 'Enter');
            await page.waitForSelector('#ask-stop:not([hidden])');
            await page.waitForSelector('#ask-send:not([hidden])');
            const answers = await page.locator('.column:visible .body').allInnerTexts();
            assert.equal(answers.length, 3);
            const words = (/** @type {string} */ said) => said.trim().split(/\s+/).slice(0, 20).join(' ');
            assert.equal(words(answers[0]), words(expected));
            assert.ok(answers.every((said) => said.length > 100));

            await page.click('[aria-label="Remove Q8_0"]');
            assert.deepEqual([...(await table(page)).keys()], ['Original: Stories', ...NAMES.slice(1)]);
            assert.equal((await foldersOf(page)).length, 1);
            await page.goto(new URL('./?model=./stories.gguf', page.url()).href);
            for (let tries = 0; tries < 50 && (await foldersOf(page)).length > 0; tries++)
                await page.waitForTimeout(100);
            assert.deepEqual(await foldersOf(page), [], 'nothing is left when the page is closed');
        });
    });

    it('measures the files of an encoder by their embeddings, and searches the text with them', async () => {
        const folder = `${root}tests/fixtures/encoders/calibrated`,
            text = SAMPLE.slice(0, 2400);
        await visit({ query: 'lab.html', wait: '#start' }, async (page) => {
            await page.click('#open-model');
            const files = ['config.json', 'model.safetensors', 'tokenizer.json', 'tokenizer_config.json'];
            await page.setInputFiles(
                '#files',
                files.map((name) => `${folder}/${name}`),
            );
            await page.waitForSelector(CHOSEN);
            assert.ok(await page.isHidden('#learn'), 'an encoder cannot be trained');
            assert.ok(await page.isDisabled('#recipe-tune'));
            assert.ok(await page.isDisabled('#recipe-method [value=autoround]'));
            await page.fill('#text', text);
            await page.selectOption('#recipe-method', 'gptq');
            await page.click('#recipe-add');
            await onlyMake(page, ['Q8_0', 'Q4_0, GPTQ']);
            await run(page);
            assert.deepEqual(await statesOf(page), ['done']);
            const passages = passagesOf(halves(text).evaluation);
            await page.locator('#steps', { hasText: `in windows of 32, ${passages.length} passages` }).waitFor();

            const names = ['Q8_0', 'Q4_0, GPTQ'],
                sources = [];
            for (const name of names) {
                const [download] = await Promise.all([
                    page.waitForEvent('download'),
                    page.click(`[aria-label="Download ${name}"]`),
                ]);
                sources.push({ name, source: new Uint8Array(readFileSync(await download.path())) });
            }
            const { models: found } = await compareEmbeddings([folder, ...sources], {
                text: passages,
                passages: 1000,
                weights: false,
                speed: false,
                threads: 1,
            });
            const heads = await page.locator('#figures-head th').allInnerTexts();
            assert.deepEqual(heads.slice(3), ['Mean cosine', 'Least cosine', 'Rank correlation', 'Tokens/s']);
            const [[first, [, , ...exact]], ...rows] = [...(await table(page))];
            assert.match(first, /^Original: /);
            assert.deepEqual(exact.slice(0, 3), ['1', '1', '1']);
            for (const [i, [name, cells]] of rows.entries()) {
                const { distance, rankCorrelation, bitsPerWeight } = found[i];
                assert.deepEqual([name, cells[1]], [names[i], bitsPerWeight.toFixed(2)]);
                for (const [k, should] of [1 - distance.mean, 1 - distance.largest, Number(rankCorrelation)].entries())
                    assert.ok(Math.abs(Number(cells[2 + k]) - should) < 1e-4, `${name}: ${cells}, not ${should}`);
                assert.ok(Number(cells[5].replaceAll(',', '')) > 1, cells[5]);
            }
            assert.match(
                String(await page.getAttribute('#plot-quality', 'aria-label')),
                /1 − cosine.*Q8_0: [\d.e-]+ at/,
            );
            assert.ok(await page.isVisible('#note-embeddings'));

            // a passage is nearest to itself
            await page.fill('#ask', passages[5]);
            await page.press('#ask', 'Enter');
            await page.waitForSelector('#ask-send:not([hidden])');
            for (const column of await page.locator('.column:visible').all()) {
                const nearest = await column.locator('.nearest li').allInnerTexts();
                assert.equal(nearest.length, 3);
                assert.ok(nearest[0].startsWith(passages[5].slice(0, 200)), nearest[0]);
                assert.match(nearest[0], /cosine 1\.0000$/);
            }
            assert.equal(await page.locator('.nearest').count(), 3);
        });
    });

    it('leaves the files of other tabs, and removes those of tabs that are gone', async () => {
        await visit({ query: QUERY, wait: CHOSEN }, async (page) => {
            const [own] = await foldersOf(page);
            await page.evaluate(async () => {
                const root = await navigator.storage.getDirectory();
                for (const name of ['nibble-lab-dead', 'nibble-lab-stuck', 'other'])
                    await (await root.getDirectoryHandle(name, { create: true })).getFileHandle('f', { create: true });
                // a file that is being written cannot be removed; the next page must try again
                const file = await (await root.getDirectoryHandle('nibble-lab-stuck')).getFileHandle('f');
                Object.assign(globalThis, { writing: await file.createWritable() });
            });
            const second = await page.context().newPage();
            // locks.query() may be outdated, so the lab must request the lock itself
            await second.addInitScript(() => {
                navigator.locks.query = async () => ({ held: [], pending: [] });
            });
            await second.goto(page.url());
            await second.waitForSelector(CHOSEN);
            for (let tries = 0; tries < 50 && (await foldersOf(second)).length !== 4; tries++)
                await second.waitForTimeout(100);
            const left = await foldersOf(second);
            assert.deepEqual(
                ['nibble-lab-dead', 'nibble-lab-stuck', 'other', own].map((name) => left.includes(name)),
                [false, true, true, true],
            );
            assert.equal(left.length, 4, 'the second tab has no folder of its own');
            assert.ok(await second.isHidden('#memory-note'));
            await second.close({ runBeforeUnload: true });
            await page.evaluate(() => /** @type {any} */ (globalThis).writing.close());
        });
    });

    it('says if files stay in memory', async () => {
        await visit({ query: QUERY, wait: CHOSEN }, async (page) => {
            await page.addInitScript(() => {
                // @ts-expect-error: a browser without it
                delete FileSystemFileHandle.prototype.createWritable;
            });
            await page.reload();
            await page.waitForSelector(CHOSEN);
            await page.locator('#memory-note', { hasText: 'stay in memory' }).waitFor();
            await page.fill('#text', SAMPLE);
            await onlyMake(page, ['Q8_0']);
            await run(page);
            assert.ok((await table(page)).has('Q8_0'));
            assert.ok(await page.isHidden('#kept-note'));
        });
    });

    it('stops at any moment and keeps finished files; on a phone, by keyboard', async () => {
        const context = { viewport: { width: 360, height: 640 } };
        await visit({ query: QUERY, wait: CHOSEN, context }, async (page) => {
            await onlyMake(page, ['Q8_0', 'Q4_K_M']);
            await page.fill('#text', SAMPLE.repeat(20));
            await page.click('summary:has-text("How much")');
            await page.fill('#evaluation-tokens', '30000');
            await page.focus('#start');
            await page.keyboard.press('Enter');
            await page.waitForSelector('#figures tr + tr');
            assert.equal(await page.evaluate(() => document.activeElement?.id), 'stop');
            await page.locator('[data-state=running]:has-text("Measure") .step-note', { hasText: / left/ }).waitFor();
            await page.keyboard.press('Escape');
            await page.waitForSelector(IDLE);
            assert.equal(await page.evaluate(() => document.activeElement?.id), 'start');
            assert.match(await page.innerText('[data-state=failed]'), /^Measure: Q8_0\s*Stopped\.$/);
            assert.equal(await page.locator('[data-state=skipped]').count(), 2);
            const [[, original], [name, figures]] = [...(await table(page))];
            assert.deepEqual([name, figures[0], figures[2], original[0]], ['Q8_0', '3.0 MB', '–', '–']);
            assert.equal(await page.evaluate(() => document.querySelector('.bench')?.scrollWidth), 360);

            await page.fill('#ask', 'Tell me a story.');
            await page.press('#ask', 'Enter');
            await page.locator('.column:first-child .body p:not(.soft)').waitFor();
            await page.keyboard.press('Escape');
            await page.waitForSelector('#ask-send:not([hidden])');
        });
    });

    it('shows thoughts apart from the answers', async () => {
        const context = { viewport: { width: 390, height: 780 }, serviceWorkers: /** @type {const} */ ('block') };
        await visit({ query: QUERY, wait: CHOSEN, prepare: scripted, context }, async (page) => {
            const source = thinker();
            await page.evaluate(async (source) => {
                const { createLabChat } = await import(`${location.origin}/demo/lab-chat.js`);
                createLabChat({ onBusy() {} }).setSpeakers([{ name: 'Original', source }], null);
                /** @type {HTMLElement} */ (document.querySelector('#try')).hidden = false;
                await /** @type {any} */ (globalThis).say('<think>Hm, well.</think>Four.');
            }, source);
            await page.fill('#ask', 'What is two and two?');
            await page.press('#ask', 'Enter');
            await page.locator('.column .meta', { hasText: 'tokens/s' }).waitFor();
            assert.equal((await page.innerText('.column .body')).trim(), 'Four.');
            assert.match(await page.innerText('.column .thought'), /^Thought for/);
            assert.equal(await page.isVisible('.thought-text'), false);
            await page.click('.thought summary');
            assert.equal(await page.innerText('.thought-text'), 'Hm, well.');
            const { options } = await page.evaluate(() => /** @type {any} */ (globalThis).asked[0]);
            assert.deepEqual(options.thinking, { maxTokens: 100 }); // half of 200
        });
    });

    it('copies a folder at a URL once, and works with the copy', async () => {
        const query = 'lab.html?model=../tests/fixtures/safetensors/llama-sharded/';
        // without the service worker, which would hide requests from this test
        await visit({ query, wait: CHOSEN, context: { serviceWorkers: 'block' } }, async (page) => {
            /** @type {string[]} */
            const asked = [];
            page.on('request', (request) => request.url().endsWith('.safetensors') && asked.push(request.url()));
            // files that the folder lacks: a 404 would be an error in the console
            const lacking = /\/(modules|special_tokens_map|quant_config|quantize_config)\.json$|\.jinja$/;
            await page.route(lacking, (route) => route.fulfill({ body: '' }));
            await page.fill('#text', SAMPLE);
            await onlyMake(page, ['Q8_0']);
            await run(page);
            assert.deepEqual([...(await table(page)).keys()], ['Original: llama-sharded', 'Q8_0']);
            assert.equal(asked.length, 4, 'four shards, each once');
            await run(page);
            assert.equal(asked.length, 4);
            await page.locator('#steps li').first().getByText('Read the text').waitFor();
        });
    });

    it('says what is wrong with a model or a text', async () => {
        const { value: large } = await modelOf(layersFor(4.2e9)).getReader().read();
        const file = (/** @type {string} */ name, /** @type {Buffer} */ buffer) => ({ name, mimeType: '', buffer });
        await visit({ query: 'lab.html', wait: '#start' }, async (page) => {
            /** @param {Parameters<Page['setInputFiles']>[1]} files @param {RegExp} message */
            const refuses = async (files, message) => {
                await page.click('#open-model');
                await page.setInputFiles('#files', files);
                await page.locator('#model-state.wrong', { hasText: message }).waitFor();
                assert.ok(await page.isDisabled('#start'));
            };
            await refuses(file('diary.gguf', Buffer.from('Dear diary, '.repeat(99))), /not a model that can be read/);
            await refuses(file('large.gguf', Buffer.from(/** @type {Uint8Array} */ (large))), /a page can hold 4 GB/);
            await page.click('#open-model');
            await page.setInputFiles('#files', models.stories);
            await page.waitForSelector(CHOSEN);

            await page.setInputFiles('#text-file', models.stories);
            await page.locator('#text-state.wrong', { hasText: /plain text in UTF-8/ }).waitFor();
            assert.ok(await page.isDisabled('#start'));
            await page.setInputFiles('#text-file', file('short.txt', Buffer.from('Once upon a time. '.repeat(20))));
            await page.click('#start:enabled'); // it may fail too soon to be seen running
            await page
                .locator('[data-state=failed]', { hasText: /is too short: a half has only \d+ tokens/ })
                .waitFor();
            await page.waitForSelector(IDLE);
            assert.ok(await page.isHidden('#results'));
        });
    });

    it('takes a dropped text, a type that needs a matrix, and works without a network after the first visit', async () => {
        const gone = await serve();
        try {
            await visit({ base: gone.url, query: QUERY, wait: CHOSEN }, async (page) => {
                await onlyMake(page, ['Q8_0']);
                await page.fill('#text', SAMPLE);
                await run(page);
                const paths = ['/demo/lab.html', '/demo/sample.txt', '/demo/stories.gguf', '/build/pool-worker.js'];
                await kept(page, [...paths, '/build/wasm/nibble-convert.wasm']);
                await gone.close();
                await page.goto(`${gone.url}demo/${QUERY}`);
                await page.waitForSelector(CHOSEN);
                await page.evaluate((text) => {
                    const dataTransfer = new DataTransfer();
                    dataTransfer.items.add(new File([text], 'stories.txt'));
                    document.body.dispatchEvent(
                        new DragEvent('drop', { bubbles: true, cancelable: true, dataTransfer }),
                    );
                }, SAMPLE);
                await page.locator('#text-state', { hasText: /^stories\.txt: / }).waitFor();
                await onlyMake(page, []);
                await page.selectOption('#recipe-type', 'iq2_xxs');
                assert.ok(await page.isChecked('#recipe-imatrix'));
                assert.match(await page.innerText('#imatrix-note'), /IQ2_XXS needs an importance matrix/);
                await page.click('#recipe-add');
                await run(page);
                assert.deepEqual([...(await table(page)).keys()], ['Original: Stories', 'IQ2_XXS, importance matrix']);
            });
        } finally {
            await gone.close();
        }
    });
});
