// Makes the page work without a network after the first visit. sw.js explains how; this is the page's side of it.

const PATIENCE = 1500; // ms to wait for the service worker on the first visit: the model should come through it

/** @returns {Promise<boolean>} whether what the page loads from now on is kept */
export async function startOffline() {
    if (!('serviceWorker' in navigator) || !isSecureContext) return false;
    try {
        // The page, the library and the builds lie side by side, one folder up. A server that does not send
        // "Service-Worker-Allowed" keeps the worker to demo/, where it could not serve the rest: then there is none.
        await navigator.serviceWorker.register(new URL('./sw.js', import.meta.url), { scope: new URL('..', import.meta.url).pathname });
    } catch {
        return false;
    }
    if (navigator.serviceWorker.controller) return true;
    return new Promise(resolve => {
        navigator.serviceWorker.addEventListener('controllerchange', () => resolve(true), { once: true });
        setTimeout(() => resolve(false), PATIENCE);
    });
}

/** Hands over the list of what came before the worker was there: the page itself and its first files. */
export function keepWhatWasLoaded() {
    const urls = [location.href, ...performance.getEntriesByType('resource').map(entry => entry.name)];
    navigator.serviceWorker.controller?.postMessage({ keep: urls });
}
