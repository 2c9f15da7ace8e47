// Quantized folders as different versions of the libraries write them: logits are transformers', whatever the name and
// the place of the configuration; and keys that need another computation are refused by name.
import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { changedCopy, editJson, editTensors } from '../support/edits.js';
import { logitsOf, logitsVectors } from '../support/vectors.js';

const folder = `${root}tests/fixtures/safetensors/`;
const ONE = { threads: 1, kvType: /** @type {'f32'} */ ('f32') };

/** @type {string} */
let temporary;
before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'nibble-'));
});
after(() => rm(temporary, { recursive: true }));

/** @param {string} name of a fixture @param {(path: string) => Promise<unknown>} change which affects no number */
async function check(name, change) {
    const expected = logitsVectors(`safetensors/${name}.json`);
    const model = await load(await changedCopy(temporary, [folder + name], change), ONE);
    try {
        for (const [i, row] of (await logitsOf(model, expected.tokens)).entries())
            for (const [j, entry] of expected.entries.entries())
                assert.ok(
                    Math.abs(row[entry] - expected.rows[i][j]) < 2e-2,
                    `position ${i}: ${row[entry]}, not ${expected.rows[i][j]}`,
                );
    } finally {
        await model.dispose();
    }
}

/** @param {(section: any) => void} edit @returns {(path: string) => Promise<unknown>} */
const section = (edit) => (path) => editJson(`${path}/config.json`, (config) => edit(config.quantization_config));

/**
 * Moves the section into a file of its own.
 * @param {string} file
 * @param {(section: any) => object} [rename]
 * @returns {(path: string) => Promise<unknown>}
 */
const apart =
    (file, rename = (value) => value) =>
    async (path) => {
        let value;
        await editJson(`${path}/config.json`, (config) => {
            value = rename(config.quantization_config);
            delete config.quantization_config;
        });
        await writeFile(`${path}/${file}`, JSON.stringify(value));
    };

/** Adds a bias to every quantized matrix. @param {number} half the F16 numbers of the bias, as bits
 * @returns {(path: string) => Promise<unknown>} */
const biases = (half) => (path) =>
    editTensors(`${path}/model.safetensors`, (tensors) => {
        const end = Math.max(...Object.values(tensors).map((tensor) => tensor.data_offsets?.[1] ?? 0));
        let at = end;
        for (const [name, { shape }] of Object.entries(tensors)) {
            const bias = name.replace(/\.scales$/, '.bias');
            if (bias === name || tensors[bias]) continue;
            tensors[bias] = { dtype: 'F16', shape: [shape[1]], data_offsets: [at, at + 2 * shape[1]] };
            at += 2 * shape[1];
        }
        return Buffer.alloc(at - end, Buffer.from([half & 255, half >> 8]));
    });

/** @type {[string, string, (path: string) => Promise<unknown>][]} */
const same = [
    [
        'quantize_config.json of AutoGPTQ',
        'gptq',
        apart('quantize_config.json', ({ quant_method, ...rest }) => ({
            ...rest,
            damp_percent: 0.01,
            static_groups: false,
            true_sequential: true,
            model_name_or_path: null,
            model_file_base_name: null,
        })),
    ],
    ['quantize_config.json that has a method', 'gptq-zeros', apart('quantize_config.json')],
    [
        'quant_config.json of AutoAWQ',
        'awq',
        apart('quant_config.json', () => ({
            zero_point: true,
            q_group_size: 32,
            w_bit: 4,
            version: 'GEMM',
            modules_to_not_convert: null,
        })),
    ],
    [
        "GPTQModel's names of an AWQ folder",
        'awq',
        section((config) => {
            config.format = config.version;
            config.method = config.quant_method;
            delete config.version;
            delete config.quant_method;
        }),
    ],
    [
        'a checkpoint_format that is null',
        'gptq',
        section((config) => {
            config.checkpoint_format = null;
        }),
    ],
    [
        'a format in capitals',
        'gptq-zeros',
        section((config) => {
            config.checkpoint_format = 'GPTQ_V2';
        }),
    ],
    [
        'the format under its new name',
        'gptq-zeros',
        section((config) => {
            config.format = config.checkpoint_format;
            delete config.checkpoint_format;
        }),
    ],
    [
        'modules that are named as left out',
        'awq',
        section((config) => {
            config.modules_to_not_convert = ['lm_head'];
        }),
    ],
    [
        'bitsandbytes without quant_method',
        'bnb-nf4',
        section((config) => {
            delete config.quant_method;
        }),
    ],
    [
        'LLM.int8() without quant_method',
        'bnb-int8',
        section((config) => {
            delete config.quant_method;
            config.load_in_8bit = true;
            config.llm_int8_skip_modules = ['lm_head'];
        }),
    ],
    [
        'compression_config',
        'ct-int8',
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.compression_config = config.quantization_config;
                delete config.quantization_config;
            }),
    ],
    [
        'compression_config with a section inside',
        'ct-packed-4-bits',
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                config.compression_config = { quantization_config: config.quantization_config, sparsity_config: {} };
                delete config.quantization_config;
            }),
    ],
    [
        'a section that is null',
        'gptq',
        async (path) => {
            await apart('quantize_config.json')(path);
            await editJson(`${path}/config.json`, (config) => {
                config.quantization_config = null;
            });
        },
    ],
    [
        'a file beside a model that is not quantized',
        'llama-f32',
        (path) => writeFile(`${path}/quantize_config.json`, '{"bits": 5, "group_size": 128}'),
    ],
    [
        'rules that fit nothing',
        'gptq',
        section((config) => {
            config.dynamic = { '-:nothing': {}, '+:nowhere': { bits: 8 } };
        }),
    ],
    ['zero biases, Llama', 'gptq', biases(0)],
    ['zero biases, Mixtral', 'gptq-mixtral', biases(0)],
    ['zero biases, Phi 3', 'gptq-phi3', biases(0)],
    ['zero biases, Qwen 2', 'awq-qwen2', biases(0)],
    ['zero biases, Gemma 2', 'awq-gemma2', biases(0)],
    ['minus zero is zero', 'gptq-mixtral', biases(0x8000)],
];
for (const [what, name, change] of same) test(`the same logits: ${what}`, () => check(name, change));

/** @type {[string, string, (path: string) => Promise<unknown>, RegExp][]} */
const wrong = [
    [
        'biases that are no zeros',
        'gptq-mixtral',
        biases(0x3c00),
        /blk\.0\..*\.bias is not part of the llama architecture.*not all of it is zero/,
    ],
    [
        'biases of Phi 3 that are no zeros',
        'gptq-phi3',
        biases(0x3c00),
        /blk\.0\..*\.bias is not part of the phi3 architecture.*not all of it is zero/,
    ],
    [
        'no configuration at all',
        'gptq',
        (path) =>
            editJson(`${path}/config.json`, (config) => {
                delete config.quantization_config;
            }),
        /quantize_config\.json nor quant_config\.json/,
    ],
    [
        'no method',
        'gptq',
        section((config) => {
            delete config.quant_method;
        }),
        /no quant_method/,
    ],
    [
        'five bits in a file',
        'gptq',
        apart('quantize_config.json', (config) => ({ ...config, bits: 5 })),
        /quantize_config\.json: gptq of 5 bits/,
    ],
    [
        'another format',
        'gptq',
        section((config) => {
            config.checkpoint_format = 'marlin';
        }),
        /gptq in the format marlin is not supported/,
    ],
    [
        'another format by its new name',
        'gptq',
        section((config) => {
            config.format = 'gptq_p';
        }),
        /gptq in the format gptq_p is not supported/,
    ],
    [
        'llm-awq',
        'awq',
        section((config) => {
            config.backend = 'llm-awq';
        }),
        /awq in the format llm-awq is not supported/,
    ],
    [
        'gemv',
        'awq',
        section((config) => {
            config.version = 'gemv';
        }),
        /version must be "gemm"/,
    ],
    [
        'no zeros',
        'awq',
        section((config) => {
            config.zero_point = false;
        }),
        /zero_point must be true/,
    ],
    [
        'words of another size',
        'gptq',
        section((config) => {
            config.pack_dtype = 'int64';
        }),
        /pack_dtype must be "int32"/,
    ],
    [
        'words of another size for some modules',
        'gptq',
        section((config) => {
            config.dynamic = { '+:.*q_proj': { pack_dtype: 'int16' } };
        }),
        /pack_dtype must be "int32"/,
    ],
    [
        'a rotation',
        'gptq',
        section((config) => {
            config.rotation = 'hadamard';
        }),
        /rotation must be null/,
    ],
    [
        'an adapter',
        'gptq',
        section((config) => {
            config.adapter = { name: 'lora', rank: 8 };
        }),
        /adapter must be null/,
    ],
    [
        'codes that do not fit',
        'gptq-dynamic',
        (path) =>
            editTensors(`${path}/model.safetensors`, (tensors) => {
                const codes = tensors['model.layers.0.mlp.down_proj.qweight'];
                codes.shape = [11, 64];
                codes.data_offsets[1] -= 256;
            }),
        /blk\.0\.ffn_down\.weight is quantized.*not supported/,
    ],
    [
        'blocks that are no whole ones of NF4',
        'bnb-nf4-stored-as-bf16',
        async (path) => {
            const file = `${path}/model.safetensors`,
                text = (await readFile(file)).toString('latin1');
            await writeFile(file, text.replaceAll('"blocksize": 64', '"blocksize": 65'), 'latin1');
        },
        /quant_state of the matrix .* in blocks of 65/,
    ],
    [
        'compressed floats',
        'ct-int8',
        section((config) => {
            config.config_groups.group_0.weights.type = 'float';
        }),
        /"int-quantized" and the type "float" is not supported/,
    ],
    [
        'blocks',
        'ct-int8',
        section((config) => {
            config.config_groups.group_0.weights.block_structure = [128, 128];
        }),
        /block_structure must be null/,
    ],
];
for (const [what, name, change, message] of wrong)
    test(`refused: ${what}`, async () => {
        await assert.rejects(
            async () => load(await changedCopy(temporary, [folder + name], change), ONE),
            (error) => {
                assert.match(/** @type {Error} */ (error).message, message);
                return true;
            },
        );
    });

test("no key of a library's configuration is unknown", async () => {
    const source = await readFile(`${root}src/convert/huggingface_quantization.c`, 'utf8');
    /** @type {Record<string, string[]>} class: its tables */
    const tables = {
        'GPTQModel GPTQConfig': ['gptq'],
        'transformers GPTQConfig': ['gptq'],
        'GPTQModel AWQConfig': ['gptq', 'awq'],
        'transformers AwqConfig': ['gptq', 'awq'],
        'AutoAWQ AwqConfig': ['gptq', 'awq'],
        'transformers BitsAndBytesConfig': ['bitsandbytes'],
        'transformers CompressedTensorsConfig': ['compressed'],
        'compressed-tensors QuantizationConfig': ['compressed'],
        'compressed-tensors QuantizationScheme': ['scheme'],
        'compressed-tensors QuantizationArgs': ['weights'],
    };
    const fields = JSON.parse(await readFile(`${root}tests/fixtures/quantize/keys.json`, 'utf8'));
    assert.deepEqual(Object.keys(fields).sort(), Object.keys(tables).sort());
    for (const [what, names] of Object.entries(tables)) {
        const known = names.flatMap((name) => {
            const [, rows = ''] =
                new RegExp(`nb_known_key ${name}_keys\\[\\] = \\{([^]*?)\\{0\\}\\};`).exec(source) ?? [];
            return [...rows.matchAll(/{"(\w+)",/g)].map((row) => row[1]);
        });
        assert.deepEqual(
            fields[what].filter((/** @type {string} */ key) => !known.includes(key)),
            [],
            `${what}: keys that are in no table of huggingface_quantization.c`,
        );
    }
});
