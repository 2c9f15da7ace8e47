// nibble in a Node process of its own. engines.js starts it, with any version of Node, and sends it messages.
import { openNibble } from './nibble.js';

/** @type {import('./nibble.js').Opened | undefined} */
let engine;
const calls = {
    /** @param {string} path @param {any} settings */
    open: async (path, settings) => {
        engine = await openNibble(path, settings);
        return engine.about;
    },
    /** @param {string} prompt @param {number} count */
    measure: (prompt, count) => engine?.measure(prompt, count),
};

process.on('message', async (/** @type {{ call: 'open' | 'measure', args: [any, any] }} */ { call, args }) => {
    try {
        process.send?.({ result: await calls[call](...args) });
    } catch (error) {
        process.send?.({ error: String(error) });
    }
});
