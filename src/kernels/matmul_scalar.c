/* The reference kernels: one product at a time, straight from the layouts' definitions. Tests compare all others with
 * them. */
#include "../base/numbers.h"
#include "matmul.h"
#include "../types/traits.h"

/* One token of a batch as kernels see it: its panel, its place there and the panel's width. */
typedef struct token {
    const uint8_t *panel;
    uint32_t t, T;
} token;

static token token_of(const nb_activations *x, nb_form form, uint32_t t) {
    uint32_t first = nb_panel_first(x->n, t);
    return (token){nb_activations_panel(x, form, first), t - first, nb_panel_places(x->n, first)};
}

/* Column i of token k's block, as the forms of activations.h store it. */
static int32_t quant(const token *k, const uint8_t *quants, uint32_t i, nb_form form) {
    if (form == NB_FORM_Q8)
        return (int8_t)quants[k->t * NB_BLOCK + i];
    if (form == NB_FORM_HALVES) {
        const uint8_t *high = quants + 2 * k->t * NB_BLOCK + i;
        return 256 * (int8_t)high[0] + (int8_t)high[NB_BLOCK];
    }
    int16_t value; /* columns 0 2 1 3 of each four */
    memcpy(&value, quants + 2 * (k->t * NB_BLOCK + i / 4 * 4 + (i & 1) * 2 + (i >> 1 & 1)), 2);
    return value;
}

/* Σ over columns of w x, with w and x dequantized; nb_matrix_row unpacks, so this is the plainest definition. */
static double dot_quantized(const nb_activations *x, const float *w, uint32_t t, nb_form form) {
    size_t token_bytes = nb_form_token_bytes(form, NB_BLOCK);
    token k = token_of(x, form, t);
    double sum = 0;
    for (uint32_t b = 0; b < x->columns / NB_BLOCK; b++) {
        const uint8_t *block = k.panel + b * k.T * token_bytes;
        float d;
        memcpy(&d, block + 4 * k.t, 4);
        for (uint32_t i = 0; i < NB_BLOCK; i++)
            sum += (double)w[b * NB_BLOCK + i] * d * quant(&k, block + 16 * k.T, i, form);
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
