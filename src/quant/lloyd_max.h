/* Codebooks that fit the numbers they stand for: Lloyd-Max quantizers (Lloyd 1957/1982, Max 1960), which is k-means in
 * one dimension. A codebook minimizes the sum of importance (x - c)^2 over its group or tensor, c the entry nearest to
 * x.
 *
 * Two steps in turn: each number goes to the nearest entry; each entry becomes the weighted mean of its numbers. The
 * error never grows, and after some rounds nothing changes. But what is found then depends on the start, and may have
 * twice the least error. So the start is the best codebook of all for the numbers in ascending order, cut into at most
 * 2048 runs: it comes from dynamic programming (Bruce 1965; its minima by divide and conquer, as they ascend, Wu 1991).
 * For 2048 numbers or fewer the codebook is therefore the best that there is. */
#ifndef NB_LLOYD_MAX_H
#define NB_LLOYD_MAX_H

#include "../base/error.h"

enum { NB_MOST_ENTRIES = 256 };

/* n finite numbers, what each counts (NULL: 1; finite, not negative) -> `entries` of the codebook, ascending, and the
 * code of each number. If there are fewer different numbers than entries, entries repeat, and the error is 0. Returns
 * 0, or an error. */
int32_t nb_lloyd_max(const float *x, const float *importance, size_t n, uint32_t entries, float *codebook,
                     uint8_t *codes, nb_error *err);

/* The rounds from a given start alone, ascending; for those who have a better one. */
int32_t nb_lloyd_max_from(const float *x, const float *importance, size_t n, uint32_t entries, float *codebook,
                          uint8_t *codes, nb_error *err);

/* The nearest entries of a codebook that ascends, of two the lower. */
void nb_codebook_codes(const float *x, size_t n, const float *codebook, uint32_t entries, uint8_t *codes);

#endif
