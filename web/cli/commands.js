/** The commands: what each is called with, and what runs it. */
import {
    COMPARE_OPTIONS,
    EMBED_OPTIONS,
    EMBEDDING_COMPARE_OPTIONS,
    GENERATE_OPTIONS,
    IMPORTANCE_OPTIONS,
    LOAD_OPTIONS,
    PERPLEXITY_OPTIONS,
    RERANK_OPTIONS,
    TEMPLATE_OPTIONS,
    TOKENIZE_OPTIONS,
} from '../options.js';
import { QAT_OPTIONS } from '../qat-options.js';
import { FOLDER_OPTIONS, QUANTIZE_OPTIONS } from '../quantize-options.js';
import { SIMULATE_OPTIONS } from '../simulated.js';
import { TOKENIZER_OPTIONS } from '../tokenizer-options.js';
import { TRAIN_OPTIONS, TUNE_OPTIONS } from '../train-options.js';
import { commandCompare } from './compare.js';
import { commandImatrix } from './imatrix.js';
import { commandInspect } from './inspect.js';
import { commandBench } from './measure.js';
import { commandPerplexity } from './perplexity.js';
import { commandQuantize } from './quantize.js';
import { commandRerank } from './rerank.js';
import { commandRun } from './run.js';
import { commandServe, SERVE_FLAGS } from './serve.js';
import { commandEmbed, commandEval, commandTemplate, commandTokenize } from './texts.js';
import { commandTokenizer } from './tokenizer.js';
import { commandTrain, commandTune } from './train.js';

/** @typedef {import('./usage.js').Command} Command */
/** @typedef {import('./usage.js').Flag} Flag */
/** @typedef {import('../checks.js').Option} Option */

/**
 * Options of the API as flags: all of a table that have one, or some.
 * @param {Record<string, Option>} table
 * @param {string[]} names
 */
const options = (table, ...names) =>
    (names.length > 0 ? names : Object.keys(table).filter((name) => table[name].flag)).map(
        (name) => /** @type {Flag} */ ({ name, ...table[name] }),
    );

/**
 * The same without defaults, so that it can be seen whether they were given.
 * @param {Record<string, Option>} table
 * @param {string[]} names
 */
const given = (table, ...names) =>
    options(table, ...names).map((flag) => {
        const showsDefault =
            flag.default !== undefined && !['format', 'grid'].includes(flag.name) && flag.type !== 'switch';
        return {
            ...flag,
            help: `${flag.help}${showsDefault ? ` (default: ${flag.default})` : ''}`,
            default: undefined,
        };
    });

const JSON_FLAG = /** @type {Flag} */ ({ name: 'json', flag: 'json', type: 'switch', help: 'print one JSON object' });
const BUILD_FLAG = options(LOAD_OPTIONS, 'build');
/** How weights are quantized while they are loaded. */
const QUANTIZE_FLAGS = [
    ...options(LOAD_OPTIONS, 'quantize', 'doubleQuant'),
    /** @type {Flag} */ ({
        name: 'imatrix',
        flag: 'imatrix',
        type: 'text',
        input: 'model',
        value: 'FILE',
        help: 'with --quantize: an importance matrix (.dat or GGUF): errors of important columns count more',
    }),
];
/** How a model is run, except for the length of its context. */
const COMPUTE_FLAGS = [
    ...options(LOAD_OPTIONS, 'threads', 'kvType', 'precision'),
    ...QUANTIZE_FLAGS,
    /** @type {Flag} */ ({
        name: 'adapter',
        flag: 'adapter',
        type: 'texts',
        default: [],
        value: 'FILE[=SCALE]',
        help: "LoRA adapter: a GGUF, or PEFT's folder; its scale is 1 by default (may be given several times)",
    }),
    ...options(LOAD_OPTIONS, 'build'),
];

const DRAFT_FLAG = /** @type {Flag} */ ({
    name: 'draft',
    flag: 'draft',
    type: 'text',
    input: 'model',
    value: 'MODEL',
    help:
        'a smaller model with the same vocabulary, which guesses what the model will say where that is faster (the ' +
        'answer is the same)',
});

const TEXT_FLAG = /** @type {Flag} */ ({
    name: 'file',
    flag: 'file',
    type: 'text',
    input: 'text',
    required: true,
    value: 'TEXT',
    help: 'file that holds the text, in UTF-8',
});

/** @param {string} help @returns {Flag} */
const outputFlag = (help) => ({
    name: 'output',
    flag: 'output',
    short: 'o',
    type: 'text',
    required: true,
    value: 'FILE',
    help,
});

/** For commands that learn from texts. */
const DATA_FLAG = /** @type {Flag} */ ({
    name: 'data',
    flag: 'data',
    type: 'texts',
    input: 'text',
    required: true,
    value: 'FILE',
    help: 'file that holds a text to learn from, in UTF-8 (may be given several times)',
});
const LEARNING_FLAGS = /** @type {Flag[]} */ ([
    {
        name: 'checkpoint',
        flag: 'checkpoint',
        type: 'text',
        value: 'FILE',
        help: 'file for all that another run needs to go on from there, with the same result to the last bit',
    },
    {
        name: 'every',
        flag: 'every',
        type: 'integer',
        min: 1,
        max: 2 ** 31 - 1,
        default: 100,
        value: 'N',
        help: 'with --checkpoint: steps between two checkpoints; after Ctrl-C, and at the end, there is one, too',
    },
    {
        name: 'resume',
        flag: 'resume',
        type: 'switch',
        help: 'go on from the file of --checkpoint, if it is there; with the same model, texts and options',
    },
    {
        name: 'html',
        flag: 'html',
        type: 'text',
        value: 'FILE',
        help: 'write a page with a plot of the loss, which needs no other file and no network',
    },
    { name: 'force', flag: 'force', type: 'switch', help: 'write over files that are there' },
    { ...JSON_FLAG, help: 'print what was made as one JSON object' },
]);

/** @type {Record<string, Command>} */
export const COMMANDS = {
    run: {
        usage: 'nibble run MODEL [--prompt TEXT | --chat TEXT] [options]',
        summary: 'continue a text (--prompt), answer a message (--chat), or chat in the terminal (neither)',
        flags: [
            { name: 'prompt', flag: 'prompt', type: 'text', value: 'TEXT', help: 'text to continue' },
            {
                name: 'chat',
                flag: 'chat',
                type: 'text',
                value: 'TEXT',
                help: "message to answer, by the model's chat template",
            },
            { name: 'system', flag: 'system', type: 'text', value: 'TEXT', help: 'system message of the chat' },
            ...options(TEMPLATE_OPTIONS, 'thinking', 'templateVariables'),
            ...options(GENERATE_OPTIONS),
            DRAFT_FLAG,
            ...options(LOAD_OPTIONS, 'contextLength'),
            ...COMPUTE_FLAGS,
            JSON_FLAG,
        ],
        run: commandRun,
    },
    serve: {
        usage: 'nibble serve MODEL... [options]',
        summary: "answer the clients of OpenAI's API over HTTP",
        several: 'one',
        rereads: true,
        saves: true,
        flags: [...SERVE_FLAGS, ...options(LOAD_OPTIONS, 'contextLength'), ...COMPUTE_FLAGS],
        run: commandServe,
    },
    eval: {
        usage: 'nibble eval MODEL --tokens IDS --logits FILE [options]',
        summary: 'write the logits after each token: float32, little-endian, [tokens, vocabulary]',
        flags: [
            {
                name: 'tokens',
                flag: 'tokens',
                type: 'tokens',
                required: true,
                value: 'IDS',
                help: 'token ids, such as 1,2,3',
            },
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
            ...options(TOKENIZE_OPTIONS),
            ...BUILD_FLAG,
        ],
        run: commandTokenize,
    },
    template: {
        usage: 'nibble template MODEL --messages JSON [options]',
        summary: "print the prompt that the model's chat template makes of messages",
        flags: [
            {
                name: 'messages',
                flag: 'messages',
                type: 'objects',
                required: true,
                value: 'JSON',
                help: 'the conversation: a JSON array of { role, content }, or a file that holds one',
            },
            ...options(TEMPLATE_OPTIONS, 'thinking', 'tools', 'documents', 'templateVariables', 'addGenerationPrompt'),
            { ...JSON_FLAG, help: 'print { text, tokens } as one JSON object; a chat feeds the model these tokens' },
            ...BUILD_FLAG,
        ],
        run: commandTemplate,
    },
    embed: {
        usage: 'nibble embed MODEL (--text TEXT | --tokens IDS) [options]',
        summary: "print a text's embedding as a JSON array of numbers",
        flags: [
            { name: 'text', flag: 'text', type: 'text', value: 'TEXT', help: 'the text' },
            { name: 'tokens', flag: 'tokens', type: 'tokens', value: 'IDS', help: 'or its token ids, such as 1,2,3' },
            ...options(EMBED_OPTIONS),
            ...options(LOAD_OPTIONS, 'contextLength'),
            ...COMPUTE_FLAGS,
        ],
        run: commandEmbed,
    },
    rerank: {
        usage: 'nibble rerank MODEL FILE ... --query TEXT [options]',
        summary: 'sort documents by how well they answer a query, with a reranker',
        several: 'one',
        flags: [
            { name: 'query', flag: 'query', type: 'text', required: true, value: 'TEXT', help: 'the query' },
            { name: 'lines', flag: 'lines', type: 'switch', help: 'each line of a file is a document' },
            ...options(RERANK_OPTIONS),
            { ...JSON_FLAG, help: 'print the results, with their scores, as a JSON array' },
            ...options(LOAD_OPTIONS, 'contextLength'),
            ...COMPUTE_FLAGS,
        ],
        run: commandRerank,
    },
    inspect: {
        usage: 'nibble inspect MODEL [--context N] [--json]',
        summary: "say what is in a model's files; only their headers are read",
        flags: [
            {
                name: 'contextLength',
                flag: 'context',
                type: 'integer',
                min: 1,
                max: 1 << 24,
                value: 'N',
                help: "tokens to tell the memory for (default: the model's own context, at most 4096)",
            },
            { ...JSON_FLAG, help: 'print everything, tensors and metadata too, as one JSON object' },
            ...QUANTIZE_FLAGS,
            ...BUILD_FLAG,
        ],
        run: commandInspect,
    },
    perplexity: {
        usage: 'nibble perplexity MODEL --file TEXT [options]',
        summary: 'measure how well the model knows a text: its perplexity, as llama.cpp computes it',
        flags: [TEXT_FLAG, ...options(PERPLEXITY_OPTIONS), ...COMPUTE_FLAGS, JSON_FLAG],
        run: commandPerplexity,
    },
    compare: {
        usage: 'nibble compare BASE MODEL... --file TEXT [options]',
        summary:
            'tell what quantized models lose against the one that they were made of, and how large and fast each is',
        several: 'two',
        rereads: true,
        flags: [
            TEXT_FLAG,
            ...options(COMPARE_OPTIONS, 'context', 'stride'),
            {
                name: 'embeddings',
                flag: 'embeddings',
                type: 'switch',
                help: 'compare embeddings of passages, as it is always done for encoders, and no next tokens',
            },
            ...options(EMBEDDING_COMPARE_OPTIONS, 'passages'),
            {
                name: 'html',
                flag: 'html',
                type: 'text',
                value: 'FILE',
                help: 'write a page with the table and plots, which needs no other file and no network',
            },
            ...options(COMPARE_OPTIONS, 'weights', 'speed', 'threads', 'kvType', 'precision', 'build'),
            { name: 'force', flag: 'force', type: 'switch', help: 'write over a page that is there' },
            JSON_FLAG,
        ],
        run: commandCompare,
    },
    imatrix: {
        usage: 'nibble imatrix MODEL --file TEXT --output FILE [options]',
        summary: 'write an importance matrix, which tells quantizers which columns of weights matter most for a text',
        flags: [
            TEXT_FLAG,
            outputFlag("file to write: NAME.gguf, or NAME.dat in llama.cpp's older format"),
            ...options(IMPORTANCE_OPTIONS, 'context'),
            ...COMPUTE_FLAGS,
            { name: 'force', flag: 'force', type: 'switch', help: 'write over a file that is there' },
            JSON_FLAG,
        ],
        run: commandImatrix,
    },
    quantize: {
        usage:
            'nibble quantize MODEL OUT.gguf (--type NAME | --bits B | --size SIZE | --simulate GRID) [options]\n' +
            '       nibble quantize MODEL OUT.gguf --method integer\n' +
            '       nibble quantize FOLDER OUT_FOLDER --format NAME [--calibration FILE] [options]\n' +
            '       nibble quantize FOLDER OUT_FOLDER --format compressed-tensors --activations NAME [options]',
        summary:
            'write a GGUF or a Hugging Face folder whose weights are quantized, by rounding to nearest or with a ' +
            'calibration text',
        out: 'the GGUF or the folder to write',
        flags: [
            ...options(QUANTIZE_OPTIONS, 'type'),
            {
                ...options(QUANTIZE_OPTIONS, 'bits')[0],
                help:
                    `${QUANTIZE_OPTIONS.bits.help}. Of a folder (--format): bits of each code: 2, 3, 4 (the default) ` +
                    `or 8. With --simulate: of each code, 2 to 8 (default: ${SIMULATE_OPTIONS.bits.default})`,
            },
            ...options(QUANTIZE_OPTIONS, 'size'),
            ...given(SIMULATE_OPTIONS, 'grid'),
            ...given(FOLDER_OPTIONS, 'format'),
            {
                ...given(FOLDER_OPTIONS, 'group')[0],
                help:
                    `of a folder (--format): ${FOLDER_OPTIONS.group.help} (default: ` +
                    `${FOLDER_OPTIONS.group.default}). With --simulate: ${SIMULATE_OPTIONS.group.help} (default: ` +
                    `${SIMULATE_OPTIONS.group.default})`,
            },
            ...given(FOLDER_OPTIONS, 'block', 'symmetric', 'activations', 'smooth', 'shardBytes'),
            ...given(SIMULATE_OPTIONS, 'perTensor'),
            {
                ...given(FOLDER_OPTIONS, 'ranges')[0],
                help: `${SIMULATE_OPTIONS.ranges.help}. ${FOLDER_OPTIONS.ranges.help}`,
            },
            {
                ...given(FOLDER_OPTIONS, 'percentile')[0],
                help:
                    'with --ranges percentile: percent of the weights, or of the inputs, within the range (default: ' +
                    `${SIMULATE_OPTIONS.percentile.default} of weights, 99.99 of inputs)`,
            },
            ...given(SIMULATE_OPTIONS, 'rounding', 'seed'),
            ...options(QUANTIZE_OPTIONS, 'tensors', 'outputType', 'tokenEmbeddingType'),
            ...given(QUANTIZE_OPTIONS, 'search'),
            {
                name: 'imatrix',
                flag: 'imatrix',
                type: 'text',
                input: 'model',
                value: 'FILE',
                help: 'an importance matrix (.dat or GGUF): errors of important columns count more',
            },
            {
                ...given(QUANTIZE_OPTIONS, 'method')[0],
                help: `${QUANTIZE_OPTIONS.method.help} (default: rtn; of a folder (--format) with --calibration: gptq)`,
            },
            { ...options(QUANTIZE_OPTIONS, 'calibration')[0], input: 'text' },
            ...options(QUANTIZE_OPTIONS, 'samples', 'context', 'damping'),
            ...options(FOLDER_OPTIONS, 'order'),
            ...options(QUANTIZE_OPTIONS, 'clip', 'trueSequential', 'steps'),
            {
                name: 'resume',
                flag: 'resume',
                type: 'switch',
                help:
                    'when calibrating: keep each layer that is done, and what --bits or --size measured, in ' +
                    'OUT.gguf.part, and go on from there if that file is there',
            },
            ...options(QUANTIZE_OPTIONS, 'requantize', 'doubleQuant', 'outliers', 'threads'),
            {
                name: 'force',
                flag: 'force',
                type: 'switch',
                help: 'replace a file, or a folder of a model, that is there',
            },
            { ...JSON_FLAG, help: 'print what was made as one JSON object' },
        ],
        run: commandQuantize,
    },
    train: {
        usage:
            'nibble train --config C.json (--tokenizer PLACE | --vocabulary N) --data FILE --output OUT.gguf ' +
            '[options]\n' +
            '       nibble train --init MODEL --data FILE --output OUT.gguf [options]',
        summary: "train a model of Llama's family on a text: a new one, or one that is there",
        flagsOnly: true,
        saves: true,
        flags: [
            {
                name: 'config',
                flag: 'config',
                type: 'object',
                value: 'JSON',
                help: 'sizes of a new model, as a config.json of Llama has them: a file, or the JSON object itself',
            },
            {
                name: 'tokenizer',
                flag: 'tokenizer',
                type: 'text',
                value: 'PLACE',
                help: 'with --config: its tokenizer, a folder with tokenizer.json, or such a file',
            },
            {
                ...options(TOKENIZER_OPTIONS, 'vocabulary')[0],
                help: 'with --config, instead of --tokenizer: train a tokenizer of so many tokens on the data first',
            },
            {
                name: 'end',
                flag: 'end',
                type: 'text',
                value: 'TEXT',
                help:
                    'with --vocabulary: a special token, such as <|endoftext|>, that begins each text and ends what ' +
                    'the model writes. Where it is written in the data, it is the token, as between the stories of ' +
                    'one file',
            },
            {
                name: 'init',
                flag: 'init',
                type: 'text',
                value: 'MODEL',
                help: 'the model to go on from; quantized weights of a GGUF are read as F32',
            },
            DATA_FLAG,
            {
                name: 'teacher',
                flag: 'teacher',
                type: 'text',
                value: 'BASE',
                help:
                    'learn the logits of this model instead of the text (the loss is the divergence from it): a ' +
                    'GGUF or a folder, with the same vocabulary',
            },
            outputFlag('the GGUF to write, with weights in F32, or with --qat in its type'),
            ...options(TRAIN_OPTIONS),
            ...options(QAT_OPTIONS),
            ...LEARNING_FLAGS,
        ],
        run: commandTrain,
    },
    tune: {
        usage: 'nibble tune QUANTIZED --teacher BASE --data FILE --output OUT.gguf [options]',
        summary: 'let the scales of a quantized model learn from the model that it was made of',
        rereads: true,
        saves: true,
        flags: [
            {
                name: 'teacher',
                flag: 'teacher',
                type: 'text',
                required: true,
                value: 'BASE',
                help: 'the model that QUANTIZED was made of: a GGUF, or a folder of safetensors files',
            },
            DATA_FLAG,
            outputFlag('the GGUF to write, of the types and the size of QUANTIZED'),
            ...options(TUNE_OPTIONS),
            ...LEARNING_FLAGS,
        ],
        run: commandTune,
    },
    tokenizer: {
        usage: 'nibble tokenizer --data FILE --vocabulary N --output tokenizer.json [options]',
        summary: 'train a tokenizer on texts (byte-level BPE), as the tokenizers library does',
        flagsOnly: true,
        flags: [
            DATA_FLAG,
            { ...options(TOKENIZER_OPTIONS, 'vocabulary')[0], required: true },
            {
                name: 'end',
                flag: 'end',
                type: 'text',
                value: 'TEXT',
                help:
                    'the special token, such as <|endoftext|>, that begins each text and ends what a model writes. ' +
                    'It becomes the first token',
            },
            ...options(TOKENIZER_OPTIONS, 'special', 'minFrequency', 'pattern', 'lines'),
            outputFlag(
                'the tokenizer.json to write; beside a file of that name it writes a tokenizer_config.json, which ' +
                    'transformers reads',
            ),
            { name: 'force', flag: 'force', type: 'switch', help: 'write over files that are there' },
            { ...JSON_FLAG, help: 'print figures of the tokenizer as one JSON object' },
        ],
        run: commandTokenizer,
    },
    bench: {
        usage: 'nibble bench MODEL [options]',
        summary: 'measure tokens per second (medians, after a warm-up), and the share of the possible',
        flags: [
            {
                name: 'promptTokens',
                flag: 'prompt-tokens',
                type: 'integer',
                min: 1,
                max: 1 << 20,
                default: 128,
                value: 'N',
                help: 'tokens of the prompt',
            },
            {
                name: 'generateTokens',
                flag: 'generate-tokens',
                type: 'integer',
                min: 2,
                max: 1 << 20,
                default: 64,
                value: 'N',
                help: 'tokens of the answer',
            },
            {
                name: 'repetitions',
                flag: 'repetitions',
                type: 'integer',
                min: 1,
                max: 1000,
                default: 5,
                value: 'N',
                help: 'number of measurements',
            },
            {
                name: 'profile',
                flag: 'profile',
                type: 'switch',
                help: 'print how many ms each phase of the work takes, too',
            },
            ...COMPUTE_FLAGS,
            JSON_FLAG,
        ],
        run: commandBench,
    },
};
