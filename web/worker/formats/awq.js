/**
 * AWQ's folders, as AutoAWQ's version "gemm" has them: codes of 4 bits, each group with a zero point. vLLM's AWQConfig
 * and AWQMarlinConfig read them (vllm/model_executor/layers/quantization/awq.py and awq_marlin.py, from_config() and
 * create_weights()): they ask for bits, group_size and zero_point, and use modules_to_not_convert. The format does
 * not depend on the method: the zero points may come from AWQ, from rounding or from GPTQ.
 */
import { NB_FORMAT_AWQ } from '../../abi.js';
import { BYTES, codedFormat, groupsOf } from './coded.js';

const base = codedFormat(NB_FORMAT_AWQ);

/** @type {import('./folder-formats.js').FolderFormat} */
export const AWQ = {
    ...base,

    config(_, { bits, group }, ignore) {
        const others = ignore.filter((module) => module !== 'lm_head'); // readers never expect it quantized
        return {
            quant_method: 'awq',
            zero_point: true,
            group_size: group,
            bits,
            version: 'gemm',
            modules_to_not_convert: others.length > 0 ? others : null,
        };
    },

    refusal: (coding, settings) =>
        coding.isTransposed
            ? 'it is stored transposed (Conv1D), which AWQ cannot express; use --format gptq'
            : base.refusal(coding, settings),

    parts({ tensor: { rows, columns } }, settings) {
        const groups = groupsOf(columns, settings);
        return [
            { name: 'qweight', dtype: 'I32', shape: [columns, rows / 8], bytes: BYTES.codes },
            { name: 'qzeros', dtype: 'I32', shape: [groups, rows / 8], bytes: BYTES.zeros },
            { name: 'scales', dtype: 'F16', shape: [groups, rows], bytes: BYTES.scales },
        ];
    },
};
