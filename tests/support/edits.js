// Changed copies of the folders in tests/fixtures.
import { cp, mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** @typedef {{ dtype: string, shape: number[], data_offsets: number[] }} Tensor */

/**
 * Copies the files of several folders into one new folder, and changes them.
 * @param {string} temporary where the new folder goes
 * @param {string[]} from
 * @param {(path: string) => Promise<unknown>} [change]
 */
export async function changedCopy(temporary, from, change) {
    const path = await mkdtemp(join(temporary, 'changed-'));
    for (const folder of from) await cp(folder, path, { recursive: true });
    await change?.(path);
    return path;
}

/** @param {string} path of a JSON file @param {(value: any) => void} edit */
export async function editJson(path, edit) {
    const value = JSON.parse(await readFile(path, 'utf8'));
    edit(value);
    await writeFile(path, JSON.stringify(value));
}

/**
 * @param {string} path of a .safetensors file
 * @param {(tensors: Record<string, Tensor>) => Buffer | void} edit may return bytes to append to the data
 */
export async function editTensors(path, edit) {
    const bytes = await readFile(path),
        end = 8 + Number(bytes.readBigUInt64LE(0));
    const tensors = JSON.parse(bytes.toString('utf8', 8, end));
    const more = edit(tensors) ?? Buffer.alloc(0);
    const header = Buffer.from(JSON.stringify(tensors)),
        size = Buffer.alloc(8);
    size.writeBigUInt64LE(BigInt(header.length));
    await writeFile(path, Buffer.concat([size, header, bytes.subarray(end), more]));
}
