/* The moments of AdamW, in F32 or in 8 bits (nibble_train.h: NB_TRAIN_LEARNS_IN_8_BITS).
 *
 * In 8 bits, a block of 256 numbers is stored as its largest magnitude and a code for each number. A code means one of
 * 256 numbers, times that magnitude (Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization", sections 2.1
 * and 2.2):
 *
 *     first moments    0, 1, and +- 10^-e f, e = 0 ... 6, f = the middles of 2^(6 - e) equal parts of 0.1 ... 1
 *     second moments   0, 1, and 10^-e f, with twice as many parts
 *
 * One difference to the paper: a second moment above 0 is never rounded to 0. If it were and the first moment were not,
 * the division by a root near 0 would make a huge step. */
#ifndef NB_MOMENTS_H
#define NB_MOMENTS_H

#include "../base/numbers.h"

#include <stdbool.h>
#include <stddef.h>

enum { NB_MOMENT_BLOCK = 256, NB_MOMENT_CODES = 256 };

/* The numbers that codes mean, in ascending order. */
typedef struct nb_moment_maps {
    float first[NB_MOMENT_CODES], second[NB_MOMENT_CODES];
} nb_moment_maps;

void nb_moment_maps_fill(nb_moment_maps *maps);

/* The moments of n numbers: in F32 first and second, in 8 bits the others. */
typedef struct nb_moments {
    float *first, *second;               /* [n] */
    uint8_t *first_codes, *second_codes; /* [n] */
    float *first_most, *second_most;     /* [blocks] */
    const nb_moment_maps *maps;
} nb_moments;

/* Their size in bytes, a multiple of 64, and their layout in such memory at `at`. */
uint64_t nb_moments_bytes(uint64_t n, bool in_8_bits);
nb_moments nb_moments_at(void *at, uint64_t n, const nb_moment_maps *maps); /* maps: NULL for F32 */

/* Reads or writes moments in 8 bits: a block, which begins at number i and has n numbers. */
void nb_moments_read(const nb_moments *moments, uint64_t i, uint32_t n, float *first, float *second);
void nb_moments_write(const nb_moments *moments, uint64_t i, uint32_t n, const float *first, const float *second);

#endif
