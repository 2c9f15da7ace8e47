#include "code_layout.h"

#include "types.h"

#define HALVES(at, run) {at, 4, run}
#define BITS(at, run) {at, 1, run}
#define PAIRS(at, run) {at, 2, run}

// clang-format off: a type a line
static const nb_code_layout layouts[NB_TYPE_LIMIT] = {
    [NB_TYPE_Q4_0] = {32, 0, 15, HALVES(2, 16), {0}, 0, 0, NULL, NULL},
    [NB_TYPE_Q4_1] = {32, 0, 15, HALVES(4, 16), {0}, 0, 0, NULL, NULL},
    [NB_TYPE_Q5_0] = {32, 0, 31, HALVES(6, 16), BITS(2, 1), 0, 0, NULL, NULL},
    [NB_TYPE_Q5_1] = {32, 0, 31, HALVES(8, 16), BITS(4, 1), 0, 0, NULL, NULL},
    [NB_TYPE_Q8_0] = {32, 1, 255, {2, 8, 1}, {0}, 0x80, 0, NULL, NULL},
    [NB_TYPE_Q2_K] = {16, 0, 3, PAIRS(16, 32), {0}, 0, 0, NULL, NULL},
    [NB_TYPE_Q3_K] = {16, 0, 7, PAIRS(32, 32), BITS(0, 32), 0, 0, NULL, NULL},
    [NB_TYPE_Q4_K] = {32, 0, 15, HALVES(16, 32), {0}, 0, 0, NULL, NULL},
    [NB_TYPE_Q5_K] = {32, 0, 31, HALVES(48, 32), BITS(16, 32), 0, 0, NULL, NULL},
    [NB_TYPE_Q6_K] = {16, 0, 63, HALVES(0, 64), PAIRS(128, 32), 0, 0, NULL, NULL},
    [NB_TYPE_IQ4_NL] = {32, 0, 15, HALVES(2, 16), {0}, 0, 0, nb_iq4_codebook, NULL},
    [NB_TYPE_IQ4_XS] = {32, 0, 15, HALVES(8, 16), {0}, 0, 0, nb_iq4_codebook, NULL},
    [NB_TYPE_MXFP4] = {32, 0, 15, HALVES(1, 16), {0}, 0, 0, nb_mxfp4_codebook, NULL},
    [NB_TYPE_NVFP4] = {16, 0, 15, HALVES(4, 8), {0}, 0, 0, nb_mxfp4_codebook, NULL},
    [NB_TYPE_NF4] = {64, 0, 15, HALVES(4, 1), {0}, 0, 4, NULL, nb_nf4_codebook},
    [NB_TYPE_FP4] = {64, 0, 15, HALVES(4, 1), {0}, 0, 4, NULL, nb_fp4_codebook},
    [NB_TYPE_TQ2_0] = {256, 0, 2, PAIRS(0, 32), {0}, 0, 0, NULL, NULL},
    [NB_TYPE_Q2_0] = {64, 0, 3, PAIRS(2, 1), {0}, 0, 0, NULL, NULL},
    [NB_TYPE_Q1_0] = {128, 0, 1, BITS(2, 1), {0}, 0, 0, NULL, NULL},
};
// clang-format on

const nb_code_layout *nb_code_layout_of(uint32_t type) {
    return type < NB_TYPE_LIMIT && layouts[type].granule ? &layouts[type] : NULL;
}

/* The byte of a block that has a field's bits of weight i, and the lowest of these bits. */
static uint32_t byte_of(const nb_code_field *field, uint32_t i) {
    uint32_t period = field->run * 8u / field->width;
    return field->at + i / period * field->run + i % field->run;
}

static uint32_t shift_of(const nb_code_field *field, uint32_t i) {
    uint32_t period = field->run * 8u / field->width;
    return i % period / field->run * field->width;
}

static void put_bits(const nb_code_field *field, uint32_t shift_flip, uint32_t i, uint32_t bits, uint8_t *block) {
    uint8_t *byte = block + byte_of(field, i);
    uint32_t shift = shift_of(field, i) ^ shift_flip, mask = (1u << field->width) - 1;
    *byte = (uint8_t)((*byte & ~(mask << shift)) | (bits & mask) << shift);
}

static uint32_t bits_at(const nb_code_field *field, uint32_t shift_flip, uint32_t i, const uint8_t *block) {
    return block[byte_of(field, i)] >> (shift_of(field, i) ^ shift_flip) & ((1u << field->width) - 1);
}

void nb_put_code(const nb_code_layout *layout, uint32_t i, uint32_t code, uint8_t *block) {
    code ^= layout->flip;
    put_bits(&layout->low, layout->shift_flip, i, code, block);
    if (layout->high.width)
        put_bits(&layout->high, 0, i, code >> layout->low.width, block);
}

uint32_t nb_code_at(const nb_code_layout *layout, uint32_t i, const uint8_t *block) {
    uint32_t code = bits_at(&layout->low, layout->shift_flip, i, block);
    if (layout->high.width)
        code |= bits_at(&layout->high, 0, i, block) << layout->low.width;
    return code ^ layout->flip;
}
