/**
 * safetensors files: eight bytes that say how long the header is, a JSON object of tensors, their data
 * (huggingface/safetensors, README.md, "Format").
 */
import { NibbleError } from '../errors.js';

/** @typedef {import('./convert.js').InputFile} InputFile */

/**
 * A tensor. from: where a file of the source has it, if it stays as it is.
 * @typedef {{ name: string, dtype: string, shape: number[], bytes: number,
 *     from?: { file: InputFile, at: number } }} Entry
 */

/** A file to write. @typedef {{ name: string, header: Uint8Array, entries: Entry[], bytes: number }} Shard */

/**
 * @param {InputFile} file
 * @param {number} from
 * @param {number} n
 */
export async function readBytes(file, from, n) {
    const bytes = new Uint8Array(n);
    let filled = 0;
    const opened = await file.open(from);
    await opened.into({ room: () => bytes.subarray(filled), commit: (some) => void (filled += some) });
    if (filled < n) throw endsEarly(file, from + filled);
    return bytes;
}

/** @param {InputFile} file @param {number} at */
export const endsEarly = ({ name }, at) =>
    new NibbleError(
        'NB_ERR_TRUNCATED',
        `${name} ends after ${at} bytes: the download or copy was cut off; get it again`,
    );

/**
 * The tensors of a file whose header the converter has checked, in the order of their data, and what else the header
 * says.
 * @param {InputFile} file
 * @returns {Promise<{ entries: Entry[], metadata: Record<string, string> | undefined }>}
 */
export async function readHeader(file) {
    const length = Number(new DataView((await readBytes(file, 0, 8)).buffer).getBigUint64(0, true));
    const { __metadata__: metadata, ...tensors } = JSON.parse(
        new TextDecoder().decode(await readBytes(file, 8, length)),
    );
    const entries = Object.entries(tensors).map(
        ([
            name,
            {
                dtype,
                shape,
                data_offsets: [begin, end],
            },
        ]) => ({
            name,
            dtype,
            shape,
            bytes: end - begin,
            from: { file, at: 8 + length + begin },
        }),
    );
    return { entries: entries.sort((a, b) => a.from.at - b.from.at), metadata };
}

/** Bytes of a number of a type. @param {string} dtype */
export const sizeOf = (dtype) => Number(/^[A-Z]+(\d+)/.exec(dtype)?.[1] ?? 8) / 8;

/** Puts tensors of large numbers first, so that all are aligned; otherwise the order stays. @param {Entry[]} entries */
export const bySize = (entries) => [...entries].sort((a, b) => sizeOf(b.dtype) - sizeOf(a.dtype));

/**
 * Puts tensors, in their order, into files of at most so many bytes of data, unless one tensor has more.
 * @param {Entry[]} entries
 * @param {number} most
 * @param {Record<string, string>} metadata
 * @returns {Shard[]}
 */
export function shardsOf(entries, most, metadata) {
    /** @type {Entry[][]} */
    const parts = [[]];
    let filled = 0;
    for (const entry of entries) {
        if (filled > 0 && filled + entry.bytes > most) {
            parts.push([]);
            filled = 0;
        }
        parts[parts.length - 1].push(entry);
        filled += entry.bytes;
    }
    const number = (/** @type {number} */ i) => String(i).padStart(5, '0');
    return parts.map((part, i) => {
        const header = headerOf(part, metadata);
        return {
            name:
                parts.length === 1
                    ? 'model.safetensors'
                    : `model-${number(i + 1)}-of-${number(parts.length)}.safetensors`,
            header,
            entries: part,
            bytes: part.reduce((sum, { bytes }) => sum + bytes, header.length),
        };
    });
}

/**
 * @param {Entry[]} entries
 * @param {Record<string, string>} metadata
 */
function headerOf(entries, metadata) {
    let at = 0;
    const tensors = entries.map(({ name, dtype, shape, bytes }) => {
        const begin = at;
        at += bytes;
        return [name, { dtype, shape, data_offsets: [begin, at] }];
    });
    const json = new TextEncoder().encode(JSON.stringify({ __metadata__: metadata, ...Object.fromEntries(tensors) })),
        length = Math.ceil(json.length / 8) * 8;
    const header = new Uint8Array(8 + length).fill(0x20);
    header.set(json, 8);
    new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
    return header;
}

/**
 * model.safetensors.index.json: which file has which tensor.
 * @param {Shard[]} shards
 */
export const indexOf = (shards) =>
    `${JSON.stringify(
        {
            metadata: { total_size: shards.reduce((sum, { bytes, header }) => sum + bytes - header.length, 0) },
            weight_map: Object.fromEntries(
                shards.flatMap(({ name, entries }) => entries.map((entry) => [entry.name, name])),
            ),
        },
        null,
        2,
    )}\n`;
