/* Whether numbers are finite: infinities and NaN are what a damaged file has. */
#ifndef NB_FINITE_H
#define NB_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool nb_are_finite(const float *x, size_t n);

/* The file's blocks of a type, at any address: the numbers themselves of a floating-point type, else the scales. */
bool nb_blocks_are_finite(uint32_t type, const uint8_t *blocks, size_t bytes);

#endif
