// Writes a seed corpus for fuzz_folder: folder_seeds.js FOLDER
// The seeds are the folders of tests/fixtures, the variants of them that other tests make, folders with corrupted JSON
// files and tensors, and loads in which an allocation fails.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { root } from '../support/builds.js';
import { answer, corpus, fixtures, readJson, refusal } from './seeds.js';

/** A folder's files by their names. @typedef {Record<string, Uint8Array>} Files */

const [, table] = /** @type {RegExpExecArray} */ (
    /names\[\] = \{([^}]*)\}/.exec(readFileSync(`${root}tests/fuzz/fuzz_folder.c`, 'utf8'))
);
const NAMES = [...table.matchAll(/"(.*?)"/g)].map(([, name]) => name);
const LONGEST = 1 << 24,
    HEADER = 1;
const [DOUBLY, ALONE, OWN_TYPES] = [32, 64, 32 | 64]; // fuzz_folder.c: load
const preset = (/** @type {number} */ i) => i << 2;
const FLAGS = [
    ...[0, HEADER, 2, preset(4) | 2, ALONE, ALONE | preset(5)],
    ...[DOUBLY | preset(1), OWN_TYPES | preset(4), OWN_TYPES | preset(5)],
];

/** Files of several folders; a file is taken from the first folder that has it.
 * @param {string[]} folders within the fixtures @returns {Files} */
function filesOf(...folders) {
    const found = NAMES.map((name) => [
        name,
        folders.map((folder) => `${fixtures}${folder}/${name}`).find((path) => existsSync(path)),
    ]);
    return Object.fromEntries(
        found.filter(([, path]) => path).map(([name, path]) => [name, readFileSync(/** @type {string} */ (path))]),
    );
}

/** @param {unknown} value */
const json = (value) => Buffer.from(JSON.stringify(value));
/** @param {Uint8Array} bytes */
const parsed = (bytes) => JSON.parse(Buffer.from(bytes).toString());

/** @param {Uint8Array} bytes of a safetensors file @returns {{ tensors: Record<string, any>, data: Uint8Array }} */
function split(bytes) {
    const end = 8 + Number(Buffer.from(bytes).readBigUInt64LE());
    return { tensors: parsed(bytes.subarray(8, end)), data: bytes.subarray(end) };
}

/** @param {Record<string, any>} tensors @param {Uint8Array} data @returns {Uint8Array} */
function safetensors(tensors, data) {
    const header = json(tensors),
        size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(header.length));
    return Buffer.concat([size, header, data]);
}

/** The files without the weights' data, for seeds that are refused by their headers.
 * @param {Files} files @returns {Files} */
function headersOf(files) {
    /** @type {Files} */
    const headers = {};
    for (const [name, bytes] of Object.entries(files))
        headers[name] = name.endsWith('.safetensors') ? safetensors(split(bytes).tensors, Buffer.alloc(0)) : bytes;
    return headers;
}

const seeds = corpus();
let count = 0;

/** @param {string} name @param {Files} files @param {{ flags?: number, refused?: number, piece?: number }} [choices] */
function put(name, files, { flags = 0, refused = 0, piece = count % 8 } = {}) {
    /** @type {Uint8Array[]} */
    const parts = [Buffer.from([piece, flags]), refusal(refused), answer(count++)];
    for (const [name, bytes] of Object.entries(files)) {
        if (bytes.length >= LONGEST) return;
        parts.push(
            Buffer.from([NAMES.indexOf(name), bytes.length & 255, (bytes.length >> 8) & 255, bytes.length >> 16]),
            bytes,
        );
    }
    seeds.put(name, ...parts);
}

/** A copy of the value whose i-th member, counted through all depths, is corrupted; undefined: it has fewer members.
 * @param {any} value @param {number} i @param {(object: any, key: string) => void} corrupt */
function corrupted(value, i, corrupt) {
    const copy = structuredClone(value);
    let left = i;
    const visit = (/** @type {any} */ node) => {
        for (const key of Object.keys(node)) {
            if (left-- === 0) {
                corrupt(node, key);
                return true;
            }
            if (node[key] && typeof node[key] === 'object' && visit(node[key])) return true;
        }
        return false;
    };
    return visit(copy) ? copy : undefined;
}

/** @type {((object: any, key: string) => void)[]} */
const CORRUPTIONS = [
    (object, key) => delete object[key],
    (object, key) => {
        object[key] = -1;
    },
    (object, key) => {
        object[key] = 'other';
    },
    (object, key) => {
        object[key] = [1, {}];
    },
    (object, key) => {
        object[key] = null;
    },
    (object, key) => {
        object[key] = { a: 1e39 };
    },
    (object, key) => {
        object[key] = true;
    },
    (object, key) => {
        object.unheard_of = object[key];
    },
];

const EVERY = 3;

/** Adds seeds in which one member of a JSON file is corrupted. They cover every third member only: families share most
 * keys, and each family begins at another one. @param {string} name @param {Files} files */
function putCorrupted(name, files) {
    for (const [file, bytes] of Object.entries(headersOf(files)))
        for (let i = count % EVERY, changed; file.endsWith('.json') && file !== 'tokenizer.json'; i += EVERY) {
            // (fuzz_tokenizer has tokenizer.json)
            changed = corrupted(parsed(bytes), i, CORRUPTIONS[count % CORRUPTIONS.length]);
            if (!changed) break;
            put(
                `${name}-${file.replace('/', '-')}-${i}`,
                { ...headersOf(files), [file]: json(changed) },
                { flags: HEADER },
            );
        }
}

/** Adds seeds in which a tensor is missing, renamed, or of another type, shape or place.
 * @param {string} name @param {Files} files */
function putTensors(name, files) {
    const { tensors, data } = split(files['model.safetensors']);
    const names = Object.keys(tensors).filter((tensor) => tensor !== '__metadata__');
    /** @type {((all: Record<string, any>, tensor: string) => void)[]} */
    const corruptions = [
        (all, tensor) => delete all[tensor],
        (all, tensor) => {
            all[tensor].shape.reverse().push(1);
        },
        (all, tensor) => {
            all[tensor].dtype = 'I64';
        },
        (all, tensor) => {
            all[`${tensor}.other`] = all[tensor];
        },
        (all, tensor) => {
            all[tensor].data_offsets[0] += 2;
        },
        (all, tensor) => {
            all[tensor].data_offsets[1] = 1e12;
        },
        (all, tensor) => {
            all[tensor].dtype = 'F8_E8M0';
        },
    ];
    for (const [i, corrupt] of corruptions.entries()) {
        const changed = structuredClone(tensors);
        corrupt(changed, names[(7 * i + count) % names.length]);
        put(`${name}-tensors-${i}`, { ...files, 'model.safetensors': safetensors(changed, data) });
    }
}

const families = readdirSync(`${fixtures}safetensors`, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
const bases = families
    .map((name) => /** @type {[string, Files]} */ ([name, filesOf(`safetensors/${name}`)]))
    .filter(([, files]) => files['model.safetensors']);
for (const [name, files] of bases) {
    put(name, files);
    put(`${name}-flags`, files, { flags: FLAGS[count % FLAGS.length] });
    put(`${name}-refused`, files, { refused: 1 + (count % 97) });
    putCorrupted(name, files);
    putTensors(name, files);
}
const sharded = `${fixtures}safetensors/llama-sharded`;
const shards = readdirSync(sharded)
    .filter((file) => file.endsWith('.safetensors'))
    .map((file) => readFileSync(`${sharded}/${file}`));
put('shards-missing', {
    ...filesOf('safetensors/llama-sharded'),
    'model.safetensors': shards[0],
    'model-00002-of-00002.safetensors': shards[1],
});

for (const [i, { folder, set, drop }] of readJson('formats/folder-variants.json').entries()) {
    const files = filesOf(`safetensors/${folder}`),
        config = { ...parsed(files['config.json']), ...set };
    for (const key of drop) delete config[key];
    put(`variant-${i}`, { ...files, 'config.json': json(config) });
}
for (const [name, { base }] of Object.entries(readJson('sentence/cases.json'))) {
    const files = filesOf(`sentence/${name}`, `sentence/${base}`);
    put(`sentence-${name}`, files);
    putCorrupted(`sentence-${name}`, files);
}
const empty = { 'model.safetensors': safetensors({}, Buffer.alloc(0)) };
for (const [i, { of, model_type, config, map }] of readJson('text/tokenizer-config.json').cases.entries()) {
    const files = {
        'config.json': json({ model_type }),
        'tokenizer.json': json(readJson(`tokenizers/${of}.json`).tokenizer),
        'tokenizer_config.json': json(config),
    };
    put(
        `tokenizer-config-${i}`,
        { ...files, ...(map && { 'special_tokens_map.json': json(map) }), ...empty },
        { flags: HEADER },
    );
}
for (const [i, { model, model_type, config, added }] of readJson('text/tokenizer-model.json').cases.entries()) {
    const files = {
        'config.json': json({ model_type }),
        'tokenizer_config.json': json(config),
        ...(added && { 'added_tokens.json': json(added) }),
    };
    const bytes = Buffer.from(model, 'base64');
    put(`tokenizer-model-${i}`, { ...files, 'tokenizer.model': bytes, ...empty }, { flags: HEADER });
    put(
        `tokenizer-model-${i}-cut`,
        { ...files, 'tokenizer.model': bytes.subarray(0, bytes.length / (i + 2)), ...empty },
        { flags: HEADER },
    );
}
for (const name of ['gptq', 'gptq-zeros', 'awq']) {
    // older tools wrote the section into a file of its own
    const files = filesOf(`safetensors/${name}`),
        { quantization_config: section, ...config } = parsed(files['config.json']);
    const file = name === 'awq' ? 'quant_config.json' : 'quantize_config.json';
    put(`${name}-apart`, { ...files, 'config.json': json(config), [file]: json(section) });
    put(`${name}-nowhere`, { ...files, 'config.json': json(config) });
}
// GGUF files that are whole, and parts of a split one
for (const [i, name] of ['one-kv-head', 'rope-linear', 'biases', 'mixtral'].entries())
    put(`gguf-${i}`, { 'a-00001-of-00002.gguf': readFileSync(`${fixtures}models/${name}.gguf`) }, { flags: FLAGS[i] });
const parts = [1, 2, 3].map((part) =>
    readFileSync(`${fixtures}safetensors/split/one-kv-head-0000${part}-of-00003.gguf`),
);
put('parts', { 'a-00001-of-00002.gguf': parts[0], 'a-00002-of-00002.gguf': parts[1] });
for (let refused = 1; refused <= 120; refused++)
    put(`refused-${refused}`, bases[refused % bases.length][1], { refused });
seeds.close();
