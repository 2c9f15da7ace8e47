// Folders of sentence-transformers: embeddings are the library's, with all kinds of modules, and from all kinds of
// sources.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { load } from '../../web/index.js';
import { root } from '../support/builds.js';
import { changedCopy, editJson } from '../support/edits.js';
import { listen } from '../support/loopback.js';
import { configurations, maxDistance } from '../support/vectors.js';

/** @typedef {{ text: string, prompt?: string, prompt_name?: string, vector: number[] }} Text */

const fixtures = `${root}tests/fixtures/sentence/`;
/** @type {Record<string, { base: string, texts: Text[] }>} as tests/oracles/sentence_folders.py wrote them */
const cases = JSON.parse(await readFile(`${fixtures}cases.json`, 'utf8'));
const ONE = { threads: 1, kvType: /** @type {'f32'} */ ('f32') };

/** @type {string} */
let temporary;
before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'nibble-'));
});
after(() => rm(temporary, { recursive: true }));

/** The model with the files of its modules. @param {string} name @param {(path: string) => Promise<unknown>} [change]
 * */
const together = (name, change) => changedCopy(temporary, [fixtures + cases[name].base, fixtures + name], change);

/** @param {import('../../web/index.js').Model} model @param {Text[]} texts */
async function compare(model, texts) {
    for (const { text, prompt, prompt_name: promptName, vector } of texts) {
        const embedding = await model.embed(text, { prompt, promptName });
        assert.equal(embedding.length, vector.length);
        const far = maxDistance(embedding, vector) / Math.max(1, ...vector.map(Math.abs));
        assert.ok(far < 1e-5, `${far} from the reference: ${promptName ?? prompt ?? ''} ${text}`);
    }
}

/**
 * @param {import('../../web/index.js').Source} source
 * @param {string} name
 * @param {import('../../web/index.js').LoadOptions} [options]
 */
async function check(source, name, options = ONE) {
    const model = await load(source, options);
    try {
        await compare(model, cases[name].texts);
        assert.equal(model.info.embedding?.size, cases[name].texts[0].vector.length);
    } finally {
        await model.dispose();
    }
}

for (const { build, threads } of configurations(true))
    test(`${build}, ${threads} threads: embeddings are sentence-transformers'`, async (t) => {
        for (const name of Object.keys(cases))
            await t.test(name, async () => check(await together(name), name, { build, threads, kvType: 'f32' }));
    });

test("embeddings.create(): what was embedded is counted, with a prompt, and a long text's cut; once", async () => {
    const { texts } = cases['old-several'],
        { max_seq_length } = JSON.parse(await readFile(`${fixtures}old-several/sentence_bert_config.json`, 'utf8')),
        long = /** @type {Text} */ (texts.find(({ text }) => text.length > 60)).text;
    for (const [name, input, prompt] of [
        ['old-several', long, ''],
        ['prompts', 'an old bee danced', 'ask: '], // its default_prompt_name is "query"
    ]) {
        const model = await load(await together(name), ONE);
        try {
            const whole = (await model.tokenize(prompt + input)).length;
            if (input === long) assert.ok(whole > max_seq_length);
            model.tokenize = () => assert.fail('embed() has tokenized it');
            const { data, usage } = await model.embeddings.create({ input: [input, input] });
            assert.equal(usage.prompt_tokens, 2 * (input === long ? max_seq_length : whole));
            assert.deepEqual(data[0].embedding, Array.from(await model.embed(input)));
        } finally {
            await model.dispose();
        }
    }
});

test('the files come from a server, from a list, from a folder that was chosen', async () => {
    /** @type {string[]} */
    const asked = [];
    const server = await listen(async ({ url = '' }, response) => {
        asked.push(url);
        const bytes = await readFile(join(temporary, decodeURIComponent(url))).catch(() => null);
        response.writeHead(bytes ? 200 : 404).end(bytes ?? '<html>no</html>');
    });
    try {
        for (const name of ['several', 'elsewhere', 'old-no-mode']) {
            const path = await together(name);
            const within = (await readdir(path, { recursive: true, withFileTypes: true }))
                .filter((entry) => entry.isFile())
                .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(path.length + 1));
            const urls = within.map((file) => `${server.url}${path.slice(temporary.length)}/${file}`);
            const chosen = await Promise.all(
                within.map(async (file) =>
                    Object.defineProperty(
                        new File([await readFile(join(path, file))], file.split('/').pop() ?? ''),
                        'webkitRelativePath',
                        { value: `chosen/${file}` },
                    ),
                ),
            );
            await check(`${server.url}${path.slice(temporary.length)}/`, name);
            for (const source of [within.map((file) => join(path, file)).reverse(), urls, chosen])
                await check(source, name);
        }
        assert.ok(asked.some((url) => url.endsWith('/Projection/model.safetensors')));
    } finally {
        server.close();
    }
});

test('a transformer in a subfolder', async () => {
    const path = await together('labse', async (to) => {
        const base = fixtures + cases.labse.base;
        await cp(base, `${to}/0_Transformer`, { recursive: true });
        for (const file of await readdir(base)) await rm(`${to}/${file}`);
        await editJson(`${to}/modules.json`, (modules) => {
            modules[0].path = '0_Transformer';
        });
    });
    await check(path, 'labse');
});

test('prompts: by name, a given text, none, and one that does not exist', async () => {
    const model = await load(await together('prompts'), ONE);
    try {
        const { embedding } = model.info;
        assert.deepEqual(embedding?.prompts, { document: '', none: '', passage: 'read: ', query: 'ask: ' });
        assert.equal(embedding?.defaultPrompt, 'query');
        assert.equal(embedding?.includePrompt, false);
        assert.deepEqual(await model.embed('a leaf'), await model.embed('a leaf', { promptName: 'query' }));
        assert.deepEqual(
            await model.embed('a leaf', { prompt: '' }),
            await model.embed('a leaf', { promptName: 'none' }),
        );
        assert.deepEqual(
            await model.embed(await model.tokenize('a leaf')),
            await model.embed('a leaf', { prompt: '' }),
        );
        await assert.rejects(model.embed('a', { promptName: 'toString' }), /no prompt "toString"; it has .*"query"/);
        await assert.rejects(model.embed('a', { promptName: 'query', prompt: 'x' }), /give one of them/);
        await assert.rejects(model.embed([5], { promptName: 'query' }), /promptName.*goes with an input that is/);
        await assert.rejects(model.embed('a', /** @type {any} */ ({ prompt: 5 })), /prompt must be a text/);
    } finally {
        await model.dispose();
    }
});

test('the command line: prompts, and normalization as in the folder', async () => {
    const path = await together('prompts-pooled');
    const run = (/** @type {string[]} */ ...args) =>
        JSON.parse(
            execFileSync(process.execPath, [`${root}web/cli.js`, 'embed', path, ...args, '--kv-type', 'f32'], {
                encoding: 'utf8',
            }),
        );
    for (const { text, prompt, prompt_name: name, vector } of cases['prompts-pooled'].texts.slice(-2))
        assert.ok(
            maxDistance(
                run('--text', text, ...(name ? ['--prompt-name', name] : []), ...(prompt ? ['--prompt', prompt] : [])),
                vector,
            ) < 1e-4,
        );
});

test('with another pooling the other modules are skipped', async () => {
    const path = await together('several'),
        plain = await together('mean');
    const model = await load(path, ONE),
        other = await load(plain, ONE);
    const [embedding, expected] = [
        await model.embed('a leaf', { pooling: 'mean' }),
        await other.embed('a leaf', { pooling: 'mean' }),
    ];
    assert.deepEqual(embedding, expected);
    assert.ok(Math.abs(embedding.reduce((sum, x) => sum + x * x, 0) - 1) < 1e-5);
    await model.dispose();
    await other.dispose();
});

test('no key that the library reads is unknown', async () => {
    const source = await readFile(`${root}src/convert/sentence.c`, 'utf8');
    /** @type {Record<string, string>} */
    const tables = {
        Transformer: 'transformer',
        Pooling: 'pooling',
        Dense: 'dense',
        LayerNorm: 'layer_norm',
        Normalize: 'normalize',
        Dropout: 'dropout',
        'config_sentence_transformers.json': 'model_config',
        'sentence_bert_config.json': 'transformer',
        'modules.json': 'module_list',
    };
    const read = JSON.parse(await readFile(`${fixtures}keys.json`, 'utf8'));
    assert.deepEqual(Object.keys(read).sort(), Object.keys(tables).sort());
    for (const [what, table] of Object.entries(tables)) {
        const [, rows = ''] =
            new RegExp(`nb_known_key ${table}_keys\\[\\] = \\{([^]*?)\\{0\\},?\\s*\\};`).exec(source) ?? [];
        const known = [...rows.matchAll(/{"(\w+)",/g)].map((row) => row[1]);
        assert.deepEqual(
            read[what].filter((/** @type {string} */ key) => !known.includes(key)),
            [],
            `${what}: keys that are in no table of sentence.c`,
        );
    }
});

/** @type {[string, string, (path: string) => Promise<unknown>, RegExp][]} */
const wrong = [
    [
        'another module',
        'mean',
        (path) =>
            editJson(`${path}/modules.json`, (modules) => {
                modules.push({ idx: 2, name: '2', path: '2_LSTM', type: 'sentence_transformers.models.LSTM' });
            }),
        /modules\.json: module 2 is "sentence_transformers\.models\.LSTM", which is not supported/,
    ],
    [
        "a module of one's own",
        'mean',
        (path) =>
            editJson(`${path}/modules.json`, (modules) => {
                modules[1].type = 'my_module.Pooling';
            }),
        /module 1 is "my_module\.Pooling"/,
    ],
    [
        'a module before pooling',
        'labse',
        (path) =>
            editJson(`${path}/modules.json`, (modules) => {
                modules.splice(1, 0, modules.splice(2, 1)[0]);
            }),
        /module 1 is ".*dense\.Dense", which is not supported there/,
    ],
    [
        'no pooling',
        'mean',
        (path) =>
            editJson(`${path}/modules.json`, (modules) => {
                modules.pop();
            }),
        /names no Pooling module/,
    ],
    [
        'a path that leaves the folder',
        'mean',
        (path) =>
            editJson(`${path}/modules.json`, (modules) => {
                modules[1].path = '../1_Pooling';
            }),
        /modules\.json in .* is damaged/,
    ],
    ['no list', 'mean', (path) => writeFile(`${path}/modules.json`, '{"a": 1}'), /modules\.json in .* is damaged/],
    [
        'another way to pool',
        'mean',
        (path) =>
            editJson(`${path}/1_Pooling/config.json`, (config) => {
                config.pooling_mode = 'median';
            }),
        /pooling_mode median is not supported/,
    ],
    [
        'another key of pooling',
        'mean',
        (path) =>
            editJson(`${path}/1_Pooling/config.json`, (config) => {
                config.pooling_heads = 2;
            }),
        /1_Pooling\/config\.json: the key pooling_heads/,
    ],
    [
        'another activation',
        'labse',
        (path) =>
            editJson(`${path}/2_Dense/config.json`, (config) => {
                config.activation_function = 'torch.nn.modules.activation.CELU';
            }),
        /activation_function torch.*CELU/,
    ],
    [
        'a dense module of tokens',
        'labse',
        (path) =>
            editJson(`${path}/2_Dense/config.json`, (config) => {
                config.module_input_name = 'token_embeddings';
            }),
        /module_input_name must be "sentence_embedding"/,
    ],
    [
        'a residual',
        'labse',
        (path) =>
            editJson(`${path}/2_Dense/config.json`, (config) => {
                config.use_residual = true;
            }),
        /use_residual must be false/,
    ],
    [
        'a dense module without weights',
        'labse',
        (path) => rm(`${path}/2_Dense/model.safetensors`),
        /2_Dense\/model\.safetensors is missing/,
    ],
    [
        'weights that do not fit',
        'labse',
        async (path) => cp(`${fixtures}several/2_Dense/model.safetensors`, `${path}/2_Dense/model.safetensors`),
        /step 0 of the embedding needs a matrix of 32 columns/,
    ],
    [
        'a default prompt that does not exist',
        'prompts',
        (path) =>
            editJson(`${path}/config_sentence_transformers.json`, (config) => {
                config.default_prompt_name = 'ask';
            }),
        /default_prompt_name is ask, which is none of the prompts/,
    ],
    [
        'a sparse encoder',
        'mean',
        (path) =>
            editJson(`${path}/config_sentence_transformers.json`, (config) => {
                config.model_type = 'SparseEncoder';
            }),
        /model_type must be "SentenceTransformer"/,
    ],
    [
        'a reranker',
        'mean',
        (path) =>
            editJson(`${path}/sentence_bert_config.json`, (config) => {
                config.transformer_task = 'sequence-classification';
            }),
        /transformer_task must be "feature-extraction"/,
    ],
    [
        'lower case that the tokenizer does not make',
        'mean',
        (path) =>
            editJson(`${path}/sentence_bert_config.json`, (config) => {
                config.do_lower_case = true;
            }),
        /do_lower_case is true, but/,
    ],
    [
        'another output',
        'mean',
        (path) =>
            editJson(`${path}/sentence_bert_config.json`, (config) => {
                config.modality_config.text.method_output_name = 'pooler_output';
            }),
        /modality_config must be of a text's last_hidden_state/,
    ],
    [
        'chat templates',
        'mean',
        (path) =>
            editJson(`${path}/sentence_bert_config.json`, (config) => {
                config.modality_config.message = config.modality_config.text;
            }),
        /modality_config/,
    ],
];

for (const [what, name, change, message] of wrong)
    test(`refused: ${what}`, async () => {
        await assert.rejects(
            async () => load(await together(name, change), ONE),
            (error) => {
                assert.match(/** @type {Error} */ (error).message, message);
                return true;
            },
        );
    });
