/** The AI SDK's calls -> messages and options of chat(), and warnings about what is left out. */
import { unsupported } from './errors.js';

/** @typedef {import('./types.d.ts').LanguageModelV4CallOptions} CallOptions */
/** @typedef {import('./types.d.ts').LanguageModelV4Message} SdkMessage */
/** @typedef {import('./types.d.ts').SharedV4Warning} Warning */

/**
 * A message's texts. Of an answer they are joined, as it was one text. What a model thought is left out, as templates
 * leave it out of earlier answers.
 * @param {SdkMessage} message
 * @returns {import('../index.d.ts').Message}
 */
function messageOf({ role, content }) {
    if (role === 'system') return { role, content };
    if (role === 'tool') throw unsupported('messages of tools', 'leave them out');
    const parts = /** @type {{ type: string, text?: string, mediaType?: string }[]} */ (content),
        texts = [];
    for (const { type, text = '', mediaType } of parts) {
        if (type === 'text') texts.push({ type: /** @type {const} */ ('text'), text });
        else if (type !== 'reasoning')
            throw unsupported(
                type === 'file' ? `files (${mediaType}) in messages` : `parts of the type "${type}" in messages`,
                'give messages of texts only',
            );
    }
    return {
        role,
        content: role === 'assistant' || texts.length === 1 ? texts.map(({ text }) => text).join('') : texts,
    };
}

/**
 * What cannot be kept to is left out, with a warning. A tool that must be called is an error: the answer would be none.
 * @param {CallOptions} options
 * @returns {Warning[]}
 */
function warningsOf({ tools = [], toolChoice, responseFormat, reasoning = 'provider-default' }) {
    /** @type {Warning[]} */
    const warnings = [];
    const warn = (/** @type {string} */ feature, /** @type {string} */ details) =>
        warnings.push({ type: 'unsupported', feature, details });
    if (tools.length > 0 && toolChoice?.type !== 'none') {
        if (toolChoice && toolChoice.type !== 'auto')
            throw unsupported(`toolChoice "${toolChoice.type}"`, 'leave it out, and ask for a text');
        warn('tools', 'The model is not told of them, and answers with a text.');
    }
    if (responseFormat?.type === 'json')
        warn('responseFormat', 'Nothing holds the answer to JSON or to the schema: describe it in a message.');
    if (reasoning !== 'provider-default')
        warn('reasoning', "providerOptions.nibble.templateVariables passes variables to the model's template.");
    return warnings;
}

/**
 * @param {CallOptions} call
 * @returns {{ messages: import('../index.d.ts').Message[], options: import('../index.d.ts').ChatOptions,
 *     warnings: Warning[] }}
 */
export function requestOf(call) {
    const { prompt, maxOutputTokens, stopSequences, abortSignal, providerOptions } = call,
        { temperature, topP, topK, presencePenalty, frequencyPenalty, seed } = call;
    return {
        messages: prompt.map(messageOf),
        options: {
            ...{ temperature, topP, topK, presencePenalty, frequencyPenalty, seed },
            maxTokens: maxOutputTokens ?? 2 ** 31 - 1, // the context ends the answer earlier
            penaltyLast: -1, // penalties count all tokens, as OpenAI's
            stop: stopSequences,
            ...providerOptions?.nibble,
            signal: abortSignal,
        },
        warnings: warningsOf(call),
    };
}
