// Serves the page when there is no network.
//
// Code is always fetched from the network, and comes from the cache only if the network does not answer, so that old
// code cannot stay. A model is large and seldom changes: it comes from the cache if the server still reports the same
// ETag or date, or does not answer, so that a second visit does not download it again. If the server reports neither,
// the model is downloaded each time.
// Which build of the engine a visit takes depends on its threads and on the browser. So each build is kept with its
// pair, with or without threads, and all that are kept stay current. If nibble cannot get its build, it takes another.
// Responses are cached with their headers, so the page is cross-origin isolated (and has threads) from the cache, too.

const CACHE = 'nibble-1'; // with another number everything is fetched again
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const HOME = new URL('.', worker.location.href); // .../demo/
const FOLDERS = ['.', '../web/', '../build/'].map((path) => new URL(path, HOME).href);

worker.addEventListener('install', () => worker.skipWaiting());

worker.addEventListener('activate', (event) => {
    event.waitUntil(
        (async () => {
            for (const name of await caches.keys()) {
                if (name.startsWith('nibble-') && name !== CACHE) await caches.delete(name);
            }
            await worker.clients.claim();
        })(),
    );
});

worker.addEventListener('message', (event) => {
    if (!Array.isArray(event.data?.keep)) return;
    event.waitUntil(
        (async () => {
            const cache = await caches.open(CACHE);
            for (const url of event.data.keep) {
                if (!isOurs(url) || isModel(url) || (await cache.match(keyOf(url)))) continue;
                try {
                    await keep(cache, url, await fetch(url));
                } catch {
                    // it will be cached when it is requested next
                }
            }
        })(),
    );
});

worker.addEventListener('fetch', (event) => {
    const { request } = event;
    // Leave alone what is not ours, and requests for a part of a file. Files of a model in several files are left
    // alone, too: nibble requests first their headers and then the rest, so that caching would download them twice.
    if (!isOurs(request.url) || request.headers.has('range') || isPart(request.url)) return;
    if (request.method === 'GET') {
        event.respondWith(isModel(request.url) ? model(event) : code(event));
    } else if (request.method === 'HEAD') {
        event.respondWith(head(request));
    }
});

/** @param {string} url */
function isOurs(url) {
    return FOLDERS.some((folder) => url.startsWith(folder));
}

/** @param {string} url */
function isModel(url) {
    return /\.gguf$/i.test(new URL(url).pathname);
}

/** @param {string} url */
function isPart(url) {
    return /(\.safetensors|-\d{5}-of-\d{5}\.gguf)$/i.test(new URL(url).pathname);
}

/** A build of the engine, and whether it has threads. */
const BUILD = /\/nibble-(?:simd128|relaxed|relaxed-dot)(-threads)?\.wasm$/;

/** The key in the cache: the URL without its query, as a page is the same with any query. @param {string} url */
function keyOf(url) {
    const key = new URL(url);
    key.search = '';
    key.hash = '';
    if (key.href === new URL('index.html', HOME).href) return HOME.href;
    return key.href;
}

/** Whether the response is an HTML page in place of another file. Some servers, such as those that want a login first,
 * send a page for every URL; it must not be cached. @param {string} url @param {Response} response */
function isPageInstead(url, response) {
    return (
        /^text\/html/i.test(response.headers.get('content-type') ?? '') && !/(\/|\.html)$/.test(new URL(url).pathname)
    );
}

/**
 * @param {Cache} cache
 * @param {string} url
 * @param {Response} response
 */
async function keep(cache, url, response) {
    if (response.status !== 200 || response.redirected || isPageInstead(url, response)) return;
    try {
        await cache.put(keyOf(url), response);
    } catch {
        // no room, or the download was aborted: the page works, but needs the network next time, too
    }
}

/** @param {FetchEvent} event */
async function code(event) {
    const cache = await caches.open(CACHE);
    try {
        // no-cache: the browser's HTTP cache asks the server whether its copy is still current
        const response = await fetch(event.request, event.request.mode === 'navigate' ? {} : { cache: 'no-cache' });
        event.waitUntil(keep(cache, event.request.url, response.clone()));
        if (response.ok) event.waitUntil(keepBuilds(cache, keyOf(event.request.url)));
        return response;
    } catch (error) {
        const kept = await cache.match(keyOf(event.request.url));
        if (kept) return kept;
        throw error;
    }
}

/**
 * Once a build of the engine was fetched: keeps its pair, and brings the other builds up to date.
 * @param {Cache} cache
 * @param {string} url
 */
async function keepBuilds(cache, url) {
    const build = BUILD.exec(url);
    if (!build) return;
    const pair = build[1] ? url.replace(/-threads\.wasm$/, '.wasm') : url.replace(/\.wasm$/, '-threads.wasm'),
        kept = (await cache.keys()).map((request) => request.url).filter((each) => BUILD.test(each) && each !== url);
    for (const each of new Set([pair, ...kept])) {
        try {
            await keep(cache, each, await fetch(each, { cache: 'no-cache' }));
        } catch {
            // it will be tried again when a build is fetched next
        }
    }
}

/** @param {FetchEvent} event */
async function model(event) {
    const cache = await caches.open(CACHE);
    const { url } = event.request;
    const kept = await cache.match(keyOf(url));
    if (kept && (await isCurrent(url, kept))) return kept;
    // no-cache: the browser's HTTP cache must not answer if the server has another file now
    const response = await fetch(event.request, { cache: 'no-cache' });
    if (!response.body || response.status !== 200 || isPageInstead(url, response)) return response;
    const { shown, copy } = branch(response);
    event.waitUntil(keep(cache, url, copy));
    return shown;
}

/**
 * Splits a response in two: one for the page, and a copy that gets the bytes as the page reads them. If the page
 * leaves, the download ends, and the copy fails. (With clone() the download would go on.)
 * @param {Response} response with a body
 */
function branch(response) {
    const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
    /** @type {ReadableStreamDefaultController<Uint8Array> | undefined} */
    let second;
    const copy = new ReadableStream({
        start: (controller) => {
            second = controller;
        },
        cancel: () => {
            second = undefined;
        },
    });
    const shown = new ReadableStream(
        {
            async pull(controller) {
                try {
                    const { done, value } = await reader.read();
                    if (done) {
                        controller.close();
                        second?.close();
                    } else {
                        controller.enqueue(value);
                        second?.enqueue(value);
                    }
                } catch (error) {
                    controller.error(error);
                    second?.error(error);
                }
            },
            async cancel(reason) {
                second?.error(new Error('the page left'));
                await reader.cancel(reason);
            },
        },
        { highWaterMark: 0 },
    );
    const { status, statusText, headers } = response;
    return {
        shown: new Response(shown, { status, statusText, headers }),
        copy: new Response(copy, { status, statusText, headers }),
    };
}

/**
 * Whether the server still has the file that is cached, by its ETag or date, and its size.
 * @param {string} url
 * @param {Response} kept
 */
async function isCurrent(url, kept) {
    try {
        const now = await fetch(url, { method: 'HEAD', cache: 'no-store' });
        if (!now.ok) return false;
        const pairs = ['etag', 'last-modified', 'content-length'].map((name) => [
            kept.headers.get(name),
            now.headers.get(name),
        ]);
        const [etag, date] = pairs.map(([before, after]) => before !== null && before === after);
        return (
            (etag || date) && pairs.every(([before, after]) => before === null || after === null || before === after)
        );
    } catch {
        return true; // no network
    }
}

/** Answers HEAD requests, by which the page asks whether a model is there. @param {Request} request */
async function head(request) {
    try {
        return await fetch(request);
    } catch (error) {
        const kept = await (await caches.open(CACHE)).match(keyOf(request.url));
        if (!kept) throw error;
        kept.body?.cancel();
        return new Response(null, { status: 200, headers: kept.headers });
    }
}
