// A copy of a WebAssembly build in which one exported function traps at once, as a bug in the core would.

/** @param {Uint8Array} bytes @param {number} at @returns {[value: number, next: number]} unsigned LEB128 */
function number(bytes, at) {
    let value = 0,
        shift = 0,
        byte;
    do {
        byte = bytes[at++];
        value += (byte & 127) * 2 ** shift;
        shift += 7;
    } while (byte > 127);
    return [value, at];
}

/**
 * @param {Uint8Array} wasm
 * @param {string} name
 * @returns {Uint8Array}
 */
export function withTrapIn(wasm, name) {
    const bytes = new Uint8Array(wasm);
    const module = new WebAssembly.Module(bytes);
    const imported = WebAssembly.Module.imports(module).filter(({ kind }) => kind === 'function').length;
    let wanted = -1;
    for (let at = 8, id, size; at < bytes.length; at += size) {
        id = bytes[at];
        [size, at] = number(bytes, at + 1);
        if (id === 7) {
            // exports: name, kind, index
            let [count, p] = number(bytes, at);
            for (; count > 0; count--) {
                const [length, text] = number(bytes, p);
                const found = new TextDecoder().decode(bytes.subarray(text, text + length));
                const kind = bytes[text + length];
                let index;
                [index, p] = number(bytes, text + length + 1);
                if (kind === 0 && found === name) wanted = index - imported;
            }
        }
        if (id === 10) {
            // code: size, body
            let [count, p] = number(bytes, at);
            for (let i = 0; i < count; i++) {
                const [length, body] = number(bytes, p);
                if (i === wanted) {
                    bytes.fill(0x01, body, body + length); // nop
                    bytes.set([0, 0x00], body); // no locals; unreachable
                    bytes[body + length - 1] = 0x0b; // end
                    return bytes;
                }
                p = body + length;
            }
        }
    }
    throw new Error(`the module exports no function ${name}`);
}
