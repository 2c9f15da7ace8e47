// One exchange with the model: what is said goes in, and what is heard comes out, with thoughts and calls of functions.
import { runTools } from '../web/api/run-tools.js';

/** @typedef {import('../web/index.js').Generation} Generation */
/** @typedef {import('../web/index.js').Message} Message */
/** @typedef {import('../web/index.js').Model} Model */
/** @typedef {import('../web/index.js').RunnableTool} RunnableTool */
/** @typedef {import('../web/index.js').ToolCall} ToolCall */

const MOST_ROUNDS = 5; // answers, of which all but the last call functions

/**
 * Who hears the answer while it comes.
 * @typedef {object} Hearer
 * @property {(chunk: import('../web/index.js').Chunk) => void} chunk
 * @property {(call: ToolCall, result: string) => void} result of a function
 */

/**
 * @param {Model} model
 * @param {Message[]} said
 * @param {{ system: string, tools: RunnableTool[], options: import('../web/index.js').ChatOptions }} how
 * @param {Hearer} hearer
 */
export function talk(model, said, { system, tools, options }, hearer) {
    /** @type {Generation | undefined} */
    let answering;
    let before = 0, // tokens
        isStopped = false;
    const begin = (/** @type {Generation} */ generation) => {
        before += answering?.tokens.length ?? 0;
        answering = generation;
        if (isStopped) generation.stop();
        return generation;
    };
    const messages = system ? [{ role: 'system', content: system }, ...said] : said;

    /** An answer without functions. A model without a chat template was not trained to answer: it continues the text. */
    async function answer() {
        const generation = begin(
            model.info.chatTemplate
                ? model.chat(messages, options)
                : model.complete(said.map(({ content }) => content).join(''), options),
        );
        for await (const chunk of generation.chunks()) hearer.chunk(chunk);
        const result = await generation;
        return { result, added: [{ role: 'assistant', content: result.text }] };
    }

    async function answerWithTools() {
        const heard = tools.map((tool) => ({
            ...tool,
            async run(/** @type {any} */ values, /** @type {{ call: ToolCall }} */ context) {
                try {
                    const value = await tool.run(values, context);
                    hearer.result(context.call, typeof value === 'string' ? value : JSON.stringify(value));
                    return value;
                } catch (error) {
                    hearer.result(context.call, `Error: ${/** @type {Error} */ (error).message}`);
                    throw error; // the model is told of it
                }
            },
        }));
        const speaker = { chat: (/** @type {any} */ list, /** @type {any} */ asked) => begin(model.chat(list, asked)) };
        const result = await runTools(/** @type {any} */ (speaker), messages, heard, {
            ...options,
            maxRounds: MOST_ROUNDS,
            onChunk: hearer.chunk,
        });
        return { result, added: result.messages.slice(messages.length) };
    }

    return {
        /** The result of the last answer, and the messages with which the conversation goes on. */
        done: (tools.length > 0 ? answerWithTools() : answer()).then(({ result, added }) => ({
            result,
            added: withoutLooseEnd(added),
        })),
        /** Of all answers so far. */
        tokens: () => before + (answering?.tokens.length ?? 0),
        stop() {
            isStopped = true;
            answering?.stop();
        },
    };
}

/** Calls that were not run, and an answer without a text, are no part of the conversation. @param {Message[]} added */
function withoutLooseEnd(added) {
    const { tool_calls, ...last } = added[added.length - 1];
    return [...added.slice(0, -1), ...(last.content ? [last] : [])];
}
