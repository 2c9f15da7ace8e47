// load() on many kinds of pages: with other origins, policies and isolation, in workers, in bundles with shims. If a
// page forbids something, the error names it and says what to do. (failures.test.js has the failures that Node has,
// too.)
import assert from 'node:assert/strict';
import { readFileSync, statSync } from 'node:fs';
import { extname, join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { root } from '../support/builds.js';
import { launch, skip } from '../support/chromium.js';
import { listen } from '../support/loopback.js';

const TYPES = /** @type {Record<string, string>} */ ({
    '.js': 'text/javascript',
    '.wasm': 'application/wasm',
    '.html': 'text/html',
});
const COEP = 'Cross-Origin-Embedder-Policy',
    CORS = 'Access-Control-Allow-Origin';
const ISOLATED = { 'Cross-Origin-Opener-Policy': 'same-origin', [COEP]: 'require-corp' };

/** Scripts that are not nibble's, by their paths. @type {Record<string, string>} */
const SCRIPTS = {
    '/empty.js': '',
    '/throws.js': 'throw new Error("broken bundle")',
    '/rejects.js': 'Promise.reject(new Error("broken promise"))',
    '/syntax.js': '<!doctype html>',
    '/other.js': 'postMessage("hello")',
    '/imports.js': 'import "../nowhere.js"',
    '/dies.js':
        'for (const script of ["engine-worker", "pool-worker"]) postMessage({ type: "started", script });' +
        'setTimeout(() => { throw new Error("later") }, 100)',
    // a worker of the page that calls load() itself
    '/inner.js': `const answer = ${String(tryLoad)};
        const say = async port => port.postMessage(await answer({ base: location.origin, options: { threads: 1 } }));
        globalThis.onconnect = ({ ports: [port] }) => say(port);
        globalThis.onmessage = ({ data, source }) => say(source ?? globalThis);`,
    '/service.js': `import { load } from '/web/index.js';
        addEventListener('message', ({ source }) => load('/demo/stories.gguf').then(() => source.postMessage('loaded'),
            ({ name, code, message }) => source.postMessage([name, code, message].join(' '))));`,
};

/**
 * Runs in the page: loads the small model, and returns the result or the error as one line.
 * @param {{ base: string, options: any, patience?: object, from?: string }} given
 */
async function tryLoad({ base, options, patience, from }) {
    const index = `${base}/web/index.js`,
        spawn = `${base}/web/spawn.js`;
    const { load } = await import(index);
    Object.assign((await import(spawn)).PATIENCE, patience);
    // biome-ignore lint/security/noGlobalEval: evaluates the test's own expression in the page
    const wanted = typeof options === 'string' ? eval(options) : options;
    const hanging = new Promise((resolve) => {
        setTimeout(resolve, 30_000, 'it hangs');
    });
    return Promise.race([
        hanging,
        (async () => {
            try {
                // biome-ignore lint/security/noGlobalEval: as above
                const model = await load(from ? eval(from) : `${base}/demo/stories.gguf`, wanted);
                const { tokens } = await model.chat('Hi', { maxTokens: 2, temperature: 0 });
                await model.dispose();
                return `${tokens.length} tokens, ${model.info.build}, ${model.info.threads} threads`;
            } catch (error) {
                const { name, code, message } = /** @type {any} */ (error);
                return [name, code, message].join(' ');
            }
        })(),
    ]);
}

describe('load() on a page', { skip, concurrency: 3 }, () => {
    /** @type {import('playwright-core').Browser} */
    let browser;
    /** @type {Awaited<ReturnType<typeof listen>>} */
    let server;
    let here = '',
        there = ''; // the same files on the page's origin, and on another one
    before(async () => {
        browser = await launch();
        // in a path "/~{...}/rest" the JSON has headers for the answer; false removes one
        server = await listen((request, response) => {
            const [, changes, path] = /^(?:\/~(\{.*?\}))?(\/[^?#]*)/.exec(decodeURIComponent(request.url ?? '/')) ?? [];
            const headers = {
                'Access-Control-Allow-Origin': '*',
                'Cross-Origin-Resource-Policy': 'cross-origin',
                ...ISOLATED,
                'Content-Type': TYPES[extname(path)] ?? 'application/octet-stream',
                ...JSON.parse(changes ?? '{}'),
            };
            for (const [name, value] of Object.entries(headers)) if (value !== false) response.setHeader(name, value);
            const file = join(root, path);
            if (path === '/page.html') response.end('<!doctype html><title>a page</title>');
            else if (path === '/redirect.js')
                response.writeHead(302, { Location: `${there}/build/engine-worker.js` }).end();
            else if (path in SCRIPTS) response.end(SCRIPTS[path]);
            else if (statSync(file, { throwIfNoEntry: false })?.isFile()) response.end(readFileSync(file));
            else response.writeHead(404).end();
        });
        here = server.url;
        there = `http://localhost:${server.port}`;
    });
    after(async () => {
        await browser?.close();
        server?.close();
    });

    /** A page's URL with these headers. @param {object} headers @param {string} path */
    const withHeaders = (headers, path) => `/~${encodeURIComponent(JSON.stringify(headers))}${path}`;
    const csp = (/** @type {string} */ policy) => ({ 'Content-Security-Policy': policy });
    const plain = { 'Cross-Origin-Embedder-Policy': false, 'Cross-Origin-Opener-Policy': false };

    /**
     * @typedef {object} Case
     * @property {object} [headers] of the page
     * @property {'here' | 'there'} [base] where nibble is imported from
     * @property {any} [options] of load(), or the text of a function's body's value, evaluated in the page
     * @property {string} [from] the source, to evaluate
     * @property {string} [init] a script that runs before the page's own
     * @property {RegExp} expected
     */
    const STRICT = "default-src 'self'; script-src 'self' 'wasm-unsafe-eval'";
    const OK = /^2 tokens/,
        THREADS = /^2 tokens, [\w-]+-threads, 2 threads/;
    const two = { threads: 2 };
    /** @type {Record<string, Case>} */
    const cases = {
        // what works
        'isolated: threads': { options: two, expected: THREADS },
        'not isolated: one thread': { headers: plain, options: two, expected: /^2 tokens, [\w-]+, 1 threads/ },
        'another origin': { headers: plain, base: 'there', expected: OK },
        'another origin, isolated: threads': { base: 'there', options: two, expected: THREADS },
        'a policy that allows what is needed, and no more': {
            headers: csp(STRICT),
            expected: THREADS,
            options: {
                ...two,
                workerUrl: withHeaders(csp(STRICT), '/build/engine-worker.js'),
                poolWorkerUrl: withHeaders(csp(STRICT), '/build/pool-worker.js'),
            },
        },
        'another origin, allowed by a policy': {
            base: 'there',
            options: two,
            expected: THREADS,
            headers: csp(
                "default-src 'self' http://localhost:*; script-src 'self' http://localhost:* " +
                    "'wasm-unsafe-eval'; worker-src blob: http://localhost:*",
            ),
        },
        'Trusted Types': {
            headers: csp("require-trusted-types-for 'script'; script-src * 'unsafe-eval' " + "'trusted-types-eval'"),
            options: two,
            expected: THREADS,
        },
        'Trusted Types, another origin': {
            base: 'there',
            options: two,
            expected: THREADS,
            headers: csp(
                "require-trusted-types-for 'script'; trusted-types nibble-llm; script-src * blob: " +
                    "'unsafe-eval' 'trusted-types-eval'",
            ),
        },
        'a shim of process': {
            init: 'globalThis.process = { env: {}, versions: { node: "22.0.0" }, browser: true }',
            options: two,
            expected: THREADS,
        },
        "Electron's process": {
            init:
                'globalThis.process = { type: "renderer", versions: { node: "22.0.0", electron: "40" }, ' +
                '[Symbol.toStringTag]: "process" }',
            options: two,
            expected: THREADS,
        },
        'no BroadcastChannel': { init: 'delete globalThis.BroadcastChannel', options: two, expected: THREADS },
        'scripts as data: URLs, as some bundlers write them': {
            options: '({ threads: 2, workerUrl: DATA.engine, poolWorkerUrl: DATA.pool, templateUrl: DATA.jinja })',
            expected: THREADS,
        },
        'a relative wasmUrl': { options: { wasmUrl: 'build/wasm' }, expected: OK },
        "an iframe's Blob": { from: 'new FRAME.Blob([BYTES])', expected: OK },
        "an iframe's File in a list": { from: '[new FRAME.File([BYTES], "tiny.gguf")]', expected: OK },
        "an iframe's Uint8Array": { from: 'new FRAME.Uint8Array(BYTES)', expected: OK },
        "an iframe's stream": { from: 'new FRAME.Blob([BYTES]).stream()', expected: OK },
        "an iframe's URL": { from: 'new FRAME.URL("/demo/stories.gguf", location.href)', expected: OK },
        "an iframe's signal": { options: '({ signal: new FRAME.AbortController().signal })', expected: OK },

        // pages that forbid something
        'a policy without workers': {
            headers: csp("worker-src 'none'"),
            expected: new RegExp(
                "NB_ERR_WORKER .*could not start: the page's Content-Security-Policy forbids .* by worker-src: " +
                    "allow 'self' in worker-src",
            ),
        },
        'another origin, without blob:': {
            headers: csp("worker-src 'self' http://localhost:*"),
            base: 'there',
            expected: /NB_ERR_WORKER .*Policy forbids blob.*allow http:\/\/localhost:\d+ and blob: .*workerUrl/,
        },
        'another origin, not allowed': {
            headers: csp("worker-src blob: 'self'; script-src 'self' blob: 'unsafe-eval'"),
            options: '({ workerUrl: THERE + "/build/engine-worker.js" })',
            expected: new RegExp(
                'NB_ERR_WORKER .*If the page has a Content-Security-Policy, its worker-src and script-src must allow ' +
                    'http://localhost:\\d+ and blob:',
            ),
        },
        'another origin without CORS': {
            options: `({ workerUrl: THERE + '${withHeaders({ [CORS]: false }, '/build/engine-worker.js')}' })`,
            expected: /NB_ERR_WORKER .*cannot be fetched.*Access-Control-Allow-Origin/,
        },
        'Trusted Types, no policy allowed': {
            headers: csp("require-trusted-types-for 'script'; trusted-types 'none'"),
            expected: /NB_ERR_WORKER .*asks for Trusted Types.*trusted-types nibble-llm/,
        },
        'a worker without its own embedder policy': {
            options: { workerUrl: withHeaders({ [COEP]: false }, '/build/engine-worker.js') },
            expected: new RegExp(`NB_ERR_WORKER .*served without the header ${COEP}.*send "${COEP}: require-corp"`),
        },
        'a thread without its own embedder policy': {
            options: {
                threads: 2,
                poolWorkerUrl: withHeaders({ [COEP]: false }, '/build/pool-worker.js'),
            },
            expected: new RegExp(`NB_ERR_WORKER .*thread 1 of 2 could not start: .*served without the header ${COEP}`),
        },
        'a worker that may not compile': {
            options: { workerUrl: withHeaders(csp("script-src 'self'"), '/build/engine-worker.js') },
            expected: /NB_ERR_ENGINE .*cannot load nibble's WebAssembly.*Allow 'wasm-unsafe-eval'/,
        },
        'a worker of the disk': {
            options: { workerUrl: 'file:///engine-worker.js' },
            expected: /NB_ERR_WORKER .*file on the disk.*web server/,
        },

        // wrong scripts
        'no worker there': {
            options: { workerUrl: '/nowhere.js' },
            expected: /NB_ERR_WORKER .*\/nowhere\.js did not load, the server answers 404.*workerUrl/,
        },
        'a page instead of the worker': {
            options: { workerUrl: '/page.html' },
            expected: /NB_ERR_WORKER .*sends "text\/html" where a script.*workerUrl/,
        },
        "Vite's page instead of the worker": {
            options: { workerUrl: '/.vite/deps/page.js' },
            expected: /NB_ERR_WORKER .*optimizeDeps: \{ exclude: \['nibble-llm'\] \}/,
        },
        'a worker that leads to another origin': {
            options: { workerUrl: '/redirect.js' },
            expected:
                /NB_ERR_WORKER .*redirect\.js redirects to http:\/\/localhost:\d+\/build\/engine-worker\.js.*workerUrl/,
        },
        'no worker there, and a policy that only reports': {
            headers: { 'Content-Security-Policy-Report-Only': "worker-src 'none'" },
            options: { workerUrl: '/nowhere.js' },
            expected: /NB_ERR_WORKER .*server answers 404/,
        },
        'an empty worker': {
            options: { workerUrl: '/empty.js' },
            expected: /NB_ERR_WORKER .*could not start: .*says nothing/,
        },
        'a worker that throws': {
            options: { workerUrl: '/throws.js' },
            expected: /NB_ERR_WORKER .*could not start: .*broken bundle/,
        },
        'a worker that rejects': {
            options: { workerUrl: '/rejects.js' },
            expected: /NB_ERR_WORKER .*could not start: .*says nothing/,
        },
        'a worker that is no JavaScript': {
            options: { workerUrl: '/syntax.js' },
            expected: /NB_ERR_WORKER .*could not start: .*syntax\.js did not run/,
        },
        'a worker that imports what is not there': {
            options: { workerUrl: '/imports.js' },
            expected: /NB_ERR_WORKER .*could not start: .*imports\.js did not run/,
        },
        'another worker': {
            options: { workerUrl: '/other.js' },
            expected: /NB_ERR_WORKER .*could not start: .*another script answers/,
        },
        'a worker that dies': { options: { workerUrl: '/dies.js' }, expected: /NB_ERR_WORKER .*worker died: .*later/ },
        'a page instead of a thread': {
            options: { threads: 2, poolWorkerUrl: '/page.html' },
            expected: /NB_ERR_WORKER .*thread 1 of 2 could not start: .*text\/html/,
        },
        'no thread there': {
            options: { threads: 2, poolWorkerUrl: '/nowhere.js' },
            expected: /NB_ERR_WORKER .*thread 1 of 2 .*404.*poolWorkerUrl/,
        },
        'a thread that throws': {
            options: { threads: 2, poolWorkerUrl: '/throws.js' },
            expected: /NB_ERR_WORKER .*thread 1 of 2 .*broken bundle/,
        },
        'an empty thread': {
            options: { threads: 2, poolWorkerUrl: '/build/engine-worker.js' },
            expected: /NB_ERR_WORKER .*thread 1 of 2 .*another script answers/,
        },
        'no renderer of templates': {
            options: { templateUrl: '/nowhere.js' },
            expected: /NB_ERR_ENGINE .*renderer from .*nowhere\.js.*templateUrl/,
        },
        'no WebAssembly file': {
            options: { wasmUrl: '/nowhere' },
            expected: /NB_ERR_ENGINE .*nowhere\/nibble-.*404.*wasmUrl/,
        },

        // mistakes of the caller
        'onProgress throws': {
            options: '({ onProgress() { throw new Error("mine") } })',
            expected: /NB_ERR_ARGUMENT .*onProgress threw: mine/,
        },
        'an AbortController as signal': {
            options: '({ signal: new AbortController() })',
            expected: /NB_ERR_ARGUMENT .*pass the controller's signal/,
        },
        'a source that is not a valid URL': { from: '"http://["', expected: /NB_ERR_ARGUMENT .*not a valid URL/ },
        'an abort': {
            options: '({ signal: AbortSignal.abort(new RangeError("mine")) })',
            expected: /RangeError .*mine/,
        },
    };
    const helpers = `
        Object.defineProperty(globalThis, 'THERE', { value: location.protocol + '//localhost:' + location.port });
        const addFrame = () => document.body.appendChild(document.createElement('iframe')).contentWindow;
        Object.defineProperty(globalThis, 'FRAME', { get: () => globalThis.frame ??= addFrame() });
    `;
    const data = (/** @type {string} */ name) =>
        `data:text/javascript;base64,${readFileSync(`${root}build/${name}`, 'base64')}`;

    /** @param {{ headers?: object, init?: string }} [wanted] @returns {Promise<import('playwright-core').Page>} */
    async function open({ headers = {}, init } = {}) {
        const page = await browser.newPage();
        await page.addInitScript(helpers);
        if (init) await page.addInitScript(init);
        await page.goto(here + withHeaders(headers, '/page.html').replace(/^\/~%7B%7D/, ''));
        return page;
    }

    for (const [name, wanted] of Object.entries(cases))
        it(name, async () => {
            const { base = 'here', options = {}, from, expected } = wanted;
            const page = await open(wanted);
            try {
                if (from?.includes('BYTES'))
                    await page.evaluate(async () =>
                        Object.assign(globalThis, {
                            BYTES: new Uint8Array(await (await fetch('/demo/stories.gguf')).arrayBuffer()),
                        }),
                    );
                if (String(options).includes('DATA'))
                    await page.evaluate((DATA) => Object.assign(globalThis, { DATA }), {
                        engine: data('engine-worker.js'),
                        pool: data('pool-worker.js'),
                        jinja: data('jinja.js'),
                    });
                const said = await page.evaluate(tryLoad, {
                    base: base === 'here' ? here : there,
                    from,
                    options,
                    patience: { silent: 500, found: 500 },
                });
                assert.match(said, expected);
            } finally {
                await page.close();
            }
        });

    it('prints for debug: true, and says that the page is not isolated', async () => {
        const page = await open({ headers: plain });
        try {
            /** @type {string[]} */
            const lines = [];
            page.on('console', (message) => message.type() === 'debug' && lines.push(message.text()));
            await page.evaluate(async (base) => {
                const { load } = await import(`${base}/web/index.js`);
                await (await load(`${base}/demo/stories.gguf`, { debug: true })).dispose();
            }, here);
            for (const said of [
                /^nibble: worker: http.*engine-worker\.js$/,
                /source: open after .* status 200, application\/octet-stream$/,
                /build: (relaxed|relaxed-dot|simd128), threads 1/,
                /build: not simd128-threads: it needs shared memory, and the page is not cross-origin isolated$/,
                /load: llama, 38 tensors/,
            ])
                assert.ok(
                    lines.some((line) => said.test(line)),
                    `${said} in\n${lines.join('\n')}`,
                );
        } finally {
            await page.close();
        }
    });

    it('tells where in a worker it failed', async () => {
        const page = await open();
        try {
            const stacks = await page.evaluate(async (base) => {
                const { load } = await import(`${base}/web/index.js`);
                const failed = (/** @type {object} */ options) =>
                    load(`${base}/demo/stories.gguf`, { threads: 1, ...options }).catch((/** @type {any} */ error) => [
                        error.stack,
                        error.cause?.stack,
                    ]);
                return {
                    dies: await failed({ workerUrl: `${base}/dies.js` }),
                    lacks: await failed({ wasmUrl: `${base}/nowhere/` }),
                };
            }, here);
            assert.match(stacks.dies[1], /later\n {4}at http.*\/dies\.js:1:\d+/);
            assert.match(
                stacks.lacks[0],
                /NibbleError: cannot load nibble's WebAssembly.*at .*\/build\/engine-worker\.js:\d+/s,
            );
            assert.match(stacks.lacks[1], /Error: the server answered 404.*at .*\/build\/engine-worker\.js:\d+/s);
        } finally {
            await page.close();
        }
    });

    it('says so in a shared worker and in a service worker; works in a worker of the page', async () => {
        const page = await open();
        const said = (/** @type {string} */ kind) =>
            page.evaluate(async (kind) => {
                const hear = (/** @type {any} */ target) =>
                    new Promise((resolve) => {
                        target.onmessage = (/** @type {MessageEvent} */ { data }) => resolve(data);
                    });
                if (kind === 'shared') {
                    const { port } = new SharedWorker('/inner.js', { type: 'module' });
                    return hear(port);
                }
                if (kind === 'service') {
                    const { installing } = await navigator.serviceWorker.register('/service.js', { type: 'module' });
                    const answer = hear(navigator.serviceWorker);
                    navigator.serviceWorker.startMessages();
                    installing?.postMessage('load');
                    return answer;
                }
                const worker = new Worker('/inner.js', { type: 'module' });
                worker.postMessage('load');
                return hear(worker);
            }, kind);
        try {
            assert.match(
                await said('shared'),
                /NibbleError NB_ERR_ENGINE .*a shared worker has no Worker.*in a page or in a worker of a page/,
            );
            assert.match(await said('service'), /NibbleError NB_ERR_ENGINE .*a service worker has no Worker/);
            assert.match(await said('dedicated'), OK);
        } finally {
            await page.close();
        }
    });

    it('works in a frame with an opaque origin', async () => {
        const page = await open({ headers: plain });
        try {
            const said = await page.evaluate(
                ({ base, script }) =>
                    new Promise((resolve) => {
                        globalThis.onmessage = ({ data }) => resolve(data);
                        const frame = document.createElement('iframe');
                        frame.setAttribute('sandbox', 'allow-scripts');
                        const tried = `(${script})({ base: ${JSON.stringify(base)}, options: {} })`;
                        frame.srcdoc = `<script type="module">parent.postMessage(await ${tried}, '*')</script>`;
                        document.body.append(frame);
                    }),
                { base: here, script: String(tryLoad) },
            );
            assert.match(/** @type {string} */ (said), OK);
        } finally {
            await page.close();
        }
    });
});
