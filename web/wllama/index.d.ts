import type { BlobLike, LoadOptions, SignalLike } from '../index.js';
import type { ChatLogprobs, CompletionLogprobs } from '../openai/types.js';

/**
 * The class of wllama 3 (the package @wllama/wllama) over a model of nibble. A program for wllama runs on it when its
 * import is changed:
 *
 *     import { Wllama } from 'nibble-llm/wllama';
 *
 *     const wllama = new Wllama({ default: '/wllama.wasm' });
 *     await wllama.loadModelFromUrl('/model.gguf', { n_ctx: 2048 });
 *     const { choices } = await wllama.createChatCompletion({ messages: [{ role: 'user', content: 'Hello' }] });
 *     await wllama.exit();
 *
 * The names are wllama's. What nibble does not have throws a WllamaError that says what to do instead. docs/wllama.md
 * lists it, and what differs.
 */
export class Wllama {
    /** The paths are those of wllama's own files. They are not read: `config.nibble` says where nibble's files are. */
    constructor(paths: AssetsPathConfig, config?: WllamaConfig);
    cacheManager: CacheManager;
    modelManager: ModelManager;
    /** 'none', as there is no llama.cpp here. */
    static getLibllamaVersion(): string;
    /** Does nothing: every browser runs the same files. */
    setCompat(compat: WllamaCompat | null | 'default', mode?: string): void;

    /** Loads a model from Blobs or Files: one, or all parts of a split GGUF in order. */
    loadModel(files: ArrayLike<BlobLike> | Iterable<BlobLike> | Model, params?: LoadModelParams): Promise<void>;
    /** Loads a model from a URL, or in Node from a path. Of a split GGUF it is the URL of the first part. */
    loadModelFromUrl(source: ModelSource | string, params?: UrlParams): Promise<void>;
    /** Loads a model of the Hugging Face hub: a file, or the first whose name has the name of a quantization in it. */
    loadModelFromHF(source: HuggingFaceParams, params?: UrlParams): Promise<void>;
    isModelLoaded(): boolean;
    /** Ends a load, or frees the model. */
    exit(): Promise<void>;

    /** Continues a text. A special token that is written in it is one, as in llama.cpp's server. */
    createCompletion(request: RawCompletionParams & { stream?: false }): Promise<RawCompletionResponse>;
    createCompletion(request: RawCompletionParams & StreamParams<RawCompletionChunk>): Promise<void>;
    createCompletion(request: RawCompletionParams & { stream: true }): Promise<AsyncIterable<RawCompletionChunk>>;
    /** Answers a conversation by the model's own chat template. */
    createChatCompletion(request: ChatCompletionParams & { stream?: false }): Promise<ChatCompletionResponse>;
    createChatCompletion(request: ChatCompletionParams & StreamParams<ChatCompletionChunk>): Promise<void>;
    createChatCompletion(request: ChatCompletionParams & { stream: true }): Promise<AsyncIterable<ChatCompletionChunk>>;
    /** Embeds texts. The model must have been loaded with `embeddings: true`. */
    createEmbedding(request: EmbeddingCreateParams): Promise<CreateEmbeddingResponse>;
    /** Scores documents, by a model that was loaded with `embeddings: true` and `pooling_type: 'rank'`. */
    createRerank(request: RerankParams): Promise<RerankResponse>;

    /** Token ids of a text, without the beginning and end tokens. Of wllama 2; version 3 does not have it. */
    tokenize(text: string, special?: boolean): Promise<number[]>;
    /** The text of token ids, in UTF-8 or as a text. Of wllama 2; version 3 does not have it. */
    detokenize(tokens: ArrayLike<number>, returnString?: false): Promise<Uint8Array>;
    detokenize(tokens: ArrayLike<number>, returnString: true): Promise<string>;

    getModelMetadata(): ModelMetadata;
    getLoadedContextInfo(): LoadedContextInfo;
    /** Token ids; -1: there is none, or no model. */
    getBOS(): number;
    getEOS(): number;
    /** The one that the file names as the end of a turn. */
    getEOT(): number;
    getDecoderStartToken(): number;
    isTokenEOG(token: number): boolean;
    mustAddBosToken(): boolean;
    mustAddEosToken(): boolean;
    getChatTemplate(): string | null;
    isMultithread(): boolean;
    getNumThreads(): number;
    isEncoderDecoderArchitecture(): boolean;
    /** false: nibble computes on the CPU. */
    isSupportWebGPU(): boolean;
    /** false: nibble reads texts. */
    supportInputModality(modality: 'image' | 'audio'): boolean;
    /** What nibble knows of the model. */
    _getDebugInfo(): Promise<any>;

    /** Refused, as are the following ones. */
    createSystemOne(request: any): Promise<any>;
    createSpeech(request: any): Promise<any>;
    createTranscription(request: any): Promise<any>;
    createRealtimeSession(options?: any): Promise<WllamaRealtimeSession>;
    testBackendOps(args?: string[]): Promise<{ retcode: number; success: boolean }>;
    getWorkerResources(): any;
}

export interface AssetsPathConfig {
    default?: string;
    'single-thread/wllama.wasm'?: string;
    'multi-thread/wllama.wasm'?: string;
}

export interface WllamaConfig {
    /** Not wllama's: options of nibble's load() for which wllama has no word, such as `wasmUrl` and `precision`. */
    nibble?: Omit<LoadOptions, 'signal' | 'onProgress' | 'headerOnly'>;
    /** true: the logger gets no lines. */
    suppressNativeLog?: boolean;
    /** Its debug() gets the lines of nibble's option `debug`. */
    logger?: WllamaLogger;
    /** Without effect, as are the following ones. */
    parallelDownloads?: number;
    allowOffline?: boolean;
    skipVersionCheck?: boolean;
    cacheManager?: CacheManager;
    modelManager?: ModelManager;
}

export interface WllamaLogger {
    debug(...data: any[]): void;
    log(...data: any[]): void;
    warn(...data: any[]): void;
    error(...data: any[]): void;
}

export const LoggerWithoutDebug: WllamaLogger;

export interface WllamaCompat {
    worker: string | { code: string };
    wasm: string;
}

export interface WllamaChatMessage {
    role: 'system' | 'user' | 'assistant';
    content: string;
}

export interface ModelMetadata {
    hparams: { nVocab: number; nCtxTrain: number; nEmbd: number; nLayer: number };
    /** The file's values as texts, without arrays. */
    meta: Record<string, string>;
}

/** How a load or a request failed. `cause` is the NibbleError behind it, if there is one. */
export type WllamaErrorType =
    | 'model_not_loaded'
    | 'download_error'
    | 'load_error'
    | 'version_mismatch'
    | 'kv_cache_full'
    | 'unknown_error'
    | 'inference_error';

export class WllamaError extends Error {
    constructor(message: string, type?: WllamaErrorType, options?: { cause?: unknown });
    type: WllamaErrorType;
}

/** The error of a load or a request that was aborted. */
export class WllamaAbortError extends Error {
    constructor();
}

/** The engine failed, or has no more memory. */
export class WllamaRuntimeError extends Error {
    constructor(message: string, stack: string, options?: { cause?: unknown });
    stack: string;
}

// ---- loading

export interface ModelSource {
    url: string;
    /** Refused. */
    mmprojUrl?: string;
}

/** Either a `file`, or a `quant` such as 'Q4_K_M'. Default: Q4_K_M, Q8_0, or the first file. */
export interface HuggingFaceParams {
    repo: string;
    file?: string;
    quant?: string;
    /** Refused. */
    mmprojFile?: string;
    /** Refused. */
    mmprojQuant?: string;
    /** Sent as a header. */
    hfToken?: string;
}

export function getHFModelSource(source: HuggingFaceParams): Promise<ModelSource>;
export function isValidGgufFile(path: string): boolean;

export type DownloadProgressCallback = (progress: { loaded: number; total: number }) => any;

export type DownloadOptions = {
    progressCallback?: DownloadProgressCallback;
    /** Without effect. */
    metadataAdditional?: Record<string, any>;
    headers?: Record<string, string>;
    signal?: SignalLike;
};

export type UrlParams = LoadModelParams & DownloadOptions & { useCache?: boolean };

type Pooling = 'UNSPECIFIED' | 'NONE' | 'MEAN' | 'CLS';
type CacheType = 'f32' | 'f16' | 'q8_0' | 'q5_1' | 'q5_0' | 'q4_1' | 'q4_0';

/** docs/wllama.md says what each does; the rest is without effect, or refused by its name. */
export interface LoadModelParams {
    /** Tokens of the context. Default: the model's own, at most 4096. */
    n_ctx?: number;
    n_threads?: number;
    /** Requests that are computed together. Default: 1. */
    n_parallel?: number;
    /** Of requests that have none. */
    seed?: number;
    embeddings?: boolean;
    pooling_type?: `LLAMA_POOLING_TYPE_${Pooling}` | 'unspecified' | 'none' | 'mean' | 'cls' | 'last' | 'rank';
    /** Both the same: f32, f16, q8_0 or q4_0; or q8_0 for keys and q4_0 for values. */
    cache_type_k?: CacheType;
    cache_type_v?: CacheType;
    /** When the context is full, the oldest messages or tokens go. */
    ctx_shift?: boolean;
    /** Whether the model thinks, and for how many tokens. */
    reasoning?: boolean;
    reasoning_budget_tokens?: number;
    /** Variables of the chat template. */
    default_template_kwargs?: Record<string, any>;
    /** URLs, or paths in Node. */
    lora_adapters?: { path: string; scale?: number }[];
    lora_init_without_apply?: boolean;

    log_level?: LogLevel;
    n_batch?: number;
    n_ubatch?: number;
    n_gpu_layers?: number;
    offload_kqv?: boolean;
    kv_unified?: boolean;
    flash_attn?: boolean;
    swa_full?: boolean;
    jinja?: boolean;
    image_min_tokens?: number;
    image_max_tokens?: number;
    warmup?: boolean;
    no_kv_offload?: boolean;
    mmproj_offload?: boolean;
    cont_batching?: boolean;
    cache_idle_slots?: boolean;
    n_cache_reuse?: number;
    spec_draft_ngl?: number;
    spec_draft_n_max?: number;
    spec_draft_n_min?: number;
    spec_draft_p_min?: number;
    spec_draft_threads?: number;
    spec_draft_threads_batch?: number;

    rope_scaling_type?: `LLAMA_ROPE_SCALING_TYPE_${'UNSPECIFIED' | 'NONE' | 'LINEAR' | 'YARN'}`;
    rope_freq_base?: number;
    rope_freq_scale?: number;
    yarn_ext_factor?: number;
    yarn_attn_factor?: number;
    yarn_beta_fast?: number;
    yarn_beta_slow?: number;
    yarn_orig_ctx?: number;
    chat_template?: string;
    n_keep?: number;
    spec_draft_model?: string;
    kv_overrides?: Record<string, string>;
    reasoning_budget_message?: string;
    reasoning_format?: 'none' | 'deepseek-legacy' | 'deepseek';
    skip_chat_parsing?: boolean;
    prefill_assistant?: boolean;
}

export enum LogLevel {
    DEBUG = 1,
    INFO = 2,
    WARN = 3,
    ERROR = 4,
}

export interface LoadedContextInfo {
    n_vocab: number;
    n_ctx: number;
    n_batch: number;
    n_ubatch: number;
    n_ctx_train: number;
    n_embd: number;
    n_layer: number;
    metadata: Record<string, string>;
    token_bos: number;
    token_eos: number;
    token_eot: number;
    list_tokens_eog: number[];
    has_encoder: boolean;
    token_decoder_start: number;
    add_bos_token: boolean;
    add_eos_token: boolean;
    has_image_input: boolean;
    has_audio_input: boolean;
    has_audio_output: boolean;
    has_chat: boolean;
    has_audio_stream: boolean;
    has_live_asr: boolean;
    audio_input_rate: number;
    audio_output_rate: number;
    audio_voices: string[];
}

// ---- requests

export interface StreamParams<T> {
    stream: true;
    onData: (data: T) => void;
}

/** All other fields of OpenAI's requests (docs/openai.md) are taken, too. Defaults are those of llama.cpp's server. */
export interface SamplingParams {
    seed?: number;
    mirostat?: number | undefined;
    mirostat_eta?: number | undefined;
    mirostat_tau?: number | undefined;
    /** Another name of `temperature`. */
    temp?: number | undefined;
    top_p?: number | undefined;
    top_k?: number | undefined;
    min_p?: number | undefined;
    typ_p?: number | undefined;
    typical_p?: number | undefined;
    penalty_last_n?: number | undefined;
    penalty_repeat?: number | undefined;
    penalty_freq?: number | undefined;
    penalty_present?: number | undefined;
    dynatemp_range?: number | undefined;
    dynatemp_exponent?: number | undefined;
    grammar?: string;
    logit_bias?: { token: number; bias: number }[] | undefined;
    ignore_eos?: boolean | undefined;
    /** Without effect, as in wllama. */
    samplers_sequence?: string[] | undefined;
    n_prev?: number | undefined;
    /** Refused: give logprobs. */
    n_probs?: number | undefined;
}

interface Request {
    stream?: boolean;
    model?: string;
    abortSignal?: SignalLike;
    temperature?: number;
    /** Default: until the answer ends, or the context is full. */
    max_tokens?: number;
    user?: string;
    /** Without effect. */
    return_progress?: boolean;
}

/** Biases by token id, or as in SamplingParams. */
type Sampled<Params> = Params & Omit<SamplingParams, 'logit_bias'> & { logit_bias?: Biases | undefined };
type Biases = Record<string, number> | { token: number; bias: number }[];

export type RawCompletionParams = Sampled<
    Request & {
        prompt: string | string[];
        suffix?: string;
        n?: number;
        logprobs?: number | null;
        echo?: boolean;
        stop?: string | string[];
        presence_penalty?: number;
        frequency_penalty?: number;
        best_of?: number;
    }
>;

export type ChatCompletionParams = Sampled<
    Request & {
        messages: ChatCompletionMessage[];
        stop?: string | string[];
        n?: number;
        logprobs?: boolean;
        top_logprobs?: number;
        tools?: ChatCompletionTool[];
        tool_choice?: ChatCompletionToolChoice;
        response_format?: {
            type: 'text' | 'json_object' | 'json_schema';
            json_schema?: { name: string; schema: unknown; strict?: boolean };
        };
        chat_template_kwargs?: Record<string, any>;
        /** Without effect. */
        cache_prompt?: boolean;
        return_tokens?: boolean;
        timings_per_token?: boolean;
    }
>;

export interface ChatCompletionMessageText {
    type: 'text';
    text: string;
}

/** Refused. */
export interface ChatCompletionMessageImage {
    type: 'image';
    data: ArrayBuffer;
}

/** Refused. */
export interface ChatCompletionMessageAudio {
    type: 'audio';
    data: ArrayBuffer;
}

export type ChatCompletionMessageContent =
    | ChatCompletionMessageText
    | ChatCompletionMessageImage
    | ChatCompletionMessageAudio;

export interface ChatCompletionSystemMessage {
    role: 'system';
    content: string;
    name?: string;
}

export interface ChatCompletionUserMessage {
    role: 'user';
    content: string | ChatCompletionMessageContent[];
    name?: string;
}

export interface ChatCompletionAssistantMessage {
    role: 'assistant';
    content?: string | null;
    name?: string;
    tool_calls?: ChatCompletionToolCall[];
    /** What the model thought, if it did. */
    reasoning_content?: string;
}

export interface ChatCompletionToolMessage {
    role: 'tool';
    content: string;
    tool_call_id: string;
}

export type ChatCompletionMessage =
    | ChatCompletionSystemMessage
    | ChatCompletionUserMessage
    | ChatCompletionAssistantMessage
    | ChatCompletionToolMessage;

export interface ChatCompletionToolCall {
    id: string;
    type: 'function';
    function: { name: string; arguments: string };
}

export interface ChatCompletionToolFunctionParameters {
    type: 'object';
    properties: Record<string, { type: string; description?: string; enum?: string[]; [key: string]: unknown }>;
    required?: string[];
    additionalProperties?: boolean;
}

export interface ChatCompletionToolFunction {
    name: string;
    description?: string;
    parameters?: ChatCompletionToolFunctionParameters;
    strict?: boolean;
}

export interface ChatCompletionTool {
    type: 'function';
    function: ChatCompletionToolFunction;
}

export type ChatCompletionToolChoice = 'none' | 'auto' | 'required' | { type: 'function'; function: { name: string } };

// ---- answers

export interface ChatCompletionUsage {
    prompt_tokens: number;
    completion_tokens: number;
    total_tokens: number;
    prompt_tokens_details?: { cached_tokens: number; audio_tokens: number };
    completion_tokens_details?: {
        reasoning_tokens: number;
        audio_tokens: number;
        accepted_prediction_tokens: number;
        rejected_prediction_tokens: number;
    };
}

/** Of the last answer. `cache_n`: tokens of its prompt that the model remembered. */
export interface ResultTimings {
    cache_n: number;
    prompt_n: number;
    prompt_ms: number;
    prompt_per_token_ms: number;
    prompt_per_second: number;
    predicted_n: number;
    predicted_ms: number;
    predicted_per_token_ms: number;
    predicted_per_second: number;
}

export interface ChatMessagePromptProgress {
    total: number;
    cache: number;
    processed: number;
    time_ms: number;
}

export type ChatCompletionLogprob = Omit<ChatCompletionLogprobsContent, 'top_logprobs'>;
export type ChatCompletionLogprobsContent = NonNullable<ChatLogprobs['content']>[0];
export type ChatCompletionChoiceLogprobs = ChatLogprobs;

type FinishReason = 'stop' | 'length' | 'tool_calls' | 'content_filter' | null;

interface Head<Kind> {
    id: string;
    object: Kind;
    created: number;
    /** The name that the file gives. */
    model: string;
}

export interface ChatCompletionChoice {
    index: number;
    message: ChatCompletionAssistantMessage;
    finish_reason: FinishReason;
    logprobs: ChatCompletionChoiceLogprobs | null;
}

export interface ChatCompletionResponse extends Head<'chat.completion'> {
    choices: ChatCompletionChoice[];
    usage: ChatCompletionUsage;
    timings?: ResultTimings;
    system_fingerprint?: string;
    service_tier?: string;
}

export interface ChatCompletionChunkDelta {
    role?: 'assistant';
    content?: string | null;
    reasoning_content?: string;
    tool_calls?: Array<{
        index: number;
        id?: string;
        type?: 'function';
        function?: { name?: string; arguments?: string };
    }>;
    refusal?: string | null;
}

export interface ChatCompletionChunkChoice {
    index: number;
    delta: ChatCompletionChunkDelta;
    finish_reason: FinishReason;
    logprobs: ChatCompletionChoiceLogprobs | null;
}

/** The last chunk of an answer has its finish_reason, usage and timings. */
export interface ChatCompletionChunk extends Head<'chat.completion.chunk'> {
    choices: ChatCompletionChunkChoice[];
    usage?: ChatCompletionUsage | null;
    timings?: ResultTimings;
    prompt_progress?: ChatMessagePromptProgress;
}

export interface RawCompletionChoice {
    text: string;
    index: number;
    finish_reason: 'stop' | 'length' | 'content_filter' | null;
    logprobs: CompletionLogprobs | null;
}

export interface RawCompletionResponse extends Head<'text_completion'> {
    choices: RawCompletionChoice[];
    usage: ChatCompletionUsage;
    timings?: ResultTimings;
    system_fingerprint?: string;
}

export interface RawCompletionChunk extends Head<'text_completion'> {
    choices: Array<Omit<RawCompletionChoice, 'logprobs'> & { logprobs: null }>;
    usage?: ChatCompletionUsage | null;
    timings?: ResultTimings;
    prompt_progress?: ChatMessagePromptProgress;
}

export type EmbeddingContent = ChatCompletionMessageText | ChatCompletionMessageImage;

/** A text, token ids, or an array of either. An array of parts is one text. */
export type EmbeddingInput = string | number[] | string[] | number[][] | EmbeddingContent[] | EmbeddingContent[][];

export interface EmbeddingCreateParams {
    input: EmbeddingInput;
    model?: string;
    encoding_format?: 'float' | 'base64';
    /** 2 (the default): the vector's length is 1. 1: the sum of absolute numbers; 0: the largest number is 32760; above
     * 2: the norm of that power. -1 is refused. */
    embd_normalize?: number;
}

export interface Embedding {
    object: 'embedding';
    index: number;
    embedding: number[] | string;
}

export interface EmbeddingUsage {
    prompt_tokens: number;
    total_tokens: number;
}

export interface CreateEmbeddingResponse {
    object: 'list';
    data: Embedding[];
    model: string;
    usage: EmbeddingUsage;
}

export interface RerankParams {
    query: string;
    documents: string[];
    top_n?: number;
}

export interface RerankResult {
    index: number;
    /** The logit of the model's head. */
    relevance_score: number;
}

export type RerankUsage = EmbeddingUsage;

export interface RerankResponse {
    model: string;
    object: 'list';
    usage: RerankUsage;
    results: RerankResult[];
}

// ---- what nibble does not keep, and does not have

export enum ModelValidationStatus {
    VALID = 'valid',
    INVALID = 'invalid',
    DELETED = 'deleted',
}

export interface CacheEntryMetadata {
    etag: string;
    originalSize: number;
    originalURL: string;
    mmprojURL?: string | undefined;
    sha256?: string | undefined;
}

export interface CacheEntry {
    name: string;
    size: number;
    metadata: CacheEntryMetadata;
}

/** nibble keeps no downloads: what this lists is empty, and what would keep something is refused. */
export class CacheManager {
    list(): Promise<CacheEntry[]>;
    clear(): Promise<void>;
    delete(nameOrUrl: string): Promise<void>;
    deleteMany(predicate: (entry: CacheEntry) => boolean): Promise<void>;
    open(nameOrUrl: string): Promise<BlobLike | null>;
    getSize(name: string): Promise<number>;
    getMetadata(name: string): Promise<CacheEntryMetadata | null>;
    getNameFromURL(url: string): Promise<string>;
    download(url: string, options?: DownloadOptions): Promise<void>;
    write(name: string, stream: any, metadata: CacheEntryMetadata): Promise<void>;
    writeMetadata(name: string, metadata: CacheEntryMetadata): Promise<void>;
}

/** A URL, which loadModel() takes. */
export class Model {
    constructor(manager: ModelManager, url: string, mmprojUrl?: string);
    url: string;
    mmprojUrl?: string | undefined;
    size: number;
    files: CacheEntry[];
    validate(): ModelValidationStatus;
    open(): Promise<any[]>;
    refresh(options?: DownloadOptions): Promise<void>;
    remove(): Promise<void>;
}

export interface ModelManagerParams {
    cacheManager?: CacheManager;
    logger?: WllamaLogger;
    parallelDownloads?: number | undefined;
    allowOffline?: boolean | undefined;
}

/** As CacheManager. */
export class ModelManager {
    constructor(params?: ModelManagerParams);
    cacheManager: CacheManager;
    params: ModelManagerParams;
    logger: WllamaLogger;
    static parseModelUrl(url: string | string[]): string[];
    getModels(options?: { includeInvalid?: boolean }): Promise<Model[]>;
    clear(): Promise<void>;
    downloadModel(source: ModelSource | string, options?: DownloadOptions): Promise<Model>;
    getModelOrDownload(source: ModelSource, options?: DownloadOptions): Promise<Model>;
}

/** Refused. */
export class WllamaRealtimeSession {
    private constructor();
}

/** Refused. */
export function encodeRealtimeAudio(samples: Float32Array): string;
/** Refused. */
export function decodeRealtimeAudio(delta: string): Float32Array;
