/** OpenAI's messages -> those of chat(). */
import { checkMessages } from '../api/messages.js';
import { fieldError } from './fields.js';

/** Members of a message that nibble lacks, if they hold anything. */
const LACKING = ['tool_calls', 'function_call', 'tool_call_id', 'audio', 'refusal', 'annotations'];

const isNothing = (/** @type {unknown} */ value) =>
    value === undefined || value === null || (Array.isArray(value) && value.length === 0);

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
        if (message?.role === 'tool' || message?.role === 'function') throw refuse(i, `the role "${message.role}"`);
        const lacking = LACKING.find((name) => !isNothing(message?.[name]));
        if (lacking) throw refuse(i, lacking);
        if (typeof message?.role === 'string' && (message.content ?? null) === null)
            throw wrong(`message ${i} has no content`);
        const parts = Array.isArray(message?.content) ? message.content : [],
            part = parts.find((/** @type {any} */ each) => typeof each?.type === 'string' && each.type !== 'text');
        if (part) throw refuse(i, `parts of the type ${JSON.stringify(part.type)}`);
    }
    const kept = messages.map((message) =>
        Object.fromEntries(Object.entries(message ?? {}).filter(([name]) => !LACKING.includes(name))),
    );
    try {
        return checkMessages(kept, caller).map((message) =>
            message.role === 'developer' ? { ...message, role: 'system' } : message,
        );
    } catch (error) {
        throw Object.assign(/** @type {Error} */ (error), { param: 'messages' });
    }
}
