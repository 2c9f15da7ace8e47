// The command line: what scripts rely on (arguments, JSON, exit codes), and what people read.
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { COMMANDS } from '../../web/cli/commands.js';
import { readInput } from '../../web/cli/files.js';
import { load } from '../../web/index.js';
import { LOAD_OPTIONS } from '../../web/options.js';
import { models, root } from '../support/builds.js';
import { configurations, logitsOf } from '../support/vectors.js';

const tiny = models.tiny;
const folder = mkdtempSync(join(tmpdir(), 'nibble-'));
after(() => rmSync(folder, { recursive: true }));

/**
 * @param {string[]} args
 * @param {(child: import('node:child_process').ChildProcessByStdio<null,
 *     import('node:stream').Readable, import('node:stream').Readable>) => void} [meddle]
 * @returns {Promise<{ code: number | null, out: string, err: string }>}
 */
function nibble(args, meddle) {
    const child = spawn(process.execPath, [`${root}web/cli.js`, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    let out = '',
        err = '';
    child.stdout.setEncoding('utf8').on('data', (text) => {
        out += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text) => {
        err += text;
    });
    meddle?.(child);
    return new Promise((resolve) => child.on('close', (code) => resolve({ code, out, err })));
}

/** Runs a command that must succeed, and print one line. @param {string[]} args */
async function json(...args) {
    const { code, out, err } = await nibble(args);
    assert.equal(code, 0, err);
    assert.equal(err, '');
    assert.equal(out.split('\n').length, 2, 'more than one line');
    return JSON.parse(out);
}

test('a dash is standard input: of a model, or of a text', () => {
    const sh = (/** @type {string} */ script, /** @type {string[]} */ ...args) =>
        execFileSync('sh', ['-c', script, process.execPath, `${root}web/cli.js`, ...args], { encoding: 'utf8' });
    assert.match(sh('cat "$2" | "$0" "$1" inspect -', tiny), /^format +GGUF/m);
    const text = join(folder, 'text.txt'),
        measure = '"$0" "$1" perplexity "$2" --context 64 --json --file';
    writeFileSync(text, 'Once upon a time there was a little girl. '.repeat(20));
    const [piped, read] = [sh(`cat "$3" | ${measure} -`, tiny, text), sh(`${measure} "$3"`, tiny, text)];
    assert.equal(JSON.parse(piped).perplexity, JSON.parse(read).perplexity);
});

test('standard input may be a socket, as Node makes one for child processes', () => {
    const fed = (/** @type {string | Buffer} */ input, /** @type {string[]} */ ...args) =>
        spawnSync(process.execPath, [`${root}web/cli.js`, ...args], { encoding: 'utf8', input }).stdout; // not all is read
    assert.match(fed(readFileSync(tiny), 'inspect', '-'), /^format +GGUF/m);
    const run = ['-', '--prompt', 'Once', '--max-tokens', '3', '--temperature', '0'];
    const answer = fed('', 'run', tiny, ...run.slice(1));
    assert.ok(answer.length > 1);
    assert.equal(fed(readFileSync(tiny), 'run', ...run), answer);
    const text = 'Once upon a time there was a little girl. '.repeat(20);
    assert.match(fed(text, 'perplexity', tiny, '--context', '64', '--json', '--file', '-'), /"perplexity"/);
    assert.match(fed(text, 'tokenizer', '--data', '-', '--vocabulary', '270', '-o', join(folder, 'socket.json')), /./);
});

test('a text that comes in small pieces takes little memory', async () => {
    const pipe = join(folder, 'slow'),
        line = 'a line that is written by itself\n',
        lines = 4000;
    execFileSync('mkfifo', [pipe]);
    const script = `
        const { openSync, writeSync } = require('node:fs'), out = openSync(${JSON.stringify(pipe)}, 'w');
        for (let i = 0; i < ${lines}; i++) {
            writeSync(out, ${JSON.stringify(line)});
            for (const began = performance.now(); performance.now() < began + 0.2; );
        }`;
    const writer = spawn(process.execPath, ['-e', script], { stdio: 'ignore' }),
        before = process.memoryUsage().arrayBuffers;
    let most = 0;
    const watch = setInterval(() => {
        most = Math.max(most, process.memoryUsage().arrayBuffers - before);
    }, 10);
    try {
        assert.equal(Buffer.from(await readInput('--data', pipe)).toString(), line.repeat(lines));
        assert.ok(most < 32e6, `${most} bytes for ${line.length * lines}`);
    } finally {
        clearInterval(watch);
        writer.kill();
    }
});

test('run --prompt prints the text; --json prints one object that agrees with it', async () => {
    const args = ['run', tiny, '--prompt', 'Once upon a time', '--max-tokens', '20', '--temperature', '0'];
    const { code, out, err } = await nibble(args);
    assert.deepEqual([code, err], [0, '']);
    const result = await json(...args, '--json');
    assert.equal(out, `${result.text}\n`);
    assert.equal(result.tokens.length, 20);
    assert.ok(result.tokens.every(Number.isInteger));
    assert.ok(Number.isInteger(result.promptTokens));
    assert.match(result.build, /^(simd128|relaxed|relaxed-dot)(-threads)?$/);
    for (const name of ['loadMs', 'promptTokensPerSecond', 'generateTokensPerSecond'])
        assert.ok(result.timings[name] > 0, name);
});

test('run: every flag reaches the engine', async () => {
    const flags = {
        maxTokens: 12,
        temperature: 1.3,
        topK: 7,
        topP: 0.9,
        minP: 0.01,
        seed: 42,
        repeatPenalty: 1.1,
        frequencyPenalty: 0.2,
        presencePenalty: 0.1,
        penaltyLast: 8,
    };
    const result = await json(
        'run',
        tiny,
        '--prompt',
        'A dog',
        '--max-tokens=12',
        '--temperature=1.3',
        '--top-k',
        '7',
        '--top-p',
        '.9',
        '--min-p',
        '0.01',
        '--seed',
        '42',
        '--repeat-penalty',
        '1.1',
        '--frequency-penalty',
        '0.2',
        '--presence-penalty',
        '0.1',
        '--penalty-last',
        '8',
        '--logit-bias',
        '300=-2.5',
        '--logit-bias',
        '301=1',
        '--logit-bias',
        ' the=2',
        '--logprobs',
        '--top-logprobs=2',
        '--threads',
        '1',
        '--context',
        '100',
        '--json',
    );
    const model = await load(tiny, { threads: 1, contextLength: 100 });
    const expected = await model.complete('A dog', {
        ...flags,
        logitBias: { 300: -2.5, 301: 1, ' the': 2 },
        ...{ logprobs: true, topLogprobs: 2 },
    });
    await model.dispose();
    assert.deepEqual(result.tokens, expected.tokens);
    assert.deepEqual(result.logprobs, expected.logprobs);
    assert.equal(result.threads, 1);
    assert.equal(result.seed, 42);
});

test('run --chat answers by the template; --stop ends it', async () => {
    const model = await load(tiny);
    const expected = await model.chat(
        [
            { role: 'system', content: 'Be brief.' },
            { role: 'user', content: 'Hello' },
        ],
        { maxTokens: 20 },
    );
    await model.dispose();
    const args = ['run', tiny, '--chat', 'Hello', '--system', 'Be brief.', '--max-tokens', '20', '--json'];
    const result = await json(...args);
    assert.deepEqual([result.tokens, result.promptTokens], [expected.tokens, expected.promptTokens]);
    const stop = expected.text.slice(5, 9);
    assert.equal(
        (await json(...args, '--stop', 'never', '--stop', stop)).text,
        expected.text.slice(0, expected.text.indexOf(stop)),
    );
});

test('tokenize prints an array; --special parses', async () => {
    const text = 'One<|im_end|> two';
    const model = await load(tiny, { headerOnly: true });
    const plain = await json('tokenize', tiny, '--text', text);
    const special = await json('tokenize', tiny, '--text', text, '--special');
    assert.deepEqual(plain, await model.tokenize(text));
    assert.deepEqual(special, await model.tokenize(text, { special: true }));
    assert.ok(special.includes(2) && !plain.includes(2));
    assert.equal(await model.detokenize(plain), text);
    await model.dispose();
});

test('template prints the prompt of a conversation; --json its tokens, too', async () => {
    const messages = [
        { role: 'user', content: 'Hi' },
        { role: 'assistant', content: '<|im_end|>' },
        { role: 'user', content: 'é' },
    ];
    const model = await load(tiny, { headerOnly: true });
    const whole = await model.applyTemplate(messages),
        bare = await model.applyTemplate(messages, { addGenerationPrompt: false });
    await model.dispose();
    const file = join(folder, 'chat.json');
    writeFileSync(file, `\ufeff${JSON.stringify(messages)}`);
    assert.equal((await nibble(['template', tiny, '--messages', file])).out, `${whole.text}\n`);
    assert.deepEqual(await json('template', tiny, '--messages', file, '--json'), whole);
    assert.deepEqual(
        await json(
            'template',
            tiny,
            '--messages',
            JSON.stringify(messages),
            '--no-generation-prompt',
            '--variables',
            '{"x": 1}',
            '--json',
        ),
        bare,
    );
    for (const [given, told] of /** @type {[string, RegExp][]} */ ([
        ['{}', /must be an array of objects/],
        ['nowhere.json', /cannot read nowhere\.json: there is no such file/],
        ['[1', /not JSON/],
        ['[{"content":"a"}]', /no role/],
    ]))
        assert.match((await nibble(['template', tiny, '--messages', given])).err, told);
});

test('inspect: a table for people, everything for programs', async () => {
    const { out } = await nibble(['inspect', tiny]);
    assert.match(out, /^architecture +llama$/m);
    assert.match(out, /^file size +698,240 bytes$/m);
    assert.match(out, /Q4_1 +24 tensors/);
    assert.match(
        (await nibble(['inspect', tiny, '--context', '100'])).out,
        /^memory +1 MB at 100 tokens: weights 1 MB, cache 1 MB/m,
    );
    assert.match(
        (await nibble(['inspect', `${root}tests/fixtures/encoders/bert.gguf`])).out,
        /^chat +none: it embeds texts$/m,
    );
    const file = await json('inspect', tiny, '--json');
    assert.equal(file.bytes, 698240);
    assert.equal(file.architecture, 'llama');
    assert.equal(file.metadata['general.name'], file.name);
    assert.ok(Array.isArray(file.tensors));
    assert.equal(file.build, undefined);
});

for (const { build, threads } of configurations())
    test(`eval and bench: ${build}, ${threads} threads`, async () => {
        const engine = ['--build', build, '--threads', String(threads)];
        const tokens = [5, 600, 7, 80, 900, 10, 11, 12, 13, 14];
        const file = join(folder, 'logits.bin');
        assert.deepEqual(await nibble(['eval', tiny, '--tokens', tokens.join(), '--logits', file, ...engine]), {
            code: 0,
            out: '',
            err: '',
        });
        const bytes = readFileSync(file);
        assert.equal(bytes.length, tokens.length * 1024 * 4);
        const model = await load(tiny, { build, threads });
        const expected = await logitsOf(model, tokens);
        await model.dispose();
        for (const [i, row] of expected.entries())
            for (const [j, logit] of row.entries()) assert.equal(bytes.readFloatLE(4 * (1024 * i + j)), logit);

        const result = await json(
            'bench',
            tiny,
            '--prompt-tokens',
            '32',
            '--generate-tokens',
            '8',
            '--repetitions',
            '2',
            '--json',
            ...engine,
        );
        assert.deepEqual(
            [result.build, result.threads, result.promptTokens, result.generateTokens],
            [build, threads, 32, 8],
        );
        assert.ok(result.promptTokensPerSecond > 0 && result.generateTokensPerSecond > 0);
        for (const phase of ['prompt', 'generate']) {
            const { share, limit, tokensPerSecond, ...figures } = result.ceiling[phase];
            assert.ok(Math.abs(share * tokensPerSecond - result[`${phase}TokensPerSecond`]) < 1e-6 * tokensPerSecond);
            // a tenth: other programs may slow the measurement of the machine
            assert.ok(share > 0 && share <= 1.1, `${phase}: ${JSON.stringify(result.ceiling)}`);
            assert.match(limit, /^(reading|multiplying)$/);
            for (const [name, figure] of Object.entries(figures)) assert.ok(figure > 0, name);
            assert.deepEqual(Object.keys(figures), [
                'bytesPerToken',
                'readBytesPerSecond',
                'multiplyAddsPerToken',
                'multiplyAddsPerSecond',
            ]);
        }
    });

test('bench for people', async () => {
    const { code, out } = await nibble([
        'bench',
        tiny,
        '--prompt-tokens',
        '8',
        '--generate-tokens',
        '4',
        '--repetitions',
        '1',
    ]);
    assert.equal(code, 0);
    assert.match(out, /, exact, build \S+, threads \d+\n.+, \d+ logical cores; (dot )?products of (bytes|16 bits)/);
    assert.match(out, /^prompt +[\d.]+ tokens\/s/m);
    assert.match(out, /^generate +[\d.]+ tokens\/s/m);
    assert.equal(
        out.match(
            /^ +\d+ % of the [\d.]+ that (reading the weights allows \([\d.]+ GB\/s, [\d.]+ MB a token\)|multiplying allows \([\d.]+ G multiply-adds\/s, [\d.]+ M a token\))$/gm,
        )?.length,
        2,
        out,
    );
});

describe('exit code 2 for wrong usage, with what is wrong and where help is', () => {
    /** @type {[args: string[], message: RegExp][]} */
    const wrong = [
        [[], /a command is missing; it is one of run, serve, eval/],
        [['help', 'templat'], /unknown command templat; did you mean template\?/],
        [['runn', tiny], /unknown command runn; did you mean run\?/],
        [['run'], /which model/],
        [['bench', tiny, '--prompt-tokens', '500'], /500 tokens and 64 generated ones .* context, which is 512/],
        [
            ['perplexity', tiny, '--file', `${root}demo/index.html`, '--context', '64', '--stride', '65'],
            /a stride \(--stride\) of 65/,
        ],
        [['run', tiny, 'and', 'more'], /one model at a time.*quotes/],
        [['run', tiny], /--prompt or a --chat is needed/], // standard input is not a terminal
        [['run', tiny, '--json'], /--json needs a --prompt/],
        [['run', tiny, '--prompt', 'a', '--chat', 'b'], /exclude each other/],
        [['run', tiny, '--prompt', 'a', '--system', 'b'], /--system belongs to a chat/],
        [['run', tiny, '--prompt', 'a', '--variables', '{"x": 1}'], /--variables are for a chat's template/],
        [['run', tiny, '--chat', 'a', '--special'], /--special belongs to --prompt/],
        [['embed', tiny, '--tokens', '5', '--prompt', 'a'], /go with --text/],
        [['embed', tiny, '--text', 'a', '--prompt', 'a', '--prompt-name', 'b'], /exclude each other/],
        [['run', tiny, '--promt', 'a'], /unknown option --promt; did you mean --prompt\?/],
        [['run', tiny, '--prompt'], /--prompt needs a value: --prompt TEXT/],
        [['run', tiny, '-p', 'a'], /unknown option -p/],
        [['run', tiny, '--prompt', 'a', '--prompt', 'b'], /given twice/],
        [['run', tiny, '--prompt', 'a', '--json=yes'], /--json takes no value/],
        [
            ['run', tiny, '--prompt', 'a', '--temperature', 'hot'],
            /--temperature must be a number from 0 to 100, not "hot"/,
        ],
        [['run', tiny, '--prompt', 'a', '--max-tokens', '0'], /--max-tokens must be a whole number, at least 1, not 0/],
        [['run', tiny, '--prompt', 'a', '--threads', ''], /--threads must be a whole number/],
        [
            ['run', tiny, '--prompt', 'a', '--logit-bias', '5'],
            /--logit-bias must be a token id or a token's text and a number/,
        ],
        [['run', tiny, '--prompt', 'a', '--logprobs'], /--logprobs needs --json/],
        [['run', tiny, '--prompt', 'a', '--json', '--top-logprobs', '3'], /--top-logprobs needs --logprobs/],
        [['run', tiny, '--prompt', 'a', '--keep', '3'], /--keep needs --context-overflow slide or shift/],
        [['run', tiny, '--chat', 'a', '--keep', '3', '--context-overflow', 'slide'], /--keep belongs to --prompt/],
        [['run', tiny, '--prompt', 'a', '--build', 'avx'], /--build must be one of/],
        [['run', tiny, '--prompt', 'a', '--double-quant'], /it needs quantize \(--quantize\) nf4 or fp4/],
        [['run', tiny, '--prompt', 'a', '--stop', ''], /--stop must be a text that is not empty/],
        [['eval', tiny, '--logits', 'x'], /--tokens IDS is missing/],
        [['eval', tiny, '--tokens', '1,b', '--logits', 'x'], /token ids with commas/],
        [['tokenize', tiny], /--text TEXT is missing/],
        [['inspect', tiny, '--threads', '2'], /unknown option --threads/],
    ];
    for (const [args, message] of wrong)
        test(args.map((arg) => arg.replace(root, '')).join(' ') || '(nothing)', async () => {
            const { code, out, err } = await nibble(args);
            assert.equal(code, 2);
            assert.equal(out, '');
            assert.match(err, message);
            assert.match(err, /^nibble: .+\nTry: nibble .*--help\n$/);
        });
});

describe('exit code 1 for a failure, with one line that says which file', () => {
    writeFileSync(join(folder, 'cut.gguf'), readFileSync(tiny).subarray(0, 400000));
    writeFileSync(join(folder, 'page.gguf'), '<!doctype html><p>Log in');
    /** @type {[args: string[], message: RegExp][]} */
    const failing = [
        [['run', join(folder, 'none.gguf'), '--prompt', 'a'], /none\.gguf: there is no such file/],
        [['run', join(folder, 'cut.gguf'), '--prompt', 'a'], /cut\.gguf: .*400000 bytes.*incomplete/],
        [['inspect', join(folder, 'page.gguf')], /page\.gguf: this is a web page/],
        [['run', 'http://127.0.0.1:9/a.gguf', '--prompt', 'a'], /cannot reach http:/],
        [
            [...'quantize none out --format gptq --method gptq --calibration'.split(' '), `${root}README.md`],
            /^nibble: cannot read none: there is no such file/,
        ],
        // in a folder where no file can be made, and on a disk that is full
        [['eval', tiny, '--tokens', '1', '--logits', '/sys/logits'], /cannot write \/sys\/logits: permission denied/],
        [['eval', tiny, '--tokens', '1', '--logits', '/dev/full'], /cannot write \/dev\/full: the disk is full/],
        [['run', tiny, '--prompt', 'a b c d e f g', '--context', '2'], /the context holds 2/],
    ];
    for (const [args, message] of failing)
        test(message.source, async () => {
            const { code, out, err } = await nibble(args);
            assert.equal(code, 1);
            assert.equal(out, '');
            assert.match(err, message);
            assert.match(err, /^nibble: [^\n]+\n$/);
        });
});

test('help and version', async () => {
    const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
    assert.deepEqual(await nibble(['--version']), { code: 0, out: `${version}\n`, err: '' });
    const overview = await nibble(['--help']);
    assert.equal(overview.code, 0);
    for (const command of ['run', 'eval', 'tokenize', 'template', 'embed', 'inspect', 'bench']) {
        assert.match(overview.out, new RegExp(`^  ${command} `, 'm'));
        const { code, out } = await nibble([command, '--help']);
        assert.equal(code, 0);
        assert.match(out, new RegExp(`^Usage: nibble ${command} MODEL`));
    }
    for (const command of Object.keys(COMMANDS)) {
        const { out } = await nibble([command, '--help']);
        for (const line of out.split('\n')) assert.ok(line.length <= 120, `${command}: a line is too long: ${line}`);
    }
    const { out } = await nibble(['run', '--help']);
    assert.match(out, /--max-tokens N .*default: 512/);
    for (const { choices = [] } of Object.values(LOAD_OPTIONS))
        assert.ok(out.replace(/\s+/g, ' ').includes(choices.join(', ')), `the help does not list ${choices}`);
    assert.equal((await nibble(['help', 'run'])).out, out);
});

test('Ctrl-C ends a run with code 130 and says nothing', async () => {
    const { code, out, err } = await nibble(
        ['run', tiny, '--prompt', 'Once', '--max-tokens', '400', '--ignore-end', '--context', '512'],
        (child) => child.stdout.once('data', () => child.kill('SIGINT')),
    );
    assert.equal(err, '');
    assert.equal(code, 130, `the whole text came first: ${out.length} characters`);
});

test('a reader that leaves is no failure', async () => {
    const { code, err } = await nibble(
        ['run', tiny, '--prompt', 'Once', '--max-tokens', '400', '--ignore-end'],
        (child) => child.stdout.once('data', () => child.stdout.destroy()),
    );
    assert.deepEqual([code, err], [0, '']);
});
