// web/abi.js is up to date with the C headers, and types and options name the same constants.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { ERRORS, nb_sampler_params, POOLINGS, PRESETS, TYPES } from '../../web/abi.js';
import { EMBED_OPTIONS, LOAD_OPTIONS } from '../../web/options.js';
import { writeStructs } from '../../web/worker/structs.js';
import { root } from '../support/builds.js';

const types = readFileSync(`${root}web/index.d.ts`, 'utf8');

/** The words of the union type that follows this text in index.d.ts. @param {string} before */
function union(before) {
    const [, words = ''] = new RegExp(`${before}((?:\\s*\\|?\\s*'[\\w/]+')+)`).exec(types) ?? [];
    return [...words.matchAll(/'([\w/]+)'/g)].map(([, word]) => word).sort();
}

test('the file is up to date with the headers', () => {
    const { stdout, status } = spawnSync(process.execPath, [`${root}tools/abi.js`, '--print'], { encoding: 'utf8' });
    assert.equal(status, 0);
    assert.equal(readFileSync(`${root}web/abi.js`, 'utf8'), stdout, 'run make build, and commit web/abi.js');
});

test('types and options name the same', () => {
    assert.deepEqual(union('Preset ='), [...PRESETS].sort());
    assert.deepEqual(LOAD_OPTIONS.quantize.choices, PRESETS);
    assert.deepEqual(union('pooling\\?:'), Object.keys(POOLINGS).sort());
    assert.deepEqual([...(EMBED_OPTIONS.pooling.choices ?? [])].sort(), Object.keys(POOLINGS).sort());
    const caches = union('kvType\\?:');
    assert.deepEqual(caches, [...(LOAD_OPTIONS.kvType.choices ?? [])].sort());
    for (const kind of caches.flatMap((words) => words.split('/'))) assert.ok(kind in TYPES, kind);
    for (const code of Object.values(ERRORS)) assert.ok(union('ErrorCode =').includes(code), code);
});

test('a struct is written field by field, and none may be missing', () => {
    const memory = new WebAssembly.Memory({ initial: 1 }),
        names = Object.keys(nb_sampler_params.fields);
    const values = Object.fromEntries(names.map((name, i) => [name, i + 1]));
    assert.equal(writeStructs(memory, 64, nb_sampler_params, [values, values]), 64 + 2 * nb_sampler_params.size);
    const second = new DataView(memory.buffer, 64 + nb_sampler_params.size);
    assert.deepEqual(
        [second.getFloat32(0, true), second.getFloat32(4, true), second.getUint32(nb_sampler_params.size - 4, true)],
        [1, 2, names.length],
    );
    assert.throws(
        () => writeStructs(memory, 64, nb_sampler_params, [{ temperature: 1 }]),
        /temperature_range is missing/,
    );
});
