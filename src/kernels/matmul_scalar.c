/* The reference kernels: one product at a time, straight from the layouts' definitions. Tests compare all others with
 * them. */
#include "../base/numbers.h"
#include "matmul.h"
#include "../types/traits.h"

/* Column i of a block, as the forms of activations.h store it. */
static int32_t quant(const uint8_t *q, uint32_t i, nb_form form) {
    if (form == NB_FORM_Q8)
        return (int8_t)q[i];
    if (form == NB_FORM_HALVES)
        return 256 * (int8_t)q[i] + (int8_t)q[NB_BLOCK + i];
    int16_t value; /* columns 0 2 1 3 of each four */
    memcpy(&value, q + 2 * (i / 4 * 4 + (i & 1) * 2 + (i >> 1 & 1)), 2);
    return value;
}

/* Σ over columns of w x, with w and x dequantized; nb_matrix_row unpacks, so this is the plainest definition. */
static double dot_quantized(const nb_activations *x, const float *w, uint32_t t, nb_form form) {
    const uint8_t *block = nb_activations_token(x, form, t);
    double sum = 0;
    for (uint32_t b = 0; b < x->columns; b += NB_BLOCK, block += nb_form_token_bytes(form, NB_BLOCK)) {
        float d;
        memcpy(&d, block, 4);
        for (uint32_t i = 0; i < NB_BLOCK; i++)
            sum += (double)w[b + i] * d * quant(block + 16, i, form);
    }
    return sum;
}

static double dot_float(const nb_activations *x, const float *w, uint32_t t) {
    double sum = 0;
    for (uint32_t i = 0; i < x->columns; i++)
        sum += (double)w[i] * x->x[(size_t)t * x->columns + i];
    return sum;
}

static void run(const nb_matmul_task *task, nb_form form) {
    for (uint32_t s = 0; s < NB_SECTIONS; s++) {
        uint32_t from = nb_section_row(task->w, s, task->first),
                 to = nb_section_row(task->w, s, task->first + task->groups);
        for (uint32_t row = from; row < to && row < task->w->rows; row++) {
            nb_matrix_row(task->w, row, task->scratch);
            for (uint32_t t = 0; t < task->x->n; t++)
                task->out[(size_t)t * task->w->rows + row] =
                    (float)(form == NB_FORM_F32 ? dot_float(task->x, task->scratch, t)
                                                : dot_quantized(task->x, task->scratch, t, form));
        }
    }
}

#define KERNEL(weight, TYPE, form, FORM, isa)                               \
    void nb_matmul_##weight##_##form##__##isa(const nb_matmul_task *task) { \
        run(task, NB_FORM_##FORM);                                          \
    }
NB_MATMUL_KERNELS_SCALAR(KERNEL)
