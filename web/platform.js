/** The few things that a page and Node spell differently. Everything else in web/ is the same code in both. */

/**
 * Whether this is Node, or what is like it (Deno, Bun). A property of `process` alone does not tell: some pages have
 * a shim of `process`. A window of Electron or NW.js has Node's own `process`, but its scripts, workers and URLs
 * are a page's, so it counts as a page.
 */
export const isNode = (() => {
    const { process } = /** @type {any} */ (globalThis);
    return (
        Object.prototype.toString.call(process) === '[object process]' &&
        typeof process.versions?.node === 'string' &&
        process.type !== 'renderer' &&
        process.type !== 'worker' &&
        !process.versions.nw
    );
})();

/**
 * Node's own modules, by a name that no bundler for the web tries to resolve. (Where import() does not work, as in
 * a sandbox of the vm module, getBuiltinModule does.)
 * @template {keyof NodeModules} Name
 * @param {Name} name
 * @returns {Promise<NodeModules[Name]>}
 */
export async function nodeModule(name) {
    const { process } = /** @type {any} */ (globalThis);
    return (
        process.getBuiltinModule?.(`node:${name}`) ??
        import(/* webpackIgnore: true */ /* @vite-ignore */ `node:${name}`)
    );
}

/**
 * @typedef {{ fs: typeof import('node:fs'), crypto: typeof import('node:crypto'),
 *     'fs/promises': typeof import('node:fs/promises'), os: typeof import('node:os'),
 *     path: typeof import('node:path'), url: typeof import('node:url'), util: typeof import('node:util'),
 *     buffer: typeof import('node:buffer'), worker_threads: typeof import('node:worker_threads') }} NodeModules
 */

/**
 * Within a worker: listens to the thread that started it, and returns a function that answers. No message is lost: in
 * a page the listener is set before anything is awaited; in Node the port queues messages until there is a listener.
 * The first message, 'started', tells the other side which script runs.
 * @template Received
 * @template Sent
 * @param {import('./protocol.js').Script} script the name of this worker's script
 * @param {(message: Received) => void} onMessage
 * @param {(error: unknown) => void} onFailure called for messages that cannot be read, and in a page for promises whose
 *     rejection nothing handles. Other uncaught errors reach whoever started the worker, as its event `error`
 * @returns {(message: Sent, transfer?: Transferable[]) => void}
 */
export function listen(script, onMessage, onFailure) {
    const started = /** @type {import('./protocol.js').Started} */ ({ type: 'started', script });
    const unreadable = () => onFailure(new Error('a message could not be read'));
    if (!isNode) {
        const scope = /** @type {Worker} */ (/** @type {unknown} */ (globalThis));
        scope.onmessage = (event) => onMessage(event.data);
        scope.onmessageerror = unreadable;
        // a rejection in a worker raises no event `error` in the page that started it
        globalThis.addEventListener('unhandledrejection', (event) => onFailure(event.reason));
        scope.postMessage(started);
        return (message, transfer = []) => scope.postMessage(message, transfer);
    }
    /** @type {import('node:worker_threads').MessagePort | null} */
    let port = null;
    nodeModule('worker_threads').then(({ parentPort }) => {
        port = parentPort;
        port?.on('message', onMessage);
        port?.on('messageerror', unreadable);
        port?.postMessage(started);
    });
    return (message, transfer = []) => port?.postMessage(message, /** @type {any} */ (transfer));
}

/** @type {MessageChannel | undefined} */
let channel;
/** @type {(() => void)[]} */
const waiting = [];

/**
 * Lets the event loop take the messages that have arrived: a "stop" must be seen while a request is computed. A timer
 * would cost 4 ms in a page; a message to oneself costs microseconds, and queues behind those that came before it.
 * @returns {Promise<void>}
 */
export function yieldToEvents() {
    if (isNode) return new Promise((resolve) => setImmediate(resolve));
    if (!channel) {
        channel = new MessageChannel();
        channel.port1.onmessage = () => waiting.shift()?.();
    }
    const { port2 } = channel;
    return new Promise((resolve) => {
        waiting.push(resolve);
        port2.postMessage(0);
    });
}

/**
 * Threads to use: as many as were asked for, but at most one for each logical processor. By default half of the
 * logical processors (all, if there are at most 4), and at most 8: threads on hyper-threads and efficiency cores are
 * slower, and the others would have to wait for them at the end of a job; beyond 8 threads memory is the limit.
 * @param {number} [asked]
 * @returns {Promise<number>}
 */
export async function usefulThreads(asked) {
    const { availableParallelism } = isNode ? await nodeModule('os') : { availableParallelism: undefined };
    const logical = Math.max(1, availableParallelism?.() ?? globalThis.navigator?.hardwareConcurrency ?? 1);
    return Math.min(asked ?? 8, logical <= 4 || asked ? logical : Math.ceil(logical / 2));
}

/**
 * Runs one of nibble's scripts (import() runs each URL only once), and returns what it leaves in a global. The
 * script has no exports: a bundler would drop them, as nothing imports them by name, and Node may take the copy that a
 * bundler made for CommonJS.
 * @param {string} url
 * @param {string} name the script's, without ".js"; the global is Symbol.for('nibble-llm/NAME') (tools/bundle.js)
 * @returns {Promise<any>}
 */
export async function importOwn(url, name) {
    await import(/* webpackIgnore: true */ /* @vite-ignore */ url);
    const given = /** @type {any} */ (globalThis)[Symbol.for(`nibble-llm/${name}`)];
    if (!given) throw new Error(`it is not nibble's ${name}.js`);
    return given;
}

/**
 * Fetches a file of nibble. In Node, a file: URL is read as a Uint8Array, because fetch() does not open such URLs.
 * @param {string | URL} url
 * @returns {Promise<Response | Uint8Array>}
 */
export async function fetchOwn(url) {
    if (isNode && String(url).startsWith('file:')) {
        const { readFile } = await nodeModule('fs/promises');
        const { fileURLToPath } = await nodeModule('url');
        return readFile(fileURLToPath(String(url)));
    }
    const response = await fetch(url);
    if (!response.ok) {
        const { status, statusText } = response;
        throw Object.assign(new Error(`the server answered ${status} ${statusText}`.trim()), { status });
    }
    return response;
}
