// nibble in a Node process of its own, with any version of Node.
import { openNibble } from './nibble.js';
import { answerWith } from './process.js';

/** @type {import('./nibble.js').Opened | undefined} */
let engine;

answerWith({
    /** @param {string} path @param {any} settings */
    open: async (path, settings) => {
        engine = await openNibble(path, settings);
        return engine.about;
    },
    /** @param {string} prompt @param {number} count */
    measure: (prompt, count) => engine?.measure(prompt, count),
});
