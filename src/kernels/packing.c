#include "packing.h"

#include "../base/numbers.h"
#include "traits.h"

/* Where the tile of row r's columns 32b ... 32b+31 begins; a tile has four of the file's blocks. */
static size_t tile_at(size_t b, size_t r, size_t block_bytes) {
    return (2 * b + r / NB_TILE) * NB_TILE * block_bytes;
}

static void pack_q4(const uint8_t *rows, uint8_t *group, size_t columns, size_t halves) {
    size_t block = 2 * halves + 16, row = columns / 32 * block;
    for (size_t b = 0; b < columns / 32; b++)
        for (size_t r = 0; r < NB_GROUP; r++) {
            const uint8_t *in = rows + r * row + b * block;
            uint8_t *tile = group + tile_at(b, r, block), lane = r % NB_TILE;
            for (size_t h = 0; h < halves; h++)
                memcpy(tile + 8 * h + 2 * lane, in + 2 * h, 2);
            for (size_t j = 0; j < 4; j++)
                memcpy(tile + 8 * halves + 16 * j + 4 * lane, in + 2 * halves + 4 * j, 4);
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

static void pack_q8_0(const uint8_t *rows, uint8_t *group, size_t columns) {
    size_t block = sizeof(nb_block_q8_0), row = columns / 32 * block;
    for (size_t b = 0; b < columns / 32; b++)
        for (size_t r = 0; r < NB_GROUP; r++) {
            const uint8_t *in = rows + r * row + b * block;
            uint8_t *tile = group + tile_at(b, r, block);
            memcpy(tile + 2 * (r % NB_TILE), in, 2);
            for (size_t i = 0; i < 32; i++)
                tile[8 + place_q8(i, r % NB_TILE)] = in[2 + i];
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
