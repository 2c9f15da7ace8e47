#include "moments.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* ---- the numbers that codes mean ---------------------------------------------------------------------------- */

/* End i of n equal parts of 0.1 ... 1, as torch.linspace computes it in F32: from the nearer end. */
static float end_of_part(uint32_t i, uint32_t n) {
    float step = (1.0f - 0.1f) / (float)n;
    return i < (n + 1) / 2 ? 0.1f + step * (float)i : 1.0f - step * (float)(n - i);
}

static void sort(float *x, uint32_t n) { /* slow, but called once for a trainer */
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t k = i; k > 0 && x[k] < x[k - 1]; k--) {
            float other = x[k];
            x[k] = x[k - 1];
            x[k - 1] = other;
        }
}

static void fill(float *map, bool has_signs) {
    static const double powers[] = {1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1};
    uint32_t n = 0;
    for (uint32_t e = 0; e < 7; e++) {
        uint32_t parts = (has_signs ? 1u : 2u) << e;
        for (uint32_t i = 0; i < parts; i++) {
            float middle = (end_of_part(i, parts) + end_of_part(i + 1, parts)) / 2;
            map[n++] = (float)(powers[e] * (double)middle);
            if (has_signs)
                map[n++] = (float)(-powers[e] * (double)middle);
        }
    }
    map[n++] = 0;
    map[n++] = 1;
    sort(map, n);
}

void nb_moment_maps_fill(nb_moment_maps *maps) {
    fill(maps->first, true);
    fill(maps->second, false);
}

/* The code of the nearest number; of two equally near ones, the lower. */
static uint8_t code_of(const float *map, float x) {
    uint32_t low = 0; /* the largest code with map[low] <= x, or 0 */
    for (uint32_t half = NB_MOMENT_CODES / 2; half > 0; half /= 2)
        low += map[low + half] <= x ? half : 0;
    bool is_above = low + 1 < NB_MOMENT_CODES && map[low + 1] - x < x - map[low];
    return (uint8_t)(low + is_above);
}

/* ---- layout ---------------------------------------------------------------------------------------------- */

static uint64_t blocks_of(uint64_t n) {
    return (n + NB_MOMENT_BLOCK - 1) / NB_MOMENT_BLOCK;
}

/* In 8 bits: first magnitudes | second magnitudes | first codes | second codes. */
uint64_t nb_moments_bytes(uint64_t n, bool in_8_bits) {
    uint64_t bytes = in_8_bits ? 2 * blocks_of(n) * sizeof(float) + 2 * n : 2 * n * sizeof(float);
    return NB_ROUND_UP(bytes, (uint64_t)64);
}

nb_moments nb_moments_at(void *at, uint64_t n, const nb_moment_maps *maps) {
    float *floats = at;
    if (!maps)
        return (nb_moments){.first = floats, .second = floats + n};
    uint8_t *codes = (uint8_t *)(floats + 2 * blocks_of(n));
    return (nb_moments){
        .first_codes = codes,
        .second_codes = codes + n,
        .first_most = floats,
        .second_most = floats + blocks_of(n),
        .maps = maps,
    };
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

void nb_moments_read(const nb_moments *moments, uint64_t i, uint32_t n, float *first, float *second) {
    float most_first = moments->first_most[i / NB_MOMENT_BLOCK],
          most_second = moments->second_most[i / NB_MOMENT_BLOCK];
    for (uint32_t k = 0; k < n; k++) {
        first[k] = most_first * moments->maps->first[moments->first_codes[i + k]];
        second[k] = most_second * moments->maps->second[moments->second_codes[i + k]];
    }
}

static float most_of(const float *x, uint32_t n) {
    float most = 0;
    for (uint32_t k = 0; k < n; k++)
        most = NB_MAX(most, fabsf(x[k]));
    return most;
}

void nb_moments_write(const nb_moments *moments, uint64_t i, uint32_t n, const float *first, const float *second) {
    float most_first = most_of(first, n), most_second = most_of(second, n);
    moments->first_most[i / NB_MOMENT_BLOCK] = most_first;
    moments->second_most[i / NB_MOMENT_BLOCK] = most_second;
    for (uint32_t k = 0; k < n; k++) {
        uint8_t code = most_second > 0 ? code_of(moments->maps->second, second[k] / most_second) : 0;
        moments->first_codes[i + k] = code_of(moments->maps->first, most_first > 0 ? first[k] / most_first : 0);
        moments->second_codes[i + k] = code == 0 && second[k] > 0 ? 1 : code;
    }
}
