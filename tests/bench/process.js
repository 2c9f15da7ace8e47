// A process in which an engine runs: engines.js starts it and sends it calls, one after the other.

/** Answers the calls with what `calls` has by name. @param {Record<string, (...args: any[]) => any>} calls */
export function answerWith(calls) {
    process.on('message', async (/** @type {{ call: string, args: any[] }} */ { call, args }) => {
        try {
            process.send?.({ result: await calls[call](...args) });
        } catch (error) {
            process.send?.({ error: String(error) });
        }
    });
}
