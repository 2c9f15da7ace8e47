/* Lloyd-Max quantizers (Lloyd 1957/1982, Max 1960): codebooks fitted to numbers, which is k-means in one dimension. A
 * codebook minimizes the sum of importance (x - c)^2 over a group or tensor, where c is the entry nearest to x.
 *
 * Two steps alternate: each number is assigned to the nearest entry, and each entry becomes the weighted mean of its
 * numbers. The error never grows, and after some rounds nothing changes. But the result depends on the start, and may
 * have twice the least possible error. So the start comes from dynamic programming: the numbers in ascending order are
 * cut into at most 2048 intervals, and the best codebook for these is found exactly (Bruce 1965; with divide and
 * conquer, Wu 1991). For 2048 numbers or fewer it is therefore the best codebook. */
#ifndef NB_LLOYD_MAX_H
#define NB_LLOYD_MAX_H

#include "../base/error.h"

enum { NB_MOST_ENTRIES = 256 };

/* n finite numbers and the importance of each (finite, not negative; NULL: all 1) -> the codebook [entries], ascending,
 * and the code of each number. If there are fewer different numbers than entries, entries repeat, and the error is 0.
 * Returns 0, or an error. */
int32_t nb_lloyd_max(const float *x, const float *importance, size_t n, uint32_t entries, float *codebook,
                     uint8_t *codes, nb_error *err);

/* The same without the search for a start: the codebook holds one, ascending. */
int32_t nb_lloyd_max_from(const float *x, const float *importance, size_t n, uint32_t entries, float *codebook,
                          uint8_t *codes, nb_error *err);

/* The codes of the nearest entries of an ascending codebook; of two that are equally near, the lower one. */
void nb_codebook_codes(const float *x, size_t n, const float *codebook, uint32_t entries, uint8_t *codes);

#endif
