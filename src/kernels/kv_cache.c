#include "kv_cache.h"

#include "../base/simd.h"

#include <math.h>

/* How keys and values of a type are stored. (Values of I16 have integers of their own.) */
typedef struct format {
    uint32_t type, read_as, bits, scale_bytes;
    int32_t least, most;
    bool transformed;
} format;

static const format formats[] = {
    {NB_TYPE_F32, NB_TYPE_F32, 32, 0, 0, 0, false},          {NB_TYPE_F16, NB_TYPE_F32, 16, 0, 0, 0, false},
    {NB_TYPE_I16, NB_TYPE_I16, 16, 4, -16383, 16383, false}, {NB_TYPE_Q8_0, NB_TYPE_Q8_0, 8, 4, -127, 127, false},
    {NB_TYPE_Q4_0, NB_TYPE_Q8_0, 4, 2, -8, 7, true},
};

const char *nb_cache_type_name(uint32_t type) {
    return type == NB_TYPE_F32        ? "F32"
         : type == NB_TYPE_F16        ? "F16"
         : type == NB_TYPE_I16        ? "I16"
         : type == NB_TYPE_Q8_0       ? "Q8_0"
         : type == NB_TYPE_Q4_0       ? "Q4_0"
         : type == NB_CACHE_Q8_0_Q4_0 ? "Q8_0/Q4_0"
                                      : NULL;
}

static nb_cache_part part_of(uint32_t type, uint32_t size, bool values) {
    const format *f = formats;
    while (f->type != type)
        f++;
    size = NB_ROUND_UP(size, 4);
    nb_cache_part p = {
        .type = type,
        .read_as = f->read_as,
        .size = size,
        .columns = size,
        .bits = f->bits,
        .scale_bytes = f->scale_bytes,
        .least = f->least,
        .most = f->most,
        .transformed = f->transformed,
    };
    if (f->scale_bytes) {
        p.block = NB_CACHE_BLOCK;
        p.columns = values ? NB_ROUND_UP(size, NB_COLUMNS) : size;
        if (values && type == NB_TYPE_I16) { /* softmax weights add up to 2^15, so all 16 bits have room */
            p.block = size;
            p.least = -INT16_MAX;
            p.most = INT16_MAX;
        }
        p.scales = (size + p.block - 1) / p.block;
    }
    p.at_bytes = (size_t)NB_CACHE_TILE / 8 * p.columns * p.bits;
    return p;
}

static nb_cache cache_of(uint32_t keys, uint32_t values, uint32_t head_size, uint32_t value_size) {
    nb_cache c = {
        .type = keys == values ? keys : keys | values << 8,
        .keys = part_of(keys, head_size, false),
        .values = part_of(values, value_size, true),
    };
    c.values.scales_at = (size_t)NB_CACHE_TILE * c.keys.scales * c.keys.scale_bytes;
    c.keys.at = c.values.scales_at + (size_t)NB_CACHE_TILE * c.values.scales * c.values.scale_bytes;
    c.values.at = c.keys.at + c.keys.at_bytes;
    c.tile_bytes = c.values.at + c.values.at_bytes;
    return c;
}

nb_cache nb_cache_of(uint32_t type, uint32_t head_size, uint32_t value_size) {
    return cache_of(type & 255, type > 255 ? type >> 8 : type, head_size, value_size);
}

nb_cache nb_cache_attended(const nb_cache *c) {
    bool same_keys = c->keys.read_as == c->keys.type, same_values = c->values.read_as == c->values.type;
    if (same_keys && same_values)
        return *c;
    nb_cache to = cache_of(c->keys.read_as, c->values.read_as, c->keys.size, c->values.size);
    if (same_keys)
        to.keys = c->keys;
    if (same_values)
        to.values = c->values;
    return to;
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
__attribute__((noinline)) void nb_round_to(int16_t *out, const float *x, uint32_t n, float scale, int32_t least,
                                           int32_t most) {
    v128_t inverse = wasm_f32x4_splat(scale > 0x1p-120f ? 1 / scale : 0);
    v128_t middle = wasm_f32x4_splat((float)(least + most) / 2);
    for (uint32_t i = 0; i < n; i += 4) {
        v128_t q = nb_round_i32x4(wasm_f32x4_add(wasm_f32x4_mul(wasm_v128_load(x + i), inverse), middle));
        q = wasm_i32x4_max(wasm_i32x4_min(q, wasm_i32x4_splat(most)), wasm_i32x4_splat(least));
        wasm_v128_store64_lane(out + i, wasm_i16x8_narrow_i32x4(q, q), 0);
    }
}

/* Scales of 8 and 4 bits are rounded to F16. */
static __attribute__((noinline)) float scale_of(const nb_cache_part *p, const float *x, uint32_t n) {
    float sum, d = nb_largest(x, n, &sum) / ((float)(p->most - p->least) / 2);
    return p->bits == 16 ? d : nb_f16_to_f32(nb_f32_to_f16(d));
}

static __attribute__((noinline)) void store_scale(const nb_cache_part *p, uint8_t *tile, uint32_t i, float d) {
    if (p->scale_bytes == 2)
        ((uint16_t *)(tile + p->scales_at))[i] = nb_f32_to_f16(d);
    else
        ((float *)(tile + p->scales_at))[i] = d;
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

INLINE void store_key(const nb_cache_part *p, uint8_t *tile, uint32_t at, const float *x, const uint32_t bits) {
    const uint32_t size = p->size;
    uint8_t *elements = tile + p->at + (size_t)at / 8 * size * bits;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        int16_t q[NB_CACHE_BLOCK];
        uint32_t n = NB_MIN(NB_CACHE_BLOCK, size - from);
        float d = scale_of(p, x + from, n);
        store_scale(p, tile, from / NB_CACHE_BLOCK * NB_CACHE_TILE + at, d);
        nb_round_to(q, x + from, n, d, p->least, p->most);
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

INLINE void store_value(const nb_cache_part *p, uint8_t *tile, uint32_t at, const float *x, const uint32_t bits) {
    const uint32_t size = p->size, scaled = p->block, item = bits == 16 ? 2 : 1;
    uint8_t *elements = tile + p->at + at / 2 * 2 * bits + at % 2 * item;
    float d = 0;
    for (uint32_t from = 0; from < size; from += NB_CACHE_BLOCK) {
        int16_t q[NB_CACHE_BLOCK] = {0};
        uint32_t n = NB_MIN(NB_CACHE_BLOCK, size - from);
        if (from % scaled == 0) {
            d = scale_of(p, x + from, NB_MIN(scaled, size - from));
            store_scale(p, tile, from / scaled * NB_CACHE_TILE + at, d);
        }
        nb_round_to(q, x + from, n, d, p->least, p->most);
        for (uint32_t i = 0; i < n; i += NB_COLUMNS)
            place_column(elements + (size_t)(from + i) * NB_CACHE_TILE / 8 * bits, q + i, bits);
    }
}

static void store_integers(const nb_cache *c, uint8_t *tile, uint32_t at, float *k, float *v) {
    if (c->keys.transformed)
        nb_hadamard(k, c->keys.size);
    if (c->values.transformed)
        nb_hadamard(v, c->values.size);
    if (c->keys.bits == 4)
        store_key(&c->keys, tile, at, k, 4);
    else if (c->keys.bits == 8)
        store_key(&c->keys, tile, at, k, 8);
    else
        store_key(&c->keys, tile, at, k, 16);
    if (c->values.bits == 4)
        store_value(&c->values, tile, at, v, 4);
    else if (c->values.bits == 8)
        store_value(&c->values, tile, at, v, 8);
    else
        store_value(&c->values, tile, at, v, 16);
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

/* Where the floats of a position are. */
static size_t floats_at(const nb_cache_part *p, uint32_t at) {
    return p->at + (size_t)at * p->size * p->bits / 8;
}

static void store_floats(const nb_cache_part *p, uint8_t *tile, uint32_t at, const float *x) {
    uint8_t *out = tile + floats_at(p, at);
    if (p->type == NB_TYPE_F16)
        store_f16((uint16_t *)out, x, p->size);
    else
        memcpy(out, x, p->size * sizeof(float));
}

void nb_cache_store(const nb_cache *c, uint8_t *tile, uint32_t at, float *k, float *v) {
    if (nb_cache_of_integers(c)) {
        store_integers(c, tile, at, k, v);
    } else {
        store_floats(&c->keys, tile, at, k);
        store_floats(&c->values, tile, at, v);
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

static void widen_part(const nb_cache_part *to, const nb_cache_part *from, uint8_t *out, const uint8_t *tile,
                       uint32_t n, bool values) {
    if (to->type == from->type)
        return;
    if (from->scales) {
        widen((float *)(out + to->scales_at), tile + from->scales_at, (size_t)NB_CACHE_TILE * from->scales, 1.0f / 16);
        widen_integers(out + to->at, tile + from->at, from->at_bytes, values);
    } else {
        widen((float *)(out + to->at), tile + from->at, (size_t)n * from->size, 1);
    }
}

void nb_cache_widen(const nb_cache *c, uint8_t *out, const uint8_t *tile, uint32_t n) {
    nb_cache to = nb_cache_attended(c);
    widen_part(&to.keys, &c->keys, out, tile, n, false);
    widen_part(&to.values, &c->values, out, tile, n, true);
}

/* Not inlined, to save code: there would be a copy for keys and for values. */
static __attribute__((noinline)) void load_floats(const nb_cache_part *p, float *out, const uint8_t *tile,
                                                  uint32_t at) {
    const uint8_t *stored = tile + floats_at(p, at);
    for (uint32_t i = 0; i < p->size; i++)
        out[i] = p->type == NB_TYPE_F16 ? nb_f16_to_f32(((const uint16_t *)stored)[i]) : ((const float *)stored)[i];
}

/* Integer i in the order in which a tile of I16 or Q8_0 has them. Of Q4_0: q + 1/2; half: the distance in that order
 * between the two elements of a byte. */
static __attribute__((noinline)) float integer_at(const nb_cache_part *p, const uint8_t *tile, uint32_t i,
                                                  uint32_t half) {
    const uint8_t *elements = tile + p->at;
    int16_t wide;
    if (p->bits == 4)
        return (float)(int8_t)((elements[i / (2 * half) * half + i % half] << (i & half ? 0 : 4) & 0xf0) | 8) / 16;
    if (p->bits == 8)
        return (int8_t)elements[i];
    memcpy(&wide, elements + 2 * (size_t)i, sizeof wide);
    return wide;
}

/* The scale of element i of a position. */
static __attribute__((noinline)) float scale_at(const nb_cache_part *p, const uint8_t *tile, uint32_t at, uint32_t i) {
    const uint8_t *scales = tile + p->scales_at;
    i = i / p->block * NB_CACHE_TILE + at;
    return p->scale_bytes == 2 ? nb_f16_to_f32(((const uint16_t *)scales)[i]) : ((const float *)scales)[i];
}

void nb_cache_load(const nb_cache *c, const uint8_t *tile, uint32_t at, float *k, float *v) {
    const nb_cache_part *keys = &c->keys, *values = &c->values;
    if (!nb_cache_of_integers(c)) {
        load_floats(keys, k, tile, at);
        load_floats(values, v, tile, at);
        return;
    }
    for (uint32_t i = 0; i < keys->size; i++)
        k[i] = scale_at(keys, tile, at, i) *
               integer_at(keys, tile, at / 8 * 8 * keys->size + (i / 2 * 8 + at % 8) * 2 + i % 2, 16);
    for (uint32_t i = 0; i < values->size; i++)
        v[i] = scale_at(values, tile, at, i) *
               integer_at(values, tile,
                          at / 2 * 16 + at % 2 + i / NB_COLUMNS * NB_COLUMNS * NB_CACHE_TILE + i % NB_COLUMNS * 2, 8);
    if (keys->transformed)
        nb_hadamard(k, keys->size);
    if (values->transformed)
        nb_hadamard(v, values->size);
}
