/* Encodes rows as types of one or two bits whose scale is not searched for. They are meant for weights that were
 * trained to be ternary or binary (BitNet b1.58, Ma et al. 2024). Roundings are those of ggml-org/ggml,
 * src/ggml-quants.c. */
#include "quantize.h"
#include "quantize_search.h"

#pragma STDC FP_CONTRACT OFF

/* n weights -> codes 0, 1, 2, which mean -1, 0, 1 times the largest magnitude. Returns that magnitude. */
static float to_ternary(const float *x, size_t n, uint8_t *codes) {
    float most = nb_largest_magnitude(x, n), steps = most != 0 ? 1 / most : 0;
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint8_t)(nb_rounded_away(x[i] * steps) + 1);
    return most;
}

/* Codes i, i + 32, i + 64 and i + 96 of each half share a byte. */
void nb_quantize_tq2_0(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    nb_block_tq2_0 *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        uint8_t codes[NB_SUPERBLOCK];
        b->d = nb_f32_to_f16(to_ternary(x, NB_SUPERBLOCK, codes));
        for (int i = 0; i < 64; i++) {
            const uint8_t *c = codes + i / 32 * 128 + i % 32;
            b->q[i] = (uint8_t)((c[0] & 3) | (c[32] & 3) << 2 | (c[64] & 3) << 4 | (c[96] & 3) << 6);
        }
    }
}

/* Packs up to five ternary digits into each of n bytes. Digit k of byte i is codes[k n + i]. The digits make a number
 * below 3^5 = 243, and the byte is 256 / 243 times that, rounded up. */
static void pack_digits(const uint8_t *codes, int digits, int n, uint8_t *out) {
    for (int i = 0; i < n; i++) {
        uint32_t number = 0;
        for (int k = 0; k < 5; k++)
            number = number * 3 + (k < digits ? codes[k * n + i] : 0);
        out[i] = (uint8_t)((number * 256 + 242) / 243);
    }
}

void nb_quantize_tq1_0(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    nb_block_tq1_0 *b = blocks;
    for (; n; n -= NB_SUPERBLOCK, x += NB_SUPERBLOCK, b++) {
        uint8_t codes[NB_SUPERBLOCK];
        b->d = nb_f32_to_f16(to_ternary(x, NB_SUPERBLOCK, codes));
        pack_digits(codes, 5, 32, b->q);
        pack_digits(codes + 160, 5, 16, b->q + 32);
        pack_digits(codes + 240, 4, 4, b->high);
    }
}

/* The scale is the mean magnitude, and a code is the sign. */
void nb_quantize_q1_0(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    nb_block_q1_0 *b = blocks;
    for (; n; n -= NB_BLOCK_Q1_0, x += NB_BLOCK_Q1_0, b++) {
        float sum = 0;
        memset(b->q, 0, sizeof b->q);
        for (int i = 0; i < NB_BLOCK_Q1_0; i++) {
            sum += __builtin_fabsf(x[i]);
            b->q[i / 8] |= (uint8_t)((x[i] >= 0) << i % 8);
        }
        b->d = nb_f32_to_f16(sum / NB_BLOCK_Q1_0);
    }
}

/* The scale is the largest magnitude, so the last of the values -1, 0, 1, 2 is not used. */
void nb_quantize_q2_0(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    nb_block_q2_0 *b = blocks;
    for (; n; n -= NB_BLOCK_Q2_0, x += NB_BLOCK_Q2_0, b++) {
        uint8_t codes[NB_BLOCK_Q2_0];
        b->d = nb_f32_to_f16(to_ternary(x, NB_BLOCK_Q2_0, codes));
        for (int i = 0; i < NB_BLOCK_Q2_0 / 4; i++) {
            const uint8_t *c = codes + 4 * i;
            b->q[i] = (uint8_t)(c[0] | c[1] << 2 | c[2] << 4 | c[3] << 6);
        }
    }
}
