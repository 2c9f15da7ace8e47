/* The right-hand side of a matrix product: a batch of vectors, and the quantized forms of it that kernels need. In a
 * form a vector is a list of blocks of 32 columns. A block has everything that a kernel needs for its columns, so that
 * one pointer reaches it by constant offsets:
 *
 *     form Q8     { float d, s, s0, s1; int8_t  q[32] }
 *     form Q16    { float d, s, s0, s1; int16_t q[32] }     each 4 columns in the order 0 2 1 3
 *     form HALVES { float d, s, s0, s1; int8_t high[32], low[32] }     q = 256 high + low
 *
 *     x = d q,  q = round(x / d) to even;  d = max|x| / nb_form_most
 *     if max|x| < 2^-100, q and d are 0; if x is not finite, q is 0 and d is NaN, so that its products are NaN
 *     s = d sum(q) of all columns, s0 of columns 0 ... 15, s1 of the others
 *
 * The order of Q16 is that of codes that are widened to 16 bits (packing.h).
 *
 * Sixteen bits are the default: they keep the logits within 1e-2 of what the weights say. Eight bits, which most
 * engines use, do not (tests/fixtures/llamacpp/README.md has the figures), but they are faster if there are relaxed
 * instructions. Where the CPU has an instruction for dot products of bytes, the two halves of 16 bits are multiplied
 * (matmul_dot.c). Elsewhere that gains nothing. */
#ifndef NB_ACTIVATIONS_H
#define NB_ACTIVATIONS_H

#include "../base/numbers.h"
#include "../base/text.h"
#include "../base/threads.h"
#include "../types/types.h"

#include <stdbool.h>

typedef enum nb_form { NB_FORM_F32, NB_FORM_Q8, NB_FORM_Q16, NB_FORM_HALVES, NB_FORM_COUNT } nb_form;

/* build.sh defines NB_DOT where matmul_dot.c is compiled, whose kernels alone read halves. */
#ifdef NB_DOT
enum { NB_HAS_HALVES = 1 };
#else
enum { NB_HAS_HALVES = 0 };
#endif

/* The largest |q| of a form. Of 16 bits it is 256 * 127 + 127, so that both halves are bytes. Q16 has the same one, so
 * that the sums are the same in each build. */
static inline float nb_form_most(nb_form form) {
    return form == NB_FORM_Q8 ? 127 : 32639;
}

typedef struct nb_activations {
    const float *x; /* [n, columns] */
    uint32_t n, columns;
    uint32_t precision;            /* NB_PRECISION_...: which forms are fine enough */
    uint8_t *forms[NB_FORM_COUNT]; /* memory for each quantized form: n * nb_form_token_bytes() */
    bool have[NB_FORM_COUNT];      /* which are filled for this x */
} nb_activations;

/* Bytes of one vector in a form (0 for F32: that is x itself). columns is a multiple of NB_BLOCK for the others. */
static inline size_t nb_form_token_bytes(nb_form form, size_t columns) {
    return form == NB_FORM_F32 ? 0 : columns / NB_BLOCK * (4 * sizeof(float) + NB_BLOCK * (form == NB_FORM_Q8 ? 1 : 2));
}

/* A new batch: nothing is quantized until a kernel asks for it. */
static inline void nb_activations_set(nb_activations *a, const float *x, uint32_t n, uint32_t columns) {
    a->x = x;
    a->n = n;
    a->columns = columns;
    memset(a->have, 0, sizeof a->have);
}

void nb_activations_quantize(nb_activations *a, nb_form form, nb_pool *pool);

/* Token t in a form. */
static inline const uint8_t *nb_activations_token(const nb_activations *a, nb_form form, uint32_t t) {
    return a->forms[form] + t * nb_form_token_bytes(form, a->columns);
}

#endif
