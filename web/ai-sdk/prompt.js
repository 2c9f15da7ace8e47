/** The AI SDK's calls -> messages and options of chat(), and warnings about what is left out. */
import { unsupported } from './errors.js';

/** @typedef {import('./types.d.ts').LanguageModelV4CallOptions} CallOptions */
/** @typedef {import('./types.d.ts').LanguageModelV4Message} SdkMessage */
/** @typedef {import('./types.d.ts').SharedV4Warning} Warning */

/** @typedef {import('../index.d.ts').Message} Message */

/** What a function gave, as a text. @param {import('./types.d.ts').LanguageModelV4ToolResultOutput} output */
function resultOf(output) {
    switch (output.type) {
        case 'text':
        case 'error-text':
            return output.value;
        case 'json':
        case 'error-json':
            return JSON.stringify(output.value);
        case 'execution-denied':
            return output.reason ?? 'The call was not allowed.';
        case 'content':
            return output.value
                .map((part) => {
                    if (part.type === 'text') return part.text;
                    throw unsupported(`parts of the type "${part.type}" in results of tools`, 'give texts or JSON');
                })
                .join('\n');
    }
}

/**
 * A message's texts. Of an answer they are joined, as it was one text. What a model thought is left out of answers
 * without calls, as templates leave it out of earlier answers. Each result of a tool is a message.
 * @param {SdkMessage} message
 * @returns {Message[]}
 */
function messagesOf({ role, content }) {
    if (role === 'system') return [{ role, content }];
    const texts = [],
        thoughts = [],
        calls = [],
        /** @type {Message[]} */
        results = [];
    for (const part of content) {
        if (part.type === 'text') texts.push({ type: /** @type {const} */ ('text'), text: part.text });
        else if (part.type === 'reasoning') thoughts.push(part.text);
        else if (part.type === 'tool-call') {
            const called = { name: part.toolName, arguments: JSON.stringify(part.input ?? {}) };
            calls.push({ id: part.toolCallId, type: 'function', function: called });
        } else if (part.type === 'tool-result') {
            const { toolCallId, toolName } = part;
            results.push({ role: 'tool', tool_call_id: toolCallId, name: toolName, content: resultOf(part.output) });
        } else
            throw unsupported(
                part.type === 'file'
                    ? `files (${part.mediaType}) in messages`
                    : `parts of the type "${part.type}" in messages`,
                'give messages of texts only',
            );
    }
    if (role === 'tool') return results;
    const joined = texts.map(({ text }) => text).join('');
    if (role === 'user') return [{ role, content: texts.length === 1 ? joined : texts }];
    const reasoning = calls.length > 0 && thoughts.length > 0 ? { reasoning_content: thoughts.join('') } : {};
    return [{ role, content: joined, ...reasoning, ...(calls.length > 0 && { tool_calls: calls }) }, ...results];
}

/**
 * The tools, and what the model may do with them.
 * @param {CallOptions} options
 * @param {(feature: string, details: string) => void} warn
 * @returns {import('../index.d.ts').ChatOptions}
 */
function toolsOf({ tools = [], toolChoice }, warn) {
    const list = [];
    for (const tool of tools) {
        if (tool.type === 'function') {
            const { name, description, inputSchema: parameters } = tool;
            list.push({ type: 'function', function: { name, ...(description && { description }), parameters } });
        } else warn(`provider-defined tool ${tool.id}`, 'No provider runs it here; define it as a function.');
    }
    if (list.length === 0) return {};
    const choice = toolChoice?.type === 'tool' ? { name: toolChoice.toolName } : toolChoice?.type;
    return { tools: list, toolChoice: choice ?? 'auto' };
}

/**
 * How much the model thinks, as far as its template can be told.
 * @param {CallOptions} options
 * @returns {import('../index.d.ts').ChatOptions}
 */
const reasoningOf = ({ reasoning = 'provider-default' }) =>
    reasoning === 'provider-default'
        ? {}
        : { thinking: reasoning !== 'none', templateVariables: { reasoning_effort: reasoning } };

/**
 * @param {CallOptions} call
 * @returns {{ messages: import('../index.d.ts').Message[], options: import('../index.d.ts').ChatOptions,
 *     warnings: Warning[] }}
 */
export function requestOf(call) {
    const { prompt, maxOutputTokens, stopSequences, responseFormat, abortSignal, providerOptions } = call,
        { temperature, topP, topK, presencePenalty, frequencyPenalty, seed } = call;
    /** What cannot be kept to. @type {Warning[]} */
    const warnings = [];
    const warn = (/** @type {string} */ feature, /** @type {string} */ details) =>
        warnings.push({ type: 'unsupported', feature, details });
    const tools = toolsOf(call, warn);
    return {
        messages: prompt.flatMap(messagesOf),
        options: {
            ...{ temperature, topP, topK, presencePenalty, frequencyPenalty, seed },
            maxTokens: maxOutputTokens ?? 2 ** 31 - 1, // the context ends the answer earlier
            penaltyLast: -1, // penalties count all tokens, as OpenAI's
            stop: stopSequences,
            ...tools,
            ...reasoningOf(call),
            ...(responseFormat?.type === 'json' && { schema: responseFormat.schema ?? true }),
            ...providerOptions?.nibble,
            signal: abortSignal,
        },
        warnings,
    };
}
