/** The matrices of a folder that are quantized, and the tensors that its files have of each. */
import { NibbleError } from '../errors.js';
import { formatOf } from './formats/folder-formats.js';
import { isFloat, layerOf, rowsInFiles } from './planned.js';
import { sizeOf } from './safetensors.js';

/** @typedef {import('../errors.js').ErrorCode} ErrorCode */
/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('../quantize-options.js').CheckedFolder} CheckedFolder */

/**
 * A matrix of a layer that is quantized: `tensor`, or one expert's part of it. module: its name in the files, without
 * ".weight". order: which of the files' rows each row is. isTransposed: whether the files have its columns as rows.
 * @typedef {{ tensor: Planned, module: string, order: Uint32Array, isTransposed: boolean }} Coding
 */

/** A tensor of the files, and how its bytes are made.
 * @typedef {import('./safetensors.js').Entry & { make: import('./formats/folder-formats.js').Part['bytes'], isLast:
 *     boolean }} MadeEntry */

/**
 * The matrices that are quantized. If the format cannot have one, the error names it.
 * @param {import('./core.js').Core} core
 * @param {number} converter
 * @param {Planned[]} plan
 * @param {Map<string, number[]>} shapes of the files' tensors
 * @param {CheckedFolder} folder
 * @returns {Coding[]} those of experts are in their order
 */
export function codings(core, converter, plan, shapes, folder) {
    const wanted = plan.filter(({ name, wanted }) => layerOf(name) >= 0 && !isFloat(wanted));
    if (wanted.length === 0)
        throw new NibbleError('NB_ERR_UNSUPPORTED', 'the layers of this model have no matrix that could be quantized');
    return wanted.flatMap((tensor) => {
        const { source, from, matrices } = tensor;
        const refuse = (/** @type {string} */ why, code = /** @type {ErrorCode} */ ('NB_ERR_UNSUPPORTED')) =>
            new NibbleError(code, `tensor ${source} does not become ${folder.format}: ${why}`);
        if (!source.endsWith('.weight') || !(isFloat(from) || /^f8_/.test(from)))
            throw refuse('the folder is quantized already; take the original one');
        const experts = matrices > 1 ? expertsOf(tensor, shapes) : [source];
        if (!experts) throw refuse('the files have no matrix for each expert; quantize() makes a GGUF of such a model');
        const { rows: order, isTransposed } =
            matrices > 1 ? { rows: asTheyAre(tensor.rows), isTransposed: false } : rowsInFiles(core, converter, tensor);
        return experts.map((name) => {
            const coding = { tensor, module: name.slice(0, -'.weight'.length), order, isTransposed },
                why = formatOf(folder).refusal(coding, folder);
            if (why) throw refuse(why, 'NB_ERR_ARGUMENT'); // with other options it may be possible
            return coding;
        });
    });
}

/** Rows in their own order. @param {number} rows */
const asTheyAre = (rows) => Uint32Array.from({ length: rows }, (_, row) => row);

/**
 * The files' tensors of which a tensor of experts is made, one for each, in their order; null: it is made of others.
 * @param {Planned} tensor
 * @param {Map<string, number[]>} shapes of the files' tensors
 */
function expertsOf({ source, rows, columns, matrices }, shapes) {
    const [, before, behind] = /^(.*\.experts\.)\d+(\..*\.weight)$/.exec(source) ?? [];
    const names = Array.from({ length: matrices }, (_, expert) => `${before}${expert}${behind}`);
    return names.every((name) => shapes.get(name)?.join() === `${rows},${columns}`) ? names : null;
}

/**
 * The tensors of one matrix.
 * @param {Coding} coding
 * @param {CheckedFolder} folder
 * @returns {MadeEntry[]}
 */
export const entriesOf = (coding, folder) =>
    formatOf(folder)
        .parts(coding, folder)
        .map(({ name, dtype, shape, bytes, isLast = false }) => ({
            name: `${coding.module}.${name}`,
            dtype,
            shape,
            bytes: shape.reduce((product, side) => product * side, sizeOf(dtype)),
            make: bytes,
            isLast,
        }));
