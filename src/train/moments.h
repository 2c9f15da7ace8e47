/* The moments of AdamW, in F32 or in 8 bits (nibble_train.h: NB_TRAIN_LEARNS_IN_8_BITS).
 *
 * In 8 bits a block of 256 numbers has its largest magnitude, and of each number the code of the nearest of 256 numbers
 * from -1 to 1, or of second moments from 0 to 1, which are times that magnitude (Dettmers et al. 2022, "8-bit
 * Optimizers via Block-wise Quantization", sections 2.1 and 2.2):
 *
 *     0, 1, and +- 10^-e f    e = 0 ... 6, f = the middles of 2^(6 - e) equal parts of 0.1 ... 1;
 *                             of second moments only +, and twice as many parts
 *
 * One thing is not as there: a second moment that is not 0 never becomes 0, but the least other number. The first one
 * may stay, and over a root that is next to 0 it would be a huge step. */
#ifndef NB_MOMENTS_H
#define NB_MOMENTS_H

#include "../base/numbers.h"

#include <stdbool.h>
#include <stddef.h>

enum { NB_MOMENT_BLOCK = 256, NB_MOMENT_CODES = 256 };

/* In ascending order. */
typedef struct nb_moment_maps {
    float first[NB_MOMENT_CODES], second[NB_MOMENT_CODES];
} nb_moment_maps;

void nb_moment_maps_fill(nb_moment_maps *maps);

/* n numbers. In F32 first and second have them; in 8 bits these are NULL. */
typedef struct nb_moments {
    float *first, *second;               /* [n] */
    uint8_t *first_codes, *second_codes; /* [n] */
    float *first_most, *second_most;     /* [blocks] */
    const nb_moment_maps *maps;
} nb_moments;

/* How many bytes they take, a multiple of 64, and where they are in so many from `at` on. */
uint64_t nb_moments_bytes(uint64_t n, bool in_8_bits);
nb_moments nb_moments_at(void *at, uint64_t n, const nb_moment_maps *maps); /* maps: NULL for F32 */

/* Of numbers i ... i + n - 1, which are of one block of 8 bits; i begins it. */
void nb_moments_read(const nb_moments *moments, uint64_t i, uint32_t n, float *first, float *second);
void nb_moments_write(const nb_moments *moments, uint64_t i, uint32_t n, const float *first, const float *second);

#endif
