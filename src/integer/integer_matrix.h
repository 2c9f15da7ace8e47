/* Products of a matrix of 8-bit weights with codes of activations. */
#ifndef NB_INTEGER_MATRIX_H
#define NB_INTEGER_MATRIX_H

#include "../base/threads.h"
#include "dyadic.h"

/* A weight is code * multiplier of its row / 2^shift. */
typedef struct nb_integer_matrix {
    const int8_t *codes;        /* [rows, columns] */
    const int32_t *multipliers; /* [rows], positive */
    int32_t shift;
    uint32_t rows, columns;
} nb_integer_matrix;

/* The sum of w[i] x[i]. It fits 32 bits, as integer_model.c checks the sizes of matrices. */
int32_t nb_integer_dot(const int8_t *w, const int16_t *x, uint32_t n);

/* Codes [n, columns] of n tokens' activations, and a scale for each token. */
typedef struct nb_integer_input {
    const int16_t *codes;
    const nb_dyadic *scales;
    uint32_t n;
} nb_integer_input;

/* out [n, rows] = x W^T, with NB_FRACTION fractional bits. adds: adds to `out` instead. */
void nb_integer_multiply(nb_pool *pool, const nb_integer_matrix *w, nb_integer_input x, bool adds, int32_t *out);

#endif
