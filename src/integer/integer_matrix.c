#include "integer_matrix.h"

#include "../base/simd.h"

enum { TOKENS = 4 /* that share one read of a row */, CHUNK = 32 /* rows that a thread claims at once */ };

/* Dot products of a row of weights with the codes of n <= TOKENS tokens, x [n, columns]. */
INLINE void row_sums(const int8_t *w, const int16_t *x, uint32_t columns, uint32_t n, int32_t *sums) {
    v128_t acc[TOKENS] = {0};
    uint32_t i = 0;
    for (; i + 16 <= columns; i += 16) {
        v128_t bytes = wasm_v128_load(w + i);
        v128_t low = wasm_i16x8_extend_low_i8x16(bytes), high = wasm_i16x8_extend_high_i8x16(bytes);
        for (uint32_t t = 0; t < n; t++) {
            const int16_t *p = x + (size_t)t * columns + i;
            acc[t] = wasm_i32x4_add(acc[t], wasm_i32x4_dot_i16x8(low, wasm_v128_load(p)));
            acc[t] = wasm_i32x4_add(acc[t], wasm_i32x4_dot_i16x8(high, wasm_v128_load(p + 8)));
        }
    }
    for (uint32_t t = 0; t < n; t++) {
        int32_t sum = wasm_i32x4_extract_lane(acc[t], 0) + wasm_i32x4_extract_lane(acc[t], 1) +
                      wasm_i32x4_extract_lane(acc[t], 2) + wasm_i32x4_extract_lane(acc[t], 3);
        for (uint32_t k = i; k < columns; k++)
            sum += w[k] * x[(size_t)t * columns + k];
        sums[t] = sum;
    }
}

int32_t nb_integer_dot(const int8_t *w, const int16_t *x, uint32_t n) {
    int32_t sum;
    row_sums(w, x, n, 1, &sum);
    return sum;
}

typedef struct job {
    const nb_integer_matrix *w;
    nb_integer_input x;
    bool adds;
    int32_t *out;
} job;

static void run_rows(void *context, uint64_t index, uint64_t count, int32_t thread) {
    const job *j = context;
    const nb_integer_matrix *w = j->w;
    (void)count;
    (void)thread;
    uint32_t end = (uint32_t)NB_MIN((index + 1) * CHUNK, w->rows);
    for (uint32_t t = 0; t < j->x.n; t += TOKENS) {
        uint32_t n = NB_MIN(j->x.n - t, (uint32_t)TOKENS);
        const int16_t *x = j->x.codes + (size_t)t * w->columns;
        for (uint32_t r = (uint32_t)index * CHUNK; r < end; r++) {
            const int8_t *row = w->codes + (size_t)r * w->columns;
            nb_dyadic scale = nb_dyadic_of((uint64_t)(uint32_t)w->multipliers[r], -w->shift);
            int32_t sums[TOKENS];
            if (n == TOKENS)
                row_sums(row, x, w->columns, TOKENS, sums);
            else
                for (uint32_t k = 0; k < n; k++)
                    row_sums(row, x + (size_t)k * w->columns, w->columns, 1, sums + k);
            for (uint32_t k = 0; k < n; k++) {
                int32_t *out = j->out + (size_t)(t + k) * w->rows + r;
                int32_t y = nb_scaled(sums[k], nb_dyadic_times(j->x.scales[t + k], scale));
                *out = j->adds ? nb_saturating_add(*out, y) : y;
            }
        }
    }
}

void nb_integer_multiply(nb_pool *pool, const nb_integer_matrix *w, nb_integer_input x, bool adds, int32_t *out) {
    job j = {w, x, adds, out};
    nb_parallel(pool, ((uint64_t)w->rows + CHUNK - 1) / CHUNK, x.n == 1, run_rows, &j);
}
