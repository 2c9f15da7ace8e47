/* How other libraries lay a quantized matrix out in tensors, and what it becomes in GGUF.
 *
 * w[row][column] = scale (code - zero), one scale and one zero for each row and each group of columns, becomes Q4_0
 * (of 2 to 4 bits, all zeros alike), Q4_1 (where they are not: w = d code + m, m = -scale zero as a half) or Q8_0;
 * codes of 8 bits whose zeros differ become F16, as no type has them:
 *
 *     GPTQ    qweight        u32 [columns bits / 32, rows]   down a column of it, the codes are one stream of bits
 *             qzeros         u32 [groups, rows bits / 32]    along a row, the zeros are one (less 1 in version 1)
 *     AWQ     qweight        u32 [columns, rows / 8]         eight rows a word, in the order 0 2 4 6 1 3 5 7
 *             qzeros         u32 [groups, rows / 8]          so, too
 *     both    scales         f16 [groups, rows]
 *     GPTQ    g_idx          u32 [columns]                   the group of a column
 *     LLM.int8()  weight     i8 [rows, columns];  SCB  f32 [rows]: the largest magnitude, which 127 stands for
 *     compressed-tensors
 *         pack-quantized     weight_packed  u32 [rows, columns bits / 32];  weight_shape  i64 [2]
 *                            weight_zero_point  u32 [rows bits / 32, groups]: down a column
 *         int-quantized      weight  i8 [rows, columns];  weight_zero_point  i8 [rows, groups]
 *         both               weight_scale  f32, f16 or bf16 [rows, groups], or one number;  weight_g_idx  i32 [columns]
 *
 * Where the columns of a group do not lie side by side (desc_act, actorder), they are put so, and the target
 * NAME.order says which column of the file each one is: the engine puts its activations into that order.
 *
 * bitsandbytes' NF4 and FP4: w[i] = absmax[i / blocksize] quant_map[code], i over the whole matrix, which is two
 * codes a byte, the first in the high half. It becomes those types, or F32 if its rows are no whole blocks of 64.
 *
 *     weight                 [rows columns / 2 bytes] of any type
 *     weight.absmax          f32 [blocks], or u8, which stands for
 *                            nested_quant_map[code] nested_absmax[block / nested_blocksize] + nested_offset
 *     weight.quant_map       f32 [16];  weight.nested_quant_map  f32 [256]
 *     weight.quant_state.bitsandbytes__nf4 (or __fp4)   JSON: shape, blocksize, nested_blocksize, nested_offset
 *
 * Sources: AutoGPTQ, qlinear_cuda_old.py (pack); GPTQModel, nn_modules/qlinear; AutoAWQ, utils/packing_utils.py;
 * bitsandbytes, functional.py (QuantState); compressed-tensors, compressors/pack_quantized. */
#ifndef NB_ARRANGEMENT_H
#define NB_ARRANGEMENT_H

#include "plan.h"

/* The target of codes: its sources must fit each other. Sets its type and shape, and adds the target of its order if it
 * has one. A recipe may give it another type later. */
int32_t nb_arrangement_check(nb_plan *plan, uint32_t target, nb_error *err);

/* All sources of the target are there: what can be wrong in them is said. */
int32_t nb_arrangement_begin(nb_plan *plan, uint32_t target, nb_error *err);

/* Rows [first, first + rows) of the target, as the GGUF has them. Of codes: in the type that they become
 * (target->source_type). */
int32_t nb_arrangement_rows(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out,
                            nb_error *err);

#endif
