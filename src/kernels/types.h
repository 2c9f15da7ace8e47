/* Tensor types: GGUF's numbers and GGUF's blocks. Each block's formula stands beside it; sizes are asserted.
 * Source: ggml-org/ggml, src/ggml-common.h (the layouts are the file format's). */
#ifndef NB_TYPES_H
#define NB_TYPES_H

#include <stddef.h>
#include <stdint.h>

typedef enum nb_type {
    NB_TYPE_F32 = 0, NB_TYPE_F16 = 1, NB_TYPE_Q4_0 = 2, NB_TYPE_Q4_1 = 3, NB_TYPE_Q5_0 = 6, NB_TYPE_Q5_1 = 7,
    NB_TYPE_Q8_0 = 8, NB_TYPE_Q8_1 = 9, NB_TYPE_Q2_K = 10, NB_TYPE_Q3_K = 11, NB_TYPE_Q4_K = 12, NB_TYPE_Q5_K = 13,
    NB_TYPE_Q6_K = 14, NB_TYPE_Q8_K = 15, NB_TYPE_BF16 = 30,
    NB_TYPE_LIMIT = 64 /* ids are below this */
} nb_type;

/* 32 weights a block. q holds two weights a byte: weight i in the low half of byte i, weight i+16 in the high half. */
typedef struct nb_block_q4_0 { uint16_t d; uint8_t q[16]; } nb_block_q4_0;               /* w = d (q - 8) */
typedef struct nb_block_q4_1 { uint16_t d, m; uint8_t q[16]; } nb_block_q4_1;            /* w = d q + m */
typedef struct nb_block_q8_0 { uint16_t d; int8_t q[32]; } nb_block_q8_0;                /* w = d q */

_Static_assert(sizeof(nb_block_q4_0) == 18, "GGUF block size");
_Static_assert(sizeof(nb_block_q4_1) == 20, "GGUF block size");
_Static_assert(sizeof(nb_block_q8_0) == 34, "GGUF block size");

#endif
