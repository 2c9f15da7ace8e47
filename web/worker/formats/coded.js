/** What the formats share whose matrices are codes with scales and zero points (nb_quantizer_codes). */
import { NB_PART_CODES, NB_PART_SCALES, NB_PART_ZEROS, TYPES } from '../../abi.js';

/** @typedef {import('./folder-formats.js').Part} Part */
/** @typedef {import('./folder-formats.js').FolderFormat} FolderFormat */
/** @typedef {import('./folder-formats.js').CheckedFolder} CheckedFolder */
/** @typedef {import('../inputs.js').Coded} Coded */
/** @typedef {import('../inputs.js').Room} Room */

/** GPTQModel's exponent of the error when scales are searched for (search 'best'). */
const SEARCH = 2.4;

/** Groups of a row. @param {number} columns @param {CheckedFolder} settings */
export const groupsOf = (columns, { group }) => (group > 0 ? columns / group : 1);

/** Whether the columns of a group are not side by side, so that the group of each column has to be written.
 * @param {CheckedFolder} settings */
export const needsGroupIndex = ({ order, group }) => order === 'activation' && group > 0;

/** @param {Room} made */
const codedOf = ({ coded }) => /** @type {Coded} */ (coded);

/** @param {Int8Array | Int32Array | BigInt64Array} numbers */
export const bytesOf = (numbers) => new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);

/**
 * What nb_quantizer_pack makes of codes, scales or zero points.
 * @param {number} part NB_PART_...
 * @param {'codes' | 'scales' | 'zeros'} from
 * @returns {Part['bytes']}
 */
const packed = (part, from) => (quantizer, made) => {
    const coded = codedOf(made);
    return quantizer.pack(coded.format, part, coded[from], coded.order.length, coded.groups.length);
};

/** Makers of a tensor's bytes. */
export const BYTES = {
    codes: packed(NB_PART_CODES, 'codes'),
    scales: packed(NB_PART_SCALES, 'scales'),
    zeros: packed(NB_PART_ZEROS, 'zeros'),
    /** Each column's group. @type {Part['bytes']} */
    groups: (_, made) => bytesOf(codedOf(made).groups),
};

/**
 * The functions that are the same in all these formats.
 * @param {number} format NB_FORMAT_...
 * @returns {Pick<FolderFormat, 'refusal' | 'room' | 'values'>}
 */
export const codedFormat = (format) => ({
    refusal({ tensor: { rows, columns } }, { group }) {
        if (columns % 32 !== 0 || rows % 32 !== 0)
            return `it has ${rows} rows of ${columns} columns, which must both be multiples of 32`;
        if (group > 0 && columns % group !== 0)
            return `groups of ${group} do not divide its ${columns} columns; take another group (--group)`;
    },

    room({ tensor: { rows, columns }, order }, settings) {
        const { bits, group, symmetric, search } = settings,
            groups = groupsOf(columns, settings);
        return {
            to: 'f32',
            blocks: new Uint8Array(0),
            coded: {
                format: {
                    ...{ format, bits, group },
                    symmetric: symmetric ? 1 : 0,
                    search: search === 'best' ? SEARCH : 0,
                    scale_type: TYPES.f16,
                },
                order,
                codes: new Uint8Array(rows * columns),
                scales: new Uint8Array(2 * rows * groups),
                zeros: new Uint8Array(rows * groups),
                values: new Uint8Array(4 * rows * columns),
                groups: new Int32Array(columns),
            },
        };
    },

    values: (made) => ({ type: 'f32', bytes: codedOf(made).values }),
});
