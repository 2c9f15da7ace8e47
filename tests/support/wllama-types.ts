// A program with wllama's types compiles with those of nibble-llm/wllama, and whatever takes wllama's class takes this
// one. tests/js/wllama.test.js compiles this file; nothing runs it.
import type * as Theirs from '@wllama/wllama';
import * as Own from 'nibble-llm/wllama';
import {
    type ChatCompletionChunk,
    type ChatCompletionMessage,
    type ChatCompletionTool,
    type LoadModelParams,
    LoggerWithoutDebug,
    LogLevel,
    Wllama,
    WllamaError,
} from 'nibble-llm/wllama';

declare const own: Own.Wllama;

/** The members of a class that are not private, less those whose classes have private members. */
type Members<Class> = Omit<Class, 'cacheManager' | 'modelManager' | 'createRealtimeSession'>;
export const same: Members<Theirs.Wllama> = own;
export const errors: Theirs.WllamaError[] = [new Own.WllamaError('a', 'load_error')];
export const info: Theirs.LoadedContextInfo = own.getLoadedContextInfo();

/** What is written for wllama is taken here. */
export function taken(
    load: Theirs.LoadModelParams & Theirs.DownloadOptions,
    chat: Theirs.ChatCompletionParams,
    text: Theirs.RawCompletionParams,
    vectors: Theirs.EmbeddingCreateParams,
    source: Theirs.HuggingFaceParams,
    config: Omit<Theirs.WllamaConfig, 'cacheManager' | 'modelManager'>,
): [Own.UrlParams, Own.ChatCompletionParams, Own.RawCompletionParams, Own.EmbeddingCreateParams, Own.Wllama] {
    own.loadModelFromHF(source, load);
    return [load, chat, text, vectors, new Own.Wllama({ default: 'a' }, config)];
}

/** And what is given back fits. */
export async function given(messages: ChatCompletionMessage[]): Promise<void> {
    const chat: Theirs.ChatCompletionResponse = await own.createChatCompletion({ messages });
    const text: Theirs.RawCompletionResponse = await own.createCompletion({ prompt: 'a' });
    const vectors: Theirs.CreateEmbeddingResponse = await own.createEmbedding({ input: ['a'] });
    const ranks: Theirs.RerankResponse = await own.createRerank({ query: 'a', documents: ['b'] });
    for await (const piece of await own.createChatCompletion({ messages, stream: true })) {
        const chunk: Theirs.ChatCompletionChunk = piece;
        chunk.choices[0]?.delta.content;
    }
    console.log(chat, text, vectors, ranks);
}

/** A small program. */
export async function program(file: File): Promise<string> {
    const params: LoadModelParams = { n_ctx: 2048, n_threads: 2, log_level: LogLevel.WARN, flash_attn: true },
        wllama = new Wllama({ default: '/wllama.wasm' }, { logger: LoggerWithoutDebug, parallelDownloads: 3 });
    const tools: ChatCompletionTool[] = [
        { type: 'function', function: { name: 'add', parameters: { type: 'object', properties: {} } } },
    ];
    let all = '';
    await wllama.loadModel([file], params);
    await wllama.createChatCompletion({
        messages: [{ role: 'user', content: 'Hello' }],
        ...{
            tools,
            tool_choice: 'auto',
            temperature: 0.5,
            penalty_repeat: 1.1,
            abortSignal: new AbortController().signal,
        },
        stream: true,
        onData(chunk: ChatCompletionChunk) {
            all += chunk.choices[0]?.delta.content ?? '';
        },
    });
    try {
        for (const { embedding } of (await wllama.createEmbedding({ input: 'a' })).data) all += embedding.length;
    } catch (error) {
        if (error instanceof WllamaError && error.type === 'inference_error') all += error.message;
    }
    // @ts-expect-error: a parameter is misspelt
    await wllama.loadModel([file], { n_context: 1 });
    // @ts-expect-error: there is no such type of error
    new WllamaError('a', 'lost');
    await wllama.exit();
    return all + wllama.getModelMetadata().meta['general.name'];
}
