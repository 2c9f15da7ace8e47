/** What calibrate() makes: the blocks of a GGUF, here, or the tensors of a folder (quantize-folder.js). */
import { TYPES } from '../abi.js';
import { NO_CODES } from './inputs.js';
import { isFloat, layerOf, weightsOf } from './planned.js';

/** @typedef {import('./blocks.js').Blocks} Blocks */
/** @typedef {import('./folding.js').Weights} Weights */
/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./quantizer.js').Quantizer} Quantizer */

/**
 * What calibrate() makes of matrices. For each matrix, room() gives the memory for the result, and when that is filled,
 * finish() gives what the walk goes on with.
 * @typedef {object} Maker
 * @property {(tensor: Planned) => boolean} isWanted whether the tensor is quantized
 * @property {(quantizer: Quantizer, tensor: Planned) => number} bytesOf the result's size
 * @property {(quantizer: Quantizer, tensor: Planned, blocks: Blocks) => import('./inputs.js').Room} room
 * @property {(quantizer: Quantizer, tensor: Planned, room: import('./inputs.js').Room) => { type: string, bytes:
 *     Uint8Array }} finish
 * @property {(tensor: Planned) => import('./inputs.js').Grid} grid what AWQ's searches round to
 * @property {(quantizer: Quantizer, tensor: Weights, isInGroup: boolean) => boolean | Promise<boolean>} canChange
 *     whether scales may change a tensor that is not quantized. isInGroup: it is a matrix whose inputs are observed
 * @property {(tensor: Weights) => boolean} isRemade whether such a tensor, if it is changed, is made like those that
 *     are quantized; otherwise put() gets it in F32
 * @property {(tensor: Weights) => import('./kept-tensors.js').Stored | undefined} stored how the output holds a changed
 *     tensor, if that is not F32
 */

/** Whether a tensor is a matrix of a layer, and to be quantized. @param {Planned} tensor */
const mayBeCalibrated = ({ name, from, type, columns }) =>
    layerOf(name) >= 0 && type !== from && !isFloat(type) && columns % 32 === 0;

/** @type {Maker} */
export const GGUF_BLOCKS = {
    isWanted: mayBeCalibrated,
    bytesOf: (quantizer, tensor) => quantizer.bytesOf(tensor.type, weightsOf(tensor)),
    room: (quantizer, tensor, blocks) => ({
        to: tensor.type,
        blocks: blocks.space(quantizer.bytesOf(tensor.type, weightsOf(tensor))),
    }),
    finish: (_, { type }, { blocks }) => ({ type, bytes: blocks }),
    grid: ({ type }) => ({ ...NO_CODES, type: TYPES[type] }),
    canChange: (_, { from, type }, isInGroup) => isFloat(type) && (isInGroup || (type === 'f32' && isFloat(from))),
    isRemade: ({ type }) => type !== 'f32',
    stored: () => undefined,
};
