/* The operations on the numbers of one token, except products with matrices. docs/integer.md has the formulas. */
#ifndef NB_INTEGER_OPS_H
#define NB_INTEGER_OPS_H

#include "dyadic.h"

/* v -> codes -levels ... levels. Returns their scale, in the unit of v. |v| < 2^62, levels < 2^11. */
nb_dyadic nb_integer_codes(const int64_t *v, uint32_t n, uint32_t levels, int16_t *codes);
/* The same for 32-bit numbers. scratch: [n]. */
nb_dyadic nb_integer_codes_of(const int32_t *v, uint32_t n, uint32_t levels, int64_t *scratch, int16_t *codes);

/* The weights of a norm: number / 2^shift. */
typedef struct nb_integer_gain {
    const int32_t *numbers;
    int32_t shift;
} nb_integer_gain;

/* RMSNorm of x [n] -> codes. Returns their scale. epsilon: in units of 2^-32. scratch: [n]. */
nb_dyadic nb_integer_norm(const int32_t *x, nb_integer_gain gain, uint32_t n, uint32_t epsilon, uint32_t levels,
                          int64_t *scratch, int16_t *codes);

/* silu(gate) up, in units of 2^-32. */
void nb_integer_gated(const int32_t *gate, const int32_t *up, uint32_t n, int64_t *out);

/* 2^-d in units of 2^-30; d is in units of 2^-16. */
uint32_t nb_integer_power(uint64_t d);

uint32_t nb_integer_root(uint64_t v); /* the square root of v < 2^62, rounded down */

/* A quarter of a sine wave: numbers in units of 2^-30. */
enum { NB_QUARTER = 1024 };
typedef struct nb_integer_sines {
    int32_t at[NB_QUARTER + 2];
} nb_integer_sines;
void nb_integer_sines_fill(nb_integer_sines *sines);

/* The sine of phase / 2^32 turns, in units of 2^-15. */
int32_t nb_integer_sine(const nb_integer_sines *sines, uint32_t phase);

/* RoPE: rotates the pairs of neighbours in x [2 pairs] by angles with these sines and cosines. */
void nb_integer_rotate(int32_t *x, const int32_t *cosines, const int32_t *sines, uint32_t pairs);

#endif
