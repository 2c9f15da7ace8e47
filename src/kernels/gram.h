/* The sum of x x^T over many vectors x: a Gram matrix, which tells quantizers how much an error of each weight costs.
 *
 * Sums stay accurate however many vectors there are. Vectors come in blocks of NB_GRAM_BLOCK at most. A block is summed
 * up in F32 and then added to a pair of floats (compensated summation): the rounding error of each addition is computed
 * exactly (Knuth 1998, 4.2.2, theorem B) and added to the second float. The matrix is symmetric, so only the upper
 * triangle is computed, and the lower one has room for the second floats:
 *
 *     squares of 4 x 4 numbers                | 1 2 2 |   1: squares on the diagonal, with second floats in `rests`.
 *     sums: [padded, padded]                  | 3 1 2 |   2: squares above it.
 *     rests: [padded, 4], after the sums      | 3 3 1 |   3: the second floats of square (j, i) are in square (i, j),
 *                                                            not transposed.
 *
 * nb_gram_finish turns this into the matrix. */
#ifndef NB_GRAM_H
#define NB_GRAM_H

#include "../base/threads.h"

#include <stddef.h>
#include <stdint.h>

enum { NB_GRAM_BLOCK = 128 };

/* Floats of the sums and rests, which must be 0 at first; floats of the scratch. */
uint64_t nb_gram_floats(uint64_t columns);
uint64_t nb_gram_scratch(uint64_t columns);

/* x: [n, columns], finite; at least one vector. */
void nb_gram_add(nb_pool *pool, float *sums, uint32_t columns, const float *x, uint32_t n, float *scratch);

/* sums becomes the matrix, [columns, columns]. */
void nb_gram_finish(nb_pool *pool, float *sums, uint32_t columns);

#endif
