/** Files that are opened by their paths, in Node. */
import { nodeModule } from '../platform.js';

/**
 * The part of node:fs/promises' FileHandle that is used here.
 * @typedef {Pick<import('node:fs/promises').FileHandle, 'stat' | 'close'> & { read: (room: Uint8Array, offset: number,
 *     length: number, position: number | null) => Promise<{ bytesRead: number }> }} OpenFile
 */

/** Milliseconds until a descriptor that had no bytes is read again. */
const WAIT = 5;

/**
 * Opens a file to read it. A path such as /dev/stdin may name a socket, because some programs, such as Node, give their
 * child processes sockets as standard input. Linux does not open a socket by its path. So the descriptor, which is open
 * already, is read instead.
 * @param {string} path
 * @returns {Promise<OpenFile>}
 */
export async function openToRead(path) {
    const { open } = await nodeModule('fs/promises');
    try {
        return await open(path);
    } catch (error) {
        const [, number] = /^\/(?:dev|proc\/self)\/(?:stdin|fd\/(\d+))$/.exec(path) ?? [undefined, undefined];
        const isStdin = path === '/dev/stdin';
        if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'ENXIO' || !(number || isStdin)) throw error;
        return openDescriptor(Number(number ?? 0));
    }
}

/** @param {number} descriptor which stays open @returns {Promise<OpenFile>} */
async function openDescriptor(descriptor) {
    const { fstat, read } = await nodeModule('fs'),
        { promisify } = await nodeModule('util');
    return {
        stat: /** @type {OpenFile['stat']} */ (
            (/** @type {import('node:fs').BigIntOptions} */ options) => promisify(fstat)(descriptor, options)
        ),
        close: async () => {},
        async read(room, offset, length, position) {
            for (;;)
                try {
                    return await promisify(read)(descriptor, room, offset, length, position);
                } catch (error) {
                    if (/** @type {NodeJS.ErrnoException} */ (error).code !== 'EAGAIN') throw error;
                    await new Promise((resolve) => setTimeout(resolve, WAIT));
                }
        },
    };
}
