/* Matrices quantized by GPTQ and AWQ, as AutoGPTQ, GPTQModel and AutoAWQ save them: w[row][column] = scale (code -
 * zero), one scale and one zero for each row and each group of columns, in tensors of their own, whose rows are the
 * matrix's columns:
 *
 *     GPTQ  qweight  u32 [columns bits / 32, rows]    down a column of it, the codes are one stream of bits
 *           qzeros   u32 [groups, rows bits / 32]     along a row, the zeros are one (less 1 in the first format)
 *     AWQ   qweight  u32 [columns, rows / 8]          eight rows a word, in the order 0 2 4 6 1 3 5 7
 *           qzeros   u32 [groups, rows / 8]           so, too
 *     both  scales   f16 [groups, rows]
 *     GPTQ  g_idx    u32 [columns]                    the group of a column; nibble wants them in order
 *
 * Sources: AutoGPTQ, qlinear_cuda_old.py (pack); GPTQModel, nn_modules/qlinear; AutoAWQ, utils/packing_utils.py. */
#ifndef NB_COLUMNS_H
#define NB_COLUMNS_H

#include "checkpoint.h"

enum { NB_UNIT_COLUMNS = 32 }; /* that are unpacked together */

/* Bytes of a part that are unpacked together: 32 columns of codes; a group's zeros, or scales; all of the order. */
uint64_t nb_columns_unit(const nb_quantization *q, uint32_t part, uint64_t rows, uint64_t columns);
/* How many units a part has, or 0: nibble cannot read a matrix of this size so. */
uint64_t nb_columns_units(const nb_quantization *q, uint32_t part, uint64_t rows, uint64_t columns);

/* A unit of codes -> codes[rows][32]; of zeros -> zeros[rows]. in may lie at any address. */
void nb_columns_codes(const nb_quantization *q, const uint8_t *in, uint32_t rows, uint8_t *codes);
void nb_columns_zeros(const nb_quantization *q, const uint8_t *in, uint32_t rows, uint8_t *zeros);

#endif
