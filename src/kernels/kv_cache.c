#include "kv_cache.h"

#include "../base/simd.h"
#include "../types/types.h"

bool nb_cache_supports(uint32_t type) {
    return type == NB_TYPE_F32 || type == NB_TYPE_F16 || type == NB_TYPE_I16 || type == NB_TYPE_Q8_0;
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
    uint32_t stored = value_size;
    c.item = type == NB_TYPE_F32 ? 4 : type == NB_TYPE_Q8_0 ? 1 : 2;
    if (type == NB_TYPE_I16 || type == NB_TYPE_Q8_0) {
        c.v_block = type == NB_TYPE_I16 ? value_size : NB_CACHE_BLOCK;
        c.k_max = type == NB_TYPE_I16 ? 16383 : INT8_MAX;
        c.v_max = type == NB_TYPE_I16 ? INT16_MAX : INT8_MAX;
        c.k_scales = (head_size + NB_CACHE_BLOCK - 1) / NB_CACHE_BLOCK;
        c.v_scales = (value_size + c.v_block - 1) / c.v_block;
        stored = c.value_columns;
    }
    c.v_scales_at = c.k_scales * NB_CACHE_TILE * sizeof(float);
    c.k_at = c.v_scales_at + c.v_scales * NB_CACHE_TILE * sizeof(float);
    c.v_at = c.k_at + (size_t)NB_CACHE_TILE * head_size * c.item;
    c.tile_bytes = c.v_at + (size_t)NB_CACHE_TILE * stored * c.item;
    return c;
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

/* Not inlined, as scale_of, to save code: there would be a copy for keys and for values of each element size. */
__attribute__((noinline)) void nb_round_to(int16_t *out, const float *x, uint32_t n, float scale, int32_t most) {
    v128_t inverse = wasm_f32x4_splat(scale > 0x1p-120f ? 1 / scale : 0);
    for (uint32_t i = 0; i < n; i += 4) {
        v128_t q = nb_round_i32x4(wasm_f32x4_mul(wasm_v128_load(x + i), inverse));
        q = wasm_i32x4_max(wasm_i32x4_min(q, wasm_i32x4_splat(most)), wasm_i32x4_splat(-most));
        wasm_v128_store64_lane(out + i, wasm_i16x8_narrow_i32x4(q, q), 0);
    }
}

static __attribute__((noinline)) float scale_of(const nb_cache *c, const float *x, uint32_t n, int32_t most) {
    float sum, d = nb_largest(x, n, &sum) / (float)most;
    return c->type == NB_TYPE_Q8_0 ? nb_f16_to_f32(nb_f32_to_f16(d)) : d;
}

/* Stores two neighbouring elements of a key as pair i of `elements`. item: bytes of an element. */
INLINE void place_pair(uint8_t *elements, size_t i, const int16_t *q, const uint32_t item) {
    if (item == 1)
        memcpy(elements + 2 * i, (int8_t[]){(int8_t)q[0], (int8_t)q[1]}, 2);
    else
        memcpy(elements + 4 * i, q, 4);
}

INLINE void store_key(const nb_cache *c, uint8_t *tile, uint32_t at, const float *x, const uint32_t item) {
    const uint32_t size = c->head_size;
    const int32_t most = c->k_max;
    uint8_t *elements = tile + c->k_at + (size_t)at / 8 * 8 * size * item;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        int16_t q[NB_CACHE_BLOCK];
        uint32_t n = NB_MIN(NB_CACHE_BLOCK, size - from);
        float d = scale_of(c, x + from, n, most);
        ((float *)tile)[from / NB_CACHE_BLOCK * NB_CACHE_TILE + at] = d;
        nb_round_to(q, x + from, n, d, most);
        NB_LOOP
        for (uint32_t i = 0; i < n; i += 2)
            place_pair(elements, (size_t)(from + i) / 2 * 8 + at % 8, q + i, item);
    }
}

/* Stores eight elements of one position, one by one: the position beside it may belong to another thread. */
INLINE void place_column(uint8_t *column, const int16_t *q, const uint32_t item) {
    for (uint32_t i = 0; i < NB_COLUMNS; i++)
        if (item == 1)
            column[2 * i] = (uint8_t)q[i];
        else
            memcpy(column + 4 * i, q + i, 2);
}

INLINE void store_value(const nb_cache *c, uint8_t *tile, uint32_t at, const float *x, const uint32_t item) {
    const uint32_t size = c->value_size, scaled = c->v_block;
    const int32_t most = c->v_max;
    float *scales = (float *)(tile + c->v_scales_at) + at;
    uint8_t *elements = tile + c->v_at + (at / 2 * 16 + at % 2) * item;
    float d = 0;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        int16_t q[NB_CACHE_BLOCK] = {0};
        uint32_t n = NB_MIN(NB_CACHE_BLOCK, size - from);
        if (from % scaled == 0)
            scales[from / scaled * NB_CACHE_TILE] = d = scale_of(c, x + from, NB_MIN(scaled, size - from), most);
        nb_round_to(q, x + from, n, d, most);
        for (uint32_t i = 0; i < n; i += NB_COLUMNS)
            place_column(elements + (size_t)(from + i) * NB_CACHE_TILE * item, q + i, item);
    }
}

static void store_integers(const nb_cache *c, uint8_t *tile, uint32_t at, const float *k, const float *v) {
    if (c->type == NB_TYPE_Q8_0) {
        store_key(c, tile, at, k, 1);
        store_value(c, tile, at, v, 1);
    } else {
        store_key(c, tile, at, k, 2);
        store_value(c, tile, at, v, 2);
    }
}

/* ---- floats ------------------------------------------------------------------------------------------------- */

/* Rounds to nearest, ties to even, and clamps. Subnormals become 0: they would be slow to read, and hardly matter. */
static void store_halves(uint16_t *out, const float *x, uint32_t size) {
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
        store_halves((uint16_t *)out, x, size);
    else
        memcpy(out, x, size * sizeof(float));
}

void nb_cache_store(const nb_cache *c, uint8_t *tile, uint32_t at, const float *k, const float *v) {
    if (nb_cache_of_integers(c)) {
        store_integers(c, tile, at, k, v);
    } else {
        store_floats(c, tile + c->k_at + (size_t)at * c->head_size * c->item, k, c->head_size);
        store_floats(c, tile + c->v_at + (size_t)at * c->value_size * c->item, v, c->value_size);
    }
}

static void widen(float *out, const uint8_t *halves, size_t n) {
    v128_t mask = nb_held_constant(NB_F16_MASK), unit = nb_held_constant(NB_F16_UNIT);
    for (size_t i = 0; i < n; i += 4)
        wasm_v128_store(out + i, nb_load_f16x4_with(halves + 2 * i, mask, unit));
}

void nb_cache_widen(const nb_cache *c, float *out, const uint8_t *tile, uint32_t n) {
    widen(out, tile + c->k_at, (size_t)n * c->head_size);
    widen(out + NB_CACHE_TILE * c->head_size, tile + c->v_at, (size_t)n * c->value_size);
}

/* Not inlined, to save code: there would be a copy for keys and for values. */
static __attribute__((noinline)) void load_floats(const nb_cache *c, float *out, const uint8_t *stored, uint32_t size) {
    for (uint32_t i = 0; i < size; i++)
        out[i] = c->type == NB_TYPE_F16 ? nb_f16_to_f32(((const uint16_t *)stored)[i]) : ((const float *)stored)[i];
}

static __attribute__((noinline)) float integer_at(const uint8_t *elements, uint32_t i, uint32_t item) {
    int16_t wide;
    if (item == 1)
        return (int8_t)elements[i];
    memcpy(&wide, elements + 2 * (size_t)i, sizeof wide);
    return wide;
}

void nb_cache_load(const nb_cache *c, const uint8_t *tile, uint32_t at, float *k, float *v) {
    const uint8_t *keys = tile + c->k_at, *values = tile + c->v_at;
    if (!nb_cache_of_integers(c)) {
        load_floats(c, k, keys + (size_t)at * c->head_size * c->item, c->head_size);
        load_floats(c, v, values + (size_t)at * c->value_size * c->item, c->value_size);
        return;
    }
    const float *k_scales = (const float *)tile + at, *v_scales = (const float *)(tile + c->v_scales_at) + at;
    for (uint32_t i = 0; i < c->head_size; i++)
        k[i] = k_scales[i / NB_CACHE_BLOCK * NB_CACHE_TILE] *
               integer_at(keys, at / 8 * 8 * c->head_size + (i / 2 * 8 + at % 8) * 2 + i % 2, c->item);
    for (uint32_t i = 0; i < c->value_size; i++)
        v[i] =
            v_scales[i / c->v_block * NB_CACHE_TILE] *
            integer_at(values, at / 2 * 16 + at % 2 + i / NB_COLUMNS * NB_COLUMNS * NB_CACHE_TILE + i % NB_COLUMNS * 2,
                       c->item);
}
