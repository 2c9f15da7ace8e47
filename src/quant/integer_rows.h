/* Converts floating-point numbers to the integers of src/integer (docs/integer.md). */
#ifndef NB_INTEGER_ROWS_H
#define NB_INTEGER_ROWS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* n numbers -> out [n + 1]: n integers of 31 bits, and then the shift they share. A number is integer / 2^shift. false:
 * a number is not finite. */
bool nb_integer_fixed(const double *v, uint32_t n, int32_t *out);

/* A matrix [rows, columns] -> codes of 8 bits, and multipliers of the rows with their shift, [rows + 1]. scratch:
 * [rows]. false: a weight is not finite. */
bool nb_integer_rows(const float *w, uint32_t rows, uint32_t columns, double *scratch, int8_t *codes,
                     int32_t *multipliers);

/* v = multiplier / 2^shift with 2^30 <= multiplier < 2^31; 0 < v < 1. */
void nb_integer_scale(double v, uint32_t *multiplier, uint32_t *shift);

/* RoPE's angle from one position to the next, in units of 2^-32 turns. frequency: in radians. */
uint32_t nb_integer_step(double frequency);

#endif
