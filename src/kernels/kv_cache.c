#include "kv_cache.h"

#include "../base/simd.h"
#include "../types/types.h"

#include <math.h>

bool nb_cache_supports(uint32_t type) {
    return type == NB_TYPE_F32 || type == NB_TYPE_F16 || type == NB_TYPE_I16 || type == NB_TYPE_Q8_0 ||
           type == NB_TYPE_Q4_0;
}

nb_cache nb_cache_of(uint32_t type, uint32_t head_size, uint32_t value_size) {
    head_size = NB_ROUND_UP(head_size, 4);
    value_size = NB_ROUND_UP(value_size, 4);
    nb_cache c = {
        .type = type,
        .head_size = head_size,
        .value_size = value_size,
        .value_columns = NB_ROUND_UP(value_size, NB_COLUMNS),
    };
    uint32_t stored = value_size, scale = type == NB_TYPE_Q4_0 ? sizeof(uint16_t) : sizeof(float);
    c.bits = type == NB_TYPE_F32 ? 32 : type == NB_TYPE_Q8_0 ? 8 : type == NB_TYPE_Q4_0 ? 4 : 16;
    if (type != NB_TYPE_F32 && type != NB_TYPE_F16) {
        c.v_block = type == NB_TYPE_I16 ? value_size : NB_CACHE_BLOCK;
        c.k_max = type == NB_TYPE_I16 ? 16383 : type == NB_TYPE_Q8_0 ? INT8_MAX : NB_CACHE_Q4_MAX;
        c.v_max = type == NB_TYPE_I16 ? INT16_MAX : c.k_max;
        c.k_scales = (head_size + NB_CACHE_BLOCK - 1) / NB_CACHE_BLOCK;
        c.v_scales = (value_size + c.v_block - 1) / c.v_block;
        stored = c.value_columns;
    }
    c.v_scales_at = (size_t)NB_CACHE_TILE * c.k_scales * scale;
    c.k_at = c.v_scales_at + (size_t)NB_CACHE_TILE * c.v_scales * scale;
    c.v_at = c.k_at + (size_t)NB_CACHE_TILE / 8 * head_size * c.bits;
    c.tile_bytes = c.v_at + (size_t)NB_CACHE_TILE / 8 * stored * c.bits;
    return c;
}

nb_cache nb_cache_attended(const nb_cache *c) {
    return c->type == NB_TYPE_F16  ? nb_cache_of(NB_TYPE_F32, c->head_size, c->value_size)
         : c->type == NB_TYPE_Q4_0 ? nb_cache_of(NB_TYPE_Q8_0, c->head_size, c->value_size)
                                   : *c;
}

__attribute__((noinline)) void nb_hadamard(float *x, uint32_t size) {
    uint32_t n = size & (0 - size);
    v128_t scale = wasm_f32x4_splat(1 / sqrtf((float)n));
    v128_t minus_1 = wasm_i32x4_make(0, INT32_MIN, 0, INT32_MIN), minus_2 = wasm_i32x4_make(0, 0, INT32_MIN, INT32_MIN);
    for (uint32_t i = 0; i < size; i += 4) {
        v128_t v = wasm_f32x4_mul(wasm_v128_load(x + i), scale);
        v = wasm_f32x4_add(wasm_i32x4_shuffle(v, v, 0, 0, 2, 2),
                           wasm_v128_xor(wasm_i32x4_shuffle(v, v, 1, 1, 3, 3), minus_1));
        v = wasm_f32x4_add(wasm_i32x4_shuffle(v, v, 0, 1, 0, 1),
                           wasm_v128_xor(wasm_i32x4_shuffle(v, v, 2, 3, 2, 3), minus_2));
        wasm_v128_store(x + i, v);
    }
    for (uint32_t half = 4; half < n; half *= 2)
        for (float *block = x; block < x + size; block += 2 * half)
            for (float *p = block; p < block + half; p += 4) {
                v128_t a = wasm_v128_load(p), b = wasm_v128_load(p + half);
                wasm_v128_store(p, wasm_f32x4_add(a, b));
                wasm_v128_store(p + half, wasm_f32x4_sub(a, b));
            }
}

/* ---- integers ----------------------------------------------------------------------------------------------- */

float nb_largest(const float *x, uint32_t n, float *sum) {
    v128_t top = wasm_f32x4_splat(0), all = top;
    for (uint32_t i = 0; i < n; i += 4) {
        v128_t magnitude = wasm_f32x4_abs(wasm_v128_load(x + i));
        top = wasm_f32x4_pmax(top, magnitude);
        all = wasm_f32x4_add(all, magnitude);
    }
    *sum = nb_sum_f32x4(all);
    return nb_max_f32x4(top);
}

/* Not inlined, like scale_of, to save code: there would be a copy for keys and for values of each element size. */
__attribute__((noinline)) void nb_round_to(int16_t *out, const float *x, uint32_t n, float scale, int32_t most) {
    v128_t inverse = wasm_f32x4_splat(scale > 0x1p-120f ? 1 / scale : 0);
    v128_t half = wasm_f32x4_splat(most == NB_CACHE_Q4_MAX ? 0.5f : 0);
    int32_t least = most == NB_CACHE_Q4_MAX ? -most - 1 : -most;
    for (uint32_t i = 0; i < n; i += 4) {
        v128_t q = nb_round_i32x4(wasm_f32x4_sub(wasm_f32x4_mul(wasm_v128_load(x + i), inverse), half));
        q = wasm_i32x4_max(wasm_i32x4_min(q, wasm_i32x4_splat(most)), wasm_i32x4_splat(least));
        wasm_v128_store64_lane(out + i, wasm_i16x8_narrow_i32x4(q, q), 0);
    }
}

static __attribute__((noinline)) float scale_of(const nb_cache *c, const float *x, uint32_t n, int32_t most) {
    float sum, d = nb_largest(x, n, &sum) / (most == NB_CACHE_Q4_MAX ? 7.5f : (float)most);
    return c->type == NB_TYPE_I16 ? d : nb_f16_to_f32(nb_f32_to_f16(d));
}

static __attribute__((noinline)) void store_scale(const nb_cache *c, uint8_t *scales, uint32_t i, float d) {
    if (c->bits == 4)
        ((uint16_t *)scales)[i] = nb_f32_to_f16(d);
    else
        ((float *)scales)[i] = d;
}

INLINE uint8_t byte_of(int32_t low, int32_t high) {
    return (uint8_t)((low & 15) | high * 16);
}

/* Stores four neighbouring elements of a key; at: the position in its group of eight. */
INLINE void place_four(uint8_t *four, uint32_t at, const int16_t *q, const uint32_t bits) {
    if (bits == 4)
        memcpy(four + 2 * at, (uint8_t[]){byte_of(q[0], q[2]), byte_of(q[1], q[3])}, 2);
    for (uint32_t i = 0; i < 4 && bits != 4; i += 2)
        if (bits == 8)
            memcpy(four + 8 * i + 2 * at, (int8_t[]){(int8_t)q[i], (int8_t)q[i + 1]}, 2);
        else
            memcpy(four + 16 * i + 4 * at, q + i, 4);
}

INLINE void store_key(const nb_cache *c, uint8_t *tile, uint32_t at, const float *x, const uint32_t bits) {
    const uint32_t size = c->head_size;
    const int32_t most = c->k_max;
    uint8_t *elements = tile + c->k_at + (size_t)at / 8 * size * bits;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        int16_t q[NB_CACHE_BLOCK];
        uint32_t n = NB_MIN(NB_CACHE_BLOCK, size - from);
        float d = scale_of(c, x + from, n, most);
        store_scale(c, tile, from / NB_CACHE_BLOCK * NB_CACHE_TILE + at, d);
        nb_round_to(q, x + from, n, d, most);
        NB_LOOP
        for (uint32_t i = 0; i < n; i += 4)
            place_four(elements + (size_t)(from + i) * bits, at % 8, q + i, bits);
    }
}

/* Stores eight elements of one position, one by one: the position beside it may belong to another thread. */
INLINE void place_column(uint8_t *column, const int16_t *q, const uint32_t bits) {
    NB_LOOP
    for (uint32_t i = 0; i < (bits == 4 ? NB_COLUMNS / 2 : NB_COLUMNS); i++)
        if (bits == 4)
            column[2 * i] = byte_of(q[i], q[i + 4]);
        else if (bits == 8)
            column[2 * i] = (uint8_t)q[i];
        else
            memcpy(column + 4 * i, q + i, 2);
}

INLINE void store_value(const nb_cache *c, uint8_t *tile, uint32_t at, const float *x, const uint32_t bits) {
    const uint32_t size = c->value_size, scaled = c->v_block, item = bits == 16 ? 2 : 1;
    const int32_t most = c->v_max;
    uint8_t *elements = tile + c->v_at + at / 2 * 2 * bits + at % 2 * item;
    float d = 0;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        int16_t q[NB_CACHE_BLOCK] = {0};
        uint32_t n = NB_MIN(NB_CACHE_BLOCK, size - from);
        if (from % scaled == 0) {
            d = scale_of(c, x + from, NB_MIN(scaled, size - from), most);
            store_scale(c, tile + c->v_scales_at, from / scaled * NB_CACHE_TILE + at, d);
        }
        nb_round_to(q, x + from, n, d, most);
        for (uint32_t i = 0; i < n; i += NB_COLUMNS)
            place_column(elements + (size_t)(from + i) * NB_CACHE_TILE / 8 * bits, q + i, bits);
    }
}

static void store_integers(const nb_cache *c, uint8_t *tile, uint32_t at, float *k, float *v) {
    if (c->type == NB_TYPE_Q8_0) {
        store_key(c, tile, at, k, 8);
        store_value(c, tile, at, v, 8);
    } else if (c->type == NB_TYPE_Q4_0) {
        nb_hadamard(k, c->head_size);
        nb_hadamard(v, c->value_size);
        store_key(c, tile, at, k, 4);
        store_value(c, tile, at, v, 4);
    } else {
        store_key(c, tile, at, k, 16);
        store_value(c, tile, at, v, 16);
    }
}

/* ---- floats ------------------------------------------------------------------------------------------------- */

/* Rounds to nearest, ties to even, and clamps. Subnormals become 0: they would be slow to read, and hardly matter. */
static void store_f16(uint16_t *out, const float *x, uint32_t size) {
    for (uint32_t i = 0; i < size; i += 4) {
        v128_t bits = wasm_v128_load(x + i), magnitude = wasm_v128_and(bits, wasm_i32x4_splat(0x7fffffff));
        v128_t normal = wasm_i32x4_ge(magnitude, wasm_i32x4_splat(0x38800000)); /* 2^-14 */
        v128_t h = wasm_i32x4_min(magnitude, wasm_i32x4_splat(0x477fe000));     /* 65504 */
        h = wasm_i32x4_add(h, wasm_i32x4_add(wasm_i32x4_splat(0xfff),
                                             wasm_v128_and(wasm_u32x4_shr(h, 13), wasm_i32x4_splat(1))));
        h = wasm_u32x4_shr(wasm_i32x4_sub(h, wasm_i32x4_splat(0x38000000)), 13);
        h = wasm_v128_and(h, normal);
        h = wasm_v128_or(h, wasm_v128_and(wasm_u32x4_shr(bits, 16), wasm_i32x4_splat(0x8000)));
        h = wasm_u16x8_narrow_i32x4(h, h);
        wasm_v128_store64_lane(out + i, h, 0);
    }
}

static void store_floats(const nb_cache *c, uint8_t *out, const float *x, uint32_t size) {
    if (c->type == NB_TYPE_F16)
        store_f16((uint16_t *)out, x, size);
    else
        memcpy(out, x, size * sizeof(float));
}

void nb_cache_store(const nb_cache *c, uint8_t *tile, uint32_t at, float *k, float *v) {
    if (nb_cache_of_integers(c)) {
        store_integers(c, tile, at, k, v);
    } else {
        store_floats(c, tile + c->k_at + (size_t)at * c->head_size * c->bits / 8, k, c->head_size);
        store_floats(c, tile + c->v_at + (size_t)at * c->value_size * c->bits / 8, v, c->value_size);
    }
}

static void widen(float *out, const uint8_t *halves, size_t n, float factor) {
    v128_t mask = nb_held_constant(NB_F16_MASK), unit = nb_held_float(nb_float_of(NB_F16_UNIT) * factor);
    for (size_t i = 0; i < n; i += 4)
        wasm_v128_store(out + i, nb_load_f16x4_with(halves + 2 * i, mask, unit));
}

/* Integers q of 4 bits -> 16 (q + 1/2) in 8 bits, in the order of Q8_0: 32 of them from each 16 bytes. */
static __attribute__((noinline)) void widen_integers(uint8_t *out, const uint8_t *in, size_t bytes, bool values) {
    v128_t mask = nb_held_constant(0xf0f0f0f0), half = nb_held_constant(0x08080808);
    for (size_t i = 0; i < bytes; i += 16) {
        v128_t x = wasm_v128_load(in + i);
        v128_t low = wasm_v128_or(wasm_v128_and(wasm_i16x8_shl(x, 4), mask), half);
        v128_t high = wasm_v128_or(wasm_v128_and(x, mask), half);
        wasm_v128_store(out + 2 * i, values ? wasm_i64x2_shuffle(low, high, 0, 2) : low);
        wasm_v128_store(out + 2 * i + 16, values ? wasm_i64x2_shuffle(low, high, 1, 3) : high);
    }
}

void nb_cache_widen(const nb_cache *c, uint8_t *out, const uint8_t *tile, uint32_t n) {
    nb_cache to = nb_cache_attended(c);
    if (c->type == NB_TYPE_Q4_0) {
        widen((float *)out, tile, (size_t)NB_CACHE_TILE * (c->k_scales + c->v_scales), 1.0f / 16);
        widen_integers(out + to.k_at, tile + c->k_at, c->v_at - c->k_at, false);
        widen_integers(out + to.v_at, tile + c->v_at, c->tile_bytes - c->v_at, true);
    } else {
        widen((float *)out, tile, (size_t)n * c->head_size, 1);
        widen((float *)(out + to.v_at), tile + c->v_at, (size_t)n * c->value_size, 1);
    }
}

/* Not inlined, to save code: there would be a copy for keys and for values. */
static __attribute__((noinline)) void load_floats(const nb_cache *c, float *out, const uint8_t *stored, uint32_t size) {
    for (uint32_t i = 0; i < size; i++)
        out[i] = c->type == NB_TYPE_F16 ? nb_f16_to_f32(((const uint16_t *)stored)[i]) : ((const float *)stored)[i];
}

/* Integer i in the order in which a tile of I16 or Q8_0 has them. Of Q4_0: q + 1/2; half: the distance in that order
 * between the two elements of a byte. */
static __attribute__((noinline)) float integer_at(const nb_cache *c, const uint8_t *elements, uint32_t i,
                                                  uint32_t half) {
    int16_t wide;
    if (c->bits == 4)
        return (float)(int8_t)((elements[i / (2 * half) * half + i % half] << (i & half ? 0 : 4) & 0xf0) | 8) / 16;
    if (c->bits == 8)
        return (int8_t)elements[i];
    memcpy(&wide, elements + 2 * (size_t)i, sizeof wide);
    return wide;
}

static __attribute__((noinline)) float scale_at(const nb_cache *c, const uint8_t *scales, uint32_t i) {
    return c->type == NB_TYPE_Q4_0 ? nb_f16_to_f32(((const uint16_t *)scales)[i]) : ((const float *)scales)[i];
}

void nb_cache_load(const nb_cache *c, const uint8_t *tile, uint32_t at, float *k, float *v) {
    const uint8_t *keys = tile + c->k_at, *values = tile + c->v_at;
    if (!nb_cache_of_integers(c)) {
        load_floats(c, k, keys + (size_t)at * c->head_size * c->bits / 8, c->head_size);
        load_floats(c, v, values + (size_t)at * c->value_size * c->bits / 8, c->value_size);
        return;
    }
    for (uint32_t i = 0; i < c->head_size; i++)
        k[i] = scale_at(c, tile, i / NB_CACHE_BLOCK * NB_CACHE_TILE + at) *
               integer_at(c, keys, at / 8 * 8 * c->head_size + (i / 2 * 8 + at % 8) * 2 + i % 2, 16);
    for (uint32_t i = 0; i < c->value_size; i++)
        v[i] = scale_at(c, tile + c->v_scales_at, i / c->v_block * NB_CACHE_TILE + at) *
               integer_at(c, values,
                          at / 2 * 16 + at % 2 + i / NB_COLUMNS * NB_COLUMNS * NB_CACHE_TILE + i % NB_COLUMNS * 2, 8);
    if (c->type == NB_TYPE_Q4_0) {
        nb_hadamard(k, c->head_size);
        nb_hadamard(v, c->value_size);
    }
}
