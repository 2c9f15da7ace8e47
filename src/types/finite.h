/* Whether numbers are finite: infinities and NaN are signs of a damaged file. */
#ifndef NB_FINITE_H
#define NB_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool nb_are_finite(const float *x, size_t n);

/* Blocks of a file, at any address: checks the numbers of a floating-point type, and the scales of other types. */
bool nb_blocks_are_finite(uint32_t type, const uint8_t *blocks, size_t bytes);

#endif
