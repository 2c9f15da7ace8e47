// load()'s option `debug` and NIBBLE_DEBUG=1: which lines are logged, and where they go.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { load } from '../../web/index.js';
import { models, node24, root } from '../support/builds.js';
import { listen } from '../support/loopback.js';
import { nibbleError } from '../support/nibble-error.js';

/** @typedef {import('../../web/index.js').LoadOptions} LoadOptions */
/** @typedef {import('../../web/index.js').Source} Source */

const tiny = readFileSync(models.tiny);
const folder = `${root}tests/fixtures/safetensors/llama-f32`;
const temporary = mkdtempSync(join(tmpdir(), 'nibble-debug-'));
after(() => rmSync(temporary, { recursive: true }));

/** A file in pieces. @param {Uint8Array} bytes */
const streamOf = (bytes) =>
    new ReadableStream({
        start(controller) {
            for (let at = 0; at < bytes.length; at += 7777)
                controller.enqueue(new Uint8Array(bytes.subarray(at, at + 7777)));
            controller.close();
        },
    });

/**
 * Loads a model, calls act() with it, disposes of it, and returns all lines that were logged.
 * @param {Source} source
 * @param {LoadOptions} options
 * @param {(model: import('../../web/index.js').Model) => unknown} [act]
 */
async function linesOf(source, options = {}, act = () => {}) {
    /** @type {string[]} */
    const lines = [];
    const model = await load(source, { threads: 1, ...options, debug: (line) => void lines.push(line) });
    await act(model);
    await model.dispose();
    assert.ok(
        lines.every((line) => !/[\0-\x1f\x7f-\x9f]/.test(line)),
        'lines of plain text',
    );
    return lines;
}

/** The only line that matches. @param {string[]} lines @param {RegExp} pattern @returns {string[]} the match */
function found(lines, pattern) {
    const matches = lines.map((line) => pattern.exec(line)).filter((match) => match !== null);
    assert.equal(matches.length, 1, `${pattern} in\n${lines.join('\n')}`);
    return matches[0];
}

describe('debug logs each stage of a load', () => {
    test('of a path', async () => {
        const lines = await linesOf(models.tiny);
        found(lines, /^worker: file:.*engine-worker\.js$/);
        found(lines, /^\[[\d.]+ ms\] source: .*tiny\.gguf$/);
        found(lines, /source: open after [\d.]+ ms, 698,240 bytes$/);
        found(lines, /file: 698,240 bytes in [\d.]+ ms, [\d.]+ MB\/s$/);
        found(lines, /session: context 512, cache i16, precision exact, [\d,]+ bytes, [\d.]+ ms$/);
        found(lines, /load: llama, 56 tensors \(Q8_0 18, Q4_1 24, F16 1, F32 13\), [\d,]+ bytes of memory, [\d.]+ ms$/);
    });

    test('of a stream: its tensors, too', async () => {
        let names = /** @type {string[]} */ ([]);
        const lines = await linesOf(streamOf(tiny), {}, (model) => {
            names = model.info.tensors.map(({ name }) => name);
        });
        found(lines, /source: a stream of an unknown number of bytes/);
        const [, header] = found(lines, /header: all of it is in the first ([\d,]+) bytes, after [\d.]+ ms/);
        assert.ok(Number(header.replaceAll(',', '')) < 40_000);
        const [tensor] = lines
            .map((line) => /weights: [\d,]+ bytes of 698,240 bytes, tensor (.*)$/.exec(line)?.[1])
            .filter(Boolean);
        assert.ok(names.includes(String(tensor)), tensor);
    });

    test('of a folder: its files', async () => {
        const lines = await linesOf(folder);
        found(lines, /converter: it runs after/);
        for (const name of readdirSync(folder).filter((each) => each.endsWith('.json')))
            found(
                lines,
                RegExp(
                    `${name.replace('.', '\\.')}: all ${statSync(join(folder, name)).size.toLocaleString('en')} bytes, `,
                ),
            );
        found(lines, /model\.safetensors: header in the first [\d,]+ bytes, [\d.]+ ms/);
        found(lines, /model\.safetensors: weights, [\d,]+ bytes from byte \d+ on, [\d.]+ ms/);
    });

    test('of a server: what it answers', async () => {
        const server = await listen((request, response) => {
            const name = request.url?.slice(1) ?? '';
            const file =
                name === 'm.gguf' ? models.tiny : readdirSync(folder).includes(name) ? join(folder, name) : undefined;
            response.writeHead(file ? 200 : 404, { 'Content-Type': 'text/x-odd' }).end(file && readFileSync(file));
        });
        try {
            found(
                await linesOf(`${server.url}/m.gguf`),
                /source: open after [\d.]+ ms, an unknown number of bytes, status 200, text\/x-odd$/,
            );
            const lines = await linesOf(`${server.url}/`);
            found(lines, /tokenizer\.model: it is not there$|chat_template\.jinja: it is not there$/);
            found(lines, /\] config\.json: all [\d,]+ bytes, [\d.]+ ms; status 200, text\/x-odd$/);
        } finally {
            server.close();
        }
    });

    test('that fails: where, and the stacks', async () => {
        /** @type {string[]} */
        const lines = [];
        await assert.rejects(
            load(streamOf(tiny.subarray(0, 500_000)), { debug: (line) => void lines.push(line) }),
            nibbleError('NB_ERR_TRUNCATED', /./),
        );
        found(lines, /file: it failed after 500,000 bytes, at tensor blk\.\d\.\w+\.weight$/);
        found(lines, /^load\(\) failed: NB_ERR_TRUNCATED NibbleError: the file ends after 500000 bytes of 698240/);
        assert.ok(lines.some((line) => /^ +at .*engine-worker\.js/.test(line)));
        lines.length = 0;
        await assert.rejects(
            load(models.tiny, {
                wasmUrl: { simd128: join(temporary, 'no.wasm') },
                debug: (line) => void lines.push(line),
            }),
        );
        found(lines, /^load\(\) failed: NB_ERR_ENGINE NibbleError/);
        found(lines, /^caused by: ENOENT Error: ENOENT/);
        lines.length = 0;
        await assert.rejects(load(tiny.subarray(0, 1000), { debug: (line) => void lines.push(line) }));
        found(lines, /file: it failed after 1,000 bytes, before its weights$/);
        lines.length = 0;
        await assert.rejects(
            load(models.tiny, { contextLength: 1 << 24, debug: (line) => void lines.push(line) }),
            /does not fit/,
        );
        found(lines, /file: it failed after [\d,]+ bytes, before its weights$/);
    });
});

describe('debug logs why a build was chosen', () => {
    const wasm = (/** @type {string[]} */ ...names) =>
        Object.fromEntries(names.map((name) => [name, pathToFileURL(`${root}build/wasm/nibble-${name}.wasm`)]));
    /** @type {[options: LoadOptions, says: RegExp[]][]} */
    const cases = [
        [
            { threads: 1 },
            [
                /build: simd128, threads 1, /,
                /not simd128-threads: one thread is wanted/,
                /not relaxed: it needs relaxed SIMD, which this engine lacks/,
                /not relaxed-threads: it needs relaxed SIMD/,
                /not relaxed-dot: it needs relaxed SIMD/,
            ],
        ],
        [
            { build: 'simd128-threads', threads: 2 },
            [/build: simd128-threads, which was asked for, threads 2, /, /threads: 2 run after/],
        ],
        [{ wasmUrl: wasm('simd128') }, [/build: simd128, the only one that wasmUrl names, threads 1, /]],
        [
            { wasmUrl: wasm('simd128', 'simd128-threads') },
            [/build: simd128, threads 1/, /not relaxed: wasmUrl does not name it/],
        ],
    ];
    // Node 20 has no relaxed SIMD. Newer versions skip the lines that depend on it: the next test checks those of Node
    // 24, in a process of its own.
    const old = Number(process.versions.node.split('.')[0]) < 22;
    for (const [options, says] of cases)
        test(says[0].source, async () => {
            const lines = await linesOf(models.tiny, { threads: 1, ...options });
            for (const line of says.filter(
                ({ source }) => old || (!/relaxed SIMD/.test(source) && !/simd128, threads/.test(source)),
            ))
                found(lines, line);
        });

    test('where the engine has relaxed SIMD', () => {
        const run = (/** @type {string} */ options) =>
            execFileSync(
                node24,
                [
                    '--input-type=module',
                    '-e',
                    `
            import { load } from ${JSON.stringify(pathToFileURL(`${root}web/index.js`).href)};
            await (await load(${JSON.stringify(models.tiny)}, { headerOnly: true, debug: line => console.log(line), ${options} })).dispose();`,
                ],
                { encoding: 'utf8' },
            ).split('\n');
        const lines = run('');
        // the CPU decides whether relaxed-dot or relaxed is faster
        const dot = lines.some((line) => /build: relaxed-dot, threads 1, /.test(line));
        found(lines, dot ? /build: not relaxed: it is slower/ : /build: relaxed, threads 1, /);
        if (!dot) found(lines, /build: not relaxed-dot: this CPU has no fast dot products of bytes/);
        found(lines, /build: not simd128: it is slower/);
        found(lines, /build: not simd128-threads: one thread is wanted/);
    });
});

test("debug logs each request's timings, and its failure", async () => {
    /** @type {any} */
    let result;
    let tokens = 0;
    const lines = await linesOf(models.tiny, {}, async (model) => {
        await model.complete('Once upon a time', { maxTokens: 4 });
        result = await model.complete('Once upon a time', { maxTokens: 30 });
        tokens = (await model.tokenize('one two three')).length;
        await model.detokenize([5, 6]);
        await model.applyTemplate('Hi');
        await model.embed('Hi');
        for await (const _ of model.logits([5, 6, 7]));
        await assert.rejects(model.tokenize('a', { signal: AbortSignal.abort() }));
        await assert.rejects(Promise.resolve(model.complete(Array(600).fill(5))));
    });
    const {
        timings: { promptTokensPerSecond, generateTokensPerSecond },
    } = result;
    const prompts = lines.filter((line) => /\] prompt: /.test(line));
    assert.equal(prompts.length, 2, 'one for each answer');
    const n = result.promptTokens;
    assert.match(
        prompts[0],
        RegExp(`prompt: ${n} tokens, 0 of them cached, [\\d.]+ ms, [\\d.]+ tokens/s; answer: 4 tokens, [\\d.]+ ms, `),
    );
    assert.ok(prompts[1].includes(`prompt: ${n} tokens, ${n - 1} of them cached, `), prompts[1]);
    assert.ok(
        prompts[1].includes(`, ${promptTokensPerSecond} tokens/s; answer: ${result.tokens.length} tokens, `),
        prompts[1],
    );
    assert.ok(prompts[1].endsWith(`, ${generateTokensPerSecond} tokens/s`), prompts[1]);
    found(lines, RegExp(`complete: ${n} tokens of prompt, 30 generated, length, [\\d.]+ ms$`));
    found(lines, RegExp(`tokenize: 13 characters, ${tokens} tokens, [\\d.]+ ms$`));
    found(lines, /detokenize: 2 tokens, \d+ characters, [\d.]+ ms$/);
    found(lines, /template: 1 messages, \d+ characters, \d+ tokens, [\d.]+ ms$/);
    found(lines, /embed: a vector of \d+, [\d.]+ ms$/);
    found(lines, /logits: 3 tokens, [\d.]+ ms$/);
    found(lines, /generate failed after [\d.]+ ms: NB_ERR_CONTEXT NibbleError: the prompt has 600 tokens/);
    found(lines, /dispose, [\d.]+ ms$/);
});

describe('where the lines go', () => {
    const evil = join(temporary, 'a\x1b[31m\nb.gguf');
    symlinkSync(models.tiny, evil);
    /** @param {string} value of NIBBLE_DEBUG @param {string} path */
    const command = (value, path) =>
        spawnSync(process.execPath, [`${root}web/cli.js`, 'tokenize', path, '--text', 'a'], {
            encoding: 'utf8',
            env: { ...process.env, NIBBLE_DEBUG: value },
        });

    test('the command prints them on standard error, without control characters', () => {
        for (const value of ['', '0', 'false'])
            assert.equal(command(value, models.tiny).stderr, '', `NIBBLE_DEBUG=${value}`);
        const plain = command('', models.tiny),
            { stdout, stderr, status } = command('1', evil);
        assert.deepEqual([status, stdout], [0, plain.stdout]);
        assert.match(stderr, /^nibble: worker: /);
        assert.match(stderr, /source: .*a\?\[31m\?b\.gguf\n/);
        assert.ok(
            stderr
                .split('\n')
                .slice(0, -1)
                .every((line) => line.startsWith('nibble: ')),
        );
        assert.doesNotMatch(stderr, /\x1b/);
        assert.match(
            spawnSync(process.execPath, [`${root}web/cli.js`, '--help'], { encoding: 'utf8' }).stdout,
            /NIBBLE_DEBUG=1/,
        );
    });

    test('true and the environment print on standard error; false prints nothing', () => {
        const said = (/** @type {string} */ options, NIBBLE_DEBUG = '') =>
            spawnSync(
                process.execPath,
                [
                    '--input-type=module',
                    '-e',
                    `
            import { load } from ${JSON.stringify(pathToFileURL(`${root}web/index.js`).href)};
            await (await load(${JSON.stringify(models.tiny)}, { headerOnly: true, ${options} })).dispose();`,
                ],
                { encoding: 'utf8', env: { ...process.env, NIBBLE_DEBUG } },
            );
        for (const { stdout, stderr } of [said('debug: true'), said('', '1')]) {
            assert.equal(stdout, '');
            assert.match(stderr, /^nibble: worker: .*\n(nibble: .*\n)+$/);
        }
        for (const { stdout, stderr } of [said(''), said('debug: false', '1')]) assert.equal(stdout + stderr, '');
    });

    test('a function that throws changes nothing', async () => {
        const model = await load(models.tiny, {
            headerOnly: true,
            debug() {
                throw new Error('mine');
            },
        });
        assert.ok((await model.tokenize('a')).length > 0);
        await model.dispose();
    });

    test('other values are refused', () =>
        assert.rejects(
            load(models.tiny, { debug: /** @type {any} */ ('yes') }),
            nibbleError('NB_ERR_ARGUMENT', /debug must be true, false, or a function/),
        ));
});
