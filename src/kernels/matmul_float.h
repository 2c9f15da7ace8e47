/* Any type times F32. Four rows at a time are dequantized and multiplied with all tokens. For a single token, weights
 * in floating point are read in place. This works for every type; kernels for one type are faster. Included once for
 * each instruction set. */
#include "matmul.h"
#include "../base/simd.h"

/* Four rows times T tokens: w [4, columns], x [T, columns] -> lanes = rows. */
static inline __attribute__((always_inline)) void float_tile(const nb_matmul_task *task, uint32_t row, uint32_t t,
                                                             const uint32_t T) {
    uint32_t columns = task->x->columns;
    const float *w = task->scratch, *x = task->x->x + (size_t)t * columns;
    v128_t sum[4][4];
    for (uint32_t j = 0; j < T; j++)
        for (int r = 0; r < 4; r++)
            sum[j][r] = wasm_f32x4_splat(0);
    uint32_t i = 0;
    for (; i + 4 <= columns; i += 4) {
        v128_t w0 = wasm_v128_load(w + i), w1 = wasm_v128_load(w + columns + i),
               w2 = wasm_v128_load(w + 2 * columns + i), w3 = wasm_v128_load(w + 3 * columns + i);
        for (uint32_t j = 0; j < T; j++) {
            v128_t v = wasm_v128_load(x + (size_t)j * columns + i);
            sum[j][0] = nb_madd(w0, v, sum[j][0]);
            sum[j][1] = nb_madd(w1, v, sum[j][1]);
            sum[j][2] = nb_madd(w2, v, sum[j][2]);
            sum[j][3] = nb_madd(w3, v, sum[j][3]);
        }
    }
    for (uint32_t j = 0; j < T; j++) {
        v128_t out = nb_sums_f32x4(sum[j][0], sum[j][1], sum[j][2], sum[j][3]);
        for (uint32_t k = i; k < columns; k++) {
            v128_t wk = wasm_f32x4_make(w[k], w[columns + k], w[2 * columns + k], w[3 * columns + k]);
            out = nb_madd(wk, wasm_f32x4_splat(x[(size_t)j * columns + k]), out);
        }
        NB_STORE_ROWS(task, t + j, row, out);
    }
}

/* Four weights of a floating-point type. */
static inline __attribute__((always_inline)) v128_t float_weights(const uint8_t *p, const uint32_t type, v128_t sign,
                                                                  v128_t unit) {
    return type == NB_TYPE_F32 ? wasm_v128_load(p)
         : type == NB_TYPE_F16 ? nb_load_f16x4_with(p, sign, unit)
                               : wasm_i32x4_shl(wasm_u32x4_load16x4(p), 16);
}

/* One token, the weights read in place: a row of each of the four sections at a time. */
static inline __attribute__((always_inline)) void float_gemv(const nb_matmul_task *task, const uint32_t type) {
    const nb_matrix *w = task->w;
    const uint32_t columns = w->columns, size = type == NB_TYPE_F32 ? 4 : 2;
    const v128_t sign = nb_held_constant(NB_F16_MASK), unit = nb_held_constant(NB_F16_UNIT);
    NB_LOOP
    for (uint32_t r = 0; r < NB_GROUP * task->groups; r++) {
        const uint8_t *rows[NB_SECTIONS];
        v128_t sums[NB_SECTIONS];
        for (uint32_t s = 0; s < NB_SECTIONS; s++) {
            uint32_t row = nb_section_row(w, s, task->first) + r;
            rows[s] = w->data + (row < w->rows ? row : w->rows - 1) * w->group_bytes;
            sums[s] = wasm_f32x4_splat(0);
        }
        const float *x = task->x->x;
        NB_LOOP
        for (uint32_t k = columns / 4; k; k--, x += 4)
            for (uint32_t s = 0; s < NB_SECTIONS; s++) {
                sums[s] = nb_madd(float_weights(rows[s], type, sign, unit), wasm_v128_load(x), sums[s]);
                rows[s] += 4 * size;
            }
        float out[NB_SECTIONS];
        wasm_v128_store(out, nb_sums_f32x4(sums[0], sums[1], sums[2], sums[3]));
        for (uint32_t s = 0; s < NB_SECTIONS; s++) {
            uint32_t row = nb_section_row(w, s, task->first) + r;
            if (row < w->rows)
                task->out[row] = out[s];
        }
    }
}

static void float_run(const nb_matmul_task *task) {
    uint32_t n = task->x->n, type = task->w->type;
    if (n == 1 && task->w->columns % 4 == 0)
        switch (type) {
        case NB_TYPE_F32: float_gemv(task, NB_TYPE_F32); return;
        case NB_TYPE_F16: float_gemv(task, NB_TYPE_F16); return;
        case NB_TYPE_BF16: float_gemv(task, NB_TYPE_BF16); return;
        default: break;
        }
    for (uint32_t i = 0; i < task->groups; i++)
        for (uint32_t s = 0; s < NB_SECTIONS; s++) {
            uint32_t row = nb_section_row(task->w, s, task->first + i), t = 0;
            if (row >= task->w->rows)
                continue;
            for (uint32_t r = 0; r < NB_GROUP && row + r < task->w->rows; r++)
                nb_matrix_row(task->w, row + r, task->scratch + (size_t)r * task->x->columns);
            for (; t + 2 <= n; t += 2)
                float_tile(task, row, t, 2);
            if (t < n)
                float_tile(task, row, t, 1);
        }
}
