// The provider of nibble-llm/ai-sdk has the types of the AI SDK. tests/js/ai-sdk.test.js compiles this file; nothing
// runs it.
import type { EmbeddingModelV4, LanguageModelV4, ProviderV4 } from '@ai-sdk/provider';
import { createProviderRegistry, embedMany, generateText } from 'ai';
import type { Model } from 'nibble-llm';
import { createNibble, type NibbleChatOptions, type NibbleEmbedOptions } from 'nibble-llm/ai-sdk';

declare const model: Model;

export const single = createNibble(model);
export const several: ProviderV4 = createNibble({ small: model, large: model } as const);
export const models: [LanguageModelV4, LanguageModelV4, EmbeddingModelV4] = [
    single(),
    single.languageModel('small'),
    single.embeddingModel(),
];
export const registry = createProviderRegistry({ nibble: several });

export async function use(): Promise<string> {
    const own = { minP: 0.1 } satisfies NibbleChatOptions,
        query = { promptName: 'query' } satisfies NibbleEmbedOptions;
    const { text } = await generateText({ model: single(), prompt: 'a', providerOptions: { nibble: own } });
    await embedMany({ model: single.embeddingModel(), values: [text], providerOptions: { nibble: query } });
    // @ts-expect-error: a path is no model
    createNibble('model.gguf');
    // @ts-expect-error: an option is misspelt
    const wrong = { minp: 0.1 } satisfies NibbleChatOptions;
    return text + wrong.minp;
}
