import { begunStream, Count, eachPiece, headOf, wholeAnswers } from '../openai/answers.js';
import { requestOf } from './prompt.js';

/** @typedef {import('../openai/answers.js').Piece} Piece */
/** @typedef {import('../openai/types.js').ChatFinishReason} FinishReason */
/** @typedef {import('./types.d.ts').LanguageModelV4CallOptions} CallOptions */
/** @typedef {import('./types.d.ts').LanguageModelV4StreamPart} StreamPart */

/** @param {Count} count @returns {import('./types.d.ts').LanguageModelV4Usage} */
function usageOf(count) {
    const { prompt_tokens, completion_tokens, prompt_tokens_details, completion_tokens_details } = count.usage(),
        { cached_tokens } = prompt_tokens_details,
        reasoning = completion_tokens_details?.reasoning_tokens;
    return {
        inputTokens: {
            total: prompt_tokens,
            noCache: prompt_tokens - cached_tokens,
            cacheRead: cached_tokens,
            cacheWrite: undefined,
        },
        outputTokens: { total: completion_tokens, text: completion_tokens - (reasoning ?? 0), reasoning },
    };
}

/** @param {FinishReason | undefined} raw @returns {import('./types.d.ts').LanguageModelV4FinishReason} */
const reasonOf = (raw) => ({ unified: raw === 'tool_calls' ? 'tool-calls' : (raw ?? 'error'), raw });

/** @param {import('../index.d.ts').ToolCall} call @returns {import('./types.d.ts').LanguageModelV4ToolCall} */
const callOf = ({ id, function: called }) => ({
    type: 'tool-call',
    toolCallId: id,
    toolName: called.name,
    input: called.arguments,
});

/** @param {string} modelId */
const responseOf = (modelId) => ({ id: headOf('nibble', modelId).id, timestamp: new Date(), modelId });

/**
 * The parts of a stream, in the order that the specification has. An error ends the answer as a part, an abort by
 * rejecting.
 * @param {AsyncIterable<Piece>} pieces
 * @param {Count} count
 * @param {StreamPart[]} head
 * @param {CallOptions['abortSignal']} signal
 * @returns {AsyncGenerator<StreamPart, void, undefined>}
 */
async function* eachPart(pieces, count, head, signal) {
    yield* head;
    /** What is being told: a thought or the text. @type {'reasoning' | 'text' | undefined} */
    let open;
    let parts = 0;
    /** @param {'reasoning' | 'text' | undefined} type @returns {Generator<StreamPart, void, undefined>} */
    function* turnTo(type) {
        if (open === type) return;
        if (open) yield { type: `${open}-end`, id: String(parts) };
        if (type) yield { type: `${type}-start`, id: String(++parts) };
        open = type;
    }
    /** @type {FinishReason | undefined} */
    let reason;
    try {
        for await (const { reasoning, text, toolCalls, end } of pieces) {
            if (reasoning !== '') {
                yield* turnTo('reasoning');
                yield { type: 'reasoning-delta', id: String(parts), delta: reasoning };
            }
            if (text !== '') {
                yield* turnTo('text');
                yield { type: 'text-delta', id: String(parts), delta: text };
            }
            for (const { call } of toolCalls) {
                yield* turnTo(undefined);
                const { id, function: called } = call;
                yield { type: 'tool-input-start', id, toolName: called.name };
                yield { type: 'tool-input-delta', id, delta: called.arguments };
                yield { type: 'tool-input-end', id };
                yield callOf(call);
            }
            reason = end;
        }
    } catch (error) {
        if (signal?.aborted) throw error;
        yield { type: 'error', error };
    }
    yield* turnTo(undefined);
    yield { type: 'finish', finishReason: reasonOf(reason), usage: usageOf(count) };
}

/**
 * @param {string} modelId
 * @param {import('../index.d.ts').Model} model
 * @returns {import('./types.d.ts').LanguageModelV4}
 */
export function languageModel(modelId, model) {
    /** @param {CallOptions} call */
    function begin(call) {
        const { messages, options, warnings } = requestOf(call),
            start = () => model.chat(messages, options);
        return { all: [{ start, before: '', again: false }], count: new Count(), warnings };
    }
    return {
        specificationVersion: 'v4',
        provider: 'nibble.chat',
        modelId,
        supportedUrls: {},
        /** @param {CallOptions} call */
        async doGenerate(call) {
            const { all, count, warnings } = begin(call),
                [{ text, reasoning, toolCalls, end }] = await wholeAnswers(all, count, false);
            return {
                content: [
                    ...(reasoning === '' ? [] : [/** @type {const} */ ({ type: 'reasoning', text: reasoning })]),
                    ...(text === '' ? [] : [/** @type {const} */ ({ type: 'text', text })]),
                    ...toolCalls.map(callOf),
                ],
                finishReason: reasonOf(end),
                usage: usageOf(count),
                response: responseOf(modelId),
                warnings,
            };
        },
        /** @param {CallOptions} call */
        async doStream(call) {
            const { all, count, warnings } = begin(call),
                pieces = await begunStream(eachPiece(all, count, false), () => count.stop());
            const parts = eachPart(
                pieces,
                count,
                [
                    { type: 'stream-start', warnings },
                    { type: 'response-metadata', ...responseOf(modelId) },
                ],
                call.abortSignal,
            );
            return {
                stream: new ReadableStream({
                    async pull(controller) {
                        const { done, value } = await parts.next();
                        if (done) controller.close();
                        else controller.enqueue(value);
                    },
                    async cancel() {
                        await pieces.return?.();
                    },
                }),
            };
        },
    };
}
