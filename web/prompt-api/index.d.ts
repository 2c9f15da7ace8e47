import type { ChatOptions, LoadOptions, Model, SignalLike, Source } from '../index.js';

/**
 * The Prompt API of the web (https://webmachinelearning.github.io/prompt-api/) over a model of your own: a class as
 * Chrome's `LanguageModel`. Its sessions share one model, which the first create() loads.
 *
 *     import { languageModel } from 'nibble-llm/prompt-api';
 *
 *     const LanguageModel = languageModel('model.gguf');
 *     const session = await LanguageModel.create();
 *     console.log(await session.prompt('Why is the sky blue?'));
 *     session.destroy();
 *
 * The model is freed when its last session is destroyed, and loaded again when it is needed again. A model that is
 * given loaded stays so. docs/prompt-api.md says what differs from Chrome.
 */
export function languageModel(source: Source | Model, options?: LanguageModelOptions): LanguageModelClass;

/** load()'s options, without effect on a model that is loaded already, and what answers have in common. */
export interface LanguageModelOptions extends Omit<LoadOptions, 'signal' | 'onProgress' | 'headerOnly'> {
    /** Options of chat() for which the Prompt API has no word, such as `maxTokens`, `minP` or `templateVariables`. By
     * default an answer goes on until it ends by itself, or the context is full. */
    chat?: Omit<
        ChatOptions,
        'signal' | 'temperature' | 'topK' | 'addGenerationPrompt' | 'continueFinalMessage' | 'tools' | 'toolChoice'
    >;
}

export type Availability = 'unavailable' | 'downloadable' | 'downloading' | 'available';

/** From the likeliest words to the most varied. */
export type SamplingMode =
    | 'most-predictable'
    | 'predictable'
    | 'slightly-predictable'
    | 'balanced'
    | 'slightly-creative'
    | 'creative'
    | 'most-creative';

// biome-ignore lint/complexity/noBannedTypes: `session instanceof LanguageModel` needs it
export interface LanguageModelClass extends Function {
    readonly prototype: LanguageModel;
    /** Whether create() would work with these options, and whether it would have to load the model first. */
    availability(options?: CreateCoreOptions): Promise<Availability>;
    /** Loads the model if that is needed, and begins a conversation. */
    create(options?: CreateOptions): Promise<LanguageModel>;
    params(): Promise<LanguageModelParams>;
}

export interface LanguageModelParams {
    readonly defaultTopK: number;
    readonly maxTopK: number;
    readonly defaultTemperature: number;
    readonly maxTemperature: number;
}

/**
 * What goes in or comes out. Only 'text' is supported, and of a session with tools the input 'tool-response' and the
 * output 'tool-call'. Languages must be BCP 47 tags, and are not looked at.
 */
export interface Expected {
    readonly type: 'text' | 'image' | 'audio' | 'tool-call' | 'tool-response';
    readonly languages?: readonly string[];
}

export interface CreateCoreOptions {
    /** Default: 'balanced'. */
    readonly samplingMode?: SamplingMode;
    /** Instead of a sampling mode. */
    readonly topK?: number;
    /** Instead of a sampling mode. */
    readonly temperature?: number;
    readonly expectedInputs?: readonly Expected[];
    readonly expectedOutputs?: readonly Expected[];
    /** Functions that the model may call. They are run until it answers without a call. */
    readonly tools?: readonly Tool[];
}

export interface Tool {
    readonly name: string;
    /** What it does, for the model. */
    readonly description: string;
    /** A JSON Schema of the arguments, for the model. */
    readonly inputSchema: object;
    /**
     * Gets the arguments, an object, which are the model's word: check them. The model is told the result, a text, and
     * of an error. It may be called several times at once, and must not wait for a prompt of the same session.
     */
    execute(values: any): Promise<string> | string;
}

export interface CreateOptions extends CreateCoreOptions {
    /** Messages with which the conversation begins; they stay when it overflows the context. */
    readonly initialPrompts?: readonly PromptMessage[];
    /** Gets an object whose 'downloadprogress' events tell how much is loaded, from 0 to 1. */
    readonly monitor?: (monitor: CreateMonitor) => unknown;
    /** Ends create(); afterwards, destroys the session. */
    readonly signal?: SignalLike;
}

export interface PromptMessage {
    /** 'system' only as the first message of a session. */
    readonly role: 'system' | 'user' | 'assistant';
    readonly content: string | readonly PromptContent[];
    /** Of the assistant's message at the end of a prompt: the answer goes on from it. */
    readonly prefix?: boolean;
}

export interface PromptContent {
    /** Only 'text' is supported. */
    readonly type: 'text' | 'image' | 'audio' | 'tool-call' | 'tool-response';
    readonly value: unknown;
}

/** A text stands for one message of the user. */
export type PromptInput = string | readonly PromptMessage[];

export interface SignalOptions {
    readonly signal?: SignalLike;
}

export interface PromptOptions extends SignalOptions {
    /** A JSON Schema, under which the answer is valid JSON, or a RegExp, which matches the whole answer. */
    readonly responseConstraint?: object | null;
    /** The model is not told of the constraint. Otherwise it stands at the end of the user's message. */
    readonly omitResponseConstraintInput?: boolean;
}

/** A ReadableStream of strings; if the types of your project lack ReadableStream, what can be read in a loop. */
export type TextStream = typeof globalThis extends { ReadableStream: { prototype: infer Stream } }
    ? Stream
    : AsyncIterable<string>;

export interface EventLike {
    readonly type: string;
}

/** What is used of an EventTarget. */
export interface EventTargetLike<Type extends string, Event extends EventLike> {
    addEventListener(type: Type, listener: (event: Event) => void, options?: any): void;
    removeEventListener(type: Type, listener: (event: Event) => void, options?: any): void;
    dispatchEvent(event: any): boolean;
}

export interface DownloadProgressEvent extends EventLike {
    /** From 0 to 1. */
    readonly loaded: number;
    /** 1. */
    readonly total: number;
    readonly lengthComputable: boolean;
}

export interface CreateMonitor extends EventTargetLike<'downloadprogress', DownloadProgressEvent> {
    ondownloadprogress: ((event: DownloadProgressEvent) => void) | null;
}

/** A conversation. */
export interface LanguageModel extends EventTargetLike<'contextoverflow' | 'quotaoverflow', EventLike> {
    /**
     * Adds messages to the conversation, and gives the answer, which becomes a part of it, too. Prompts of a session
     * are answered one after another. After an error or an abort the conversation is as it was before; only messages
     * that were left out for want of room stay out.
     */
    prompt(input: PromptInput, options?: PromptOptions): Promise<string>;
    /** prompt(), whose answer comes in pieces. */
    promptStreaming(input: PromptInput, options?: PromptOptions): TextStream;
    /** Adds messages without asking for an answer. The model reads them already. */
    append(input: PromptInput, options?: SignalOptions): Promise<undefined>;
    /** The tokens that an input would add to the conversation. */
    measureContextUsage(input: PromptInput, options?: PromptOptions): Promise<number>;
    /** The tokens that the conversation has. */
    readonly contextUsage: number;
    /** The tokens that it may have, with the answer that comes next. */
    readonly contextWindow: number;
    /** Called when the oldest messages were left out, so that a prompt fits into the context. */
    oncontextoverflow: ((event: EventLike) => void) | null;
    /** null if `topK` or `temperature` was given. */
    readonly samplingMode: SamplingMode | null;
    readonly topK: number;
    readonly temperature: number;
    /** A conversation of its own, which begins with all that this one has. */
    clone(options?: SignalOptions): Promise<LanguageModel>;
    /** Ends what is under way, with an AbortError. The session can no longer be used. */
    destroy(): void;

    /** @deprecated The old name of measureContextUsage(). */
    measureInputUsage(input: PromptInput, options?: PromptOptions): Promise<number>;
    /** @deprecated The old name of contextUsage. */
    readonly inputUsage: number;
    /** @deprecated The old name of contextWindow. */
    readonly inputQuota: number;
    /** @deprecated The old name of oncontextoverflow. */
    onquotaoverflow: ((event: EventLike) => void) | null;
}
