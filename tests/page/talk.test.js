// The demo's chat page with thoughts and functions, and in cases that are easily forgotten: stopped, cancelled and
// failing answers, the focus, accessibility.
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { gzipSync } from 'node:zlib';
import { models, root } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { ANSWER, ask, BABBLE, DONE, READY, refused, scripted, thinker, useDemo } from '../support/demo-page.js';
import { listen } from '../support/loopback.js';

/** @typedef {import('playwright-core').Page} Page */

describe('the demo page, in special cases', { skip }, () => {
    const { visit, url, browser } = useDemo();
    const LONG = { query: '?model=./stories.gguf&context=4096', settings: BABBLE };

    /** The small model with a template that wants alternating roles, as many do, and fails for a certain word. */
    function strictModel() {
        const bytes = readFileSync(models.stories),
            at = bytes.indexOf('{%'),
            old = bytes.readUInt32LE(at - 8);
        const template =
            '{%for m in messages%}{%if(m.role=="user")!=(loop.index0%2==0)or"FAIL"in ' +
            'm.content%}{{raise_exception("no")}}{%endif%}{{m.content}}{%endfor%}';
        assert.ok(template.length <= old, `${template.length} of ${old}`);
        bytes.write(template.padEnd(old), at);
        return { name: 'strict.gguf', mimeType: '', buffer: bytes };
    }

    /** Sends a long message, and stops the answer before it can have begun. @param {Page} page */
    const sendAndStop = (page) =>
        page.evaluate(() => {
            const box = /** @type {HTMLTextAreaElement} */ (document.querySelector('#prompt'));
            box.value = 'Never mind. '.repeat(200);
            box.dispatchEvent(new Event('input'));
            const button = /** @type {HTMLButtonElement} */ (document.querySelector('#send'));
            button.click();
            button.click();
        });

    it('goes on after an answer that was stopped before its first text, or that failed', async () => {
        await visit({ ...LONG, settings: { maxTokens: 16 } }, async (page) => {
            await page.setInputFiles('#files', strictModel());
            await page.waitForFunction(() => document.querySelector('#model-name')?.textContent === 'strict');
            await page.waitForSelector(READY);
            const meta = () => page.innerText('.message.assistant:last-child .meta');
            for (let i = 0; i < 2; i++) {
                await sendAndStop(page);
                await page.waitForSelector(DONE);
                assert.match(await meta(), /^0 tokens.*stopped/);
            }
            await ask(page, 'One');
            assert.match(await meta(), /^\d+ tokens/);
            await ask(page, 'FAIL');
            assert.match(await page.innerText('.message.assistant:last-child .problem'), /./);
            await ask(page, 'Two');
            assert.match(await meta(), /^[1-9]\d* tokens/);
            await sendAndStop(page);
            await page.waitForSelector(DONE);
            assert.match(await meta(), /^0 tokens.*stopped/);
            await page.click('.retry');
            await page.waitForSelector(DONE);
            assert.match(await meta(), /^[1-9]\d* tokens/, 'the stopped question can still be answered');
        });
    });

    /** @param {Page} page @param {...string} texts */
    const say = (page, ...texts) => page.evaluate((texts) => /** @type {any} */ (globalThis).say(...texts), texts);
    /** The last request. @param {Page} page */
    const asked = (page) => page.evaluate(() => /** @type {any} */ (globalThis).asked.at(-1));
    const rolesOf = (/** @type {{ messages: any[] }} */ { messages }) => messages.map(({ role }) => role);

    /** @param {(page: Page) => Promise<void>} act */
    async function withThinker(act) {
        const query = `?model=${thinker()}&context=4096&threads=1`;
        await visit({ query, prepare: scripted, context: { serviceWorkers: 'block' } }, act);
    }
    const THOUGHT = '.message.assistant:last-child .thought';

    it('shows thoughts in a part of their own, which a keyboard opens, and has a switch for them', async () => {
        await withThinker(async (page) => {
            assert.deepEqual([await page.isChecked('#think'), await page.isChecked('#tools')], [true, false]);
            await page.evaluate(() => {
                const seen = /** @type {string[]} */ ([]);
                Object.assign(globalThis, { seen });
                new MutationObserver(() => {
                    const text = document.querySelector('.thought')?.textContent ?? '';
                    if (text !== seen.at(-1)) seen.push(text);
                }).observe(/** @type {Node} */ (document.querySelector('#messages')), {
                    childList: true,
                    subtree: true,
                });
            });
            const thought = 'Two and two, which is easy to count. '.repeat(8).trim();
            await say(page, `<think>\n${thought}\n</think>\n\nIt is **four**.`);
            assert.equal(await ask(page, 'What is two and two?'), 'It is four.');
            const seen = await page.evaluate(() => /** @type {any} */ (globalThis).seen);
            assert.ok(seen.filter((/** @type {string} */ text) => text.startsWith('Thinking')).length >= 2, `${seen}`);
            assert.match(seen.at(-1), /^Thought for [\d.]+ m?s/);
            assert.ok(seen.at(-1).endsWith(thought));
            assert.equal(await page.isVisible(`${THOUGHT}-text`), false);
            await page.focus(`${THOUGHT} summary`);
            await page.keyboard.press('Enter');
            assert.equal((await page.innerText(`${THOUGHT}-text`)).trim(), thought);
            assert.match(await page.innerText('.meta'), /^\d{2,} tokens/);
            const { options, messages } = await asked(page);
            assert.deepEqual([options.thinking, options.tools], [{ maxTokens: 256 }, undefined]); // half of 512
            assert.deepEqual(messages, [{ role: 'user', content: 'What is two and two?' }]);

            // a thought that was cut off is no answer: the question is not asked again
            await say(page, '<think>\nHm.');
            assert.equal(await ask(page, 'And now?'), '');
            await page.focus('#think');
            await page.keyboard.press('Space');
            await say(page, 'No thought.');
            assert.equal(await ask(page, 'Again.'), 'No thought.');
            assert.equal(await page.locator(THOUGHT).count(), 0);
            const second = await asked(page);
            assert.equal(second.options.thinking, false);
            assert.deepEqual(rolesOf(second), ['user', 'assistant', 'user']);
            assert.equal(second.messages[1].content, 'It is **four**.');

            // a model that does not think has no switch for it, and one without a template has none at all
            await page.setInputFiles('#files', models.stories);
            await page.waitForFunction(() => document.querySelector('#model-name')?.textContent === 'stories');
            await page.waitForSelector(READY);
            assert.deepEqual([await page.isVisible('#think'), await page.isVisible('#tools')], [false, true]);
            await page.setInputFiles('#files', `${root}tests/fixtures/models/biases.gguf`);
            await page.waitForFunction(() => document.querySelector('#model-name')?.textContent === 'biases');
            await page.waitForSelector(READY);
            assert.deepEqual([await page.isVisible('#think'), await page.isVisible('#tools')], [false, false]);
        });
    });

    it('lets the model call functions that run in the page, and shows the calls', async () => {
        const call = (/** @type {string} */ name, /** @type {object} */ values) =>
            `<tool_call>\n${JSON.stringify({ name, arguments: values })}\n</tool_call>`;
        await withThinker(async (page) => {
            await page.setViewportSize({ width: 390, height: 780 });
            await page.check('#tools');
            await say(
                page,
                `<think>I compute.</think>Let me see.\n${call('calculate', { expression: '12 * (3 + 0.1)' })}`,
                `${call('calculate', { expression: 'alert(1)' })}\n${call('date_and_time', {})}`,
                'It is 37.2.',
            );
            await ask(page, 'What is 12 times 3.1?');
            const bodies = await page.locator(ANSWER).allInnerTexts();
            assert.deepEqual(bodies, ['Let me see.', 'It is 37.2.']);
            const [first, second, third] = await page.locator('.call').allInnerTexts();
            assert.equal(first, 'calculate {"expression":"12 * (3 + 0.1)"}\n\n37.2');
            assert.match(second, /^calculate \{"expression":"alert\(1\)"\}\n\nError: "alert" is not known here$/);
            assert.match(third, /^date_and_time \{\}\n\n\{"date":"\d{4}-\d\d-\d\d","time":"\d\d:\d\d",/);
            assert.equal(await page.getAttribute('.call', 'aria-label'), 'Call of calculate');
            await page.click(`${THOUGHT} summary`);
            assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 390);
            assert.ok(
                await page.locator('.call').evaluateAll((all) => all.every((e) => e.scrollWidth <= e.clientWidth)),
            );

            // the conversation goes on with the calls and their results, until the answer is asked for again
            const roles = ['user', 'assistant', 'tool', 'assistant', 'tool', 'tool'];
            assert.deepEqual(rolesOf(await asked(page)), roles);
            await say(page, 'Yes.');
            await ask(page, 'Sure?');
            assert.deepEqual(rolesOf(await asked(page)), [...roles, 'assistant', 'user']);
            await say(page, call('date_and_time', {}), 'No.');
            await page.click('.retry');
            await page.waitForSelector(DONE);
            assert.deepEqual(rolesOf(await asked(page)), [...roles, 'assistant', 'user', 'assistant', 'tool']);
            await say(page, 'Perhaps.');
            await page.click('.retry');
            await page.waitForSelector(DONE);
            assert.deepEqual(rolesOf(await asked(page)), [...roles, 'assistant', 'user']);
            assert.equal((await page.innerText(ANSWER)).trim(), 'Perhaps.');
            await page.reload();
            await page.waitForSelector(READY);
            assert.ok(await page.isChecked('#tools'), 'the switch was stored');
        });
    });

    it('shows nothing of an answer that a new chat has ended', async () => {
        await visit(LONG, async (page) => {
            await page.evaluate(() => {
                new MutationObserver((_, observer) => {
                    if (!document.querySelector('.message.assistant .body')?.textContent) return;
                    observer.disconnect();
                    /** @type {HTMLButtonElement} */ (document.querySelector('#clear')).click();
                }).observe(/** @type {Node} */ (document.querySelector('#messages')), {
                    childList: true,
                    subtree: true,
                });
            });
            await page.fill('#prompt', 'Tell me a story.');
            await page.press('#prompt', 'Enter');
            await page.waitForSelector('#welcome:not([hidden])');
            await page.waitForTimeout(500);
            assert.match(await page.innerText('#stat-context'), /^0 of/);
            assert.equal(await page.innerText('#stat-prompt'), '–');
            assert.doesNotMatch((await page.textContent('#announcer')) ?? '', /Stopped/);
            assert.equal(await page.locator('.message').count(), 0);
            assert.ok((await ask(page, 'Another.')).length > 20);
            assert.equal(await page.locator('.message').count(), 2);
        });
    });

    it('says if a URL is not valid, and loads another', async () => {
        const query = `?${new URLSearchParams({ model: 'https://[nowhere' })}`;
        await visit({ query, wait: '#load[data-state=failed]' }, async (page) => {
            await refused(page, /not a valid URL/);
            assert.equal(await page.innerText('#model-name'), 'no model');
            await page.setInputFiles('#files', models.stories);
            await page.waitForSelector(READY);
        });
        await visit({ query: `bench.html${query}`, wait: '#start:enabled' }, async (page) => {
            await page.click('#start');
            await page.waitForSelector('#problem:not([hidden])');
            assert.match(await page.innerText('#problem'), /not a valid URL/);
        });
    });

    it('shows nothing of the model before', async () => {
        const shown = (/** @type {Page} */ page) =>
            page.evaluate(() =>
                ['stat-build', 'stat-threads', 'stat-memory', 'stat-context', 'facts'].map(
                    (id) => document.getElementById(id)?.textContent,
                ),
            );
        await visit({}, async (page) => {
            const [build] = await shown(page);
            assert.match(String(build), /simd128|relaxed/);
            await page.setInputFiles('#files', { name: 'no.gguf', mimeType: '', buffer: Buffer.from('no') });
            await page.waitForSelector('#load[data-state=failed]');
            assert.deepEqual(await shown(page), ['–', '–', '–', '–', 'Modelnot loaded yet']);
            await page.setInputFiles('#files', models.stories);
            await page.waitForSelector(READY);
            assert.equal((await shown(page))[0], build);
            // a file cannot be passed to the bench page, which then begins with its own model
            assert.equal(await page.getAttribute('#bench-link', 'href'), './bench.html');
        });
    });

    it('uses the small model if the server has no other, in whatever way it says so', async () => {
        for (const [status, contentType] of /** @type {[number, string][]} */ ([
            [403, 'text/plain'],
            [410, 'text/plain'],
            [200, 'text/html; charset=utf-8'],
        ])) {
            const context = await browser().newContext({ serviceWorkers: 'block' });
            try {
                await context.route('**/SmolLM2*', (route) =>
                    route.fulfill({ status, contentType, body: '<!doctype html>' }),
                );
                const page = await context.newPage();
                await page.goto(`${url()}demo/`);
                await page.waitForSelector(READY);
                assert.equal(await page.innerText('#model-name'), 'Stories');
            } finally {
                await context.close();
            }
        }
    });

    it('says if one of its scripts does not load', async () => {
        const context = await browser().newContext({ serviceWorkers: 'block' });
        try {
            await context.route('**/web/errors.js', (route) => route.fulfill({ status: 404, body: 'no' }));
            const page = await context.newPage();
            for (const [name, selector] of [
                ['', '#load[data-state=failed]'],
                ['bench.html', '#problem:not([hidden])'],
                ['lab.html', '#problem:not([hidden])'],
            ]) {
                await page.goto(`${url()}demo/${name}`);
                await page.waitForSelector(selector);
                assert.match(await page.innerText(selector), /A script did not load/);
            }
        } finally {
            await context.close();
        }
    });

    it('never loses the focus', async () => {
        const stalled = await listen((_, response) => {
            response.writeHead(200, { 'Access-Control-Allow-Origin': '*', 'Content-Length': 1_000_000 });
            response.write(readFileSync(models.stories).subarray(0, 200_000)); // and nothing more, ever
        });
        const focused = (/** @type {Page} */ page) =>
            page.evaluate(() => {
                const { id, className, textContent, tagName } = document.activeElement ?? document.body;
                return id || textContent?.trim().slice(0, 20) || className || tagName;
            });
        try {
            await visit({ query: '?model=./stories.gguf&context=4096', settings: { maxTokens: 8 } }, async (page) => {
                await page.focus('#suggestions button');
                await page.keyboard.press('Enter');
                await page.waitForSelector(DONE);
                assert.equal(await focused(page), 'prompt', 'a suggestion goes away');
                await page.focus('.retry');
                await page.keyboard.press('Enter');
                await page.waitForSelector(DONE);
                assert.equal(await focused(page), 'prompt', 'the answer that is tried again goes away');
                await page.fill('#prompt', 'More');
                await page.focus('#send');
                await page.keyboard.press('Enter');
                await page.waitForSelector('.message.assistant:nth-child(4) .foot');
                assert.equal(await focused(page), 'prompt', 'the button that sent is disabled');

                await page.click('#open-model');
                await page.fill('#url', `${stalled.url}/a.gguf`);
                await page.press('#url', 'Enter');
                for (let i = 0; i < 2; i++) {
                    await page.focus('#load-actions button:has-text("Cancel")');
                    await page.keyboard.press('Enter');
                    await page.waitForSelector('#load[data-state=stopped]');
                    assert.equal(await focused(page), 'load-title');
                    await page.focus('#load-actions button:has-text("Try again")');
                    await page.keyboard.press('Enter');
                    await page.waitForSelector('#load[data-state=loading]');
                    assert.equal(await focused(page), 'Cancel');
                }
            });
        } finally {
            stalled.close();
        }
    });

    it('does not send while an input method composes', async () => {
        await visit({}, async (page) => {
            await page.fill('#prompt', 'にほん');
            for (const how of [{ isComposing: true }, { keyCode: 229 }])
                await page.evaluate(
                    (how) =>
                        document
                            .querySelector('#prompt')
                            ?.dispatchEvent(
                                new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...how }),
                            ),
                    how,
                );
            assert.equal(await page.locator('.message').count(), 0);
            assert.equal(await page.inputValue('#prompt'), 'にほん');
        });
    });

    it('writes each text in its own direction', async () => {
        await visit({ settings: { maxTokens: 4 } }, async (page) => {
            const direction = (/** @type {string} */ selector) =>
                page.evaluate(
                    (selector) => getComputedStyle(/** @type {Element} */ (document.querySelector(selector))).direction,
                    selector,
                );
            await page.fill('#prompt', 'שלום עולם');
            assert.equal(await direction('#prompt'), 'rtl');
            await ask(page, 'שלום עולם');
            assert.equal(await direction('.message.user .body'), 'rtl');
            assert.equal(await direction('#prompt'), 'ltr');
            assert.equal(await page.getAttribute(ANSWER, 'dir'), 'auto');
            // an English paragraph between Hebrew ones begins at the left
            const lefts = await page.evaluate(async () => {
                const { renderMarkdown } = await import(String(new URL('./markdown.js', location.href)));
                const box = /** @type {HTMLElement} */ (document.querySelector('.message.assistant .body'));
                renderMarkdown(box, 'שלום עולם\n\nHello\n\n```\ncode\n```');
                return [...box.children].map((child) => {
                    const range = document.createRange();
                    range.selectNodeContents(child);
                    return Math.round(range.getBoundingClientRect().left - box.getBoundingClientRect().left);
                });
            });
            assert.ok(lefts[0] > 100 && lefts[1] < 50 && lefts[2] < 50, String(lefts));
        });
    });

    it('has its headings in order, a name for every control, and no motion if the user wants none', async () => {
        await visit({ settings: { maxTokens: 4 }, context: { reducedMotion: 'reduce' } }, async (page) => {
            const headings = () =>
                page.evaluate(() =>
                    [...document.querySelectorAll('h1, h2, h3, h4, h5, h6')]
                        .filter((heading) => heading.checkVisibility())
                        .map((heading) => Number(heading.tagName[1])),
                );
            const inOrder = async (/** @type {string} */ when) => {
                const levels = await headings();
                assert.equal(levels[0], 1);
                assert.ok(
                    levels.every((level, i) => i === 0 || level <= levels[i - 1] + 1),
                    `${when}: ${levels}`,
                );
            };
            await inOrder('at first');
            await ask(page, 'Tell me a story.');
            for (const text of ['### Three', '# One\n### Three\n## Two\n###### Six', '###### Six\n# One']) {
                await page.evaluate(async (text) => {
                    const { renderMarkdown } = await import(String(new URL('./markdown.js', location.href)));
                    renderMarkdown(document.querySelector('.message.assistant .body'), text);
                }, text);
                await inOrder(text);
            }
            await page.click('#open-model');
            await inOrder('with the dialog');
            const nameless = await page.evaluate(() =>
                [
                    ...document.querySelectorAll(
                        'button, input, textarea, select, [role=region], [role=progressbar], dialog',
                    ),
                ]
                    .filter(
                        (element) =>
                            !(
                                element.getAttribute('aria-label') ||
                                element.getAttribute('aria-labelledby') ||
                                element.textContent?.trim() ||
                                /** @type {HTMLInputElement} */ (element).labels?.length
                            ),
                    )
                    .map((element) => element.outerHTML),
            );
            assert.deepEqual(nameless, []);
            const moving = await page.evaluate(() =>
                [...document.querySelectorAll('*')]
                    .filter((element) => {
                        const { animationName, transitionDuration } = getComputedStyle(element);
                        return animationName !== 'none' || /[1-9]/.test(transitionDuration);
                    })
                    .map((element) => element.className),
            );
            assert.deepEqual(moving, []);
        });
    });

    it('loads from another site that compresses, and does not expose its headers to the page', async () => {
        const other = await listen(({ url = '', headers }, response) => {
            const path = url === '/stories.gguf' ? models.stories : `${root}tests/fixtures/safetensors${url}`;
            // without Access-Control-Expose-Headers
            if (!existsSync(path)) return void response.writeHead(404).end('no');
            const from = Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0),
                bytes = readFileSync(path);
            const body = from > 0 ? bytes.subarray(from) : gzipSync(bytes);
            response
                .writeHead(from > 0 ? 206 : 200, {
                    'Access-Control-Allow-Origin': '*',
                    'Content-Length': body.length,
                    ...(from > 0
                        ? { 'Content-Range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` }
                        : { 'Content-Encoding': 'gzip' }),
                })
                .end(body);
        });
        try {
            await visit({ settings: { maxTokens: 4 } }, async (page) => {
                for (const [path, name] of [
                    ['stories.gguf', 'stories'],
                    ['llama-sharded/', 'llama-sharded'],
                ]) {
                    await page.click('#open-model');
                    await page.fill('#url', `${other.url}/${path}`);
                    await page.press('#url', 'Enter');
                    await page.waitForFunction(
                        (name) => document.querySelector('#model-name')?.textContent === name,
                        name,
                    );
                    await page.waitForSelector(READY);
                    await ask(page, 'the in');
                }
            });
        } finally {
            other.close();
        }
    });

    it('fits a phone and a desktop in each state', async () => {
        for (const viewport of [
            { width: 360, height: 640 },
            { width: 1280, height: 800 },
        ])
            await visit({ query: LONG.query, settings: { maxTokens: 16 }, context: { viewport } }, async (page) => {
                const fits = async (/** @type {string} */ what) =>
                    assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), viewport.width, what);
                await fits('at first');
                await ask(page, 'x'.repeat(300));
                await fits('with an answer');
                await sendAndStop(page);
                await page.waitForSelector(DONE);
                await fits('with a stopped one');
                await page.setInputFiles('#files', {
                    name: `${'long'.repeat(60)}.gguf`,
                    mimeType: '',
                    buffer: Buffer.from('no'),
                });
                await page.waitForSelector('#load[data-state=failed]');
                await fits('with a failure');
            });
    });
});
