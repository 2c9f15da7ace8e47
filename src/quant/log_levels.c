#include "log_levels.h"

#include "../base/numbers.h"
#include "uniform.h"

#pragma STDC FP_CONTRACT OFF

/* The exponent of the power of two nearest to x > 0. For x = m 2^e, 1 <= m < 2, it is e if m < 3/2, else e + 1. */
static int32_t nearest_exponent(float x) {
    int32_t shift = 0;
    if (x < 0x1p-126f) { /* subnormal */
        x *= 0x1p24f;
        shift = 24;
    }
    uint32_t bits = nb_bits_of(x);
    return (int32_t)(bits >> 23) - 127 - shift + (int32_t)(bits >> 22 & 1);
}

int32_t nb_log_top(float largest) {
    return largest > 0 ? NB_MIN(nearest_exponent(largest), 127) : 0; /* 2^128 is no float */
}

void nb_log_codes(uint32_t bits, int32_t top, const float *x, size_t n, uint8_t *codes) {
    int32_t levels = (1 << (bits - 1)) - 1, least = top - levels + 1;
    for (size_t i = 0; i < n; i++) {
        float size = __builtin_fabsf(x[i]);
        int32_t exponent = size > 0 ? nearest_exponent(size) : least - 2;
        /* from 2^(least - 1) on, the middle between 0 and the least level, that level is taken */
        if (exponent < least && size > 0 && size >= nb_power_of_two(least - 1))
            exponent = least;
        uint32_t code = exponent < least ? 0 : (uint32_t)(top - NB_MIN(exponent, top)) + 1;
        codes[i] = (uint8_t)(code && x[i] < 0 ? code | 1u << (bits - 1) : code);
    }
}

int32_t nb_log_levels(uint32_t bits, const float *x, size_t n, int32_t *top, uint8_t *codes, nb_error *err) {
    if (bits < 2 || bits > 8)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "codes of logarithmic levels have 2 to 8 bits, not %u", bits);
    NB_TRY(nb_matrix_check("the numbers to be quantized", x, 1, n, err));
    float largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = NB_MAX(largest, __builtin_fabsf(x[i]));
    *top = nb_log_top(largest);
    nb_log_codes(bits, *top, x, n, codes);
    return NB_OK;
}

void nb_log_level_values(uint32_t bits, int32_t top, const uint8_t *codes, size_t n, float *out) {
    uint32_t minus = 1u << (bits - 1);
    for (size_t i = 0; i < n; i++) {
        uint32_t code = codes[i] & (minus - 1);
        float size = code ? nb_power_of_two(top - (int32_t)code + 1) : 0;
        out[i] = codes[i] & minus ? -size : size;
    }
}
