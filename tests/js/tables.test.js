// How the tables of docs/support.md and docs/speed.md are made. (At its end, make test checks whether those of
// docs/support.md are up to date.) Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { allTables, chartOf, figuresOf } from '../bench/chart.js';
import { root } from '../support/builds.js';
import { architectures, insert, types } from '../support/tables.js';

const BOTH = ['simd128', 'relaxed'];

/** @param {string} model @param {string} form @param {string} build @returns {import('../support/tested.js').Tested} */
const row = (model, form, build) => ({ model, form, architecture: 'llama', build, types: ['Q4_0'] });

test('a model counts if every build ran it, and an unknown method gets a column of its own', () => {
    const tested = [
        ...BOTH.flatMap((build) => [row('a', 'GGUF', build), row('b', 'GGUF', build), row('c', 'hqq', build)]),
        row('d', 'gptq', 'simd128'),
    ];
    const [head, , llama, bert] = architectures(['llama', 'bert'], tested, BOTH).split('\n');
    assert.equal(head, '| architecture | GGUF | safetensors | GPTQ | AWQ | bitsandbytes | compressed-tensors | hqq |');
    assert.equal(llama, '| `llama` | 2 models | untested | untested | untested | untested | untested | 1 model |');
    assert.match(bert, /^\| `bert` \|( untested \|){7}$/);
});

test('each type has its kernel in each build, and types with the same kernels share a row', () => {
    const kernels = (/** @type {string} */ isa, /** @type {string} */ fast) => ({
        families: [],
        kernels: new Map([
            ['F32', { exact: `nb_matmul_any_f32__${isa}`, fast: `nb_matmul_any_f32__${isa}` }],
            ['Q4_0', { exact: 'nb_matmul_q4_0_q16__simd128', fast: fast.replace('TYPE', 'q4_0') }],
            ['IQ4_NL', { exact: 'nb_matmul_iq4_nl_q16__simd128', fast: fast.replace('TYPE', 'iq4_nl') }],
        ]),
    });
    const plain = kernels('simd128', 'nb_matmul_TYPE_q16__simd128');
    const lists = new Map([
        ['simd128', plain],
        ['simd128-threads', plain],
        ['relaxed', kernels('relaxed', 'nb_matmul_TYPE_q8__relaxed')],
    ]);
    const all = [...lists.keys()].map((build) => ({ ...row('a', 'GGUF', build), types: ['Q4_0', 'IQ4_NL'] }));
    assert.equal(
        types(lists, all),
        [
            '| tensor type | simd128, simd128-threads | relaxed |',
            '| --- | --- | --- |',
            '| F32 | F32, simd128 (untested) | F32, relaxed (untested) |',
            '| Q4_0, IQ4_NL | 16 bits, simd128 | 16 bits, simd128; fast: 8 bits, relaxed |',
        ].join('\n'),
    );
    assert.match(types(lists, all.slice(0, 2)), /^\| Q4_0, IQ4_NL \| 16 bits, simd128 \| .*relaxed \(untested\) \|$/m);
});

test('tables go between the comments that mark their places', () => {
    const page = 'a\n<!-- make tables: x -->\nold\n<!-- end -->\nb\n';
    assert.equal(insert(page, { x: 'new' }), page.replace('old', 'new'));
    assert.throws(() => insert(page, { y: 'new' }), /make tables: y/);
});

test("docs/speed.md has the tables and the chart of docs/bench.json's and bench-amx.json's figures", () => {
    const read = (/** @type {string} */ name) => readFileSync(`${root}docs/${name}`, 'utf8');
    const report = JSON.parse(read('bench.json')),
        withAmx = JSON.parse(read('bench-amx.json')),
        page = read('speed.md');
    assert.equal(insert(page, allTables(report, withAmx), 'chart.js'), page, 'run node tests/bench/chart.js');
    assert.equal(chartOf(report), read('speed.svg'), 'run node tests/bench/chart.js');
    // the text around the tables must agree with the runs
    for (const { cpu, cores, date, repetitions } of [report, withAmx])
        for (const fact of [cpu, `${cores} cores`, date, `medians of ${repetitions}`])
            assert.ok(page.replace(/\s+/g, ' ').includes(fact), `docs/speed.md does not say ${fact}`);
});

test('figures of a run of the bench: rates are rounded to one decimal, and ratios are of the unrounded rates', () => {
    const row = { engine: 'x', threads: 1, prompt: 100.26, generate: 30.04, firstMs: 1 };
    const rows = ['exact', 'native', 'wllama'].map((id, i) => ({ ...row, id, prompt: row.prompt / (i + 1) }));
    const run = { cpu: 'c', cores: 2, date: '2020-01-02T03:04:05Z', repetitions: 5, models: { m: { speed: rows } } };
    const { date, models } = figuresOf(run);
    assert.equal(date, '2020-01-02');
    assert.deepEqual(models.m.speed[0], {
        id: 'exact',
        engine: 'x',
        threads: 1,
        prompt: 100.3,
        generate: 30,
        times: { wllama: { prompt: 3, generate: 1 }, native: { prompt: 2, generate: 1 } },
    });
    const chart = chartOf(figuresOf(run)); // it has no bar for an engine that did not run
    assert.deepEqual(
        [...chart.matchAll(/data-id="(\w+)"/g)].map(([, id]) => id),
        ['exact', 'native', 'wllama', 'exact', 'native', 'wllama'],
    );
});
