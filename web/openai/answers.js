/** Answers of a model, in pieces or whole: one after the other, or together. */
import { Places } from './logprobs.js';

/** @typedef {import('../index.d.ts').Generation} Generation */
/** @typedef {import('../index.d.ts').Result} Result */
/** @typedef {import('../index.d.ts').ToolCall} ToolCall */
/** @typedef {import('./types.js').ChatFinishReason} FinishReason */
/** @typedef {import('./types.js').Usage} Usage */

/**
 * An answer that is to be made. before: text that is put before it. again: its prompt is that of the answer before,
 * and is counted only once. named: it is a call of the function that the request names.
 * @typedef {{ start: () => Generation, before: string, again: boolean, named?: boolean }} Planned
 */

/** @typedef {import('./logprobs.js').Placed} Placed */

/**
 * A piece of an answer. toolCalls: with the number of each. end: the answer is whole. logprobs: of the tokens whose
 * text begins in this piece.
 * @typedef {{ index: number, first: boolean, text: string, reasoning: string,
 *     toolCalls: { index: number, call: ToolCall }[], end?: FinishReason, logprobs?: Placed[] }} Piece
 */

/** An answer. @typedef {{ index: number, text: string, reasoning: string, toolCalls: ToolCall[], end: FinishReason,
 *     logprobs?: Placed[] }} Whole */

/** The `id` and `created` of an answer, and the model's name. @param {string} prefix @param {string} model */
export function headOf(prefix, model) {
    // randomUUID() is missing on pages that are not secure
    const bytes = Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => byte.toString(16).padStart(2, '0'));
    return { id: `${prefix}-${bytes.join('')}`, created: Math.floor(Date.now() / 1000), model };
}

/** Nothing stops these generations but a signal, and then no result comes. OpenAI tells of calls only if the model has
 * chosen the function. @param {Result} result @param {Planned} planned */
const reasonOf = ({ finishReason, toolCalls = [] }, { named }) =>
    finishReason === 'stop' && toolCalls.length > 0 && !named
        ? 'tool_calls'
        : /** @type {FinishReason} */ (finishReason);

/** The tokens of a request so far. */
export class Count {
    prompt = 0;
    /** How many of these the model remembered. */
    cached = 0;
    /** How many tokens of prompts and answers were dropped, as they outgrew the context. */
    dropped = 0;
    /** Of the answers that are whole. */
    answers = 0;
    /** How many of these were thoughts. */
    thoughts = 0;
    /** The answers that are being made. @type {Set<Generation>} */
    #running = new Set();

    /** @param {Planned} planned */
    begin({ start }) {
        const generation = start();
        this.#running.add(generation);
        return generation;
    }

    /** Ends what is being made. */
    stop() {
        for (const generation of this.#running) generation.stop();
    }

    /** @param {Result} result @param {Planned} planned @param {Generation} generation */
    end({ promptTokens, cachedTokens, tokens, reasoningTokens = 0, droppedTokens = 0 }, { again }, generation) {
        this.dropped += droppedTokens;
        if (!again) {
            this.prompt += promptTokens;
            this.cached += cachedTokens;
        }
        this.answers += tokens.length;
        this.thoughts += reasoningTokens;
        this.#running.delete(generation);
    }

    /** @returns {Usage} */
    usage() {
        const answers = [...this.#running].reduce((sum, { tokens }) => sum + tokens.length, this.answers);
        return {
            prompt_tokens: this.prompt,
            completion_tokens: answers,
            total_tokens: this.prompt + answers,
            prompt_tokens_details: { cached_tokens: this.cached },
            ...(this.thoughts > 0 && { completion_tokens_details: { reasoning_tokens: this.thoughts } }),
            ...(this.dropped > 0 && { dropped_tokens: this.dropped }),
        };
    }
}

/**
 * @param {Planned[]} all
 * @param {Count} count
 * @param {boolean} together
 * @returns {Promise<Whole[]>}
 */
export async function wholeAnswers(all, count, together) {
    if (together)
        try {
            return await Promise.all(all.map((planned, index) => wholeAnswer(planned, index, count)));
        } finally {
            count.stop(); // if one of them failed
        }
    const answers = [];
    for (const [index, planned] of all.entries()) answers.push(await wholeAnswer(planned, index, count));
    return answers;
}

/**
 * @param {Planned} planned
 * @param {number} index
 * @param {Count} count
 * @returns {Promise<Whole>}
 */
async function wholeAnswer(planned, index, count) {
    const generation = count.begin(planned),
        result = await generation;
    count.end(result, planned, generation);
    let raw = '';
    if (result.logprobs) for await (const chunk of generation.chunks()) raw += chunk.raw;
    const logprobs = result.logprobs && new Places().take(result.logprobs, raw, true),
        { text, reasoning = '', toolCalls = [] } = result;
    return { index, text: planned.before + text, reasoning, toolCalls, end: reasonOf(result, planned), logprobs };
}

/**
 * The pieces of all answers.
 * @param {Planned[]} all
 * @param {Count} count
 * @param {boolean} together
 * @returns {AsyncGenerator<Piece, void, undefined>}
 */
export async function* eachPiece(all, count, together) {
    const streams = all.map((planned, index) => piecesOf(planned, index, count));
    if (together) yield* merged(streams, () => count.stop());
    else for (const stream of streams) yield* stream;
}

/**
 * What several streams give, as it comes.
 * @template Item
 * @param {AsyncGenerator<Item, void, undefined>[]} streams
 * @param {() => void} stop makes all of them end soon
 * @returns {AsyncGenerator<Item, void, undefined>}
 */
async function* merged(streams, stop) {
    const step = async (/** @type {typeof streams[0]} */ stream) => ({ stream, result: await stream.next() });
    const next = new Map(streams.map((stream) => [stream, step(stream)]));
    try {
        while (next.size > 0) {
            const { stream, result } = await Promise.race(next.values());
            next.delete(stream);
            if (result.done) continue;
            next.set(stream, step(stream)); // behind the others
            yield result.value;
        }
    } finally {
        stop();
        for (const rest of next.values()) rest.catch(() => {});
    }
}

/**
 * The pieces of one answer.
 * @param {Planned} planned
 * @param {number} index
 * @param {Count} count
 * @returns {AsyncGenerator<Piece, void, undefined>}
 */
async function* piecesOf(planned, index, count) {
    const generation = count.begin(planned);
    let first = true,
        called = 0;
    const places = new Places();
    const take = (/** @type {string} */ text, /** @type {boolean} */ end) =>
        generation.logprobs && places.take(generation.logprobs, text, end);
    for await (const chunk of generation.chunks()) {
        const text = first ? planned.before + chunk.text : chunk.text,
            toolCalls = chunk.toolCalls.map((call, i) => ({ index: called + i, call }));
        called += toolCalls.length;
        const { reasoning } = chunk;
        yield { index, first, text, reasoning, toolCalls, logprobs: take(chunk.raw, false) };
        first = false;
    }
    const result = await generation;
    count.end(result, planned, generation);
    const text = first ? planned.before : '';
    const end = reasonOf(result, planned);
    yield { index, first, text, reasoning: '', toolCalls: [], end, logprobs: take('', true) };
}

/**
 * A stream of what a generator gives. It waits for the first item, so that an error of the request rejects. Leaving the
 * stream calls stop() at once; the generator itself would first wait for its next item, which may be long in coming.
 * @template Item
 * @param {AsyncGenerator<Item, void, undefined>} items
 * @param {() => void} stop makes the generator go on soon
 * @returns {Promise<AsyncIterableIterator<Item>>}
 */
export async function begunStream(items, stop) {
    /** @type {Promise<IteratorResult<Item>> | undefined} */
    let first = items.next();
    await first;
    /** @type {AsyncIterableIterator<Item>} */
    const stream = {
        [Symbol.asyncIterator]: () => stream,
        next() {
            const next = first ?? items.next();
            first = undefined;
            return next;
        },
        return() {
            first = undefined;
            stop();
            return items.return();
        },
    };
    return stream;
}
