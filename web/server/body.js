/** Reads the body of a request. */
import { HttpError } from '../openai/respond.js';

/** Bytes that are allocated for a body before more have come. */
const FIRST = 1 << 14;

/** @param {number} most */
const tooLarge = (most) => new HttpError(413, `the body is larger than ${most} bytes`);

/**
 * A page of any origin may send forms and plain text without asking. So the type must be JSON's.
 * @param {import('node:http').IncomingMessage} request
 * @param {() => void} ask is called when it is clear that the body will be read
 * @param {number} most bytes
 * @returns {Promise<Buffer>}
 */
export function readBody(request, ask, most) {
    const {
        'content-type': type = '',
        'content-encoding': encoding = 'identity',
        'content-length': length,
    } = request.headers;
    if (!/^application\/json\s*(;|$)/i.test(type))
        throw new HttpError(415, 'the body must be JSON: send it with "Content-Type: application/json"');
    if (encoding.toLowerCase() !== 'identity')
        throw new HttpError(415, 'the body must not be compressed: leave out the header Content-Encoding');
    if (Number(length) > most) throw tooLarge(most);
    ask();
    return new Promise((resolve, reject) => {
        let bytes = Buffer.alloc(Math.min(most, FIRST)),
            size = 0;
        const read = (/** @type {Buffer} */ chunk) => {
            const end = size + chunk.length;
            if (end <= most) {
                // chunks are not kept: a chunk of one byte takes a hundred
                if (end > bytes.length) bytes = Buffer.concat([bytes], Math.min(most, Math.max(end, 2 * bytes.length)));
                chunk.copy(bytes, size);
                size = end;
                return;
            }
            // the rest is read and dropped until Node's time limit: a client that still sends would not see the answer
            request.off('data', read).resume();
            bytes = Buffer.alloc(0);
            reject(tooLarge(most));
        };
        const leave = () => reject(new HttpError(400, 'the body ended early'));
        request
            .on('data', read)
            .on('end', () => resolve(bytes.subarray(0, size)))
            .on('error', leave)
            .on('close', leave);
    });
}
