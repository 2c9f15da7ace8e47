#include "packing.h"

#include "../base/numbers.h"
#include "simd.h"
#include "traits.h"

/* Where the tile of row r's columns 32b ... 32b+31 begins; a tile has four of the file's blocks. */
static size_t tile_at(size_t b, size_t r, size_t block_bytes) {
    return (2 * b + r / NB_TILE) * NB_TILE * block_bytes;
}

/* 4x4 transpose of 32-bit lanes: out[j] is lane j of the four rows. */
static inline void transpose(const v128_t *rows, uint8_t *out) {
    v128_t ab = wasm_i32x4_shuffle(rows[0], rows[1], 0, 4, 1, 5), cd = wasm_i32x4_shuffle(rows[2], rows[3], 0, 4, 1, 5);
    v128_t ab2 = wasm_i32x4_shuffle(rows[0], rows[1], 2, 6, 3, 7), cd2 = wasm_i32x4_shuffle(rows[2], rows[3], 2, 6, 3, 7);
    wasm_v128_store(out, wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5));
    wasm_v128_store(out + 16, wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7));
    wasm_v128_store(out + 32, wasm_i32x4_shuffle(ab2, cd2, 0, 1, 4, 5));
    wasm_v128_store(out + 48, wasm_i32x4_shuffle(ab2, cd2, 2, 3, 6, 7));
}

static inline void pack_q4(const uint8_t *rows, uint8_t *group, size_t columns, const size_t halves) {
    const size_t block = 2 * halves + 16, row = columns / 32 * block;
    for (size_t b = 0; b < columns / 32; b++)
        for (size_t r = 0; r < NB_GROUP; r += NB_TILE) {
            uint8_t *tile = group + tile_at(b, r, block);
            v128_t q[NB_TILE];
            for (size_t lane = 0; lane < NB_TILE; lane++) {
                const uint8_t *in = rows + (r + lane) * row + b * block;
                for (size_t h = 0; h < halves; h++)
                    memcpy(tile + 8 * h + 2 * lane, in + 2 * h, 2);
                q[lane] = wasm_v128_load(in + 2 * halves);
            }
            transpose(q, tile + 8 * halves);
        }
}

static void pack_q4_0(const uint8_t *rows, uint8_t *group, size_t columns) {
    pack_q4(rows, group, columns, 1);
}

static void pack_q4_1(const uint8_t *rows, uint8_t *group, size_t columns) {
    pack_q4(rows, group, columns, 2);
}

static void unpack_q4(const uint8_t *group, uint32_t r, float *out, size_t columns, size_t halves) {
    uint32_t lane = r % NB_TILE;
    for (size_t b = 0; b < columns / 32; b++, out += 32) {
        const uint8_t *tile = group + tile_at(b, r, 2 * halves + 16);
        uint16_t h[2] = {0, 0};
        for (size_t i = 0; i < halves; i++)
            memcpy(&h[i], tile + 8 * i + 2 * lane, 2);
        float d = nb_f16_to_f32(h[0]), m = halves == 2 ? nb_f16_to_f32(h[1]) : 0;
        int zero = halves == 2 ? 0 : 8;
        for (size_t i = 0; i < 16; i++) {
            uint8_t q = tile[8 * halves + i / 4 * 16 + 4 * lane + i % 4];
            out[i] = d * (float)((q & 15) - zero) + m;
            out[i + 16] = d * (float)((q >> 4) - zero) + m;
        }
    }
}

static void unpack_q4_0(const uint8_t *group, uint32_t r, float *out, size_t columns) {
    unpack_q4(group, r, out, columns, 1);
}

static void unpack_q4_1(const uint8_t *group, uint32_t r, float *out, size_t columns) {
    unpack_q4(group, r, out, columns, 2);
}

/* Place of column i (0 ... 31) of a lane among a tile's quants. */
static size_t place_q8(size_t i, size_t lane) {
    return i / 4 * 16 + (i & 1) * 8 + 2 * lane + (i >> 1 & 1);
}

/* Sixteen columns of four rows -> four vectors. Of each row, columns 0 2 1 3 of each four; then pairs of columns, which
 * are 16-bit lanes, are transposed. */
static inline void pack_q8_part(const uint8_t *const *in, uint8_t *out) {
    v128_t v[NB_TILE];
    for (size_t lane = 0; lane < NB_TILE; lane++) {
        v128_t row = wasm_v128_load(in[lane]);
        v[lane] = wasm_i8x16_shuffle(row, row, 0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    }
    for (size_t half = 0; half < 2; half++, out += 32) {
        v128_t ab = half ? wasm_i16x8_shuffle(v[0], v[1], 4, 12, 5, 13, 6, 14, 7, 15) : wasm_i16x8_shuffle(v[0], v[1], 0, 8, 1, 9, 2, 10, 3, 11);
        v128_t cd = half ? wasm_i16x8_shuffle(v[2], v[3], 4, 12, 5, 13, 6, 14, 7, 15) : wasm_i16x8_shuffle(v[2], v[3], 0, 8, 1, 9, 2, 10, 3, 11);
        wasm_v128_store(out, wasm_i32x4_shuffle(ab, cd, 0, 4, 1, 5));
        wasm_v128_store(out + 16, wasm_i32x4_shuffle(ab, cd, 2, 6, 3, 7));
    }
}

static void pack_q8_0(const uint8_t *rows, uint8_t *group, size_t columns) {
    const size_t block = sizeof(nb_block_q8_0), row = columns / 32 * block;
    for (size_t b = 0; b < columns / 32; b++)
        for (size_t r = 0; r < NB_GROUP; r += NB_TILE) {
            uint8_t *tile = group + tile_at(b, r, block);
            const uint8_t *first[NB_TILE], *second[NB_TILE];
            for (size_t lane = 0; lane < NB_TILE; lane++) {
                const uint8_t *in = rows + (r + lane) * row + b * block;
                memcpy(tile + 2 * lane, in, 2);
                first[lane] = in + 2;
                second[lane] = in + 18;
            }
            pack_q8_part(first, tile + 8);
            pack_q8_part(second, tile + 72);
        }
}

static void unpack_q8_0(const uint8_t *group, uint32_t r, float *out, size_t columns) {
    for (size_t b = 0; b < columns / 32; b++, out += 32) {
        const uint8_t *tile = group + tile_at(b, r, sizeof(nb_block_q8_0));
        uint16_t h;
        memcpy(&h, tile + 2 * (r % NB_TILE), 2);
        float d = nb_f16_to_f32(h);
        for (size_t i = 0; i < 32; i++)
            out[i] = d * (float)(int8_t)tile[8 + place_q8(i, r % NB_TILE)];
    }
}

static const nb_packing PACKED[NB_TYPE_LIMIT] = {
    [NB_TYPE_Q4_0] = {NB_GROUP, pack_q4_0, unpack_q4_0},
    [NB_TYPE_Q4_1] = {NB_GROUP, pack_q4_1, unpack_q4_1},
    [NB_TYPE_Q8_0] = {NB_GROUP, pack_q8_0, unpack_q8_0},
};
static const nb_packing AS_IN_FILE = {1, NULL, NULL};

const nb_packing *nb_packing_of(uint32_t type) {
    return type < NB_TYPE_LIMIT && PACKED[type].rows ? &PACKED[type] : &AS_IN_FILE;
}

uint64_t nb_matrix_bytes(uint32_t type, uint64_t rows, uint64_t columns) {
    const nb_traits *traits = nb_traits_of(type);
    return NB_ROUND_UP(rows, nb_packing_of(type)->rows) * (columns / traits->block_weights * traits->block_bytes);
}

void nb_matrix_row(const nb_matrix *m, uint32_t row, float *out) {
    const nb_packing *packing = nb_packing_of(m->type);
    const uint8_t *group = m->data + row / packing->rows * m->group_bytes;
    if (packing->unpack)
        packing->unpack(group, row % packing->rows, out, m->columns);
    else
        nb_traits_of(m->type)->dequantize(group, out, m->columns);
}
