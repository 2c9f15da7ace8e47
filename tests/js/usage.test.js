// Wrong usage of the command line: the exit code is always 2, and messages name only flags that exist.
// Runs once: the result does not depend on the version of Node.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { COMMANDS } from '../../web/cli/commands.js';
import { parse } from '../../web/cli/flags.js';
import { commandHelp } from '../../web/cli/help.js';
import { isUsage } from '../../web/cli/usage.js';
import * as ownTables from '../../web/options.js';
import * as qatTables from '../../web/qat-options.js';
import * as quantizeTables from '../../web/quantize-options.js';
import * as tokenizerTables from '../../web/tokenizer-options.js';
import * as trainTables from '../../web/train-options.js';
import { models, root } from '../support/builds.js';

/** @typedef {import('../../web/cli/usage.js').Flag} Flag */

const folder = mkdtempSync(join(tmpdir(), 'nibble-usage-')),
    text = join(folder, 'text.txt'),
    noText = join(folder, 'latin1.txt'),
    noMatrix = join(folder, 'none.dat'),
    out = join(folder, 'out'),
    hugging = `${root}tests/fixtures/safetensors/llama-f32`;
writeFileSync(text, readFileSync(`${root}demo/index.html`));
writeFileSync(noText, Buffer.from('caf\xe9 '.repeat(100), 'latin1'));
writeFileSync(join(folder, 'empty.txt'), '');
writeFileSync(noMatrix, Buffer.alloc(9));
after(() => rmSync(folder, { recursive: true }));

/** @param {string[]} args */
const nibble = (...args) =>
    spawnSync(process.execPath, [`${root}web/cli.js`, ...args], {
        encoding: 'utf8',
        stdio: ['ignore', 'pipe', 'pipe'],
    });

/** The arguments that each command needs. @type {Record<string, string[]>} */
const WHOLE = {
    run: ['m.gguf', '--prompt', 'a'],
    serve: ['m.gguf'],
    eval: ['m.gguf', '--tokens', '1', '--logits', 'l'],
    tokenize: ['m.gguf', '--text', 'a'],
    template: ['m.gguf', '--messages', '[]'],
    embed: ['m.gguf', '--text', 'a'],
    rerank: ['m.gguf', 'a.txt', '--query', 'a'],
    inspect: ['m.gguf'],
    perplexity: ['m.gguf', '--file', 't.txt'],
    compare: ['m.gguf', 'n.gguf', '--file', 't.txt'],
    imatrix: ['m.gguf', '--file', 't.txt', '-o', 'i.gguf'],
    quantize: ['m.gguf', 'o.gguf', '--type', 'q8_0'],
    train: ['--init', 'm.gguf', '--data', 't.txt', '-o', 'o.gguf'],
    tune: ['m.gguf', '--teacher', 't.gguf', '--data', 't.txt', '-o', 'o.gguf'],
    tokenizer: ['--data', 't.txt', '--vocabulary', '300', '-o', 'o.json'],
    bench: ['m.gguf'],
};

/** For each type of flags, a value that none of them accepts. @type {Record<string, string | undefined>} */
const WRONG = {
    integer: '1.5',
    number: 'many',
    choice: 'nothing',
    rules: 'nothing',
    biases: 'nothing',
    tokens: 'nothing',
    bytes: 'many',
    objects: '{}',
    object: '[]',
    texts: '',
};

/** @param {string[]} argv */
function refused([command, ...rest]) {
    try {
        parse(command, rest);
    } catch (error) {
        return error;
    }
    return null;
}

for (const [command, { flags }] of Object.entries(COMMANDS))
    test(`${command}: each flag with a wrong value, without one, and twice`, () => {
        const whole = [command, ...WHOLE[command]];
        assert.equal(refused(whole), null);
        for (const { flag, type } of flags) {
            // replace the flag if the complete line has it already
            const at = whole.indexOf(flag === 'output' ? '-o' : `--${flag}`),
                others = at < 0 ? whole : [...whole.slice(0, at), ...whole.slice(at + 2)];
            const cases = [[...others, `--${flag}x`], ...(type === 'switch' ? [[...others, `--${flag}=1`]] : [])];
            const wrong = WRONG[type];
            if (type !== 'switch') cases.push([...others, `--${flag}`]);
            if (wrong !== undefined) cases.push([...others, `--${flag}`, wrong]);
            if (!/^(switch|texts|rules|biases)$/.test(type))
                cases.push([...others, `--${flag}`, '1', `--${flag}`, '1']);
            for (const argv of cases) {
                const error = refused(argv);
                assert.ok(isUsage(error), `${argv.join(' ')}: ${error}`);
            }
        }
    });

describe('options that only the model, or other options, make wrong', () => {
    const tiny = models.tiny,
        given = ['--file', text],
        trained = ['--data', text, '-o', `${out}.gguf`],
        gptq = ['--method', 'gptq', '--calibration', text],
        gguf = [tiny, `${out}.gguf`, '--requantize'],
        float = [`${root}tests/fixtures/models/type-f16.gguf`, `${out}.gguf`];
    for (const [args, said] of /** @type {[string[], RegExp][]} */ ([
        [['run', tiny, '--prompt', 'a', '--logit-bias', '5000=1'], /5000/],
        [['run', tiny, '--prompt', 'a', '--imatrix', noMatrix], /pass quantize \(--quantize\) as well/],
        [['run', 'https://', '--prompt', 'a'], /not a valid URL/],
        [['eval', tiny, '--tokens', '1024', '--logits', out], /token 0 is 1024/],
        [['eval', tiny, '--tokens', '1', '--logits', join(folder, 'none', 'l')], /there is no folder .*none/],
        [['eval', tiny, '--tokens', '1', '--logits', tiny], /is what is read/],
        [['eval', tiny, '--tokens', '1', '--logits', folder], /is a folder/],
        [['embed', tiny, '--tokens', '1024'], /1024/],
        [['template', tiny, '--messages', '[{"content": "a"}]'], /no role/],
        [['perplexity', tiny, ...given, '--context', '4096'], /\(--context\) of 4096 is larger/],
        [['perplexity', tiny, '--file', join(folder, 'empty.txt')], /--file: .*empty\.txt is empty/],
        [['perplexity', '', '--file', text], /the name of a model or of a file is empty/],
        [['imatrix', tiny, ...given, '-o', ''], /--output must be the name of a file, not ""/],
        [['perplexity', tiny, '--file', noText], /--file: .* is not a text in UTF-8/],
        [['imatrix', tiny, ...given, '-o', `${out}.dat`, '--context', '4096'], /\(--context\) of 4096 is larger/],
        [['compare', tiny, float[0], ...given], /vocabulary/],
        [
            ['quantize', ...gguf, '--type', 'q4_0', ...gptq, '--order', 'activation'],
            /--order must be one of group-aware, n/,
        ],
        [['quantize', ...gguf, '--type', 'q4_0', ...gptq, '--context', '4096'], /\(--context\) of 4096 is larger/],
        [['quantize', ...gguf, '--type', 'f32', ...gptq], /gptq does not make f32/],
        [
            ['quantize', hugging, out, '--format', 'bitsandbytes', '--type', 'int8', '--bits', '4'],
            /format \(--format\) bitsandbytes has no bits \(--bits\)/,
        ],
        [['quantize', hugging, out, '--format', 'gptq', '--block', '64'], /gptq has no block \(--block\)/],
        [['quantize', ...gguf, '--simulate', 'uniform', '--samples', '5'], /does not use samples/],
        [['quantize', ...gguf, '--type', 'q4_0', ...gptq, '--no-clip'], /clip \(--no-clip\) is for AWQ/],
        [['quantize', ...gguf, '--type', 'q4_0', '--no-true-sequential'], /\(--no-true-sequential\) is for methods/],
        [['quantize', ...gguf, '--type', 'q4_0', '--steps', '9'], /pass method \(--method\), such as autoround,/],
        [['quantize', ...gguf, '--type', 'q4_0', '--no-clip'], /pass method \(--method\), such as awq,/],
        [['quantize', hugging, out, '--format', 'gptq', '--steps', '9'], /or pass method \(--method\) autoround/],
        [['quantize', ...gguf, '--type', 'q4_0', '--calibration', noText, '--method', 'awq'], /not a text in UTF-8/],
        [['quantize', ...gguf, '--type', 'q4_0', '--asymmetric'], /--asymmetric is for folders/],
        [
            ['quantize', ...float, '--type', 'q4_0', '--tensor', 'ffn_dwn=q4_0'],
            /"ffn_dwn" is found in the name of no matrix/,
        ],
        [['quantize', ...float, '--type', 'q4_0', '--imatrix', noMatrix], /imatrix \(--imatrix\): /],
        [
            [
                'quantize',
                hugging,
                `${out}.gguf`,
                '--type',
                'q4_0',
                '--imatrix',
                `${root}tests/fixtures/imatrix/tiny.gguf`,
            ],
            /the importance matrix has 256 numbers for .*made with another model/,
        ],
        [['quantize', ...float, '--bits', '0.5', '--calibration', text], /bits \(--bits\) must be/],
        [['quantize', hugging, out, '--format', 'gptq', ...gptq, '--bits', '2.5'], /--bits must be a whole number/],
        [['quantize', hugging, out, '--format', 'gptq', ...gptq, '--requantize'], /--requantize is for GGUFs/],
        [['quantize', hugging, out, '--format', 'gptq', ...gptq, '--imatrix', noMatrix], /--imatrix is for GGUFs/],
        [['quantize', hugging, out, '--format', 'gptq', ...gptq, '--context', '32'], /groups of 128 do not divide/],
        [['quantize', tiny, out, '--format', 'gptq', ...gptq], /made only from a Hugging Face folder/],
        [['bench', tiny, '--prompt-tokens', '500'], /context, which is 512/],
        [['run', '-', '--prompt', 'a', '--draft', '-'], /"-" is standard input.* the model and --draft would read it/],
        [['serve', tiny, '--draft', '-'], /only once, and --draft is read more often: give a file/],
        [['train', tiny, ...trained], /".*tiny\.gguf" has no flag before it/],
        [
            ['train', '--config', '{}', '--tokenizer', hugging, '--vocabulary', '300', ...trained],
            /--vocabulary to train one, and not both/,
        ],
        [['train', '--init', tiny, '--vocabulary', '300', ...trained], /--vocabulary is for a new model/],
        [['train', ...trained], /either --config, for a new model, or --init/],
        [['train', '--config', '{}', ...trained], /--config also needs a --tokenizer/],
        [
            ['train', '--config', '{}', '--tokenizer', tiny, ...trained],
            /--tokenizer must be a folder, a tokenizer\.json/,
        ],
        [['train', '--config', '{}', '--tokenizer', folder, ...trained], /has neither tokenizer\.json nor/],
        [['train', '--init', tiny, '--tokenizer', hugging, ...trained], /--tokenizer is for a new model/],
        [['train', '--init', tiny, ...trained, '--resume'], /--resume needs --checkpoint/],
        [['train', '--init', tiny, ...trained, '--checkpoint', tiny], /is what is read/],
        [['train', '--init', tiny, ...trained, '--checkpoint', noMatrix], /none\.dat is there already; --resume/],
        [['train', '--init', tiny, ...trained, '--length', '1024'], /a length \(--length\) of 1024 is larger/],
        [['train', '--init', tiny, ...trained, '--batch', '5000'], /smaller batch \(--batch\)/],
        [['train', '--init', tiny, '--data', noText, '-o', `${out}.gguf`], /--data: .* is not a text in UTF-8/],
        [['tokenizer', '--data', text, '--vocabulary', '300', '-o', `${out}.txt`], /must end with \.json/],
        [['tokenizer', '--data', text, '--vocabulary', '256', '--special', 'a b', '-o', `${out}.json`], /take 257/],
        [['train', '--config', '{}', '--tokenizer', hugging, ...trained], /config \(--config\): hidden_size/],
    ]))
        test(args.map((arg) => arg.replace(root, '').replace(folder, 'tmp')).join(' '), () => {
            const { status, stdout, stderr } = nibble(...args);
            assert.deepEqual([status, stdout], [2, ''], stderr);
            assert.match(stderr, said);
            assert.match(stderr, new RegExp(`^nibble: [^\n]+\nTry: nibble ${args[0]} --help\n$`));
        });
    test('they leave no files', () =>
        assert.deepEqual(readdirSync(folder).sort(), ['empty.txt', 'latin1.txt', 'none.dat', 'text.txt']));
});

test('an output that cannot be written is reported before the work', () => {
    const none = join(folder, 'none.gguf');
    for (const args of [
        ['eval', none, '--tokens', '1', '--logits', '/sys/x'],
        ['compare', none, models.tiny, '--file', text, '--html', '/sys/x.html'],
        ['imatrix', none, '--file', text, '-o', '/sys/x.dat'],
        ['quantize', none, '/sys/x.gguf', '--type', 'q8_0'],
        ['train', '--init', none, '--data', text, '-o', '/sys/x.gguf'],
        ['tune', none, '--teacher', none, '--data', text, '-o', '/sys/x.gguf'],
        ['tokenizer', '--data', none, '--vocabulary', '300', '-o', '/sys/x.json'],
        ['quantize', none, '/sys/x', '--format', 'gptq', '--method', 'gptq', '--calibration', text],
    ]) {
        // the model does not exist either, which would be reported first if the work began before
        const { status, stderr } = nibble(...args);
        assert.deepEqual([status, /cannot write \/sys\/x.*: permission denied/.test(stderr)], [1, true], stderr);
    }
});

/** The flags of each command that may read standard input. @type {Record<string, string[]>} */
const READERS = {
    run: ['draft', 'imatrix'],
    serve: ['draft', 'imatrix'],
    eval: ['imatrix'],
    embed: ['imatrix'],
    rerank: ['imatrix'],
    inspect: ['imatrix'],
    perplexity: ['file', 'imatrix'],
    compare: ['file'],
    imatrix: ['file', 'imatrix'],
    quantize: ['imatrix', 'calibration'],
    train: ['data'],
    tune: ['data'],
    tokenizer: ['data'],
    bench: ['imatrix'],
};
/** Commands that read a model more than once. */
const REREAD = ['serve', 'compare', 'tune'];

describe('standard input is read once', () => {
    for (const [command, { flags, flagsOnly, several, out }] of Object.entries(COMMANDS))
        test(command, () => {
            const readers = READERS[command] ?? [];
            assert.deepEqual(
                flags.flatMap(({ flag, input }) => (input ? [flag] : [])).sort(),
                [...readers].sort(),
                'flags that read it',
            );
            /** Who may read it: the model (0), the argument after it (1), or a flag. @type {(number | string)[]} */
            const who = [...(flagsOnly ? [] : several && !out ? [0, 1] : [0]), ...readers];
            const said = (/** @type {(number | string)[]} */ reading, dash = '-') => {
                const args = [...WHOLE[command]];
                for (const reader of reading) {
                    const at = typeof reader === 'number' ? reader : args.indexOf(`--${reader}`) + 1;
                    if (typeof reader === 'string' && (at === 0 || args[at] === dash)) args.push(`--${reader}`, dash);
                    else if (command === 'serve' && at === 1) args.splice(at, 0, dash);
                    else args[at] = dash;
                }
                try {
                    parse(command, args);
                    return '';
                } catch (error) {
                    assert.ok(isUsage(error), `${args}`);
                    return /** @type {Error} */ (error).message;
                }
            };
            const name = (/** @type {number | string} */ reader) =>
                reader === 0 ? 'the model' : reader === 1 ? 'argument 2' : `--${reader}`;
            for (const [i, one] of who.entries()) {
                const rereads = REREAD.includes(command) && (typeof one === 'number' || /draft|imatrix/.test(one));
                if (rereads)
                    assert.ok(said([one]).includes(`${name(one)} is read more often`), `${one}: ${said([one])}`);
                else assert.doesNotMatch(said([one]), /standard input/);
                for (const other of who.slice(i + 1)) {
                    assert.match(said([one, other]), /^"-" is standard input, which can be read only once/);
                    assert.match(said([one, other], '/dev/stdin'), /^"-" is standard input/);
                    if (!REREAD.includes(command))
                        assert.ok(said([one, other]).includes(`${name(one)} and ${name(other)} would read it`));
                }
                if (one === 'data') assert.match(said([one, one]), /--data and --data would read it/);
            }
        });
});

const all = [...new Set(Object.values(COMMANDS).flatMap(({ flags }) => flags.map(({ flag }) => flag)))];
/** Flags of other programs, and of the command itself. */
const OTHERS = new Set(['help', 'version', 'input-type', 'jitless']);
const WORD = /(?<![\w-])--([a-z][a-z-]*[a-z])/g;

test('help: each flag that it names exists for the command', () => {
    for (const [command, { flags, usage, flagsOnly }] of Object.entries(COMMANDS)) {
        assert.ok(!flagsOnly || !/standard input/.test(commandHelp(command)), `${command} reads no model from there`);
        const own = flags.map(({ flag }) => flag);
        for (const said of [usage, ...flags.map(({ help }) => help)])
            for (const [, word] of said.matchAll(WORD))
                assert.ok(own.includes(word), `${command}: --${word} in ${said}`);
    }
});

/** The commands whose messages a file has, if these are not all. @type {[RegExp, string[]][]} */
const SPEAK_OF = [
    [/cli\/answer\.js/, ['run']],
    [/(cli\/serve|server\/.*)\.js/, ['serve']],
    [/cli\/texts\.js/, ['tokenize', 'template', 'embed', 'eval']],
    [/cli\/measure\.js/, ['bench']],
    [/cli\/(compare|report-script)\.js/, ['compare']],
    [/cli\/files\.js/, ['quantize', 'imatrix', 'compare', 'train', 'tune', 'tokenizer']],
    [/worker\/teacher\.js/, ['tune']],
    [/worker\/train-checkpoint\.js/, ['train', 'tune']],
    [/(cli\/tokenizer|(api|worker)\/train-tokenizer)\.js/, ['tokenizer']],
    [/(cli\/train|worker\/(train.*|data-order|new-model))\.js/, ['train']],
    [
        /(cli\/(flags|quantize)|worker\/(mix|calibrate|rounder|side-file|folding|folder.*|quantize.*|formats\/.*))\.js/,
        ['quantize'],
    ],
    [/worker\/windows\.js/, ['perplexity', 'imatrix', 'quantize', 'compare']],
    [/src\/(convert|quant)\//, ['quantize']],
];

test('messages: each flag that they name exists for the command', () => {
    const sources = (/** @type {string} */ place, /** @type {string} */ ending) =>
        readdirSync(`${root}${place}`, { recursive: true, encoding: 'utf8' })
            .filter((name) => name.endsWith(ending) && !/^(jinja|report)\//.test(name))
            .map((name) => `${place}/${name}`);
    let seen = 0;
    for (const file of [...sources('web', '.js'), ...sources('src', '.c')]) {
        const code = readFileSync(`${root}${file}`, 'utf8').replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*$/gm, '');
        const commands = SPEAK_OF.find(([pattern]) => pattern.test(file))?.[1],
            known = commands?.flatMap((name) => COMMANDS[name].flags.map(({ flag }) => flag)) ?? all;
        for (const [said, word] of code.matchAll(WORD)) {
            if (file.endsWith('.c') && !new RegExp(`"[^"\n]*${said}\\b`).test(code)) continue; // code such as x--
            seen++;
            assert.ok(OTHERS.has(word) || known.includes(word), `${file} speaks of --${word}`);
        }
    }
    assert.ok(seen > 60, 'the messages were not found');
});

const tables = { ...ownTables, ...quantizeTables, ...trainTables, ...qatTables, ...tokenizerTables };

/** The tables of options, and the commands that have these options as flags. @type {[string, string[]][]} */
const TABLES = [
    ['LOAD_OPTIONS', ['run']],
    ['GENERATE_OPTIONS', ['run']],
    ['TEMPLATE_OPTIONS', ['template']],
    ['TOKENIZE_OPTIONS', ['tokenize']],
    ['EMBED_OPTIONS', ['embed']],
    ['RERANK_OPTIONS', ['rerank']],
    ['PERPLEXITY_OPTIONS', ['perplexity']],
    ['COMPARE_OPTIONS', ['compare']],
    ['EMBEDDING_COMPARE_OPTIONS', ['compare']],
    ['IMPORTANCE_OPTIONS', ['imatrix']],
    ['QUANTIZE_OPTIONS', ['quantize']],
    ['FOLDER_OPTIONS', ['quantize']],
    ['TRAIN_OPTIONS', ['train']],
    ['TUNE_OPTIONS', ['tune']],
    ['QAT_OPTIONS', ['train']],
    ['TOKENIZER_OPTIONS', ['tokenizer']],
];

test('tables of options: the flag of each option exists for the command', () => {
    for (const [table, commands] of TABLES)
        for (const [name, { flag }] of Object.entries(/** @type {any} */ (tables)[table]))
            for (const command of flag === undefined ? [] : commands)
                assert.ok(
                    COMMANDS[command].flags.some((one) => one.flag === flag && one.name === name),
                    `${table}.${name}: nibble ${command} has no --${flag} of this name`,
                );
});

test('README and docs: each flag that they show exists for the command', () => {
    const pages = ['README.md', 'CONTRIBUTING.md', ...readdirSync(`${root}docs`).map((name) => `docs/${name}`)];
    let seen = 0;
    for (const page of pages.filter((name) => name.endsWith('.md')))
        for (const [line, command] of readFileSync(`${root}${page}`, 'utf8')
            .replace(/\\\n/g, ' ')
            .matchAll(/\bnibble ([a-z]+) [^`\n]*/g))
            for (const [, word] of (COMMANDS[command] ? line.replace(/#.*/, '') : '').matchAll(WORD)) {
                seen++;
                assert.ok(
                    word === 'help' || COMMANDS[command].flags.some(({ flag }) => flag === word),
                    `${page}: nibble ${command} has no --${word}`,
                );
            }
    assert.ok(seen > 20, 'the lines were not found');
});
