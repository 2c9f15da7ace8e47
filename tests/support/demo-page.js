// What the tests of the demo share: a browser and a server, visits to a page, and a user's actions.
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before } from 'node:test';
import { serve } from '../../tools/serve.js';
import { missing, models, root } from './builds.js';
import { launch } from './chromium.js';
import { withTemplate } from './forced.js';

/** @typedef {import('playwright-core').Page} Page */

// Settings that make answers of thousands of tokens, so that a test has time to stop them.
export const BABBLE = { temperature: 2, topK: 0, topP: 1, minP: 0, repeatPenalty: 1.5, maxTokens: 2048, seed: 1 };
// The small model answers in half a second. Tests that must act during an answer use the real one.
export const SLOW = missing(models.realMissing) ? '?model=./stories.gguf&context=4096' : '';
export const READY = '#chat:not([hidden])';
const FAILED = '#load[data-state=failed]';
export const DONE = '.message.assistant:last-child .foot';
export const ANSWER = '.message.assistant:last-child .body';

/** A browser and a server for the tests of the describe() that calls this. */
export function useDemo() {
    /** @type {import('playwright-core').Browser} */
    let browser;
    /** @type {Awaited<ReturnType<typeof serve>>} */
    let site;
    before(async () => {
        browser = await launch();
        site = await serve();
    });
    after(async () => {
        await browser?.close();
        await site?.close();
    });

    /**
     * Opens the demo in a fresh profile, does something, and checks what must hold for every page: no error in the
     * console, no uncaught exception, and no request to any host but this machine and `hosts`.
     * @param {{ query?: string, base?: string, settings?: object, wait?: string, hosts?: string[],
     *     prepare?: (context: import('playwright-core').BrowserContext) => Promise<unknown>,
     *     context?: import('playwright-core').BrowserContextOptions }} options prepare: before the page is opened
     * @param {(page: Page) => Promise<void>} act
     */
    async function visit(options, act) {
        const {
            query = '?model=./stories.gguf',
            base = site.url,
            settings,
            wait = READY,
            hosts = [],
            prepare,
            context: wishes,
        } = options;
        const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...wishes });
        try {
            /** @type {string[]} */
            const problems = [];
            context.on('request', (request) => {
                const { protocol, hostname } = new URL(request.url());
                const known = ['localhost', '127.0.0.1', ...hosts].includes(hostname);
                if (protocol.startsWith('http') && !known) problems.push(`a request left: ${request.url()}`);
            });
            if (settings) {
                await context.addInitScript(
                    (values) => localStorage.setItem('nibble.settings', JSON.stringify(values)),
                    settings,
                );
            }
            await prepare?.(context);
            const page = await context.newPage();
            page.setDefaultTimeout(60_000);
            page.on('console', (message) => message.type() === 'error' && problems.push(`console: ${message.text()}`));
            page.on('pageerror', (error) => problems.push(`thrown: ${error.message}`));
            await page.goto(`${base}demo/${query}`);
            await page.waitForSelector(wait);
            await act(page);
            assert.deepEqual(problems, []);
        } finally {
            await context.close();
        }
    }

    return { visit, url: () => site.url, browser: () => browser };
}

/** Asks by keyboard, waits for the whole answer. @param {Page} page @param {string} question */
export async function ask(page, question) {
    await page.fill('#prompt', question);
    await page.press('#prompt', 'Enter');
    await page.waitForSelector(DONE);
    return (await page.innerText(ANSWER)).trim();
}

/** Waits until the service worker has cached these files, and all that the page itself loaded. (Playwright's
 * waitForFunction cannot: it takes the promise of an async function for a true value.)
 * @param {Page} page @param {string[]} paths */
export const kept = (page, paths) =>
    page.evaluate(async (wanted) => {
        for (let tries = 0; tries < 300; tries++) {
            const urls = (await (await caches.open('nibble-1')).keys()).map((request) => request.url);
            const own = performance.getEntriesByType('resource').map((entry) => entry.name);
            const missed = [...wanted.map((path) => location.origin + path), ...own].filter(
                (url) => !urls.includes(url),
            );
            if (missed.length === 0) return;
            if (tries === 299) throw new Error(`the service worker has not kept ${missed.join(', ')}`);
            await new Promise((resolve) => setTimeout(resolve, 100));
        }
    }, paths);

/** Waits until the page says that it cannot load something, and why. @param {Page} page @param {RegExp} message */
export async function refused(page, message) {
    const said = () => page.innerText(FAILED);
    for (let tries = 0; tries < 50 && !message.test(await said()); tries++) await page.waitForTimeout(100);
    assert.match(await said(), message);
}

/** Makes a model whose template knows thoughts, and gives its URL on the demo's pages. */
export function thinker() {
    const template = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}{{ '<think>' if 0 }}{% endfor %}";
    writeFileSync(`${root}build/thinker.gguf`, withTemplate(template));
    return '../build/thinker.gguf';
}

/**
 * Lets models in the page say what `say()` was told, and notes the page's requests in `asked`. Nothing else is changed:
 * the worker renders the template, and reads the answer.
 * @param {import('playwright-core').BrowserContext} context
 */
export const scripted = (context) =>
    context.route('**/web/index.js', (route) =>
        route.fulfill({
            contentType: 'text/javascript',
            body: `
                import { load as loadModel } from './index.js?own';
                import { forced } from '../tests/support/saying.js';
                export * from './index.js?own';
                let texts = [], saying, loaded;
                const prepare = async () => {
                    saying = loaded && (await forced(loaded, ...texts).catch(() => {})); // it may be disposed of
                };
                Object.assign(globalThis, {
                    asked: [],
                    say(...all) {
                        texts = all;
                        return prepare();
                    },
                });
                export async function load(...given) {
                    const model = (loaded = await loadModel(...given)),
                        { chat } = model;
                    await prepare();
                    model.chat = (messages, options) => {
                        const { onLogits, signal, ...rest } = options;
                        globalThis.asked.push({ messages: structuredClone(messages), options: structuredClone(rest) });
                        return chat(messages, { ...saying, ...options });
                    };
                    return model;
                }`,
        }),
    );
