/** The tensors that a converter plans. */
import { nb_planned_tensor, TYPES } from '../abi.js';

/**
 * A tensor as the converter plans it: also its place in the plan, its name in the files (one of them, if it is made of
 * several), its shape, and where the GGUF has it, once that is begun.
 * @typedef {import('../index.d.ts').PlannedTensor & { i: number, source: string, columns: number, rows: number,
 *     matrices: number, at: number, bytes: number }} Planned
 */

/** The names of tensor types, by their numbers. */
export const TYPE_NAMES = new Map(Object.entries(TYPES).map(([name, number]) => [number, name]));

/**
 * All planned tensors. The first call makes the plan.
 * @param {import('./core.js').Core} core
 * @param {number} converter
 */
export const plannedTensors = (core, converter) =>
    Array.from({ length: core.count('nb_converter_plan', converter) }, (_, i) => planned(core, converter, i));

/**
 * @param {import('./core.js').Core} core
 * @param {number} converter
 * @param {number} i
 * @returns {Planned}
 */
export const planned = (core, converter, i) =>
    core.borrow(nb_planned_tensor.size, (at) => {
        core.count('nb_converter_planned', converter, i, at);
        const { fields } = nb_planned_tensor,
            view = new DataView(core.memory.buffer, at, nb_planned_tensor.size);
        /**
         * @typedef {'source_type' | 'wanted_type' | 'type' | 'name_bytes' | 'source_name_bytes' | 'columns' | 'rows' |
         * 'matrices'} Word
         */
        const word = (/** @type {Word} */ field) => view.getUint32(fields[field].at, true);
        const typeName = (/** @type {number} */ number) => TYPE_NAMES.get(number) ?? String(number);
        return {
            i,
            name: core.string(at + fields.name.at, word('name_bytes')),
            source: core.string(at + fields.source_name.at, word('source_name_bytes')),
            from: typeName(word('source_type')),
            wanted: typeName(word('wanted_type')),
            type: typeName(word('type')),
            columns: word('columns'),
            rows: word('rows'),
            matrices: word('matrices'),
            at: view.getFloat64(fields.at.at, true),
            bytes: view.getFloat64(fields.bytes.at, true),
        };
    });

/**
 * Which of the files' rows each row of a matrix is.
 * @param {import('./core.js').Core} core
 * @param {number} converter
 * @param {Planned} tensor
 * @returns {{ rows: Uint32Array, isTransposed: boolean }}
 */
export const rowsInFiles = (core, converter, { i, rows }) =>
    core.borrow(4 * rows, (at) => {
        const isTransposed = core.count('nb_converter_rows', converter, i, at) === 1;
        return { rows: Uint32Array.from(core.ints(at, rows)), isTransposed };
    });

/** The layer that a tensor is of; -1: of none. @param {string} name */
export const layerOf = (name) => Number(/^blk\.(\d+)\./.exec(name)?.[1] ?? -1);

/**
 * Whether it is a type of floating-point numbers. Rounding to one loses next to nothing, so nothing of it is
 * calibrated.
 * @param {string} type
 */
export const isFloat = (type) => /^(f32|f16|bf16)$/.test(type);

/** How many weights a tensor has. @param {Pick<Planned, 'columns' | 'rows' | 'matrices'>} tensor */
export const weightsOf = ({ columns, rows, matrices }) => columns * rows * matrices;

/**
 * One of n equal parts, such as an expert's; not a copy.
 * @template {Uint8Array | Float32Array} T
 * @param {T} all
 * @param {number} i
 * @param {number} n
 */
export const part = (all, i, n) => /** @type {T} */ (all.subarray((i * all.length) / n, ((i + 1) * all.length) / n));
