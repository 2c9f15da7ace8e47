/** OpenAI's messages -> those of chat(). */
import { checkMessages } from '../api/messages.js';
import { fieldError } from './fields.js';

/** Members of a message that nibble lacks, if they hold anything. */
const LACKING = ['function_call', 'audio', 'refusal', 'annotations'];

const isNothing = (/** @type {unknown} */ value) =>
    value === undefined || value === null || (Array.isArray(value) && value.length === 0);

/** @param {any} call */
const isCall = (call) =>
    typeof call?.function?.name === 'string' &&
    typeof call.function.arguments === 'string' &&
    (call.type ?? 'function') === 'function';

/**
 * An answer's message fits, as its empty members are dropped.
 * @param {string} caller
 * @param {unknown} messages
 * @returns {import('../index.d.ts').Message[]}
 */
export function messagesOf(caller, messages) {
    const refuse = (/** @type {number} */ i, /** @type {string} */ what) =>
        fieldError(
            'NB_ERR_UNSUPPORTED',
            `messages[${i}]`,
            `${caller}: nibble does not support ${what} in messages[${i}] yet: give messages of texts only`,
        );
    const wrong = (/** @type {string} */ what) => fieldError('NB_ERR_ARGUMENT', 'messages', `${caller}: ${what}`);
    if (!Array.isArray(messages) || messages.length === 0)
        throw wrong('messages must be an array of { role, content } with at least one of them');
    for (const [i, message] of messages.entries()) {
        if (message?.role === 'function') throw refuse(i, 'the role "function"');
        const lacking = LACKING.find((name) => !isNothing(message?.[name]));
        if (lacking) throw refuse(i, lacking);
        const calls = message?.tool_calls ?? [];
        if (!Array.isArray(calls) || !calls.every(isCall))
            throw wrong(`tool_calls of message ${i} must be an array of { id, type, function: { name, arguments } }`);
        const isOther = calls.length > 0 || (message?.role === 'assistant' && message.reasoning_content);
        if (typeof message?.role === 'string' && (message.content ?? null) === null && !isOther)
            throw wrong(`message ${i} has no content`);
        const parts = Array.isArray(message?.content) ? message.content : [],
            part = parts.find((/** @type {any} */ each) => typeof each?.type === 'string' && each.type !== 'text');
        if (part) throw refuse(i, `parts of the type ${JSON.stringify(part.type)}`);
    }
    const kept = messages.map((message) =>
        Object.fromEntries(
            Object.entries(message ?? {}).filter(
                ([name, value]) => !LACKING.includes(name) && !(name === 'tool_calls' && isNothing(value)),
            ),
        ),
    );
    try {
        return checkMessages(kept, caller).map((message) =>
            message.role === 'developer' ? { ...message, role: 'system' } : message,
        );
    } catch (error) {
        throw Object.assign(/** @type {Error} */ (error), { param: 'messages' });
    }
}
