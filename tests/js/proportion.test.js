// The time of loading is linear in the size of the file: four times as many names, keys or tensors take about four
// times the CPU time. A search through all of them for each of them would take sixteen times.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { header, parse } from '../support/gguf.js';

const N = 4000,
    TIMES = 4;
const folder = `${root}tests/fixtures/safetensors/llama-f32/`;

/** @typedef {Record<string, any>} Json */
/** @template T @param {number} n @param {(i: number) => [string, T]} entry */
const many = (n, entry) => Object.fromEntries(Array.from({ length: n }, (_, i) => entry(i)));

/** The folder's files, changed. tensors: names to add to the safetensors file, each with 4 bytes of data.
 * @param {{ documents?: Record<string, (document: Json) => void>, tensors?: string[] }} change */
function files({ documents = {}, tensors = [] }) {
    const names = ['config.json', 'tokenizer.json', 'tokenizer_config.json'];
    const changed = names.map((name) => {
        const document = JSON.parse(readFileSync(folder + name, 'utf8'));
        documents[name]?.(document);
        return new File([JSON.stringify(document)], name);
    });
    const bytes = readFileSync(`${folder}model.safetensors`),
        start = 8 + Number(bytes.readBigUInt64LE(0)),
        end = bytes.length - start;
    const list = JSON.parse(bytes.toString('utf8', 8, start));
    for (const [i, name] of tensors.entries())
        list[name] = { dtype: 'F32', shape: [1], data_offsets: [end + 4 * i, end + 4 * i + 4] };
    documents['model.safetensors']?.(list);
    const head = Buffer.from(JSON.stringify(list)),
        size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(head.length));
    const parts = [size, head, bytes.subarray(start), Buffer.alloc(4 * tensors.length)];
    return [
        ...changed,
        new File(
            parts.map((part) => new Uint8Array(part)),
            'model.safetensors',
        ),
    ];
}

/** @param {Json} document @param {number} n */
const addKeys = (document, n) =>
    void Object.assign(
        document,
        many(n, (i) => [`key ${i}`, i]),
    );
/** @param {number} i */
const token = (i) => ({
    id: 300 + i,
    content: `<${i}>`,
    special: true,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
});

/** The header of a GGUF with n values more, and n tensors. @param {number} n */
function gguf(n) {
    const { values, tensors } = parse(readFileSync(`${root}tests/fixtures/models/qwen2.gguf`));
    for (let i = 0; i < n; i++) {
        values.set(`key ${i}`, ['u32', i]);
        tensors.push({ name: `tensor ${i}`, shape: [1], type: 0, bytes: 4, at: 0 });
    }
    return header(values, tensors);
}

/** @type {Record<string, (n: number) => import('../../web/index.js').Source>} */
const cases = {
    'values and tensors of a GGUF': gguf,
    'keys of config.json, and tensors': (n) =>
        files({
            documents: { 'config.json': (config) => addKeys(config, n) },
            tensors: Array.from({ length: n }, (_, i) => `model.layers.${i}.self_attn.q_proj.bias`),
        }),
    'layers of config.json': (n) =>
        files({
            documents: {
                'config.json': (config) => {
                    config.layer_types = Array(n).fill('full_attention');
                },
            },
        }),
    'keys of tokenizer_config.json, and added tokens': (n) =>
        files({
            documents: {
                'tokenizer_config.json': (config) => addKeys(config, n),
                'tokenizer.json': (tokenizer) => {
                    tokenizer.added_tokens = Array.from({ length: n }, (_, i) => token(i));
                },
            },
        }),
    'keys of a safetensors header, its metadata and a tensor': (n) =>
        files({
            documents: {
                'model.safetensors': (list) => {
                    list.__metadata__ = many(n, (i) => [`key ${i}`, 'value']);
                    addKeys(list['model.norm.weight'], n);
                },
            },
        }),
};

/** Processor seconds of all threads. @param {import('../../web/index.js').Source} source */
async function timeOf(source) {
    const before = process.cpuUsage();
    const model = await load(source, { threads: 1, headerOnly: true });
    await model.dispose();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1e6;
}

for (const [name, make] of Object.entries(cases))
    test(`loading is in proportion to the number of ${name}`, { timeout: 120_000 }, async () => {
        await timeOf(make(10)); // warm-up
        const some = await timeOf(make(N)),
            more = await timeOf(make(TIMES * N));
        assert.ok(more < 2 * TIMES * some + 0.5, `${N} take ${some} s, ${TIMES * N} ${more} s`);
    });
