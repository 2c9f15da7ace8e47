// Whatever fails, load() rejects with a NibbleError and its cause: a table of everything that can go wrong in Node.
// (tests/page/start.test.js has what can go wrong in a page.)
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import vm from 'node:vm';
import { load, NibbleError } from '../../web/index.js';
import { PATIENCE } from '../../web/spawn.js';
import { models, root } from '../support/builds.js';
import { listen } from '../support/loopback.js';
import { withTrapIn } from '../support/trapping.js';

/** @typedef {import('../../web/index.d.ts').LoadOptions} LoadOptions */

const folder = mkdtempSync(join(tmpdir(), 'nibble-failures-'));
after(() => rmSync(folder, { recursive: true }));
PATIENCE.silent = 1500;
PATIENCE.found = 500;

const bytes = readFileSync(models.tiny);
const MINE = new Error('it is mine');

/** @param {string} name @param {string | Uint8Array} content @returns {string} its path */
function file(name, content) {
    writeFileSync(join(folder, name), content);
    return join(folder, name);
}

/**
 * Rejects if the promise takes too long.
 * @template T @param {Promise<T>} promise @returns {Promise<T>}
 */
function settled(promise) {
    /** @type {NodeJS.Timeout | undefined} */
    let timer;
    const late = new Promise((_, reject) => {
        timer = setTimeout(reject, 60_000, new Error('it hangs'));
    });
    return /** @type {Promise<T>} */ (Promise.race([promise, late])).finally(() => clearTimeout(timer));
}

/** @param {string} code @param {RegExp} message @param {unknown} [cause] @returns {(error: any) => true} */
const failure = (code, message, cause) => (error) => {
    assert.ok(error instanceof NibbleError, String(error?.stack ?? error));
    assert.equal(error.code, code, error.message);
    assert.match(error.message, message);
    if (cause !== undefined) assert.equal(error.cause, cause);
    return true;
};

const THREADS = { build: /** @type {const} */ ('simd128-threads'), threads: 3 };

/**
 * Scripts that are not nibble's worker, by how they go wrong.
 * @type {Record<string, [script: string | null, RegExp]>}
 */
const scripts = {
    'is not there': [null, /could not start.*Cannot find module/],
    'is empty': ['', /could not start.*exited with code 0/],
    throws: ['throw new Error("broken bundle")', /could not start.*broken bundle/],
    'throws nothing': ['throw null', /could not start/],
    rejects: ['Promise.reject(new Error("broken promise"))', /could not start.*broken promise/],
    'is no JavaScript': ['<!doctype html>', /could not start.*Unexpected token/],
    'ends the thread': ['process.exit(3)', /could not start.*exited with code 3/],
    'is another program': ['setInterval(() => {}, 1000)', /could not start.*says nothing/],
    'answers something else': [
        'require("worker_threads").parentPort.postMessage("hello"); setInterval(() => {}, 1000)',
        /could not start.*another script answers/,
    ],
    'ends after it started': [
        'const { parentPort } = require("worker_threads"); for (const script of ["engine-worker", "pool-worker"]) ' +
            'parentPort.postMessage({ type: "started", script }); setTimeout(() => process.exit(4), 200)',
        /(died: it exited with code 4)|another script/,
    ],
};

describe('a worker whose script', () => {
    for (const [name, [script, message]] of Object.entries(scripts)) {
        const path = join(folder, `${name}.cjs`);
        before(() => script !== null && writeFileSync(path, script));
        test(`${name}: the engine's`, () =>
            assert.rejects(settled(load(models.tiny, { workerUrl: path })), failure('NB_ERR_WORKER', message)));
    }
    for (const [name, [script, message]] of Object.entries(scripts).slice(0, 3)) {
        const path = join(folder, `${name} too.cjs`);
        before(() => script !== null && writeFileSync(path, script));
        test(`${name}: a thread's`, () =>
            assert.rejects(
                settled(load(models.tiny, { ...THREADS, poolWorkerUrl: path })),
                failure('NB_ERR_WORKER', new RegExp(`thread \\d of 3 ${message.source}`)),
            ));
    }
    test("is another one of nibble's", async () => {
        const engine = join(root, 'build/engine-worker.js'),
            pool = join(root, 'build/pool-worker.js');
        await assert.rejects(
            settled(load(models.tiny, { workerUrl: pool })),
            failure('NB_ERR_WORKER', /another script answers, not nibble's engine-worker/),
        );
        await assert.rejects(
            settled(load(models.tiny, { ...THREADS, poolWorkerUrl: engine })),
            failure('NB_ERR_WORKER', /another script answers, not nibble's pool-worker/),
        );
    });
    test("is a server's", () =>
        assert.rejects(
            settled(load(models.tiny, { workerUrl: 'http://127.0.0.1:9/worker.js' })),
            failure('NB_ERR_WORKER', /cannot start a thread from http/),
        ));
});

/**
 * A stream that fails after so many chunks.
 * @param {number} chunks @param {unknown} error @returns {ReadableStream<Uint8Array>}
 */
const breaking = (chunks, error) =>
    new ReadableStream({
        pull(controller) {
            if (chunks-- > 0) controller.enqueue(bytes.subarray(0, 100_000));
            else controller.error(error);
        },
    });
/** A stream that stops within the weights and never ends. */
const unending = () => new ReadableStream({ start: (controller) => controller.enqueue(bytes.subarray(0, 100_000)) });
const locked = new ReadableStream();
locked.getReader();

/**
 * Mistakes of the caller, and failures in the caller's own code.
 * @type {[name: string, source: any, options: any, code: string, message: RegExp, cause?: unknown][]}
 */
const mistakes = [
    [
        'onProgress throws',
        models.tiny,
        {
            onProgress() {
                throw MINE;
            },
        },
        'NB_ERR_ARGUMENT',
        /onProgress threw: it is mine/,
        MINE,
    ],
    [
        'onProgress rejects',
        models.tiny,
        {
            onProgress: async () => {
                throw MINE;
            },
        },
        'NB_ERR_ARGUMENT',
        /onProgress threw: it is mine/,
        MINE,
    ],
    [
        'onProgress throws for a stream',
        new Blob([bytes]).stream(),
        {
            onProgress() {
                throw MINE;
            },
        },
        'NB_ERR_ARGUMENT',
        /onProgress threw/,
        MINE,
    ],
    ['onProgress is no function', models.tiny, { onProgress: 1 }, 'NB_ERR_ARGUMENT', /onProgress must be a function/],
    [
        'an AbortController as signal',
        models.tiny,
        { signal: new AbortController() },
        'NB_ERR_ARGUMENT',
        /pass the controller's signal/,
    ],
    ['a number as signal', models.tiny, { signal: 5 }, 'NB_ERR_ARGUMENT', /must be an AbortSignal/],
    ['null as options', models.tiny, null, 'NB_ERR_ARGUMENT', /options must be an object/],
    ['an invalid URL', 'http://[', {}, 'NB_ERR_ARGUMENT', /source is not a valid URL: "http:\/\/\["/],
    ['an invalid URL in a list', ['http://a b/x.gguf'], {}, 'NB_ERR_ARGUMENT', /not a valid URL/],
    ['an invalid escape in a URL', ['http://127.0.0.1:9/%E0%A4%A.gguf'], {}, 'NB_ERR_NETWORK', /127\.0\.0\.1:9/],
    [
        'a file: URL of another machine',
        'file://elsewhere/model.gguf',
        {},
        'NB_ERR_ARGUMENT',
        /not the URL of a file on this/,
    ],
    [
        'a file: URL with an escaped slash',
        new URL('file:///a%2Fb'),
        {},
        'NB_ERR_ARGUMENT',
        /not the URL of a file on this/,
    ],
    [
        'a scheme that fetch() does not know',
        'gopher://127.0.0.1/model.gguf',
        {},
        'NB_ERR_NETWORK',
        /cannot reach gopher/,
    ],
    [
        'wasmUrl is an invalid URL',
        models.tiny,
        { wasmUrl: 'https://[' },
        'NB_ERR_ARGUMENT',
        /wasmUrl is not a valid URL/,
    ],
    ['wasmUrl is a number', models.tiny, { wasmUrl: 5 }, 'NB_ERR_ARGUMENT', /wasmUrl must be a URL, not number/],
    ['wasmUrl is null', models.tiny, { wasmUrl: null }, 'NB_ERR_ARGUMENT', /wasmUrl must be a URL/],
    [
        'wasmUrl names a build that does not exist',
        models.tiny,
        { wasmUrl: { simd: 'x.wasm' } },
        'NB_ERR_ARGUMENT',
        /a build "simd"/,
    ],
    [
        'wasmUrl names a file of no build',
        models.tiny,
        { wasmUrl: '/x/abc.wasm' },
        'NB_ERR_ARGUMENT',
        /a map from build to file/,
    ],
    [
        'wasmUrl is a data: URL, which names no build',
        models.tiny,
        { wasmUrl: 'data:application/wasm;base64,AA==' },
        'NB_ERR_ARGUMENT',
        /a map from build to file/,
    ],
    [
        'wasmUrl lacks the build',
        models.tiny,
        { wasmUrl: { relaxed: 'x' }, build: 'simd128' },
        'NB_ERR_ARGUMENT',
        /wasmUrl does not say where/,
    ],
    [
        'wasmUrl is no WebAssembly',
        models.tiny,
        { wasmUrl: { simd128: models.tiny } },
        'NB_ERR_ENGINE',
        /cannot load nibble's WebAssembly.*magic word/,
    ],
    [
        'workerUrl is an invalid URL',
        models.tiny,
        { workerUrl: 'http://[' },
        'NB_ERR_ARGUMENT',
        /workerUrl is not a valid URL/,
    ],
    [
        'poolWorkerUrl is an invalid URL',
        models.tiny,
        { poolWorkerUrl: 'http://[' },
        'NB_ERR_ARGUMENT',
        /poolWorkerUrl is not a valid URL/,
    ],
    ['templateUrl is an object', models.tiny, { templateUrl: {} }, 'NB_ERR_ARGUMENT', /templateUrl must be a URL/],
    ['a stream that breaks at once', breaking(0, MINE), {}, 'NB_ERR_FILE', /cannot be read: it is mine/, MINE],
    ['a stream that breaks later', breaking(2, MINE), {}, 'NB_ERR_FILE', /cannot be read: it is mine/, MINE],
    [
        'a stream that breaks with a text',
        breaking(1, 'no more'),
        {},
        'NB_ERR_FILE',
        /cannot be read: no more/,
        'no more',
    ],
    ['a stream that has a reader already', locked, {}, 'NB_ERR_ARGUMENT', /stream.*locked/i],
    [
        'a Blob that cannot be read',
        { size: 100, type: '', slice: () => ({ arrayBuffer: () => Promise.reject(MINE) }) },
        {},
        'NB_ERR_FILE',
        /it is mine/,
        MINE,
    ],
    ['undefined', undefined, {}, 'NB_ERR_ARGUMENT', /the source must be/],
    ['an object', {}, {}, 'NB_ERR_ARGUMENT', /the source must be/],
    ['a Float32Array', new Float32Array(8), {}, 'NB_ERR_ARGUMENT', /the source must be/],
    ['a list of undefined', [undefined], {}, 'NB_ERR_ARGUMENT', /the source must be/],
    ['a list of bytes', [bytes], {}, 'NB_ERR_ARGUMENT', /array of sources may hold/],
];

describe('load() rejects', () => {
    for (const [name, source, options, code, message, cause] of mistakes)
        test(name, () => assert.rejects(settled(load(source, options)), failure(code, message, cause)));

    test("with the signal's reason, whenever it is aborted", async () => {
        for (const ms of [0, 1, 5, 20, 60]) {
            const controller = new AbortController();
            setTimeout(() => controller.abort(MINE), ms);
            await assert.rejects(settled(load(unending(), { signal: controller.signal })), (error) => error === MINE);
        }
        await assert.rejects(settled(load(models.tiny, { signal: AbortSignal.abort() })), { name: 'AbortError' });
    });
});

describe('a failure in a worker arrives with its causes and their stacks', () => {
    /** The error and its causes. @param {Promise<unknown>} promise @returns {Promise<any[]>} */
    const chainOf = async (promise) => {
        const chain = [];
        for (
            let error = await settled(promise).then(
                () => undefined,
                (thrown) => thrown,
            );
            error;
            error = error.cause
        )
            chain.push(error);
        return chain;
    };
    /** @param {string} name of a function of the engine @param {'simd128' | 'simd128-threads'} [build] */
    const trapping = (name, build = 'simd128') =>
        pathToFileURL(
            file(`nibble-${build}.wasm`, withTrapIn(readFileSync(`${root}build/wasm/nibble-${build}.wasm`), name)),
        );
    const inWorker = /\bat .*engine-worker\.js/,
        inWasm = /\bat .*wasm/;

    test('an error of the core', async () => {
        const [error, ...causes] = await chainOf(load(bytes.subarray(0, 1000)));
        assert.deepEqual(
            [error.name, error.code, error instanceof NibbleError, causes],
            ['NibbleError', 'NB_ERR_TRUNCATED', true, []],
        );
        assert.match(error.stack, inWorker);
        assert.ok(error.stack.includes(error.message));
        assert.ok(!Object.keys(error).includes('stack'), 'as of any error, the stack is not listed');
    });

    test('an error with causes', async () => {
        const wasmUrl = { simd128: join(folder, 'nowhere.wasm') };
        const [error, cause] = await chainOf(load(models.tiny, { wasmUrl }));
        assert.deepEqual(
            [error.name, error.code, cause.name, cause.code],
            ['NibbleError', 'NB_ERR_ENGINE', 'Error', 'ENOENT'],
        );
        assert.match(error.stack, inWorker);
        assert.match(cause.message, /no such file.*nowhere\.wasm/);
        assert.match(cause.stack, /no such file.*nowhere\.wasm/);
    });

    /** @type {[what: string, fails: () => Promise<unknown>][]} */
    const traps = [
        ['a trap in load()', () => load(models.tiny, { build: 'simd128', wasmUrl: trapping('nb_loader_commit') })],
        [
            'a trap in complete()',
            async () =>
                (await load(models.tiny, { build: 'simd128', wasmUrl: trapping('nb_sampler_next') })).complete('Once'),
        ],
    ];
    for (const [what, fails] of traps)
        test(what, async () => {
            const [error, stopped, trap] = await chainOf(fails());
            assert.match(error.message, /nibble's worker died: the engine stopped: unreachable/);
            assert.deepEqual(
                [error.code, stopped.code, stopped.name],
                ['NB_ERR_WORKER', 'NB_ERR_WORKER', 'NibbleError'],
            );
            assert.match(stopped.message, /^the engine stopped: unreachable$/);
            assert.deepEqual([trap.name, trap.message], ['RuntimeError', 'unreachable']);
            assert.match(trap.stack, inWasm);
            assert.match(trap.stack, inWorker);
        });

    test('a trap in a thread of the pool', async () => {
        const wasmUrl = trapping('nb_pool_work', 'simd128-threads');
        const [error, trap] = await chainOf(
            load(models.tiny, { build: 'simd128-threads', threads: 2, wasmUrl }).then((model) =>
                model.complete('Once', { maxTokens: 500, ignoreEnd: true }),
            ),
        );
        assert.match(error.message, /thread 1 stopped: unreachable/);
        assert.deepEqual([trap.name, trap.message], ['RuntimeError', 'unreachable']);
        assert.match(trap.stack, inWasm);
    });
});

test('a message that cannot be cloned is an error, and the next one is answered', async () => {
    const model = await load(models.tiny, { threads: 1 });
    const forbidden = /** @type {any} */ ([{ role: 'user', content: 'Hi', extra: () => {} }]);
    await assert.rejects(
        settled(Promise.resolve(model.chat(forbidden))),
        failure('NB_ERR_ARGUMENT', /cannot be sent.*could not be cloned/),
    );
    assert.equal((await model.complete('Once', { maxTokens: 1 })).tokens.length, 1);
    await assert.rejects(
        async () => model.complete('a', /** @type {any} */ ({ signal: new AbortController() })),
        failure('NB_ERR_ARGUMENT', /controller's signal/),
    );
    await model.dispose();
});

test('chat() says if the renderer of templates is missing', async () => {
    const model = await load(models.tiny, { threads: 1, templateUrl: join(folder, 'nothing.js') });
    await assert.rejects(
        settled(Promise.resolve(model.chat('Hi'))),
        failure('NB_ERR_ENGINE', /renderer.*nothing\.js.*templateUrl/),
    );
    await model.dispose();
});

/** The engine's file as a data: URL. */
const asData = () => `data:application/wasm;base64,${readFileSync(`${root}build/wasm/nibble-simd128.wasm`, 'base64')}`;

describe("nibble's files may lie elsewhere", () => {
    /** @type {Awaited<ReturnType<typeof listen>>} */
    let server;
    let base = '';
    const asked = /** @type {string[]} */ ([]);
    before(async () => {
        server = await listen((request, response) => {
            const url = request.url ?? '';
            asked.push(url);
            const name = /nibble-[a-z0-9]+(-threads)?/.exec(url)?.[0] ?? 'nibble-simd128';
            // streaming compilation refuses this type
            response.setHeader('Content-Type', 'application/wasm; charset=utf-8');
            response.end(readFileSync(`${root}build/wasm/${name}.wasm`));
        });
        base = server.url;
    });
    after(() => server.close());

    /** @type {[name: string, options: () => LoadOptions, build: RegExp, asks?: RegExp][]} */
    const places = [
        [
            'a folder with a query',
            () => ({ wasmUrl: `${base}/wasm?v=3`, build: 'simd128' }),
            /^simd128$/,
            /^\/wasm\/nibble-simd128\.wasm\?v=3$/,
        ],
        ['a file with a query', () => ({ wasmUrl: `${base}/nibble-simd128.wasm?v=4` }), /^simd128$/, /\?v=4$/],
        [
            'a file with a hash in its name',
            () => ({ wasmUrl: `${base}/nibble-simd128-B8x_3.wasm` }),
            /^simd128$/,
            /B8x_3/,
        ],
        [
            'a file with a hash in its name, of a build with threads',
            () => ({ wasmUrl: `${base}/nibble-simd128-threads.1f2e.wasm`, threads: 1 }),
            /^simd128-threads$/,
        ],
        [
            'a file of any name, and its build',
            () => ({ wasmUrl: `${base}/0815.wasm`, build: 'simd128' }),
            /^simd128$/,
            /0815/,
        ],
        [
            'a map',
            () => ({
                wasmUrl: { simd128: `${base}/a?b`, 'simd128-threads': new URL(`${base}/nibble-simd128-threads/c`) },
                threads: 2,
            }),
            /^simd128-threads$/,
        ],
        [
            'a map that names only a build without threads',
            () => ({ wasmUrl: { simd128: `${base}/a?b` }, threads: 2 }),
            /^simd128$/,
            /^\/a\?b$/,
        ],
        [
            'a data: URL',
            () => ({
                wasmUrl: {
                    simd128: asData(),
                },
            }),
            /^simd128$/,
        ],
        [
            'a data: URL and its build',
            () => ({
                build: 'simd128',
                wasmUrl: asData(),
            }),
            /^simd128$/,
        ],
        ['a relative folder', () => ({ wasmUrl: relative('.', `${root}build/wasm`) }), /./],
        [
            'scripts',
            () => ({
                workerUrl: copy('engine-worker.js'),
                poolWorkerUrl: pathToFileURL(copy('pool-worker.js')),
                templateUrl: copy('jinja.js'),
                ...THREADS,
            }),
            /^simd128-threads$/,
        ],
    ];
    /** @param {string} name */
    function copy(name) {
        const to = join(folder, name.replace('.js', '.4711.mjs'));
        copyFileSync(`${root}build/${name}`, to);
        return to;
    }
    for (const [name, options, build, asks] of places)
        test(name, async () => {
            asked.length = 0;
            const model = await settled(load(models.tiny, options()));
            assert.match(model.info.build, build);
            if (asks) assert.match(asked[0], asks);
            assert.equal((await model.chat('Hi', { maxTokens: 2 })).tokens.length, 2);
            await model.dispose();
        });
});

describe('objects of another realm are accepted', () => {
    // like jsdom's: classes of its own, and a Blob that only FileReader reads, without arrayBuffer() and stream()
    const sandbox = vm.createContext({ bytes: new Uint8Array(bytes) });
    const foreign = vm.runInContext(
        `
        class Blob {
            constructor(data, type = '') { this.data = data; this.type = type; }
            get size() { return this.data.length; }
            slice(from, to) { return new Blob(this.data.slice(from, to)); }
        }
        class File extends Blob {
            constructor(data, name) { super(data); this.name = name; }
        }
        ({ bytes: new Uint8Array(bytes), blob: new Blob(bytes), file: new File(bytes, 'tiny.gguf') })`,
        sandbox,
    );
    class Reader {
        result = /** @type {ArrayBuffer | null} */ (null);
        /** @type {() => void} */
        onload = () => {};
        /** @param {{ data: Uint8Array }} blob */
        readAsArrayBuffer({ data }) {
            this.result = data.slice().buffer;
            setImmediate(this.onload);
        }
    }
    class ForeignUrl {
        href = pathToFileURL(models.tiny).href;
        toString() {
            return this.href;
        }
    }
    /** @type {Record<string, any>} */
    const sources = {
        'a Uint8Array': foreign.bytes,
        'a Blob': foreign.blob,
        'a File in a list': [foreign.file],
        'a URL': new ForeignUrl(),
        'frozen lists': Object.freeze([models.tiny]),
    };
    before(() => Object.assign(globalThis, { FileReader: Reader }));
    after(() => Reflect.deleteProperty(globalThis, 'FileReader'));
    for (const [name, source] of Object.entries(sources))
        test(name, async () => {
            const model = await settled(load(source, { threads: 1 }));
            const options = Object.freeze({ maxTokens: 2, stop: Object.freeze(['xyz']) });
            assert.equal(
                (
                    await model.chat(
                        Object.freeze([
                            Object.freeze({
                                role: 'user',
                                content: Object.freeze([Object.freeze({ type: 'text', text: 'Hi' })]),
                            }),
                        ]),
                        options,
                    )
                ).tokens.length,
                2,
            );
            await model.dispose();
        });
});

/** @param {string[]} flags @param {string} script @param {import('node:child_process').SpawnSyncOptions} [options] */
function node(flags, script, options) {
    const begun = Date.now();
    const { status, stdout, stderr, signal } = spawnSync(process.execPath, [...flags, script], {
        encoding: 'utf8',
        timeout: 60_000,
        ...options,
    });
    return { status, signal, out: String(stdout), problems: String(stderr), ms: Date.now() - begun };
}

/**
 * A program that loads the tiny model, and prints its answer or the error.
 * @param {string} source an expression
 * @param {string} [options] an expression
 */
const program = (source, options = '{}') => `
    import { load } from ${JSON.stringify(pathToFileURL(`${root}web/index.js`).href)};
    try {
        const model = await load(${source}, ${options});
        const { text } = await model.complete('Once upon a time', { maxTokens: 3, temperature: 0 });
        console.log('answered', JSON.stringify(text));
    } catch (error) {
        console.log(error.name, error.code, error.message);
    }`;
const tiny = JSON.stringify(models.tiny);

describe('a process', () => {
    test('without WebAssembly gets an error that says so', () => {
        const { out, status } = node(['--jitless'], file('jitless.mjs', program(tiny)));
        assert.match(out, /^NibbleError NB_ERR_ENGINE this engine has no WebAssembly/);
        assert.equal(status, 0);
    });
    test('of --input-type=module -e answers, and ends by itself', () => {
        const { out, status, problems } = node(['--input-type=module', '-e'], program(tiny));
        assert.match(out, /^answered ".+"/, problems);
        assert.equal(status, 0);
    });
    test('ends after a message that could not be sent', () => {
        const { status, signal } = node(
            [],
            file(
                'cloned.mjs',
                `
            import { load } from ${JSON.stringify(pathToFileURL(`${root}web/index.js`).href)};
            const model = await load(${tiny}, { threads: 1 });
            model.chat([{ role: 'user', content: 'Hi', extra: () => {} }]).catch(() => {});`,
            ),
        );
        assert.deepEqual([status, signal], [0, null]);
    });
    test('with a closed standard output loads', () => {
        const script = file('closed.mjs', program(tiny));
        assert.equal(
            spawnSync('sh', ['-c', `exec "$0" "$1" >&-`, process.execPath, script], { timeout: 60_000 }).status,
            0,
        );
    });
    test('reads a pipe, even if the model is read in two passes', () => {
        for (const options of ['{}', '{ quantize: "q8_0" }']) {
            const script = file('pipe.mjs', program('"/dev/stdin"', options)),
                command = 'cat "$2" | "$0" "$1"';
            const { stdout } = spawnSync('sh', ['-c', command, process.execPath, script, models.tiny], {
                encoding: 'utf8',
                timeout: 60_000,
            });
            assert.match(stdout, /^answered/);
        }
    });
    test('with pipes for the parts of a model gets an error, and does not wait for a second writer', () => {
        const part = (/** @type {number} */ i) =>
            `${root}tests/fixtures/safetensors/split/one-kv-head-0000${i}-of-00003.gguf`;
        const pipes = [1, 2, 3].map((i) => join(folder, `p-0000${i}-of-00003.gguf`));
        execFileSync('mkfifo', pipes);
        const script = file('pipes.mjs', program(JSON.stringify(pipes)));
        const writers = pipes.map((pipe, i) => `cat '${part(i + 1)}' > '${pipe}' & `).join('');
        const { stdout } = spawnSync('sh', ['-c', `${writers} "$0" "$1"`, process.execPath, script], {
            encoding: 'utf8',
            timeout: 60_000,
        });
        assert.match(stdout, /^NibbleError NB_ERR_FILE .*can be read only once/);
    });
    test('with too little address space gets an error that says so, with and without shared memory', () => {
        for (const options of ['{ threads: 1 }', '{ build: "simd128-threads", threads: 2 }']) {
            const script = file('memory.mjs', program(tiny, options));
            const { stdout } = spawnSync('sh', ['-c', 'ulimit -v 3000000; exec "$0" "$1"', process.execPath, script], {
                encoding: 'utf8',
                timeout: 60_000,
            });
            assert.match(stdout, /^(answered|NibbleError NB_ERR_MEMORY)/); // Node 24 manages with less
        }
    });
    test("with shims of a page's bundle is not taken for Node", async () => {
        // what platform.js decides in environments with some `process`
        const source = readFileSync(`${root}web/platform.js`, 'utf8').replace(/^export /gm, '');
        const decide = (/** @type {string} */ process) =>
            vm.runInNewContext(`${source.replace(/\bimport\([^)]*\)/, '0')}; isNode`, {
                process: vm.runInNewContext(`(${process})`),
            });
        for (const [process, expected] of /** @type {[string, boolean][]} */ ([
            ['{ versions: { node: "22.0.0" } }', false],
            ['{ versions: {}, [Symbol.toStringTag]: "process" }', false],
            ['undefined', false],
            ['null', false],
            [
                '{ versions: { node: "22.0.0", electron: "40" }, type: "renderer", [Symbol.toStringTag]: "process" }',
                false,
            ],
            [
                '{ versions: { node: "22.0.0", electron: "40" }, type: "worker", [Symbol.toStringTag]: "process" }',
                false,
            ],
            ['{ versions: { node: "22.0.0", nw: "0.90" }, [Symbol.toStringTag]: "process" }', false],
            [
                '{ versions: { node: "22.0.0", electron: "40" }, type: "browser", [Symbol.toStringTag]: "process" }',
                true,
            ],
            ['{ versions: { node: "22.0.0" }, [Symbol.toStringTag]: "process" }', true],
        ]))
            assert.equal(decide(process), expected, process);
    });
});
