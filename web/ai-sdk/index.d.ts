import type { EmbeddingModelV4, LanguageModelV4, ProviderV4 } from '@ai-sdk/provider';
import type { ChatOptions, EmbedOptions, Model } from '../index.js';

/**
 * A provider for Vercel's AI SDK 7, whose models are loaded in this process or page: nothing is sent anywhere.
 *
 *     import { generateText } from 'ai';
 *     import { load } from 'nibble-llm';
 *     import { createNibble } from 'nibble-llm/ai-sdk';
 *
 *     const nibble = createNibble(await load('model.gguf'));
 *     const { text } = await generateText({ model: nibble(), prompt: 'Why is the sky blue?' });
 *
 * A single model answers to any name, and to none. Of several models, under names of your own, the one answers that is
 * named. docs/ai-sdk.md says what becomes of each setting.
 */
export function createNibble(models: Model | { readonly [name: string]: Model }): NibbleProvider;

export interface NibbleProvider extends ProviderV4 {
    (name?: string): LanguageModelV4;
    languageModel(name?: string): LanguageModelV4;
    embeddingModel(name?: string): EmbeddingModelV4;
}

/**
 * nibble's own options in generateText() and streamText(), which take precedence over the SDK's settings:
 * `providerOptions: { nibble: { minP: 0.1 } satisfies NibbleChatOptions }`.
 */
export type NibbleChatOptions = Omit<ChatOptions, 'signal'>;

/** The same in embed() and embedMany(): `{ nibble: { promptName: 'query' } satisfies NibbleEmbedOptions }`. */
export type NibbleEmbedOptions = Omit<EmbedOptions, 'signal'>;
