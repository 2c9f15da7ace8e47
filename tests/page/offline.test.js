// The demo's service worker: when it caches a model, how long the cached one is used, that it ends a download when the
// page leaves, and which builds of the engine it keeps.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, beforeEach, describe, it } from 'node:test';
import { serve } from '../../tools/serve.js';
import { models } from '../support/builds.js';
import { skip } from '../support/chromium.js';
import { kept, READY, refused, useDemo } from '../support/demo-page.js';

/** @typedef {import('playwright-core').Page} Page */

describe("the demo's service worker", { skip }, () => {
    const { visit } = useDemo();
    const model = readFileSync(models.stories),
        QUERY = '?model=./own.gguf';
    /** @type {Awaited<ReturnType<typeof serve>>} */
    let site;
    /**
     * How the server answers for demo/own.gguf.
     * @type {(response: import('node:http').ServerResponse, isHead: boolean) => void}
     */
    let answer;
    /** The number of requests for its bytes, and how many of them are still being answered. */
    let asked = 0,
        open = 0;
    /** Whether nothing is answered at all. */
    let isDown = false;

    /** @param {Record<string, string>} headers @param {Buffer} [bytes] */
    const give =
        (headers, bytes = model) =>
        (/** @type {import('node:http').ServerResponse} */ response, /** @type {boolean} */ isHead) =>
            void response
                .writeHead(200, { 'Content-Length': bytes.length, ...headers })
                .end(isHead ? undefined : bytes);

    before(async () => {
        site = await serve();
        const [others] = /** @type {import('node:http').RequestListener[]} */ (site.server.listeners('request'));
        site.server.removeAllListeners('request').on('request', (request, response) => {
            if (isDown) return void response.destroy();
            if (!request.url?.startsWith('/demo/own.gguf')) return others(request, response);
            const isHead = request.method === 'HEAD';
            if (request.url.endsWith('.js'))
                return void response.writeHead(200, { 'Content-Type': 'text/html' }).end('<!doctype html>Sign in');
            if (!isHead) {
                asked++;
                open++;
                response.on('close', () => open--);
            }
            answer(response, isHead);
        });
    });
    beforeEach(() => {
        asked = 0;
    });
    after(() => site?.close());

    /** Waits until the model is cached, or not, as wanted; returns the state after a while.
     * @param {Page} page @param {boolean} wanted */
    const keepsModel = (page, wanted) =>
        page.evaluate(async (wanted) => {
            for (let tries = 0; ; tries++) {
                const is = Boolean(await (await caches.open('nibble-1')).match('./own.gguf'));
                if (tries === 100 || is === wanted) return is;
                await new Promise((resolve) => setTimeout(resolve, 100));
            }
        }, wanted);

    /** Loads the page again, which then uses the service worker.
     * @param {Page} page @param {string} wanted a selector */
    async function again(page, wanted = READY) {
        await page.reload();
        await page.waitForSelector(wanted);
    }

    it('downloads the model each time if the server sends no ETag and no date; offline it uses the cached one', async () => {
        answer = give({});
        await visit({ base: site.url, query: QUERY }, async (page) => {
            assert.ok(await keepsModel(page, true));
            await again(page);
            await again(page);
            assert.equal(asked, 3);
            assert.ok(await keepsModel(page, true));
            answer = (response) => void response.destroy();
            await again(page);
        });
    });

    it('offline, a visit with other settings or in another browser starts, too', async () => {
        answer = give({ ETag: '"1"' });
        const buildOf = (/** @type {Page} */ page) => page.innerText('#stat-build');
        try {
            await visit({ base: site.url, query: `${QUERY}&threads=2` }, async (page) => {
                assert.ok(await keepsModel(page, true));
                await again(page); // by the service worker
                const first = await buildOf(page),
                    pair = first.replace(/-threads$/, '');
                assert.notEqual(first, pair);
                await kept(
                    page,
                    [first, pair].map((name) => `/build/wasm/nibble-${name}.wasm`),
                );
                isDown = true;
                await page.goto(`${site.url}demo/${QUERY}&threads=1`);
                await page.waitForSelector(READY);
                assert.equal(await buildOf(page), pair);
                isDown = false;
                // as a browser would leave it that knows no relaxed SIMD
                await page.evaluate(async () => {
                    const cache = await caches.open('nibble-1'),
                        other = new URL('../build/wasm/nibble-simd128.wasm', location.href);
                    for (const request of await cache.keys())
                        if (/nibble-relaxed/.test(request.url)) await cache.delete(request);
                    await fetch(other).then((response) => response.arrayBuffer());
                });
                await kept(page, ['/build/wasm/nibble-simd128.wasm']);
                isDown = true;
                await again(page);
                assert.equal(await buildOf(page), 'simd128');
            });
        } finally {
            isDown = false;
        }
    });

    it('does not cache a model that the engine has not read to its end', async () => {
        const half = Buffer.alloc(1_000_000, 'x');
        /** Sends the rest, if the request is still open. @type {() => void} */
        let finish = () => {};
        answer = (response, isHead) => {
            response.writeHead(200, { 'Content-Length': 2 * half.length, ETag: '"1"' });
            if (isHead) return void response.end();
            // sent at once, all of it could arrive before the page has read the first bytes and left
            response.write(half);
            finish = () => response.end(half);
        };
        await visit({ base: site.url, query: QUERY, wait: '#load[data-state=failed]' }, async (page) => {
            await refused(page, /not a model that can be read/);
            for (let tries = 0; tries < 100 && open; tries++) await page.waitForTimeout(50);
            finish();
            await page.waitForTimeout(200);
            assert.ok(!(await keepsModel(page, false)));
            assert.equal(open, 0, 'the download has ended');
        });
    });

    it('uses the cached model if the server still has the same file, and downloads another', async () => {
        const same = { ETag: '"1"' },
            later = { 'Last-Modified': 'Thu, 01 Jan 2026 00:00:00 GMT' };
        answer = give(same);
        await visit({ base: site.url, query: QUERY }, async (page) => {
            assert.ok(await keepsModel(page, true));
            await again(page);
            await again(page);
            assert.equal(asked, 1, 'it was downloaded once');
            for (const headers of [{ ETag: '"2"' }, { ETag: '"2"', ...later }, { ETag: '"3"', ...later }]) {
                const /** @type {number} */ before = asked,
                    isSame = headers.ETag === '"2"' && 'Last-Modified' in headers;
                answer = give(headers);
                await again(page);
                assert.equal(asked, before + (isSame ? 0 : 1), JSON.stringify(headers));
            }
            answer = (response) => void response.writeHead(405).end();
            await page.reload();
            await refused(page, /answered 405/); // the server answers, so the cached model is not used
        });
    });

    it('does not cache a page in place of a model', async () => {
        answer = give({ 'Content-Type': 'text/html' }, Buffer.from('<!doctype html>Sign in'));
        await visit({ base: site.url, query: QUERY, wait: '#load[data-state=failed]' }, async (page) => {
            await refused(page, /web page/);
            await page.waitForTimeout(200);
            assert.ok(!(await keepsModel(page, false)));
        });
    });

    it('does not cache a page in place of a script', async () => {
        answer = give({});
        await visit({ base: site.url, query: QUERY }, async (page) => {
            await kept(page, ['/demo/own.gguf']);
            await again(page);
            const { kept: before, after } = await page.evaluate(async () => {
                const cache = await caches.open('nibble-1'),
                    name = new URL('./own.gguf.js', location.href).href;
                await fetch(name).then((response) => response.text());
                await fetch('./').then((response) => response.text());
                await new Promise((resolve) => setTimeout(resolve, 300));
                return { kept: Boolean(await cache.match(name)), after: Boolean(await cache.match('./')) };
            });
            assert.deepEqual([before, after], [false, true]);
        });
    });

    it('ends the download when the page cancels, and Try again starts a new one', async () => {
        answer = (response, isHead) => {
            response.writeHead(200, { 'Content-Length': 50_000_000, ETag: '"1"' });
            if (isHead) return void response.end();
            response.write(model.subarray(0, 50_000));
            // weights of zeros, which never end
            const timer = setInterval(() => response.write(new Uint8Array(16)), 50);
            response.on('close', () => clearInterval(timer));
        };
        const until = async (/** @type {Page} */ page, /** @type {number} */ wanted) => {
            for (let tries = 0; tries < 100 && open !== wanted; tries++) await page.waitForTimeout(50);
            assert.equal(open, wanted, 'downloads at the server');
        };
        await visit({ base: site.url, query: '?model=./stories.gguf' }, async (page) => {
            await kept(page, []);
            for (const _ of ['first', 'again']) {
                if (await page.isVisible('#chat')) await page.goto(`${site.url}demo/${QUERY}`);
                else await page.click('#load-actions button:has-text("Try again")');
                await page.locator('#load-bytes', { hasText: / of / }).waitFor();
                assert.equal(open, 1);
                await page.click('#load-actions button:has-text("Cancel")');
                await page.waitForSelector('#load[data-state=stopped]');
                await until(page, 0);
            }
            assert.equal(asked, 2);
        });
    });
});
