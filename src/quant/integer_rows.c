#include "integer_rows.h"

#include "../base/numbers.h"

#include <math.h>

static const double LEVELS = 127;

/* 2^e, for e from -1000 to 1000. */
static double power(int32_t e) {
    uint64_t bits = (uint64_t)(1023 + e) << 52;
    double x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* The e with 2^(e - 1) <= v < 2^e. v > 0, and not subnormal. */
static int32_t exponent_of(double v) {
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return (int32_t)(bits >> 52 & 0x7ff) - 1022;
}

/* The nearest integer of 31 bits, ties away from zero. */
static int32_t rounded(double v) {
    double magnitude = floor(fabs(v) + 0.5);
    int32_t whole = magnitude < INT32_MAX ? (int32_t)magnitude : INT32_MAX;
    return v < 0 ? -whole : whole;
}

bool nb_integer_fixed(const double *v, uint32_t n, int32_t *out) {
    double most = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (!isfinite(v[i]))
            return false;
        most = NB_MAX(most, fabs(v[i]));
    }
    int32_t shift = most > 0 ? NB_MIN(NB_MAX(31 - exponent_of(most), 0), 62) : 0;
    for (uint32_t i = 0; i < n; i++)
        out[i] = rounded(v[i] * power(shift));
    out[n] = shift;
    return true;
}

bool nb_integer_rows(const float *w, uint32_t rows, uint32_t columns, double *scratch, int8_t *codes,
                     int32_t *multipliers) {
    for (uint32_t r = 0; r < rows; r++) {
        const float *row = w + (size_t)r * columns;
        double most = 0;
        for (uint32_t i = 0; i < columns; i++) {
            if (!isfinite(row[i]))
                return false;
            most = NB_MAX(most, fabs((double)row[i]));
        }
        double inverse = most > 0 ? LEVELS / most : 0;
        for (uint32_t i = 0; i < columns; i++)
            codes[(size_t)r * columns + i] = (int8_t)rounded((double)row[i] * inverse);
        scratch[r] = most / LEVELS;
    }
    nb_integer_fixed(scratch, rows, multipliers);
    for (uint32_t r = 0; r < rows; r++)
        multipliers[r] = NB_MAX(multipliers[r], 1); /* at least 1, also for a row of zeros */
    return true;
}

void nb_integer_scale(double v, uint32_t *multiplier, uint32_t *shift) {
    int32_t s = NB_MIN(31 - exponent_of(v), 62);
    *shift = (uint32_t)s;
    *multiplier = (uint32_t)rounded(v * power(s));
}

uint32_t nb_integer_step(double frequency) {
    double turns = frequency / 6.283185307179586;
    turns -= floor(turns);
    return (uint32_t)(uint64_t)floor(turns * 4294967296.0 + 0.5);
}
