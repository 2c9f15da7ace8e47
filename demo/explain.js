// Errors explained to people who just want to chat: what happened, and what to do about it.

/** @typedef {{ title: string, remedy: string, detail?: string, calm?: boolean }} Explanation */

/** Explanations by NibbleError's code. Without `remedy`, the engine's message is shown in its place, as it says which
 * file is wrong and what to do, followed by `more`.
 * @type {Record<string, { title: string, remedy?: string, more?: string }>} */
const KNOWN = {
    NB_ERR_TRUNCATED: {
        title: 'The file is not complete',
        remedy: 'It ends before everything that it promises. Download it again, and compare its size with the original’s.',
    },
    NB_ERR_FORMAT: { title: 'This is not a model that can be read' },
    NB_ERR_UNSUPPORTED: { title: 'nibble does not know this kind of model' },
    NB_ERR_ARGUMENT: { title: 'This cannot be loaded as it is' },
    NB_ERR_FILE: { title: 'A file is missing, or cannot be read' },
    NB_ERR_MEMORY: {
        title: 'The model does not fit into memory',
        remedy: 'Close other tabs, or take a smaller model or a smaller quantization. A page can hold 4 GB at most.',
    },
    NB_ERR_CONTEXT: {
        title: 'The conversation is longer than the model can hold.',
        remedy: 'Start a new chat, or send a shorter message.',
    },
    NB_ERR_NETWORK: {
        title: 'The model could not be fetched',
        more: 'If another site does not let pages read its files (CORS), download the file and open it here.',
    },
    NB_ERR_WORKER: {
        title: 'The engine stopped',
        remedy: 'Most often the browser ran out of memory. Close other tabs and load the model again, or take a smaller one.',
    },
    NB_ERR_ENGINE: {
        title: 'The engine could not start in this browser',
        remedy:
            'nibble needs WebAssembly with SIMD: Chrome 91, Firefox 89, Safari 16.4, or newer. If this checkout was not ' +
            'built yet, run make demo.',
    },
};

/**
 * @param {unknown} error
 * @returns {Explanation}
 */
export function explain(error) {
    if (isAbort(error)) {
        return {
            title: 'Loading was cancelled',
            remedy: 'Nothing was kept. Load it again, or open another model.',
            calm: true,
        };
    }
    const { code = error instanceof RangeError ? 'NB_ERR_MEMORY' : '', message = String(error) } =
        /** @type {{ code?: string, message?: string }} */ (error ?? {});
    const known = KNOWN[code];
    if (known?.remedy) return { title: known.title, remedy: known.remedy, detail: message };
    if (known) return { title: known.title, remedy: [sentence(message), known.more].filter(Boolean).join(' ') };
    return { title: 'Something went wrong', remedy: 'Reload the page and try again.', detail: message };
}

/** The engine's message as a sentence. It begins with a capital letter, unless a file's name comes first.
 * @param {string} message */
function sentence(message) {
    const said = message.replace(/^load\(\): /, '');
    const begun = /^[a-z]+ /.test(said) ? said[0].toUpperCase() + said.slice(1) : said;
    return /[.?!]$/.test(begun) ? begun : `${begun}.`;
}

/** @param {unknown} error */
function isAbort(error) {
    return error instanceof Error && error.name === 'AbortError';
}
