#include "tiles.h"

#include "../base/simd.h"

#pragma STDC FP_CONTRACT OFF

static inline v128_t add_product(v128_t sum, v128_t a, v128_t b) {
    return wasm_f32x4_add(sum, wasm_f32x4_mul(a, b));
}

void nb_tile_subtract_dots(float *out, size_t out_stride, const float *a, size_t a_stride, const float *b,
                           size_t b_stride, size_t n) {
    for (int i = 0; i < NB_TILE; i += 2)
        for (int j = 0; j < NB_TILE; j += 4) {
            const float *a0 = a + (size_t)i * a_stride, *a1 = a0 + a_stride;
            const float *b0 = b + (size_t)j * b_stride, *b1 = b0 + b_stride, *b2 = b1 + b_stride, *b3 = b2 + b_stride;
            v128_t sums[2][4];
            for (int s = 0; s < 8; s++)
                sums[s / 4][s % 4] = wasm_f32x4_splat(0);
            for (size_t k = 0; k < n; k += 4) {
                v128_t x0 = wasm_v128_load(a0 + k), x1 = wasm_v128_load(a1 + k), y = wasm_v128_load(b0 + k);
                sums[0][0] = add_product(sums[0][0], x0, y);
                sums[1][0] = add_product(sums[1][0], x1, y);
                y = wasm_v128_load(b1 + k);
                sums[0][1] = add_product(sums[0][1], x0, y);
                sums[1][1] = add_product(sums[1][1], x1, y);
                y = wasm_v128_load(b2 + k);
                sums[0][2] = add_product(sums[0][2], x0, y);
                sums[1][2] = add_product(sums[1][2], x1, y);
                y = wasm_v128_load(b3 + k);
                sums[0][3] = add_product(sums[0][3], x0, y);
                sums[1][3] = add_product(sums[1][3], x1, y);
            }
            for (int s = 0; s < 2; s++) {
                float *to = out + (size_t)(i + s) * out_stride + j;
                v128_t sum = nb_sums_f32x4(sums[s][0], sums[s][1], sums[s][2], sums[s][3]);
                wasm_v128_store(to, wasm_f32x4_sub(wasm_v128_load(to), sum));
            }
        }
}

void nb_tile_subtract(float *out, size_t out_stride, const float *a, size_t a_stride, const float *b, size_t n) {
    for (int j = 0; j < NB_TILE; j += 8)
        for (int i = 0; i < NB_TILE; i += 4) {
            const float *a0 = a + (size_t)i * a_stride, *a1 = a0 + a_stride, *a2 = a1 + a_stride, *a3 = a2 + a_stride;
            v128_t low[4], high[4];
            for (int s = 0; s < 4; s++)
                low[s] = high[s] = wasm_f32x4_splat(0);
            for (size_t k = 0; k < n; k++) {
                const float *row = b + k * NB_TILE + j;
                v128_t y0 = wasm_v128_load(row), y1 = wasm_v128_load(row + 4), x = wasm_v128_load32_splat(a0 + k);
                low[0] = add_product(low[0], x, y0);
                high[0] = add_product(high[0], x, y1);
                x = wasm_v128_load32_splat(a1 + k);
                low[1] = add_product(low[1], x, y0);
                high[1] = add_product(high[1], x, y1);
                x = wasm_v128_load32_splat(a2 + k);
                low[2] = add_product(low[2], x, y0);
                high[2] = add_product(high[2], x, y1);
                x = wasm_v128_load32_splat(a3 + k);
                low[3] = add_product(low[3], x, y0);
                high[3] = add_product(high[3], x, y1);
            }
            for (int s = 0; s < 4; s++) {
                float *to = out + (size_t)(i + s) * out_stride + j;
                wasm_v128_store(to, wasm_f32x4_sub(wasm_v128_load(to), low[s]));
                wasm_v128_store(to + 4, wasm_f32x4_sub(wasm_v128_load(to + 4), high[s]));
            }
        }
}
