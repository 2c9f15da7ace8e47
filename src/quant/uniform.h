/* Uniform grids: x = s (q - z). A code q is an integer of 2 to 8 bits, s is the scale, and z the zero point, which is a
 * code too, so that 0 is always exact.
 *
 *   symmetric:  z is the middle of the codes, s = max |x| / (half of (highest code - lowest code))
 *   asymmetric: s = (high - low) / (highest code - lowest code), z = lowest code - round(low / s)
 *
 * and q = round(x / s) + z. A scale is shared by a whole tensor, a row (an output channel of weights, or a token of
 * activations) or a group of columns. An asymmetric range always contains 0. If all numbers are 0, the scale is 1 and
 * all codes are z. */
#ifndef NB_UNIFORM_H
#define NB_UNIFORM_H

#include "../base/error.h"

#include <stdbool.h>

/* A grid, and how numbers are rounded to it. If all fields but `bits` are 0, it is asymmetric, its codes are unsigned,
 * its scales are F32, and numbers are rounded to nearest, ties to even. */
typedef struct nb_uniform {
    uint32_t bits; /* 2 ... 8 */
    bool is_symmetric;
    bool is_signed;      /* codes from -2^(bits-1) to 2^(bits-1) - 1, else from 0 to 2^bits - 1 */
    bool is_narrow;      /* of a symmetric grid: the lowest code is not used, so as many codes are below z as above */
    bool is_stochastic;  /* rounds up as often as the fraction says: no bias on average (Gupta et al. 2015) */
    uint64_t seed;       /* of the stochastic rounding: the same seed gives the same codes */
    uint32_t scale_type; /* NB_TYPE_F32, F16 or BF16: scales are rounded to it before codes are chosen */
} nb_uniform;

/* Scale and zero point: together a step. */
typedef struct nb_uniform_step {
    float scale;
    int32_t zero;
} nb_uniform_step;

/* An error if there is no such grid. Call it before the functions below. */
int32_t nb_uniform_check(const nb_uniform *u, nb_error *err);

int32_t nb_uniform_lowest(const nb_uniform *u);
int32_t nb_uniform_highest(const nb_uniform *u);

/* A scale rounded to a type (NB_TYPE_F32, F16, BF16), but neither to 0 nor to infinity. */
float nb_uniform_scale(uint32_t type, float scale);

/* The step with which the grid covers low ... high, both finite. */
nb_uniform_step nb_uniform_fit(const nb_uniform *u, float low, float high);
/* The same for the range of n finite numbers. */
nb_uniform_step nb_uniform_fit_to(const nb_uniform *u, const float *x, size_t n);

/* n finite numbers -> codes. Numbers beyond the grid are clipped. first: the index of x[0] in its tensor. A number's
 * index and the seed decide its stochastic rounding, so slices and threads do not change it. */
void nb_uniform_codes(const nb_uniform *u, nb_uniform_step step, uint64_t first, const float *x, size_t n,
                      int16_t *codes);

/* codes -> numbers */
void nb_uniform_values(nb_uniform_step step, const int16_t *codes, size_t n, float *out);

enum { NB_PER_TENSOR = 0 };
/* The number of steps of a matrix. group: columns that share a step, or NB_PER_TENSOR: all share one. 0, with an error,
 * if groups do not divide a row, or if the matrix is empty or too large. */
uint64_t nb_uniform_steps(uint64_t rows, uint64_t columns, uint64_t group, nb_error *err);

/* A matrix of F32 [rows][columns] -> codes of the same shape, and steps, row by row. A number that is not finite is an
 * error that names its row and column. */
int32_t nb_uniform_matrix(const nb_uniform *u, uint64_t group, const float *x, uint64_t rows, uint64_t columns,
                          nb_uniform_step *steps, int16_t *codes, nb_error *err);

/* The same with given steps: for static quantization of activations, whose range was observed before, or for clipped
 * weights. */
int32_t nb_uniform_matrix_with(const nb_uniform *u, uint64_t group, const float *x, uint64_t rows, uint64_t columns,
                               const nb_uniform_step *steps, int16_t *codes, nb_error *err);

/* An error if a number is not finite. It names the first one's row and column. `what`: the numbers' name in the
 * message. */
int32_t nb_matrix_check(const char *what, const float *x, uint64_t rows, uint64_t columns, nb_error *err);

/* An error if a number is not finite or is negative. It names the column. */
int32_t nb_magnitudes_check(const char *what, const float *x, uint32_t columns, nb_error *err);

#endif
