/* The reference kernels: one product at a time, straight from the layouts' definitions. They stay for ever. */
#include "../base/numbers.h"
#include "matmul.h"
#include "traits.h"

/* One token of a batch as kernels see it: its panel, its place there and the panel's width. */
typedef struct token {
    const uint8_t *panel;
    uint32_t t, T;
} token;

static token token_of(const nb_activations *x, nb_form form, uint32_t t) {
    uint32_t whole = x->n / NB_PANEL * NB_PANEL;
    if (t >= whole)
        return (token){nb_activations_panel(x, form, t), 0, 1};
    return (token){nb_activations_panel(x, form, t / NB_PANEL * NB_PANEL), t % NB_PANEL, NB_PANEL};
}

/* Column i of token k's block, as the forms of activations.h store it. */
static int32_t quant(const token *k, const uint8_t *quants, uint32_t i, nb_form form) {
    if (form == NB_FORM_Q8)
        return (int8_t)quants[k->t * NB_BLOCK + i];
    int16_t value; /* columns 0 2 1 3 of each four */
    memcpy(&value, quants + 2 * (k->t * NB_BLOCK + i / 4 * 4 + (i & 1) * 2 + (i >> 1 & 1)), 2);
    return value;
}

/* Σ over columns of w x, with w and x dequantized; nb_matrix_row unpacks, so this is the plainest definition. */
static void run(const nb_matmul_task *task, nb_form form) {
    const nb_activations *x = task->x;
    size_t token_bytes = nb_form_token_bytes(form, NB_BLOCK);
    for (uint32_t row = task->first_row; row < task->first_row + task->rows; row++) {
        nb_matrix_row(task->w, row, task->scratch);
        for (uint32_t t = 0; t < x->n; t++) {
            token k = token_of(x, form, t);
            double sum = 0;
            for (uint32_t b = 0; b < x->columns / NB_BLOCK; b++) {
                const uint8_t *block = k.panel + b * k.T * token_bytes;
                float d;
                memcpy(&d, block + 4 * k.t, 4);
                for (uint32_t i = 0; i < NB_BLOCK; i++)
                    sum += (double)task->scratch[b * NB_BLOCK + i] * d * quant(&k, block + 8 * k.T, i, form);
            }
            task->out[(size_t)t * task->w->rows + row] = (float)sum;
        }
    }
}

#define SCALAR(weight, form, FORM)                                              \
    void nb_matmul_##weight##_##form##__scalar(const nb_matmul_task *task) {    \
        run(task, FORM);                                                        \
    }
SCALAR(q4_0, q8, NB_FORM_Q8)
SCALAR(q4_1, q8, NB_FORM_Q8)
SCALAR(q4_0, q16, NB_FORM_Q16)
SCALAR(q4_1, q16, NB_FORM_Q16)
SCALAR(q8_0, q16, NB_FORM_Q16)

void nb_matmul_any_f32__scalar(const nb_matmul_task *task) {
    const nb_activations *x = task->x;
    for (uint32_t row = task->first_row; row < task->first_row + task->rows; row++) {
        nb_matrix_row(task->w, row, task->scratch);
        for (uint32_t t = 0; t < x->n; t++) {
            double sum = 0;
            for (uint32_t i = 0; i < x->columns; i++)
                sum += (double)task->scratch[i] * x->x[(size_t)t * x->columns + i];
            task->out[(size_t)t * task->w->rows + row] = (float)sum;
        }
    }
}
