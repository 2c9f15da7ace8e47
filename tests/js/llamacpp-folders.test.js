// From safetensors folders quantize() makes the same file as llama.cpp's converter: keys, types, values and the bytes
// of all tensors (tests/oracles/llamacpp_folders.py, which also lets llama.cpp load the files).
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { TYPES } from '../../web/abi.js';
import { quantize } from '../../web/index.js';
import { root } from '../support/builds.js';
import { changedCopy, editJson } from '../support/edits.js';
import { parse, readValue } from '../support/gguf.js';

/** @type {Record<string, { keys: Record<string, any[]>, tensors: Record<string, string> }>} */
const folders = JSON.parse(readFileSync(`${root}tests/fixtures/formats/llamacpp-folders.json`, 'utf8'));
const NAMES = new Map(Object.entries(TYPES).map(([name, number]) => [number, name.toUpperCase()]));

/** Models with which llama.cpp would compute something else, and nibble's reason. @type {Record<string, RegExp>} */
const OTHERWISE = { mistral: /no sliding windows/, phi3: /no sliding windows/, gemma3: /another scale of the queries/ };

/** RoPE factors that are rounded differently; folder.test.js compares the logits with transformers'. */
const COMPUTED = ['rope_freqs.weight'];

/** @param {string} path */
const made = async (path) =>
    parse(new Uint8Array(await new Response(/** @type {any} */ (quantize(path, { type: 'q8_0' }))).arrayBuffer()));

/** A hash of the bytes with a file's padding. @param {Uint8Array} bytes */
const digest = (bytes) =>
    createHash('sha256')
        .update(bytes)
        .update(new Uint8Array(-bytes.length & 31))
        .digest('hex')
        .slice(0, 8);

/** The item as Python prints it. @param {any} item */
const written = (item) => (typeof item === 'boolean' ? (item ? 'True' : 'False') : String(item));

/** The value as the oracle notes it. @param {import('../support/gguf.js').Value | Uint8Array} bytes */
function noted(bytes) {
    const [type, value] = readValue(bytes);
    return type === 'array'
        ? [value[0], 'list', digest(new TextEncoder().encode(value[1].map(written).join('\n')))]
        : [type, value];
}

const LONG = /** @type {Record<string, string>} */ ({ u32: 'uint32', f32: 'float32', i32: 'int32', u8: 'uint8' });

for (const [name, { keys, tensors }] of Object.entries(folders))
    test(`${name} becomes llama.cpp's file`, async () => {
        const { values, tensors: found } = await made(`${root}tests/fixtures/safetensors/${name}`);
        for (const [key, expected] of Object.entries(keys)) {
            const bytes = values.get(key);
            assert.ok(bytes, `${key} is missing`);
            const [type, ...value] = noted(bytes);
            assert.deepEqual([LONG[type] ?? type, ...value], expected, key);
        }
        assert.deepEqual(found.map((tensor) => tensor.name).sort(), Object.keys(tensors).sort());
        for (const { name: of, type, data } of found)
            if (!COMPUTED.includes(of))
                assert.equal(`${NAMES.get(type)} ${digest(/** @type {Uint8Array} */ (data))}`, tensors[of], of);
        const only = values.get('nibble.only');
        if (OTHERWISE[name]) assert.match(String(only && readValue(only)[1]), OTHERWISE[name]);
        else assert.equal(only, undefined, only && readValue(only)[1]);
    });

test('a folder that llama.cpp would compute otherwise says why', async () => {
    /** Folder, what config.json gets, the reason. @type {[string, object, RegExp][]} */
    const cases = [
        ['olmo3', { rope_theta: 300 }, /llama\.cpp rotates all layers of such models by one rope_theta/],
        ['ernie4_5-biases', {}, /llama\.cpp does not know all biases/],
    ];
    const temporary = mkdtempSync(join(tmpdir(), 'nibble-'));
    try {
        for (const [name, set, reason] of cases) {
            const path = await changedCopy(temporary, [`${root}tests/fixtures/safetensors/${name}`], (to) =>
                editJson(`${to}/config.json`, (config) => Object.assign(config, set)),
            );
            const only = (await made(path)).values.get('nibble.only');
            assert.match(String(only && readValue(only)[1]), reason);
        }
    } finally {
        rmSync(temporary, { recursive: true });
    }
});
