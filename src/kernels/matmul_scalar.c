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

/* Σ over columns of w x, with w and x dequantized; `unpack` is packing.c's, so this is the plainest definition. */
static void run(const nb_matmul_task *task, nb_form form) {
    const nb_activations *x = task->x;
    size_t quant = form == NB_FORM_Q8 ? 1 : 2;
    for (uint32_t row = task->first_row; row < task->first_row + task->rows; row++) {
        nb_matrix_row(task->w, row, task->scratch);
        for (uint32_t t = 0; t < x->n; t++) {
            token k = token_of(x, form, t);
            double sum = 0;
            for (uint32_t b = 0; b < x->columns / NB_BLOCK; b++) {
                const uint8_t *block = k.panel + b * k.T * (8 + NB_BLOCK * quant), *q = block + 8 * k.T;
                float d;
                memcpy(&d, block + 4 * k.t, 4);
                for (uint32_t i = 0; i < NB_BLOCK; i++) {
                    /* Q16 holds columns 0 2 1 3 of each four */
                    uint32_t place = k.t * NB_BLOCK + i / 4 * 4 + (quant == 1 ? i % 4 : (i & 1) * 2 + (i >> 1 & 1));
                    int16_t value = quant == 1 ? (int8_t)q[place] : (int16_t)(q[2 * place] | q[2 * place + 1] << 8);
                    sum += (double)task->scratch[b * NB_BLOCK + i] * d * value;
                }
            }
            task->out[(size_t)t * task->w->rows + row] = (float)sum;
        }
    }
}

void nb_matmul_q4_0_q8__scalar(const nb_matmul_task *task) {
    run(task, NB_FORM_Q8);
}

void nb_matmul_q4_1_q8__scalar(const nb_matmul_task *task) {
    run(task, NB_FORM_Q8);
}

void nb_matmul_q8_0_q16__scalar(const nb_matmul_task *task) {
    run(task, NB_FORM_Q16);
}

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
