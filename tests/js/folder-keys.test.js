// Every key of config.json that transformers reads is in nibble's table of the family: supported, bound to a value, or
// idle for a reason. Keys that change a model's output are never idle. (tests/oracles/folder_keys.py found out which
// keys are read.)
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { root } from '../support/builds.js';

/** @typedef {Record<string, string>} Lists words with spaces between, by family or type */
/**
 * @type {{ all: string, families: Lists, change: Lists, aliases: Record<string, Lists>, attention: Record<string,
 *     Lists>,
 *     rope: Lists, partial: string[] }}
 */
const read = JSON.parse(readFileSync(`${root}tests/fixtures/formats/folder-keys.json`, 'utf8'));
const { stdout, status } = spawnSync(process.execPath, [`${root}tests/core/run.js`, 'simd128', 'print_folder_keys'], {
    encoding: 'utf8',
});
const lines = stdout.split('\n').map((line) => line.split(' '));
/** @param {string} kind @param {string} [of] */
const namesOf = (kind, of) =>
    lines.filter((line) => line[0] === kind && (!of || line[1] === of)).flatMap((line) => line[of ? 2 : 1].split(','));
const idle = new Set(namesOf('idle'));
/** @param {string} [words] */
const split = (words) => (words ?? '').split(' ').filter(Boolean);

// Keys that follow from the tensors (the number of tokens, the layers with experts), and one that transformers itself
// sets.
const KNOWN_OTHERWISE = ['vocab_size', 'decoder_sparse_step', 'mlp_only_layers', 'attribute_map'];

test('the core prints its tables', () => assert.equal(status, 0, 'run ./build.sh tests'));

for (const family of Object.keys(read.families))
    test(`${family}: each key that is read is in the table`, () => {
        const known = new Set(namesOf('key', family));
        assert.ok(known.size > 10);
        const keys = [...split(read.all), ...split(read.families[family]), ...Object.keys(read.aliases[family] ?? {})];
        assert.deepEqual(
            keys.filter((key) => !known.has(key) && !idle.has(key)),
            [],
        );
        assert.deepEqual(
            split(read.change[family]).filter((key) => !known.has(key) && !KNOWN_OTHERWISE.includes(key)),
            [],
            'these change the output',
        );
    });

test('each key of rope_parameters is in the table, or its rope_type is refused', () => {
    const types = new Set(lines.filter((line) => line[0] === 'rope').map((line) => line[1]));
    assert.deepEqual(
        Object.keys(read.rope).filter((type) => !types.has(type)),
        ['dynamic', 'proportional'],
    );
    for (const type of types)
        assert.deepEqual(
            split(read.rope[type]).filter((key) => !namesOf('rope', type).includes(key)),
            [],
            type,
        );
});
