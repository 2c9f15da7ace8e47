// Serves the page when there is no network.
//
// Code is asked of the network first, always, and taken from the cache only if the network does not answer: old code
// can never stick. A model is large and does not change under its name: it comes from the cache if the server still
// names the same ETag or date (or does not answer), so that a second visit does not download it again. A server that
// names neither cannot say whether what was kept is right, so it is asked for the model each time.
// Responses are kept with their headers, so the page is cross-origin isolated (and has threads) from the cache as well.

const CACHE = 'nibble-1'; // another number: everything is fetched anew
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const HOME = new URL('.', worker.location.href); // .../demo/
const ROOMS = ['.', '../web/', '../build/'].map((path) => new URL(path, HOME).href);

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
                    // It will be kept the next time it is asked for.
                }
            }
        })(),
    );
});

worker.addEventListener('fetch', (event) => {
    const { request } = event;
    // A part of a file is not the file; anything that is not ours is none of our business.
    // (Of a model's several files the header comes first and the rest later: kept ones would be downloaded twice.)
    if (!isOurs(request.url) || request.headers.has('range') || isPart(request.url)) return;
    if (request.method === 'GET') {
        event.respondWith(isModel(request.url) ? model(event) : code(event));
    } else if (request.method === 'HEAD') {
        event.respondWith(head(request));
    }
});

/** @param {string} url */
function isOurs(url) {
    return ROOMS.some((room) => url.startsWith(room));
}

/** @param {string} url */
function isModel(url) {
    return /\.gguf$/i.test(new URL(url).pathname);
}

/** @param {string} url */
function isPart(url) {
    return /(\.safetensors|-\d{5}-of-\d{5}\.gguf)$/i.test(new URL(url).pathname);
}

/** The page is one page, whatever parameters it is opened with. @param {string} url */
function keyOf(url) {
    const key = new URL(url);
    key.search = '';
    key.hash = '';
    if (key.href === new URL('index.html', HOME).href) return HOME.href;
    return key.href;
}

/** Whether this is a page where there should be something else: some servers, and those that want a login first,
 * send one for every address. Offline it is worth nothing. @param {string} url @param {Response} response */
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
        // No room, or the download was broken off: the page works, it only needs the network again.
    }
}

/** @param {FetchEvent} event */
async function code(event) {
    const cache = await caches.open(CACHE);
    try {
        // no-cache: the browser's own cache asks the server whether its copy is still good.
        const response = await fetch(event.request, event.request.mode === 'navigate' ? {} : { cache: 'no-cache' });
        event.waitUntil(keep(cache, event.request.url, response.clone()));
        return response;
    } catch (error) {
        const kept = await cache.match(keyOf(event.request.url));
        if (kept) return kept;
        throw error;
    }
}

/** @param {FetchEvent} event */
async function model(event) {
    const cache = await caches.open(CACHE);
    const { url } = event.request;
    const kept = await cache.match(keyOf(url));
    if (kept && (await isCurrent(url, kept))) return kept;
    // no-cache: the browser's own cache must not answer in the place of a server that has another file.
    const response = await fetch(event.request, { cache: 'no-cache' });
    if (!response.body || response.status !== 200 || isPageInstead(url, response)) return response;
    const { shown, copy } = branch(response);
    event.waitUntil(keep(cache, url, copy));
    return shown;
}

/**
 * The answer, and a copy of what the page reads of it. When the page leaves, the download ends, and the copy with
 * it: a clone would go on reading.
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
 * Whether the server still names the file that was kept.
 * @param {string} url
 * @param {Response} kept
 */
async function isCurrent(url, kept) {
    try {
        const now = await fetch(url, { method: 'HEAD', cache: 'no-store' });
        if (!now.ok) return false;
        const told = ['etag', 'last-modified', 'content-length'].map((name) => [
            kept.headers.get(name),
            now.headers.get(name),
        ]);
        const [etag, date] = told.map(([before, after]) => before !== null && before === after);
        return (etag || date) && told.every(([before, after]) => before === null || after === null || before === after);
    } catch {
        return true; // no network: what we have is what there is
    }
}

/** The page asks so whether a model is there. @param {Request} request */
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
