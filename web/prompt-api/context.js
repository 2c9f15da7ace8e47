/** The tokens of a conversation, and what gives way when it overflows the context. */

/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../index.d.ts').TemplateOptions & import('../index.d.ts').Abortable} Options */
/** @typedef {import('./inputs.js').Message} Message */

/** Joins messages of the same role that follow one another. @param {Message[]} messages */
function joined(messages) {
    /** @type {Message[]} */
    const list = [];
    for (const { role, content } of messages) {
        const last = list[list.length - 1];
        if (last?.role === role) last.content += `\n\n${content}`;
        else list.push({ role, content });
    }
    return list;
}

/**
 * By the model's template. Some templates refuse two messages of one role in a row, which append() and a prompt of
 * several messages make: they get them as one.
 * @param {Model} model
 * @param {Message[]} messages
 * @param {Options} options
 * @returns {Promise<number[]>}
 */
export async function tokensOf(model, messages, options) {
    if (messages.length === 0) return [];
    try {
        return (await model.applyTemplate(messages, options)).tokens;
    } catch (error) {
        const fewer = joined(messages);
        if (/** @type {any} */ (error)?.code !== 'NB_ERR_ARGUMENT' || fewer.length === messages.length) throw error;
        return (await model.applyTemplate(fewer, options)).tokens;
    }
}
