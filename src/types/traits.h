/* One row a tensor type: its name, its block, how to read it. Built from sizeof, never from typed-in numbers. */
#ifndef NB_TRAITS_H
#define NB_TRAITS_H

#include "types.h"

typedef struct nb_traits {
    const char *name;       /* "Q4_1"; NULL: an id that nibble does not know */
    uint32_t block_weights; /* weights in a block */
    uint32_t block_bytes;
    /* n weights (a multiple of block_weights) -> F32. Bit-exact to the formula in types.h, in F32 arithmetic. NULL
     * where floating-point numbers are left out (NB_NO_FLOATS). */
    void (*dequantize)(const void *blocks, float *out, size_t n);
} nb_traits;

const nb_traits *nb_traits_of(uint32_t type); /* NULL if nibble does not know it */

#endif
