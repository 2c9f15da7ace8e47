// Errors in the words of somebody who only wanted to chat: what happened, and what to do about it.

/** @typedef {{ title: string, remedy: string, detail?: string, calm?: boolean }} Explanation */

/** @type {Record<string, { title: string, remedy: string }>} by NibbleError's code */
const KNOWN = {
    NB_ERR_TRUNCATED: {
        title: 'The file is not complete',
        remedy: 'It ends before everything that it promises. Download it again, and compare its size with the original’s.',
    },
    NB_ERR_FORMAT: {
        title: 'This is not a GGUF file that can be read',
        remedy: 'Choose a file whose name ends in .gguf, downloaded whole: not a web page, not an archive.',
    },
    NB_ERR_UNSUPPORTED: {
        title: 'nibble does not know this kind of model',
        remedy: 'Take a GGUF file of the Llama family (Llama, SmolLM, …) in a common type such as Q4_K_M, Q4_1 or Q8_0.',
    },
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
        remedy: 'Check the address and the connection. Another site must allow pages to read its files (CORS); if it does not, download the file and open it from here.',
    },
    NB_ERR_FILE: {
        title: 'The file could not be read',
        remedy: 'It may have been moved or changed since it was chosen. Choose it again.',
    },
    NB_ERR_WORKER: {
        title: 'The engine stopped',
        remedy: 'Most often the browser ran out of memory. Close other tabs and load the model again, or take a smaller one.',
    },
    NB_ERR_ENGINE: {
        title: 'The engine could not start in this browser',
        remedy: 'nibble needs WebAssembly with SIMD: Chrome 91, Firefox 89, Safari 16.4, or newer. If this checkout was not built yet, run make demo.',
    },
};

/**
 * @param {unknown} error
 * @returns {Explanation}
 */
export function explain(error) {
    if (isAbort(error)) {
        return { title: 'Loading was cancelled', remedy: 'Nothing was kept. Load it again, or open another model.', calm: true };
    }
    const { code = '', message = String(error) } = /** @type {{ code?: string, message?: string }} */ (error ?? {});
    const known = KNOWN[code];
    if (known) return { ...known, detail: message };
    if (error instanceof RangeError) return { ...KNOWN.NB_ERR_MEMORY, detail: message };
    return { title: 'Something went wrong', remedy: 'Reload the page and try again.', detail: message };
}

/** @param {unknown} error */
function isAbort(error) {
    return error instanceof Error && error.name === 'AbortError';
}
