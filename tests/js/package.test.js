// The npm package as a user gets it: packed, installed in an empty folder, imported, run, type-checked.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { Script } from 'node:vm';
import { builds, models, root } from '../support/builds.js';
import { linksOf } from '../support/links.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-package-'));
const home = join(folder, 'project');

/** @param {string} program @param {string[]} args @param {string} [cwd] */
function run(program, args, cwd = home) {
    const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: 'utf8' });
    assert.ifError(error);
    assert.equal(status, 0, `${program} ${args.join(' ')} exited with ${status}:\n${stdout}${stderr}`);
    return stdout;
}

/** @type {string[]} */
let packed;

before(() => {
    const [{ filename, files }] = JSON.parse(
        run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], root),
    );
    packed = files.map((/** @type {{ path: string }} */ file) => file.path);
    mkdirSync(home);
    writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }');
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(folder, filename)]);
});
after(() => rmSync(folder, { recursive: true }));

test('package: holds what it needs and nothing else', () => {
    for (const file of [
        'LICENSE',
        'README.md',
        'build/engine-worker.js',
        'build/pool-worker.js',
        'build/jinja.js',
        'build/report.js',
        'build/report.css',
        ...builds.map((build) => `build/wasm/nibble-${build.name}.wasm`),
    ])
        assert.ok(packed.includes(file), `${file} is missing`);
    const wanted = [
        /^(LICENSE|package\.json|(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md)$/,
        /^build\/((engine-worker|pool-worker|jinja|report)\.js|report\.css)$/,
        /^build\/wasm\/nibble-[a-z0-9-]+\.wasm$/,
        /^web\/((ai-sdk|api|cli|grammar|jinja|openai|prompt-api|react|report|server|sources|wllama|worker|worker\/answers|worker\/formats)\/)?[a-z-]+\.(js|d\.ts)$/,
        /^web\/report\/report\.css$/,
        /^docs\/([a-z0-9-]+\.(md|svg|webp)|bench\.json)$/,
        /^examples\/\w+\.(md|html|js|jsx)$/,
    ];
    const others = packed.filter((file) => !wanted.some((pattern) => pattern.test(file)));
    assert.deepEqual(others, [], 'no other file is packed');
    assert.deepEqual(
        readdirSync(join(home, 'node_modules')).filter((name) => !name.startsWith('.')),
        ['nibble-llm'],
        'it brings nothing along',
    );
});

test('package: links in its documents lead to files that it has', () => {
    let seen = 0;
    for (const page of packed.filter((name) => name.endsWith('.md')))
        for (const target of linksOf(readFileSync(join(root, page), 'utf8'))) {
            const file = target.startsWith('#') ? page : join(dirname(page), target.split('#')[0]);
            assert.ok(packed.includes(file), `${page} links to ${target}, which is not in the package`);
            seen++;
        }
    assert.ok(seen > 30, 'the links were not found');
});

test('package: a page needs no bundler and no import map', () => {
    for (const file of packed.filter(
        (name) => name.endsWith('.js') && !/^(web\/(cli[/.]|server\/)|examples\/)/.test(name),
    ))
        for (const [, from] of readFileSync(join(root, file), 'utf8').matchAll(
            /^\s*(?:import|export)\s[^;]*?from '([^']+)'/gm,
        ))
            assert.match(
                from,
                file.startsWith('web/react/') ? /^(react$|\.\.\/)/ : /^\.\.?\//,
                `${file} imports ${from}`,
            );
});

test('package: what bundlers copy runs as a module, as a classic script and as CommonJS', () => {
    for (const file of packed.filter((name) => /^build\/.*\.js$/.test(name))) {
        const text = readFileSync(join(root, file), 'utf8');
        assert.doesNotThrow(() => new Script(text), file); // no import, no export, no import.meta
        assert.ok(text.length > 4096, `${file} is so short that Vite writes it as a data: URL`);
    }
});

test('package: import { load } from nibble-llm answers', () => {
    writeFileSync(
        join(home, 'answer.js'),
        `
        import { load } from 'nibble-llm';
        const model = await load(${JSON.stringify(models.tiny)});
        const result = await model.complete('Once upon a time', { maxTokens: 8, temperature: 0 });
        await model.dispose();
        console.log(JSON.stringify(result));`,
    );
    const { text, tokens } = JSON.parse(run(process.execPath, ['answer.js']));
    assert.ok(text.length > 0);
    assert.equal(tokens.length, 8);
});

test("package: its fetch for OpenAI's client answers", () => {
    writeFileSync(
        join(home, 'fetch.js'),
        `
        import { load } from 'nibble-llm';
        import { openaiFetch } from 'nibble-llm/openai';
        const model = await load(${JSON.stringify(models.tiny)});
        const request = { model: 'any', messages: [{ role: 'user', content: 'Who are you?' }], max_tokens: 8 };
        const response = await openaiFetch(model)('http://localhost/v1/chat/completions', {
            method: 'POST',
            body: JSON.stringify(request),
        });
        await model.dispose();
        console.log(await response.text());`,
    );
    const { object, usage } = JSON.parse(run(process.execPath, ['fetch.js']));
    assert.deepEqual([object, usage.completion_tokens], ['chat.completion', 8]);
});

test('package: its provider for the AI SDK answers, and needs no package', () => {
    writeFileSync(
        join(home, 'provider.js'),
        `
        import { load } from 'nibble-llm';
        import { createNibble } from 'nibble-llm/ai-sdk';
        const model = await load(${JSON.stringify(models.tiny)});
        const prompt = [{ role: 'user', content: [{ type: 'text', text: 'Who are you?' }] }];
        const { usage, warnings } = await createNibble(model)().doGenerate({ prompt, maxOutputTokens: 8 });
        await model.dispose();
        console.log(JSON.stringify([usage.outputTokens.total, warnings]));`,
    );
    assert.deepEqual(JSON.parse(run(process.execPath, ['provider.js'])), [8, []]);
});

test('package: the command is there', () => {
    const output = run(join(home, 'node_modules/.bin/nibble'), [
        'run',
        models.tiny,
        '--prompt',
        'Once upon a time',
        '--max-tokens',
        '4',
        '--json',
    ]);
    assert.equal(JSON.parse(output).tokens.length, 4);
});

/** What a strict project does with the types: with interfaces and read-only lists of its own, and without them. */
const TYPED = `
    import { load, NibbleError, quantize } from 'nibble-llm';
    import type { ChatCompletion, Model, Source, LoadOptions } from 'nibble-llm';
    import { openaiFetch } from 'nibble-llm/openai';
    import { languageModel } from 'nibble-llm/prompt-api';
    import { useNibble } from 'nibble-llm/react';
    import { Wllama } from 'nibble-llm/wllama';
    interface Turn { role: 'user' | 'assistant'; content: string; at?: number }
    interface Part { readonly type: 'text'; readonly text: string }
    interface Parts { readonly role: string; readonly content: readonly Part[] }
    const turns: readonly Turn[] = [{ role: 'user', content: 'Hello', at: 1 }];
    const parts: ReadonlyArray<Readonly<Parts>> = [{ role: 'user', content: [{ type: 'text', text: 'Hello' }] }];
    const files = ['a.safetensors', 'config.json'] as const, stops = ['x', 'y'] as const;
    const tokens: readonly number[] = [1, 2];
    async function use(model: Model): Promise<string> {
        let all = '';
        const streamed = model.chat(turns, { maxTokens: 8, stop: stops, logitBias: { 5: -1 } as const });
        for await (const piece of streamed) all += piece;
        await model.chat(parts);
        await model.chat([{ role: 'tool', content: 'Hello', tool_call_id: '1', anything: [1] }] as const);
        await model.chat('Hello');
        await model.complete(tokens);
        await model.detokenize(tokens);
        const vector: Float32Array = await model.embed(tokens);
        const { text, tokens: made, finishReason } = await model.complete('Hello', { temperature: 0 });
        const first: number | undefined = made[0];
        const answer: ChatCompletion = await model.chat.completions.create({ messages: turns, temperature: 0 });
        for await (const { choices } of await model.chat.completions.create({ messages: parts, stream: true }))
            all += choices[0]?.delta.content ?? answer.choices[0]?.message.content;
        const { data } = await model.embeddings.create({ input: stops });
        all += data[0]?.embedding[0];
        await openaiFetch({ model })('http://localhost/v1/models');
        // @ts-expect-error: the option's name is misspelt
        await model.complete('Hello', { maxToken: 1 });
        // @ts-expect-error: a message without a role
        await model.chat([{ content: 'Hello' }]);
        return [all, text, first, finishReason, vector.length].join();
    }
    export async function converse(model: Model): Promise<number> {
        const LanguageModel = languageModel(model, { chat: { maxTokens: 8 } });
        const session = await LanguageModel.create({ initialPrompts: turns, samplingMode: 'creative',
            monitor: (monitor) => monitor.addEventListener('downloadprogress', ({ loaded }) => void loaded) });
        session.oncontextoverflow = ({ type }) => void type;
        const text: string = await session.prompt([{ role: 'assistant', content: 'So', prefix: true }]);
        await session.append([{ role: 'user', content: [{ type: 'text', value: text }] }]);
        // @ts-expect-error: there is no such mode
        await LanguageModel.create({ samplingMode: 'wild' });
        // @ts-expect-error: there is no such role
        await session.append([{ role: 'judge', content: '' }]);
        return session instanceof LanguageModel ? session.contextUsage : 0;
    }
    export function Component(): string {
        const { status, progress, text, error, chat } = useNibble(files, { threads: 1 });
        if (status === 'ready') chat(turns, { maxTokens: 8 }).then((result) => result?.tokens[0]);
        // @ts-expect-error: there is no such status
        if (status === 'done') useNibble(null);
        return [text, error?.code, progress?.loaded].join();
    }
    export async function asWllama(): Promise<string> {
        const wllama = new Wllama({ default: 'a.wasm' }, { nibble: { threads: 1 } });
        await wllama.loadModelFromUrl('a.gguf', { n_ctx: 8, progressCallback: ({ loaded }) => void loaded });
        // @ts-expect-error: a stream is no answer
        (await wllama.createCompletion({ prompt: 'a', stream: true })).choices;
        return (await wllama.createCompletion({ prompt: 'a' })).choices[0]?.text ?? '';
    }
    const options: Readonly<LoadOptions> = { threads: 1, onProgress: ({ loaded }) => void loaded,
        wasmUrl: { relaxed: 'a.wasm', convert: 'b.wasm' },
        workerUrl: 'w.js', poolWorkerUrl: 'p.js', templateUrl: 't.js' };
    const sources: readonly Source[] = ['model.gguf', files, new Uint8Array(8)];
    export const first = quantize(files, { type: 'q4_k_m', tensors: [['ffn_down', 'q6_k']] as const,
        onPlan: (plan) => void plan[0]?.wanted }).getReader().read();
    // @ts-expect-error: no such preset
    quantize('model.gguf', { type: 'q4' });
    // @ts-expect-error: no such build
    load('model.gguf', { wasmUrl: { simd: 'a.wasm' } });
    export const answers = Promise.all(sources.map(async (source) => use(await load(source, options))));
    answers.catch((error: unknown) => error instanceof NibbleError && error.code === 'NB_ERR_FILE' && error.cause);`;

/** And with what pages have. */
const IN_A_PAGE = `${TYPED}
    const controller = new AbortController();
    const { signal } = controller;
    load(new URL('https://example.org/model.gguf'), { signal, wasmUrl: new URL('https://example.org/') });
    load(new Blob([]));
    load([new File([], 'a.gguf'), 'b.gguf', new URL('https://example.org/c.gguf')]);
    load(new Blob([]).stream());
    load(new Response('').body!);
    const quantized: ReadableStream<Uint8Array<ArrayBuffer>> = quantize(new Blob([]), { type: 'nf4', signal });
    new Response(quantized);
    const talk = languageModel('a').create({ signal }).then((session) => session.promptStreaming('Hello', { signal }));
    talk.then((stream: ReadableStream<string>) => stream.pipeTo(new WritableStream()));
    // @ts-expect-error: the controller is no signal
    load('a', { signal: controller });`;

test('package: its types hold in a strict project, for each way of resolving modules and each library of types', () => {
    writeFileSync(join(home, 'typed.ts'), TYPED);
    writeFileSync(join(home, 'page.ts'), IN_A_PAGE);
    const tsc = join(root, 'node_modules/typescript/bin/tsc'),
        tsc5 = join(root, 'tests/bundlers/node_modules/typescript5/bin/tsc');
    const nodenext = ['--module', 'nodenext'],
        node16 = ['--module', 'node16', '--moduleResolution', 'node16'];
    const bundler = ['--module', 'esnext', '--moduleResolution', 'bundler'],
        old = ['--module', 'esnext', '--moduleResolution', 'node'];
    const tries = [
        [tsc, nodenext, 'typed.ts', 'es2021'],
        [tsc, node16, 'page.ts', 'es2021,dom'],
        [tsc, bundler, 'page.ts', 'es2023,dom'],
        [tsc5, old, 'typed.ts', 'es2021'],
        [tsc5, old, 'page.ts', 'es2021,dom'],
        [tsc5, nodenext, 'page.ts', 'es2023,dom'],
    ];
    // TypeScript 5 comes with the bundlers. Version 7 no longer has the old module resolution.
    for (const [compiler, way, file, lib] of /** @type {[string, string[], string, string][]} */ (tries))
        if (compiler === tsc || existsSync(compiler))
            run(process.execPath, [
                compiler,
                '--noEmit',
                '--strict',
                '--skipLibCheck',
                'false',
                '--exactOptionalPropertyTypes',
                '--noUncheckedIndexedAccess',
                '--target',
                'es2021',
                '--lib',
                lib,
                ...way,
                file,
            ]);
});
