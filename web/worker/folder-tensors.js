/**
 * The tensors of a quantized folder: which there are, and what they are called. GPTQ's are those of AutoGPTQ and
 * GPTQModel, which vLLM's GPTQConfig and GPTQMarlinConfig read (vllm/model_executor/layers/quantization/gptq.py and
 * gptq_marlin.py, create_weights()); compressed-tensors' are those of its PackedQuantizationCompressor, which vLLM's
 * CompressedTensorsWNA16 reads.
 */
import { NB_FORMAT_COMPRESSED, NB_FORMAT_GPTQ, NB_FORMAT_GPTQ_V2 } from '../abi.js';
import { NibbleError } from '../errors.js';
import { FLOATS, layerOf } from './calibrate.js';
import { rowsInFiles } from './planned.js';

/** @typedef {import('./planned.js').Planned} Planned */
/** @typedef {import('./safetensors.js').Entry} Entry */
/** @typedef {import('./inputs.js').CodeFormat} CodeFormat */
/** @typedef {import('../options.js').CheckedFolder} CheckedFolder */

/** A matrix of a layer that becomes codes. module: its name in the files, without ".weight". order: which of the files'
 * rows each row is. @typedef {{ tensor: Planned, module: string, order: Uint32Array }} Coding */

export const FORMATS = {
    gptq: NB_FORMAT_GPTQ,
    gptq_v2: NB_FORMAT_GPTQ_V2,
    'compressed-tensors': NB_FORMAT_COMPRESSED,
};

/** GPTQModel's exponent of the search for scales, when one is asked for. */
const SEARCH = 2.4;

/**
 * @param {CheckedFolder} folder
 * @returns {CodeFormat}
 */
export const codeFormat = ({ format, bits, group, symmetric, search }) => ({
    format: FORMATS[format],
    bits,
    group,
    symmetric: symmetric ? 1 : 0,
    search: search === 'best' ? SEARCH : 0,
});

/**
 * The matrices that become codes. One that the format cannot have is refused by its name.
 * @param {import('./core.js').Core} core
 * @param {number} converter
 * @param {Planned[]} plan
 * @param {CheckedFolder} folder
 * @returns {Coding[]}
 */
export function codings(core, converter, plan, { format, group }) {
    const wanted = plan.filter(
        ({ name, from, wanted }) => layerOf(name) >= 0 && wanted !== from && !FLOATS.test(wanted),
    );
    if (wanted.length === 0)
        throw new NibbleError('NB_ERR_UNSUPPORTED', 'the layers of this model have no matrix that could be quantized');
    return wanted.map((tensor) => {
        const { name, source, columns, rows } = tensor;
        const refuse = (/** @type {string} */ why) =>
            new NibbleError('NB_ERR_UNSUPPORTED', `tensor ${source} does not become ${format}: ${why}`);
        if (!source.endsWith('.weight')) throw refuse('the folder is quantized already; take the original one');
        if (tensor.matrices > 1)
            throw refuse(
                `${name} is made of several tensors, such as experts; quantize() makes a GGUF of such a model`,
            );
        const { rows: order, isTransposed } = rowsInFiles(core, converter, tensor);
        if (isTransposed && format === 'compressed-tensors')
            throw refuse(
                'it lies transposed in the files (Conv1D), for which compressed-tensors has no place; take gptq',
            );
        if (columns % 32 !== 0 || rows % 32 !== 0)
            throw refuse(`it has ${rows} rows of ${columns} columns, which must both be multiples of 32`);
        if (group > 0 && columns % group !== 0)
            throw refuse(`groups of ${group} do not divide its ${columns} columns; take another group (--group)`);
        return { tensor, module: source.slice(0, -'.weight'.length), order };
    });
}

/**
 * The tensors of one matrix, in the order of their names.
 * @param {Coding} coding
 * @param {CheckedFolder} folder
 * @returns {Entry[]}
 */
export function entriesOf({ module, tensor: { rows, columns } }, { format, bits, group, symmetric, order }) {
    const groups = group > 0 ? columns / group : 1,
        isOrdered = order === 'activation' && group > 0;
    const of = (/** @type {string} */ name, /** @type {string} */ dtype, /** @type {number[]} */ ...shape) => ({
        name: `${module}.${name}`,
        dtype,
        shape,
        bytes: shape.reduce((product, side) => product * side, { I32: 4, F16: 2, I64: 8 }[dtype] ?? NaN),
    });
    if (format !== 'compressed-tensors')
        return [
            of('g_idx', 'I32', columns),
            of('qweight', 'I32', (columns / 32) * bits, rows),
            of('qzeros', 'I32', groups, (rows / 32) * bits),
            of('scales', 'F16', groups, rows),
        ];
    return [
        ...(isOrdered ? [of('weight_g_idx', 'I32', columns)] : []),
        of('weight_packed', 'I32', rows, (columns / 32) * bits),
        of('weight_scale', 'F16', rows, groups),
        of('weight_shape', 'I64', 2),
        ...(symmetric ? [] : [of('weight_zero_point', 'I32', (rows / 32) * bits, groups)]),
    ];
}
