#include "packing.h"

#include "../base/numbers.h"
#include "traits.h"

enum { ROWS = 4 };

/* Where the parts of a block of four rows lie. */
static void pack_q4(const uint8_t *rows, uint8_t *group, size_t columns, size_t halves) {
    size_t block = 2 * halves + 16, row = columns / 32 * block;
    for (size_t b = 0; b < columns / 32; b++, group += ROWS * block)
        for (size_t r = 0; r < ROWS; r++) {
            const uint8_t *in = rows + r * row + b * block;
            for (size_t h = 0; h < halves; h++)
                memcpy(group + 8 * h + 2 * r, in + 2 * h, 2);
            for (size_t j = 0; j < 4; j++)
                memcpy(group + 8 * halves + 16 * j + 4 * r, in + 2 * halves + 4 * j, 4);
        }
}

static void pack_q4_0(const uint8_t *rows, uint8_t *group, size_t columns) {
    pack_q4(rows, group, columns, 1);
}

static void pack_q4_1(const uint8_t *rows, uint8_t *group, size_t columns) {
    pack_q4(rows, group, columns, 2);
}

static void unpack_q4(const uint8_t *group, uint32_t r, float *out, size_t columns, size_t halves) {
    for (size_t b = 0; b < columns / 32; b++, group += ROWS * (2 * halves + 16), out += 32) {
        uint16_t h[2] = {0, 0};
        for (size_t i = 0; i < halves; i++)
            memcpy(&h[i], group + 8 * i + 2 * r, 2);
        float d = nb_f16_to_f32(h[0]), m = halves == 2 ? nb_f16_to_f32(h[1]) : 0;
        int zero = halves == 2 ? 0 : 8;
        for (size_t i = 0; i < 16; i++) {
            uint8_t q = group[8 * halves + i / 4 * 16 + 4 * r + i % 4];
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

/* Place of column i (0 ... 31) of row r among a block's quants. */
static size_t place_q8(size_t i, size_t r) {
    return i / 4 * 16 + (i & 1) * 8 + 2 * r + (i >> 1 & 1);
}

static void pack_q8_0(const uint8_t *rows, uint8_t *group, size_t columns) {
    size_t block = sizeof(nb_block_q8_0), row = columns / 32 * block;
    for (size_t b = 0; b < columns / 32; b++, group += ROWS * block)
        for (size_t r = 0; r < ROWS; r++) {
            const uint8_t *in = rows + r * row + b * block;
            memcpy(group + 2 * r, in, 2);
            for (size_t i = 0; i < 32; i++)
                group[8 + place_q8(i, r)] = in[2 + i];
        }
}

static void unpack_q8_0(const uint8_t *group, uint32_t r, float *out, size_t columns) {
    for (size_t b = 0; b < columns / 32; b++, group += ROWS * sizeof(nb_block_q8_0), out += 32) {
        uint16_t h;
        memcpy(&h, group + 2 * r, 2);
        float d = nb_f16_to_f32(h);
        for (size_t i = 0; i < 32; i++)
            out[i] = d * (float)(int8_t)group[8 + place_q8(i, r)];
    }
}

static const nb_packing PACKED[NB_TYPE_LIMIT] = {
    [NB_TYPE_Q4_0] = {ROWS, pack_q4_0, unpack_q4_0},
    [NB_TYPE_Q4_1] = {ROWS, pack_q4_1, unpack_q4_1},
    [NB_TYPE_Q8_0] = {ROWS, pack_q8_0, unpack_q8_0},
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
