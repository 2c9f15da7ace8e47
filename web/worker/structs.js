/** Structs of the core, as src/nibble.h lays them out (abi.js), written into its memory. */

/** @typedef {{ size: number, fields: Record<string, { at: number, view: string }> }} Struct */

/**
 * An array of structs, which ends where the last one does. Every field must be there.
 * @param {WebAssembly.Memory} memory
 * @param {number} address
 * @param {Struct} struct
 * @param {Record<string, number>[]} items
 * @returns {number} the address after them
 */
export function writeStructs(memory, address, struct, items) {
    const end = address + items.length * struct.size;
    const view = /** @type {any} */ (new DataView(memory.buffer, address, end - address));
    for (const [i, item] of items.entries())
        for (const [name, field] of Object.entries(struct.fields)) {
            if (item[name] === undefined) throw new TypeError(`the field ${name} is missing`);
            view[`set${field.view}`](i * struct.size + field.at, item[name], true);
        }
    return end;
}
