/** The tokens of a conversation, and what gives way when it overflows the context. */

/** @typedef {import('../index.d.ts').Model} Model */
/** @typedef {import('../index.d.ts').TemplateOptions & import('../index.d.ts').Abortable} Options */
/** @typedef {import('../index.d.ts').Message} Message */

/** Joins messages of the same role that follow one another. Calls and their results stay apart.
 * @param {Message[]} messages */
function joined(messages) {
    /** @type {Message[]} */
    const list = [];
    for (const message of messages) {
        const last = list[list.length - 1],
            isApart = message.role === 'tool' || message.tool_calls || last?.tool_calls;
        if (last?.role === message.role && !isApart) last.content += `\n\n${message.content}`;
        else list.push({ ...message });
    }
    return list;
}

/**
 * The tokens, by the model's template, and the messages that it was given. Some templates refuse two messages of one
 * role in a row, which append() and a prompt of several messages make: they get them as one.
 * @param {Model} model
 * @param {Message[]} messages
 * @param {Options} options
 * @returns {Promise<{ tokens: number[], messages: Message[] }>}
 */
export async function promptOf(model, messages, options) {
    if (messages.length === 0) return { tokens: [], messages };
    try {
        return { tokens: (await model.applyTemplate(messages, options)).tokens, messages };
    } catch (error) {
        const fewer = joined(messages);
        if (/** @type {any} */ (error)?.code !== 'NB_ERR_ARGUMENT' || fewer.length === messages.length) throw error;
        return { tokens: (await model.applyTemplate(fewer, options)).tokens, messages: fewer };
    }
}
