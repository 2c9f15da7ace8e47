/** Answers a conversation with functions that the model may call: they are run until it has no more calls. */
import { messageOf, NibbleError } from '../errors.js';
import { checkMessages } from './messages.js';
import { NO_PARAMETERS } from './tool-choice.js';

/** @typedef {import('../index.d.ts').Message} Message */
/** @typedef {import('../index.d.ts').RunnableTool} RunnableTool */
/** @typedef {import('../index.d.ts').ToolCall} ToolCall */

const CALLER = 'runTools()';

const refuse = (/** @type {string} */ message) => new NibbleError('NB_ERR_ARGUMENT', `${CALLER}: ${message}`);

/** @param {unknown} tools @returns {Map<string, RunnableTool>} */
function checkTools(tools) {
    if (!Array.isArray(tools) || tools.length === 0)
        throw refuse('tools must be an array of { name, description, parameters, run } with at least one of them');
    for (const [i, tool] of tools.entries())
        if (typeof tool?.name !== 'string' || typeof tool.run !== 'function')
            throw refuse(`tool ${i} must have a name, which is a text, and a function run`);
    const map = new Map(tools.map((tool) => [tool.name, tool]));
    if (map.size < tools.length) throw refuse('two tools have the same name');
    return map;
}

/** A function as templates know it. @param {RunnableTool} tool */
export const describe = ({ name, description, parameters = NO_PARAMETERS }) => ({
    type: 'function',
    function: { name, ...(description !== undefined && { description }), parameters },
});

/** What a function gave, as a text for the model. @param {unknown} value */
const textOf = (value) => (typeof value === 'string' ? value : (JSON.stringify(value) ?? 'null'));

/**
 * Runs a function. The model is told of what goes wrong, since it may mend its call. (web/prompt-api uses it, too.)
 * @param {ReadonlyMap<string, RunnableTool>} tools
 * @param {ToolCall} call
 * @param {import('../index.d.ts').SignalLike | undefined} signal
 * @returns {Promise<Message>}
 */
export async function runCall(tools, call, signal) {
    const { name, arguments: values } = call.function,
        message = { role: 'tool', tool_call_id: call.id, name },
        tool = tools.get(name);
    if (!tool) {
        const error = `there is no function ${name}; there is ${[...tools.keys()].join(', ')}`;
        return { ...message, content: JSON.stringify({ error }) };
    }
    try {
        return { ...message, content: textOf(await tool.run(JSON.parse(values), { call, signal })) };
    } catch (error) {
        return { ...message, content: JSON.stringify({ error: messageOf(error) }) };
    }
}

/**
 * @param {Pick<import('../index.d.ts').Model, 'chat'>} model
 * @param {string | readonly Message[]} messages
 * @param {readonly RunnableTool[]} tools
 * @param {import('../index.d.ts').RunToolsOptions} [options]
 * @returns {Promise<import('../index.d.ts').ToolRun>}
 */
export async function runTools(model, messages, tools, options = {}) {
    if (typeof options !== 'object' || options === null) throw refuse('the options must be an object');
    for (const name of ['tools', 'toolChoice'])
        if (/** @type {any} */ (options)[name] !== undefined)
            throw refuse(`${name} is no option of it; its second argument has the tools, and the model may call them`);
    const known = checkTools(tools),
        { maxRounds = 10, onChunk, ...chat } = options,
        { signal } = chat;
    if (!Number.isInteger(maxRounds) || maxRounds < 1) throw refuse('maxRounds must be a whole number, at least 1');
    if (onChunk !== undefined && typeof onChunk !== 'function') throw refuse('onChunk must be a function');
    const told = tools.map(describe);
    const list = checkMessages(messages, CALLER);
    for (let round = 1; ; round++) {
        const generation = model.chat(list, { ...chat, tools: told });
        if (onChunk) for await (const chunk of generation.chunks()) await onChunk(chunk);
        const result = await generation,
            { text, reasoning, toolCalls = [] } = result;
        list.push({
            role: 'assistant',
            content: text,
            ...(reasoning !== undefined && { reasoning_content: reasoning }),
            ...(toolCalls.length > 0 && { tool_calls: toolCalls }),
        });
        if (toolCalls.length === 0 || round === maxRounds || result.finishReason !== 'stop')
            return { ...result, messages: list };
        list.push(...(await Promise.all(toolCalls.map((call) => runCall(known, call, signal)))));
        if (signal?.aborted) throw signal.reason;
    }
}
