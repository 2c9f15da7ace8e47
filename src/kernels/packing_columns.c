#include "packing.h"

#include "../base/text.h"

/* Where tile i of a row's group begins. */
static uint8_t *tile_of(const nb_matrix *m, uint32_t i, uint32_t row) {
    return m->data + row / NB_GROUP * m->group_bytes + i * (m->group_bytes / (m->columns / 32));
}

void nb_matrix_pack_tile(nb_matrix *m, uint32_t i, const uint8_t *codes) {
    bool whole = m->type == NB_TYPE_Q8_0;
    size_t scales = m->type == NB_TYPE_Q4_1 ? 16 : 8;
    for (uint32_t row = 0; row < m->rows; row++, codes += 32) {
        uint8_t *lane = tile_of(m, i, row) + scales + row % NB_GROUP * 4; /* of column 4j + k: byte k behind column 4j's */
        for (uint32_t k = 0; k < 16; k++) {
            uint8_t *to = lane + k / 4 * (whole ? 32 : 16) + k % 4;
            to[0] = whole ? codes[k] : (uint8_t)(codes[k] | codes[16 + k] << 4);
            if (whole)
                to[16] = codes[16 + k];
        }
    }
}

static uint8_t *scale_at(const nb_matrix *m, uint32_t tile, uint32_t which, uint32_t row) {
    return tile_of(m, tile, row) + 8 * which + row % NB_GROUP * 2;
}

void nb_matrix_pack_scales(nb_matrix *m, uint32_t from, uint32_t to, uint32_t which, const uint16_t *halves) {
    for (uint32_t row = 0; row < m->rows; row++)
        for (uint32_t tile = from; tile < to; tile++)
            memcpy(scale_at(m, tile, which, row), &halves[row], sizeof *halves);
}

uint16_t nb_matrix_scale(const nb_matrix *m, uint32_t tile, uint32_t which, uint32_t row) {
    uint16_t half;
    memcpy(&half, scale_at(m, tile, which, row), sizeof half);
    return half;
}
