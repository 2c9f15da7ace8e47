// Makes the page work without a network after the first visit: the page's part of it. sw.js is the other part.

const PATIENCE = 1500; // ms to wait for the service worker on the first visit, so that the model is fetched through it

/**
 * @returns {Promise<boolean>} whether a service worker controls the page, so that it can cache what the page loads from
 *     now on; false also if it was not ready in time
 */
export async function startOffline() {
    if (!('serviceWorker' in navigator) || !isSecureContext) return false;
    if (navigator.serviceWorker.controller) return true; // the browser itself checks for a newer one
    // demo/, web/ and build/ lie side by side. If the server does not send "Service-Worker-Allowed", the worker could
    // only serve demo/, so it is not registered.
    const script = new URL('./sw.js', import.meta.url);
    const scope = new URL('..', import.meta.url).pathname;
    try {
        const allowed = (await fetch(script, { method: 'HEAD' })).headers.get('service-worker-allowed');
        if (!allowed || !scope.startsWith(new URL(allowed, script).pathname)) return false;
        await navigator.serviceWorker.register(script, { scope });
    } catch {
        return false;
    }
    return new Promise((resolve) => {
        navigator.serviceWorker.addEventListener('controllerchange', () => resolve(true), { once: true });
        setTimeout(() => resolve(false), PATIENCE);
    });
}

/**
 * Lets the service worker cache what was loaded before it was there: the page itself and its first files.
 * @param {string[]} [more] other files to cache, which the page has not loaded yet
 */
export function keepWhatWasLoaded(more = []) {
    const urls = [location.href, ...performance.getEntriesByType('resource').map((entry) => entry.name), ...more];
    navigator.serviceWorker.controller?.postMessage({ keep: urls });
}
