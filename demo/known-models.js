// The models that the demo knows by name.

/** @typedef {import('./open-view.js').Candidate} Candidate */

const here = (/** @type {string} */ path) => new URL(path, import.meta.url).href;

/** @type {Candidate} */
export const SMOLLM = {
    name: 'SmolLM2 135M Instruct',
    source: here('../build/models/SmolLM2-135M-Instruct.Q4_1.gguf'),
    size: '98 MB',
};
/** @type {Candidate} */
export const STORYTELLER = { name: 'Stories', source: here('./stories.gguf'), size: '2.3 MB' };

/**
 * Whether the server refuses the file (with a status of 4xx), or answers with an HTML page instead. If it does not
 * answer, this is false, and load() will report the failure.
 * @param {string} url
 */
export async function isAbsent(url) {
    try {
        const { ok, status, headers } = await fetch(url, { method: 'HEAD' });
        if (!ok) return status < 500 && status !== 405; // 405: the server does not support HEAD
        return /^text\/html/i.test(headers.get('content-type') ?? '');
    } catch {
        return false;
    }
}
