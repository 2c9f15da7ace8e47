// Reads, changes and writes GGUF files, for tests (ggml-org/ggml, docs/gguf.md).

/** GGUF's numbers for the types of metadata values. */
const TYPES = {
    u8: 0,
    i8: 1,
    u16: 2,
    i16: 3,
    u32: 4,
    i32: 5,
    f32: 6,
    bool: 7,
    string: 8,
    array: 9,
    u64: 10,
    i64: 11,
    f64: 12,
};
const SIZES = { 0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8 };
const ALIGNMENT = 32;

/** @typedef {keyof typeof TYPES} Type */
/** A metadata value: its type, and a number, boolean, string or an array of these. @typedef {[Type, any]} Value */
/**
 * shape: the contiguous dimension first.
 * @typedef {{ name: string, shape: number[], type: number, bytes: number, data?: Uint8Array }} Tensor
 */

class Bytes {
    /** @type {Uint8Array[]} */
    parts = [];
    length = 0;

    /** @param {Uint8Array} bytes */
    put(bytes) {
        this.parts.push(bytes);
        this.length += bytes.length;
    }

    /** @param {number} size @param {(view: DataView) => void} write */
    number(size, write) {
        const view = new DataView(new ArrayBuffer(size));
        write(view);
        this.put(new Uint8Array(view.buffer));
    }

    /** @param {number} x */
    u32(x) {
        this.number(4, (view) => view.setUint32(0, x, true));
    }

    /** @param {number} x */
    u64(x) {
        this.number(8, (view) => view.setBigUint64(0, BigInt(x), true));
    }

    /** @param {string} text */
    text(text) {
        const utf8 = new TextEncoder().encode(text);
        this.u64(utf8.length);
        this.put(utf8);
    }

    /** @param {Type} type @param {any} value */
    value(type, value) {
        switch (type) {
            case 'string':
                return this.text(value);
            case 'bool':
                return this.put(Uint8Array.of(value ? 1 : 0));
            case 'u8':
            case 'i8':
                return this.put(Uint8Array.of(value));
            case 'u16':
            case 'i16':
                return this.number(2, (view) => view.setUint16(0, value, true));
            case 'u32':
            case 'i32':
                return this.u32(value);
            case 'f32':
                return this.number(4, (view) => view.setFloat32(0, value, true));
            case 'f64':
                return this.number(8, (view) => view.setFloat64(0, value, true));
            default:
                return this.number(8, (view) => view.setBigInt64(0, BigInt(value), true));
        }
    }

    pad() {
        this.put(new Uint8Array(-this.length & (ALIGNMENT - 1)));
    }

    bytes() {
        const all = new Uint8Array(this.length);
        let at = 0;
        for (const part of this.parts) {
            all.set(part, at);
            at += part.length;
        }
        return all;
    }
}

/**
 * The bytes before the first tensor's data. Tensors lie in the given order, each aligned.
 * @param {Map<string, Value | Uint8Array>} values an array is [type of the items, [...]]; bytes are a value that
 *     parse() took from another file
 * @param {Tensor[]} tensors
 */
export function header(values, tensors) {
    const out = new Bytes();
    out.put(new TextEncoder().encode('GGUF'));
    out.u32(3);
    out.u64(tensors.length);
    out.u64(values.size);
    for (const [key, value] of values) {
        out.text(key);
        if (value instanceof Uint8Array) {
            out.put(value);
        } else if (Array.isArray(value[1])) {
            out.u32(TYPES.array);
            out.u32(TYPES[value[0]]);
            out.u64(value[1].length);
            for (const item of value[1]) out.value(value[0], item);
        } else {
            out.u32(TYPES[value[0]]);
            out.value(value[0], value[1]);
        }
    }
    let at = 0;
    for (const tensor of tensors) {
        out.text(tensor.name);
        out.u32(tensor.shape.length);
        for (const side of tensor.shape) out.u64(side);
        out.u32(tensor.type);
        out.u64(at);
        at += Math.ceil(tensor.bytes / ALIGNMENT) * ALIGNMENT;
    }
    out.pad();
    return out.bytes();
}

/**
 * A whole file, with the data of its tensors.
 * @param {Map<string, Value | Uint8Array>} values @param {Tensor[]} tensors
 */
export function whole(values, tensors) {
    const out = new Bytes();
    out.put(header(values, tensors));
    for (const tensor of tensors) {
        out.put(/** @type {Uint8Array} */ (tensor.data));
        out.pad();
    }
    return out.bytes();
}

/**
 * A file's metadata values, as bytes, and its tensors.
 * @param {Uint8Array} file
 */
export function parse(file) {
    const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
    let at = 8;
    const u32 = () => view.getUint32((at += 4) - 4, true),
        u64 = () => Number(view.getBigUint64((at += 8) - 8, true));
    const text = () => {
        const length = u64();
        return new TextDecoder().decode(file.subarray(at, (at += length)));
    };
    const skip = (/** @type {number} */ type) => {
        if (type === TYPES.string) {
            const length = u64();
            at += length;
        } else if (type === TYPES.array) {
            for (let item = u32(), left = u64(); left > 0; left--) skip(item);
        } else {
            at += SIZES[/** @type {keyof typeof SIZES} */ (type)];
        }
    };
    const nTensors = u64(),
        nValues = u64();
    /** @type {Map<string, Value | Uint8Array>} */
    const values = new Map();
    for (let i = 0; i < nValues; i++) {
        const key = text(),
            start = at;
        skip(u32());
        values.set(key, file.subarray(start, at));
    }
    /** @type {(Tensor & { at: number })[]} */
    const tensors = [];
    for (let i = 0; i < nTensors; i++) {
        const name = text(),
            shape = Array.from({ length: u32() }, u64);
        tensors.push({ name, shape, type: u32(), at: u64(), bytes: 0 });
    }
    const data = Math.ceil(at / ALIGNMENT) * ALIGNMENT;
    const ends = [...tensors.map((tensor) => tensor.at), file.length - data].sort((a, b) => a - b);
    for (const tensor of tensors) {
        // up to the beginning of the next one, padding included
        tensor.data = file.subarray(data + tensor.at, data + ends[ends.lastIndexOf(tensor.at) + 1]);
        tensor.bytes = tensor.data.length;
    }
    return { values, tensors };
}

/**
 * A value from parse() as its type and the value itself; for an array, as ['array', [type of the items, items]].
 * @param {Value | Uint8Array} bytes
 * @returns {Value}
 */
export function readValue(bytes) {
    if (!(bytes instanceof Uint8Array)) return bytes;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength),
        names = /** @type {Type[]} */ (Object.keys(TYPES));
    let at = 0;
    const u32 = () => view.getUint32((at += 4) - 4, true),
        u64 = () => Number(view.getBigUint64((at += 8) - 8, true));
    const typeName = () => {
        const number = u32();
        return /** @type {Type} */ (names.find((name) => TYPES[name] === number));
    };
    const read = (/** @type {Type} */ type) => {
        if (type === 'string') {
            const length = u64();
            return new TextDecoder().decode(bytes.subarray(at, (at += length)));
        }
        at += SIZES[/** @type {keyof typeof SIZES} */ (TYPES[type])];
        switch (type) {
            case 'f32':
                return view.getFloat32(at - 4, true);
            case 'f64':
                return view.getFloat64(at - 8, true);
            case 'u32':
                return view.getUint32(at - 4, true);
            case 'i32':
                return view.getInt32(at - 4, true);
            case 'bool':
                return view.getUint8(at - 1) !== 0;
            default:
                return view.getUint8(at - 1); // no test needs the other types
        }
    };
    const type = typeName();
    if (type !== 'array') return [type, read(type)];
    const item = typeName();
    return ['array', [item, Array.from({ length: u64() }, () => read(item))]];
}

/**
 * An array with more items.
 * @param {Value | Uint8Array} array @param {Type} type @param {any[]} items
 */
export function appended(array, type, items) {
    if (!(array instanceof Uint8Array)) return /** @type {Value} */ ([type, [...array[1], ...items]]);
    const out = new Bytes(),
        count = new DataView(array.buffer, array.byteOffset).getBigUint64(8, true);
    out.put(array.subarray(0, 8)); // the types of the value and of its items
    out.u64(Number(count) + items.length);
    out.put(array.subarray(16));
    for (const item of items) out.value(type, item);
    return out.bytes();
}

/**
 * The file with some metadata values and tensors changed.
 * @param {Uint8Array} file
 * @param {Record<string, Value | null>} edits new values, by their keys without "<architecture>."; null removes one
 * @param {Record<string, number[] | null>} vectors F32 vectors to add; null removes a tensor
 */
export function edited(file, edits, vectors = {}) {
    const { values, tensors: all } = parse(file);
    /** @type {Tensor[]} */
    const tensors = all.filter((tensor) => vectors[tensor.name] !== null);
    for (const [name, vector] of Object.entries(vectors))
        if (vector)
            tensors.push({
                name,
                shape: [vector.length],
                type: 0,
                bytes: 4 * vector.length,
                data: new Uint8Array(Float32Array.from(vector).buffer),
            });
    const architecture = new TextDecoder().decode(
        /** @type {Uint8Array} */ (values.get('general.architecture')).subarray(12),
    );
    for (const [suffix, value] of Object.entries(edits))
        if (value) values.set(`${architecture}.${suffix}`, value);
        else values.delete(`${architecture}.${suffix}`);
    return whole(values, tensors);
}
