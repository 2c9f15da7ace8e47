#include "activations.h"

#include "../base/simd.h"

#include <float.h>
#include <math.h>

static const float LEAST = 0x1p-100f; /* below it, the inverse of the scale might not be finite */

/* Quantizes 32 columns of a token. */
static void quantize_block(const float *x, uint8_t *block, nb_form form) {
    v128_t v[8], top = wasm_i32x4_splat(0);
    for (int i = 0; i < 8; i++) { /* compared as integers, of which NaN is the largest */
        v[i] = wasm_v128_load(x + 4 * i);
        top = wasm_i32x4_max(top, wasm_f32x4_abs(v[i]));
    }
    top = wasm_i32x4_max(top, wasm_i32x4_shuffle(top, top, 2, 3, 0, 1));
    top = wasm_i32x4_max(top, wasm_i32x4_shuffle(top, top, 1, 0, 3, 2));
    float max = wasm_f32x4_extract_lane(top, 0);
    if (!(max >= LEAST && max <= FLT_MAX)) {
        for (int i = 0; i < 8; i++)
            v[i] = wasm_i32x4_splat(0);
        max = max < LEAST ? 0 : NAN;
    }
    float most = nb_form_most(form), d = max / most;
    v128_t inverse = wasm_f32x4_splat(max >= LEAST ? most / max : 0),
           sums[2] = {wasm_i32x4_splat(0), wasm_i32x4_splat(0)};
    for (int i = 0; i < 8; i++) {
        v[i] = nb_round_i32x4(wasm_f32x4_mul(v[i], inverse));
        sums[i / 4] = wasm_i32x4_add(sums[i / 4], v[i]);
    }
    /* lanes 0 and 1 add up to the first sum, 2 and 3 to the second */
    v128_t sum = wasm_i32x4_add(wasm_i32x4_shuffle(sums[0], sums[1], 0, 1, 4, 5),
                                wasm_i32x4_shuffle(sums[0], sums[1], 2, 3, 6, 7));
    int32_t first = wasm_i32x4_extract_lane(sum, 0) + wasm_i32x4_extract_lane(sum, 1);
    int32_t second = wasm_i32x4_extract_lane(sum, 2) + wasm_i32x4_extract_lane(sum, 3);
    float *scales = (float *)block;
    scales[0] = d;
    scales[1] = d * (float)(first + second);
    scales[2] = d * (float)first;
    scales[3] = d * (float)second;
    uint8_t *q = block + 4 * sizeof(float);
    for (uint32_t i = 0; i < 8; i += 2)
        v[i] = wasm_i16x8_narrow_i32x4(v[i], v[i + 1]);
    for (uint32_t i = 0; i < 8; i += 4) {
        if (NB_HAS_HALVES && form == NB_FORM_HALVES) {
            /* q = 256 high + low: q + 128 has high as its upper byte, and low + 128 as its lower one */
            v128_t half = wasm_i16x8_splat(128), a = wasm_i16x8_add(v[i], half), b = wasm_i16x8_add(v[i + 2], half);
            v128_t byte = wasm_i16x8_splat(255);
            wasm_v128_store(q + 4 * i, wasm_i8x16_narrow_i16x8(wasm_i16x8_shr(a, 8), wasm_i16x8_shr(b, 8)));
            a = wasm_i16x8_sub(wasm_v128_and(a, byte), half);
            b = wasm_i16x8_sub(wasm_v128_and(b, byte), half);
            wasm_v128_store(q + 4 * i + 32, wasm_i8x16_narrow_i16x8(a, b));
        } else if (form == NB_FORM_Q16) {
            wasm_v128_store(q + 8 * i, wasm_i16x8_shuffle(v[i], v[i], 0, 2, 1, 3, 4, 6, 5, 7));
            wasm_v128_store(q + 8 * i + 16, wasm_i16x8_shuffle(v[i + 2], v[i + 2], 0, 2, 1, 3, 4, 6, 5, 7));
        } else {
            wasm_v128_store(q + 4 * i, wasm_i8x16_narrow_i16x8(v[i], v[i + 2]));
        }
    }
}

typedef struct quantization {
    const nb_activations *a;
    nb_form form;
} quantization;

static void quantize_chunk(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)thread;
    const quantization *q = context;
    const nb_activations *a = q->a;
    uint32_t blocks = a->columns / NB_BLOCK, end = nb_share(a->n, index + 1, count);
    size_t token_bytes = nb_form_token_bytes(q->form, a->columns), block_bytes = token_bytes / blocks;
    for (uint32_t t = nb_share(a->n, index, count); t < end; t++)
        for (uint32_t b = 0; b < blocks; b++)
            quantize_block(a->x + (size_t)t * a->columns + b * NB_BLOCK,
                           a->forms[q->form] + t * token_bytes + b * block_bytes, q->form);
}

void nb_activations_quantize(nb_activations *a, nb_form form, nb_pool *pool) {
    if (form == NB_FORM_F32 || a->have[form])
        return;
    quantization q = {a, form};
    /* few tokens are quantized faster than a thread wakes */
    uint32_t chunks = a->n < 8 ? 1 : NB_MIN(a->n / 4, (uint32_t)nb_pool_threads(pool) * 4);
    nb_parallel(pool, chunks, false, quantize_chunk, &q);
    a->have[form] = true;
}
