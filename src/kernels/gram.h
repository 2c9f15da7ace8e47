/* The sum of x x^T over many vectors x: a Gram matrix, from which quantizers know how much each error of a weight costs.
 *
 * Sums stay accurate however many vectors there are. Vectors come in blocks of NB_GRAM_BLOCK at most. A block is summed
 * up in F32 and then added to two floats, whose sum is what there is so far: the rounding error of each addition is
 * known exactly (Knuth 1998, 4.2.2, theorem B) and kept in the second one. The matrix is symmetric, so only the
 * upper triangle is computed, and the lower one has room for the second floats:
 *
 *     columns are taken by fours              | 1 2 2 |   1: a square on the diagonal. Its second floats are in `rests`.
 *     sums: [padded, padded]                  | 3 1 2 |   2: squares above it.
 *     rests: [padded, 4], behind the sums     | 3 3 1 |   3: the second floats of square (j, i) are in square (i, j),
 *                                                            not transposed.
 *
 * nb_gram_finish makes the matrix of that. */
#ifndef NB_GRAM_H
#define NB_GRAM_H

#include "../base/threads.h"

#include <stddef.h>
#include <stdint.h>

enum { NB_GRAM_BLOCK = 128 };

/* Floats of the sums and rests, all of them 0 at first; of the scratch. */
uint64_t nb_gram_floats(uint64_t columns);
uint64_t nb_gram_scratch(uint64_t columns);

/* x: [n, columns], finite; at least one vector. */
void nb_gram_add(nb_pool *pool, float *sums, uint32_t columns, const float *x, uint32_t n, float *scratch);

/* sums becomes the matrix, [columns, columns]. */
void nb_gram_finish(nb_pool *pool, float *sums, uint32_t columns);

#endif
