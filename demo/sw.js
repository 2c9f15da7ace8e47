// Serves the page when there is no network.
//
// Code is asked of the network first, always, and taken from the cache only if the network does not answer: old code
// can never stick. A model is large and does not change under its name: it comes from the cache if the server still
// names the same size and date (or does not answer), so that a second visit does not download it again.
// Responses are kept with their headers, so the page is cross-origin isolated (and has threads) from the cache as well.

const CACHE = 'nibble-1'; // another number: everything is fetched anew
const worker = /** @type {ServiceWorkerGlobalScope} */ (/** @type {unknown} */ (self));
const HOME = new URL('.', worker.location.href); // .../demo/
const ROOMS = ['.', '../web/', '../build/'].map(path => new URL(path, HOME).href);

worker.addEventListener('install', () => worker.skipWaiting());

worker.addEventListener('activate', event => {
    event.waitUntil((async () => {
        for (const name of await caches.keys()) {
            if (name.startsWith('nibble-') && name !== CACHE) await caches.delete(name);
        }
        await worker.clients.claim();
    })());
});

worker.addEventListener('message', event => {
    if (!Array.isArray(event.data?.keep)) return;
    event.waitUntil((async () => {
        const cache = await caches.open(CACHE);
        for (const url of event.data.keep) {
            if (!isOurs(url) || isModel(url) || await cache.match(keyOf(url))) continue;
            try {
                await keep(cache, url, await fetch(url));
            } catch {
                // It will be kept the next time it is asked for.
            }
        }
    })());
});

worker.addEventListener('fetch', event => {
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
    return ROOMS.some(room => url.startsWith(room));
}

/** @param {string} url */
function isModel(url) {
    return new URL(url).pathname.endsWith('.gguf');
}

/** @param {string} url */
function isPart(url) {
    return /(\.safetensors|-\d{5}-of-\d{5}\.gguf)$/.test(new URL(url).pathname);
}

/** The page is one page, whatever parameters it is opened with. @param {string} url */
function keyOf(url) {
    const key = new URL(url);
    key.search = '';
    key.hash = '';
    if (key.href === new URL('index.html', HOME).href) return HOME.href;
    return key.href;
}

/**
 * @param {Cache} cache
 * @param {string} url
 * @param {Response} response
 */
async function keep(cache, url, response) {
    if (response.status !== 200 || response.redirected) return;
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
    if (kept && await isCurrent(url, kept)) return kept;
    const response = await fetch(event.request);
    event.waitUntil(keep(cache, url, response.clone()));
    return response;
}

/**
 * @param {string} url
 * @param {Response} kept
 */
async function isCurrent(url, kept) {
    try {
        const now = await fetch(url, { method: 'HEAD', cache: 'no-store' });
        if (!now.ok) return false;
        return ['content-length', 'last-modified', 'etag'].every(name => now.headers.get(name) === kept.headers.get(name));
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
