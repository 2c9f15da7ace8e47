// The requests and answers of OpenAI's API in nibble fit the types of OpenAI's own package. tests/js/openai.test.js
// compiles this file; nothing runs it.
import type { ChatCompletionRequest, CompletionRequest, EmbeddingRequest, Model } from 'nibble-llm';
import { openaiFetch } from 'nibble-llm/openai';
import OpenAI from 'openai';

declare const model: Model;

/** The client takes the fetch. */
export const client = new OpenAI({ apiKey: 'none', baseURL: 'http://localhost/v1', fetch: openaiFetch(model) });
export const several: typeof globalThis.fetch = openaiFetch({ small: model, large: model } as const);

/** Results and chunks are OpenAI's. */
export async function results(messages: ChatCompletionRequest['messages']): Promise<void> {
    const chat: OpenAI.ChatCompletion = await model.chat.completions.create({ messages });
    for await (const piece of await model.chat.completions.create({ messages, stream: true })) {
        const chunk: OpenAI.ChatCompletionChunk = piece;
        chunk.choices[0]?.delta.content;
    }
    const text: OpenAI.Completion = await model.completions.create({ prompt: 'a', stream: false });
    const vectors: OpenAI.CreateEmbeddingResponse = await model.embeddings.create({ input: ['a', 'b'] });
    const coded: string | undefined = (await model.embeddings.create({ input: 'a', encoding_format: 'base64' })).data[0]
        ?.embedding;
    // an answer's message goes on in the conversation, here and in OpenAI's
    const said: OpenAI.ChatCompletionMessage[] = chat.choices.map(({ message }) => message);
    await model.chat.completions.create({ messages: [...messages, ...said] });
    console.log(text, vectors, coded);

    // @ts-expect-error: a stream is no answer
    const wrong: OpenAI.ChatCompletion = await model.chat.completions.create({ messages, stream: true });
    const named: OpenAI.ChatCompletionNamedToolChoice = { type: 'function', function: { name: 'add' } };
    await model.chat.completions.create({ messages, tool_choice: named });
    // @ts-expect-error: there is no such choice
    await model.chat.completions.create({ messages, tool_choice: 'must' });
    // @ts-expect-error: there are no messages
    await model.chat.completions.create({ temperature: 0 });
    // @ts-expect-error: a field is misspelt
    await model.completions.create({ prompt: 'a', maxTokens: 1 });
    console.log(wrong);
}

type Mutable<T> = T extends readonly (infer Each)[]
    ? Mutable<Each>[]
    : T extends object
      ? { -readonly [name in keyof T]: Mutable<T[name]> }
      : T;

/** Fields that nibble takes have OpenAI's types, too. Only the model's name may be left out, a user be null. */
type Checked<Request> = Mutable<Omit<Request, 'messages' | 'model' | 'user' | 'stream'>>;
export const chatRequest = (request: Checked<ChatCompletionRequest>) =>
    ({ ...request, model: 'm', messages: [], stream: true }) satisfies OpenAI.ChatCompletionCreateParams;
export const completionRequest = (request: Checked<CompletionRequest>) =>
    ({ ...request, model: 'm', stream: false }) satisfies OpenAI.CompletionCreateParams;
export const embeddingRequest = ({ input }: Mutable<EmbeddingRequest>) =>
    ({ input, model: 'm' }) satisfies OpenAI.EmbeddingCreateParams;
