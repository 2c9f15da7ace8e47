/**
 * The tables of options: the API checks its arguments with them (checks.js), and the command line makes its flags and
 * its help from them. The options of quantizing, training and tokenizers have tables of their own (quantize-options.js,
 * simulated.js, train-options.js, qat-options.js, tokenizer-options.js). The defaults of the API stand in these tables.
 */
import { NB_MAX_SEQUENCES, POOLINGS, PRECISIONS, PRESETS } from './abi.js';
import { SCALE } from './checks.js';
import { SAMPLERS } from './samplers.js';

/** @typedef {import('./checks.js').Option} Option */
/**
 * @template Checked
 * @typedef {import('./checks.js').Table<Checked>} Table
 */

/** @typedef {import('./index.d.ts').LoadOptions} LoadOptions */
/** @typedef {import('./index.d.ts').GenerateOptions} GenerateOptions */

// The options that the engine gets: checked, and with defaults filled in.

/**
 * @typedef {Pick<LoadOptions, 'threads' | 'contextLength' | 'quantize' | 'build'>
 *     & Required<Pick<LoadOptions, 'kvType' | 'precision' | 'doubleQuant' | 'parallel'>> & { cacheSize?: number }} CheckedLoad
 */

/**
 * @typedef {Required<Pick<GenerateOptions, 'maxTokens' | 'temperature' | 'topK' | 'topP' | 'minP' | 'repeatPenalty'
 *     | 'presencePenalty' | 'frequencyPenalty' | 'penaltyLast' | 'special' | 'ignoreEnd' | 'topNSigma' | 'typicalP'
 *     | 'xtcProbability' | 'xtcThreshold' | 'dynatempRange' | 'dynatempExponent' | 'mirostat' | 'mirostatTau'
 *     | 'mirostatEta' | 'dryMultiplier' | 'dryBase' | 'dryAllowedLength' | 'dryPenaltyLast' | 'logprobs'
 *     | 'topLogprobs' | 'speculate'>>
 *     & { seed?: number, grammar?: string, schema?: unknown, stop: string[],
 *     adapters?: import('./index.d.ts').AdapterScale[], logitBias: [number | string, number][],
 *     drySequenceBreakers: string[], samplers?: (keyof typeof SAMPLERS)[],
 *     contextOverflow: 'error' | 'slide' | 'shift', keep?: number }} CheckedGenerate
 */

/**
 * @typedef {{ addGenerationPrompt: boolean, continueFinalMessage?: boolean, thinking?: boolean | { maxTokens: number },
 *     tools?: object[], toolChoice: 'auto' | 'none' | 'required' | { name: string }, documents?: object[],
 *     templateVariables: Record<string, unknown> }} CheckedTemplate
 */

/** @typedef {CheckedGenerate & CheckedTemplate & { parallelToolCalls: boolean }} CheckedChat */

/**
 * What a turn of a chat is made by. callGrammars: of the functions of which the answer must call one
 * (web/api/tool-choice.js).
 * @typedef {CheckedTemplate & { parallelToolCalls?: boolean,
 *     callGrammars?: import('./worker/answers/held-calls.js').CallGrammar[] }} CheckedTurn
 */

/** @typedef {{ special: boolean, bare: boolean }} CheckedTokenize */

/** @typedef {{ special: boolean }} CheckedDetokenize */

/** @typedef {{ pooling: keyof typeof POOLINGS, prompt?: string, promptName?: string }} CheckedEmbed */

/** @typedef {{ topN?: number }} CheckedRerank */

/** @typedef {{ context?: number, stride?: number }} CheckedPerplexity */

/** @typedef {CheckedPerplexity & Pick<CheckedLoad, 'threads' | 'kvType' | 'precision' | 'build'>
 *     & { weights: boolean, speed: boolean }} CheckedCompare */

/** @typedef {Omit<CheckedCompare, 'stride'> & { passages: number }} CheckedEmbeddingCompare */

/** @typedef {{ context?: number, format: 'gguf' | 'dat', textName: string }} CheckedImportance */

/** Which presets need an importance matrix, as nb_preset_needs_importance() says. */
export const NEED_IMATRIX = 'q2_k_s, iq3_xs, iq3_xxs and all of iq2 and iq1 need --imatrix';

/** @type {Table<CheckedLoad>} */
export const LOAD_OPTIONS = {
    threads: {
        flag: 'threads',
        type: 'integer',
        min: 1,
        max: 64,
        value: 'N',
        help:
            'threads to compute with, as a rule at most one for each logical processor ' +
            '(default: half of the logical processors, or all if there are at most 4; at most 8)',
    },
    contextLength: {
        flag: 'context',
        type: 'integer',
        min: 1,
        max: 1 << 24,
        value: 'N',
        help: "tokens that prompt and answer may have together (default: the model's own context, at most 4096)",
    },
    kvType: {
        flag: 'kv-type',
        type: 'choice',
        choices: ['i16', 'f16', 'f32', 'q8_0', 'q8_0/q4_0', 'q4_0'],
        default: 'i16',
        value: 'TYPE',
        help:
            'number format of the KV cache: i16 is 16-bit integers with scales, q8_0 takes half the memory, q8_0/q4_0 ' +
            '(keys/values) two fifths, q4_0 a quarter, but some models lose much by it, f16 and f32 are slower',
    },
    precision: {
        flag: 'precision',
        type: 'choice',
        choices: Object.keys(PRECISIONS),
        default: 'exact',
        value: 'NAME',
        help: 'exact keeps activations in 16 bits; fast takes 8 bits where that is faster, as other engines do',
    },
    quantize: {
        flag: 'quantize',
        type: 'choice',
        value: 'NAME',
        choices: PRESETS,
        help:
            'quantize floating-point weights while they are loaded: nf4, fp4 and int8 as bitsandbytes does, the ' +
            `others as llama.cpp does; ${NEED_IMATRIX}`,
    },
    cacheSize: { type: 'bytes', help: 'bytes for conversations besides the last one' },
    parallel: {
        type: 'integer',
        min: 1,
        max: NB_MAX_SEQUENCES,
        default: 1,
        help: 'answers that are computed together, each with a context of its own',
    },
    doubleQuant: {
        flag: 'double-quant',
        type: 'switch',
        default: false,
        help: 'with nf4 or fp4: quantize their scales, too',
    },
    build: {
        flag: 'build',
        type: 'choice',
        choices: ['simd128', 'simd128-threads', 'relaxed', 'relaxed-threads', 'relaxed-dot', 'relaxed-dot-threads'],
        value: 'NAME',
        help: 'WebAssembly build to use (default: the fastest that computes correctly here)',
    },
};

/** @type {Table<{ name?: string, scale: number }>} */
export const ADAPTER_OPTIONS = {
    name: { type: 'text', help: 'its name in setAdapters()' },
    scale: { ...SCALE, default: 1, help: 'a factor of what it adds' },
};

/** @type {Table<CheckedGenerate>} */
export const GENERATE_OPTIONS = {
    adapters: { type: 'adapters', help: 'names of adapters and their scales, for this request' },
    maxTokens: {
        flag: 'max-tokens',
        type: 'integer',
        min: 1,
        max: 2 ** 31 - 1,
        default: 512,
        value: 'N',
        help: 'end the answer after this many tokens',
    },
    contextOverflow: {
        flag: 'context-overflow',
        type: 'choice',
        choices: ['error', 'slide', 'shift'],
        default: 'error',
        value: 'NAME',
        help:
            'what happens when the text outgrows the context. error: a prompt that is too long is refused, and an ' +
            'answer ends; slide: the oldest tokens are dropped, of a chat the oldest messages, and the rest is evaluated ' +
            'anew; shift: the same, but the KV cache is moved instead, which is quick and inexact',
    },
    keep: {
        flag: 'keep',
        type: 'integer',
        min: -1,
        max: 2 ** 31 - 1,
        value: 'N',
        help:
            'with slide and shift: do not drop the first N tokens of a prompt; -1: none of it (default: the token that ' +
            'begins a text). A chat keeps its system messages',
    },
    temperature: {
        flag: 'temperature',
        type: 'number',
        min: 0,
        max: 100,
        default: 0,
        value: 'T',
        help: '0 always takes the likeliest token; with higher values answers vary more, and 0.7 is usual',
    },
    topK: {
        flag: 'top-k',
        type: 'integer',
        min: 0,
        max: 2 ** 31 - 1,
        default: 40,
        value: 'K',
        help: 'choose among the K likeliest tokens; 0: among all',
    },
    topP: {
        flag: 'top-p',
        type: 'number',
        min: 0,
        max: 1,
        default: 0.95,
        value: 'P',
        help: 'choose among the likeliest tokens whose probabilities together reach P; 1: among all',
    },
    minP: {
        flag: 'min-p',
        type: 'number',
        min: 0,
        max: 1,
        default: 0.05,
        value: 'P',
        help: 'leave out tokens whose probability is below P times that of the likeliest; 0: leave out none',
    },
    topNSigma: {
        flag: 'top-n-sigma',
        type: 'number',
        min: 0,
        max: 1000,
        default: 0,
        value: 'N',
        help: 'choose among tokens whose logits are at most N standard deviations below the highest; 0: among all',
    },
    typicalP: {
        flag: 'typical',
        type: 'number',
        min: 0,
        max: 1,
        default: 1,
        value: 'P',
        help:
            'choose among the tokens whose surprise is nearest to the expected one, and whose probabilities together ' +
            'reach P; 1: among all',
    },
    xtcProbability: {
        flag: 'xtc-probability',
        type: 'number',
        min: 0,
        max: 1,
        default: 0,
        value: 'P',
        help: 'with this probability leave out the top choices but for the least likely of them',
    },
    xtcThreshold: {
        flag: 'xtc-threshold',
        type: 'number',
        min: 0,
        max: 1,
        default: 0.1,
        value: 'P',
        help: 'a top choice of --xtc-probability is a token of this probability or more',
    },
    dynatempRange: {
        flag: 'dynatemp-range',
        type: 'number',
        min: 0,
        max: 100,
        default: 0,
        value: 'R',
        help:
            'let the temperature follow the entropy, from T - R where the model is sure to T + R where it is not; ' +
            '0: off',
    },
    dynatempExponent: {
        flag: 'dynatemp-exp',
        type: 'number',
        min: 0,
        max: 100,
        default: 1,
        value: 'E',
        help: 'how fast the temperature of --dynatemp-range rises: by the normalized entropy to the power of E',
    },
    mirostat: {
        flag: 'mirostat',
        type: 'integer',
        min: 0,
        max: 2,
        default: 0,
        value: 'N',
        help: 'keep the surprise of the tokens near --mirostat-ent bits, by mirostat 1 or 2; 0: off',
    },
    mirostatTau: {
        flag: 'mirostat-ent',
        type: 'number',
        min: 0,
        max: 100,
        default: 5,
        value: 'N',
        help: 'the surprise that mirostat aims at, in bits',
    },
    mirostatEta: {
        flag: 'mirostat-lr',
        type: 'number',
        min: 0,
        max: 100,
        default: 0.1,
        value: 'N',
        help: 'how fast mirostat follows: its learning rate',
    },
    samplers: {
        flag: 'samplers',
        type: 'texts',
        choices: Object.keys(SAMPLERS),
        value: 'NAMES',
        help:
            'what chooses tokens, in this order, instead of ' +
            `${Object.keys(SAMPLERS).join(';')} (with --mirostat: temperature alone); what is not named is off, ` +
            'and penalties come first in any case',
    },
    repeatPenalty: {
        flag: 'repeat-penalty',
        type: 'number',
        min: 0.01,
        max: 100,
        default: 1,
        value: 'R',
        help: 'make tokens that occurred already less likely; 1: off',
    },
    presencePenalty: {
        flag: 'presence-penalty',
        type: 'number',
        min: -100,
        max: 100,
        default: 0,
        value: 'R',
        help: 'subtract R from the logit of every token that occurred already',
    },
    frequencyPenalty: {
        flag: 'frequency-penalty',
        type: 'number',
        min: -100,
        max: 100,
        default: 0,
        value: 'R',
        help: 'subtract R from the logit of a token for each time that it occurred',
    },
    penaltyLast: {
        flag: 'penalty-last',
        type: 'integer',
        min: -1,
        max: 2 ** 31 - 1,
        default: 64,
        value: 'N',
        help: 'the three penalties count the last N tokens; 0: none, -1: all',
    },
    dryMultiplier: {
        flag: 'dry-multiplier',
        type: 'number',
        min: 0,
        max: 100,
        default: 0,
        value: 'M',
        help:
            'DRY: subtract M * B^(N - A) from the logit of a token that would go on with a repetition of N tokens, ' +
            'where N is at least A; 0: off',
    },
    dryBase: {
        flag: 'dry-base',
        type: 'number',
        min: 1,
        max: 100,
        default: 1.75,
        value: 'B',
        help: 'the base B of --dry-multiplier',
    },
    dryAllowedLength: {
        flag: 'dry-allowed-length',
        type: 'integer',
        min: 0,
        max: 1000,
        default: 2,
        value: 'A',
        help: 'the length A of --dry-multiplier',
    },
    dryPenaltyLast: {
        flag: 'dry-penalty-last',
        type: 'integer',
        min: -1,
        max: 2 ** 31 - 1,
        default: -1,
        value: 'N',
        help: 'DRY looks for repetitions in the last N tokens; 0: in none, -1: in all',
    },
    drySequenceBreakers: {
        flag: 'dry-sequence-breaker',
        type: 'texts',
        default: ['\n', ':', '"', '*'],
        value: 'TEXT',
        help:
            'no repetition goes back beyond this text (may be given several times; then those of the default, which ' +
            'are a line break, :, " and *, do not count)',
    },
    seed: {
        flag: 'seed',
        type: 'integer',
        modulo: 2 ** 32,
        value: 'S',
        help:
            'any whole number, taken modulo 2^32: the same seed gives the same answer (default: a new one each time; ' +
            'the result has it)',
    },
    stop: {
        flag: 'stop',
        type: 'texts',
        default: [],
        value: 'TEXT',
        help: 'end the answer before this text (may be given several times)',
    },
    logitBias: {
        flag: 'logit-bias',
        type: 'biases',
        default: [],
        value: 'TOKEN=B',
        help: 'add B to the logit of a token: its id, or its text (may be given several times)',
    },
    grammar: {
        flag: 'grammar',
        type: 'text',
        file: true,
        value: 'FILE',
        help: 'a grammar in GBNF, which the answer follows',
    },
    schema: {
        flag: 'schema',
        type: 'schema',
        value: 'FILE',
        help: 'a JSON Schema, under which the answer is valid JSON: a file, the schema itself, or true for any JSON',
    },
    logprobs: {
        flag: 'logprobs',
        type: 'switch',
        default: false,
        help: "with --json: tell each token's log-probability, by the model's own distribution",
    },
    topLogprobs: {
        flag: 'top-logprobs',
        type: 'integer',
        min: 0,
        max: 100,
        default: 0,
        value: 'N',
        help: 'with --logprobs: tell those of the N likeliest tokens at each place, too',
    },
    special: {
        flag: 'special',
        type: 'switch',
        default: false,
        help: 'parse the special tokens that are written in the prompt',
    },
    ignoreEnd: {
        flag: 'ignore-end',
        type: 'switch',
        default: false,
        help: 'go on when the model ends its answer, to measure its speed',
    },
    speculate: {
        flag: 'no-speculation',
        type: 'switch',
        off: true,
        default: true,
        help:
            'make tokens one by one also where the text repeats itself, and without the draft model (the answer is the ' +
            'same)',
    },
};

/** What a chat template is given in addition to the messages. @type {Table<CheckedTemplate>} */
export const TEMPLATE_OPTIONS = {
    addGenerationPrompt: {
        flag: 'no-generation-prompt',
        type: 'switch',
        off: true,
        default: true,
        help: "leave out the generation prompt, which begins the model's answer",
    },
    continueFinalMessage: {
        type: 'switch',
        help: 'go on from the last message, which is the beginning of an answer',
    },
    thinking: {
        flag: 'thinking',
        type: 'thinking',
        value: 'HOW',
        help: 'on, off, or the most tokens that the model may think for, such as 200 (default: as the template has it)',
    },
    tools: {
        flag: 'tools',
        type: 'objects',
        value: 'JSON',
        help:
            'functions that the model may call: a JSON array as its chat template expects it, or a file that ' +
            'holds one',
    },
    toolChoice: {
        type: 'toolChoice',
        default: 'auto',
        help:
            'auto: the model calls functions if it wants to; none: it is not told of them; required: it calls at ' +
            'least one; { name }: it calls this one',
    },
    documents: {
        flag: 'documents',
        type: 'objects',
        value: 'JSON',
        help: 'documents that the answer may draw on: a JSON array of { title, text }, or a file that holds one',
    },
    templateVariables: {
        flag: 'variables',
        type: 'object',
        default: {},
        value: 'JSON',
        help:
            'further variables of the chat template, such as {"enable_thinking": false}: a JSON object, or a file ' +
            'that holds one',
    },
};

/** @type {Table<CheckedChat>} */
export const CHAT_OPTIONS = {
    ...GENERATE_OPTIONS,
    ...TEMPLATE_OPTIONS,
    parallelToolCalls: {
        type: 'switch',
        default: true,
        help: 'false: the answer ends with the first call',
    },
};

/** @type {Table<CheckedTokenize>} */
export const TOKENIZE_OPTIONS = {
    special: {
        flag: 'special',
        type: 'switch',
        default: false,
        help: 'parse the special tokens that are written in the text',
    },
    bare: {
        flag: 'bare',
        type: 'switch',
        default: false,
        help: 'leave off the beginning and end tokens',
    },
};

/** @type {Table<CheckedDetokenize>} */
export const DETOKENIZE_OPTIONS = {
    special: {
        type: 'switch',
        default: false,
        help: 'write special tokens, too',
    },
};

/** @type {Table<CheckedEmbed>} */
export const EMBED_OPTIONS = {
    pooling: {
        flag: 'pooling',
        type: 'choice',
        choices: Object.keys(POOLINGS),
        default: 'file',
        value: 'NAME',
        help:
            "how the tokens' vectors become one. file: as the file says; mean: their mean; cls: the first; " +
            'last: the last',
    },
    prompt: {
        flag: 'prompt',
        type: 'text',
        value: 'TEXT',
        help: 'what to put before the text',
    },
    promptName: {
        flag: 'prompt-name',
        type: 'text',
        value: 'NAME',
        help: 'which of the prompts in config_sentence_transformers.json to put before the text',
    },
};

/** @type {Table<CheckedRerank>} */
export const RERANK_OPTIONS = {
    topN: {
        flag: 'top',
        type: 'integer',
        min: 1,
        max: 2 ** 31 - 1,
        value: 'N',
        help: 'give only the N documents with the highest scores (default: all)',
    },
};

/** @type {Option} */
export const WINDOW = {
    flag: 'context',
    type: 'integer',
    min: 8,
    max: 1 << 24,
    value: 'N',
    help: 'tokens of a window of the text (default: 512, or less if the model takes less)',
};

/** @type {Table<CheckedPerplexity>} */
export const PERPLEXITY_OPTIONS = {
    context: WINDOW,
    stride: {
        flag: 'stride',
        type: 'integer',
        min: 1,
        max: 1 << 24,
        value: 'N',
        help:
            'each window begins N tokens after the one before, and its last N tokens are scored (default: the ' +
            'context; then the second half of each window is scored)',
    },
};

/** @type {Table<CheckedCompare>} */
export const COMPARE_OPTIONS = {
    ...PERPLEXITY_OPTIONS,
    weights: {
        flag: 'no-weights',
        type: 'switch',
        off: true,
        default: true,
        help: 'leave out the errors of the weights',
    },
    speed: { flag: 'no-speed', type: 'switch', off: true, default: true, help: 'leave out tokens per second' },
    threads: LOAD_OPTIONS.threads,
    kvType: LOAD_OPTIONS.kvType,
    precision: LOAD_OPTIONS.precision,
    build: LOAD_OPTIONS.build,
};

/** @type {Table<CheckedEmbeddingCompare>} */
export const EMBEDDING_COMPARE_OPTIONS = {
    passages: {
        flag: 'passages',
        type: 'integer',
        min: 3,
        max: 1000, // a pair of passages is a similarity, and the pairs are ranked
        default: 100,
        value: 'N',
        help: 'of models that embed texts: how many passages of the text are embedded, from its beginning',
    },
    context: WINDOW,
    weights: COMPARE_OPTIONS.weights,
    speed: COMPARE_OPTIONS.speed,
    threads: LOAD_OPTIONS.threads,
    kvType: LOAD_OPTIONS.kvType,
    precision: LOAD_OPTIONS.precision,
    build: LOAD_OPTIONS.build,
};

/** @type {Table<CheckedImportance>} */
export const IMPORTANCE_OPTIONS = {
    context: WINDOW,
    format: {
        type: 'choice',
        choices: ['gguf', 'dat'],
        default: 'gguf',
        value: 'NAME',
        help: 'file format of llama.cpp: GGUF, or the older one',
    },
    textName: {
        type: 'text',
        default: '',
        value: 'TEXT',
        help: 'the name of the text, which the file keeps',
    },
};
