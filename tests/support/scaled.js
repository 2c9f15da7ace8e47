// Checks the tensors into which AWQ has folded scales.
import assert from 'node:assert/strict';
import { parse } from './gguf.js';

/** An F32 tensor of a file. @param {Uint8Array} file @param {string} wanted */
function floatsOf(file, wanted) {
    const found = parse(file).tensors.find(({ name }) => name === wanted),
        length = found?.shape.reduce((product, side) => product * side, 1) ?? 0;
    return new Float32Array(Uint8Array.from(found?.data ?? []).buffer).subarray(0, length);
}

/**
 * Asserts that the file's vectors are the oracle's, and that each row of its matrices has the oracle's sum of |w|.
 * @param {Uint8Array} file
 * @param {Record<string, number[]>} tensors
 */
export function checkScaled(file, tensors) {
    for (const [name, numbers] of Object.entries(tensors)) {
        const found = floatsOf(file, name),
            columns = found.length / numbers.length;
        for (const [row, number] of numbers.entries()) {
            const part = found.subarray(row * columns, (row + 1) * columns),
                sum = columns === 1 ? part[0] : part.reduce((all, weight) => all + Math.abs(weight), 0);
            assert.ok(Math.abs(sum - number) <= 1e-4 * Math.abs(number), `${name}, row ${row}: ${sum}, not ${number}`);
        }
    }
}
