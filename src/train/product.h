/* Products of F32 matrices, for training: out = A B^T, of which A B and A^T B are the same with other strides.
 *
 * A is cut into blocks of 64 rows, B into blocks of 512, and both into blocks of 256 of the dimension k that is summed
 * over (Goto and van de Geijn 2008). A block is packed before it is used, so that the innermost loop reads memory in
 * order, and needs to know no strides:
 *
 *     A: panels [256, 4], B: panels [256, 8]; a tile of the result is 4 x 8, and stays in registers.
 *
 * Each number of the result is summed up in one order: first within a block of k, then block after block. */
#ifndef NB_PRODUCT_H
#define NB_PRODUCT_H

#include "../base/threads.h"

#include <stddef.h>
#include <stdint.h>

/* Element (i, k) is at[i * row + k * column]. */
typedef struct nb_factor {
    const float *at;
    size_t row, column;
} nb_factor;

/* A matrix of so many columns as it lies, and its transpose. */
static inline nb_factor nb_factor_of(const float *at, size_t columns) {
    return (nb_factor){at, columns, 1};
}

static inline nb_factor nb_factor_transposed(const float *at, size_t columns) {
    return (nb_factor){at, 1, columns};
}

/* out[i * stride + j] = sum over k of a(i, k) b(j, k), for i < m, j < n. adds: that is added to what is there. */
typedef struct nb_product {
    nb_factor a, b;
    float *out;
    size_t stride;
    uint32_t m, n, k;
    bool adds;
} nb_product;

enum { NB_PRODUCT_M = 64, NB_PRODUCT_N = 512, NB_PRODUCT_K = 256 };

/* Floats of scratch memory for each thread. */
enum { NB_PRODUCT_SCRATCH = (NB_PRODUCT_M + NB_PRODUCT_N) * NB_PRODUCT_K };

/* pool: NULL if one thread shall do it, such as one of a pool that does others. */
void nb_product_run(nb_pool *pool, const nb_product *product, float *scratch);

#endif
