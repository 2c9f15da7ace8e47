/**
 * Starts a worker, in a page or in Node. Its states:
 *
 *     starting --'started'--> running --(terminate, a crash, a fatal message)--> over
 *         \--(no such script, another script, forbidden, an exception, silence)--> over
 *
 * If a worker fails, its owner is told: by an exception of startWorker(), or later by `onEnd`. A browser says next to
 * nothing about a worker that does not start: the rest of this file finds out why, and says what to do.
 */
import { fromPlain, messageOf, NibbleError } from './errors.js';
import { isNode, nodeModule } from './platform.js';

/** The name of nibble's policy in a page that requires Trusted Types. */
const POLICY = 'nibble-llm';

/**
 * How long to wait, in ms. silent: for a worker's first message, before its script is fetched to see what is wrong.
 * search: for that fetch. found: after it, for the first message, before the worker counts as dead.
 */
export const PATIENCE = { silent: 10_000, search: 20_000, found: 20_000 };

/**
 * A worker, reduced to what nibble needs of it.
 * @template Sent
 * @typedef {object} WorkerHandle
 * @property {(message: Sent, transfer?: Transferable[]) => void} post throws if the message cannot be cloned
 * @property {() => void} terminate
 * @property {(alive: boolean) => void} keepAlive whether the worker alone keeps a Node process running
 */

/**
 * @typedef {object} Wanted
 * @property {string} url of the script
 * @property {import('./protocol.js').Script} script which of nibble's it is
 * @property {string} name what the messages call the worker
 */

/**
 * What is called when a worker sends a message, and when it fails.
 * @typedef {{ receive: (message: any) => void, fail: (message: string, cause?: unknown) => void }} Hooks
 */

/**
 * What startWorker() also needs of a worker that it has created.
 * @typedef {object} Starting
 * @property {(message: string) => Promise<string>} explain why the worker does not start
 * @property {() => Promise<string | undefined>} checkScript what is wrong with its script, if anything
 * @property {() => void} settle frees what was needed to start it
 *
 * @typedef {WorkerHandle<unknown> & Starting} Spawned
 */

/**
 * @template Received
 * @template Sent
 * @param {Wanted} wanted
 * @param {(message: Received) => void} onMessage
 * @param {(error: NibbleError) => void} onEnd called at most once, when the worker fails, before it started or later
 * @returns {Promise<WorkerHandle<Sent>>}
 */
export async function startWorker(wanted, onMessage, onEnd) {
    const { script, name } = wanted;
    /** @type {'starting' | 'running' | 'over'} */
    let state = 'starting';
    /** @type {ReturnType<typeof setTimeout> | undefined} */
    let timer;
    const settle = (/** @type {'running' | 'over'} */ next) => {
        state = next;
        clearTimeout(timer);
        worker.settle();
    };
    const fail = async (
        /** @type {string} */ message,
        /** @type {unknown} */ cause = message ? new Error(message) : undefined,
    ) => {
        const before = state;
        if (before === 'over') return;
        state = 'over';
        worker.terminate();
        const error =
            before === 'running'
                ? died(name, message || 'the reason is unknown', cause)
                : notStarted(name, await worker.explain(message), cause);
        settle('over');
        onEnd(error);
    };
    /** @typedef {import('./protocol.js').Started | import('./protocol.js').Fatal} Told */
    const receive = (/** @type {Received} */ message) => {
        const told = /** @type {Told | undefined} */ (message);
        if (state === 'starting') {
            if (told?.type !== 'started' || told.script !== script)
                return void fail(`another script answers, not nibble's ${script}.js`);
            settle('running');
        } else if (state === 'running') {
            if (told?.type === 'fatal') fail(told.error.message, fromPlain(told.error));
            else onMessage(message);
        }
    };
    const worker = await (isNode ? nodeWorker : webWorker)(wanted, { receive, fail });
    // A script that runs but is not nibble's raises no error: it only stays silent. A slow network looks the same. So
    // the script is fetched and checked before the worker is given up.
    timer = setTimeout(async () => {
        const problem = await worker.checkScript();
        if (state !== 'starting') return;
        if (problem) return fail('');
        timer = setTimeout(fail, PATIENCE.found, `its script runs and says nothing: is it nibble's ${script}.js?`);
    }, PATIENCE.silent);
    return {
        post: worker.post,
        keepAlive: worker.keepAlive,
        terminate() {
            settle('over');
            worker.terminate();
        },
    };
}

/**
 * @param {string} name
 * @param {string} why
 * @param {unknown} [cause]
 */
export const died = (name, why, cause) =>
    new NibbleError(
        isOutOfMemory(cause) ? 'NB_ERR_MEMORY' : 'NB_ERR_WORKER',
        `nibble's ${name} died: ${why}. Load the model again; if it happens again, please report it with this message`,
        { cause },
    );

/**
 * @param {string} name
 * @param {string} why
 * @param {unknown} [cause]
 */
const notStarted = (name, why, cause) =>
    new NibbleError(
        isOutOfMemory(cause) ? 'NB_ERR_MEMORY' : 'NB_ERR_WORKER',
        `nibble's ${name} could not start: ${why}`,
        { cause },
    );

/** @param {any} error */
const isOutOfMemory = (error) => error?.code === 'ERR_WORKER_OUT_OF_MEMORY' || error?.code === 'NB_ERR_MEMORY';

/** The option of load() that says where a script is. @param {Wanted} wanted */
const optionOf = ({ script }) => (script === 'engine-worker' ? 'workerUrl' : 'poolWorkerUrl');

/**
 * @param {Wanted} wanted
 * @param {Hooks} hooks
 * @returns {Promise<Spawned>}
 */
async function nodeWorker(wanted, { receive, fail }) {
    const { Worker } = await nodeModule('worker_threads');
    const { fileURLToPath } = await nodeModule('url');
    const { url, name } = wanted;
    /** @type {import('node:worker_threads').Worker} */
    let worker;
    try {
        // flags of the process, such as --input-type=module, are not for this script
        worker = new Worker(url.startsWith('file:') ? fileURLToPath(url) : new URL(url), { execArgv: [] });
    } catch (error) {
        throw notStarted(name, `this process cannot start a thread from ${url}: ${messageOf(error)}`, error);
    }
    worker.on('message', receive);
    for (const event of ['messageerror', 'error']) worker.on(event, (error) => fail(messageOf(error), error));
    worker.on('exit', (code) => fail(`it exited with code ${code}`));
    return {
        post: (message, transfer = []) => worker.postMessage(message, /** @type {any} */ (transfer)),
        terminate: () => void worker.terminate(),
        keepAlive: (alive) => (alive ? worker.ref() : worker.unref()),
        explain: async (message) =>
            `${url}: ${message}. In a checkout run make build; in a bundle leave nibble-llm out ("external"), or ` +
            `pass ${optionOf(wanted)} to load()`,
        checkScript: async () => undefined,
        settle: () => {},
    };
}

/**
 * @param {Wanted} wanted
 * @param {Hooks} hooks
 * @returns {Promise<Spawned>}
 */
async function webWorker(wanted, { receive, fail }) {
    if (typeof Worker !== 'function')
        throw new NibbleError(
            'NB_ERR_ENGINE',
            `nibble computes in a worker, and ${scopeName()} has no Worker to start one with: call load() in a ` +
                'page or in a worker of a page, and send messages from there',
        );
    const { url, name } = wanted;
    const violations = watchPolicy();
    const script = scriptFor(url);
    const settle = () => {
        violations.end();
        if (script !== url) URL.revokeObjectURL(script);
    };
    const explain = (/** @type {string} */ message) => whyNot(wanted, script, violations, message);
    /** @type {Worker} */
    let worker;
    try {
        worker = new Worker(trusted(script), { type: isOpaque() ? 'classic' : 'module' });
    } catch (error) {
        const why = await explain(messageOf(error));
        settle();
        throw notStarted(name, why, error);
    }
    worker.onmessage = (event) => receive(event.data);
    worker.onmessageerror = () => fail('a message could not be read');
    worker.onerror = (event) => {
        event.preventDefault();
        fail(event.message ?? '', event.message ? uncaught(event) : undefined);
    };
    return {
        post: (message, transfer = []) => worker.postMessage(message, transfer),
        terminate: () => worker.terminate(),
        keepAlive: () => {},
        explain,
        checkScript: async () => (violations.first() ? 'forbidden' : checkScript(wanted)),
        settle,
    };
}

/** An exception of a worker. A page learns no more of it than this. @param {ErrorEvent} event */
const uncaught = ({ message, filename, lineno, colno }) =>
    fromPlain({ name: 'Error', message, stack: `${message}\n    at ${filename}:${lineno}:${colno}` });

/** The name of a scope that cannot start workers. */
function scopeName() {
    const kind = Object.prototype.toString.call(globalThis).slice(8, -1);
    return kind === 'SharedWorkerGlobalScope'
        ? 'a shared worker'
        : kind === 'ServiceWorkerGlobalScope'
          ? 'a service worker'
          : 'this engine';
}

/** Whether this page has an opaque origin, as a sandboxed frame has: Chrome runs no module worker there. */
const isOpaque = () => globalThis.origin === 'null' && globalThis.location?.protocol !== 'file:';

/**
 * The URL to give `new Worker`, which only takes scripts of the page's own origin. For a script of another origin
 * it is a blob with one line that imports the script.
 * @param {string} url
 */
function scriptFor(url) {
    const { protocol, host, origin } = new URL(url);
    const own =
        origin === 'null'
            ? protocol === globalThis.location?.protocol && host === globalThis.location?.host
            : origin === globalThis.origin;
    return own || protocol === 'blob:'
        ? url
        : URL.createObjectURL(
              new Blob([isOpaque() ? `importScripts(${JSON.stringify(url)});` : `import ${JSON.stringify(url)};`], {
                  type: 'text/javascript',
              }),
          );
}

/** @type {{ createScriptURL: (url: string) => string } | undefined} */
let policy;

/**
 * The URL as a TrustedScriptURL, if the page requires that. Only nibble's own URLs, or those that load() was
 * given, come here.
 * @param {string} url
 */
function trusted(url) {
    const { trustedTypes } = /** @type {any} */ (globalThis);
    try {
        policy ??= trustedTypes?.createPolicy(POLICY, { createScriptURL: (/** @type {string} */ url) => url });
    } catch {
        // the page forbids this policy; if it requires Trusted Types, `new Worker` will say so
    }
    return policy?.createScriptURL(url) ?? url;
}

/** Listens for what a Content-Security-Policy forbids while a worker starts. */
function watchPolicy() {
    /** @type {SecurityPolicyViolationEvent | undefined} */
    let first;
    const listener = (/** @type {any} */ event) => {
        if (event.disposition !== 'report' && /^(worker|script|child|default)-src/.test(event.effectiveDirective))
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
    const { url } = wanted;
    if (/TrustedScriptURL|Trusted ?Type/i.test(message))
        return (
            `the page asks for Trusted Types (${message}): allow nibble's policy in its Content-Security-Policy, ` +
            `"trusted-types ${POLICY}"`
        );
    if (new URL(url).protocol === 'file:')
        return `browsers start no worker from a file on the disk (${url}): open the page through a web server`;
    const found = await checkScript(wanted);
    const violation = violations.first();
    if (violation) {
        const { effectiveDirective, blockedURI } = violation;
        const needed =
            script === url
                ? originOf(url)
                : `${originOf(url)} and blob: (a script of another origin is imported through a blob)`;
        return (
            `the page's Content-Security-Policy forbids ${blockedURI} by ${effectiveDirective}: allow ${needed} ` +
            "in worker-src and script-src, or serve nibble's files from the page's origin and pass " +
            `${optionOf(wanted)} to load()`
        );
    }
    if (found || message) return found ?? `${url}: ${message}`;
    const hint =
        script === url
            ? HINT_COEP
            : 'If the page has a Content-Security-Policy, its worker-src and script-src must allow ' +
              `${originOf(url)} and blob:`;
    return `${url} did not run, and the browser does not say why; its console may. ${hint}`;
}

/** @param {string} url */
const originOf = (url) => (new URL(url).origin === globalThis.origin ? "'self'" : new URL(url).origin);

const HINT_COEP =
    'On a page with the header Cross-Origin-Embedder-Policy the scripts of workers must be served with it, too';

/**
 * Fetches the script of a worker that does not start, and checks the answer.
 * @param {Wanted} wanted
 * @returns {Promise<string | undefined>} what is wrong with it, and what to do
 */
async function checkScript(wanted) {
    const { url } = wanted;
    const remedy =
        `serve nibble's web/ and build/ folders whole, or pass ${optionOf(wanted)} to load(); ` +
        'in a checkout run make build' +
        (url.includes('/.vite/')
            ? ". With Vite's server add optimizeDeps: { exclude: ['nibble-llm'] } to vite.config.js"
            : '');
    /** @type {Response} */
    let response;
    try {
        response = await fetch(url, { signal: AbortSignal.timeout?.(PATIENCE.search) });
    } catch (error) {
        const other = new URL(url).origin !== globalThis.origin;
        return (
            `${url} cannot be fetched (${messageOf(error)}): check the URL` +
            (other
                ? '; a server of another origin must allow it (Access-Control-Allow-Origin)'
                : " and the page's Content-Security-Policy")
        );
    }
    const type = response.headers.get('content-type') ?? '',
        coep = response.headers.get('cross-origin-embedder-policy');
    response.body?.cancel().catch(() => {});
    if (!response.ok) return `${url} did not load, the server answers ${response.status}: ${remedy}`;
    if (response.redirected && new URL(response.url).origin !== new URL(url).origin)
        return (
            `${url} redirects to ${response.url}, and browsers run no worker that redirects to another origin: ` +
            `pass that URL as ${optionOf(wanted)} to load()`
        );
    if (!/javascript|ecmascript/i.test(type))
        return (
            `${url} did not load, the server sends ${type ? `"${type}"` : 'no type'} where a script ` +
            `(text/javascript) is expected: ${remedy}`
        );
    if (globalThis.crossOriginIsolated && !coep && new URL(url).origin === globalThis.origin)
        return (
            `${url} is served without the header Cross-Origin-Embedder-Policy. ${HINT_COEP}: ` +
            'send "Cross-Origin-Embedder-Policy: require-corp" with every file'
        );
    return undefined;
}
