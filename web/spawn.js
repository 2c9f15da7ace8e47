/**
 * Starts a worker of either kind. Where one does not start, a page is told next to nothing: the rest of this file finds out why,
 * and says what to do. However a start fails, the caller hears of it: by an exception, or later by `onEnd`.
 */
import { NibbleError, messageOf } from './errors.js';
import { isNode, nodeModule } from './platform.js';

/** For a page that asks for Trusted Types: the name of the policy that makes nibble's addresses trusted ones. */
const POLICY = 'nibble-llm';

/** ms without a word from a page's worker, until its script is looked for; and after that was found, until it counts as dead. */
export const PATIENCE = { silent: 10_000, found: 10_000 };

/**
 * A worker, reduced to what nibble needs of it.
 * @typedef {object} WorkerHandle
 * @property {(message: unknown, transfer?: Transferable[]) => void} post throws where the message cannot be cloned
 * @property {() => void} terminate
 * @property {(alive: boolean) => void} keepAlive whether the worker alone keeps a Node process running
 */

/**
 * @typedef {object} Wanted
 * @property {string} url of the script
 * @property {string} option of load() that says where it is
 * @property {string} name what the messages call the worker
 */

/**
 * @param {Wanted} wanted
 * @param {(message: any) => void} onMessage
 * @param {(error: NibbleError) => void} onEnd called at most once, when the worker fails, before it started or later
 * @returns {Promise<WorkerHandle>}
 */
export async function startWorker(wanted, onMessage, onEnd) {
    let over = false;
    /** @param {NibbleError} error */
    const end = (error) => {
        if (!over) {
            over = true;
            onEnd(error);
        }
    };
    const worker = await (isNode ? nodeWorker : webWorker)(wanted, onMessage, end);
    return {
        ...worker,
        terminate() {
            over = true;
            worker.terminate();
        },
    };
}

/**
 * @param {string} name
 * @param {string} why
 * @param {unknown} [cause]
 */
export const died = (name, why, cause) => new NibbleError(isOutOfMemory(cause) ? 'NB_ERR_MEMORY' : 'NB_ERR_WORKER',
    `nibble's ${name} died: ${why}. Load the model again; if it happens again, please report it with this message`, { cause });

/**
 * @param {Wanted} wanted
 * @param {string} why
 * @param {unknown} [cause]
 */
const notStarted = ({ name }, why, cause) => new NibbleError('NB_ERR_WORKER', `nibble's ${name} could not start: ${why}`, { cause });

/** @param {any} error */
const isOutOfMemory = (error) => error?.code === 'ERR_WORKER_OUT_OF_MEMORY';

/** @typedef {(wanted: Wanted, onMessage: (message: any) => void, end: (error: NibbleError) => void) => Promise<WorkerHandle>} Start */

/** @type {Start} */
async function nodeWorker(wanted, onMessage, end) {
    const { Worker } = await nodeModule('worker_threads');
    const { fileURLToPath } = await nodeModule('url');
    const { url, name, option } = wanted;
    let started = false;
    const fail = (/** @type {string} */ why, /** @type {unknown} */ cause) => end(started ? died(name, why, cause)
        : notStarted(wanted, `${url}: ${why}. In a checkout run make build; in a bundle leave nibble-llm out ("external"), or pass ${option} ` +
            'to load()', cause));
    /** @type {import('node:worker_threads').Worker} */
    let worker;
    try {
        // flags of the process, such as --input-type=module, are not for this script
        worker = new Worker(url.startsWith('file:') ? fileURLToPath(url) : new URL(url), { execArgv: [] });
    } catch (error) {
        throw notStarted(wanted, `this process cannot start a thread of ${url}: ${messageOf(error)}`, error);
    }
    worker.on('message', (message) => {
        started = true;
        onMessage(message);
    });
    worker.on('messageerror', (error) => fail(messageOf(error), error));
    worker.on('error', (error) => fail(messageOf(error), error));
    worker.on('exit', (code) => fail(`it exited with code ${code}`, undefined));
    return {
        post: (message, transfer = []) => worker.postMessage(message, /** @type {any} */ (transfer)),
        terminate: () => void worker.terminate(),
        keepAlive: (alive) => (alive ? worker.ref() : worker.unref()),
    };
}

/** @type {Start} */
async function webWorker(wanted, onMessage, end) {
    if (typeof Worker !== 'function')
        throw new NibbleError('NB_ERR_ENGINE', `nibble computes in a worker, and ${scopeName()} has no Worker to start one with: call load() in a ` +
            'page or in a worker of a page, and send messages from there');
    const { url, name } = wanted;
    const violations = watchPolicy();
    const script = scriptFor(url);
    let started = false, over = false;
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const settle = () => {
        clearTimeout(timer);
        violations.end();
        if (script !== url)
            URL.revokeObjectURL(script);
    };
    /** @type {Worker} */
    let worker;
    try {
        worker = new Worker(trusted(script), { type: 'module' });
    } catch (error) {
        const why = await whyNot(wanted, script, violations, messageOf(error));
        settle();
        throw notStarted(wanted, why, error);
    }
    const fail = async (/** @type {string} */ message) => {
        if (over)
            return;
        over = true;
        worker.terminate();
        const cause = message ? new Error(message) : undefined;
        const error = started ? died(name, message || 'the browser does not say why', cause)
            : notStarted(wanted, await whyNot(wanted, script, violations, message), cause);
        settle();
        end(error);
    };
    worker.onmessage = (event) => {
        if (!started)
            settle();
        started = true;
        onMessage(event.data);
    };
    worker.onmessageerror = () => fail('a message could not be read');
    worker.onerror = (event) => {
        event.preventDefault();
        fail(event.message ?? '');
    };
    // Nothing tells of a script that loads, runs, and is not nibble's. A slow network is no reason to give up: the script is fetched first.
    timer = setTimeout(async () => {
        if (violations.first() || await probe(wanted))
            return fail('');
        timer = over || started ? undefined : setTimeout(() => fail('its script runs, but says nothing: is it the file that nibble has?'), PATIENCE.found);
    }, PATIENCE.silent);
    return {
        post: (message, transfer = []) => worker.postMessage(message, transfer),
        terminate() {
            over = true;
            settle();
            worker.terminate();
        },
        keepAlive: () => {},
    };
}

/** What the script would run in, which has no workers of its own. */
function scopeName() {
    const kind = Object.prototype.toString.call(globalThis).slice(8, -1);
    return kind === 'SharedWorkerGlobalScope' ? 'a shared worker' : kind === 'ServiceWorkerGlobalScope' ? 'a service worker' : 'this engine';
}

/**
 * What to give `new Worker`, which takes scripts of the page's own origin only: of another origin, a script of one line that imports it.
 * @param {string} url
 */
function scriptFor(url) {
    const { protocol, host, origin } = new URL(url);
    const own = origin === 'null' ? protocol === globalThis.location?.protocol && host === globalThis.location?.host : origin === globalThis.origin;
    return own || protocol === 'blob:' ? url
        : URL.createObjectURL(new Blob([`import ${JSON.stringify(url)};`], { type: 'text/javascript' }));
}

/** @type {{ createScriptURL: (url: string) => string } | undefined} */
let policy;

/**
 * The address as a TrustedScriptURL where a page asks for such; only addresses that load() was given, or nibble's own, come here.
 * @param {string} url
 */
function trusted(url) {
    const { trustedTypes } = /** @type {any} */ (globalThis);
    try {
        policy ??= trustedTypes?.createPolicy(POLICY, { createScriptURL: (/** @type {string} */ address) => address });
    } catch {
        // the page allows no such policy, which matters only if it asks for trusted types, and then `new Worker` says so
    }
    return policy?.createScriptURL(url) ?? url;
}

/** Listens for what a Content-Security-Policy forbids while a worker starts. */
function watchPolicy() {
    /** @type {SecurityPolicyViolationEvent | undefined} */
    let first;
    const listener = (/** @type {any} */ event) => {
        if (/^(worker|script|child|default)-src/.test(event.effectiveDirective))
            first ??= event;
    };
    globalThis.addEventListener?.('securitypolicyviolation', listener);
    return { first: () => first, end: () => globalThis.removeEventListener?.('securitypolicyviolation', listener) };
}

/**
 * Why a page's worker does not start, and what to do about it.
 * @param {Wanted} wanted
 * @param {string} script what `new Worker` was given
 * @param {ReturnType<typeof watchPolicy>} violations
 * @param {string} message the browser's, often empty
 */
async function whyNot(wanted, script, violations, message) {
    const { url, option } = wanted;
    if (/TrustedScriptURL|Trusted ?Type/i.test(message))
        return `the page asks for Trusted Types (${message}): allow nibble's policy in its Content-Security-Policy, "trusted-types ${POLICY}"`;
    if (new URL(url).protocol === 'file:')
        return `browsers start no worker of a file on the disk (${url}): open the page through a web server`;
    const found = await probe(wanted);
    const violation = violations.first();
    if (violation) {
        const { effectiveDirective, blockedURI } = violation;
        const needed = script === url ? originOf(url) : `${originOf(url)} and blob: (a script of another origin is imported through a blob)`;
        return `the page's Content-Security-Policy forbids ${blockedURI} by ${effectiveDirective}: allow ${needed} in worker-src and script-src, or ` +
            `serve nibble's files with the page and pass ${option} to load()`;
    }
    return found ?? (message ? `${url}: ${message}` : `${url} did not run, and the browser does not say why. ${HINT_COEP}`);
}

/** @param {string} url */
const originOf = (url) => (new URL(url).origin === globalThis.origin ? '\'self\'' : new URL(url).origin);

const HINT_COEP = 'On a page with the header Cross-Origin-Embedder-Policy the scripts of workers must be served with it, too';

/**
 * Fetches the script of a worker that does not start.
 * @param {Wanted} wanted
 * @returns {Promise<string | undefined>} what is wrong with the answer, and what to do
 */
async function probe({ url, option }) {
    const remedy = `serve nibble's web/ and build/ folders whole, or pass ${option} to load(); in a checkout run make build` +
        (url.includes('/.vite/') ? '. With Vite\'s server add optimizeDeps: { exclude: [\'nibble-llm\'] } to vite.config.js' : '');
    /** @type {Response} */
    let response;
    try {
        response = await fetch(url);
    } catch (error) {
        const other = new URL(url).origin !== globalThis.origin;
        return `${url} cannot be fetched (${messageOf(error)}): check the address` +
            (other ? '; a server of another origin must allow it (Access-Control-Allow-Origin)' : ' and the page\'s Content-Security-Policy');
    }
    const type = response.headers.get('content-type') ?? '', coep = response.headers.get('cross-origin-embedder-policy');
    response.body?.cancel();
    if (!response.ok)
        return `${url} did not load, the server answers ${response.status}: ${remedy}`;
    if (!/javascript|ecmascript/i.test(type))
        return `${url} did not load, the server sends ${type ? `"${type}"` : 'no type'} where a script (text/javascript) is expected: ${remedy}`;
    if (globalThis.crossOriginIsolated && !coep && new URL(url).origin === globalThis.origin)
        return `${url} is served without the header Cross-Origin-Embedder-Policy. ${HINT_COEP}: send "Cross-Origin-Embedder-Policy: require-corp" ` +
            'with every file';
    return undefined;
}
