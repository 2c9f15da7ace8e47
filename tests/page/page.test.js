// The demo's chat and bench pages in Chromium, used like by a person, with the small model of this repository.
import assert from 'node:assert/strict';
import { appendFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { serve } from '../../tools/serve.js';
import { builds, missing, models, root } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { ask, BABBLE, DONE, kept, READY, refused, SLOW, useDemo } from '../support/demo-page.js';
import { listen } from '../support/loopback.js';

/** @typedef {import('playwright-core').Page} Page */

const folders = `${root}tests/fixtures/safetensors/`;

describe('the demo page', { skip }, () => {
    const { visit, url, browser } = useDemo();

    /** Records the lengths of the answer while it grows. @param {Page} page */
    async function watchAnswer(page) {
        await page.evaluate(() => {
            const seen = /** @type {number[]} */ ([]);
            Object.assign(globalThis, { seen });
            new MutationObserver(() => {
                const length = document.querySelector('.message.assistant:last-child .body')?.textContent?.length ?? 0;
                if (length > (seen.at(-1) ?? 0)) seen.push(length);
            }).observe(/** @type {Node} */ (document.querySelector('#messages')), {
                childList: true,
                subtree: true,
                characterData: true,
            });
        });
        return () => page.evaluate(() => /** @type {{ seen: number[] }} */ (/** @type {unknown} */ (globalThis)).seen);
    }

    it('loads, streams an answer, measures it, and does so again after a reload', async () => {
        await visit({ query: '?model=./stories.gguf&context=2048', settings: BABBLE }, async (page) => {
            assert.equal(await page.innerText('#model-name'), 'Stories');
            const lengths = await watchAnswer(page);
            const text = await ask(page, 'Tell me a story.');
            assert.ok(text.length > 200, `an answer of ${text.length} characters`);
            assert.ok((await lengths()).length >= 3, `the text came in ${(await lengths()).length} steps`);

            assert.match(await page.innerText('#stat-rate'), /^[\d.]+$/);
            assert.match(await page.innerText('#stat-first'), /^[\d.]+ (ms|s)$/);
            assert.match(await page.innerText('#stat-memory'), /^[\d.]+ MB$/);
            const build = await page.innerText('#stat-build');
            assert.ok(
                builds.some(({ name }) => name === build),
                build,
            );
            assert.equal(await page.locator('#plot canvas').count(), 1);
            await page.click('#details summary');
            assert.match(await page.innerText('#facts'), /llama/);

            await page.reload();
            await page.waitForSelector(READY);
            assert.equal(await page.locator('.message').count(), 0);
            // the settings, with the seed, were stored, so the answer is the same
            assert.equal(await ask(page, 'Tell me a story.'), text);
        });
    });

    it('stops in the middle, keeps the text, and answers the next question', async () => {
        await visit({ query: '?model=./stories.gguf&context=4096', settings: BABBLE }, async (page) => {
            await page.evaluate(() => {
                new MutationObserver((_, observer) => {
                    if (!document.querySelector('.message.assistant .body')?.textContent) return;
                    observer.disconnect();
                    document
                        .querySelector('#send')
                        ?.dispatchEvent(new MouseEvent('click', { bubbles: true, cancelable: true }));
                }).observe(/** @type {Node} */ (document.querySelector('#messages')), {
                    childList: true,
                    subtree: true,
                });
            });
            const text = await ask(page, 'Tell me a story.');
            const meta = await page.innerText('.message.assistant:last-child .meta');
            assert.match(meta, /stopped/);
            assert.ok(text.length > 0);
            assert.ok(Number.parseInt(meta, 10) < 2000, meta);
            assert.equal(await page.getAttribute('#send', 'aria-label'), 'Send');
            await page.click('.retry');
            await page.waitForSelector(DONE);
            assert.equal(await page.locator('.message.assistant').count(), 1);
            await page.click('#clear');
            assert.equal(await page.locator('.message').count(), 0);
            assert.ok(await page.isVisible('#welcome'));
        });
    });

    it('can be used with nothing but a keyboard', async () => {
        await visit({ query: SLOW, settings: BABBLE }, async (page) => {
            const focused = () =>
                page.evaluate(() => document.activeElement?.id || document.activeElement?.textContent?.trim());
            assert.equal(await focused(), 'prompt', 'the message box has the focus once the model is there');
            await page.keyboard.type('Tell me');
            await page.keyboard.press('Shift+Enter');
            await page.keyboard.type('a story.');
            await page.keyboard.press('Enter');
            assert.equal(await page.innerText('.message.user .body'), 'Tell me\na story.');
            await page.waitForSelector('.message.assistant .body > *');
            await page.keyboard.press('Escape');
            await page.waitForSelector(DONE);
            assert.match(await page.innerText('.message.assistant .meta'), /stopped/);
            assert.equal(await focused(), 'prompt');

            // every control can be focused, and shows the focus
            await page.evaluate(() => /** @type {HTMLElement} */ (document.activeElement).blur());
            const reached = new Set();
            for (let i = 0; i < 40; i++) {
                await page.keyboard.press('Tab');
                reached.add(
                    await page.evaluate(() => {
                        const active = /** @type {HTMLElement} */ (document.activeElement);
                        const shown =
                            getComputedStyle(active).outlineStyle !== 'none' ||
                            active.id === 'prompt' ||
                            active === document.body;
                        return shown
                            ? active.id || active.getAttribute('aria-label') || active.textContent?.trim()
                            : `without focus ring: ${active.outerHTML}`;
                    }),
                );
            }
            for (const name of [
                'open-model',
                'clear',
                'theme',
                'panel-toggle',
                'scroller',
                'Copy',
                'Try again',
                'prompt',
                'set-temperature',
                'set-seed',
                'Model details',
            ]) {
                assert.ok(reached.has(name), `Tab reaches ${name}; it reached ${[...reached].join(', ')}`);
            }
            assert.deepEqual(
                [...reached].filter((name) => name?.startsWith('without')),
                [],
            );

            await page.focus('#open-model');
            await page.keyboard.press('Enter');
            assert.ok(await page.isVisible('#open-dialog'));
            await page.keyboard.press('Escape');
            assert.ok(!(await page.isVisible('#open-dialog')));
            assert.equal(await focused(), 'open-model');
        });
    });

    it('fits a phone, with the settings as a sheet', async () => {
        await visit({ context: { viewport: { width: 360, height: 640 }, hasTouch: true } }, async (page) => {
            const fits = async (/** @type {string} */ when) =>
                assert.equal(
                    await page.evaluate(() => document.documentElement.scrollWidth),
                    360,
                    `no horizontal scrolling ${when}`,
                );
            await fits('before the first message');
            await ask(page, `Tell me ${'averyverylongword'.repeat(20)}`);
            await fits('with a long word');
            await page.tap('#panel-toggle');
            await page.waitForFunction(() => document.activeElement?.id === 'panel-close');
            assert.ok(await page.evaluate(() => /** @type {HTMLElement} */ (document.querySelector('main')).inert));
            await fits('with the sheet open');
            await page.fill('#set-temperature', '0');
            await page.keyboard.press('Escape');
            assert.equal(await page.evaluate(() => document.activeElement?.id), 'panel-toggle');
            assert.match(await page.evaluate(() => localStorage.getItem('nibble.settings') ?? ''), /"temperature":0,/);
            await page.tap('#open-model');
            await fits('with the dialog open');
        });
    });

    it("follows the system's colours until the user chooses", async () => {
        await visit({ context: { colorScheme: 'dark' } }, async (page) => {
            const theme = () => page.evaluate(() => document.documentElement.dataset.theme);
            assert.equal(await theme(), 'dark');
            await page.click('#theme');
            assert.equal(await theme(), 'light');
            await page.reload();
            assert.equal(await theme(), 'light');
        });
    });

    it('works with one thread on a server without the isolation headers, and says so', async () => {
        const plain = await serve({ isolated: false });
        try {
            await visit({ base: plain.url }, async (page) => {
                assert.equal(await page.evaluate(() => crossOriginIsolated), false);
                assert.equal(await page.innerText('#stat-threads'), '1');
                assert.match(await page.innerText('#notice-threads'), /One thread only/);
                assert.ok((await ask(page, 'Tell me a story.')).length > 20);
            });
        } finally {
            await plain.close();
        }
    });

    for (const { name, threads } of builds) {
        it(`answers with the build ${name}`, async () => {
            await visit({ query: `?model=./stories.gguf&build=${name}&threads=2` }, async (page) => {
                assert.equal(await page.innerText('#stat-build'), name);
                assert.equal(await page.innerText('#stat-threads'), threads ? '2' : '1');
                assert.ok((await ask(page, 'Tell me a story.')).length > 20);
            });
        });
    }

    it('says what is wrong with a dropped file, and takes a good one after it', async () => {
        const file = readFileSync(models.stories);
        const drop = (/** @type {Page} */ page, /** @type {string} */ name, /** @type {Buffer} */ bytes) =>
            page.evaluate(
                ([name, base64]) => {
                    const data = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
                    const dataTransfer = new DataTransfer();
                    dataTransfer.items.add(new File([data], name));
                    for (const type of ['dragover', 'drop']) {
                        document.body.dispatchEvent(
                            new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer }),
                        );
                    }
                },
                [name, bytes.toString('base64')],
            );
        // the first "llama" in the file is the value of general.architecture
        const alien = Buffer.from(file);
        alien.write('klama', file.indexOf('llama'));
        await visit({}, async (page) => {
            for (const [name, bytes, message] of /** @type {[string, Buffer, RegExp][]} */ ([
                [
                    'page.gguf',
                    Buffer.from('<!doctype html><title>Not found</title>'),
                    /not a model that can be read.*a web page/s,
                ],
                ['empty.gguf', Buffer.alloc(0), /not complete/],
                ['half.gguf', file.subarray(0, file.length / 2), /not complete.*What the engine said./s],
                ['alien.gguf', alien, /does not know this kind of model.*klama/s],
                [
                    'model.safetensors',
                    readFileSync(`${folders}llama-f32/model.safetensors`),
                    /needs? config\.json.*whole folder/s,
                ],
            ])) {
                await drop(page, name, bytes);
                await refused(page, message);
                assert.equal(
                    await page.evaluate(() => document.activeElement?.id),
                    'load-title',
                    'the focus is where the news is',
                );
            }
            await drop(page, 'mended.gguf', file);
            await page.waitForSelector(READY);
            assert.equal(await page.innerText('#model-name'), 'mended');
            assert.ok((await ask(page, 'Tell me a story.')).length > 20);

            await page.setInputFiles('#files', { name: 'chosen.gguf', mimeType: '', buffer: file });
            await page.waitForFunction(() => document.querySelector('#model-name')?.textContent === 'chosen');
            await page.waitForSelector(READY);
        });
    });

    /** Drops files and folders of this machine with real drag events. (The first dragover shows the cover, so a second
     * one is needed.)
     * @param {Page} page @param {...string} paths */
    async function dropPaths(page, ...paths) {
        const devTools = await page.context().newCDPSession(page);
        const data = { items: [], files: paths, dragOperationsMask: 1 };
        for (const type of /** @type {const} */ (['dragEnter', 'dragOver', 'dragOver', 'drop']))
            await devTools.send('Input.dispatchDragEvent', { type, x: 99, y: 99, data });
        await devTools.detach();
    }

    /** Waits until a model of that name has been opened, and lets it answer.
     * @param {Page} page @param {string} name @param {RegExp} fact about it */
    async function opened(page, name, fact) {
        await page.waitForFunction((wanted) => document.querySelector('#model-name')?.textContent === wanted, name);
        await page.waitForSelector(READY);
        assert.match((await page.textContent('#facts')) ?? '', fact);
        await page.fill('#prompt', 'the in');
        await page.press('#prompt', 'Enter');
        await page.waitForSelector(DONE);
        assert.match(await page.innerText('.message.assistant:last-child .meta'), /^\d+ tokens/);
    }

    const parts = ['1', '2', '3'].map((n) => `${folders}split/one-kv-head-0000${n}-of-00003.gguf`);

    it('takes folders and several files, dropped or chosen', async () => {
        await visit({ settings: { maxTokens: 4 } }, async (page) => {
            await dropPaths(page, `${folders}llama-sharded`);
            await opened(page, 'llama-sharded', /llama.*safetensors/s);
            await dropPaths(page, ...parts);
            await opened(page, 'one-kv-head', /llama.*GGUF v3/s);
            await page.click('#open-model');
            assert.ok(await page.isVisible('#pick-folder'));
            await page.setInputFiles('#folder', `${folders}llama-f32`);
            assert.ok(!(await page.isVisible('#open-dialog')));
            await opened(page, 'llama-f32', /llama.*safetensors/s);
            await page.setInputFiles('#files', parts);
            await opened(page, 'one-kv-head', /GGUF v3/);
            const names = ['config.json', 'model.safetensors', 'tokenizer.json'];
            await page.setInputFiles(
                '#files',
                names.map((name) => `${folders}llama-f32/${name}`),
            );
            await opened(page, 'model', /llama.*safetensors/s);
        });
    });

    it('says which file of several is missing', async () => {
        const shard = `${folders}llama-sharded/model-00001-of-00004.safetensors`;
        const [config, tokenizer, weights] = ['config.json', 'tokenizer.json', 'model.safetensors'].map(
            (name) => `${folders}llama-f32/${name}`,
        );
        const empty = mkdtempSync(join(tmpdir(), 'nibble-page-'));
        mkdirSync(join(empty, 'inner'));
        cpSync(models.stories, join(empty, 'inner/stories.gguf')); // files in subfolders do not count
        try {
            await visit({}, async (page) => {
                for (const [paths, message] of /** @type {[string[], RegExp][]} */ ([
                    [[shard, config], /A file is missing.*model-00002-of-00004\.safetensors is missing/s],
                    [[shard], /whole folder/],
                    [[tokenizer, weights], /config\.json is missing/],
                    [parts.slice(0, 2), /one-kv-head-00003-of-00003\.gguf is missing/],
                    [parts.slice(1, 2), /part 2 of a model in 3 files/],
                    [[empty], /There is no model in the list of files: neither \*\.gguf nor \*\.safetensors\./],
                    [[`${folders}llama-f32`, `${folders}llama-sharded`], /two of the files have the same name/i],
                    [[models.stories, parts[0]], /missing|several models/],
                    [[config], /JSON, not a model file/],
                ])) {
                    await dropPaths(page, ...paths);
                    await refused(page, message);
                }
            });
        } finally {
            rmSync(empty, { recursive: true });
        }
    });

    it('loads a folder from its URL, and from the hub', async () => {
        const context = /** @type {const} */ ({ serviceWorkers: 'block' }); // so that the test can answer for the hub
        await visit({ settings: { maxTokens: 4 }, hosts: ['huggingface.co'], context }, async (page) => {
            await page.context().route('https://huggingface.co/owner/llama-sharded/resolve/main/**', (route) => {
                const name = new URL(route.request().url()).pathname.split('/resolve/main/')[1],
                    path = `${folders}llama-sharded/${name}`;
                const headers = { 'Access-Control-Allow-Origin': '*' };
                return existsSync(path) ? route.fulfill({ path, headers }) : route.fulfill({ status: 404, headers });
            });
            const open = async (/** @type {string} */ address) => {
                await page.click('#open-model');
                await page.fill('#url', address);
                await page.press('#url', 'Enter');
            };
            await open(`${url()}tests/fixtures/safetensors/llama-f32/`);
            await opened(page, 'llama-f32', /llama.*safetensors/s);
            await open('hf:owner/llama-sharded');
            await opened(page, 'llama-sharded', /llama.*safetensors/s);
            await open('hf:owner');
            await refused(page, /hf:owner does not name a model on the hub.*hf:owner\/repo/);
        });
    });

    it('loads from a URL of another site, and can be told to leave it', async () => {
        const file = readFileSync(models.stories);
        const other = await listen((request, response) => {
            response.writeHead(200, { 'Access-Control-Allow-Origin': '*', 'Content-Length': file.length });
            if (request.url === '/whole.gguf') response.end(file);
            else response.write(file.subarray(0, 200_000)); // and nothing more, ever
        });
        const open = async (/** @type {Page} */ page, /** @type {string} */ file) => {
            await page.click('#open-model');
            await page.fill('#url', `${other.url}/${file}`);
            await page.press('#url', 'Enter');
        };
        try {
            await visit({}, async (page) => {
                await open(page, 'stalled.gguf');
                // bytes arrive in pieces, so the page shows a smaller number first
                await page.locator('#load-bytes', { hasText: /^200 kB of 2\.3 MB$/ }).waitFor();
                assert.equal(await page.getAttribute('#load-cells', 'aria-valuenow'), '9');
                await page.click('#load-actions button');
                await page.waitForSelector('#load[data-state=stopped]');
                assert.match(await page.innerText('#load-title'), /cancelled/);
                await open(page, 'whole.gguf');
                await page.waitForSelector(READY);
                assert.equal(await page.innerText('#model-name'), 'whole');
                assert.ok((await ask(page, 'Tell me a story.')).length > 20);
            });
        } finally {
            other.close();
        }
    });

    it('falls back to the small model if the real one is not there, and says so', async () => {
        const context = await browser().newContext({ serviceWorkers: 'block' });
        try {
            await context.route('**/SmolLM2*', (route) => route.fulfill({ status: 404, body: 'no such file' }));
            const page = await context.newPage();
            await page.goto(`${url()}demo/`);
            await page.waitForSelector(READY);
            assert.equal(await page.innerText('#model-name'), 'Stories');
            assert.match(await page.innerText('#notice-stories'), /SmolLM2 was not found/);
            await page.click('#suggestions button');
            await page.waitForSelector(DONE);
        } finally {
            await context.close();
        }
    });

    it('opens without a network after the first visit, isolated as before', async () => {
        const gone = await serve();
        await visit({ base: gone.url }, async (page) => {
            const first = await ask(page, 'Tell me a story.');
            assert.ok(first.length > 20);
            await kept(page, [
                '/demo/',
                '/demo/stories.gguf',
                '/build/pool-worker.js',
                '/build/jinja.js',
                '/build/uplot.js',
            ]);
            await gone.close();
            await page.goto(`${gone.url}demo/?model=./stories.gguf`);
            await page.waitForSelector(READY);
            assert.ok(await page.evaluate(() => crossOriginIsolated));
            assert.ok((await ask(page, 'Tell me a story.')).length > 20);
        });
    });

    it('uses new code as soon as the server has it, whatever is cached', async () => {
        const folder = mkdtempSync(join(tmpdir(), 'nibble-page-'));
        cpSync(`${root}demo`, join(folder, 'demo'), { recursive: true });
        for (const room of ['web', 'build']) symlinkSync(`${root}${room}`, join(folder, room));
        const changing = await serve({ root: folder });
        try {
            await visit({ base: changing.url }, async (page) => {
                await kept(page, []);
                await page.reload(); // now the page uses the service worker
                await page.waitForSelector(READY);
                appendFileSync(join(folder, 'demo/store.js'), 'document.documentElement.dataset.newer = "yes";\n');
                await page.reload();
                await page.waitForSelector(READY);
                assert.equal(await page.evaluate(() => document.documentElement.dataset.newer), 'yes');
            });
        } finally {
            await changing.close();
            rmSync(folder, { recursive: true });
        }
    });

    it('shows whatever a model writes as text', async () => {
        await visit({}, async (page) => {
            const html = await page.evaluate(async () => {
                const { renderMarkdown } = await import(String(new URL('./markdown.js', location.href)));
                const box = document.createElement('div');
                renderMarkdown(
                    box,
                    '# A <b>title</b>\n\nSome **bold** and `<i>code</i>` and *slanted*\n<img src=x ' +
                        'onerror=alert(1)>\n\n' +
                        '3. one\n4. two\n\n- [a](javascript:alert(1))\n\n' +
                        '```js\n**not bold** </code><script>\n```\nafter\n> said',
                );
                return box.innerHTML;
            });
            assert.equal(
                html,
                '<h3>A &lt;b&gt;title&lt;/b&gt;</h3><p>Some <strong>bold</strong> and ' +
                    '<code>&lt;i&gt;code&lt;/i&gt;</code> and ' +
                    '<em>slanted</em><br>&lt;img src=x onerror=alert(1)&gt;</p>' +
                    '<ol start="3"><li>one</li><li>two</li></ol>' +
                    '<ul><li>[a](javascript:alert(1))</li></ul><pre tabindex="0"><code>**not bold** ' +
                    '&lt;/code&gt;&lt;script&gt;</code></pre>' +
                    '<p>after</p><blockquote>said</blockquote>',
            );
        });
    });

    /** The number of configurations that the bench page measures here. @param {Page} page */
    const formsIn = (page) => page.evaluate(() => (crossOriginIsolated && navigator.hardwareConcurrency > 1 ? 5 : 3));
    const MEASURED = '#start:enabled:not([hidden])';

    it('links to the bench, which measures the current model, and shows and copies the results', async () => {
        await visit({ context: { permissions: ['clipboard-read', 'clipboard-write'] } }, async (page) => {
            await page.click('#bench-link');
            await page.waitForSelector(MEASURED);
            assert.equal(await page.locator('#model option:checked').innerText(), 'Stories, 2.3 MB');
            await page.click('#start');
            await page.waitForSelector('#cancel');
            await page.waitForSelector(MEASURED);
            const forms = await formsIn(page);
            for (const chart of ['prompt', 'generate']) {
                const rates = await page.locator(`#${chart} b`).allInnerTexts();
                assert.equal(rates.length, forms);
                assert.ok(
                    rates.every((rate) => Number(rate) > 10),
                    `${chart}: ${rates}`,
                );
                const widths = await page
                    .locator(`#${chart} i`)
                    .evaluateAll((bars) => bars.map((bar) => bar.clientWidth));
                const most = Math.max(...rates.map(Number)),
                    widest = Math.max(...widths);
                for (const [i, width] of widths.entries())
                    assert.ok(
                        Math.abs(width / widest - Number(rates[i]) / most) < 0.02,
                        'bars as long as their numbers',
                    );
            }
            const rows = await page.locator('#figures tr').allInnerTexts();
            assert.equal(rows.length, forms);
            assert.ok(
                rows.every((row) => /\d (ms|s)\s.*\d (ms|s)\s.*\d MB/s.test(row)),
                rows.join('\n'),
            );
            await page.click('#copy');
            const text = await page.evaluate(() => navigator.clipboard.readText());
            assert.equal(text, await page.innerText('#report'));
            assert.match(
                text,
                /^1 thread \((relaxed|relaxed-dot|simd128)\): prompt [\d.]+, generation [\d.]+; first token /m,
            );
            assert.equal(text.split('\n').length, 3 + forms);
        });
    });

    it('bench: by keyboard on a phone, cancelled, and with a file that is no model', async () => {
        const context = { viewport: { width: 360, height: 640 } };
        const fits = async (/** @type {Page} */ page) =>
            assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 360);
        const query = missing(models.realMissing) ? 'bench.html?model=./stories.gguf' : 'bench.html';
        await visit({ query, wait: MEASURED, context }, async (page) => {
            const focused = () => page.evaluate(() => document.activeElement?.id);
            await fits(page);
            const reached = [];
            for (let i = 0; i < 5; i++) {
                await page.keyboard.press('Tab');
                reached.push(await focused());
            }
            assert.deepEqual(reached.slice(1), ['theme', 'model', 'pick', 'start']);
            await page.keyboard.press('Enter');
            await page.waitForSelector('#cancel');
            assert.equal(await focused(), 'cancel');
            await page.keyboard.press('Escape');
            await page.waitForSelector(MEASURED);
            assert.equal(await focused(), 'start');
            assert.ok((await page.locator('#prompt li').count()) < (await formsIn(page)));
            await page.waitForFunction(() => document.querySelector('#announcer')?.textContent === 'Cancelled.');

            await page.setInputFiles('#files', {
                name: 'notes.gguf',
                mimeType: '',
                buffer: Buffer.from('Dear diary, '.repeat(99)),
            });
            assert.equal(await page.locator('#model option:checked').innerText(), 'notes');
            await page.click('#start');
            await page.waitForSelector('#problem:not([hidden])');
            assert.match(await page.innerText('#problem'), /not a model that can be read\. Not a GGUF file/);
            await page.setInputFiles('#files', models.stories);
            await page.click('#start');
            await page.waitForSelector('#results:not([hidden])');
            await page.waitForSelector(MEASURED);
            assert.ok(!(await page.isVisible('#problem')));
            assert.equal(await page.innerText('#results-title'), 'stories');
            await fits(page);
        });
    });

    it('bench: measures without a network after the first visit', async () => {
        const gone = await serve();
        const query = 'bench.html?model=./stories.gguf';
        await visit({ base: gone.url, query, wait: MEASURED }, async (page) => {
            const measure = async () => {
                await page.click('#start');
                await page.waitForSelector('#cancel');
                await page.waitForSelector(MEASURED);
                assert.equal(await page.locator('#prompt li').count(), await formsIn(page));
            };
            await measure();
            await kept(page, ['/demo/bench.html', '/demo/stories.gguf', '/build/pool-worker.js']);
            await gone.close();
            await page.goto(`${gone.url}demo/${query}`);
            await page.waitForSelector(MEASURED);
            await measure();
        });
    });

    it('loads the real model and talks sense', { skip: missing(models.realMissing) }, async () => {
        await visit({ query: '', settings: { temperature: 0, maxTokens: 48 } }, async (page) => {
            assert.equal(await page.innerText('#model-name'), 'SmolLM2 135M Instruct');
            assert.match(await ask(page, 'What is the capital of France?'), /Paris/);
        });
    });
});
