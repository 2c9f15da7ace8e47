// The npm package as a stranger gets it: packed, installed in an empty folder, imported, run, type-checked.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { builds, models, root } from './builds.js';

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
    const [{ filename, files }] = JSON.parse(run('npm', ['pack', '--json', '--ignore-scripts', '--pack-destination', folder], root));
    packed = files.map((/** @type {{ path: string }} */ file) => file.path);
    mkdirSync(home);
    writeFileSync(join(home, 'package.json'), '{ "private": true, "type": "module" }');
    run('npm', ['install', '--offline', '--no-audit', '--no-fund', join(folder, filename)]);
});
after(() => rmSync(folder, { recursive: true }));

test('package: holds what it needs and nothing else', () => {
    for (const file of ['LICENSE', 'README.md', 'build/engine-worker.js', 'build/pool-worker.js', 'build/jinja.js', ...builds.map(build => `build/wasm/nibble-${build.name}.wasm`)])
        assert.ok(packed.includes(file), `${file} is missing`);
    for (const file of packed)
        assert.match(file, /^(LICENSE|README\.md|package\.json|build\/(engine-worker|pool-worker|jinja)\.js|build\/wasm\/nibble-[a-z0-9-]+\.wasm|web\/[a-z-]+\.(js|d\.ts))$/);
    assert.deepEqual(readdirSync(join(home, 'node_modules')).filter(name => !name.startsWith('.')), ['nibble-llm'], 'it brings nothing along');
});

test('package: a page needs no bundler and no import map', () => {
    for (const file of packed.filter(name => name.endsWith('.js') && !/^web\/cli(-|\.)/.test(name)))
        for (const [, from] of readFileSync(join(root, file), 'utf8').matchAll(/^\s*(?:import|export)\s[^;]*?from '([^']+)'/gm))
            assert.match(from, /^\.\.?\//, `${file} imports ${from}`);
});

test('package: import { load } from nibble-llm answers', () => {
    writeFileSync(join(home, 'answer.js'), `
        import { load } from 'nibble-llm';
        const model = await load(${JSON.stringify(models.tiny)});
        const result = await model.complete('Once upon a time', { maxTokens: 8, temperature: 0 });
        await model.dispose();
        console.log(JSON.stringify(result));`);
    const { text, tokens } = JSON.parse(run(process.execPath, ['answer.js']));
    assert.ok(text.length > 0);
    assert.equal(tokens.length, 8);
});

test('package: the command is there', () => {
    const output = run(join(home, 'node_modules/.bin/nibble'), ['run', models.tiny, '--prompt', 'Once upon a time', '--max-tokens', '4', '--json']);
    assert.equal(JSON.parse(output).tokens.length, 4);
});

test('package: its types hold in a strict project, for each way of resolving modules', () => {
    writeFileSync(join(home, 'answer.ts'), `
        import { load } from 'nibble-llm';
        const model = await load('model.gguf', { threads: 1, contextLength: 512, onProgress: () => {} });
        let all = '';
        for await (const piece of model.chat([{ role: 'user', content: 'Hello' }], { maxTokens: 8 })) all += piece;
        const { text, tokens, finishReason } = await model.complete('Hello', { temperature: 0 });
        const first: number | undefined = tokens[0];
        // @ts-expect-error: the option's name is misspelt
        await model.complete('Hello', { maxToken: 1 });
        await model.dispose();
        console.log(all, text, first, finishReason);`);
    for (const resolution of [['--module', 'nodenext'], ['--module', 'esnext', '--moduleResolution', 'bundler']])
        run(process.execPath, [join(root, 'node_modules/typescript/bin/tsc'), '--noEmit', '--strict', '--skipLibCheck', 'false',
            '--target', 'es2022', '--lib', 'es2023,dom', '--types', '', ...resolution, 'answer.ts']);
});
