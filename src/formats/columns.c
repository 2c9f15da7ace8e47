#include "columns.h"

uint64_t nb_columns_unit(const nb_quantization *q, uint32_t part, uint64_t rows, uint64_t columns) {
    switch (part) {
    case NB_PART_CODES: return rows * NB_UNIT_COLUMNS * q->bits / 8;
    case NB_PART_ZEROS: return rows * q->bits / 8;
    case NB_PART_SCALES: return rows * 2;
    default: return columns * 4;
    }
}

uint64_t nb_columns_units(const nb_quantization *q, uint32_t part, uint64_t rows, uint64_t columns) {
    uint64_t group = q->group ? q->group : columns;
    if (columns % NB_UNIT_COLUMNS || group % NB_UNIT_COLUMNS || columns % group || rows * q->bits % 32)
        return 0;
    return part == NB_PART_CODES ? columns / NB_UNIT_COLUMNS : part == NB_PART_ORDER ? 1 : columns / group;
}

static uint32_t word_at(const uint8_t *in, uint64_t i) {
    uint32_t word;
    memcpy(&word, in + 4 * i, sizeof word);
    return word;
}

/* Number i of a stream of bits in words, the first of which is `first`, the others `stride` words further each. */
static uint8_t bits_at(const uint8_t *in, uint32_t first, uint32_t stride, uint32_t i, uint32_t bits) {
    uint32_t at = i * bits, word = first + at / 32 * stride, shift = at % 32;
    uint32_t value = word_at(in, word) >> shift;
    if (shift + bits > 32)
        value |= word_at(in, word + stride) << (32 - shift);
    return (uint8_t)(value & ((1u << bits) - 1));
}

/* AWQ: row `row`'s four bits of a word for eight rows. */
static uint8_t awq_at(const uint8_t *in, uint32_t row) {
    static const uint8_t places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return word_at(in, row / 8) >> (4 * places[row % 8]) & 15;
}

void nb_columns_codes(const nb_quantization *q, const uint8_t *in, uint32_t rows, uint8_t *codes) {
    for (uint32_t i = 0; i < NB_UNIT_COLUMNS; i++)
        for (uint32_t row = 0; row < rows; row++)
            codes[row * NB_UNIT_COLUMNS + i] = q->method == NB_QUANTIZED_AWQ ? awq_at(in + i * (rows / 2), row)
                                                                            : bits_at(in, row, rows, i, q->bits);
}

void nb_columns_zeros(const nb_quantization *q, const uint8_t *in, uint32_t rows, uint8_t *zeros) {
    for (uint32_t row = 0; row < rows; row++) {
        uint32_t zero = q->method == NB_QUANTIZED_AWQ ? awq_at(in, row) : bits_at(in, 0, 1, row, q->bits);
        zeros[row] = (uint8_t)(zero + q->zero_offset) & ((1u << q->bits) - 1); /* the packer's -1 is all ones */
    }
}
