#include "packing.h"

#include "../base/numbers.h"
#include "../base/simd.h"
#include "../types/dequantize.h"
#include "../types/traits.h"

#pragma STDC FP_CONTRACT OFF /* nb_matrix_row rounds as the dequantizers do */

uint32_t nb_kernel_type(uint32_t type) {
    switch (type) {
    case NB_TYPE_TQ1_0: return NB_TYPE_TQ2_0;
    case NB_TYPE_FP4: return NB_TYPE_NF4;
    case NB_TYPE_IQ1_S:
    case NB_TYPE_IQ1_M:
    case NB_TYPE_IQ2_XXS:
    case NB_TYPE_IQ2_XS: return NB_TYPE_IQ2_S;
    case NB_TYPE_IQ3_XXS: return NB_TYPE_IQ3_S;
    default: return type;
    }
}

const int8_t *nb_codebook_of(uint32_t type) {
    return nb_layout_of(type).codebook;
}

uint32_t nb_group_rows(uint32_t type) {
    return nb_layout_of(type).bits ? NB_GROUP : 1;
}

uint64_t nb_group_bytes(uint32_t type, uint64_t columns) {
    nb_layout l = nb_layout_of(type);
    if (l.bits)
        return columns / (32 * l.tiles) * (nb_layout_head(l) + (uint64_t)l.tiles * nb_layout_tile(l));
    return columns / nb_traits_of(type)->block_weights * nb_traits_of(type)->block_bytes;
}

uint64_t nb_matrix_bytes(uint32_t type, uint64_t rows, uint64_t columns) {
    uint32_t group = nb_group_rows(type);
    return (rows + group - 1) / group * nb_group_bytes(type, columns);
}

nb_matrix nb_matrix_view(const nb_matrix *m, uint32_t first, uint32_t rows) {
    nb_matrix view = *m;
    view.rows = rows;
    view.first += first;
    if (view.data) /* NULL in a model that is only tried (nb_model_try) */
        view.data += (size_t)(first / nb_group_rows(m->type)) * m->group_bytes;
    if (m->n_scales > 1) { /* an expert */
        view.scales += first / (m->rows / m->n_scales);
        view.n_scales = 1;
    }
    return view;
}

/* ---- packing ------------------------------------------------------------------------------------------------ */

/* Bit i of 16 -> byte i, as 0 or 1. */
INLINE v128_t spread(const uint8_t *bits) {
    v128_t mask = wasm_i8x16_make(1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128);
    v128_t both = wasm_v128_load16_splat(bits);
    both = wasm_i8x16_shuffle(both, both, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1);
    return wasm_v128_and(wasm_i8x16_eq(wasm_v128_and(both, mask), mask), wasm_i8x16_splat(1));
}

/* Each byte's bits [from, from + n), moved to bit `to`. By shifts of 16-bit lanes, as x86 has none of bytes; the
 * neighbour's bits are masked away. */
INLINE v128_t moved(v128_t v, uint32_t from, uint32_t n, uint32_t to) {
    v = from > to ? wasm_u16x8_shr(v, from - to) : wasm_i16x8_shl(v, to - from);
    return wasm_v128_and(v, wasm_i8x16_splat((int8_t)(((1 << n) - 1) << to)));
}

INLINE v128_t field(const uint8_t *bytes, uint32_t from, uint32_t n, uint32_t to) {
    return moved(wasm_v128_load(bytes), from, n, to);
}

/* Two bits each of 4 bytes, from the lowest on -> 16 bytes. */
INLINE v128_t quarters(const uint8_t *bytes) {
    v128_t each = wasm_v128_load32_zero(bytes), out = wasm_i8x16_splat(0);
    each = wasm_i8x16_shuffle(each, each, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3);
    for (uint32_t i = 0; i < 4; i++)
        out = wasm_v128_or(out, wasm_v128_and(moved(each, 2 * i, 2, 0), wasm_i32x4_splat((int32_t)(255u << (8 * i)))));
    return out;
}

/* The codes of columns 16n ... 16n+15 of a tile, which is the tile-th 32 columns of a block of the file (types.h has
 * its layout). Not for types that have pairs_at. */
INLINE v128_t codes_of(const uint32_t type, const uint8_t *block, uint32_t tile, uint32_t n) {
    uint32_t half = tile / 4, r = tile % 4;
    switch (type) {
    case NB_TYPE_Q5_0:
        return wasm_v128_or(field(block + offsetof(nb_block_q5_0, q), 4 * n, 4, 0),
                            wasm_i16x8_shl(spread(block + offsetof(nb_block_q5_0, high) + 2 * n), 4));
    case NB_TYPE_Q5_1:
        return wasm_v128_or(field(block + offsetof(nb_block_q5_1, q), 4 * n, 4, 0),
                            wasm_i16x8_shl(spread(block + offsetof(nb_block_q5_1, high) + 2 * n), 4));
    case NB_TYPE_Q1_0: return spread(block + offsetof(nb_block_q1_0, q) + 4 * tile + 2 * n);
    case NB_TYPE_Q2_K: return field(block + offsetof(nb_block_q2_k, q) + 32 * half + 16 * n, 2 * r, 2, 0);
    case NB_TYPE_TQ2_0: return field(block + offsetof(nb_block_tq2_0, q) + 32 * half + 16 * n, 2 * r, 2, 0);
    case NB_TYPE_Q2_0: return quarters(block + offsetof(nb_block_q2_0, q) + 8 * tile + 4 * n);
    case NB_TYPE_Q3_K:
        return wasm_v128_or(field(block + offsetof(nb_block_q3_k, q) + 32 * half + 16 * n, 2 * r, 2, 0),
                            field(block + offsetof(nb_block_q3_k, high) + 16 * n, tile, 1, 2));
    case NB_TYPE_Q4_K:
        return field(block + offsetof(nb_block_q4_k, q) + 32 * (tile / 2) + 16 * n, 4 * (tile % 2), 4, 0);
    case NB_TYPE_Q5_K:
        return wasm_v128_or(field(block + offsetof(nb_block_q5_k, q) + 32 * (tile / 2) + 16 * n, 4 * (tile % 2), 4, 0),
                            field(block + offsetof(nb_block_q5_k, high) + 16 * n, tile, 1, 4));
    case NB_TYPE_NF4:
    case NB_TYPE_FP4: { /* two a byte, the first in the high half */
        v128_t both = wasm_v128_load64_zero(block + offsetof(nb_block_nf4, q) + 16 * tile + 8 * n);
        v128_t first = moved(both, 4, 4, 0), second = moved(both, 0, 4, 0);
        return wasm_i8x16_shuffle(first, second, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
    }
    case NB_TYPE_NVFP4: { /* 16 columns in 8 bytes, the first half of them in the low halves */
        v128_t both = wasm_v128_load64_zero(block + offsetof(nb_block_nvfp4, q) + 16 * tile + 8 * n);
        return wasm_i64x2_shuffle(moved(both, 0, 4, 0), moved(both, 4, 4, 0), 0, 2);
    }
    case NB_TYPE_Q8_0:
        return wasm_v128_xor(wasm_v128_load(block + offsetof(nb_block_q8_0, q) + 16 * n), wasm_i8x16_splat(-128));
    case NB_TYPE_Q6_K:
        return wasm_v128_or(field(block + offsetof(nb_block_q6_k, q) + 64 * half + 32 * (r % 2) + 16 * n, 4 * (r / 2),
                                  4, 0),
                            field(block + offsetof(nb_block_q6_k, high) + 32 * half + 16 * n, 2 * r, 2, 4));
    default: __builtin_trap(); /* a new type belongs here, or into pairs_at */
    }
}

/* Offset in a block of the tile's 16 bytes, if their low and high halves are columns i and i + 16 as in the packed
 * layout: they need no unpacking. 0: for other types. */
INLINE size_t pairs_at(const uint32_t type, uint32_t tile) {
    switch (type) {
    case NB_TYPE_Q4_0: return offsetof(nb_block_q4_0, q);
    case NB_TYPE_Q4_1: return offsetof(nb_block_q4_1, q);
    case NB_TYPE_IQ4_NL: return offsetof(nb_block_iq4_nl, q);
    case NB_TYPE_MXFP4: return offsetof(nb_block_mxfp4, q);
    case NB_TYPE_IQ4_XS: return offsetof(nb_block_iq4_xs, q) + 16 * tile;
    default: return 0;
    }
}

/* 4x4 transpose of 32-bit lanes, in place: v[j] becomes lane j of the four. */
INLINE void transpose(v128_t *v) {
    v128_t ab = wasm_i32x4_shuffle(v[0], v[1], 0, 4, 1, 5), cd = wasm_i32x4_shuffle(v[2], v[3], 0, 4, 1, 5);
    v128_t ab2 = wasm_i32x4_shuffle(v[0], v[1], 2, 6, 3, 7), cd2 = wasm_i32x4_shuffle(v[2], v[3], 2, 6, 3, 7);
    v[0] = wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5);
    v[1] = wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7);
    v[2] = wasm_i32x4_shuffle(ab2, cd2, 0, 1, 4, 5);
    v[3] = wasm_i32x4_shuffle(ab2, cd2, 2, 3, 6, 7);
}

/* Codes, columns 0 ... 15 and 16 ... 31 of four rows each -> a tile's bit, pair and half, or whole. One function for
 * any number of bits: one for each would be faster, but 3 KB larger, and no disk or network delivers more than the 2 G
 * weights/s of this one. */
static __attribute__((noinline)) void place_codes(uint8_t *out, v128_t *first, v128_t *second, uint32_t bits) {
    transpose(first);
    transpose(second);
    for (uint32_t j = 0; j < 4 && bits == 8; j++) {
        wasm_v128_store(out + 32 * j, first[j]);
        wasm_v128_store(out + 32 * j + 16, second[j]);
    }
    v128_t bit = wasm_i8x16_splat(0), pair[2] = {wasm_i8x16_splat(0), wasm_i8x16_splat(0)};
    uint8_t *halves = out + (bits & 1) * 16 + (bits & 2) * 16;
    for (uint32_t i = 0; i < 8; i++) {
        v128_t v = i % 2 ? second[i / 2] : first[i / 2];
        if (bits & 2)
            pair[i / 4] = wasm_v128_or(pair[i / 4], moved(v, bits & 4, 2, 2 * (i % 4)));
        if (bits & 1)
            bit = wasm_v128_or(bit, moved(v, bits & 6, 1, i));
    }
    if (bits & 1)
        wasm_v128_store(out, bit);
    for (uint32_t i = 0; i < (bits & 2); i++)
        wasm_v128_store(out + (bits & 1) * 16 + 16 * i, pair[i]);
    for (uint32_t j = 0; j < (bits & 4); j++)
        wasm_v128_store(halves + 16 * j, wasm_v128_or(moved(first[j], 0, 4, 0), moved(second[j], 0, 4, 4)));
}

/* Where a block of the file has its d; m follows. */
INLINE size_t d_at(const uint32_t type) {
    return type == NB_TYPE_Q2_K  ? offsetof(nb_block_q2_k, d)
         : type == NB_TYPE_Q3_K  ? offsetof(nb_block_q3_k, d)
         : type == NB_TYPE_Q6_K  ? offsetof(nb_block_q6_k, d)
         : type == NB_TYPE_TQ2_0 ? offsetof(nb_block_tq2_0, d)
                                 : 0;
}

/* What scales all of a block, d and m of the four rows. */
INLINE void place_d(const uint32_t type, uint8_t *out, const uint8_t *const *blocks, bool minimum) {
    const size_t at = d_at(type), size = nb_layout_of(type).float_d ? sizeof(float) : 2;
    for (uint32_t r = 0; r < NB_GROUP; r++) {
        if (type == NB_TYPE_MXFP4) {
            float d = nb_half_e8m0_to_f32(blocks[r][0]);
            memcpy(out + size * r, &d, size);
            continue;
        }
        memcpy(out + size * r, blocks[r] + at, size);
        if (minimum)
            memcpy(out + 8 + 2 * r, blocks[r] + at + 2, 2);
    }
}

/* A K type's scales of a tile, row r. */
INLINE void place_scales(const uint32_t type, uint8_t *out, const uint8_t *block, uint32_t tile, uint32_t r) {
    switch (type) {
    case NB_TYPE_Q2_K:
        out[r] = block[2 * tile];
        out[4 + r] = block[2 * tile + 1];
        break;
    case NB_TYPE_Q3_K:
        out[r] = (uint8_t)nb_q3_k_scale(block + offsetof(nb_block_q3_k, scales), 2 * tile);
        out[4 + r] = (uint8_t)nb_q3_k_scale(block + offsetof(nb_block_q3_k, scales), 2 * tile + 1);
        break;
    case NB_TYPE_NVFP4:
        for (uint32_t n = 0; n < 2; n++) /* 127 is 0, 255 is not (nb_half_e4m3_to_f32) */
            out[4 * n + r] = block[2 * tile + n] == 127 ? 0 : block[2 * tile + n] & 127;
        break;
    case NB_TYPE_Q6_K:
        out[r] = block[offsetof(nb_block_q6_k, scales) + 2 * tile];
        out[4 + r] = block[offsetof(nb_block_q6_k, scales) + 2 * tile + 1];
        break;
    case NB_TYPE_IQ4_XS: {
        nb_block_iq4_xs b; /* the file's may lie at any address */
        memcpy(&b, block, offsetof(nb_block_iq4_xs, q));
        out[r] = (uint8_t)nb_iq4_xs_scale(&b, tile);
        break;
    }
    case NB_TYPE_Q4_K:
    case NB_TYPE_Q5_K: /* at the same offset */
        out[r] = (uint8_t)nb_q4_k_scale(block + offsetof(nb_block_q4_k, scales), tile);
        out[4 + r] = (uint8_t)nb_q4_k_minimum(block + offsetof(nb_block_q4_k, scales), tile);
        break;
    default: __builtin_trap(); /* a new K type belongs here */
    }
}

INLINE void pack(const uint32_t type, const uint8_t *const *rows, uint8_t *group, size_t columns, size_t block_bytes) {
    const nb_layout l = nb_layout_of(type);
    const bool paired = pairs_at(type, 0);
    if (!l.tiles)
        __builtin_trap(); /* a new type belongs into nb_layout_of */
    for (size_t b = 0; b < columns / (32 * l.tiles); b++) {
        const uint8_t *blocks[NB_GROUP];
        for (uint32_t r = 0; r < NB_GROUP; r++)
            blocks[r] = rows[r] + b * block_bytes;
        if (!l.headless)
            place_d(type, group, blocks, l.minimum); /* into the head, or the one tile */
        group += nb_layout_head(l);
        for (uint32_t tile = 0; tile < l.tiles; tile++, group += nb_layout_tile(l)) {
            v128_t codes[2][NB_GROUP];
            uint8_t *to = group + l.scales;
            NB_LOOP /* unrolled, all types together are 2 KB larger */
                for (uint32_t r = 0; r < NB_GROUP; r++) {
                if (l.scales && l.tiles > 1)
                    place_scales(type, group, blocks[r], tile, r);
                for (uint32_t n = 0; n < 2; n++)
                    codes[n][r] =
                        paired ? wasm_v128_load(blocks[r] + pairs_at(type, tile)) : codes_of(type, blocks[r], tile, n);
            }
            if (paired) {
                transpose(codes[0]);
                for (uint32_t j = 0; j < 4; j++)
                    wasm_v128_store(to + 16 * j, codes[0][j]);
            } else
                place_codes(to, codes[0], codes[1], l.bits);
        }
    }
}

/* The codes of 16 weights w. They are ds q exactly, with whole numbers q, so rounding w / ds finds q. -0 gets a code
 * with a minus sign, so that nb_matrix_row gives it back. places: of places_of. */
static v128_t codes_by_value(nb_layout l, const float *w, float ds, v128_t places) {
    v128_t inverse = wasm_f32x4_splat(ds == 0 ? ds : 1 / ds), q[4], minus[4];
    for (uint32_t i = 0; i < 4; i++) {
        v128_t x = wasm_f32x4_mul(wasm_v128_load(w + 4 * i), inverse);
        minus[i] = wasm_i32x4_shr(x, 31);
        q[i] = nb_round_i32x4(wasm_f32x4_abs(x));
    }
    v128_t magnitude =
               wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(q[0], q[1]), wasm_i16x8_narrow_i32x4(q[2], q[3])),
           sign = wasm_i8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(minus[0], minus[1]),
                                          wasm_i16x8_narrow_i32x4(minus[2], minus[3]));
    if (!l.codebook) { /* TQ1_0: q = -1, 0, 1. -0 is ds q with ds = 0, q = -1 */
        magnitude = wasm_u8x16_max(magnitude, wasm_v128_and(sign, wasm_i8x16_splat(1)));
        return wasm_i8x16_add(wasm_i8x16_sub(wasm_v128_xor(magnitude, sign), sign), wasm_i8x16_splat((int8_t)l.zero));
    }
    v128_t place = wasm_i8x16_swizzle(places, wasm_u8x16_shr(magnitude, l.shift));
    return wasm_v128_or(place, wasm_v128_and(sign, wasm_i8x16_splat((int8_t)(1 << (l.bits - 1)))));
}

/* Byte magnitude >> shift = the place of that magnitude in the codebook. */
static v128_t places_of(nb_layout l) {
    uint8_t places[16] = {0};
    for (uint8_t i = 0; l.codebook && i < 1 << (l.bits - 1); i++)
        places[(uint32_t)l.codebook[i] >> l.shift & 15] = i;
    return wasm_v128_load(places);
}

/* Packs a type whose weights share codes in the file: dequantizes each block, and finds each weight's code from its
 * value. rows: [NB_GROUP], as in the file. */
static void pack_by_value(uint32_t type, const uint8_t *const *rows, uint8_t *group, size_t columns) {
    const nb_layout l = nb_layout_of(type);
    const nb_traits *traits = nb_traits_of(type);
    const v128_t places = places_of(l);
    for (size_t b = 0; b < columns / NB_SUPERBLOCK; b++) {
        _Alignas(16) uint8_t blocks[NB_GROUP][NB_MAX_GRID_BLOCK]; /* the file's may lie at any address */
        _Alignas(16) float w[NB_GROUP][NB_SUPERBLOCK], d[NB_GROUP];
        for (uint32_t r = 0; r < NB_GROUP; r++) {
            memcpy(blocks[r], rows[r] + b * traits->block_bytes, traits->block_bytes);
            traits->dequantize(blocks[r], w[r], NB_SUPERBLOCK);
            d[r] = nb_grid_d(type, blocks[r]);
            if (l.float_d)
                memcpy(group + 4 * r, &d[r], 4);
            else
                memcpy(group + 2 * r, blocks[r] + offsetof(nb_block_tq1_0, d), 2);
        }
        group += nb_layout_head(l);
        for (uint32_t tile = 0; tile < l.tiles; tile++, group += nb_layout_tile(l)) {
            v128_t codes[2][NB_GROUP];
            for (uint32_t r = 0; r < NB_GROUP; r++)
                for (uint32_t n = 0; n < 2; n++) {
                    uint32_t s = nb_grid_scale(type, blocks[r], 2 * tile + n);
                    if (l.scales)
                        group[4 * n + r] = (uint8_t)s;
                    codes[n][r] = codes_by_value(l, w[r] + 32 * tile + 16 * n, d[r] * (float)s, places);
                }
            place_codes(group + l.scales, codes[0], codes[1], l.bits);
        }
    }
}

void nb_matrix_pack(nb_matrix *m, uint32_t first, const uint8_t *rows) {
    const nb_traits *traits = nb_traits_of(m->type);
    size_t block_bytes = traits->block_bytes, row_bytes = m->columns / traits->block_weights * block_bytes;
    uint8_t *group = m->data + first / nb_group_rows(m->type) * m->group_bytes;
    const uint8_t *each[NB_GROUP];
    for (uint32_t r = 0; r < NB_GROUP; r++) /* past the end, the last row again: kernels do not store its products */
        each[r] = rows + NB_MIN(r, m->rows - 1 - first) * row_bytes;
    if (!nb_layout_of(m->type).bits) {
        memcpy(group, rows, row_bytes);
        return;
    }
    if (nb_layout_of(m->type).by_value) {
        pack_by_value(m->type, each, group, m->columns);
        return;
    }
    switch (m->type) {
#define PACK(TYPE) \
    case NB_TYPE_##TYPE: pack(NB_TYPE_##TYPE, each, group, m->columns, block_bytes); break;
        NB_PACKED_TYPES(PACK)
    default: __builtin_trap(); /* the type has a layout, but is not in the list */
    }
}

/* ---- one row back to F32 ------------------------------------------------------------------------------------ */

static float half_at(const uint8_t *p, uint32_t r) {
    uint16_t bits;
    memcpy(&bits, p + 2 * r, 2);
    return nb_f16_to_f32(bits);
}

/* Column i (0 ... 31) of row r, from a tile's codes. */
static int32_t code_of(nb_layout l, const uint8_t *codes, uint32_t r, uint32_t i) {
    uint32_t j = i % 16 / 4, v = 2 * j + i / 16, lane = 4 * r + i % 4, at = l.bits & 4, code = 0;
    if (l.bits == 8)
        return codes[16 * v + lane];
    const uint8_t *pairs = codes + (l.bits & 1) * 16, *halves = pairs + (l.bits & 2) * 16;
    if (l.bits & 4)
        code = halves[16 * j + lane] >> (i / 16 * 4) & 15;
    if (l.bits & 2)
        code |= (uint32_t)(pairs[v / 4 * 16 + lane] >> (2 * (v % 4)) & 3) << at;
    if (l.bits & 1)
        code |= (uint32_t)(codes[lane] >> v & 1) << (at + (l.bits & 2));
    return (int32_t)code;
}

/* Scale and minimum of column i (0 ... 31) of row r. */
static void scale_of(uint32_t type, nb_layout l, const uint8_t *scales, uint32_t r, uint32_t i, float *s, float *z) {
    uint8_t byte = scales[(l.columns == 16 ? i / 16 * 4 : 0) + r];
    *s = type == NB_TYPE_NVFP4 ? nb_half_e4m3_to_f32(byte | 128)
       : type == NB_TYPE_Q2_K  ? (float)(byte & 15)
       : l.minimum             ? (float)byte
                               : (float)(int8_t)byte;
    *z = type == NB_TYPE_Q2_K ? (float)(byte >> 4) : (float)scales[4 + r];
}

void nb_matrix_row(const nb_matrix *m, uint32_t row, float *out) {
    const nb_layout l = nb_layout_of(m->type);
    const uint8_t *at = m->data + row / nb_group_rows(m->type) * m->group_bytes;
    if (!l.bits) {
        nb_traits_of(m->type)->dequantize(at, out, m->columns);
        return;
    }
    uint32_t r = row % NB_GROUP;
    for (uint32_t b = 0; b < m->columns / (32 * l.tiles); b++) {
        float d = 1;
        if (l.float_d)
            memcpy(&d, at + 4 * r, sizeof d);
        else if (!l.headless)
            d = half_at(at, r);
        float low = l.minimum ? half_at(at + 8, r) : 0;
        at += nb_layout_head(l);
        for (uint32_t tile = 0; tile < l.tiles; tile++, at += nb_layout_tile(l))
            for (uint32_t i = 0; i < 32; i++) {
                int32_t q = code_of(l, at + l.scales, r, i);
                if (l.float_codebook) {
                    *out++ = l.float_codebook[q] * d;
                    continue;
                }
                float code = (float)(l.codebook ? l.codebook[q] : q - l.zero), s, z;
                if (l.tiles == 1 || !l.scales) {
                    *out++ = l.minimum ? d * code + low : d * code;
                    continue;
                }
                scale_of(m->type, l, at, r, i, &s, &z);
                *out++ = l.minimum ? d * s * code - low * z : d * s * code;
            }
    }
}
