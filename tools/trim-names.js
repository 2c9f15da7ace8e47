// node tools/trim-names.js FILE.wasm: removes the names of functions, except for those by which a profile tells phases
// apart (web/cli/profile.js). A name costs some 20 bytes, and there are hundreds.
import { readFileSync, writeFileSync } from 'node:fs';
import { isPhase } from '../web/cli/profile.js';

const [, , path] = process.argv;
const wasm = readFileSync(path);

/** The LEB128 number at an offset, and the offset after it. @param {number} at @returns {[number, number]} */
function number(at) {
    for (let value = 0, shift = 0; ; shift += 7) {
        const byte = wasm[at++];
        value += (byte & 127) * 2 ** shift;
        if (byte < 128) return [value, at];
    }
}

/** LEB128. @param {number} value */
function encoded(value) {
    const bytes = [];
    for (; value > 127; value >>>= 7) bytes.push((value & 127) | 128);
    return Buffer.from([...bytes, value]);
}

const FUNCTIONS = 1; // subsection of the name section
const parts = [wasm.subarray(0, 8)];
for (let at = 8, end; at < wasm.length; at = end) {
    const [size, body] = number(at + 1);
    end = body + size;
    const [length, text] = number(body);
    if (wasm[at] !== 0 || wasm.toString('utf8', text, text + length) !== 'name') {
        parts.push(wasm.subarray(at, end));
        continue;
    }
    /** @type {Buffer[]} */
    const kept = [];
    for (let sub = text + length, next; sub < end; sub = next) {
        const [subSize, from] = number(sub + 1);
        next = from + subSize;
        if (wasm[sub] !== FUNCTIONS) continue;
        let [count, i] = number(from);
        for (; count > 0; count--) {
            const [, name] = number(i),
                [bytes, first] = number(name);
            if (isPhase(wasm.toString('utf8', first, first + bytes))) kept.push(wasm.subarray(i, first + bytes));
            i = first + bytes;
        }
    }
    const functions = Buffer.concat([encoded(kept.length), ...kept]);
    const names = Buffer.concat([
        Buffer.from('\x04name'),
        Buffer.from([FUNCTIONS]),
        encoded(functions.length),
        functions,
    ]);
    parts.push(Buffer.from([0]), encoded(names.length), names);
}
writeFileSync(path, Buffer.concat(parts));
