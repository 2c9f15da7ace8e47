/* Products of F32 matrices, for training: out = A B^T. A B and A^T B are the same with other strides.
 *
 * A is cut into blocks of 64 rows, B into blocks of 512 rows, and both into blocks of 256 along the dimension k that is
 * summed over (Goto and van de Geijn 2008). Blocks are packed before they are used, so that the innermost loop reads
 * memory in order, without strides:
 *
 *     A: panels [256, 4], B: panels [256, 8]; a 4 x 8 tile of the result stays in registers.
 *
 * The order of sums is fixed: first within a block of k, then block after block. */
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

/* A row-major matrix of so many columns, and its transpose. */
static inline nb_factor nb_factor_of(const float *at, size_t columns) {
    return (nb_factor){at, columns, 1};
}

static inline nb_factor nb_factor_transposed(const float *at, size_t columns) {
    return (nb_factor){at, 1, columns};
}

/* out[i * stride + j] = sum over k of a(i, k) b(j, k), for i < m, j < n. adds: adds to `out` instead. */
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

/* pool: NULL to use the calling thread only, as inside of nb_parallel. */
void nb_product_run(nb_pool *pool, const nb_product *product, float *scratch);

#endif
