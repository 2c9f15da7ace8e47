/* Rows to IQ2_XXS, IQ2_XS, IQ2_S: searched for by quantize_grid.c, packed as types.h says. */
#include "quantize_grid.h"

void nb_quantize_iq2_xxs(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {32, 6, 0.1f, 1e-15f, 1, 0, 1, true, true, true, true, nb_iq2_magnitudes};
    nb_block_iq2_xxs *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        nb_grid_block found;
        nb_search_grid(&s, how, at, x + at, &found);
        b->d = found.d;
        for (int g = 0; g < 8; g++) {
            const uint16_t *entry = found.entries + 4 * g;
            uint32_t rest = (uint32_t)found.scales[g] << 28;
            for (int k = 0; k < 4; k++)
                rest |= (found.signs[4 * g + k] & 127u) << 7 * k;
            b->q[4 * g] = (uint16_t)(entry[0] | entry[1] << 8);
            b->q[4 * g + 1] = (uint16_t)(entry[2] | entry[3] << 8);
            b->q[4 * g + 2] = (uint16_t)rest;
            b->q[4 * g + 3] = (uint16_t)(rest >> 16);
        }
    }
}

/* Sixteen scales of 4 bits: two a byte. */
static void pack_scales(const uint8_t *scales, uint8_t *out) {
    for (int i = 0; i < 8; i++)
        out[i] = (uint8_t)(scales[2 * i] | scales[2 * i + 1] << 4);
}

void nb_quantize_iq2_xs(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {16, 9, 0.1f, 1e-15f, 1, 0, 1, true, false, false, true, nb_iq2_magnitudes};
    nb_block_iq2_xs *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        nb_grid_block found;
        nb_search_grid(&s, how, at, x + at, &found);
        b->d = found.d;
        for (int k = 0; k < 32; k++)
            b->q[k] = (uint16_t)(found.entries[k] | (found.signs[k] & 127) << 9);
        pack_scales(found.scales, b->scales);
    }
}

void nb_quantize_iq2_s(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {
        16, 9, 0.1f, 1e-8f, 2, 0.5f, 0.9875f, false, false, false, false, nb_iq2_magnitudes,
    };
    nb_block_iq2_s *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        nb_grid_block found;
        nb_search_grid(&s, how, at, x + at, &found);
        b->d = found.d;
        memset(b->high, 0, sizeof b->high);
        for (int k = 0; k < 32; k++) {
            b->q[k] = (uint8_t)found.entries[k];
            b->high[k / 4] |= (uint8_t)(found.entries[k] >> 8 << k % 4 * 2);
        }
        memcpy(b->signs, found.signs, sizeof b->signs);
        pack_scales(found.scales, b->scales);
    }
}
