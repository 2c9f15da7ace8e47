// Folders with a changed config.json: logits are transformers' (tests/oracles/folder_variants.py), whether the family
// reads the key or not.
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { logitsOf } from '../support/vectors.js';

/**
 * set, drop: keys of config.json. same: the changes must not change the logits. logits: those of `entries`, a part of
 * the vocabulary, at the positions `rows`.
 * @typedef {{ folder: string, same: boolean, set: Record<string, any>, drop: string[], tokens: number[],
 *     rows: number[], entries: number[], logits: number[][] }} Variant
 */
/** @type {Variant[]} */
const variants = JSON.parse(readFileSync(`${root}tests/fixtures/formats/folder-variants.json`, 'utf8'));

/** A copy of a folder with another configuration. @param {string} folder @param {(config: any) => void} edit */
function changed(folder, edit) {
    const from = `${root}tests/fixtures/safetensors/${folder}`,
        to = mkdtempSync(join(tmpdir(), 'nibble-'));
    for (const name of readdirSync(from)) if (name !== 'config.json') symlinkSync(join(from, name), join(to, name));
    const config = JSON.parse(readFileSync(join(from, 'config.json'), 'utf8'));
    edit(config);
    writeFileSync(join(to, 'config.json'), JSON.stringify(config));
    return to;
}

/** @param {string} path @param {Variant} variant */
async function compareModel(path, { tokens, rows, entries, logits }) {
    const model = await load(path, { threads: 1, kvType: 'f32', contextLength: tokens.length });
    try {
        const found = await logitsOf(model, tokens);
        for (const [i, row] of rows.entries())
            for (const [j, entry] of entries.entries())
                assert.ok(
                    Math.abs(found[row][entry] - logits[i][j]) < 1e-3,
                    `position ${row}, entry ${entry}: ${found[row][entry]}, not ${logits[i][j]}`,
                );
    } finally {
        await model.dispose();
    }
}

/** @param {Variant} variant */
async function compare(variant) {
    const path = changed(variant.folder, (config) => {
        Object.assign(config, variant.set);
        for (const key of variant.drop) delete config[key];
    });
    try {
        await compareModel(path, variant);
    } finally {
        rmSync(path, { recursive: true });
    }
}

for (const variant of variants) {
    const says = [JSON.stringify(variant.set), ...variant.drop.map((key) => `no ${key}`)].join(', ');
    test(`${variant.folder} with ${says.length > 200 ? `${says.slice(0, 200)} ...` : says}`, () => compare(variant));
}

test('if config.json has a key twice, the last one counts, as in Python', async () => {
    // any variant with the logits of the unchanged folder
    const { folder, ...variant } = /** @type {Variant} */ (
        variants.find(({ folder: name, same }) => name === 'llama-f32' && same)
    );
    const path = changed(folder, () => {}),
        file = join(path, 'config.json');
    writeFileSync(
        file,
        readFileSync(file, 'utf8').replace(
            '{',
            '{"rms_norm_eps": 0.5, "hidden_act": "relu", "rope_parameters": {"rope_theta": 3},',
        ),
    );
    try {
        await compareModel(path, { folder, ...variant });
    } finally {
        rmSync(path, { recursive: true });
    }
});
