// README's tables say what was tested and no more. (Whether README has today's, make test checks at its end.)
// Runs once: no other Node would change what it finds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { architectures, insert, types } from '../support/tables.js';

const BOTH = ['simd128', 'relaxed'];

/** @param {string} model @param {string} form @param {string} build @returns {import('../support/tested.js').Tested} */
const row = (model, form, build) => ({ model, form, architecture: 'llama', build, types: ['Q4_0'] });

test('a model counts when every build ran it, and a new method has a column of its own', () => {
    const tested = [
        ...BOTH.flatMap((build) => [row('a', 'GGUF', build), row('b', 'GGUF', build), row('c', 'hqq', build)]),
        row('d', 'gptq', 'simd128'),
    ];
    const [head, , llama, bert] = architectures(['llama', 'bert'], tested, BOTH).split('\n');
    assert.equal(head, '| architecture | GGUF | safetensors | GPTQ | AWQ | bitsandbytes | compressed-tensors | hqq |');
    assert.equal(llama, '| `llama` | 2 models | untested | untested | untested | untested | untested | 1 model |');
    assert.match(bert, /^\| `bert` \|( untested \|){7}$/);
});

test('each type has its kernel in each build, and those alike stand together', () => {
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

test('tables go where README has their marks', () => {
    const readme = 'a\n<!-- make tables: x -->\nold\n<!-- end -->\nb\n';
    assert.equal(insert(readme, { x: 'new' }), readme.replace('old', 'new'));
    assert.throws(() => insert(readme, { y: 'new' }), /make tables: y/);
});
