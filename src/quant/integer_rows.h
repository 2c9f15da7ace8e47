/* Floating-point numbers become the integers of src/integer (docs/integer.md). */
#ifndef NB_INTEGER_ROWS_H
#define NB_INTEGER_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n numbers become numbers / 2^shift of 31 bits, and the shift behind them: out [n + 1]. false: one is not finite. */
bool nb_integer_fixed(const double *v, uint32_t n, int32_t *out);

/* A matrix [rows, columns] becomes codes of 8 bits and multipliers of its rows, [rows + 1]. wide: [rows]. false: a
 * weight is not finite. */
bool nb_integer_rows(const float *w, uint32_t rows, uint32_t columns, double *wide, int8_t *codes,
                     int32_t *multipliers);

/* v = multiplier / 2^shift with 2^30 <= multiplier < 2^31; 0 < v < 1. */
void nb_integer_scale(double v, uint32_t *multiplier, uint32_t *shift);

/* By how much RoPE turns a pair from one token to the next, in units of 2^-32 turns. */
uint32_t nb_integer_step(double frequency);

#endif
