/** The few things that a page and Node spell differently. Everything else in web/ is the same code in both. */

export const isNode = typeof process === 'object' && Boolean(process.versions?.node);

/**
 * Node's own modules, by a name that no bundler for the web tries to resolve.
 * @template {keyof NodeModules} Name
 * @param {Name} name
 * @returns {Promise<NodeModules[Name]>}
 */
export function nodeModule(name) {
    return import(/* webpackIgnore: true */ /* @vite-ignore */ `node:${name}`);
}

/**
 * @typedef {{ 'fs/promises': typeof import('node:fs/promises'), os: typeof import('node:os'), path: typeof import('node:path'),
 *     url: typeof import('node:url'), worker_threads: typeof import('node:worker_threads') }} NodeModules
 */

/**
 * A worker of either kind, reduced to what nibble needs of it.
 * @typedef {object} WorkerHandle
 * @property {(message: unknown, transfer?: ArrayBuffer[]) => void} post
 * @property {() => void} terminate
 * @property {(alive: boolean) => void} keepAlive whether the worker alone keeps a Node process running
 */

/**
 * @param {Worker} worker a page's worker; the caller writes `new Worker(new URL(...), ...)`, which bundlers recognize
 * @param {(message: any) => void} onMessage
 * @param {(reason: string) => void} onCrash called at most once; an empty reason when the engine gave none
 * @returns {WorkerHandle}
 */
export function webWorker(worker, onMessage, onCrash) {
    worker.onmessage = (event) => onMessage(event.data);
    worker.onmessageerror = () => onCrash('a message could not be read');
    worker.onerror = (event) => {
        event.preventDefault();
        onCrash(event.message ?? '');
    };
    return {
        post: (message, transfer = []) => worker.postMessage(message, transfer),
        terminate: () => worker.terminate(),
        keepAlive: () => {},
    };
}

/**
 * @param {URL} url
 * @param {(message: any) => void} onMessage
 * @param {(reason: string) => void} onCrash
 * @returns {Promise<WorkerHandle>}
 */
export async function nodeWorker(url, onMessage, onCrash) {
    const { Worker } = await nodeModule('worker_threads');
    const worker = new Worker(url);
    let over = false;
    const crash = (/** @type {string} */ reason) => {
        if (!over)
            onCrash(reason);
        over = true;
    };
    worker.on('message', onMessage);
    worker.on('messageerror', (error) => crash(error.message));
    worker.on('error', (error) => crash(error instanceof Error ? error.message : String(error)));
    worker.on('exit', (code) => crash(`it exited with code ${code}`));
    return {
        post: (message, transfer = []) => worker.postMessage(message, transfer),
        terminate: () => {
            over = true;
            worker.terminate();
        },
        keepAlive: (alive) => (alive ? worker.ref() : worker.unref()),
    };
}

/**
 * Within a worker: listens to the thread that started it, and returns the way to answer. The listener is in place
 * before the first message can arrive: in a page because nothing is awaited, in Node because the port queues.
 * @param {(message: any) => void} onMessage
 * @returns {(message: unknown, transfer?: ArrayBuffer[]) => void}
 */
export function listen(onMessage) {
    if (!isNode) {
        const scope = /** @type {Worker} */ (/** @type {unknown} */ (globalThis));
        scope.onmessage = (event) => onMessage(event.data);
        return (message, transfer = []) => scope.postMessage(message, transfer);
    }
    /** @type {import('node:worker_threads').MessagePort | null} */
    let port = null;
    nodeModule('worker_threads').then(({ parentPort }) => {
        port = parentPort;
        port?.on('message', onMessage);
    });
    return (message, transfer = []) => port?.postMessage(message, transfer);
}

/** @type {MessageChannel | undefined} */
let channel;
/** @type {(() => void)[]} */
const waiting = [];

/**
 * Lets the event loop take the messages that have arrived: an "abort" must be seen between two tokens. A timer would
 * cost 4 ms in a page; a message to oneself costs microseconds, and queues behind those that came before it.
 * @returns {Promise<void>}
 */
export function breathe() {
    if (isNode)
        return new Promise((resolve) => setImmediate(resolve));
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
 * Threads to use: those asked for, but no more than there are cores, for beyond that each waits for the others. Where nobody
 * said how many, about the number of real cores: hyper-threads and efficiency cores make a barrier slower, not faster, and
 * beyond 8 the memory is the limit.
 * @param {number} [asked]
 * @returns {Promise<number>}
 */
export async function usefulThreads(asked) {
    const { availableParallelism } = isNode ? await nodeModule('os') : { availableParallelism: undefined };
    const logical = Math.max(1, availableParallelism?.() ?? globalThis.navigator?.hardwareConcurrency ?? 1);
    return Math.min(asked ?? 8, logical <= 4 || asked ? logical : Math.ceil(logical / 2));
}

/**
 * @param {string | URL} url of a file that belongs to nibble
 * @returns {Promise<Response | Uint8Array>}
 */
export async function fetchOwn(url) {
    if (isNode && String(url).startsWith('file:')) {
        const { readFile } = await nodeModule('fs/promises');
        const { fileURLToPath } = await nodeModule('url');
        return readFile(fileURLToPath(String(url)));
    }
    const response = await fetch(url);
    if (!response.ok)
        throw new Error(`the server answered ${response.status} ${response.statusText}`.trim());
    return response;
}
