#!/usr/bin/env node
/**
 * The command `nibble`. What it does is the API's; here are the flags, the help, and what is printed.
 * Exit codes: 0, 1 for a failure (one line on standard error), 2 for wrong usage, 130 after Ctrl-C.
 */
import { readFileSync } from 'node:fs';
import { open as openFile } from 'node:fs/promises';
import { interact } from './cli/interact.js';
import { meanBudget, openProfiler } from './cli/profile.js';
import { NibbleError, load } from './index.js';
import {
    EMBED_OPTIONS, GENERATE_OPTIONS, LOAD_OPTIONS, TEMPLATE_OPTIONS, TOKENIZE_OPTIONS, checkOption, checkQuantize, nearest,
} from './options.js';
import { oneLine, write, writeJson, writeStatus } from './cli/terminal.js';

/** @typedef {import('./options.js').Option} Option */
/** @typedef {import('./index.d.ts').Model} Model */
/** @typedef {{ model: string, values: Record<string, any> }} Arguments */

/**
 * A flag of the command line: one of the API's options, or one that only the command has.
 * @typedef {Omit<Option, 'type'> & { name: string, type: Option['type'] | 'tokens', required?: boolean }} Flag
 */

/**
 * @typedef {object} Command
 * @property {string} usage
 * @property {string} summary
 * @property {Flag[]} flags
 * @property {(args: Arguments, signal: AbortSignal) => Promise<void>} run
 */

/**
 * Options of the API as flags: all of a table, or some.
 * @param {Record<string, Option>} table
 * @param {string[]} names
 * @returns {Flag[]}
 */
const options = (table, ...names) => (names.length > 0 ? names : Object.keys(table)).map((name) => ({ name, ...table[name] }));

const JSON_FLAG = /** @type {Flag} */ ({ name: 'json', flag: 'json', type: 'switch', help: 'print one JSON object' });
const BUILD_FLAG = options(LOAD_OPTIONS, 'build');
/** How a model is computed with, but for the context's length. */
const COMPUTE_FLAGS = options(LOAD_OPTIONS, 'threads', 'kvType', 'precision', 'quantize', 'doubleQuant', 'build');

/** @type {Record<string, Command>} */
const COMMANDS = {
    run: {
        usage: 'nibble run MODEL [--prompt TEXT | --chat TEXT] [options]',
        summary: 'continue a text (--prompt), answer a message (--chat), or chat in the terminal (neither)',
        flags: [
            { name: 'prompt', flag: 'prompt', type: 'text', value: 'TEXT', help: 'text to continue' },
            { name: 'chat', flag: 'chat', type: 'text', value: 'TEXT',
                help: 'message to answer, by the model\'s chat template' },
            { name: 'system', flag: 'system', type: 'text', value: 'TEXT', help: 'system message of the chat' },
            ...options(TEMPLATE_OPTIONS, 'templateVariables'), ...options(GENERATE_OPTIONS), ...options(LOAD_OPTIONS),
            JSON_FLAG,
        ],
        run: commandRun,
    },
    eval: {
        usage: 'nibble eval MODEL --tokens IDS --logits FILE [options]',
        summary: 'write the logits after each token: float32, little-endian, [tokens, vocabulary]',
        flags: [
            { name: 'tokens', flag: 'tokens', type: 'tokens', required: true, value: 'IDS', help: 'token ids, such as 1,2,3' },
            { name: 'logits', flag: 'logits', type: 'text', required: true, value: 'FILE', help: 'file to write' },
            ...COMPUTE_FLAGS,
        ],
        run: commandEval,
    },
    tokenize: {
        usage: 'nibble tokenize MODEL --text TEXT [options]',
        summary: 'print the token ids that a text becomes, as a JSON array',
        flags: [
            { name: 'text', flag: 'text', type: 'text', required: true, value: 'TEXT', help: 'the text' },
            ...options(TOKENIZE_OPTIONS), ...BUILD_FLAG,
        ],
        run: commandTokenize,
    },
    template: {
        usage: 'nibble template MODEL --messages JSON [options]',
        summary: 'print the prompt that the model\'s chat template makes of messages',
        flags: [
            { name: 'messages', flag: 'messages', type: 'objects', required: true, value: 'JSON',
                help: 'the conversation: a JSON array of { role, content }, or a file that holds one' },
            ...options(TEMPLATE_OPTIONS, 'tools', 'documents', 'templateVariables'),
            { name: 'noAnswer', flag: 'no-generation-prompt', type: 'switch', default: false,
                help: 'leave out the beginning of the model\'s answer' },
            { ...JSON_FLAG, help: 'print { text, tokens } as one JSON object; a chat feeds the model these tokens' },
            ...BUILD_FLAG,
        ],
        run: commandTemplate,
    },
    embed: {
        usage: 'nibble embed MODEL (--text TEXT | --tokens IDS) [options]',
        summary: 'print a text\'s embedding as a JSON array of numbers',
        flags: [
            { name: 'text', flag: 'text', type: 'text', value: 'TEXT', help: 'the text' },
            { name: 'tokens', flag: 'tokens', type: 'tokens', value: 'IDS', help: 'or its token ids, such as 1,2,3' },
            ...options(EMBED_OPTIONS), ...options(LOAD_OPTIONS, 'contextLength'), ...COMPUTE_FLAGS,
        ],
        run: commandEmbed,
    },
    inspect: {
        usage: 'nibble inspect MODEL [--context N] [--json]',
        summary: 'say what is in a model\'s files; only their headers are read',
        flags: [
            { name: 'contextLength', flag: 'context', type: 'integer', min: 1, max: 1 << 24, value: 'N',
                help: 'tokens to tell the memory for (default: the model\'s own context, at most 4096)' },
            { ...JSON_FLAG, help: 'print everything, tensors and metadata too, as one JSON object' },
            ...options(LOAD_OPTIONS, 'quantize', 'doubleQuant'), ...BUILD_FLAG,
        ],
        run: commandInspect,
    },
    bench: {
        usage: 'nibble bench MODEL [options]',
        summary: 'measure tokens per second: medians over several repetitions, after one to warm up',
        flags: [
            { name: 'promptTokens', flag: 'prompt-tokens', type: 'integer', min: 1, max: 1 << 20, default: 128, value: 'N',
                help: 'tokens of the prompt' },
            { name: 'generateTokens', flag: 'generate-tokens', type: 'integer', min: 2, max: 1 << 20, default: 64, value: 'N',
                help: 'tokens of the answer' },
            { name: 'repetitions', flag: 'repetitions', type: 'integer', min: 1, max: 1000, default: 5, value: 'N',
                help: 'number of measurements' },
            { name: 'profile', flag: 'profile', type: 'switch', help: 'print how many ms each phase of the work takes, too' },
            ...COMPUTE_FLAGS, JSON_FLAG,
        ],
        run: commandBench,
    },
};

class UsageError extends Error {
    /** @param {string} message @param {string} [command] */
    constructor(message, command) {
        super(message);
        this.command = command;
    }
}

// ---- the command line -----------------------------------------------------------------------------------------

const version = () => JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8')).version;

const MODEL = 'MODEL is a GGUF file or a folder of safetensors files: a path, a URL, or hf:owner/repo for one on the hub.';

function overview() {
    const lines = Object.entries(COMMANDS).map(([name, { summary }]) => `  ${name.padEnd(10)}${summary}`);
    return `nibble ${version()}: runs quantized language models in WebAssembly

Usage: nibble COMMAND MODEL [options]

${lines.join('\n')}

${MODEL}

nibble COMMAND --help lists a command's options. nibble --version prints the version.

Examples:
  nibble run model.gguf                                    chat in the terminal
  nibble run model.gguf --chat "Why is the sky blue?"
  nibble run model.gguf --prompt "Once upon a time" --temperature 0.7 --seed 1
  nibble inspect https://example.org/model.gguf
`;
}

/** @param {string} name as it was typed @returns {string} a command's */
function known(name) {
    if (Object.hasOwn(COMMANDS, name))
        return name;
    const near = nearest(name, Object.keys(COMMANDS));
    throw new UsageError(`unknown command ${name}${near ? `; did you mean ${near}?` : ''}`);
}

/** @param {string} name */
function commandHelp(name) {
    const { usage, summary, flags } = COMMANDS[name];
    const lines = flags.map((flag) => {
        const head = `  --${flag.flag}${flag.value ? ` ${flag.value}` : ''}`;
        const choices = flag.choices ? `; one of ${flag.choices.join(', ')}` : '';
        const told = flag.default === undefined || flag.type === 'switch' || typeof flag.default === 'object';
        return `${head.padEnd(26)}${wrap(`${flag.help}${choices}${told ? '' : ` (default: ${flag.default})`}`, 26)}`;
    });
    return `Usage: ${usage}\n\n${summary[0].toUpperCase()}${summary.slice(1)}.\n${MODEL}\n\n${lines.join('\n')}\n`;
}

/** @param {string} text @param {number} indent */
function wrap(text, indent) {
    const lines = [''];
    for (const word of text.split(' ')) {
        const line = lines[lines.length - 1];
        if (line && indent + line.length + word.length > 110)
            lines.push(word);
        else
            lines[lines.length - 1] = line ? `${line} ${word}` : word;
    }
    return lines.join(`\n${' '.repeat(indent)}`);
}

/**
 * @param {string} command
 * @param {string[]} argv what follows the command's name
 * @returns {Arguments | null} null: help is asked for, and not as the value of a flag
 */
function parse(command, argv) {
    const { flags } = COMMANDS[command];
    const wrong = (/** @type {string} */ message) => new UsageError(message, command);
    const checked = (/** @type {() => any} */ check) => {
        try {
            return check();
        } catch (error) {
            throw wrong(error instanceof Error ? error.message : String(error));
        }
    };
    const given = new Map();
    const models = [];
    for (let i = 0; i < argv.length; i++) {
        if (argv[i] === '--help' || argv[i] === '-h')
            return null;
        const [, word, attached] = /^--([^=]+)(?:=([^]*))?$/.exec(argv[i]) ?? [];
        if (word === undefined) {
            if (argv[i].startsWith('-') && argv[i].length > 1)
                throw wrong(`unknown option ${argv[i]}`);
            models.push(argv[i]);
            continue;
        }
        const flag = flags.find((candidate) => candidate.flag === word);
        if (!flag) {
            const near = nearest(word, flags.map((candidate) => candidate.flag));
            throw wrong(`unknown option --${word}${near ? `; did you mean --${near}?` : ''}`);
        }
        if (flag.type === 'switch') {
            if (attached !== undefined)
                throw wrong(`--${word} takes no value`);
            given.set(flag, true);
            continue;
        }
        const text = attached ?? argv[++i];
        if (text === undefined)
            throw wrong(`--${word} needs a value: --${word} ${flag.value}`);
        const repeated = flag.type === 'texts' || flag.type === 'biases';
        if (given.has(flag) && !repeated)
            throw wrong(`--${word} was given twice`);
        given.set(flag, repeated ? [...(given.get(flag) ?? []), text] : text);
    }
    if (models.length === 0)
        throw wrong('which model? Give a path or a URL');
    if (models.length > 1)
        throw wrong(`one model at a time, not ${models.map((model) => JSON.stringify(model)).join(' and ')} (does a text ` +
            'lack its quotes?)');
    /** @type {Record<string, any>} */
    const values = {};
    for (const flag of flags) {
        if (!given.has(flag)) {
            if (flag.required)
                throw wrong(`--${flag.flag} ${flag.value} is missing`);
            values[flag.name] = flag.default;
            continue;
        }
        values[flag.name] = checked(() => readValue(flag, given.get(flag)));
    }
    checked(() => checkQuantize(values));
    return { model: models[0], values };
}

/** @param {Flag} flag @param {any} given */
function readValue(flag, given) {
    const name = `--${flag.flag}`;
    switch (flag.type) {
        case 'text':
            return given;
        case 'tokens':
            if (!/^\s*\d+(\s*,\s*\d+)*\s*$/.test(given))
                throw new Error(`${name} must be token ids with commas between them, such as 1,2,3`);
            return given.split(',').map(Number);
        case 'integer':
        case 'number':
            return checkOption(name, /** @type {Option} */ (flag),
                given.trim() === '' || Number.isNaN(Number(given)) ? given : Number(given));
        case 'biases':
            return Object.fromEntries(given.map((/** @type {string} */ pair) => {
                const [, token, bias] = /^(\d+)=(.+)$/.exec(pair) ?? [];
                if (token === undefined || Number.isNaN(Number(bias)))
                    throw new Error(`${name} must be a token id and a number, such as 123=-5, not ${JSON.stringify(pair)}`);
                return [token, Number(bias)];
            }));
        case 'objects':
        case 'object':
            return checkOption(name, /** @type {Option} */ (flag), readJson(name, given));
        default:
            return checkOption(name, /** @type {Option} */ (flag), given);
    }
}

/** @param {string} name @param {string} given JSON, or the name of a file that has it */
function readJson(name, given) {
    const itself = /^\s*[[{]/.test(given);
    let text = given;
    try {
        text = itself ? given : readFileSync(given, 'utf8');
        return JSON.parse(text.replace(/^\ufeff/, ''));
    } catch (error) {
        const told = error instanceof Error ? error.message : error;
        throw new Error(itself || text !== given ? `${name}: ${itself ? 'this' : given} is not JSON: ${told}`
            : `${name}: cannot read ${given}: ${told}`);
    }
}

/**
 * The options of a table, out of the flags' values.
 * @param {Record<string, Option>} table
 * @param {Record<string, any>} values
 */
const pick = (table, values) => Object.fromEntries(Object.keys(table).map((name) => [name, values[name]]));

// ---- the commands ---------------------------------------------------------------------------------------------

/**
 * Loads with a line of progress, where somebody can see it.
 * @param {Arguments} args
 * @param {AbortSignal} signal
 * @param {object} [extra]
 */
async function open({ model, values }, signal, extra) {
    const { stderr } = process;
    /** @param {import('./index.d.ts').Progress} progress */
    const show = ({ loaded, total, rate, secondsLeft }) => {
        const mb = (/** @type {number} */ bytes) => (bytes / 1e6).toFixed(1);
        const share = total ? `${Math.floor(loaded / total * 100)} %, ${mb(loaded)} of ${mb(total)} MB` : `${mb(loaded)} MB`;
        const left = secondsLeft === null
            ? '' : `, ${secondsLeft < 10 ? secondsLeft.toFixed(1) : Math.round(secondsLeft)} s left`;
        writeStatus(`Loading ${share}, ${mb(rate)} MB/s${left}`);
    };
    try {
        return await load(model, { ...pick(LOAD_OPTIONS, values), signal, onProgress: stderr.isTTY ? show : undefined,
            ...extra });
    } catch (error) {
        if (error instanceof NibbleError && /_(FORMAT|TRUNCATED|UNSUPPORTED|MEMORY)$/.test(error.code))
            throw new NibbleError(error.code, `${model}: ${error.message}`, { cause: error });
        throw error; // the others name the file themselves
    } finally {
        if (stderr.isTTY)
            writeStatus('');
    }
}

/** @type {Command['run']} */
async function commandRun(args, signal) {
    const { prompt, chat, system, json } = args.values;
    if (prompt !== undefined && chat !== undefined)
        throw new UsageError('--prompt and --chat exclude each other: one continues a text, the other answers it', 'run');
    if (prompt !== undefined && system !== undefined)
        throw new UsageError('--system belongs to a chat; --prompt has none', 'run');
    if (prompt !== undefined && Object.keys(args.values.templateVariables).length > 0)
        throw new UsageError('--variables are for a chat\'s template; --prompt has none', 'run');
    if (prompt === undefined && args.values.special)
        throw new UsageError('--special belongs to --prompt: in a chat only the template writes special tokens', 'run');
    const interactive = prompt === undefined && chat === undefined;
    if (interactive && json)
        throw new UsageError('--json needs a --prompt or a --chat', 'run');
    if (interactive && !(process.stdin.isTTY && process.stdout.isTTY))
        throw new UsageError('a --prompt or a --chat is needed, because this is not a terminal to chat in', 'run');
    const model = await open(args, signal);
    const settings = pick(GENERATE_OPTIONS, args.values), { templateVariables } = args.values;
    if (interactive) {
        await interact(model, { ...settings, templateVariables }, system);
    } else {
        const start = system === undefined ? [] : [{ role: 'system', content: system }];
        const answer = prompt !== undefined
            ? model.complete(prompt, { ...settings, signal })
            : model.chat([...start, { role: 'user', content: chat }], { ...settings, templateVariables, signal });
        if (json) {
            writeJson(await answer);
        } else {
            for await (const text of answer)
                write(text);
            write('\n');
        }
    }
    await model.dispose();
}

/** @type {Command['run']} */
async function commandEval(args, signal) {
    const { tokens, logits } = args.values;
    const model = await open(args, signal, { contextLength: 1 }); // logits() has a session of its own
    /** @type {import('node:fs/promises').FileHandle | undefined} */
    let file;
    try {
        for await (const rows of model.logits(tokens, { signal })) {
            file ??= await openFile(logits, 'w'); // not before there is something to write
            await file.appendFile(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
        }
    } catch (error) {
        if (error instanceof NibbleError || signal.aborted)
            throw error;
        throw new NibbleError('NB_ERR_FILE', `cannot write ${logits}: ${error instanceof Error ? error.message : error}`);
    } finally {
        await file?.close();
    }
    await model.dispose();
}

/** @type {Command['run']} */
async function commandTokenize(args, signal) {
    const model = await open(args, signal, { headerOnly: true });
    const { text, special, bare } = args.values;
    writeJson(await model.tokenize(text, { special, bare, signal }));
    await model.dispose();
}

/** @type {Command['run']} */
async function commandTemplate(args, signal) {
    const { messages, noAnswer, json, tools, documents, templateVariables } = args.values;
    const model = await open(args, signal, { headerOnly: true });
    const prompt = await model.applyTemplate(messages, { addGenerationPrompt: !noAnswer, tools, documents, templateVariables,
        signal });
    if (json)
        writeJson(prompt);
    else
        write(`${prompt.text}\n`);
    await model.dispose();
}

/** @type {Command['run']} */
async function commandEmbed(args, signal) {
    const { text, tokens, pooling, prompt, promptName } = args.values;
    if ((text === undefined) === (tokens === undefined))
        throw new UsageError('either --text or --tokens is needed', 'embed');
    if (tokens !== undefined && (prompt ?? promptName) !== undefined)
        throw new UsageError('--prompt and --prompt-name go with --text', 'embed');
    if (prompt !== undefined && promptName !== undefined)
        throw new UsageError('--prompt and --prompt-name exclude each other', 'embed');
    const model = await open(args, signal);
    writeJson(Array.from(await model.embed(text ?? tokens, { pooling, prompt, promptName, signal })));
    await model.dispose();
}

/** @type {Command['run']} */
async function commandInspect(args, signal) {
    const model = await open(args, signal, { headerOnly: true });
    // what was asked about is the file, not how its header was read
    const { build, threads, contextLength, memoryBytes, sessionBytes, loadMs, ...file } = model.info;
    await model.dispose();
    if (args.values.json)
        writeJson(file);
    else
        write(table(file, args.values.contextLength ?? Math.min(file.context || 4096, 4096)));
}

/**
 * @param {Omit<import('./index.d.ts').ModelInfo,
 *     'build' | 'threads' | 'contextLength' | 'memoryBytes' | 'sessionBytes' | 'loadMs'>} file
 * @param {number} context tokens
 */
function table(file, context) {
    const number = (/** @type {number | undefined} */ value) => value?.toLocaleString('en');
    const { tokenizer: t, types } = file;
    const weights = types.reduce((sum, { bytes }) => sum + bytes, 0), cache = context * (file.kvBytesPerToken ?? 0);
    const megabytes = (/** @type {number} */ bytes) => `${number(Math.ceil(bytes / 1e6))} MB`;
    /** @type {[string, string | undefined][]} */
    const rows = [
        ['name', file.name],
        ['format', file.version ? `${file.format} ${file.version}` : file.format],
        ['architecture', file.architecture],
        ['file size', `${number(file.bytes)} bytes`],
        ['parameters', number(file.parameters)],
        ['cannot run', file.unsupported],
        ['layers', number(file.layers)],
        ['width', file.width === undefined ? undefined : `${number(file.width)}, feed-forward ${number(file.feedForward)}`],
        ['heads', file.heads === undefined
            ? undefined : `${file.heads}, for keys and values ${file.kvHeads}, size ${file.headSize}`],
        ['context', file.context === undefined
            ? undefined : `${number(file.context)} tokens, window ${number(file.window) ?? 'all'}, ` +
            `${number(file.kvBytesPerToken)} bytes of cache each`],
        ['memory', file.kvBytesPerToken === undefined ? undefined
            : `${megabytes(weights + cache)} at ${number(context)} tokens: weights ${megabytes(weights)}, ` +
            `cache ${megabytes(cache)}; and some for buffers`],
        ['tokenizer', t && `${t.kind}${t.pre ? ` (${t.pre})` : ''}, ${number(t.size)} tokens`],
        ['begin, end', t && [[t.begin, t.beginText], [t.end, t.endText]].map(([id, text]) =>
            (id === -1 ? 'none' : `${id} ${text}`)).join(', ')],
        ['chat', file.chatTemplate ? 'has a template' : file.encoder ? 'none: it embeds texts' : 'no template: continues text'],
        ...types.map(({ type, tensors, bytes, share }, i) => /** @type {[string, string]} */ ([i ? '' : 'tensors',
            `${type.padEnd(6)} ${String(tensors).padStart(4)} tensors ${String(number(bytes)).padStart(15)} bytes ` +
            `${(share * 100).toFixed(1).padStart(5)} %`])),
    ];
    return rows.map(([key, value]) => (value === undefined ? '' : `${key.padEnd(14)}${oneLine(value)}\n`)).join('');
}

/** @type {Command['run']} */
async function commandBench(args, signal) {
    const { promptTokens, generateTokens, repetitions, profile, json } = args.values;
    const model = await open(args, signal, { contextLength: promptTokens + generateTokens });
    const vocabulary = model.info.vocabulary ?? 1;
    let random = 1;
    const token = () => { // a linear congruential generator (Numerical Recipes): the same prompts every time
        random = (Math.imul(random, 1664525) + 1013904223) >>> 0;
        return random % vocabulary;
    };
    let first = -1;
    const newPrompt = () => {
        const prompt = Array.from({ length: promptTokens }, token);
        if (prompt[0] === first) // else the cache would hold the beginning already
            prompt[0] = (prompt[0] + 1) % vocabulary;
        first = prompt[0];
        return prompt;
    };
    const complete = (/** @type {number[]} */ prompt, /** @type {number} */ maxTokens) =>
        model.complete(prompt, { maxTokens, ignoreEnd: true, signal });
    /** @type {import('./index.d.ts').Result['timings'][]} */
    const rates = [];
    for (let i = 0; i <= repetitions; i++) {
        const { timings } = await complete(newPrompt(), generateTokens);
        if (i > 0)
            rates.push(timings);
    }
    const budgets = profile && await profileBudgets(() => {
        const prompt = newPrompt();
        return [() => complete(prompt, 1), () => complete(prompt, generateTokens)]; // the second finds the prompt cached
    }, repetitions);
    const { info } = model;
    await model.dispose();
    const median = (/** @type {'promptTokensPerSecond' | 'generateTokensPerSecond'} */ name) => {
        const sorted = rates.map((rate) => rate[name] ?? 0).sort((a, b) => a - b);
        return (sorted[(sorted.length - 1) >> 1] + sorted[sorted.length >> 1]) / 2;
    };
    const result = {
        model: info.name ?? args.model, build: info.build, threads: info.threads, promptTokens, generateTokens, repetitions,
        loadMs: info.loadMs, memoryBytes: info.memoryBytes,
        promptTokensPerSecond: median('promptTokensPerSecond'), generateTokensPerSecond: median('generateTokensPerSecond'),
        ...(budgets ? { profile: budgets } : {}),
    };
    if (json)
        writeJson(result);
    else
        write(`${oneLine(result.model)}, build ${result.build}, threads ${result.threads}\n` +
            rateLine('prompt', result.promptTokensPerSecond, promptTokens, repetitions) +
            rateLine('generate', result.generateTokensPerSecond, generateTokens, repetitions) +
            (budgets ? profileTable(budgets) : ''));
}

/**
 * @param {string} what
 * @param {number} rate
 * @param {number} tokens
 * @param {number} repetitions
 */
const rateLine = (what, rate, tokens, repetitions) =>
    `${what.padEnd(10)}${rate.toFixed(1).padStart(9)} tokens/s (${tokens} tokens, median of ${repetitions})\n`;

/** Of the engine's thread. @typedef {Record<'prompt' | 'generate', import('./cli/profile.js').Budget>} Budgets */

/**
 * @param {() => (() => Promise<unknown>)[]} newWork a prompt to evaluate, and what to generate after it
 * @param {number} repetitions
 * @returns {Promise<Budgets>}
 */
async function profileBudgets(newWork, repetitions) {
    const profile = await openProfiler();
    const prompts = [], generations = [];
    for (let i = 0; i < repetitions; i++) {
        const [prompt, generate] = newWork();
        prompts.push(await profile(prompt));
        generations.push(await profile(generate));
    }
    return { prompt: meanBudget(prompts), generate: meanBudget(generations) };
}

/** @param {Budgets} budgets */
function profileTable({ prompt, generate }) {
    /** @typedef {{ ms: number, share: number }} Cell */
    const line = (/** @type {string} */ name, /** @type {Cell[]} */ cells) => name.padEnd(36) + cells.map(({ ms, share }) =>
        `${ms.toFixed(1).padStart(9)} ms${(share * 100).toFixed(1).padStart(6)} %`).join('  ') + '\n';
    const parts = [prompt, generate];
    const names = new Set(parts.flatMap(({ phases }) => phases.map(({ phase }) => phase)));
    return `\n${'where the time goes'.padEnd(36)}${'prompt'.padStart(20)}  ${'generate'.padStart(20)}\n` +
        [...names].map((name) => line(name, parts.map(({ phases }) =>
            phases.find(({ phase }) => phase === name) ?? { ms: 0, share: 0 }))).join('') +
        line('all', parts.map(({ phases }) => ({ ms: phases.reduce((sum, { ms }) => sum + ms, 0), share: 1 })));
}

// ---- the program ----------------------------------------------------------------------------------------------

/** How long, in ms, what runs has to end by itself after Ctrl-C. */
const GRACE = 300;

/**
 * @param {string[]} argv
 * @returns {Promise<number>} the exit code
 */
async function main(argv) {
    const interrupt = new AbortController();
    process.once('SIGINT', () => { // the second one ends the process, as ever
        interrupt.abort();
        setTimeout(() => process.exit(130), GRACE).unref(); // not all that the engine does can be left in the middle
    });
    process.stdout.on('error', (error) => { // "nibble ... | head" is no failure; a full disk is
        if (/** @type {NodeJS.ErrnoException} */ (error).code === 'EPIPE')
            process.exit(0);
        write(`nibble: cannot write the output: ${oneLine(error.message)}\n`, process.stderr);
        process.exit(1);
    });
    process.stderr.on('error', () => {}); // there is nobody to tell
    try {
        const [name, ...rest] = argv;
        if (name === undefined)
            throw new UsageError(`a command is missing; it is one of ${Object.keys(COMMANDS).join(', ')}`);
        if (name === '--help' || name === '-h' || name === 'help') {
            write(rest[0] === undefined ? overview() : commandHelp(known(rest[0])));
        } else if (name === '--version' || name === '-v') {
            write(`${version()}\n`);
        } else {
            known(name);
            const args = parse(name, rest);
            if (args)
                await COMMANDS[name].run(args, interrupt.signal);
            else
                write(commandHelp(name));
        }
        return interrupt.signal.aborted ? 130 : 0;
    } catch (error) {
        if (interrupt.signal.aborted)
            return 130;
        if (error instanceof UsageError) {
            write(`nibble: ${oneLine(error.message)}\nTry: nibble ${error.command ? `${error.command} ` : ''}--help\n`,
                process.stderr);
            return 2;
        }
        const line = error instanceof Error ? error.message : String(error);
        // nobody here has called a function such as load()
        write(`nibble: ${oneLine(line.replace(/^\w+\(\): /, '').replace(/\s*\n\s*/g, ' '))}\n`, process.stderr);
        return 1;
    }
}

const code = await main(process.argv.slice(2));
// not process.exit(): what was written to a pipe may still be on its way
process.exitCode = code;
