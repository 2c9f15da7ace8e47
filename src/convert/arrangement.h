/* How other libraries lay a quantized matrix out in tensors, and what it becomes in GGUF.
 *
 * In most, w[row][column] = scale (code - zero), with one scale and one zero for each row and group of columns. Such a
 * matrix becomes
 *
 *     Q4_0    codes of 2 to 4 bits, one zero for all
 *     Q4_1    codes of 2 to 4 bits, zeros that differ: w = d code + m, where m = -scale zero as a half
 *     Q8_0    codes of 8 bits, one zero for all
 *     F16     codes of 8 bits, zeros that differ: GGUF has no type for them
 *
 * The tensors of each library:
 *
 *     GPTQ    qweight        u32 [columns bits / 32, rows]   each column is one stream of bits: codes
 *             qzeros         u32 [groups, rows bits / 32]    each row is one stream of bits: zeros (less 1 in version 1)
 *     AWQ     qweight        u32 [columns, rows / 8]         eight rows a word, in the order 0 2 4 6 1 3 5 7
 *             qzeros         u32 [groups, rows / 8]          in the same order
 *     both    scales         f16 [groups, rows]
 *     GPTQ    g_idx          u32 [columns]                   the group of a column
 *     LLM.int8()  weight     i8 [rows, columns];  SCB  f32 [rows]: the largest magnitude, which 127 stands for
 *     compressed-tensors
 *         pack-quantized     weight_packed  u32 [rows, columns bits / 32];  weight_shape  i64 [2]
 *                            weight_zero_point  u32 [rows bits / 32, groups]: each column is one stream of bits
 *         int-quantized      weight  i8 [rows, columns];  weight_zero_point  i8 [rows, groups]
 *         both               weight_scale  f32, f16 or bf16 [rows, groups], or one number;  weight_g_idx  i32 [columns]
 *
 * If the columns of a group are not adjacent (desc_act, actorder), the converter moves them together. The target
 * NAME.order then says which column of the file each one is, and the engine puts its activations into that order.
 *
 * bitsandbytes' NF4 and FP4: w[i] = absmax[i / blocksize] quant_map[code], where i runs over the whole matrix. Two
 * codes make a byte, the first in the high half. The matrix becomes NF4 or FP4, or F32 if its rows are not whole blocks
 * of 64.
 *
 *     weight                 [rows columns / 2 bytes] of any type
 *     weight.absmax          f32 [blocks]; or u8 [blocks]: code stands for
 *                            nested_quant_map[code] nested_absmax[block / nested_blocksize] + nested_offset
 *     weight.quant_map       f32 [16];  weight.nested_quant_map  f32 [256]
 *     weight.quant_state.bitsandbytes__nf4 (or __fp4)   JSON: shape, blocksize, nested_blocksize, nested_offset
 *
 * Sources: AutoGPTQ, qlinear_cuda_old.py (pack); GPTQModel, nn_modules/qlinear; AutoAWQ, utils/packing_utils.py;
 * bitsandbytes, functional.py (QuantState); compressed-tensors, compressors/pack_quantized. */
#ifndef NB_ARRANGEMENT_H
#define NB_ARRANGEMENT_H

#include "plan.h"

/* Checks that the sources of a target fit each other. Sets its type and shape, and adds the target NAME.order if it
 * needs one. A recipe may give it another type later. */
int32_t nb_arrangement_check(nb_plan *plan, uint32_t target, nb_error *err);

/* Checks the content of the target's sources, which are all there. */
int32_t nb_arrangement_begin(nb_plan *plan, uint32_t target, nb_error *err);

/* Writes rows [first, first + rows) of the target, in the type target->source_type. */
int32_t nb_arrangement_rows(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out,
                            nb_error *err);

#endif
