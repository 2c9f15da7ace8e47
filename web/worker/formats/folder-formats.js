/**
 * The formats of quantized folders. Only this table names them: code outside this folder asks formatOf(). A new format
 * is a file in this folder, a line in the table below, and a line in FOLDER_FORMATS of web/quantize-options.js.
 */
import { AWQ } from './awq.js';
import { BITSANDBYTES } from './bitsandbytes.js';
import { COMPRESSED_TENSORS } from './compressed-tensors.js';
import { GPTQ, GPTQ_V2 } from './gptq.js';
import { INT_QUANTIZED } from './int-quantized.js';

/** @typedef {import('../folder-tensors.js').Coding} Coding */
/** @typedef {import('../../quantize-options.js').CheckedFolder} CheckedFolder */

/**
 * A tensor that a matrix becomes. name: what follows the module's name and a dot. dtype, shape: as safetensors
 * has them. bytes(): its data, from what was made of the matrix.
 * @typedef {object} Part
 * @property {string} name
 * @property {string} dtype
 * @property {number[]} shape
 * @property {(quantizer: import('../quantizer.js').Quantizer, made: import('../inputs.js').Room) => Uint8Array} bytes
 * @property {boolean} [isLast] it is put after all other tensors of its file: what follows it would not be aligned
 */

/**
 * @typedef {object} FolderFormat
 * @property {(options: import('../../protocol.js').QuantizeOptions, settings: CheckedFolder, ignore: string[]) =>
 *     object} config config.json's quantization_config. ignore: modules with matrices that stay as they are
 * @property {string} [configFile] a file that holds the same, for libraries that look there
 * @property {(coding: Coding, settings: CheckedFolder) => string | undefined} refusal why a matrix cannot have the
 *     format
 * @property {(coding: Coding, settings: CheckedFolder) => Part[]} parts what a matrix becomes, sorted by name
 * @property {(coding: Coding, settings: CheckedFolder) => import('../inputs.js').Room} room memory that the quantizer
 *     fills
 * @property {(made: import('../inputs.js').Room) => { type: string, bytes: Uint8Array }} [values] for a
 *     format that is calibrated: the matrix's rounded weights, as blocks of a GGUF type. The layers after it are
 *     calibrated with them
 * @property {(quantizer: import('../quantizer.js').Quantizer, coding: Coding, weights: { from: string, weights:
 *     Uint8Array }, made: import('../inputs.js').Room, settings: CheckedFolder) => Promise<void>} [round]
 *     for a format that is made without calibration: fills the room. The weights' rows are in the order of a GGUF
 */

/** @type {Record<CheckedFolder['format'], FolderFormat>} */
const FOLDER_FORMATS = {
    gptq: GPTQ,
    gptq_v2: GPTQ_V2,
    awq: AWQ,
    'compressed-tensors': COMPRESSED_TENSORS,
    bitsandbytes: BITSANDBYTES,
};

/** Activations of 8 bits are a form of compressed-tensors. @param {CheckedFolder} settings */
export const formatOf = ({ format, activations }) => (activations ? INT_QUANTIZED : FOLDER_FORMATS[format]);
