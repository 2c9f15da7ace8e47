/** Sends an answer of fetch's kind over a connection of Node. */

/** @typedef {import('node:http').ServerResponse} ServerResponse */

/** Bytes of a whole answer that are written at a time: a reader has `stall` for each. */
const PIECE = 1 << 16;

/**
 * @param {Response} answer
 * @param {ServerResponse} response
 * @param {Record<string, string>} headers further ones
 * @param {AbortSignal} signal aborts when the connection is closed
 * @param {number} [stall] ms that a reader may read nothing while others wait for the model
 */
export async function send(answer, response, headers, signal, stall = 30_000) {
    const all = { ...Object.fromEntries(answer.headers), ...headers },
        isStream = answer.headers.get('content-type')?.startsWith('text/event-stream');
    if (isStream) {
        response.writeHead(answer.status, all);
        // leaving the loop cancels the body, and thereby the generation
        for await (const chunk of answer.body ?? []) {
            if (signal.aborted) return;
            if (!response.write(chunk)) await taken(response, 'drain', signal, stall);
        }
        response.end();
    } else {
        const bytes = Buffer.from(await answer.arrayBuffer());
        response.writeHead(answer.status, { ...all, ...(answer.body && { 'content-length': bytes.length }) });
        for (let at = 0; at < bytes.length && !signal.aborted; at += PIECE)
            if (!response.write(bytes.subarray(at, at + PIECE))) await taken(response, 'drain', signal, stall);
        response.end();
    }
    if (!response.writableFinished) await taken(response, 'finish', signal, stall);
}

/**
 * Waits until a reader has read what was sent, or is gone.
 * @param {ServerResponse} response
 * @param {'drain' | 'finish'} event
 * @param {AbortSignal} signal
 * @param {number} stall
 */
function taken(response, event, signal, stall) {
    return new Promise((resolve) => {
        if (signal.aborted) return resolve(undefined);
        const over = () => {
            clearInterval(timer);
            signal.removeEventListener('abort', over);
            response.off(event, over);
            resolve(undefined);
        };
        // a response without a socket waits until an earlier one of its connection is over
        const timer = setInterval(() => response.socket && response.destroy(), stall);
        signal.addEventListener('abort', over);
        response.on(event, over);
    });
}
