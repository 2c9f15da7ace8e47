#include "ops.h"

#include <math.h>

void nb_rms_norm(float *out, const float *x, const float *weight, uint32_t n, float epsilon) {
    v128_t sums[2] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t j = 0; j < 2; j++) {
            v128_t v = wasm_v128_load(x + i + 4 * j);
            sums[j] = nb_madd(v, v, sums[j]);
        }
    float sum = nb_sum_f32x4(wasm_f32x4_add(sums[0], sums[1]));
    for (; i < n; i++)
        sum += x[i] * x[i];
    float scale = 1 / sqrtf(sum / (float)n + epsilon);
    for (i = 0; i + 4 <= n; i += 4)
        wasm_v128_store(out + i, wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(x + i), wasm_f32x4_splat(scale)),
                                                wasm_v128_load(weight + i)));
    for (; i < n; i++)
        out[i] = x[i] * scale * weight[i];
}

static v128_t silu(v128_t x) {
    return wasm_f32x4_div(x, wasm_f32x4_add(wasm_f32x4_splat(1), nb_exp_f32x4(wasm_f32x4_neg(x))));
}

void nb_silu_multiply(float *gate, const float *up, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        wasm_v128_store(gate + i, wasm_f32x4_mul(silu(wasm_v128_load(gate + i)), wasm_v128_load(up + i)));
    for (; i < n; i++)
        gate[i] = wasm_f32x4_extract_lane(silu(wasm_f32x4_splat(gate[i])), 0) * up[i];
}

static v128_t gelu(v128_t x) {
    v128_t square = wasm_f32x4_mul(x, x);
    v128_t factor = nb_madd(square, wasm_f32x4_splat(0.07135481f), wasm_f32x4_splat(1.59576912f)); /* 2u / x */
    v128_t power = nb_exp_f32x4(wasm_f32x4_neg(wasm_f32x4_mul(x, factor)));
    return wasm_f32x4_div(x, wasm_f32x4_add(wasm_f32x4_splat(1), power));
}

void nb_gelu_multiply(float *gate, const float *up, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        wasm_v128_store(gate + i, wasm_f32x4_mul(gelu(wasm_v128_load(gate + i)), wasm_v128_load(up + i)));
    for (; i < n; i++)
        gate[i] = wasm_f32x4_extract_lane(gelu(wasm_f32x4_splat(gate[i])), 0) * up[i];
}

void nb_add_to(float *x, const float *y, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        wasm_v128_store(x + i, wasm_f32x4_add(wasm_v128_load(x + i), wasm_v128_load(y + i)));
    for (; i < n; i++)
        x[i] += y[i];
}

void nb_rotate(float *head, const float *cosine, const float *sine, uint32_t pairs, bool interleaved) {
    for (uint32_t i = 0; i < pairs; i++) {
        float *a = head + (interleaved ? 2 * i : i), *b = head + (interleaved ? 2 * i + 1 : i + pairs);
        float x = *a, y = *b;
        *a = x * cosine[i] - y * sine[i];
        *b = x * sine[i] + y * cosine[i];
    }
}

