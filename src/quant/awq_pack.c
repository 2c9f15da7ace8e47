#include "awq_pack.h"

#include "../base/numbers.h"
#include "../types/types.h"

nb_uniform nb_awq_uniform(bool is_symmetric) {
    return (nb_uniform){.bits = 4, .is_symmetric = is_symmetric, .scale_type = NB_TYPE_F16};
}

int32_t nb_awq_pack_check(const nb_awq_tensors *out, nb_error *err) {
    if (!out->rows || out->rows % 8)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "AWQ packs eight rows into a word, and a matrix of %u rows is no whole number of words; leave "
                       "it unquantized",
                       out->rows);
    if (!out->columns || !out->group || out->columns % out->group)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "groups of %u columns do not divide rows of %u", out->group, out->columns);
    return NB_OK;
}

/* Where the bits of row i of eight are. */
static uint32_t shift_of(uint32_t i) {
    static const uint8_t places[8] = {0, 4, 1, 5, 2, 6, 3, 7};
    return 4u * places[i];
}

void nb_awq_pack(nb_awq_tensors *out, uint32_t first, uint32_t rows, const int16_t *codes,
                 const nb_uniform_step *steps) {
    uint32_t words = out->rows / 8, groups = out->columns / out->group;
    for (uint32_t row = 0; row < rows; row += 8) {
        uint32_t at = (first + row) / 8;
        for (uint32_t column = 0; column < out->columns; column++) {
            uint32_t word = 0;
            for (uint32_t i = 0; i < 8; i++)
                word |= (uint32_t)codes[(size_t)(row + i) * out->columns + column] << shift_of(i);
            out->qweight[(size_t)column * words + at] = word;
        }
        for (uint32_t g = 0; g < groups; g++) {
            uint32_t word = 0;
            for (uint32_t i = 0; i < 8; i++) {
                nb_uniform_step step = steps[(size_t)(row + i) * groups + g];
                word |= (uint32_t)step.zero << shift_of(i);
                out->scales[(size_t)g * out->rows + first + row + i] = nb_f32_to_f16(step.scale);
            }
            out->qzeros[(size_t)g * words + at] = word;
        }
    }
}
