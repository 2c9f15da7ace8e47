import { NibbleError } from '../errors.js';

/** @typedef {import('../index.d.ts').Message} Message */

/**
 * The messages of a conversation, checked.
 * @param {unknown} messages
 * @param {string} [caller]
 * @returns {Message[]}
 */
export function checkMessages(messages, caller = 'chat()') {
    const refuse = (/** @type {string} */ message) => new NibbleError('NB_ERR_ARGUMENT', `${caller}: ${message}`);
    const list = typeof messages === 'string' ? [{ role: 'user', content: messages }] : messages;
    if (!Array.isArray(list) || list.length === 0)
        throw refuse('messages must be a text, or an array of { role, content } with at least one of them');
    return list.map((/** @type {any} */ message, /** @type {number} */ i) => {
        if (typeof message?.role !== 'string')
            throw refuse(`message ${i} has no role; give it "system", "user" or "assistant"`);
        const { role, content, tool_calls: calls } = message;
        if (Array.isArray(calls) && calls.some((call) => typeof call !== 'object' || call === null))
            throw refuse(
                `tool_calls of message ${i} must be objects, such as { id, type, function: { name, arguments } }`,
            );
        const bare = content === undefined || content === null;
        if (
            bare &&
            (role === 'user' ||
                role === 'system' ||
                Object.keys(message).every((key) => key === 'role' || key === 'content'))
        )
            throw refuse(
                `message ${i} has no content; only a message with something else, such as tool_calls, may do without`,
            );
        const text = Array.isArray(content)
            ? content.every((part) => part?.type === 'text' && typeof part.text === 'string')
            : typeof content === 'string';
        if (!bare && !text)
            throw refuse(`the content of message ${i} must be a text (or an array of { type: 'text', text })`);
        return { ...message };
    });
}
