/* Encodes rows as IQ3_XXS and IQ3_S: quantize_grid.c searches, and the result is packed as in types.h. */
#include "quantize_grid.h"

void nb_quantize_iq3_xxs(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {
        .group = 32,
        .tries = 15,
        .step = 0.2f,
        .almost_zero = 1e-8f,
        .spread = 2,
        .correction = 1.0125f,
        .is_even = true,
        .magnitudes = nb_iq3_xxs_magnitudes,
    };
    nb_block_iq3_xxs *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        nb_grid_block found;
        nb_search_grid(&s, how, at, x + at, &found);
        b->d = found.d;
        for (int k = 0; k < 64; k++)
            b->q[k] = (uint8_t)found.entries[k];
        for (int g = 0; g < 8; g++) {
            uint32_t rest = nb_signs_and_scale(&found, g);
            memcpy(b->signs + 4 * g, &rest, 4);
        }
    }
}

void nb_quantize_iq3_s(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    static const nb_grid_search s = {
        .group = 32,
        .tries = 9,
        .step = 0.2f,
        .spread = 2,
        .correction = 1.033f,
        .looks_again = true,
        .magnitudes = nb_iq3_s_magnitudes,
    };
    nb_block_iq3_s *b = blocks;
    for (size_t at = 0; at < n; at += NB_SUPERBLOCK, b++) {
        nb_grid_block found;
        nb_search_grid(&s, how, at, x + at, &found);
        b->d = found.d;
        memset(b->high, 0, sizeof b->high);
        for (int k = 0; k < 64; k++) {
            b->q[k] = (uint8_t)found.entries[k];
            b->high[k / 8] |= (uint8_t)(found.entries[k] >> 8 << k % 8);
        }
        memcpy(b->signs, found.signs, sizeof b->signs);
        nb_pack_scales(&found, 4, b->scales);
    }
}
