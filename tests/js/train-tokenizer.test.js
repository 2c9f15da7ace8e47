// trainTokenizer() and nibble tokenizer: the tokenizer.json equals the one that the library tokenizers writes, the
// token ids are those of transformers (tests/oracles/trained_tokenizers.py), and what is refused.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { load, train, trainTokenizer } from '../../web/index.js';
import { root } from '../support/builds.js';

const folder = mkdtempSync(join(tmpdir(), 'nibble-tokenizer-')),
    at = (/** @type {string} */ name) => join(folder, name);
after(() => rmSync(folder, { recursive: true }));

/** @typedef {{ json: string, texts: string[], ids: number[][] }} Expected */
/** @type {{ text: string, cases: (Expected & { options: import('../../web/index.js').TokenizerOptions })[],
 *     folders: (Expected & { end: string | null, config: string })[] }} */
const { text, cases, folders } = JSON.parse(readFileSync(`${root}tests/fixtures/train/tokenizers.json`, 'utf8')),
    bytes = new TextEncoder().encode(text);
writeFileSync(at('text.txt'), bytes);

const CONFIG = {
    ...{ hidden_size: 32, intermediate_size: 64, num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 2 },
    ...{ tie_word_embeddings: true, max_position_embeddings: 64, rms_norm_eps: 1e-5 },
};

/** @param {string[]} args */
function nibble(...args) {
    const { status, stdout, stderr } = spawnSync(process.execPath, [`${root}web/cli.js`, ...args], {
        encoding: 'utf8',
    });
    return { status, stdout, stderr };
}

/** Runs the command with a file on standard input, through a pipe. @param {string} file @param {string[]} args */
function piped(file, ...args) {
    const script = 'cat "$0" | "$@"',
        command = [process.execPath, `${root}web/cli.js`, ...args];
    return spawnSync('bash', ['-c', script, file, ...command], { encoding: 'utf8' });
}

for (const { options, json, texts, ids } of cases)
    test(`the library's tokenizer: ${JSON.stringify(options)}`, async () => {
        const learned = await trainTokenizer(bytes, options);
        assert.equal(learned.json, json);
        assert.equal(learned.bytes, bytes.length);
        assert.equal(learned.tokens, Object.keys(JSON.parse(json).model.vocab).length);
        assert.equal(learned.brokenBytes, 0);

        // make a GGUF with this tokenizer, by a training without steps
        const tokenizer = [new File([learned.json], 'tokenizer.json')],
            training = await train({ config: CONFIG, tokenizer }, { data: text, steps: 1, batch: 1, length: 32 }),
            gguf = new Uint8Array(await new Response(/** @type {any} */ (training.model())).arrayBuffer());
        await training.dispose();
        const model = await load(gguf);
        for (const [i, one] of texts.entries())
            assert.deepEqual(
                Array.from(await model.tokenize(one, { special: true, bare: true })),
                ids[i],
                JSON.stringify(one),
            );
        await model.dispose();
    });

test('texts may come from any source, and several are separate texts', async () => {
    const options = { vocabulary: 300 },
        { json } = await trainTokenizer(bytes, options);
    const stream = new ReadableStream({
        start(controller) {
            for (let i = 0; i < bytes.length; i += 997) controller.enqueue(bytes.subarray(i, i + 997));
            controller.close();
        },
    });
    assert.equal((await trainTokenizer(/** @type {any} */ (stream), options)).json, json);
    assert.equal((await trainTokenizer(at('text.txt'), options)).json, json);
    const twice = await trainTokenizer([at('text.txt'), new File([bytes], 'b.txt')], options);
    assert.equal(twice.json, json); // all counts are doubled, so the order of merges is the same
    assert.equal(twice.bytes, 2 * bytes.length);
});

test('progress, an end by signal, and what is wrong', async () => {
    /** @type {import('../../web/index.js').TokenizerProgress[]} */
    const seen = [];
    await trainTokenizer(bytes, { vocabulary: 300, onProgress: (progress) => void seen.push(progress) });
    const [reading] = seen.filter(({ doing }) => doing === 'reading').slice(-1),
        [merging] = seen.filter(({ doing }) => doing === 'merging').slice(-1);
    assert.deepEqual([reading.done, reading.total], [bytes.length, bytes.length]);
    assert.deepEqual([merging.done, merging.total, merging.secondsLeft], [44, 44, 0]);

    const gone = new AbortController(),
        ended = trainTokenizer(bytes, { vocabulary: 5000, signal: gone.signal });
    gone.abort();
    await assert.rejects(ended, { name: 'AbortError' });
    const refused = async (/** @type {any} */ options, /** @type {RegExp} */ message) =>
        assert.rejects(trainTokenizer(bytes, options), (/** @type {any} */ error) => {
            assert.equal(error.code, 'NB_ERR_ARGUMENT');
            assert.match(error.message, message);
            return true;
        });
    await refused({}, /vocabulary \(--vocabulary\) is missing/);
    await refused({ vocabulary: 255 }, /from 256/);
    await refused({ vocabulary: 256, special: ['<s>'] }, /take 257/);
    await refused({ vocabulary: 300, pattern: 'gpt-5' }, /one of gpt-2, llama-3/);
    await refused({ vocabulary: 300, special: [''] }, /not empty/);
    await assert.rejects(trainTokenizer(at('absent.txt'), { vocabulary: 300 }), { code: 'NB_ERR_FILE' });
});

test('the command', () => {
    const [{ json }] = cases,
        args = [
            '--data',
            at('text.txt'),
            '--vocabulary',
            '512',
            '--special',
            '<|endoftext|>',
            '-o',
            at('tokenizer.json'),
        ];
    const made = nibble('tokenizer', ...args, '--json');
    assert.deepEqual([made.status, made.stderr], [0, '']);
    assert.equal(readFileSync(at('tokenizer.json'), 'utf8'), json);
    const { seconds, output, ...facts } = JSON.parse(made.stdout);
    assert.deepEqual([facts.tokens, facts.bytes, facts.brokenBytes], [512, bytes.length, 0]);
    assert.match(nibble('tokenizer', ...args).stderr, /is there already; --force writes over it/);
    rmSync(at('tokenizer.json'));
    assert.match(
        nibble('tokenizer', ...args).stderr,
        /tokenizer_config\.json is there already; --force writes over it/,
    );

    writeFileSync(at('latin.txt'), Buffer.from('été, été', 'latin1'));
    const broken = nibble('tokenizer', '--data', at('latin.txt'), '--vocabulary', '300', '-o', at('latin.json'));
    assert.equal(broken.status, 0);
    assert.match(broken.stderr, /4 bytes of the text are not UTF-8/);
    assert.match(broken.stdout, /tokens \(300 were asked for, and no pair is left to merge\)/);

    writeFileSync(at('empty.txt'), '');
    const empty = nibble('tokenizer', '--data', at('empty.txt'), '--vocabulary', '300', '-o', at('empty.json'));
    assert.deepEqual([empty.status, empty.stdout.startsWith(`${at('empty.json')}: 256 tokens`)], [0, true]);
    assert.equal(
        nibble('tokenizer', '--data', at('absent.txt'), '--vocabulary', '300', '-o', at('none.json')).status,
        1,
    );
    assert.equal(nibble('tokenizer', '--data', at('text.txt'), '-o', at('none.json')).status, 2);
    assert.ok(!readdirSync(folder).some((name) => name.includes('none') || name.includes('.part')));
});

for (const { end, json, config, texts, ids } of folders)
    test(`a folder that AutoTokenizer of transformers reads, with ${end ?? 'no token'} at the end`, async () => {
        const place = mkdtempSync(join(folder, 'folder-')),
            args = ['--data', at('text.txt'), '--vocabulary', '512', ...(end ? ['--end', end] : [])],
            { status, stderr } = nibble('tokenizer', ...args, '-o', join(place, 'tokenizer.json'));
        assert.equal(status, 0, stderr);
        assert.equal(readFileSync(join(place, 'tokenizer.json'), 'utf8'), json);
        assert.equal(readFileSync(join(place, 'tokenizer_config.json'), 'utf8'), config);
        // nibble gives the same ids with the folder
        const model = join(place, 'model.gguf'),
            trained = nibble(...anew('--data', at('text.txt'), '--steps', '1', '--tokenizer', place, '-o', model));
        assert.equal(trained.status, 0, trained.stderr);
        const loaded = await load(model);
        for (const [i, one] of texts.entries())
            assert.deepEqual(Array.from(await loaded.tokenize(one, { special: true })), ids[i], JSON.stringify(one));
        const { metadata } = loaded.info;
        assert.equal(metadata['tokenizer.ggml.eos_token_id'], end ? 0 : undefined);
        await loaded.dispose();
    });

test('nibble tokenizer --end must not be empty', () => {
    const args = ['--data', at('text.txt'), '--vocabulary', '300', '-o', at('none.json')];
    assert.match(nibble('tokenizer', ...args, '--end', '').stderr, /--end must be a token/);
});

/** @param {string[]} args */
const anew = (...args) => ['train', '--config', JSON.stringify(CONFIG), '--length', '32', ...args];

test('nibble train trains the tokenizer on its data', async () => {
    const { json } = await trainTokenizer(at('text.txt'), { vocabulary: 300 });
    writeFileSync(at('learned.json'), json);
    const args = anew('--steps', '1', '--data'),
        own = nibble(...args, at('text.txt'), '--vocabulary', '300', '-o', at('own.gguf')),
        given = nibble(...args, at('text.txt'), '--tokenizer', at('learned.json'), '-o', at('given.gguf')),
        dash = piped(at('text.txt'), ...args, '-', '--vocabulary', '300', '-o', at('dash.gguf'));
    assert.deepEqual([own.status, given.status, dash.status], [0, 0, 0], own.stderr + given.stderr + dash.stderr);
    assert.ok(readFileSync(at('own.gguf')).equals(readFileSync(at('given.gguf'))));
    assert.ok(readFileSync(at('own.gguf')).equals(readFileSync(at('dash.gguf'))));
    const tokenizer = piped(at('text.txt'), 'tokenizer', '--data', '-', '--vocabulary', '300', '-o', at('dash.json'));
    assert.equal(tokenizer.status, 0, tokenizer.stderr);
    assert.equal(readFileSync(at('dash.json'), 'utf8'), json);
});

test('nibble train --end: a token separates the texts, and ends what the model writes', async () => {
    const story = 'Once there was a cat.\n';
    writeFileSync(at('one.txt'), Array(40).fill(story).join('<|endoftext|>'));
    writeFileSync(at('two.txt'), story);
    const data = [
            '--data',
            at('one.txt'),
            '--data',
            at('two.txt'),
            '--vocabulary',
            '300',
            '--steps',
            '60',
            '--rate',
            '0.02',
        ],
        args = anew(...data, '--batch', '4', '-o', at('end.gguf')),
        { status, stdout, stderr } = nibble(...args, '--end', '<|endoftext|>', '--json');
    assert.equal(status, 0, stderr);
    const model = await load(at('end.gguf')),
        ids = Array.from(await model.tokenize(story)),
        letters = Array.from(await model.tokenize('<|endoftext|>', { bare: true }));
    assert.equal(ids[0], 0, 'the token is the first of the vocabulary, and before each text');
    assert.equal(JSON.parse(stdout).tokens, 41 * ids.length);
    assert.equal(letters.length, 13, 'nothing was learned from the letters of the token');
    const { text: written, finishReason } = await model.complete('', { temperature: 0, maxTokens: 40 });
    await model.dispose();
    assert.deepEqual([written, finishReason], [story, 'stop']);
    for (const [wrong, message] of /** @type {[string[], RegExp][]} */ ([
        [['--end', ''], /--end must be a token/],
        [['--end', 'x', '--tokenizer', at('learned.json')], /not both/],
    ]))
        assert.match(
            nibble(...args.map((word) => (word === at('end.gguf') ? at('x.gguf') : word)), ...wrong).stderr,
            message,
        );
    const init = ['train', '--init', at('end.gguf'), '--data', at('one.txt'), '-o', at('x.gguf'), '--end', 'x'];
    assert.match(nibble(...init).stderr, /--end is for a tokenizer that is trained, with --vocabulary/);
});
