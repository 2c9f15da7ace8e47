/* Tensor types: GGUF's numbers and GGUF's blocks. Each block's formula stands beside it; sizes are asserted.
 * Source: ggml-org/ggml, src/ggml-common.h (the layouts are the file format's). */
#ifndef NB_TYPES_H
#define NB_TYPES_H

#include <stddef.h>
#include <stdint.h>

// clang-format off: numbers as in GGUF, several on a line
typedef enum nb_type {
    NB_TYPE_F32 = 0, NB_TYPE_F16 = 1, NB_TYPE_Q4_0 = 2, NB_TYPE_Q4_1 = 3, NB_TYPE_Q5_0 = 6, NB_TYPE_Q5_1 = 7,
    NB_TYPE_Q8_0 = 8, NB_TYPE_Q8_1 = 9, NB_TYPE_Q2_K = 10, NB_TYPE_Q3_K = 11, NB_TYPE_Q4_K = 12, NB_TYPE_Q5_K = 13,
    NB_TYPE_Q6_K = 14, NB_TYPE_Q8_K = 15, NB_TYPE_IQ2_XXS = 16, NB_TYPE_IQ2_XS = 17, NB_TYPE_IQ3_XXS = 18,
    NB_TYPE_IQ1_S = 19, NB_TYPE_IQ4_NL = 20, NB_TYPE_IQ3_S = 21, NB_TYPE_IQ2_S = 22, NB_TYPE_IQ4_XS = 23,
    NB_TYPE_I8 = 24, NB_TYPE_I16 = 25, NB_TYPE_I32 = 26, NB_TYPE_I64 = 27, NB_TYPE_F64 = 28, NB_TYPE_IQ1_M = 29,
    NB_TYPE_BF16 = 30, NB_TYPE_TQ1_0 = 34, NB_TYPE_TQ2_0 = 35, NB_TYPE_MXFP4 = 39, NB_TYPE_NVFP4 = 40,
    NB_TYPE_Q1_0 = 41, NB_TYPE_Q2_0 = 42,
    /* only in safetensors files: ids that GGUF is far from using */
    NB_TYPE_F8_E4M3 = 56, NB_TYPE_F8_E5M2 = 57, NB_TYPE_U8 = 58, NB_TYPE_BOOL = 59,
    /* bitsandbytes' */
    NB_TYPE_NF4 = 60, NB_TYPE_FP4 = 61,
    NB_TYPE_LIMIT = 64 /* ids are below this */
} nb_type;
// clang-format on

enum {
    NB_BLOCK = 32,       /* weights in a block of the plain types */
    NB_SUPERBLOCK = 256, /* weights in a block of the K and most of the IQ types */
    NB_BLOCK_NVFP4 = 64,
    NB_BLOCK_NF4 = 64,
    NB_BLOCK_Q1_0 = 128,
    NB_BLOCK_Q2_0 = 64,
    NB_K_SCALES = 12 /* bytes that hold the 6-bit scales of Q3_K, Q4_K and Q5_K */
};

/* F8_E4M3: sign, 4 bits of exponent (bias 7), 3 of mantissa; no infinity, and 0x7f, with either sign, is the only NaN
 * (Micikevicius et al. 2022, table 1). F8_E5M2: sign, 5 bits of exponent (bias 15), 2 of mantissa: the upper byte of a
 * binary16.
 *
 * d and m are binary16, except where they are declared as float. w is a weight, i its index within the block. Half 0 of
 * a byte is its low four bits, half 1 its high four.
 *
 * 32 weights: q holds two a byte, weight i in the low half of byte i, weight i+16 in the high half. The fifth bit of
 * the Q5 types is bit i of the 32-bit little-endian number high. */
// clang-format off: a format a line
typedef struct nb_block_q4_0 { uint16_t d; uint8_t q[16]; } nb_block_q4_0;             /* w = d (q - 8) */
typedef struct nb_block_q4_1 { uint16_t d, m; uint8_t q[16]; } nb_block_q4_1;          /* w = d q + m */
typedef struct nb_block_q5_0 { uint16_t d; uint8_t high[4], q[16]; } nb_block_q5_0;    /* w = d (q - 16) */
typedef struct nb_block_q5_1 { uint16_t d, m; uint8_t high[4], q[16]; } nb_block_q5_1; /* w = d q + m */
typedef struct nb_block_q8_0 { uint16_t d; int8_t q[32]; } nb_block_q8_0;              /* w = d q */
typedef struct nb_block_q8_1 { uint16_t d, sum; int8_t q[32]; } nb_block_q8_1;         /* w = d q; sum = d sum q */

/* 256 weights in 16 groups of 16 (Q2_K, Q3_K, Q6_K: weight i is in group i / 16) or in 8 groups of 32 (Q4_K, Q5_K:
 * i / 32). h = i / 128 is the half of the block that weight i is in, r = i / 32 % 4 the run of 32 weights within that
 * half, and l = i % 32 the place in the run. */

/* w = d s q - m z; s, z: low and high half of scales[i / 16]; q: bits 2r, 2r+1 of q[32 h + l] */
typedef struct nb_block_q2_k { uint8_t scales[16], q[64]; uint16_t d, m; } nb_block_q2_k;

/* w = d s q; s = nb_q3_k_scale(scales, i / 16); q: bits 2r, 2r+1 of q[32 h + l], less 4 if bit 4h+r of high[l] is 0 */
typedef struct nb_block_q3_k { uint8_t high[32], q[64], scales[NB_K_SCALES]; uint16_t d; } nb_block_q3_k;

/* w = d s q - m z; s, z = nb_q4_k_scale, nb_q4_k_minimum(scales, i / 32); q: half r % 2 of q[32 (i / 64) + l] */
typedef struct nb_block_q4_k { uint16_t d, m; uint8_t scales[NB_K_SCALES], q[128]; } nb_block_q4_k;

/* as Q4_K, plus 16 for q where bit i / 32 of high[l] is 1 */
typedef struct nb_block_q5_k { uint16_t d, m; uint8_t scales[NB_K_SCALES], high[32], q[128]; } nb_block_q5_k;

/* w = d s (q - 32); s = scales[i / 16]; q: half r / 2 of q[64 h + 32 (r % 2) + l], and above it bits 2r, 2r+1 of
 * high[32 h + l] */
typedef struct nb_block_q6_k { uint8_t q[128], high[64]; int8_t scales[16]; uint16_t d; } nb_block_q6_k;

/* w = d q; sums[i / 16]: the sum of the group's q */
typedef struct nb_block_q8_k { float d; int8_t q[256]; int16_t sums[16]; } nb_block_q8_k;

/* Codebooks: q is one of 16 numbers, chosen by a code of 4 bits that lies as Q4_0's does. IQ4's are ggml-common.h's
 * kvalues_iq4nl; MXFP4's are the numbers of E2M1 (OCP Microscaling Formats 1.0, section 5.3.3), doubled. */
static const int8_t nb_iq4_codebook[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
static const int8_t nb_mxfp4_codebook[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

typedef struct nb_block_iq4_nl { uint16_t d; uint8_t q[16]; } nb_block_iq4_nl; /* w = d q */
typedef struct nb_block_mxfp4 { uint8_t e; uint8_t q[16]; } nb_block_mxfp4;    /* w = 2^(e - 128) q */

/* w = d s q; s = nb_iq4_xs_scale(block, i / 32); a run of 32 has its codes in 16 bytes as IQ4_NL has */
typedef struct nb_block_iq4_xs { uint16_t d, high; uint8_t low[4], q[128]; } nb_block_iq4_xs;

/* w = d[i / 16] q; d is an E4M3 without sign (OCP 8-bit Floating Point 1.0, section 5), halved; q is from MXFP4's
 * codebook, and here the halves of 8 bytes hold a run of 16. */
typedef struct nb_block_nvfp4 { uint8_t d[4], q[32]; } nb_block_nvfp4;

/* bitsandbytes' types. w = d q, q by its code from the codebook of the type; weight 2i is in the high half of q[i],
 * 2i+1 in the low. NF4's numbers are quantiles of a normal distribution (Dettmers et al. 2023, appendix E); FP4's
 * have two bits of exponent and one of mantissa, over the largest, in F32. */
typedef struct nb_block_nf4 { float d; uint8_t q[32]; } nb_block_nf4;
typedef nb_block_nf4 nb_block_fp4;
#define NB_NF4_NUMBERS(X) \
    X(-1.0f) X(-0x1.647362p-1f) X(-0x1.0cd66p-1f) X(-0x1.94654p-2f) X(-0x1.23449ap-2f) X(-0x1.7a6a7ep-3f) \
    X(-0x1.74f0e2p-4f) X(0.0f) X(0x1.45f5fep-4f) X(0x1.4995c6p-3f) X(0x1.f809bap-3f) X(0x1.5a0674p-2f) \
    X(0x1.c3497p-2f) X(0x1.200f56p-1f) X(0x1.722766p-1f) X(1.0f)
#define NB_FP4_NUMBERS(X) \
    X(0.0f) X(0.0625f / 12) X(8 / 12.0f) X(1.0f) X(4 / 12.0f) X(0.5f) X(2 / 12.0f) X(0.25f) \
    X(-0.0f) X(-0.0625f / 12) X(-8 / 12.0f) X(-1.0f) X(-4 / 12.0f) X(-0.5f) X(-2 / 12.0f) X(-0.25f)
#define NB_NUMBER(x) x,
static const float nb_nf4_codebook[16] = {NB_NF4_NUMBERS(NB_NUMBER)};
static const float nb_fp4_codebook[16] = {NB_FP4_NUMBERS(NB_NUMBER)};

/* w = d where bit i of q is 1, else -d */
typedef struct nb_block_q1_0 { uint16_t d; uint8_t q[16]; } nb_block_q1_0;

/* w = d (q - 1), q: bits 2 (i % 4), 2 (i % 4) + 1 of q[i / 4] */
typedef struct nb_block_q2_0 { uint16_t d; uint8_t q[16]; } nb_block_q2_0;

/* w = d (q - 1). TQ2_0 has q in bits 2r, 2r+1 of q[32 h + l], as Q2_K. In TQ1_0 a byte / 256 is a fraction in base 3,
 * and its digits are codes. Weights 0 ... 159 are the first digits of bytes 0 ... 31 of q, then the second digits of
 * these bytes, and so on, five digits each; weights 160 ... 239 likewise those of bytes 32 ... 47; weights 240 ... 255
 * those of the bytes high, four digits each. */
typedef struct nb_block_tq1_0 { uint8_t q[48], high[4]; uint16_t d; } nb_block_tq1_0;
typedef struct nb_block_tq2_0 { uint8_t q[64]; uint16_t d; } nb_block_tq2_0;

/* Eight weights (IQ3: four) share a code: the index of an entry of the type's grid, which gives each its magnitude. A
 * weight has one sign bit, 1 for minus; if eight weights have only seven, the eighth makes the number of minus signs
 * even. dequantize_codebooks.c shows where the bits lie.
 *
 * IQ2: w = d (s + 1/2) / 4 q, s of 4 bits for 32 weights (XXS) or 16, q = 8, 25 or 43.
 * IQ3_XXS: w = d (s + 1/2) / 2 q, s of 4 bits for 32 weights, q = 4, 12, 20, 28, 36, 44, 52 or 62.
 * IQ3_S: w = d (2 s + 1) q, s of 4 bits for 32 weights, q = 1, 3, ... 15.
 * IQ1: w = d (2 s + 1) (q + e), s of 3 bits for 32 weights (S) or 16 (M), q = -1, 0 or 1, e = 1/8 or -1/8. */
typedef struct nb_block_iq2_xxs { uint16_t d, q[32]; } nb_block_iq2_xxs; /* of 32 weights: 4 codes, 4 x 7 signs, s */
typedef struct nb_block_iq2_xs { uint16_t d, q[32]; uint8_t scales[8]; } nb_block_iq2_xs; /* 9 bits of code, 7 signs */
typedef struct nb_block_iq2_s { uint16_t d; uint8_t q[32], signs[32], high[8], scales[8]; } nb_block_iq2_s;
typedef struct nb_block_iq3_xxs { uint16_t d; uint8_t q[64], signs[32]; } nb_block_iq3_xxs; /* 4 x 7, s */
typedef struct nb_block_iq3_s { uint16_t d; uint8_t q[64], high[8], signs[32], scales[4]; } nb_block_iq3_s;
typedef struct nb_block_iq1_s { uint16_t d; uint8_t q[32]; uint16_t high[8]; } nb_block_iq1_s;
typedef struct nb_block_iq1_m { uint8_t q[32], high[16]; uint16_t scales[4]; } nb_block_iq1_m;
// clang-format on

_Static_assert(sizeof(nb_block_q4_0) == 18, "GGUF block size");
_Static_assert(sizeof(nb_block_q4_1) == 20, "GGUF block size");
_Static_assert(sizeof(nb_block_q5_0) == 22, "GGUF block size");
_Static_assert(sizeof(nb_block_q5_1) == 24, "GGUF block size");
_Static_assert(sizeof(nb_block_q8_0) == 34, "GGUF block size");
_Static_assert(sizeof(nb_block_q8_1) == 36, "GGUF block size");
_Static_assert(sizeof(nb_block_q2_k) == 84, "GGUF block size");
_Static_assert(sizeof(nb_block_q3_k) == 110, "GGUF block size");
_Static_assert(sizeof(nb_block_q4_k) == 144, "GGUF block size");
_Static_assert(sizeof(nb_block_q5_k) == 176, "GGUF block size");
_Static_assert(sizeof(nb_block_q6_k) == 210, "GGUF block size");
_Static_assert(sizeof(nb_block_q8_k) == 292, "GGUF block size");
_Static_assert(sizeof(nb_block_iq4_nl) == 18, "GGUF block size");
_Static_assert(sizeof(nb_block_iq4_xs) == 136, "GGUF block size");
_Static_assert(sizeof(nb_block_mxfp4) == 17, "GGUF block size");
_Static_assert(sizeof(nb_block_nvfp4) == 36, "GGUF block size");
_Static_assert(sizeof(nb_block_nf4) == 36, "no padding");
_Static_assert(sizeof(nb_block_q1_0) == 18, "GGUF block size");
_Static_assert(sizeof(nb_block_q2_0) == 18, "GGUF block size");
_Static_assert(sizeof(nb_block_tq1_0) == 54, "GGUF block size");
_Static_assert(sizeof(nb_block_tq2_0) == 66, "GGUF block size");
_Static_assert(sizeof(nb_block_iq2_xxs) == 66, "GGUF block size");
_Static_assert(sizeof(nb_block_iq2_xs) == 74, "GGUF block size");
_Static_assert(sizeof(nb_block_iq2_s) == 82, "GGUF block size");
_Static_assert(sizeof(nb_block_iq3_xxs) == 98, "GGUF block size");
_Static_assert(sizeof(nb_block_iq3_s) == 110, "GGUF block size");
_Static_assert(sizeof(nb_block_iq1_s) == 50, "GGUF block size");
_Static_assert(sizeof(nb_block_iq1_m) == 56, "GGUF block size");

/* The packed 6-bit scales. Q3_K, 16 of them, g = 0 ... 15: the low four bits are half g / 8 of byte g % 8; the high two
 * are bits 2 (g / 4) and up of byte 8 + g % 4. Stored plus 32. */
static inline int32_t nb_q3_k_scale(const uint8_t *scales, uint32_t g) {
    uint32_t low = scales[g % 8] >> (g / 8 * 4) & 15, high = scales[8 + g % 4] >> (g / 4 * 2) & 3;
    return (int32_t)(low | high << 4) - 32;
}

/* Q4_K and Q5_K, g = 0 ... 7: scales 0 to 3 are the low six bits of bytes 0 to 3, minima 0 to 3 those of bytes 4 to 7.
 * Scale and minimum g = 4 ... 7 have their low four bits in the low and high half of byte 4 + g, and their high two in
 * the two bits that are left over in bytes g - 4 and g. */
static inline uint32_t nb_q4_k_scale(const uint8_t *scales, uint32_t g) {
    return g < 4 ? scales[g] & 63u : (scales[g + 4] & 15u) | (uint32_t)(scales[g - 4] >> 6) << 4;
}

static inline uint32_t nb_q4_k_minimum(const uint8_t *scales, uint32_t g) {
    return g < 4 ? scales[g + 4] & 63u : (uint32_t)(scales[g + 4] >> 4) | (uint32_t)(scales[g] >> 6) << 4;
}

/* IQ4_XS, g = 0 ... 7: the low four bits are half g % 2 of low[g / 2], the high two are bits 2g, 2g+1 of high. Stored
 * plus 32. */
static inline int32_t nb_iq4_xs_scale(const nb_block_iq4_xs *b, uint32_t g) {
    uint32_t low = b->low[g / 2] >> (g % 2 * 4) & 15, high = b->high >> (2 * g) & 3;
    return (int32_t)(low | high << 4) - 32;
}

#endif
