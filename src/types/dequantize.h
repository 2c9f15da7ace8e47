/* Blocks -> F32, one function a tensor type: the reference, bit-exact to the formulas in types.h computed in
 * F32 from left to right (as llama.cpp's are). blocks: aligned as the block's struct is; n: a multiple of the weights
 * in a block. Reached through the traits table (traits.h). */
#ifndef NB_DEQUANTIZE_H
#define NB_DEQUANTIZE_H

#include "types.h"

void nb_dequantize_f32(const void *blocks, float *out, size_t n);
void nb_dequantize_f16(const void *blocks, float *out, size_t n);
void nb_dequantize_bf16(const void *blocks, float *out, size_t n);
void nb_dequantize_f8_e4m3(const void *blocks, float *out, size_t n);
void nb_dequantize_f8_e5m2(const void *blocks, float *out, size_t n);
void nb_dequantize_q4_0(const void *blocks, float *out, size_t n);
void nb_dequantize_q4_1(const void *blocks, float *out, size_t n);
void nb_dequantize_q5_0(const void *blocks, float *out, size_t n);
void nb_dequantize_q5_1(const void *blocks, float *out, size_t n);
void nb_dequantize_q8_0(const void *blocks, float *out, size_t n);
void nb_dequantize_q8_1(const void *blocks, float *out, size_t n);
void nb_dequantize_q2_k(const void *blocks, float *out, size_t n);
void nb_dequantize_q3_k(const void *blocks, float *out, size_t n);
void nb_dequantize_q4_k(const void *blocks, float *out, size_t n);
void nb_dequantize_q5_k(const void *blocks, float *out, size_t n);
void nb_dequantize_q6_k(const void *blocks, float *out, size_t n);
void nb_dequantize_q8_k(const void *blocks, float *out, size_t n);
void nb_dequantize_iq4_nl(const void *blocks, float *out, size_t n);
void nb_dequantize_iq4_xs(const void *blocks, float *out, size_t n);
void nb_dequantize_mxfp4(const void *blocks, float *out, size_t n);
void nb_dequantize_f64(const void *blocks, float *out, size_t n);
void nb_dequantize_i8(const void *blocks, float *out, size_t n);
void nb_dequantize_i16(const void *blocks, float *out, size_t n);
void nb_dequantize_i32(const void *blocks, float *out, size_t n);
void nb_dequantize_i64(const void *blocks, float *out, size_t n);
void nb_dequantize_nvfp4(const void *blocks, float *out, size_t n);
void nb_dequantize_nf4(const void *blocks, float *out, size_t n);
void nb_dequantize_fp4(const void *blocks, float *out, size_t n);
void nb_dequantize_q2_0(const void *blocks, float *out, size_t n);
void nb_dequantize_q1_0(const void *blocks, float *out, size_t n);
void nb_dequantize_iq2_xxs(const void *blocks, float *out, size_t n);
void nb_dequantize_iq2_xs(const void *blocks, float *out, size_t n);
void nb_dequantize_iq2_s(const void *blocks, float *out, size_t n);
void nb_dequantize_iq3_xxs(const void *blocks, float *out, size_t n);
void nb_dequantize_iq3_s(const void *blocks, float *out, size_t n);
void nb_dequantize_iq1_s(const void *blocks, float *out, size_t n);
void nb_dequantize_iq1_m(const void *blocks, float *out, size_t n);
void nb_dequantize_tq1_0(const void *blocks, float *out, size_t n);
void nb_dequantize_tq2_0(const void *blocks, float *out, size_t n);

/* The grid (codebook) of an IQ1, IQ2 or IQ3 type, and its number of entries; NULL for other types. An entry has the
 * index of the magnitude of each weight: two bits (IQ3: three), those of the first weight lowest. */
const uint16_t *nb_iq_grid(uint32_t type, int *entries);

/* Weight i of a block of IQ1, IQ2, IQ3 or TQ1_0 is nb_grid_d * nb_grid_scale(i / 16) * q. All of this is exact, and q
 * is a whole number. (IQ1 adds 1/8 to -1, 0 or 1, or subtracts it: q is 8 times that, and nb_grid_d has a factor of
 * 1/8.) n: for weights 16n ... 16n+15. */
enum { NB_MAX_GRID_BLOCK = sizeof(nb_block_iq3_s) };
float nb_grid_d(uint32_t type, const void *block);
uint32_t nb_grid_scale(uint32_t type, const void *block, uint32_t n);

#endif
