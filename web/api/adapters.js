/** LoRA adapters that load() is given. */
import { NibbleError } from '../errors.js';
import { isBytes } from '../sources/describe.js';

/** What an adapter is called without a name. @param {any} source */
export function adapterName(source) {
    const [first] = Array.isArray(source) ? source : [source],
        path = typeof first === 'string' ? first : (first?.name ?? first?.href);
    return (
        String(path ?? '')
            .replace(/\/+$|\.gguf$/i, '')
            .split(/[/\\]/)
            .at(-1) || 'adapter'
    );
}

/**
 * Checks the option `adapters` of load().
 * @param {any} adapters
 * @returns {{ source: import('../index.d.ts').Source, options: { name?: string, scale?: number } }[]}
 */
export function checkAdapterSources(adapters) {
    if (!Array.isArray(adapters))
        throw new NibbleError('NB_ERR_ARGUMENT', 'load(): adapters must be an array of sources of adapters');
    return adapters.map((given) => {
        const named = given !== null && typeof given === 'object' && !isBytes(given) && 'source' in given;
        const { source, ...options } = named ? given : { source: given };
        return { source, options };
    });
}
