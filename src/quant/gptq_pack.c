#include "gptq_pack.h"

#include "../base/numbers.h"
#include "../types/types.h"

/* Stores number i of a bit stream, which has `bits` bits for each number. The stream's words of 32 bits lie `stride`
 * words apart, and must be zeros at first. */
static void put_bits(uint32_t *out, size_t stride, uint32_t i, uint32_t bits, uint32_t value) {
    uint64_t at = (uint64_t)i * bits;
    uint32_t *word = out + (size_t)(at / 32) * stride, shift = at % 32;
    *word |= value << shift;
    if (shift + bits > 32)
        word[stride] |= value >> (32 - shift);
}

/* The place of a row's number in AWQ's words, which hold eight rows in an interleaved order. */
static uint32_t awq_place(uint32_t row) {
    static const uint8_t places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return row / 8 * 8 + places[row % 8];
}

static uint32_t groups_of(const nb_code_format *f, uint32_t columns) {
    return f->group ? columns / f->group : 1;
}

static size_t scale_bytes(const nb_code_format *f) {
    return f->format == NB_FORMAT_INT8 && f->scale_type == NB_TYPE_F32 ? sizeof(float) : sizeof(uint16_t);
}

double nb_quantizer_part_bytes(const nb_code_format *f, uint32_t part, uint32_t rows, uint32_t columns) {
    if (nb_code_format_check(f, columns, NULL) || columns % 32 || (rows % 32 && f->format != NB_FORMAT_INT8))
        return 0;
    double groups = groups_of(f, columns);
    if (f->format == NB_FORMAT_INT8)
        return part == NB_PART_CODES  ? (double)rows * columns
             : part == NB_PART_SCALES ? (double)rows * (double)scale_bytes(f)
                                      : 0;
    return part == NB_PART_CODES  ? (double)rows * columns * f->bits / 8
         : part == NB_PART_ZEROS  ? (double)rows * groups * f->bits / 8
         : part == NB_PART_SCALES ? (double)rows * groups * 2
                                  : 0;
}

/* values [rows, n], minus `less` -> a bit stream for each row (by_row) or else for each column. out: [streams, words]
 * if is_whole, else [words, streams]. less: 1 for GPTQ's zero points, which its readers add 1 to. */
static void pack(const uint8_t *values, uint32_t rows, uint32_t n, uint32_t bits, bool by_row, bool is_whole,
                 bool is_awq, uint32_t less, uint32_t *out) {
    uint32_t mask = (1u << bits) - 1, streams = by_row ? rows : n, words = (by_row ? n : rows) / 32 * bits;
    memset(out, 0, (size_t)streams * words * sizeof *out);
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < n; i++) {
            uint32_t value = (values[(size_t)row * n + i] - less) & mask, stream = by_row ? row : i;
            uint32_t place = by_row ? i : is_awq ? awq_place(row) : row;
            put_bits(out + (is_whole ? (size_t)stream * words : stream), is_whole ? 1 : streams, place, bits, value);
        }
}

static void transpose_scales(const uint16_t *scales, uint32_t rows, uint32_t groups, uint16_t *out) {
    for (uint32_t row = 0; row < rows; row++)
        for (uint32_t g = 0; g < groups; g++)
            out[(size_t)g * rows + row] = scales[(size_t)row * groups + g];
}

/* Codes are stored minus their zero point, 128. */
static int32_t pack_int8(const nb_code_format *f, uint32_t part, const void *values, uint32_t rows, uint32_t columns,
                         void *out, nb_error *err) {
    const uint8_t *codes = values;
    int8_t *signed_codes = out;
    if (part != NB_PART_CODES && part != NB_PART_SCALES)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "int-quantized matrices have only codes and scales, not part %u", part);
    if (part == NB_PART_SCALES)
        memcpy(out, values, rows * scale_bytes(f));
    else
        for (size_t i = 0; i < (size_t)rows * columns; i++)
            signed_codes[i] = (int8_t)(codes[i] - 128);
    return NB_OK;
}

int32_t nb_quantizer_pack(const nb_code_format *f, uint32_t part, const void *values, uint32_t rows, uint32_t columns,
                          void *out, nb_error *err) {
    NB_TRY(nb_code_format_check(f, columns, err));
    if (f->format == NB_FORMAT_INT8)
        return pack_int8(f, part, values, rows, columns, out, err);
    if (rows % 32 || columns % 32 || part > NB_PART_SCALES)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "[%u, %u] is not packed: rows and columns must be multiples of 32, and part 0 to 2, not %u",
                       rows, columns, part);
    bool compressed = f->format == NB_FORMAT_COMPRESSED, awq = f->format == NB_FORMAT_AWQ;
    uint32_t groups = groups_of(f, columns), less = f->format == NB_FORMAT_GPTQ;
    if (part == NB_PART_CODES)
        pack(values, rows, columns, f->bits, !awq, compressed || awq, awq, 0, out);
    else if (part == NB_PART_ZEROS)
        pack(values, rows, groups, f->bits, false, !compressed, awq, less, out);
    else if (compressed)
        memcpy(out, values, (size_t)rows * groups * sizeof(uint16_t));
    else
        transpose_scales(values, rows, groups, out);
    return NB_OK;
}
