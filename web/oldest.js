/** What a conversation loses first when it outgrows the context. */

/**
 * How many of the oldest messages go together: those up to an answer, with all that belongs to it, such as calls and
 * their results; or one message, if no answer follows.
 * @param {readonly { role: string }[]} messages
 */
export function oldest(messages) {
    const isAnswer = ({ role } = { role: '' }) => role === 'assistant' || role === 'tool';
    let end = messages.findIndex(isAnswer);
    if (end < 0) return 1;
    while (isAnswer(messages[end])) end++;
    return end;
}
