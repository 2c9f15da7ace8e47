// Models of several files: Hugging Face folders and split GGUF files, from all kinds of sources. Logits must agree with
// transformers' within 1e-3 (more if weights are quantized: see tolerance), embeddings within 1e-5.
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { openAsBlob } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { load } from '../../web/index.js';
import { hubUrl } from '../../web/sources/hub.js';
import { root } from '../support/builds.js';
import { changedCopy, editJson, editTensors } from '../support/edits.js';
import { listen } from '../support/loopback.js';
import { namesMade } from '../support/oracle-names.js';
import { comparison, tested } from '../support/tested.js';
import { configurations, embeddingVectors, logitsOf, logitsVectors, maxDistance } from '../support/vectors.js';

/** @typedef {import('../../web/index.js').Source} Source */

const folder = `${root}tests/fixtures/safetensors/`;
const names = (await readdir(folder)).filter((file) => file.endsWith('.json')).map((file) => file.slice(0, -5));
const sharded = `${folder}llama-sharded`,
    whole = `${folder}llama-f32`,
    split = `${folder}split/one-kv-head-00001-of-00003.gguf`;
/** One thread, and a KV cache in F32. */
const ONE_THREAD = { threads: 1, kvType: /** @type {'f32'} */ ('f32') };

/** With quantized weights, activations have 16 bits, minima and scales are in half precision, and the values of NF4 and
 * FP4 have 13 bits. The errors from this are several times smaller than these tolerances.
 * @param {string} name */
const tolerance = (name) => (/gptq|awq|packed|int8/.test(name) ? 2e-2 : /bnb/.test(name) ? 1e-2 : 1e-3);

/**
 * @param {Source} source
 * @param {string} vectors within tests/fixtures
 * @param {import('../../web/index.js').LoadOptions} [options]
 */
async function compare(source, vectors, options = ONE_THREAD) {
    const expected = logitsVectors(vectors);
    const model = await load(source, options);
    try {
        const rows = await logitsOf(model, expected.tokens);
        assert.equal(rows.length, expected.tokens.length);
        for (const [i, row] of rows.entries())
            for (const [j, entry] of expected.entries.entries())
                assert.ok(
                    Math.abs(row[entry] - expected.rows[i][j]) < tolerance(vectors),
                    `position ${i}: ${row[entry]}, not ${expected.rows[i][j]}`,
                );
        return model.info;
    } finally {
        await model.dispose();
    }
}

/**
 * @param {Source} source
 * @param {string} vectors within tests/fixtures
 * @param {import('../../web/index.js').LoadOptions} options
 */
async function compareEmbeddings(source, vectors, options) {
    const model = await load(source, options);
    try {
        for (const { tokens, ...expected } of embeddingVectors(vectors))
            for (const pooling of /** @type {const} */ (['mean', 'cls', 'last'])) {
                const far = maxDistance(await model.embed(tokens, { pooling }), expected[pooling]);
                assert.ok(far < 1e-5, `${pooling} of ${tokens.length}: ${far} from the reference`);
            }
        return model.info;
    } finally {
        await model.dispose();
    }
}

/** The config.json of a fixture. @param {string} name */
const configOf = async (name) => JSON.parse(await readFile(`${folder}${name}/config.json`, 'utf8'));

test('the fixtures of the oracles are there', () => {
    for (const name of namesMade(
        'safetensors_models',
        'family_folders',
        'quantized_families',
        'quantized_folders',
        'compressed_folders',
        'bitsandbytes_folders',
    ))
        assert.ok(names.includes(name), name);
});

/** Context lengths. With a longer one Phi 3 would use the RoPE factors of long texts. @type {Record<string, number>} */
const CONTEXTS = { 'phi3-short': 512 };

for (const { build, threads } of configurations())
    comparison(`folders, ${build}, ${threads} threads: outputs are transformers'`, { timeout: 120_000 }, async (t) => {
        for (const name of names)
            await t.test(name, async () => {
                const options = { build, threads, kvType: /** @type {'f32'} */ ('f32'), contextLength: CONTEXTS[name] };
                const config = await configOf(name);
                const check = /bert/.test(config.model_type) ? compareEmbeddings : compare;
                const info = await check(folder + name, `safetensors/${name}.json`, options);
                assert.equal(info.format, 'safetensors');
                assert.equal(info.vocabulary, (config.text_config ?? config).vocab_size);
                tested(folder + name, info);
            });
    });

// ---- where the files come from ---------------------------------------------------------------------------------

/** @type {string} */
let temporary;
/** The requests to the server: the path, and where the range begins. @type {string[]} */
const asked = [];
/** Whether the server supports ranges. */
let ranges = true;
/** What the server waits for before it answers. @type {((url: string) => Promise<unknown> | undefined) | undefined} */
let delay;
const server = await listen(async ({ url = '', headers }, response) => {
    const from = Number(/bytes=(\d+)-/.exec(headers.range ?? '')?.[1] ?? 0);
    asked.push(from ? `${url} from ${from}` : url);
    try {
        const bytes = await readFile(join(temporary, decodeURIComponent(url)));
        const given = ranges ? bytes.subarray(from) : bytes;
        await delay?.(url);
        response.writeHead(ranges && from ? 206 : 200, { 'Content-Length': given.length }).end(given);
    } catch {
        response.writeHead(404).end('<html>no</html>');
    }
});
const address = `${server.url}/`;

before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'nibble-'));
    await symlink(folder, join(temporary, 'models'));
});
after(async () => {
    server.close();
    await rm(temporary, { recursive: true });
});

/** @param {string} path of a folder @param {string} [but] a file to leave out @returns {Promise<string[]>} */
const filesOf = async (path, but) =>
    (await readdir(path)).filter((name) => name !== but).map((name) => join(path, name));

/** @param {string[]} paths @returns {Promise<File[]>} */
const asFiles = (paths) =>
    Promise.all(
        paths.map(async (path) => new File([await readFile(path)], /** @type {string} */ (path.split('/').pop()))),
    );

test('a sharded model comes from a base URL, each shard in two requests: its header, then its weights', async () => {
    asked.length = 0;
    await compare(`${address}models/llama-sharded/`, 'safetensors/llama-sharded.json');
    const shards = asked.filter((what) => /-of-00004/.test(what)),
        names = (await readdir(`${folder}llama-sharded`)).filter((name) => /-of-00004/.test(name));
    assert.deepEqual(
        shards.map((what) => what.replace(/ from [1-9]\d*$/, ' from its weights')).sort(),
        names.flatMap((name) => [name, `${name} from its weights`]).map((what) => `/models/llama-sharded/${what}`),
        shards.join('\n'),
    );
    assert.ok(asked.includes('/models/llama-sharded/chat_template.jinja'), 'it is asked for, and may be absent');
});

test('shards are prefetched: the next one begins before the current one has ended', { timeout: 60_000 }, async () => {
    /** @type {(() => void) | undefined} */
    let release;
    const next = new Promise((resolve) => {
        release = () => resolve(undefined);
    });
    asked.length = 0;
    // the weights of shard 2 wait until those of shard 3 are asked for
    delay = (url) => {
        if (asked.filter((what) => what.includes('00003-of')).length > 1) release?.();
        return /00002-of/.test(url) && asked.filter((what) => what.includes('00002-of')).length > 1 ? next : undefined;
    };
    try {
        await compare(`${address}models/llama-sharded/`, 'safetensors/llama-sharded.json');
    } finally {
        delay = undefined;
    }
});

test('a server without ranges works, too', async () => {
    ranges = false;
    try {
        await compare(`${address}models/llama-sharded/`, 'safetensors/llama-sharded.json');
        await compare(`${address}models/llama-f32/`, 'safetensors/llama-f32.json');
    } finally {
        ranges = true;
    }
});

test('a list of Files, of paths and of URLs, in any order', async () => {
    const paths = (await filesOf(sharded)).reverse();
    await compare(await asFiles(paths), 'safetensors/llama-sharded.json');
    await compare(paths, 'safetensors/llama-sharded.json');
    await compare(
        paths.filter((path) => !path.endsWith('index.json')),
        'safetensors/llama-sharded.json',
    );
    await compare(
        (await filesOf(whole)).map((path) => path.replace(folder, `${address}models/`)),
        'safetensors/llama-f32.json',
    );
});

test('the last progress says that all bytes are loaded', async () => {
    /** @type {import('../../web/index.js').Progress[]} */
    const seen = [];
    await compare(`${address}models/llama-sharded/`, 'safetensors/llama-sharded.json', {
        ...ONE_THREAD,
        onProgress: (progress) => seen.push(progress),
    });
    const last = seen.at(-1);
    assert.ok(last && last.loaded === last.total && last.total > 70_000, JSON.stringify(last));
});

test('tokenizer, chat template and end tokens come from the folder', async () => {
    const model = await load(whole, { ...ONE_THREAD, headerOnly: true });
    try {
        // transformers' AutoTokenizer ignores add_bos_token if there is a tokenizer.json; this folder's adds nothing
        assert.deepEqual(await model.tokenize('the in'), await model.tokenize('the in', { bare: true }));
        assert.equal(await model.detokenize(await model.tokenize('the in\u00e9\u{1f600}')), 'the in\u00e9\u{1f600}');
        assert.equal(model.info.chatTemplate, '{{ messages[0].content }}');
        assert.equal(model.info.tokenizer?.endText, '<|end|>');
        assert.equal(model.info.architecture, 'llama');
    } finally {
        await model.dispose();
    }
});

test('a split GGUF: by its first part, by any, as a folder, as a list, by URL', async () => {
    for (const source of [
        split,
        split.replace('00001', '00003'),
        `${folder}split`,
        await asFiles(await filesOf(`${folder}split`)),
        (await filesOf(`${folder}split`)).reverse(),
        `${address}models/split/one-kv-head-00002-of-00003.gguf`,
    ])
        assert.equal((await compare(source, 'models/one-kv-head.json')).format, 'GGUF');
});

test('the command line takes folders', () => {
    const run = (/** @type {string[]} */ ...args) =>
        execFileSync(process.execPath, [`${root}web/cli.js`, ...args], { encoding: 'utf8' });
    assert.match(run('inspect', whole), /llama/);
    assert.deepEqual(
        JSON.parse(run('tokenize', sharded, '--text', 'the')),
        JSON.parse(run('tokenize', whole, '--text', 'the')),
    );
    assert.ok(run('run', sharded, '--prompt', 'the', '--max-tokens', '3').length > 0);
    const { status, stderr } = spawnSync(
        process.execPath,
        [`${root}web/cli.js`, 'run', `${root}docs`, '--prompt', 'x'],
        { encoding: 'utf8' },
    );
    assert.equal(status, 1);
    assert.match(stderr, /there is no model in/);
});

test('URLs of the hub', () => {
    const base = 'https://huggingface.co/owner/repo-1.5/resolve/';
    assert.equal(hubUrl('hf:owner/repo-1.5'), `${base}main/`);
    assert.equal(hubUrl('hf:owner/repo-1.5/'), `${base}main/`);
    assert.equal(hubUrl('hf:owner/repo-1.5@v1'), `${base}v1/`);
    assert.equal(hubUrl('hf:owner/repo-1.5/sub/a.gguf'), `${base}main/sub/a.gguf`);
    for (const wrong of ['hf:owner', 'hf:', 'hf:/owner/repo', 'hf:owner repo/x'])
        assert.throws(() => hubUrl(wrong), /does not name a model on the hub/);
});

// ---- what is wrong ---------------------------------------------------------------------------------------------

/** A copy of a folder, changed. @param {string} from @param {(path: string) => Promise<unknown>} change */
const changed = (from, change) => changedCopy(temporary, [from], change);

/** Moves the first column of a matrix into its second group. @param {string} path */
async function moveColumn(path) {
    const bytes = await readFile(path),
        header = 8 + Number(bytes.readBigUInt64LE(0));
    const tensors = JSON.parse(bytes.toString('utf8', 8, header));
    const name = Object.keys(tensors).find((key) => key.endsWith('g_idx')) ?? '';
    bytes.writeUInt32LE(1, header + tensors[name].data_offsets[0]);
    await writeFile(path, bytes);
}

/** What is wrong, the folder, how its copy is changed, the error's code (a regular expression), its message.
 * @type {[string, string, (path: string) => Promise<unknown>, string, RegExp][]} */
const wrong = [
    ['no config.json', whole, (path) => rm(`${path}/config.json`), 'NB_ERR_FILE', /config\.json is missing in/],
    [
        'a missing shard',
        sharded,
        (path) => rm(`${path}/model-00003-of-00004.safetensors`),
        'NB_ERR_FILE',
        /model-00003-of-00004\.safetensors is missing.*index\.json/,
    ],
    [
        'a damaged index',
        sharded,
        (path) => writeFile(`${path}/model.safetensors.index.json`, '{'),
        'NB_ERR_FORMAT',
        /index\.json.*damaged/,
    ],
    [
        'an index that leaves the folder',
        sharded,
        (path) => writeFile(`${path}/model.safetensors.index.json`, '{"weight_map":{"a":"../x.safetensors"}}'),
        'NB_ERR_FORMAT',
        /index\.json.*damaged/,
    ],
    [
        'a shard that is cut off',
        sharded,
        async (path) =>
            writeFile(
                `${path}/model-00002-of-00004.safetensors`,
                (await readFile(`${path}/model-00002-of-00004.safetensors`)).subarray(0, 9000),
            ),
        'NB_ERR_TRUNCATED',
        /model-00002-of-00004\.safetensors.*incomplete/,
    ],
    [
        'a pointer of Git LFS',
        sharded,
        (path) =>
            writeFile(
                `${path}/model-00004-of-00004.safetensors`,
                'version https://git-lfs.github.com/spec/v1\noid sha256:0\n',
            ),
        'NB_ERR_FORMAT',
        /model-00004-of-00004\.safetensors.*git lfs pull/,
    ],
    [
        'an unknown family',
        whole,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.model_type = 'mamba';
            }),
        'NB_ERR_UNSUPPORTED',
        /model_type "mamba".*llama/,
    ],
    [
        'another activation',
        whole,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.hidden_act = 'relu';
            }),
        'NB_ERR_UNSUPPORTED',
        /relu.*silu/,
    ],
    [
        'another RoPE',
        whole,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.rope_parameters.rope_type = 'dynamic';
            }),
        'NB_ERR_UNSUPPORTED',
        /dynamic.*yarn/,
    ],
    [
        "an intermediate_size that is not the tensors'",
        whole,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.intermediate_size = 65;
            }),
        'NB_ERR_FORMAT',
        /ffn_.*shape/,
    ],
    ...[
        // configurations that need a computation that nibble does not have: folder, key, value, what it should be
        ['qwen3-moe', 'norm_topk_prob', undefined, 'true'],
        ['qwen2-moe', 'norm_topk_prob', true, 'false'],
        ['qwen3', 'attention_bias', true, 'false'],
        ['deepseek', 'scoring_func', 'sigmoid', 'softmax'],
        ['smollm3', 'no_rope_layer_interval', 5, '4'],
        ['smollm3', 'use_sliding_window', true, 'false'],
        ['falcon', 'alibi', true, 'false'],
        ['falcon', 'parallel_attn', false, 'true'],
        ['gpt2', 'scale_attn_by_inverse_layer_idx', true, 'false'],
        ['opt', '_remove_final_layer_norm', true, 'false'],
        ['opt', 'enable_bias', false, 'true'],
        ['bert', 'position_embedding_type', 'relative_key', 'absolute'],
        ['bert', 'is_causal', true, 'false'],
        ['nomic-bert', 'is_causal', true, 'false'],
        ['roberta', 'is_decoder', true, 'false'],
        ['bert', 'add_cross_attention', true, 'false'],
        ['stablelm', 'is_causal', false, 'true'],
        ['gemma', 'use_bidirectional_attention', true, 'false'],
        ['gemma2', 'use_bidirectional_attention', true, 'false'],
        ['llama-f32', 'per_layer_config', '1', 'null'],
        ['deepseek', 'moe_layer_freq', 2, '1'],
        ['falcon', 'parallel_attn', null, 'true'],
        ['granite', 'hidden_act', 'relu', 'silu or swish'],
        ['gpt2', 'add_cross_attention', true, 'false'],
        ['gemma2', 'attention_bias', true, 'false'],
        ['nomic-bert', 'moe_every_n_layers', 2, '0'],
        ['nomic-bert', 'prenorm', true, 'false'],
        ['phi', 'qk_layernorm', true, 'false'],
    ].map(
        ([name, key, value, wanted]) =>
            /** @type {(typeof wrong)[0]} */ ([
                `${name} with ${key} ${value}`,
                folder + name,
                (path) =>
                    editJson(`${path}/config.json`, (config) => {
                        config[String(key)] = value;
                    }),
                'NB_ERR_UNSUPPORTED',
                new RegExp(
                    `${key} is ${value === undefined ? false : value}; of .* models only ${wanted} is supported`,
                ),
            ]),
    ),
    ...[
        // other configurations that are refused: folder, changes of config.json, what the message must contain
        ['llama-f32', { is_causal: null }, /is_causal is null/],
        ['llama-f32', { rms_norm_eps: '1e-5' }, /rms_norm_eps is 1e-5; it must be a finite number, without quotes/],
        ['llama-f32', { hidden_size: [32] }, /hidden_size .*must be a finite number/],
        [
            'llama-f32',
            { rope_parameters: { rope_type: 'proportional' } },
            /RoPE of type proportional is not supported in llama models/,
        ],
        ['llama-f32', { rope_scaling: { type: 'linear' } }, /RoPE of type linear has no factor/],
        ['llama-f32', { rope_scaling: { rope_type: 'yarn' } }, /RoPE of type yarn has no factor/],
        [
            'llama-f32',
            { rope_scaling: { rope_type: 'llama3', factor: 8, low_freq_factor: 1 } },
            /llama3 has no high_freq_factor/,
        ],
        [
            'llama-f32',
            { rope_scaling: { rope_type: 'yarn', factor: 4, partial_rotary_factor: 0.5 } },
            /partial_rotary_factor is 0\.5 with RoPE of type yarn/,
        ],
        [
            'llama-f32',
            { rope_scaling: { rope_type: 'yarn', factor: 4, original_max_position_embeddings: 0 } },
            /yarn has impossible values/,
        ],
        [
            'phi3',
            { rope_scaling: { rope_type: 'linear', factor: 2 } },
            /RoPE of type linear is not supported in phi3 models; longrope is/,
        ],
        [
            'deepseek',
            { rope_scaling: { rope_type: 'yarn', factor: 2 } },
            /RoPE of type yarn is not supported in deepseek models; linear is/,
        ],
        [
            'gemma3',
            { rope_parameters: { sliding_attention: { rope_type: 'linear', factor: 2 } } },
            /layers with a window is of type linear/,
        ],
        ['gemma2', { layer_types: ['full_attention', 'linear_attention'] }, /layer_types has linear_attention/],
        ['gemma2', { layer_types: ['full_attention'] }, /layer_types names 1 layers, and there are 2/],
        ['gemma2', { sliding_window: null }, /layers with a sliding window \(layer_types\), and sliding_window is 0/],
        ['gemma2', { layer_types: ['full_attention', 'sliding_attention'] }, /in some layers only \(layer_types\)/],
        ['mistral', { layer_types: ['full_attention', 'sliding_attention'] }, /in some layers only \(layer_types\)/],
        [
            'qwen2',
            { sliding_window: 9, layer_types: ['sliding_attention', 'sliding_attention'] },
            /use_sliding_window is false/,
        ],
        [
            'qwen2-moe',
            { use_sliding_window: true, sliding_window: 9, layer_types: undefined },
            /in some layers only \(max_window_layers\)/,
        ],
        [
            'smollm3',
            { sliding_window: 9, layer_types: Array(4).fill('sliding_attention') },
            /use_sliding_window is false/,
        ],
        ['stablelm', { head_dim: 16 }, /head_dim is 16; of stablelm models only hidden_size/],
    ].map(
        ([name, set, message]) =>
            /** @type {(typeof wrong)[0]} */ ([
                `${name} with ${JSON.stringify(set)}`,
                folder + name,
                (path) =>
                    editJson(`${path}/config.json`, (config) => {
                        Object.assign(config, set);
                    }),
                'NB_ERR_(FORMAT|UNSUPPORTED)',
                message,
            ]),
    ),
    [
        'a key written with escapes',
        whole,
        async (path) =>
            writeFile(
                `${path}/config.json`,
                (await readFile(`${path}/config.json`, 'utf8')).replace('{', '{"is_c\\u0061usal": false,'),
            ),
        'NB_ERR_UNSUPPORTED',
        /written with escapes/,
    ],
    [
        'layers without RoPE that are not every fourth one',
        `${folder}smollm3`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.no_rope_layers = [1, 1, 0, 1];
            }),
        'NB_ERR_UNSUPPORTED',
        /no_rope_layers has 0 for layer 2/,
    ],
    [
        'a window in some layers',
        `${folder}qwen2`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                Object.assign(config, { use_sliding_window: true, sliding_window: 9, max_window_layers: 1 });
            }),
        'NB_ERR_UNSUPPORTED',
        /sliding_window is 9 in some layers only \(max_window_layers\)/,
    ],
    [
        'a window in the layers of a list',
        `${folder}qwen2`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                Object.assign(config, {
                    use_sliding_window: true,
                    sliding_window: 9,
                    layer_types: ['full_attention', 'sliding_attention'],
                });
            }),
        'NB_ERR_UNSUPPORTED',
        /sliding_window is 9 in some layers only \(layer_types\)/,
    ],
    [
        "Phi 3's RoPE in a Llama",
        whole,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.rope_parameters.rope_type = 'longrope';
            }),
        'NB_ERR_UNSUPPORTED',
        /RoPE of type longrope.*llama/,
    ],
    [
        'no factors',
        `${folder}phi3-long`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                delete config.rope_parameters.short_factor;
            }),
        'NB_ERR_FORMAT',
        /no short_factor/,
    ],
    [
        'one long factor too few',
        `${folder}phi3-long`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.rope_parameters.long_factor.pop();
            }),
        'NB_ERR_FORMAT',
        /rope_factors_long.*shape/,
    ],
    [
        'narrow embeddings without project_out',
        `${folder}opt-350m`,
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                delete tensors['model.decoder.project_out.weight'];
            }),
        'NB_ERR_FORMAT',
        /token_embd\.weight has 16 columns.*project_out/,
    ],
    [
        'no bias of the last norm',
        `${folder}opt`,
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                delete tensors['model.decoder.final_layer_norm.bias'];
            }),
        'NB_ERR_FORMAT',
        /output_norm\.bias is missing/,
    ],
    [
        'a missing expert',
        `${folder}mixtral`,
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                delete tensors['model.layers.0.block_sparse_moe.experts.2.w1.weight'];
            }),
        'NB_ERR_FORMAT',
        /experts\.3\.w1\.weight is one of 3 that are stacked, but one of them is missing/,
    ],
    [
        'an expert of another type',
        `${folder}mixtral`,
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                tensors['model.layers.0.block_sparse_moe.experts.2.w1.weight'].dtype = 'F16';
            }),
        'NB_ERR_FORMAT',
        /experts\.2\.w1\.weight is one of 4 that are stacked, but has another type or shape/,
    ],
    [
        'one expert too many',
        `${folder}mixtral`,
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                const experts = 'model.layers.0.block_sparse_moe.experts',
                    { dtype, shape } = tensors[`${experts}.3.w1.weight`],
                    end = Math.max(...Object.values(tensors).map(({ data_offsets }) => data_offsets?.[1] ?? 0)),
                    bytes = 2 * shape[0] * shape[1];
                tensors[`${experts}.4.w1.weight`] = { dtype, shape, data_offsets: [end, end + bytes] };
                return Buffer.alloc(bytes);
            }),
        'NB_ERR_FORMAT',
        /ffn_gate_exps\.weight has shape \[32, 40, 5, 1\], but .* ask for \[32, 40, 4\]/,
    ],
    [
        'the norm of one head is missing',
        `${folder}stablelm-12b`,
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                delete tensors['model.layers.0.self_attn.q_layernorm.norms.1.weight'];
            }),
        'NB_ERR_FORMAT',
        /norms\.3\.weight is one of 3/,
    ],
    [
        'rows that are no whole groups of heads',
        `${folder}gpt-neox`,
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                const bias = tensors['gpt_neox.layers.0.attention.query_key_value.bias'];
                bias.shape = [95];
                bias.data_offsets[1] -= 2;
            }),
        'NB_ERR_FORMAT',
        /95 rows, which are not 4 groups of 3 heads/,
    ],
    [
        'quantized rows that would have to be regrouped',
        `${folder}gpt-neox`,
        async (path) => {
            await editJson(`${path}/config.json`, (config) => {
                config.quantization_config = { quant_method: 'gptq', bits: 4, group_size: 32, sym: true };
            });
            await editTensors(`${path}/model.safetensors`, (tensors) => {
                const module = 'gpt_neox.layers.0.attention.query_key_value',
                    at = tensors[`${module}.weight`].data_offsets[0];
                delete tensors[`${module}.weight`];
                tensors[`${module}.qweight`] = { dtype: 'I32', shape: [4, 96], data_offsets: [at, at + 1536] };
                tensors[`${module}.scales`] = { dtype: 'F16', shape: [1, 96], data_offsets: [at + 1536, at + 1728] };
            });
        },
        'NB_ERR_UNSUPPORTED',
        /attn_qkv.*regrouped/,
    ],
    [
        'an unknown quantization method',
        whole,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.quantization_config = { quant_method: 'hqq' };
            }),
        'NB_ERR_UNSUPPORTED',
        /"hqq" .*is not supported/,
    ],
    [
        'columns in another order although desc_act is false',
        `${folder}gptq`,
        (path) => moveColumn(`${path}/model.safetensors`),
        'NB_ERR_FORMAT',
        /desc_act/,
    ],
    [
        'groups of unequal size',
        `${folder}gptq`,
        async (path) => {
            await moveColumn(`${path}/model.safetensors`);
            await editJson(`${path}/config.json`, (config) => {
                config.quantization_config.desc_act = true;
            });
        },
        'NB_ERR_FORMAT',
        /g_idx.*unequal/,
    ],
    [
        'GPTQ with 5 bits',
        `${folder}gptq`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.quantization_config.bits = 5;
            }),
        'NB_ERR_UNSUPPORTED',
        /gptq of 5 bits in groups of 32/,
    ],
    [
        "a group_size that is not the tensors'",
        `${folder}gptq`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.quantization_config.group_size = 64;
            }),
        'NB_ERR_FORMAT',
        /down_proj\.scales has 384 bytes, but its matrix and config\.json ask for 128/,
    ],
    [
        'zero points that are not 8, though config.json says symmetric',
        `${folder}gptq-zeros`,
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.quantization_config.sym = true;
            }),
        'NB_ERR_FORMAT',
        /zero \d+, but.*all are 8/,
    ],
    [
        'another tokenizer',
        whole,
        (path) =>
            editJson(`${path}/tokenizer.json`, (json) => {
                json.model.type = 'Other';
            }),
        'NB_ERR_UNSUPPORTED',
        /"Other".*BPE/,
    ],
    [
        'another pre-tokenizer',
        whole,
        (path) =>
            editJson(`${path}/tokenizer.json`, (json) => {
                json.pre_tokenizer = { type: 'Whitespace' };
            }),
        'NB_ERR_UNSUPPORTED',
        /pre_tokenizer/,
    ],
    [
        'a missing part of a split file',
        `${folder}split`,
        (path) => rm(`${path}/one-kv-head-00002-of-00003.gguf`),
        'NB_ERR_FILE',
        /00002-of-00003\.gguf is missing/,
    ],
    [
        'part 3 under the name of part 2',
        `${folder}split`,
        async (path) => {
            await copyFile(`${folder}split/one-kv-head-00003-of-00003.gguf`, `${path}/one-kv-head-00002-of-00003.gguf`);
        },
        'NB_ERR_FORMAT',
        /this is part 3 of a split model, where part 2 is expected/,
    ],
];
for (const [what, from, change, code, message] of wrong)
    test(`refused: ${what}`, async () => {
        await assert.rejects(load(await changed(from, change), ONE_THREAD), (error) => {
            assert.match(/** @type {any} */ (error).code, new RegExp(`^${code}$`), String(error));
            assert.match(String(error), message);
            return true;
        });
    });

test("Qwen's sliding window", async () => {
    const cases = /** @type {const} */ ([
        [0, 9],
        [2, undefined],
        [undefined, undefined],
    ]); // the model has 2 layers; max_window_layers is 28 by default
    for (const [max_window_layers, window] of cases) {
        const path = await changed(`${folder}qwen2`, (to) =>
            editJson(`${to}/config.json`, (config) => {
                Object.assign(config, { use_sliding_window: true, sliding_window: 9, max_window_layers });
            }),
        );
        const model = await load(path, { ...ONE_THREAD, headerOnly: true });
        assert.equal(model.info.window, window);
        await model.dispose();
    }
});

test('null means "none", not the default', async () => {
    for (const [name, key, inFile, value] of /** @type {const} */ ([
        ['mistral', 'sliding_window', 'llama.attention.sliding_window', 4096],
        ['gemma2', 'final_logit_softcapping', 'gemma2.final_logit_softcapping', 30],
    ]))
        for (const given of [null, undefined]) {
            const path = await changed(folder + name, (to) =>
                editJson(`${to}/config.json`, (config) => {
                    config[key] = given;
                }),
            );
            const model = await load(path, { ...ONE_THREAD, headerOnly: true });
            assert.equal(model.info.metadata[inFile], given !== null ? value : name === 'gemma2' ? 0 : undefined);
            await model.dispose();
        }
});

test('tensor names of early BERT files (bert., gamma, beta)', async () => {
    const path = await changed(`${folder}bert`, (to) =>
        editTensors(`${to}/model.safetensors`, (tensors) => {
            for (const name of Object.keys(tensors).filter((key) => key !== '__metadata__')) {
                const older = name
                    .replace('LayerNorm.weight', 'LayerNorm.gamma')
                    .replace('LayerNorm.bias', 'LayerNorm.beta');
                tensors[`bert.${older}`] = tensors[name];
                delete tensors[name];
            }
        }),
    );
    await compareEmbeddings(path, 'safetensors/bert.json', ONE_THREAD);
});

test("missing keys have the defaults of transformers' classes", async () => {
    const classes = JSON.parse(await readFile(`${root}tests/fixtures/formats/folder-defaults.json`, 'utf8'));
    const { families } = JSON.parse(await readFile(`${root}tests/fixtures/formats/folder-keys.json`, 'utf8'));
    const without = ['opt', 'xlm-roberta']; // folder_mapping.py does not map these
    assert.deepEqual(
        Object.keys(families).filter((kind) => !without.includes(kind) && !classes[kind]),
        [],
    );
    for (const [model_type, { keys, tied }] of Object.entries(classes)) {
        const path = await changed(`${folder}llama-f32`, async (to) => {
            const extra = model_type === 'qwen3_moe' && { norm_topk_prob: true }; // the class's default is refused
            await writeFile(`${to}/config.json`, JSON.stringify({ model_type, ...extra }));
            // lm_head.weight becomes output.weight, unless the class ties it to the embedding by default
            await editTensors(`${to}/model.safetensors`, (tensors) => {
                tensors['lm_head.weight'] = tensors['model.norm.weight'];
                delete tensors['model.norm.weight'];
            });
        });
        const model = await load(path, { ...ONE_THREAD, headerOnly: true }),
            { info } = model;
        for (const [key, value] of /** @type {[string, number][]} */ (Object.entries(keys)))
            assert.ok(
                Math.abs(Number(info.metadata[key]) - value) < 1e-12,
                `${model_type}: ${key} is ${info.metadata[key]}, not ${value}`,
            );
        assert.equal(
            !info.tensors.some(({ name }) => name === 'output.weight'),
            tied || /bert/.test(model_type),
            `${model_type}: tied`,
        );
        await model.dispose();
    }
});

test('XLM-RoBERTa is RoBERTa; a language model head and the prefix "roberta." do not matter', async () => {
    const path = await changed(`${folder}roberta`, async (to) => {
        await editJson(`${to}/config.json`, (config) => {
            config.model_type = 'xlm-roberta';
        });
        await editTensors(`${to}/model.safetensors`, (tensors) => {
            tensors['roberta.embeddings.LayerNorm.weight'] = tensors['embeddings.LayerNorm.weight'];
            tensors['lm_head.dense.weight'] = tensors['pooler.dense.weight'];
            delete tensors['embeddings.LayerNorm.weight'];
            delete tensors['pooler.dense.weight'];
        });
    });
    assert.equal((await compareEmbeddings(path, 'safetensors/roberta.json', ONE_THREAD)).context, 61);
});

test('1_Pooling/config.json says how to pool', async () => {
    const [{ tokens, cls, mean }] = embeddingVectors('safetensors/bert.json');
    const path = await changed(`${folder}bert`, async (to) => {
        // a config.json in a subfolder, which must not be taken for the model's
        await mkdir(`${to}/onnx`);
        await copyFile(`${to}/config.json`, `${to}/onnx/config.json`);
    });
    const inside = [
        'config.json',
        'tokenizer.json',
        'model.safetensors',
        '1_Pooling/config.json',
        'onnx/config.json',
    ].map((name) => `${path}/${name}`);
    const chosen = await Promise.all(
        inside.map(async (name, i) =>
            Object.defineProperty((await asFiles([name]))[0], 'webkitRelativePath', {
                value: inside[i].replace(path, 'a/chosen'),
            }),
        ),
    );
    // without 1_Pooling/config.json: mean is the default
    const withoutPooling = inside.slice(0, 3);
    /** @type {[Source, number[]][]} */
    const sources = [
        [path, cls],
        [`${address}models/bert/`, cls],
        [inside.slice(0, 4), cls],
        [chosen, cls],
        [withoutPooling, mean],
        [await asFiles(withoutPooling), mean],
    ];
    for (const [source, expected] of sources) {
        const model = await load(source, ONE_THREAD);
        assert.ok(maxDistance(await model.embed(tokens), expected) < 1e-5, String(source));
        await model.dispose();
    }
});

test('refused: incomplete or ambiguous sources', async () => {
    await assert.rejects(load(`${whole}/model.safetensors`), /safetensors file.*whole folder/);
    await assert.rejects(load(await openAsBlob(split)), /part 1 of a model in 3 files/);
    await assert.rejects(load(`${address}models/nothing/`), /nothing\/config\.json answered 404/);
    await assert.rejects(load([]), /there is no model in the list/);
    const shards = (await filesOf(sharded)).filter((path) => !/index|00002/.test(path));
    await assert.rejects(load(shards), /model-00002-of-00004\.safetensors is missing in the list/);
    await assert.rejects(load(/** @type {any} */ ([new Blob(['x'])])), /each of several files must be a File/);
    await assert.rejects(load([`${whole}/config.json`, `${sharded}/config.json`]), /the same name/);
});
