/** Models on the hub: a repository and a file's name, or the name of a quantization. */
import { hubUrl, listingUrl } from '../sources/hub.js';
import { weightsAmong } from '../sources/names.js';
import { lacking, toWllama, WllamaError } from './errors.js';

/** Whether a URL names a GGUF file. @param {string} url */
export const isValidGgufFile = (url) => /\.gguf(\?.*)?$/.test(url);

export const MULTIMODAL = 'nibble reads texts only; leave it out, and the model answers texts';

/** @param {string | undefined} token @returns {Record<string, string>} */
export const headersOf = (token) => (token ? { Authorization: `Bearer ${token}` } : {});

/**
 * The paths of all files of a repository.
 * @param {string} repo
 * @param {string | undefined} token
 * @returns {Promise<string[]>}
 */
async function filesOf(repo, token) {
    const url = `${listingUrl(hubUrl(`hf:${repo}`))}?recursive=true`;
    const failed = (/** @type {string} */ why, /** @type {unknown} */ cause) =>
        new WllamaError(`the files of ${repo} cannot be listed: ${why}`, 'download_error', { cause });
    const response = await fetch(url, { headers: headersOf(token) }).catch((error) => {
        throw failed(error.message, error);
    });
    if (!response.ok) throw failed(`the hub answered ${response.status} ${response.statusText}`.trim(), undefined);
    const entries = await response.json();
    return entries.map((/** @type {{ path: string }} */ { path }) => path);
}

/** @type {typeof import('./index.d.ts').getHFModelSource} */
export async function getHFModelSource({ repo, file, quant, mmprojFile, mmprojQuant, hfToken }) {
    if (mmprojFile || mmprojQuant !== undefined)
        throw lacking(mmprojFile ? 'mmprojFile' : 'mmprojQuant', MULTIMODAL, 'load_error');
    try {
        if (file) return { url: hubUrl(`hf:${repo}/${file}`) };
        const all = weightsAmong(await filesOf(repo, hfToken), 'gguf'),
            of = (/** @type {string} */ name) => all.find((path) => path.toUpperCase().includes(name.toUpperCase()));
        // sorted, so that of a file in parts the first comes
        const found = quant ? of(quant) : (of('Q4_K_M') ?? of('Q8_0') ?? all[0]);
        if (!found)
            throw new WllamaError(
                `${repo} has no GGUF file${quant ? ` whose name has ${quant} in it` : ''}` +
                    (all.length > 0 ? `; it has ${all.slice(0, 5).join(', ')}` : ''),
                'download_error',
            );
        return { url: hubUrl(`hf:${repo}/${found}`) };
    } catch (error) {
        throw toWllama(error, 'load_error');
    }
}
