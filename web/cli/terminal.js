/**
 * How the command line writes. All output goes through here, because texts of files and models may hold control
 * characters (visible.js).
 */
import { oneLine, plain } from '../visible.js';

export { oneLine };

/**
 * @param {string} text
 * @param {NodeJS.WriteStream} [stream]
 */
export const write = (text, stream = process.stdout) => void stream.write(plain(text));

/**
 * One line of JSON, which reads as the same value without any control character.
 * @param {unknown} value
 * @param {NodeJS.WriteStream} [stream]
 */
export const writeJson = (value, stream) =>
    write(`${JSON.stringify(value).replace(/[\x7f-\x9f]/g, (c) => `\\u00${c.charCodeAt(0).toString(16)}`)}\n`, stream);

/** A line of progress, which the next one replaces. @param {string} text */
export const writeStatus = (text) => void process.stderr.write(`\r\x1b[K${oneLine(text)}`);
