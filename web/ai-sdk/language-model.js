import { begunStream, Count, eachPiece, headOf, wholeAnswers } from '../openai/answers.js';
import { requestOf } from './prompt.js';

/** @typedef {import('../openai/answers.js').Piece} Piece */
/** @typedef {import('../openai/types.js').FinishReason} FinishReason */
/** @typedef {import('./types.d.ts').LanguageModelV4CallOptions} CallOptions */
/** @typedef {import('./types.d.ts').LanguageModelV4StreamPart} StreamPart */

/** @param {Count} count @returns {import('./types.d.ts').LanguageModelV4Usage} */
function usageOf(count) {
    const { prompt_tokens, completion_tokens, prompt_tokens_details } = count.usage(),
        { cached_tokens } = prompt_tokens_details;
    return {
        inputTokens: {
            total: prompt_tokens,
            noCache: prompt_tokens - cached_tokens,
            cacheRead: cached_tokens,
            cacheWrite: undefined,
        },
        outputTokens: { total: completion_tokens, text: completion_tokens, reasoning: undefined },
    };
}

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
    const id = '0';
    let begun = false;
    /** @type {FinishReason | undefined} */
    let reason;
    try {
        for await (const { text, end } of pieces) {
            if (text !== '') {
                if (!begun) yield { type: 'text-start', id };
                begun = true;
                yield { type: 'text-delta', id, delta: text };
            }
            reason = end;
        }
    } catch (error) {
        if (signal?.aborted) throw error;
        yield { type: 'error', error };
    }
    if (begun) yield { type: 'text-end', id };
    yield { type: 'finish', finishReason: { unified: reason ?? 'error', raw: reason }, usage: usageOf(count) };
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
                [{ text, end }] = await wholeAnswers(all, count);
            return {
                content: text === '' ? [] : [{ type: 'text', text }],
                finishReason: { unified: end, raw: end },
                usage: usageOf(count),
                response: responseOf(modelId),
                warnings,
            };
        },
        /** @param {CallOptions} call */
        async doStream(call) {
            const { all, count, warnings } = begin(call),
                pieces = await begunStream(eachPiece(all, count), () => count.running?.stop());
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
