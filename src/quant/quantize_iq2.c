/* Encodes rows as IQ2_XXS, IQ2_XS, IQ2_S: quantize_grid.c searches, and the result is packed as in types.h. */
#include "quantize_grid.h"

void nb_quantize_iq2_xxs(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {
        .group = 32,
        .tries = 6,
        .step = 0.1f,
        .almost_zero = 1e-15f,
        .spread = 1,
        .correction = 1,
        .is_even = true,
        .starts_from_fit = true,
        .looks_again = true,
        .needs_importance = true,
        .magnitudes = nb_iq2_magnitudes,
    };
    nb_block_iq2_xxs *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        nb_grid_block found;
        nb_search_grid(&s, how, at, x + at, &found);
        b->d = found.d;
        for (int g = 0; g < 8; g++) {
            const uint16_t *entry = found.entries + 4 * g;
            uint32_t rest = nb_signs_and_scale(&found, g);
            b->q[4 * g] = (uint16_t)(entry[0] | entry[1] << 8);
            b->q[4 * g + 1] = (uint16_t)(entry[2] | entry[3] << 8);
            b->q[4 * g + 2] = (uint16_t)rest;
            b->q[4 * g + 3] = (uint16_t)(rest >> 16);
        }
    }
}

void nb_quantize_iq2_xs(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {
        .group = 16,
        .tries = 9,
        .step = 0.1f,
        .almost_zero = 1e-15f,
        .spread = 1,
        .correction = 1,
        .is_even = true,
        .needs_importance = true,
        .magnitudes = nb_iq2_magnitudes,
    };
    nb_block_iq2_xs *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        nb_grid_block found;
        nb_search_grid(&s, how, at, x + at, &found);
        b->d = found.d;
        for (int k = 0; k < 32; k++)
            b->q[k] = (uint16_t)(found.entries[k] | (found.signs[k] & 127) << 9);
        nb_pack_scales(&found, 8, b->scales);
    }
}

void nb_quantize_iq2_s(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {
        .group = 16,
        .tries = 9,
        .step = 0.1f,
        .almost_zero = 1e-8f,
        .spread = 2,
        .floor = 0.5f,
        .correction = 0.9875f,
        .magnitudes = nb_iq2_magnitudes,
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
        nb_pack_scales(&found, 8, b->scales);
    }
}
