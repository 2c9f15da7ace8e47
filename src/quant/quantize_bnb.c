/* Rows to bitsandbytes' types, rounded as its functions round on a CPU (bitsandbytes 0.50.2,
 * backends/default/ops.py and csrc/cpu_ops.cpp): an absmax of 64 weights and the nearest number of a codebook. */
#include "../base/numbers.h"
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

/* FP4's codes in the order of their numbers. The zero with a sign is second: it takes the smallest positive weights. */
static const uint8_t fp4_order[16] = {11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3};

static void quantize_to_codebook(const float *x, nb_block_nf4 *b, size_t n, const float *codebook,
                                 const uint8_t *order) {
    float bounds[15]; /* halfway between neighbours; the lower one's */
    for (int i = 0; i < 15; i++) {
        int low = order ? order[i] : i, high = order ? order[i + 1] : i + 1;
        bounds[i] = (codebook[low] + codebook[high]) / 2;
    }
    for (; n; n -= NB_BLOCK_NF4, x += NB_BLOCK_NF4, b++) {
        float most = 0;
        for (int i = 0; i < NB_BLOCK_NF4; i++)
            most = most < __builtin_fabsf(x[i]) ? __builtin_fabsf(x[i]) : most;
        float scale = 1 / NB_MAX(most, 1e-38f);
        b->d = most;
        uint8_t codes[NB_BLOCK_NF4];
        for (int i = 0; i < NB_BLOCK_NF4; i++) {
            float value = x[i] * scale; /* beyond 1 by a rounding at most, which is beyond all bounds as 1 is */
            uint32_t code = 0;
            for (int k = 0; k < 15; k++)
                code += value > bounds[k];
            codes[i] = order ? order[code] : (uint8_t)code;
        }
        for (int i = 0; i < 32; i++)
            b->q[i] = (uint8_t)(codes[2 * i] << 4 | codes[2 * i + 1]);
    }
}

void nb_quantize_nf4(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    quantize_to_codebook(x, blocks, n, nb_nf4_codebook, NULL);
}

void nb_quantize_fp4(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    quantize_to_codebook(x, blocks, n, nb_fp4_codebook, fp4_order);
}

/* ---- LLM.int8() ---------------------------------------------------------------------------------------------- */

/* To nearest, ties to even: of the sum with 1.5 * 2^23 the last bit stands for 1. 0 for what is not finite. */
static int8_t rounded(float x) {
    return __builtin_fabsf(x) < 127.5f ? (int8_t)(x + 0x1.8p23f - 0x1.8p23f) : 0;
}

/* It makes weights binary16 before anything else. */
void nb_quantize_int8(const nb_encoding *how, const float *x, void *blocks, size_t n) {
    (void)how;
    nb_block_q8_0 *b = blocks;
    float most = 0;
    for (size_t i = 0; i < n; i++)
        most = NB_MAX(most, __builtin_fabsf(x[i]));
    most = nb_f16_to_f32(nb_f32_to_f16(most)); /* rounding is monotonous */
    float scale = 1 / most * 127;              /* torch divides a number by a tensor so */
    uint16_t d = nb_f32_to_f16(most / 127);
    for (; n; n -= NB_BLOCK, x += NB_BLOCK, b++) {
        b->d = d;
        for (int i = 0; i < NB_BLOCK; i++)
            b->q[i] = rounded(nb_f16_to_f32(nb_f32_to_f16(x[i])) * scale);
    }
}

/* ---- double quantization ------------------------------------------------------------------------------------- */

enum { RUN = 256, HALFWAY = 127 };

/* i of the equal parts of 0.1 ... 1, counted from the nearer end and rounded once, as torch.linspace does. */
static float part(int i, int parts) {
    float step = (1 - 0.1f) / (float)parts;
    return (float)(i < (parts + 1) / 2 ? 0.1f + (double)step * i : 1 - (double)step * (parts - i));
}

/* The dynamic type of 8 bits with its sign (Dettmers 2016, section 2.1; bitsandbytes' create_dynamic_map), ascending:
 * 0 is number 127, 1 the last. For each power of ten from 10^-6 to 1 the middles of 1, 2, 4, ... 64 equal parts of
 * 0.1 ... 1. */
static void fill_dynamic_map(float map[256]) {
    double power = 1e-6;
    int at = HALFWAY;
    map[at++] = 0;
    map[255] = 1;
    for (int parts = 1; parts <= 64; parts *= 2, power *= 10)
        for (int i = 0; i < parts; i++, at++) {
            map[at] = (float)power * ((part(i, parts) + part(i + 1, parts)) / 2);
            map[2 * HALFWAY - at] = -map[at];
        }
}

/* The number of the map that is nearest to x in -1 ... 1, after x became the nearest of 65,536 numbers (on a CPU
 * bitsandbytes looks codes up by those; a GPU's code may be a neighbour where the map is finer). */
static uint32_t nearest_dynamic(const float map[256], float x) {
    x = x < -1 ? -1 : x > 1 ? 1 : x == x ? x : 0;
    int32_t bin = (int32_t)((x + 1) * 0.5f * 65535 + 0.5f);
    x = -1 + 2 * (float)bin / 65535;
    uint32_t low = 0, high = 255;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (0.5f * (map[middle] + map[middle + 1]) < x)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void nb_quantize_scales(nb_block_nf4 *blocks, uint8_t *codes, size_t n) {
    float map[256];
    double sum = 0; /* torch.mean adds F32 in an order of its own: its mean may be the neighbouring F32 */
    fill_dynamic_map(map);
    for (size_t i = 0; i < n; i++)
        sum += (double)blocks[i].d;
    float mean = (float)(sum / (double)n);
    for (size_t start = 0; start < n; start += RUN) {
        size_t end = NB_MIN(n, start + RUN);
        float most = 0;
        for (size_t i = start; i < end; i++)
            most = NB_MAX(most, __builtin_fabsf(blocks[i].d - mean));
        float scale = 1 / most;
        for (size_t i = start; i < end; i++) {
            uint32_t code = most != 0 ? nearest_dynamic(map, (blocks[i].d - mean) * scale) : 0;
            blocks[i].d = map[code] * most + mean;
            if (codes)
                codes[i] = (uint8_t)code;
        }
    }
}
