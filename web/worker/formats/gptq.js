/**
 * GPTQ's folders, as AutoGPTQ and GPTQModel write them. vLLM's GPTQConfig and GPTQMarlinConfig read them
 * (vllm/model_executor/layers/quantization/gptq.py and gptq_marlin.py, from_config() and create_weights()). They
 * require bits, group_size, desc_act and sym; lm_head and checkpoint_format are optional.
 */
import { NB_FORMAT_GPTQ, NB_FORMAT_GPTQ_V2 } from '../../abi.js';
import { BYTES, codedFormat, groupsOf, needsGroupIndex } from './coded.js';

/** @typedef {import('./folder-formats.js').FolderFormat} FolderFormat */

/** @type {Pick<FolderFormat, 'config' | 'configFile' | 'parts'>} */
const BOTH = {
    config: ({ damping, trueSequential }, settings) => ({
        quant_method: 'gptq',
        bits: settings.bits,
        group_size: settings.group || -1,
        desc_act: needsGroupIndex(settings),
        static_groups: settings.order === 'static',
        sym: settings.symmetric,
        lm_head: false,
        damp_percent: damping,
        true_sequential: trueSequential,
        checkpoint_format: settings.format,
        pack_dtype: 'int32',
        meta: { quantizer: ['nibble'] },
    }),

    configFile: 'quantize_config.json',

    parts({ tensor: { rows, columns } }, settings) {
        const { bits } = settings,
            groups = groupsOf(columns, settings);
        return [
            { name: 'g_idx', dtype: 'I32', shape: [columns], bytes: BYTES.groups },
            { name: 'qweight', dtype: 'I32', shape: [(columns / 32) * bits, rows], bytes: BYTES.codes },
            { name: 'qzeros', dtype: 'I32', shape: [groups, (rows / 32) * bits], bytes: BYTES.zeros },
            { name: 'scales', dtype: 'F16', shape: [groups, rows], bytes: BYTES.scales },
        ];
    },
};

/** The first version of the format: it stores each zero point minus 1. @type {FolderFormat} */
export const GPTQ = { ...codedFormat(NB_FORMAT_GPTQ), ...BOTH };

/** The second version of the format: it stores zero points as they are. @type {FolderFormat} */
export const GPTQ_V2 = { ...codedFormat(NB_FORMAT_GPTQ_V2), ...BOTH };
