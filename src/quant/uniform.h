/* Uniform grids: w = s (q - z). A code q is a whole number of 2 to 8 bits, s is the scale and z the zero, which is a
 * code too, so that 0 is always exact.
 *
 *   symmetric:  z is the middle of the codes; q = round(x / s) + z, s = max |x| / (half of the codes' span)
 *   asymmetric: s = (high - low) / (the codes' span), z = lowest code - round(low / s)
 *
 * Scales serve a whole tensor, a row (an output channel of weights, or a token of activations) or a group of columns.
 * An asymmetric range always contains 0. A range of nothing but zeros has the scale 1, and all its codes are z. */
#ifndef NB_UNIFORM_H
#define NB_UNIFORM_H

#include "../base/error.h"

#include <stdbool.h>

/* All zero but `bits`: asymmetric, unsigned codes, scales of F32, rounding to nearest, ties to even. */
typedef struct nb_uniform {
    uint32_t bits; /* 2 ... 8 */
    bool is_symmetric;
    bool is_signed;     /* codes from -2^(bits-1) to 2^(bits-1) - 1, else from 0 to 2^bits - 1 */
    bool is_narrow;     /* of a symmetric grid: without the lowest code, so that there are as many below z as above */
    bool is_stochastic; /* rounds up with the probability of the fraction, which has no bias (Gupta et al. 2015) */
    uint64_t seed;      /* of the stochastic rounding: the same seed gives the same codes */
    uint32_t
        scale_type; /* NB_TYPE_F32, NB_TYPE_F16 or NB_TYPE_BF16: what scales are rounded to before codes are chosen */
} nb_uniform;

typedef struct nb_uniform_step {
    float scale;
    int32_t zero;
} nb_uniform_step;

/* An error if there is no such grid. Everything below expects one that was checked. */
int32_t nb_uniform_check(const nb_uniform *u, nb_error *err);

int32_t nb_uniform_lowest(const nb_uniform *u);
int32_t nb_uniform_highest(const nb_uniform *u);

/* A scale as a type has it (NB_TYPE_F32, F16, BF16); it becomes neither 0 nor infinite. */
float nb_uniform_scale(uint32_t type, float scale);

/* The step whose grid covers low ... high, both finite. */
nb_uniform_step nb_uniform_fit(const nb_uniform *u, float low, float high);
nb_uniform_step nb_uniform_fit_to(const nb_uniform *u, const float *x, size_t n); /* over all of these */

/* n finite numbers -> codes. Those beyond the grid get its ends. first: the number of x[0] in its tensor, on which
 * stochastic rounding depends, so that neither slices nor threads change a code. */
void nb_uniform_codes(const nb_uniform *u, nb_uniform_step step, uint64_t first, const float *x, size_t n,
                      int16_t *codes);

/* codes -> numbers */
void nb_uniform_values(nb_uniform_step step, const int16_t *codes, size_t n, float *out);

enum { NB_PER_TENSOR = 0 };
/* How many steps a matrix of so many rows has. group: columns that share a step; the columns of a row: a step for each
 * row; NB_PER_TENSOR: one step for all. 0, with an error, if groups do not divide a row, or if there is nothing. */
uint64_t nb_uniform_steps(uint64_t rows, uint64_t columns, uint64_t group, nb_error *err);

/* A matrix of F32 [rows][columns] -> codes of the same shape and their steps, rows first. A number that is not finite
 * is an error that names its row and column. */
int32_t nb_uniform_matrix(const nb_uniform *u, uint64_t group, const float *x, uint64_t rows, uint64_t columns,
                          nb_uniform_step *steps, int16_t *codes, nb_error *err);

/* The same with steps that are known: static activations, whose range an observer chose, or weights whose clipping was
 * searched for. */
int32_t nb_uniform_matrix_with(const nb_uniform *u, uint64_t group, const float *x, uint64_t rows, uint64_t columns,
                               const nb_uniform_step *steps, int16_t *codes, nb_error *err);

/* `what`: the numbers' name in the message. All are to be finite: an error that names the first row and column of one
 * that is not. */
int32_t nb_matrix_check(const char *what, const float *x, uint64_t rows, uint64_t columns, nb_error *err);

/* Of what was observed of the columns of inputs: all are to be finite and at least 0. */
int32_t nb_magnitudes_check(const char *what, const float *x, uint32_t columns, nb_error *err);

#endif
