/**
 * OpenAI's requests and answers, as a model of nibble takes and gives them. docs/openai.md says what is refused, and
 * what a default means. What OpenAI has and is not listed here is refused with a NibbleError that names the field.
 */
import type { Abortable, Message, Sampler, ToolCall } from '../index.js';

/**
 * `model.chat` answers a conversation when it is called. `model.chat.completions.create()` does the same with
 * OpenAI's requests and answers:
 *
 *     const { choices } = await model.chat.completions.create({ messages: [{ role: 'user', content: 'Hello' }] });
 *     for await (const chunk of await model.chat.completions.create({ messages, stream: true }))
 *         process.stdout.write(chunk.choices[0]?.delta.content ?? '');
 */
export interface ChatCompletions {
    create(request: ChatCompletionRequest & { stream?: false | null }, options?: Abortable): Promise<ChatCompletion>;
    /** Leaving the loop early stops the generation. An error of the request rejects the promise, not the loop. */
    create(
        request: ChatCompletionRequest & { stream: true },
        options?: Abortable,
    ): Promise<AsyncIterable<ChatCompletionChunk>>;
    create(
        request: ChatCompletionRequest,
        options?: Abortable,
    ): Promise<ChatCompletion | AsyncIterable<ChatCompletionChunk>>;
}

/** `model.completions`: continues texts, as OpenAI's API does. `model.complete()` is nibble's own. */
export interface Completions {
    create(request: CompletionRequest & { stream?: false | null }, options?: Abortable): Promise<Completion>;
    /** Leaving the loop early stops the generation. An error of the request rejects the promise, not the loop. */
    create(request: CompletionRequest & { stream: true }, options?: Abortable): Promise<AsyncIterable<CompletionChunk>>;
    create(request: CompletionRequest, options?: Abortable): Promise<Completion | AsyncIterable<CompletionChunk>>;
}

/** `model.embeddings`: embeds texts, as OpenAI's API does. `model.embed()` is nibble's own. */
export interface Embeddings {
    create(
        request: EmbeddingRequest & { encoding_format: 'base64' },
        options?: Abortable,
    ): Promise<EmbeddingList<string>>;
    create(
        request: EmbeddingRequest & { encoding_format?: 'float' | null },
        options?: Abortable,
    ): Promise<EmbeddingList<number[]>>;
    create(request: EmbeddingRequest, options?: Abortable): Promise<EmbeddingList<number[]> | EmbeddingList<string>>;
}

/** What chat completions and completions have in common. null is the same as leaving the field out. */
export interface GenerationRequest {
    /** Any name. The model is the one that is called; the result says which one it is. */
    model?: string | null;
    /** 0 to 2. Default: 1. */
    temperature?: number | null;
    /** Default: 1. */
    top_p?: number | null;
    /** Not OpenAI's: choose among the K likeliest tokens. Default: 0, among all. */
    top_k?: number | null;
    /** Not OpenAI's: leave out tokens whose probability is below this times that of the likeliest. Default: 0. */
    min_p?: number | null;
    /** -2 to 2. It counts all tokens so far, those of the prompt, too. Default: 0. */
    presence_penalty?: number | null;
    /** -2 to 2. It counts all tokens so far, those of the prompt, too. Default: 0. */
    frequency_penalty?: number | null;
    /** Not OpenAI's: make tokens that occurred already less likely. Default: 1, off. */
    repeat_penalty?: number | null;
    /** Not OpenAI's, but of llama.cpp's server, with the defaults of GenerateOptions, as are those that follow. */
    typical_p?: number | null;
    top_n_sigma?: number | null;
    xtc_probability?: number | null;
    xtc_threshold?: number | null;
    dynatemp_range?: number | null;
    dynatemp_exponent?: number | null;
    mirostat?: 0 | 1 | 2 | null;
    mirostat_tau?: number | null;
    mirostat_eta?: number | null;
    samplers?: readonly Sampler[] | null;
    dry_multiplier?: number | null;
    /** contextOverflow of complete() and chat(). With 'slide' and 'shift', an answer without a limit of its own has at
     * most as many tokens as the context. */
    context_overflow?: 'error' | 'slide' | 'shift' | null;
    /** Not OpenAI's, but of llama.cpp's server: the adapters of this request and their scales, by their places in
     * `model.adapters`. Those that it does not name are off. Default: as setAdapters() has it. */
    lora?: readonly { id: number; scale: number }[] | null;
    dry_base?: number | null;
    dry_allowed_length?: number | null;
    dry_penalty_last_n?: number | null;
    dry_sequence_breakers?: string | readonly string[] | null;
    /** Not OpenAI's, but of llama.cpp's server: a grammar in GBNF, as `grammar` of GenerateOptions. Empty: none. */
    grammar?: string | null;
    /** Any whole number, taken modulo 2^32. Choice i of several gets seed + i. Default: a new one each time. */
    seed?: number | null;
    /** Added to the logits of these token ids, which are this model's. Not OpenAI's: a text that is one
     * token, as in `logitBias` of GenerateOptions. */
    logit_bias?: { [token: string]: number } | null;
    /** End the answer before any of these texts. */
    stop?: string | string[] | null;
    /** How many answers to make: 1 to 128, one after the other, or together if the model was loaded with `parallel`.
     * Default: 1. */
    n?: number | null;
    stream?: boolean | null;
    stream_options?: StreamOptions | null;
    /** Accepted for clients that send it. It tells a service who asks, and here is no service. */
    user?: string | null;
}

export interface StreamOptions {
    /** Add a last chunk with the usage and without choices. Default: false. */
    include_usage?: boolean;
    /** Only false: chunks that never leave this machine are not padded. */
    include_obfuscation?: false;
}

export interface ChatCompletionRequest extends GenerationRequest {
    /** The role 'developer' is read as 'system', which the models' templates know. */
    messages: readonly Message[];
    /** End the answer after this many tokens. Default: when the context is full. */
    max_completion_tokens?: number | null;
    /** The older name of max_completion_tokens. */
    max_tokens?: number | null;
    /** Tell the log-probability of each token, by the model's own distribution: before logit_bias, penalties,
     * temperature and all else. Default: false. */
    logprobs?: boolean | null;
    /** With logprobs: those of so many of the likeliest tokens, too; 0 to 20. */
    top_logprobs?: number | null;
    /** Not OpenAI's: variables of the chat template, such as { enable_thinking: false }. */
    chat_template_kwargs?: Readonly<Record<string, unknown>> | null;
    /** What the answer is: a text (the default), a JSON object, or JSON that is valid under a schema, whatever `strict`
     * says. docs/structured.md lists the keywords; others are refused by name. */
    response_format?:
        | { type: 'text' }
        | { type: 'json_object' }
        | {
              type: 'json_schema';
              json_schema: {
                  name: string;
                  description?: string;
                  schema?: { [keyword: string]: unknown };
                  strict?: boolean | null;
              };
          };
    /** Functions that the model may call. Calls that cannot be read are a part of the content. */
    tools?: readonly FunctionTool[];
    /** 'auto' (the default). 'none': the model is not told of the tools. 'required': the answer is at least one call. A
     * function's name: it is one call of it, and the finish reason is 'stop', as in OpenAI's answers. */
    tool_choice?: 'auto' | 'none' | 'required' | { type: 'function'; function: { name: string } };
    /** false: the answer ends with the first call. Default: true. */
    parallel_tool_calls?: boolean;
    /** Passed to the chat template; 'none' turns thinking off. */
    reasoning_effort?: 'none' | 'minimal' | 'low' | 'medium' | 'high' | 'xhigh' | 'max' | null;
    /** Not OpenAI's, but of llama.cpp's server: end a thought after so many tokens. Default: -1, never. */
    thinking_budget_tokens?: number | null;
    /** Accepted as `user` is. */
    safety_identifier?: string | null;
    /** Accepted as `user` is. A prefix that a prompt shares with the previous one is always reused. */
    prompt_cache_key?: string | null;
}

/** A function that a model may call. */
export interface FunctionTool {
    type: 'function';
    function: {
        name: string;
        description?: string;
        /** A JSON Schema of the arguments. */
        parameters?: { [name: string]: unknown };
        /** Accepted, and without effect. */
        strict?: boolean | null;
    };
}

export interface CompletionRequest extends GenerationRequest {
    /** A text, token ids, or an array of either. */
    prompt: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
    /** End the text after this many tokens. Default: 16, as OpenAI's. */
    max_tokens?: number | null;
    /** Write what is missing between a prompt, which is a text, and this text, if the model can. */
    suffix?: string | null;
    /** Begin the text with the prompt. Default: false. */
    echo?: boolean | null;
    /** Tell the log-probability of each token, and those of so many of the likeliest; 0 to 20. Not with echo. Default:
     * none. */
    logprobs?: number | null;
}

export interface EmbeddingRequest {
    /** A text, token ids, or an array of either. */
    input: string | readonly string[] | readonly number[] | readonly (readonly number[])[];
    /** Any name. */
    model?: string | null;
    /** 'base64': the bytes of the numbers in F32, little-endian. Default: 'float'. */
    encoding_format?: 'float' | 'base64' | null;
    /** Only `info.embedding.size`: vectors are not cut. */
    dimensions?: number | null;
    /** Accepted for clients that send it. */
    user?: string | null;
}

export interface Usage {
    /** Tokens of the prompts; of a prompt that has several answers, only once. */
    prompt_tokens: number;
    /** Tokens of all answers, without end tokens. */
    completion_tokens: number;
    total_tokens: number;
    /** cached_tokens: how many of the prompts' tokens were not evaluated, as the model remembered them. */
    prompt_tokens_details: { cached_tokens: number };
    /** reasoning_tokens: how many of the answers' tokens were thoughts; only where there were some. */
    completion_tokens_details?: { reasoning_tokens: number };
    /** With context_overflow: how many tokens of prompts and answers were dropped, if any were. */
    dropped_tokens?: number;
}

/** 'stop': the model ended its answer, or a stop text came. 'length': the tokens were used up. */
export type FinishReason = 'stop' | 'length';

/** 'tool_calls': the model ended its answer, and calls functions. */
export type ChatFinishReason = FinishReason | 'tool_calls';

/** What the model thought is not OpenAI's, but is called so by llama.cpp's server and others. */
export interface ChatDelta {
    role?: 'assistant';
    content?: string;
    reasoning_content?: string;
    /** Each call comes whole. */
    tool_calls?: (ToolCall & { index: number })[];
}

export interface LikelyToken {
    /** Its text; the name of a special token. Bytes that are a part of a character are written like \\xe2. */
    token: string;
    /** What the token adds to the text, in UTF-8; null: it adds nothing, as a special token. */
    bytes: number[] | null;
    /** ln of its probability; -9999 at the least. */
    logprob: number;
}

/** Of the tokens whose text is in the message, or begins in the chunk; those of a stop text are left out. */
export interface ChatLogprobs {
    content: (LikelyToken & { top_logprobs: LikelyToken[] })[];
    refusal: null;
}

/** The same in the shape of completions: an entry of each array for each token. */
export interface CompletionLogprobs {
    /** Bytes that are a part of a character are written like bytes:\\xe2. */
    tokens: string[];
    token_logprobs: number[];
    /** The likeliest tokens, and in any case the token itself. */
    top_logprobs: { [token: string]: number }[];
    /** Where each token begins in the answer's text, in code points. */
    text_offset: number[];
}

export interface ChatCompletion {
    id: string;
    object: 'chat.completion';
    /** Seconds since 1970. */
    created: number;
    /** The name that the model's file gives. */
    model: string;
    choices: {
        index: number;
        message: {
            role: 'assistant';
            /** null: it calls functions, and says nothing else. */
            content: string | null;
            refusal: null;
            /** What the model thought, if it did. */
            reasoning_content?: string;
            tool_calls?: ToolCall[];
        };
        finish_reason: ChatFinishReason;
        logprobs: ChatLogprobs | null;
    }[];
    usage: Usage;
}

/** Of each choice the first chunk has the role, those that follow have pieces of the text, the last a reason. */
export interface ChatCompletionChunk {
    id: string;
    object: 'chat.completion.chunk';
    created: number;
    model: string;
    choices: {
        index: number;
        delta: ChatDelta;
        finish_reason: ChatFinishReason | null;
        logprobs: ChatLogprobs | null;
    }[];
    /** With include_usage: null in all chunks but the last. */
    usage?: Usage | null;
}

export interface Completion {
    id: string;
    object: 'text_completion';
    created: number;
    model: string;
    /** With several prompts: the n answers of the first, then those of the second, ... */
    choices: { index: number; text: string; finish_reason: FinishReason; logprobs: CompletionLogprobs | null }[];
    usage: Usage;
}

export interface CompletionChunk {
    id: string;
    object: 'text_completion';
    created: number;
    model: string;
    choices: { index: number; text: string; finish_reason: FinishReason | null; logprobs: CompletionLogprobs | null }[];
    usage?: Usage | null;
}

export interface EmbeddingList<Vector = number[]> {
    object: 'list';
    model: string;
    data: { object: 'embedding'; index: number; embedding: Vector }[];
    usage: { prompt_tokens: number; total_tokens: number };
}
