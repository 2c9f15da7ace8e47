/** A loaded model: its methods check what they are given, and ask the worker. */
import { NB_TOKENIZE_ADD_SPECIAL, NB_TOKENIZE_PARSE_SPECIAL } from '../abi.js';
import { checkOption } from '../checks.js';
import { NibbleError } from '../errors.js';
import { grammarOfSchema } from '../grammar/schema.js';
import { chatCompletions, completions, embeddings } from '../openai/create.js';
import {
    ADAPTER_OPTIONS,
    CHAT_OPTIONS,
    DETOKENIZE_OPTIONS,
    EMBED_OPTIONS,
    GENERATE_OPTIONS,
    IMPORTANCE_OPTIONS,
    PERPLEXITY_OPTIONS,
    RERANK_OPTIONS,
    TEMPLATE_OPTIONS,
    TOKENIZE_OPTIONS,
} from '../options.js';
import { withoutEffect } from '../samplers.js';
import { describeSource, isBytes } from '../sources/describe.js';
import { adapterName } from './adapters.js';
import { Generation } from './generation.js';
import { checkMessages } from './messages.js';
import { feedOne } from './pull.js';
import { checkRequest } from './requests.js';
import { runTools } from './run-tools.js';
import { Stream } from './stream.js';
import { callGrammarsOf } from './tool-choice.js';

/** @typedef {import('./link.js').Link} Link */

/** @param {unknown} value */
export const isTokens = (value) => Array.isArray(value) || (ArrayBuffer.isView(value) && !(value instanceof DataView));

/**
 * A text with a gap, which is to be filled in.
 * @param {any} value
 * @returns {{ prefix: string, suffix: string } | undefined}
 */
const gapOf = (value) =>
    typeof value?.prefix === 'string' && typeof value.suffix === 'string'
        ? { prefix: value.prefix, suffix: value.suffix }
        : undefined;

/** Also of another frame. @param {unknown} value @returns {value is ArrayBuffer} */
const isBuffer = (value) => Object.prototype.toString.call(value) === '[object ArrayBuffer]';

/**
 * The options of a generation, checked.
 * @template {import('../options.js').CheckedGenerate} Checked
 * @param {string} caller
 * @param {import('../checks.js').Table<Checked>} table
 * @param {import('../index.d.ts').GenerateOptions | undefined} options
 */
function checkGeneration(caller, table, options) {
    const { checked, signal } = checkRequest(caller, table, options, ['onLogits']);
    const { onLogits } = options ?? {};
    const name = withoutEffect(checked);
    if (name)
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${name} has an effect only with a temperature above 0`);
    if (checked.topLogprobs > 0 && !checked.logprobs)
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: topLogprobs goes with logprobs: true`);
    if (checked.keep !== undefined && checked.contextOverflow === 'error')
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: keep goes with a contextOverflow of 'slide' or 'shift'`);
    if (checked.schema !== undefined) {
        if (checked.grammar !== undefined)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `${caller}: schema and grammar are two ways to hold an answer; give one`,
            );
        checked.grammar = grammarOfSchema(caller, checked.schema);
        checked.schema = undefined; // the worker needs the grammar only
    }
    if (onLogits !== undefined && typeof onLogits !== 'function')
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: onLogits must be a function`);
    return { checked, signal, onLogits };
}

/**
 * The options of a chat, with whether the last message is the beginning of the answer. By default it is if the
 * assistant wrote it and an answer is to follow.
 * @template {import('../options.js').CheckedTemplate} Checked
 * @param {string} caller
 * @param {import('../index.d.ts').Message[]} messages
 * @param {Checked} checked
 * @returns {Checked}
 */
function withContinuation(caller, messages, checked) {
    const { continueFinalMessage: asked, addGenerationPrompt } = checked,
        { role, tool_calls: calls } = messages[messages.length - 1],
        isAnswer = role === 'assistant' && !(Array.isArray(calls) && calls.length > 0);
    if (asked && !(isAnswer && addGenerationPrompt))
        throw new NibbleError(
            'NB_ERR_ARGUMENT',
            `${caller}: continueFinalMessage needs a last message of the assistant without calls, and the generation prompt`,
        );
    return { ...checked, continueFinalMessage: asked ?? (isAnswer && addGenerationPrompt) };
}

/**
 * Checks the arguments of a request over a text, and makes its message.
 * @template Checked
 * @param {string} caller
 * @param {import('../checks.js').Table<Checked>} table
 * @param {string | ArrayLike<number>} text
 * @param {import('../index.d.ts').WalkOptions | undefined} options
 */
function checkWalk(caller, table, text, options) {
    if (typeof text !== 'string' && !isTokens(text))
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: the text must be a text or an array of token ids`);
    const { checked, signal } = checkRequest(caller, table, options, ['onProgress']);
    const { onProgress } = options ?? {};
    if (onProgress !== undefined && typeof onProgress !== 'function')
        throw new NibbleError('NB_ERR_ARGUMENT', `${caller}: onProgress must be a function`);
    /** @param {import('../protocol.js').WindowEvent} event */
    const window = ({ progress }) => onProgress?.(progress);
    return {
        ask: { input: typeof text === 'string' ? text : Array.from(text), options: checked },
        listeners: { window },
        signal,
    };
}

export class Model {
    #link;
    /** @type {import('../index.d.ts').AdapterInfo[]} */
    #adapters;

    /**
     * @param {Link} link
     * @param {import('../index.d.ts').ModelInfo} info
     * @param {import('../index.d.ts').AdapterInfo[]} [adapters] that it has
     */
    constructor(link, info, adapters = []) {
        this.#link = link;
        this.info = info;
        this.#adapters = adapters;
        /** @type {import('../index.d.ts').Model['chat']} */
        this.chat = Object.assign(this.#chat.bind(this), { completions: chatCompletions(this) });
        this.completions = completions(this);
        this.embeddings = embeddings(this);
    }

    /**
     * @param {string | ArrayLike<number> | { prefix: string, suffix: string }} prompt
     * @param {import('../index.d.ts').GenerateOptions} [options]
     * @returns {import('../index.d.ts').Generation}
     */
    complete(prompt, options) {
        const gap = gapOf(prompt);
        if (typeof prompt !== 'string' && !isTokens(prompt) && !gap)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'complete(): the prompt must be a text, an array of token ids, or { prefix, suffix }, which are two texts',
            );
        const { checked, signal, onLogits } = checkGeneration('complete()', GENERATE_OPTIONS, options);
        if (gap && checked.special)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'complete(): special goes with a prompt that is one text; of { prefix, suffix } both are plain texts',
            );
        if (gap && checked.keep !== undefined)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'complete(): keep goes with a prompt that is one text; { prefix, suffix } is kept as a whole',
            );
        const input =
                gap ?? (typeof prompt === 'string' ? prompt : Array.from(/** @type {ArrayLike<number>} */ (prompt))),
            lends = onLogits !== undefined;
        return new Generation(this.#link, { what: 'complete', input, options: checked, lends }, signal, onLogits);
    }

    /**
     * @param {string | readonly import('../index.d.ts').Message[]} messages
     * @param {import('../index.d.ts').ChatOptions} [options]
     * @returns {import('../index.d.ts').Generation}
     */
    #chat(messages, options) {
        const input = checkMessages(messages);
        const { checked: given, signal, onLogits } = checkGeneration('chat()', CHAT_OPTIONS, options);
        const checked = withContinuation('chat()', input, given);
        if (checked.special)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'chat(): special is an option of complete(); in a chat only the template writes special tokens',
            );
        if (checked.keep !== undefined)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'chat(): keep is an option of complete(); a chat keeps its system messages and its last message',
            );
        const asked = { ...checked, callGrammars: callGrammarsOf('chat()', checked) },
            lends = onLogits !== undefined;
        return new Generation(this.#link, { what: 'chat', input, options: asked, lends }, signal, onLogits);
    }

    /** @type {import('../index.d.ts').Model['runTools']} */
    async runTools(messages, tools, options) {
        return runTools(this, messages, tools, options);
    }

    /** @type {import('../index.d.ts').Model['applyTemplate']} */
    async applyTemplate(messages, options) {
        const caller = 'applyTemplate()',
            { checked, signal } = checkRequest(caller, TEMPLATE_OPTIONS, options),
            input = checkMessages(messages, caller);
        return this.#link.request(
            'template',
            { messages: input, options: withContinuation(caller, input, checked) },
            {},
            signal,
        );
    }

    /** @type {import('../index.d.ts').Model['tokenize']} */
    async tokenize(text, options) {
        if (typeof text !== 'string') throw new NibbleError('NB_ERR_ARGUMENT', 'tokenize(): the text must be a string');
        const {
            checked: { bare, special },
            signal,
        } = checkRequest('tokenize()', TOKENIZE_OPTIONS, options);
        const flags = (bare ? 0 : NB_TOKENIZE_ADD_SPECIAL) | (special ? NB_TOKENIZE_PARSE_SPECIAL : 0);
        /** @type {number[]} */
        const list = [];
        // quicker than Array.from, by half
        for (const token of await this.#link.request('tokenize', { text, flags }, {}, signal)) list.push(token);
        return list;
    }

    /** @type {import('../index.d.ts').Model['detokenize']} */
    async detokenize(tokens, options) {
        if (!isTokens(tokens))
            throw new NibbleError('NB_ERR_ARGUMENT', 'detokenize(): the tokens must be an array of token ids');
        const {
            checked: { special },
            signal,
        } = checkRequest('detokenize()', DETOKENIZE_OPTIONS, options);
        return this.#link.request('detokenize', { tokens: Array.from(tokens), special }, {}, signal);
    }

    /**
     * The tokens that are nothing but each of these texts. This is for web/openai, and no part of the API.
     * @param {string} what has the texts, for a message
     * @param {string[]} texts
     * @param {AbortSignal} [signal]
     */
    tokensOfTexts(what, texts, signal) {
        return this.#link.request('tokensOfTexts', { what, texts }, {}, signal);
    }

    /** @type {import('../index.d.ts').Model['logits']} */
    async *logits(tokens, options) {
        if (!isTokens(tokens))
            throw new NibbleError('NB_ERR_ARGUMENT', 'logits(): the tokens must be an array of token ids');
        const { signal } = checkRequest('logits()', {}, options);
        const stream = new Stream(this.#link, (/** @type {(rows: Float32Array) => void} */ add) =>
            this.#link.request('evaluate', { tokens: Array.from(tokens) }, { rows: ({ rows }) => add(rows) }, signal),
        );
        yield* stream.readOnce(() => stream.stop());
    }

    /** @type {import('../index.d.ts').Model['embed']} */
    async embed(input, options) {
        return (await this.embedCounted(input, options)).vector;
    }

    /**
     * embed(), and of how many tokens the vector is made. This is for web/openai, web/ai-sdk and compareEmbeddings(),
     * and no part of the API.
     * @param {string | ArrayLike<number>} input
     * @param {import('../index.d.ts').EmbedOptions} [options]
     * @returns {Promise<import('../protocol.js').Embedded>}
     */
    async embedCounted(input, options) {
        const text = typeof input === 'string';
        if (!text && !isTokens(input))
            throw new NibbleError('NB_ERR_ARGUMENT', 'embed(): the input must be a text or an array of token ids');
        const { checked, signal } = checkRequest('embed()', EMBED_OPTIONS, options);
        const { prompt, promptName } = checked;
        if (!text && (prompt !== undefined || promptName !== undefined))
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `embed(): ${prompt === undefined ? 'promptName' : 'prompt'} goes with an input that is a text, ` +
                    'and the input is token ids',
            );
        if (prompt !== undefined && promptName !== undefined)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'embed(): prompt and promptName are two ways to say one thing; give one of them',
            );
        return this.#link.request('embed', { input: text ? input : Array.from(input), options: checked }, {}, signal);
    }

    /** @type {import('../index.d.ts').Model['rerank']} */
    async rerank(query, documents, options) {
        return (await this.rerankCounted(query, documents, options)).results;
    }

    /**
     * rerank(), and how many tokens were read. This is for web/openai, and no part of the API.
     * @param {string} query
     * @param {readonly string[]} documents
     * @param {import('../index.d.ts').RerankOptions} [options]
     */
    async rerankCounted(query, documents, options) {
        if (typeof query !== 'string' || query.trim() === '')
            throw new NibbleError('NB_ERR_ARGUMENT', 'rerank(): the query must be a text that is not empty');
        if (!Array.isArray(documents) || documents.length === 0)
            throw new NibbleError('NB_ERR_ARGUMENT', 'rerank(): the documents must be an array with at least one text');
        const other = documents.findIndex((text) => typeof text !== 'string');
        if (other >= 0)
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                `rerank(): document ${other} must be a text, not ${documents[other] === null ? 'null' : typeof documents[other]}`,
            );
        const { checked, signal } = checkRequest('rerank()', RERANK_OPTIONS, options, ['onProgress']);
        const { onProgress } = options ?? {};
        if (onProgress !== undefined && typeof onProgress !== 'function')
            throw new NibbleError('NB_ERR_ARGUMENT', 'rerank(): onProgress must be a function');
        const total = documents.length;
        const { scores, cut, tokens } = await this.#link.request(
            'rerank',
            { query, documents: [...documents] },
            { scored: ({ done }) => onProgress?.({ done, total }) },
            signal,
        );
        const isCut = new Set(cut);
        const results = Array.from(scores, (score, index) => ({
            index,
            score,
            relevance: 1 / (1 + Math.exp(-score)),
            document: documents[index],
            truncated: isCut.has(index),
        }));
        results.sort((a, b) => b.score - a.score); // stable: equal scores keep the order of the documents
        return { results: results.slice(0, checked.topN), tokens };
    }

    /** @type {import('../index.d.ts').Model['perplexity']} */
    async perplexity(text, options) {
        const { ask, listeners, signal } = checkWalk('perplexity()', PERPLEXITY_OPTIONS, text, options);
        return this.#link.request('perplexity', ask, listeners, signal);
    }

    /** @type {import('../index.d.ts').Model['importanceMatrix']} */
    async importanceMatrix(text, options) {
        const { ask, listeners, signal } = checkWalk('importanceMatrix()', IMPORTANCE_OPTIONS, text, options);
        return this.#link.request('importance', ask, listeners, signal);
    }

    /** @type {import('../index.d.ts').Model['addAdapter']} */
    async addAdapter(source, options) {
        const { checked, signal } = checkRequest('addAdapter()', ADAPTER_OPTIONS, options);
        const name = checked.name ?? adapterName(source),
            { plain, chunks } = await describeSource(source);
        const pull = async () => {
            try {
                if (chunks) await feedOne('addAdapter()', this.#link, chunks.pieces);
            } catch (error) {
                this.#link.post({ type: 'chunk', bytes: null }); // the worker waits for it, and others for the worker
                throw error;
            }
        };
        try {
            this.#adapted(
                await this.#link.request('addAdapter', { source: plain, name, scale: checked.scale }, { pull }, signal),
            );
        } finally {
            chunks?.cancel();
        }
        return /** @type {import('../index.d.ts').AdapterInfo} */ (this.#adapters.find((each) => each.name === name));
    }

    /** @type {import('../index.d.ts').Model['setAdapters']} */
    async setAdapters(adapters, options) {
        const { signal } = checkRequest('setAdapters()', {}, options),
            checked = checkOption('setAdapters(): adapters', GENERATE_OPTIONS.adapters, adapters);
        this.#adapted(await this.#link.request('setAdapters', { adapters: checked }, {}, signal));
    }

    /** @type {import('../index.d.ts').Model['removeAdapter']} */
    async removeAdapter(name, options) {
        const { signal } = checkRequest('removeAdapter()', {}, options);
        if (typeof name !== 'string')
            throw new NibbleError('NB_ERR_ARGUMENT', "removeAdapter(): it takes an adapter's name");
        this.#adapted(await this.#link.request('removeAdapter', { name }, {}, signal));
    }

    /** @param {import('../protocol.js').Adapted} state */
    #adapted({ adapters, memoryBytes }) {
        this.#adapters = adapters;
        this.info.memoryBytes = memoryBytes;
    }

    get adapters() {
        return this.#adapters.map((each) => ({ ...each }));
    }

    /** @type {import('../index.d.ts').Model['save']} */
    async save(options) {
        const { signal } = checkRequest('save()', {}, options);
        return this.#link.request('save', {}, {}, signal);
    }

    /** @type {import('../index.d.ts').Model['restore']} */
    async restore(saved, options) {
        if (!isBytes(saved) && !isBuffer(saved))
            throw new NibbleError(
                'NB_ERR_ARGUMENT',
                'restore(): it takes the bytes that save() gave, a Uint8Array or an ArrayBuffer',
            );
        const { signal } = checkRequest('restore()', {}, options);
        const bytes = isBytes(saved) ? saved : new Uint8Array(saved);
        return Array.from(await this.#link.request('restore', { bytes }, {}, signal));
    }

    /**
     * Waits until the worker has ended the requests before, also those that were aborted: they reject earlier. This is
     * for web/server, and no part of the API.
     * @param {boolean} [waits] false: it need only answer
     */
    async idle(waits = true) {
        await this.#link.request('idle', { waits }, {});
    }

    /** @type {import('../index.d.ts').Model['dispose']} */
    async dispose() {
        await this.#link.dispose();
    }
}
