/**
 * The create() functions of OpenAI's API, over the methods of a model. types.d.ts says what each field does;
 * index.js answers OpenAI's HTTP calls with them.
 */
import { checkSignal } from '../api/requests.js';
import { NibbleError } from '../errors.js';
import { begunStream, Count, eachPiece, headOf, wholeAnswers } from './answers.js';
import {
    adaptersOf,
    CHAT_FIELDS,
    CHAT_LACKING,
    COMPLETION_FIELDS,
    COMPLETION_LACKING,
    checkFields,
    checkTokens,
    EMBEDDING_FIELDS,
    fieldError,
    grammarOf,
    includesUsage,
    MOST_TEXTS,
    optionsOf,
    RERANK_FIELDS,
    textsOrTokens,
    turnOf,
} from './fields.js';
import { chatLogprobs, completionLogprobs } from './logprobs.js';
import { messagesOf } from './messages.js';

/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('./answers.js').Piece} Piece */
/** @typedef {import('./answers.js').Planned} Planned */

/** What create() needs of a model.
 * @typedef {Pick<Model, 'info' | 'adapters' | 'chat' | 'complete' | 'embed' | 'detokenize'>} Answering */

/** The name of a model in answers. @param {Pick<Model, 'info'>} model @returns {string} */
export const nameOf = ({ info }) => info.name || info.architecture || 'nibble';

/** @param {string} caller @param {unknown} options the second argument of create() */
function signalOf(caller, options) {
    checkFields(`${caller}: options`, options ?? {}, {}, {}, ['signal']);
    return checkSignal(caller, /** @type {any} */ (options)?.signal);
}

/**
 * @template Whole
 * @template Chunk
 * @typedef {object} Shape
 * @property {(answer: import('./answers.js').Whole) => Whole} whole a
 *     choice of an answer that is not streamed
 * @property {(piece: Piece) => Chunk[]} chunks choices of the chunks that a piece becomes
 */

/**
 * @template Whole
 * @template Chunk
 * @param {{ all: Planned[], count: Count, stream: boolean, usage: boolean, together: boolean }} plan
 *     usage: the last chunk has it. together: the answers are computed at the same time
 * @param {object} head what the answer and all chunks begin with
 * @param {object} chunkHead
 * @param {Shape<Whole, Chunk>} shape
 */
async function answer({ all, count, stream, usage, together }, head, chunkHead, { whole, chunks }) {
    if (!stream) {
        const answers = await wholeAnswers(all, count, together);
        return { ...head, choices: answers.map(whole), usage: count.usage() };
    }
    async function* eachChunk() {
        for await (const piece of eachPiece(all, count, together))
            for (const choice of chunks(piece))
                yield { ...chunkHead, choices: [choice], ...(usage ? { usage: null } : {}) };
        if (usage) yield { ...chunkHead, choices: [], usage: count.usage() };
    }
    return begunStream(eachChunk(), () => count.stop());
}

/** @type {Shape<import('./types.js').ChatCompletion['choices'][0], import('./types.js').ChatCompletionChunk['choices'][0]>} */
const CHAT_SHAPE = {
    whole: ({ index, text, reasoning, toolCalls, end, logprobs }) => ({
        index,
        message: {
            role: 'assistant',
            content: text === '' && toolCalls.length > 0 ? null : text,
            refusal: null,
            ...(reasoning !== '' && { reasoning_content: reasoning }),
            ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
        },
        finish_reason: end,
        logprobs: chatLogprobs(logprobs),
    }),
    chunks({ index, first, text, reasoning, toolCalls, end, logprobs }) {
        /** @type {(delta: import('./types.js').ChatDelta, rest?: object) => any} */
        const choice = (delta, rest) => ({ index, delta, finish_reason: null, logprobs: null, ...rest });
        const told = chatLogprobs(logprobs?.length ? logprobs : undefined);
        return [
            ...(first ? [choice({ role: 'assistant', content: '' })] : []),
            ...(reasoning !== '' ? [choice({ reasoning_content: reasoning })] : []),
            ...(text !== '' || told ? [choice({ content: text }, { logprobs: told })] : []),
            ...toolCalls.map((each) => choice({ tool_calls: [{ index: each.index, ...each.call }] })),
            ...(end ? [choice({}, { finish_reason: end })] : []),
        ];
    },
};

/** @type {Shape<import('./types.js').Completion['choices'][0], import('./types.js').CompletionChunk['choices'][0]>} */
const COMPLETION_SHAPE = {
    whole: ({ index, text, end, logprobs }) => ({
        index,
        text,
        finish_reason: /** @type {import('./types.js').FinishReason} */ (end), // there are no calls
        logprobs: completionLogprobs(logprobs),
    }),
    chunks: ({ index, text, end, logprobs }) => [
        {
            index,
            text,
            finish_reason: /** @type {import('./types.js').FinishReason | undefined} */ (end) ?? null,
            logprobs: completionLogprobs(logprobs?.length ? logprobs : undefined),
        },
    ],
};

/**
 * @param {string} caller
 * @param {Record<string, any>} checked
 * @param {number} context the tokens of the context
 */
function mostTokens(caller, { max_tokens, max_completion_tokens, context_overflow }, context) {
    if (max_tokens !== undefined && max_completion_tokens !== undefined && max_tokens !== max_completion_tokens)
        throw fieldError(
            'NB_ERR_ARGUMENT',
            'max_tokens',
            `${caller}: max_tokens is the older name of max_completion_tokens; give one of them`,
        );
    const most = context_overflow === 'error' ? 2 ** 31 - 1 : context; // with 'error' the context ends the answer
    return max_completion_tokens ?? max_tokens ?? most;
}

/**
 * The biases of a request, with token ids instead of texts.
 * @param {string} caller
 * @param {[number | string, number][]} pairs
 * @param {Answering} model
 * @param {AbortSignal | undefined} signal
 */
async function biasesOf(caller, pairs, model, signal) {
    const tokens = pairs.map(([key]) => key).filter((key) => typeof key === 'number'),
        texts = pairs.map(([key]) => key).filter((key) => typeof key === 'string');
    checkTokens(caller, 'logit_bias', tokens, model.info.vocabulary);
    if (texts.length === 0) return pairs;
    const own = /** @type {import('../api/model.js').Model} */ (model);
    try {
        const found = await own.tokensOfTexts(`${caller}: logit_bias`, texts, signal),
            tokensOf = new Map(texts.map((text, i) => [text, found[i]]));
        return pairs.flatMap(([key, bias]) =>
            (typeof key === 'number' ? [key] : (tokensOf.get(key) ?? [])).map((token) => [token, bias]),
        );
    } catch (error) {
        throw error instanceof NibbleError && error.code === 'NB_ERR_ARGUMENT'
            ? Object.assign(error, { param: 'logit_bias' })
            : error;
    }
}

/**
 * What a request's logprobs ask for, as options.
 * @param {string} caller
 * @param {Record<string, any>} checked
 */
function logprobsOf(caller, { logprobs, top_logprobs }) {
    if (top_logprobs && !logprobs)
        throw fieldError('NB_ERR_ARGUMENT', 'top_logprobs', `${caller}: top_logprobs goes with logprobs: true`);
    return { logprobs, topLogprobs: top_logprobs ?? 0 };
}

// The functions take, beside the model, what counts the tokens of a request (default: a new Count for each request).

/** @param {Answering} model @param {Count} [counting] @returns {import('./types.js').ChatCompletions} */
export const chatCompletions = (model, counting) => ({
    /** @param {any} request @param {any} [options] @returns {Promise<any>} */
    async create(request, options) {
        const caller = 'chat.completions.create()';
        const checked = checkFields(caller, request, CHAT_FIELDS, CHAT_LACKING, ['messages', 'tool_choice']);
        const messages = messagesOf(caller, request.messages),
            usage = includesUsage(caller, checked),
            signal = signalOf(caller, options),
            maxTokens = mostTokens(caller, checked, model.info.contextLength),
            told = logprobsOf(caller, checked),
            turn = turnOf(caller, checked, request.tool_choice),
            mustCall = turn.toolChoice === 'required' || typeof turn.toolChoice === 'object',
            biases = await biasesOf(caller, checked.logit_bias, model, signal),
            grammar = grammarOf(caller, checked),
            adapters = adaptersOf(caller, checked.lora, model.adapters),
            optionsFor = optionsOf({ ...checked, ...told, grammar, adapters }, biases, maxTokens, signal);
        if (mustCall && grammar !== undefined)
            throw fieldError(
                'NB_ERR_ARGUMENT',
                'tool_choice',
                `${caller}: a tool_choice that demands a call and a response_format or grammar are two ways to hold an ` +
                    'answer; give one',
            );
        const all = Array.from({ length: checked.n }, (_, i) => ({
            start: () => model.chat(messages, { ...optionsFor(i), ...turn }),
            before: '',
            again: i > 0,
            named: typeof turn.toolChoice === 'object',
        }));
        const { id, ...head } = headOf('chatcmpl', nameOf(model));
        return answer(
            { all, count: counting ?? new Count(), stream: checked.stream, usage, together: model.info.parallel > 1 },
            { id, object: 'chat.completion', ...head },
            { id, object: 'chat.completion.chunk', ...head },
            CHAT_SHAPE,
        );
    },
});

/** @param {Answering} model @param {Count} [counting] @returns {import('./types.js').Completions} */
export const completions = (model, counting) => ({
    /** @param {any} request @param {any} [options] @returns {Promise<any>} */
    async create(request, options) {
        const caller = 'completions.create()';
        const checked = checkFields(caller, request, COMPLETION_FIELDS, COMPLETION_LACKING, ['prompt']);
        const { echo, logprobs, suffix } = checked,
            prompts = textsOrTokens(caller, 'prompt', request.prompt, model.info.vocabulary),
            usage = includesUsage(caller, checked),
            signal = signalOf(caller, options);
        if (echo && logprobs !== undefined)
            throw fieldError(
                'NB_ERR_UNSUPPORTED',
                'logprobs',
                `${caller}: nibble does not support logprobs of a prompt yet: leave echo out, or use model.logits()`,
            );
        const told = { logprobs: logprobs !== undefined, topLogprobs: logprobs ?? 0 },
            biases = await biasesOf(caller, checked.logit_bias, model, signal),
            grammar = grammarOf(caller, checked),
            adapters = adaptersOf(caller, checked.lora, model.adapters),
            optionsFor = optionsOf({ ...checked, ...told, grammar, adapters }, biases, checked.max_tokens, signal);
        /** @type {Planned[]} */
        const all = [];
        for (const prompt of prompts) {
            const text = typeof prompt === 'string' ? () => prompt : () => model.detokenize(prompt, { signal });
            if (suffix !== '' && typeof prompt !== 'string')
                throw fieldError('NB_ERR_ARGUMENT', 'suffix', `${caller}: suffix goes with a prompt that is a text`);
            const asked = suffix === '' ? prompt : { prefix: await text(), suffix };
            const before = echo ? await text() : '';
            for (let i = 0; i < checked.n; i++)
                all.push({
                    start: () => model.complete(/** @type {any} */ (asked), optionsFor(i)),
                    before,
                    again: i > 0,
                });
        }
        const { id, ...rest } = headOf('cmpl', nameOf(model)),
            head = { id, object: 'text_completion', ...rest };
        const together = model.info.parallel > 1,
            plan = { all, count: counting ?? new Count(), stream: checked.stream, usage, together };
        return answer(plan, head, head, COMPLETION_SHAPE);
    },
});

/** The bytes of a vector as base64. @param {Float32Array} vector */
export function base64(vector) {
    const bytes = new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
    return btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
}

/** @param {Answering} model @param {Count} [counting] @returns {import('./types.js').Embeddings} */
export const embeddings = (model, counting) => ({
    /** @param {any} request @param {any} [options] @returns {Promise<any>} */
    async create(request, options) {
        const caller = 'embeddings.create()';
        const { encoding_format, dimensions } = checkFields(caller, request, EMBEDDING_FIELDS, {}, ['input']);
        const inputs = textsOrTokens(caller, 'input', request.input, model.info.vocabulary),
            signal = signalOf(caller, options),
            size = model.info.embedding?.size;
        if (dimensions !== undefined && size !== undefined && dimensions !== size)
            throw fieldError(
                'NB_ERR_UNSUPPORTED',
                'dimensions',
                `${caller}: dimensions must be ${size}, which is what this model gives: leave it out`,
            );
        const data = [],
            count = counting ?? new Count(),
            own = /** @type {import('../api/model.js').Model} */ (model);
        for (const [index, input] of inputs.entries()) {
            const { vector, tokens } = await own.embedCounted(input, { signal });
            count.prompt += tokens;
            const embedding = encoding_format === 'base64' ? base64(vector) : Array.from(vector);
            data.push({ object: 'embedding', index, embedding });
        }
        return {
            object: 'list',
            model: nameOf(model),
            data,
            usage: { prompt_tokens: count.prompt, total_tokens: count.prompt },
        };
    },
});

/**
 * The documents of a request: texts, or objects that have a text.
 * @param {string} caller
 * @param {unknown} documents
 * @returns {string[]}
 */
function documentsOf(caller, documents) {
    const texts = Array.isArray(documents)
        ? documents.map((each) => (typeof each === 'object' && each !== null ? each.text : each))
        : [];
    if (texts.length === 0 || texts.length > MOST_TEXTS || !texts.every((text) => typeof text === 'string'))
        throw fieldError(
            'NB_ERR_ARGUMENT',
            'documents',
            `${caller}: documents must be an array of 1 to ${MOST_TEXTS} texts, or of objects with a field text`,
        );
    return texts;
}

/**
 * The answer to /v1/rerank, of which OpenAI has none: its form is Jina's, Cohere's and llama.cpp's.
 * @param {Answering} model
 * @param {Count} [counting]
 */
export const rerankings = (model, counting) => ({
    /** @param {any} request @param {any} [options] @returns {Promise<any>} */
    async create(request, options) {
        const caller = 'rerank';
        const checked = checkFields(caller, request, RERANK_FIELDS, {}, ['documents']),
            documents = documentsOf(caller, request.documents),
            own = /** @type {import('../api/model.js').Model} */ (model),
            signal = signalOf(caller, options),
            count = counting ?? new Count();
        if (typeof checked.query !== 'string' || checked.query.trim() === '')
            throw fieldError('NB_ERR_ARGUMENT', 'query', `${caller}: query must be a text that is not empty`);
        const { results, tokens } = await own.rerankCounted(checked.query, documents, {
            topN: checked.top_n,
            signal,
        });
        count.prompt += tokens;
        return {
            object: 'list',
            model: nameOf(model),
            results: results.map(({ index, score, relevance, document }) => ({
                index,
                relevance_score: checked.raw_scores ? score : relevance,
                ...(checked.return_documents ? { document: { text: document } } : {}),
            })),
            usage: { prompt_tokens: count.prompt, total_tokens: count.prompt },
        };
    },
});
