// Makes the page work without a network after the first visit. sw.js explains how; this is the page's side of it.

const PATIENCE = 1500; // ms to wait for the service worker on the first visit: the model should come through it

/** @returns {Promise<boolean>} whether what the page loads from now on is kept */
export async function startOffline() {
    if (!('serviceWorker' in navigator) || !isSecureContext) return false;
    if (navigator.serviceWorker.controller) return true; // the browser itself looks for a newer one
    // The page, the library and the builds lie side by side, one folder up. A server that does not send
    // "Service-Worker-Allowed" keeps the worker to demo/, where it could not serve the rest: then there is none.
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
 * Hands over the list of what came before the worker was there: the page itself and its first files.
 * @param {string[]} [more] what else to keep, which the page has not loaded yet
 */
export function keepWhatWasLoaded(more = []) {
    const urls = [location.href, ...performance.getEntriesByType('resource').map((entry) => entry.name), ...more];
    navigator.serviceWorker.controller?.postMessage({ keep: urls });
}
