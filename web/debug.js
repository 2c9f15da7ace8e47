/** The option `debug`: where its lines go. They are made in worker/journal.js and in api/. */
import { isNode } from './platform.js';
import { oneLine } from './visible.js';

/** Prints a line. @typedef {(line: string) => void} Print */

/** Whether the environment of this Node process asks for debug lines: NIBBLE_DEBUG=1. */
export function isDebugAsked() {
    try {
        return isNode && !/^(|0|false)$/.test(/** @type {any} */ (globalThis).process.env.NIBBLE_DEBUG ?? '');
    } catch {
        return false; // Deno may refuse to tell
    }
}

/** @param {string} line */
function printLine(line) {
    if (isNode) /** @type {any} */ (globalThis).process.stderr.write(`nibble: ${line}\n`);
    else console.debug(`nibble: ${line}`);
}

/**
 * @param {import('./index.d.ts').LoadOptions['debug']} debug
 * @returns {Print | undefined} undefined: no lines are wanted
 */
export function printerOf(debug = isDebugAsked()) {
    if (!debug) return undefined;
    const print = typeof debug === 'function' ? debug : printLine;
    return (line) => {
        try {
            print(oneLine(line));
        } catch {
            // a printer that throws must not make the request fail
        }
    };
}

/**
 * An error as lines: its code and stack, and those of its causes.
 * @param {string} what failed
 * @param {any} error
 * @returns {string[]}
 */
export function traceOf(what, error) {
    const lines = `${what}: ${error?.code ? `${error.code} ` : ''}${error?.stack || error}`.split('\n');
    return error?.cause === undefined ? lines : [...lines, ...traceOf('caused by', error.cause)];
}
