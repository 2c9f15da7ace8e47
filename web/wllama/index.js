/** nibble-llm/wllama: the class of wllama 3 over a model of nibble. index.d.ts says how it is used. */
import { load } from '../index.js';
import { Count } from '../openai/answers.js';
import { base64, chatCompletions, completions, nameOf, rerankings } from '../openai/create.js';
import { lacking, toWllama, WllamaAbortError, WllamaError, WllamaRuntimeError } from './errors.js';
import { getHFModelSource, headersOf, isValidGgufFile, MULTIMODAL } from './hub.js';
import { CacheManager, Model, ModelManager, ModelValidationStatus } from './managers.js';
import { loadOptionsOf, normalized, requestOf } from './params.js';

export {
    CacheManager,
    getHFModelSource,
    isValidGgufFile,
    Model,
    ModelManager,
    ModelValidationStatus,
    WllamaAbortError,
    WllamaError,
    WllamaRuntimeError,
};

/** @typedef {import('../index.d.ts').Model} NibbleModel */

export const LogLevel = Object.freeze({ DEBUG: 1, INFO: 2, WARN: 3, ERROR: 4 });

export const LoggerWithoutDebug = { ...console, debug() {} };

const SOUND = 'nibble has no sound; give createChatCompletion() the text';

/** @returns {never} */
export const encodeRealtimeAudio = () => {
    throw lacking('encodeRealtimeAudio()', SOUND);
};

/** @returns {never} */
export const decodeRealtimeAudio = () => {
    throw lacking('decodeRealtimeAudio()', SOUND);
};

export class WllamaRealtimeSession {
    constructor() {
        throw lacking('WllamaRealtimeSession', SOUND);
    }
}

/** Counts tokens, and remembers how long the last answer took. */
class Timed extends Count {
    /** @type {import('../index.d.ts').Result | undefined} */
    result;

    /** @type {Count['end']} */
    end(result, ...rest) {
        super.end(result, ...rest);
        this.result = result;
    }

    /** @param {number} n @param {number | null} rate tokens a second; null where it is not known */
    static #times = (n, rate) => {
        const ms = rate ? (1000 * n) / rate : 0;
        return [n, ms, n > 0 ? ms / n : 0, rate ?? 0];
    };

    /** The last answer's, in the form of llama.cpp's server. */
    timings() {
        if (!this.result) return undefined;
        const { promptTokens, cachedTokens, tokens, timings } = this.result;
        const [prompt_n, prompt_ms, prompt_per_token_ms, prompt_per_second] = Timed.#times(
            promptTokens - cachedTokens,
            timings.promptTokensPerSecond,
        );
        const [predicted_n, predicted_ms, predicted_per_token_ms, predicted_per_second] = Timed.#times(
            tokens.length,
            timings.generateTokensPerSecond,
        );
        return {
            cache_n: cachedTokens,
            ...{ prompt_n, prompt_ms, prompt_per_token_ms, prompt_per_second },
            ...{ predicted_n, predicted_ms, predicted_per_token_ms, predicted_per_second },
        };
    }
}

/** @param {import('../openai/types.js').Usage} usage */
const usageOf = ({ prompt_tokens, completion_tokens, total_tokens, ...details }) => ({
    ...{ prompt_tokens, completion_tokens, total_tokens },
    prompt_tokens_details: { ...details.prompt_tokens_details, audio_tokens: 0 },
    completion_tokens_details: {
        reasoning_tokens: details.completion_tokens_details?.reasoning_tokens ?? 0,
        ...{ audio_tokens: 0, accepted_prediction_tokens: 0, rejected_prediction_tokens: 0 },
    },
});

/**
 * Files that load() takes. It knows a part of a model by its name, which a Blob does not have.
 * @param {any} given
 */
function filesOf(given) {
    /** @type {any[]} */
    const blobs = Array.from(given ?? []);
    if (blobs.length === 0 || blobs.some((blob) => !(blob?.size > 0)))
        throw new WllamaError('loadModel(): it needs Blobs or Files that are not empty', 'load_error');
    const projector = blobs.find(({ name }) => /mmproj/i.test(name ?? ''));
    if (projector && blobs.length > 1) throw lacking(`the file ${projector.name}`, MULTIMODAL, 'load_error');
    if (blobs.length === 1) return blobs[0];
    const number = (/** @type {number} */ n) => String(n).padStart(5, '0');
    return blobs.map((blob, i) =>
        blob.name ? blob : new File([blob], `model-${number(i + 1)}-of-${number(blobs.length)}.gguf`),
    );
}

/**
 * The bytes of a URL that is asked for with headers, and their number as progress.
 * @param {string} url
 * @param {Record<string, string>} headers
 * @param {AbortSignal | undefined} signal
 */
async function bodyOf(url, headers, signal) {
    const response = await fetch(url, { headers, signal }).catch((error) => {
        throw new WllamaError(`cannot reach ${url}: ${error.message}`, 'download_error', { cause: error });
    });
    if (!response.ok || !response.body)
        throw new WllamaError(`${url} answered ${response.status} ${response.statusText}`.trim(), 'download_error');
    return { source: response.body, total: Number(response.headers.get('content-length')) };
}

/**
 * The inputs of createEmbedding(): texts, token ids, and texts in parts, which are joined.
 * @param {any} input
 * @returns {(string | number[])[]}
 */
function inputsOf(input) {
    const wrong = () =>
        new WllamaError(
            'createEmbedding(): input must be a text, an array of texts, token ids, arrays of token ids, or parts of texts',
            'inference_error',
        );
    const isParts = (/** @type {any} */ value) => Array.isArray(value) && typeof value[0]?.type === 'string';
    const textOf = (/** @type {any} */ value) => {
        if (!isParts(value)) return value;
        const other = value.find((/** @type {any} */ part) => part?.type !== 'text');
        if (other) throw lacking(`parts of the type ${JSON.stringify(other?.type)}`, MULTIMODAL, 'inference_error');
        return value.map((/** @type {any} */ { text }) => text).join('');
    };
    if (!Array.isArray(input) && typeof input !== 'string') throw wrong();
    const single = typeof input === 'string' || typeof input[0] === 'number' || isParts(input),
        texts = (single ? [input] : input).map(textOf);
    if (texts.length === 0 || texts.some((/** @type {any} */ text) => !(text?.length > 0))) throw wrong();
    return texts;
}

/** Values of a GGUF as llama.cpp gives them: texts, without arrays. @param {Record<string, unknown>} metadata */
const textsOf = (metadata) =>
    Object.fromEntries(
        Object.entries(metadata).flatMap(([key, value]) => (typeof value === 'object' ? [] : [[key, String(value)]])),
    );

export class Wllama {
    /** @type {import('./index.d.ts').WllamaConfig} */
    #config;
    /** @type {NibbleModel | undefined} */
    #model;
    /** @type {import('./params.js').Settings | undefined} */
    #settings;
    /** What an empty text becomes: the tokens around a text. @type {number[]} */
    #around = [];
    /** Ends a load. @type {AbortController | undefined} */
    #leaving;

    /** @param {unknown} _paths of wllama's own files @param {any} [config] */
    constructor(_paths, config = {}) {
        this.#config = config;
        this.cacheManager = config.cacheManager ?? new CacheManager();
        this.modelManager =
            config.modelManager ?? new ModelManager({ cacheManager: this.cacheManager, logger: config.logger });
    }

    static getLibllamaVersion() {
        return 'none';
    }

    setCompat() {} // every browser runs the same files

    /** The model and its settings. */
    #loaded() {
        if (!this.#model || !this.#settings)
            throw new WllamaError('no model is loaded: call loadModel() first', 'model_not_loaded');
        return { model: this.#model, settings: this.#settings };
    }

    get #info() {
        return this.#loaded().model.info;
    }

    /** A key of the file that has a token's id. @param {string} name */
    #token = (name) => Number(this.#model?.info.metadata[`tokenizer.ggml.${name}_token_id`] ?? -1);

    isModelLoaded() {
        return this.#model !== undefined;
    }

    // ---- loading

    /**
     * @param {() => any} open gives { source, total }, each time anew
     * @param {any} params
     */
    async #load(open, params) {
        if (this.#leaving) throw new WllamaError('a model is loaded already: call exit() first', 'load_error');
        const leaving = new AbortController(),
            { signal, progressCallback } = params,
            abort = () => leaving.abort();
        this.#leaving = leaving;
        signal?.addEventListener('abort', abort);
        if (signal?.aborted) abort();
        try {
            const { options, settings } = loadOptionsOf(params),
                { logger, suppressNativeLog, nibble } = this.#config;
            const begin = async (/** @type {import('../index.d.ts').LoadOptions} */ others) => {
                const { source, total: whole = 0 } = await open();
                return load(source, {
                    ...(logger && !suppressNativeLog && { debug: (line) => logger.debug(line) }),
                    ...{ ...nibble, ...options, ...others },
                    signal: leaving.signal,
                    onProgress: ({ loaded, total }) => progressCallback?.({ loaded, total: total || whole }),
                });
            };
            const model = await begin({}).catch((error) => {
                // wllama's context may be larger than the model's
                if (!/learned \d+ positions/.test(error?.message)) throw error;
                return begin({ contextLength: undefined });
            });
            this.#around = await model.tokenize('');
            if (leaving.signal.aborted) await model.dispose();
            leaving.signal.throwIfAborted();
            this.#settings = settings;
            this.#model = model;
        } catch (error) {
            if (this.#leaving === leaving) this.#leaving = undefined;
            throw toWllama(error, 'load_error', leaving.signal);
        } finally {
            signal?.removeEventListener('abort', abort);
        }
    }

    /** @type {any} */
    async loadModel(/** @type {any} */ given, params = {}) {
        if (typeof given?.url === 'string') return this.loadModelFromUrl(given, params);
        return this.#load(() => ({ source: filesOf(given) }), params);
    }

    /** @type {any} */
    async loadModelFromUrl(/** @type {any} */ given, /** @type {any} */ params = {}) {
        const { url, mmprojUrl } = given?.url === undefined ? { url: given } : given,
            { headers, signal } = params;
        if (mmprojUrl) throw lacking('mmprojUrl', MULTIMODAL, 'load_error');
        if (!headers || Object.keys(headers).length === 0) return this.#load(() => ({ source: url }), params);
        if (ModelManager.parseModelUrl(url).length > 1)
            throw lacking(
                'headers for a model in parts',
                'fetch the parts yourself, and give loadModel() their Blobs',
                'load_error',
            );
        return this.#load(() => bodyOf(url, headers, signal), params);
    }

    /** @type {any} */
    async loadModelFromHF(/** @type {any} */ given, /** @type {any} */ params = {}) {
        const headers = { ...headersOf(given.hfToken), ...params.headers };
        return this.loadModelFromUrl(await getHFModelSource(given), { ...params, headers });
    }

    async exit() {
        this.#leaving?.abort();
        this.#leaving = undefined;
        const model = this.#model;
        this.#model = undefined;
        this.#settings = undefined;
        this.#around = [];
        await model?.dispose();
    }

    // ---- answers

    /**
     * @param {'messages' | 'prompt'} kind
     * @param {any} given
     */
    async #create(kind, given) {
        const { model, settings } = this.#loaded(),
            { onData, abortSignal, options, fields } = requestOf(given, settings, model.info.contextLength),
            own = /** @type {import('../api/model.js').Model} */ (model),
            count = new Timed();
        // the model, with options that OpenAI's requests do not have
        const answering = /** @type {any} */ ({
            info: model.info,
            adapters: model.adapters,
            chat: (/** @type {any} */ input, /** @type {any} */ most) => own.chat(input, { ...most, ...options }),
            // as in llama.cpp's server, a prompt that is a text may write special tokens
            complete: (/** @type {any} */ input, /** @type {any} */ most) =>
                own.complete(input, { ...most, ...options, ...(typeof input === 'string' && { special: true }) }),
            detokenize: own.detokenize.bind(own),
            tokensOfTexts: own.tokensOfTexts.bind(own),
        });
        const create = /** @type {any} */ (kind === 'messages' ? chatCompletions : completions),
            failed = (/** @type {unknown} */ error) => toWllama(error, 'inference_error', abortSignal);
        /** @type {any} */
        let answer;
        try {
            answer = await create(answering, count).create(fields, { signal: abortSignal });
        } catch (error) {
            throw failed(error);
        }
        if (!(Symbol.asyncIterator in answer))
            return { ...answer, usage: usageOf(answer.usage), timings: count.timings() };
        async function* chunks() {
            try {
                for await (const chunk of answer)
                    yield chunk.choices[0]?.finish_reason
                        ? { ...chunk, usage: usageOf(count.usage()), timings: count.timings() }
                        : chunk;
            } catch (error) {
                throw failed(error);
            }
        }
        if (typeof onData !== 'function') return chunks();
        for await (const chunk of chunks()) onData(chunk);
    }

    /** @type {any} */
    async createChatCompletion(/** @type {any} */ request) {
        return this.#create('messages', request);
    }

    /** @type {any} */
    async createCompletion(/** @type {any} */ request) {
        return this.#create('prompt', request);
    }

    /** @type {any} */
    async createEmbedding(/** @type {any} */ { input, encoding_format = 'float', embd_normalize = 2, ...others }) {
        const { model, settings } = this.#loaded();
        if (!settings.embeddings || settings.pooling === 'rank')
            throw new WllamaError(
                'createEmbedding(): load the model with embeddings: true, and without pooling_type: "rank"',
                'inference_error',
            );
        if (!Number.isInteger(embd_normalize) || embd_normalize < 0)
            throw lacking(
                `embd_normalize ${embd_normalize}`,
                'give 0, 1, 2 or a larger whole number; vectors that are not normalized are not to be had',
                'inference_error',
            );
        const own = /** @type {import('../api/model.js').Model} */ (model),
            data = [];
        let tokens = 0;
        try {
            for (const text of inputsOf(input)) {
                const { vector, tokens: read } = await own.embedCounted(text, { pooling: settings.pooling });
                tokens += read;
                data.push(normalized(vector, embd_normalize));
            }
        } catch (error) {
            throw toWllama(error, 'inference_error');
        }
        return {
            object: 'list',
            model: others.model ?? nameOf(model),
            data: data.map((vector, index) => ({
                object: 'embedding',
                index,
                embedding: encoding_format === 'base64' ? base64(vector) : Array.from(vector),
            })),
            usage: { prompt_tokens: tokens, total_tokens: tokens },
        };
    }

    /** @type {any} */
    async createRerank(/** @type {any} */ { query, documents, top_n }) {
        const { model, settings } = this.#loaded();
        if (!settings.embeddings || settings.pooling !== 'rank')
            throw new WllamaError(
                'createRerank(): load the model with embeddings: true and pooling_type: "rank"',
                'inference_error',
            );
        try {
            return await rerankings(model).create({ query, documents, top_n, raw_scores: true });
        } catch (error) {
            throw toWllama(error, 'inference_error');
        }
    }

    // ---- of wllama 2, which version 3 no longer has

    /** @param {string} text @param {boolean} [special] */
    async tokenize(text, special = true) {
        return this.#loaded().model.tokenize(text, { bare: true, special });
    }

    /** @type {any} */
    async detokenize(/** @type {ArrayLike<number>} */ tokens, asText = false) {
        const text = await this.#loaded().model.detokenize(tokens, { special: true });
        return asText ? text : new TextEncoder().encode(text);
    }

    // ---- what the file says

    getModelMetadata() {
        const { vocabulary = 0, context = 0, width = 0, layers = 0, metadata } = this.#info;
        return {
            hparams: { nVocab: vocabulary, nCtxTrain: context, nEmbd: width, nLayer: layers },
            meta: textsOf(metadata),
        };
    }

    getLoadedContextInfo() {
        const { hparams, meta } = this.getModelMetadata(),
            { contextLength, chatTemplate } = this.#info;
        return {
            n_vocab: hparams.nVocab,
            n_ctx: contextLength,
            n_batch: contextLength,
            n_ubatch: contextLength,
            n_ctx_train: hparams.nCtxTrain,
            n_embd: hparams.nEmbd,
            n_layer: hparams.nLayer,
            metadata: meta,
            token_bos: this.getBOS(),
            token_eos: this.getEOS(),
            token_eot: this.getEOT(),
            list_tokens_eog: [...new Set([this.getEOS(), this.getEOT(), this.#token('eom')])].filter((id) => id >= 0),
            has_encoder: false,
            token_decoder_start: -1,
            add_bos_token: this.mustAddBosToken(),
            add_eos_token: this.mustAddEosToken(),
            has_image_input: false,
            has_audio_input: false,
            has_audio_output: false,
            has_chat: chatTemplate !== undefined,
            has_audio_stream: false,
            has_live_asr: false,
            audio_input_rate: 0,
            audio_output_rate: 0,
            audio_voices: [],
        };
    }

    getBOS() {
        return this.#model?.info.tokenizer?.begin ?? -1;
    }

    getEOS() {
        return this.#model?.info.tokenizer?.end ?? -1;
    }

    getEOT() {
        return this.#token('eot');
    }

    /** @param {number} token */
    isTokenEOG(token) {
        return this.#model !== undefined && this.getLoadedContextInfo().list_tokens_eog.includes(token);
    }

    getDecoderStartToken() {
        return -1;
    }

    isMultithread() {
        return this.#info.threads > 1;
    }

    getNumThreads() {
        return this.#info.threads;
    }

    isEncoderDecoderArchitecture() {
        this.#loaded();
        return false;
    }

    mustAddBosToken() {
        return this.#info.tokenizer !== undefined && this.#around[0] === this.getBOS();
    }

    mustAddEosToken() {
        const { tokenizer } = this.#info;
        return tokenizer !== undefined && this.#around.length > 0 && this.#around.at(-1) !== this.getBOS();
    }

    getChatTemplate() {
        return this.#info.chatTemplate ?? null;
    }

    isSupportWebGPU() {
        return false;
    }

    /** @param {'image' | 'audio'} modality */
    supportInputModality(modality) {
        this.#loaded();
        if (modality !== 'image' && modality !== 'audio')
            throw new WllamaError(`supportInputModality(): there is no modality ${modality}`);
        return false;
    }

    async _getDebugInfo() {
        return this.#info;
    }

    // ---- what nibble does not have

    /** @returns {Promise<any>} */
    async createSystemOne() {
        throw lacking('createSystemOne()', 'give createChatCompletion() a response_format with a JSON Schema');
    }

    /** @returns {Promise<any>} */
    async createSpeech() {
        throw lacking('createSpeech()', SOUND);
    }

    /** @returns {Promise<any>} */
    async createTranscription() {
        throw lacking('createTranscription()', SOUND);
    }

    /** @returns {Promise<any>} */
    async createRealtimeSession() {
        throw lacking('createRealtimeSession()', SOUND);
    }

    /** @returns {Promise<any>} */
    async testBackendOps() {
        throw lacking('testBackendOps()', 'it tests parts of llama.cpp, which is not here');
    }

    /** @returns {any} */
    getWorkerResources() {
        throw lacking(
            'getWorkerResources()',
            "nibble's own files are options of load(): wasmUrl, workerUrl and others",
        );
    }
}
