// Which files make a model, by their names and URLs, as browsers, systems and people change them.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { load } from '../../web/index.js';
import { severalFiles } from '../../web/sources/folder.js';
import { hubUrl } from '../../web/sources/hub.js';
import { models, root } from '../support/builds.js';
import { listen } from '../support/loopback.js';

const fixtures = `${root}tests/fixtures/safetensors/`;
/** @type {string} */
let temporary;
before(async () => {
    temporary = await mkdtemp(join(tmpdir(), 'nibble-names-'));
});
after(() => rm(temporary, { recursive: true }));

/** The names in a list that nibble takes for the files of the model.
 * @param {string[]} names */
async function chosen(names) {
    const files = names.map((name) => ({ name, source: /** @type {const} */ ({ kind: 'path', path: name }) }));
    const several = await severalFiles({ kind: 'files', files });
    return several?.map(({ source }) => /** @type {{ path: string }} */ (source).path);
}

const HF = ['config.json', 'tokenizer.json'];

describe('of a list of names, those that make the model', () => {
    /** @type {[names: string[], wanted: string[] | RegExp][]} */
    const cases = [
        // what macOS, Git and download tools leave beside a model
        [['model.gguf', '._model.gguf', '.DS_Store'], ['model.gguf']],
        [['m/model.gguf', 'm/._model.gguf', '__MACOSX/m/._model.gguf'], ['m/model.gguf']],
        [['m/.cache/huggingface/other.gguf', 'm/model.gguf'], ['m/model.gguf']],
        [
            [...HF, 'model.safetensors', '._model.safetensors', '._config.json'],
            [...HF, 'model.safetensors'],
        ],
        [['._model.gguf'], /no model in the list/],
        // upper and lower case
        [['MODEL.GGUF'], ['MODEL.GGUF']],
        [
            ['a-00001-of-00002.GGUF', 'a-00002-of-00002.gguf'],
            ['a-00001-of-00002.GGUF', 'a-00002-of-00002.gguf'],
        ],
        [
            ['Config.json', 'tokenizer.JSON', 'Model.SafeTensors'],
            ['Config.json', 'tokenizer.JSON', 'Model.SafeTensors'],
        ],
        // what lies beside a model
        [['model.gguf', 'mmproj-model-f16.gguf'], ['model.gguf']],
        [['Model-mmproj.gguf', 'Model-Q4_K_M.gguf'], ['Model-Q4_K_M.gguf']],
        [
            ['a-00001-of-00002.gguf', 'a-00002-of-00002.gguf', 'mmproj-BF16.gguf'],
            ['a-00001-of-00002.gguf', 'a-00002-of-00002.gguf'],
        ],
        [['model.gguf', 'my-lora.gguf', 'imatrix.gguf', 'ggml-vocab-llama.gguf'], ['model.gguf']],
        [['model.imatrix.gguf', 'mmproj.gguf'], ['model.imatrix.gguf']],
        [['mmproj-model.gguf'], ['mmproj-model.gguf']], // a single file is loaded, and the core says what it is
        [
            [...HF, 'adapter_model.safetensors', 'weights.safetensors'],
            [...HF, 'weights.safetensors'],
        ],
        [
            [...HF, 'consolidated.safetensors', 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'],
            [...HF, 'model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'],
        ],
        [
            [...HF, 'model.safetensors', 'model-00001-of-00002.safetensors'],
            [...HF, 'model.safetensors'],
        ],
        [['model.gguf', 'adapter_model.safetensors'], ['model.gguf']], // no config.json: no folder of safetensors
        [
            ['model.gguf', ...HF, 'model.safetensors'],
            [...HF, 'model.safetensors'],
        ],
        [['a.gguf', 'b.gguf'], /several models in the list of files \(a\.gguf, b\.gguf\)/],
        // what browsers add to a name that exists already
        [['model (1).gguf'], ['model (1).gguf']],
        [
            ['a-00001-of-00002 (1).gguf', 'a-00002-of-00002.gguf'],
            ['a-00001-of-00002 (1).gguf', 'a-00002-of-00002.gguf'],
        ],
        [
            ['a-00001-of-00002(2).gguf', 'a-00002-of-00002 (12).gguf'],
            ['a-00001-of-00002(2).gguf', 'a-00002-of-00002 (12).gguf'],
        ],
        [
            ['config (1).json', 'tokenizer (3).json', 'model (2).safetensors'],
            ['config (1).json', 'tokenizer (3).json', 'model (2).safetensors'],
        ],
        [
            ['config.json', 'config (1).json', 'model.safetensors'],
            ['config.json', 'model.safetensors'],
        ],
        [
            ['config (1).json', 'config (2).json', 'model.safetensors'],
            /both config \(1\)\.json and config \(2\)\.json in the list of files could be config\.json/,
        ],
        [['a-00001-of-00002.gguf', 'a-00001-of-00002 (1).gguf', 'a-00002-of-00002.gguf'], /several models/],
        [['a-00001-of-00002 (1).gguf'], /a-00002-of-00002\.gguf is missing/],
        // folders
        [
            ['m/config.json', 'm/model.safetensors', 'm/onnx/model.safetensors', 'm/1_Pooling/config.json'],
            ['m/config.json', 'm/1_Pooling/config.json', 'm/model.safetensors'],
        ],
        [['m/a/model.gguf', 'm/b/model.gguf'], /models in several folders \(m\/a\/, m\/b\/\)/],
    ];
    for (const [names, wanted] of cases)
        test(names.join(', '), async () => {
            if (wanted instanceof RegExp) await assert.rejects(chosen(names), wanted);
            else assert.deepEqual(await chosen(names), wanted);
        });
});

test("paths: colons, slashes at the end, links, parts with a browser's numbers, folders that are called like files", async () => {
    const at = (/** @type {string} */ name) => join(temporary, name);
    const opens = async (/** @type {import('../../web/index.js').Source} */ source) => {
        const model = await load(source, { headerOnly: true });
        await model.dispose();
        return model.info.architecture;
    };
    await mkdir(at('one/folder.gguf'), { recursive: true });
    await cp(models.tiny, at('one/llama3:8b.GGUF'));
    await symlink(at('one/llama3:8b.GGUF'), at('latest.gguf'));
    assert.equal(await opens(at('one/llama3:8b.GGUF')), 'llama');
    assert.equal(await opens(at('one')), 'llama');
    assert.equal(await opens(`${at('one')}//`), 'llama');
    assert.equal(await opens(at('latest.gguf')), 'llama');
    const before = process.cwd();
    process.chdir(at('one'));
    try {
        assert.equal(await opens('llama3:8b.GGUF'), 'llama');
        assert.equal(await opens(['llama3:8b.GGUF']), 'llama');
        await assert.rejects(load('llama3:9b.gguf'), /cannot read llama3:9b\.gguf: there is no such file/);
    } finally {
        process.chdir(before);
    }

    await cp(`${fixtures}split`, at('split'), { recursive: true });
    const part = (/** @type {number} */ n, end = '') => at(`split/one-kv-head-0000${n}-of-00003${end}.gguf`);
    await rename(part(2), part(2, ' (1)'));
    await symlink(part(1), at('latest'));
    for (const source of [part(1), part(3), part(2, ' (1)'), at('latest'), at('split')])
        assert.equal(await opens(source), 'llama', source);
    await rename(part(3), at('elsewhere.gguf'));
    await assert.rejects(load(part(1)), /one-kv-head-00003-of-00003\.gguf: there is no such file/);
});

test('URLs: a query, a fragment, what is percent-encoded, a stray percent sign', async () => {
    /** @type {string[]} */
    const asked = [];
    const server = await listen(({ url = '' }, response) => {
        asked.push(url);
        response.writeHead(404).end();
    });
    const base = `${server.url}/`;
    try {
        for (const [source, wanted] of /** @type {[string | string[], string][]} */ ([
            ['m%20x/a-00002-of-00002.gguf?download=true#top', '/m%20x/a-00001-of-00002.gguf?download=true'],
            ['a%20b-00002-of-00002.gguf', '/a%20b-00001-of-00002.gguf'],
            ['100%.gguf', '/100%.gguf'],
            [['100%.gguf'], '/100%.gguf'],
            ['folder/?x=1', '/folder/config.json?x=1'],
        ])) {
            asked.length = 0;
            const url = Array.isArray(source) ? source.map((name) => base + name) : base + source;
            await assert.rejects(load(url), { code: 'NB_ERR_NETWORK' });
            assert.ok(asked.includes(wanted), `${source}: ${asked}`);
        }
    } finally {
        server.close();
    }
});

test('URLs of the hub: what people write, and nothing outside of the repository', () => {
    const base = 'https://huggingface.co/owner/repo/resolve/';
    for (const [text, wanted] of [
        ['hf:owner/repo', 'main/'],
        ['hf://owner/repo/a.gguf', 'main/a.gguf'],
        ['hf:owner/repo/sub/', 'main/sub/'],
        ['hf:owner/repo/sub/a b#1.gguf', 'main/sub/a%20b%231.gguf'],
        ['hf:owner/repo/a%20b.gguf?download=true', 'main/a%20b.gguf'],
        ['hf:owner/repo/100%.gguf', 'main/100%25.gguf'],
        ['hf:owner/repo@refs%2Fpr%2F1/a.gguf', 'refs%2Fpr%2F1/a.gguf'],
        ['hf:owner/repo/blob/v2/a.gguf', 'v2/a.gguf'],
        ['hf:owner/repo/tree/main', 'main/'],
        ['hf:owner/repo/..a/b..gguf', 'main/..a/b..gguf'],
    ])
        assert.equal(hubUrl(text), base + wanted);
    for (const wrong of [
        'hf:../..',
        'hf:owner/..',
        'hf:./repo',
        'hf:owner/repo/../../../other/repo/resolve/main/a.gguf',
        'hf:owner/repo/%2e%2e/a.gguf',
        'hf:owner/repo@../a.gguf',
        'hf:owner/repo@%2e%2e%2f../a.gguf',
        'hf:owner/repo/a/..%5cb',
        'hf:owner/repo//a.gguf',
        'hf:owner/repo/blob/..',
    ])
        assert.throws(() => hubUrl(wrong), /does not name a model on the hub/, wrong);
});

test('a folder without a model says what it has', async () => {
    await mkdir(join(temporary, 'torch'));
    await writeFile(join(temporary, 'torch/pytorch_model.BIN'), '');
    await assert.rejects(load(join(temporary, 'torch')), /no model.*safetensors version/);
});
