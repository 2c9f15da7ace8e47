/** The script of the pages that `--html` writes, with the plot library in it. */
import { readFile } from 'node:fs/promises';
import { messageOf, NibbleError } from '../errors.js';

/** @returns {Promise<{ script: string, style: string }>} */
export async function readReportScript() {
    const read = async (/** @type {string} */ name) => {
        const url = new URL(`../../build/${name}`, import.meta.url);
        try {
            return await readFile(url, 'utf8');
        } catch (error) {
            throw new NibbleError('NB_ERR_FILE', `cannot read nibble's own ${name}: ${messageOf(error)}`, {
                cause: error,
            });
        }
    };
    return { script: await read('report.js'), style: await read('report.css') };
}
