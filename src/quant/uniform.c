/* Uniform grids. Both kinds of rounding are those of Gupta et al. 2015, "Deep Learning with Limited Numerical
 * Precision", section 3. */
#include "uniform.h"

#include "../base/random_bits.h"

#include "../base/numbers.h"
#include "../types/finite.h"
#include "../types/types.h"

#pragma STDC FP_CONTRACT OFF

int32_t nb_uniform_check(const nb_uniform *u, nb_error *err) {
    if (u->bits < 2 || u->bits > 8)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "codes of a uniform grid have 2 to 8 bits, not %u", u->bits);
    if (u->is_narrow && !u->is_symmetric)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "only a symmetric grid can leave out its lowest code");
    if (u->scale_type != NB_TYPE_F32 && u->scale_type != NB_TYPE_F16 && u->scale_type != NB_TYPE_BF16)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "scales of a uniform grid are F32, F16 or BF16, not of type %u",
                       u->scale_type);
    return NB_OK;
}

int32_t nb_uniform_lowest(const nb_uniform *u) {
    return (u->is_signed ? -(1 << (u->bits - 1)) : 0) + u->is_narrow;
}

int32_t nb_uniform_highest(const nb_uniform *u) {
    return (u->is_signed ? 1 << (u->bits - 1) : 1 << u->bits) - 1;
}

/* ---- steps ------------------------------------------------------------------------------------------------------- */

float nb_uniform_scale(uint32_t type, float scale) {
    if (type == NB_TYPE_F16)
        return nb_f16_to_f32(nb_f32_to_f16(NB_MAX(0x1p-24f, NB_MIN(scale, 65504.0f))));
    if (type == NB_TYPE_BF16) {
        uint32_t bits = nb_bits_of(NB_MAX(0x1p-126f, NB_MIN(scale, 0x1.fep127f)));
        return nb_float_of((bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000);
    }
    return NB_MAX(0x1p-126f, scale);
}

/* Rounds to nearest, ties to even, within -2^20 ... 2^20. Adding 1.5 * 2^23 does the rounding. */
static int32_t nearest_even(float x) {
    x = x < -0x1p20f ? -0x1p20f : x > 0x1p20f ? 0x1p20f : x;
    return (int32_t)(x + 0x1.8p23f - 0x1.8p23f);
}

nb_uniform_step nb_uniform_fit(const nb_uniform *u, float low, float high) {
    int32_t lowest = nb_uniform_lowest(u), highest = nb_uniform_highest(u), span = highest - lowest;
    int32_t middle = u->is_signed ? 0 : 1 << (u->bits - 1);
    low = NB_MIN(low, 0.0f);
    high = NB_MAX(high, 0.0f);
    if (low == 0 && high == 0)
        return (nb_uniform_step){1, u->is_symmetric ? middle : lowest};
    if (u->is_symmetric)
        return (nb_uniform_step){nb_uniform_scale(u->scale_type, NB_MAX(-low, high) / ((float)span / 2)), middle};
    float range = high - low; /* infinite if both ends are huge */
    float scale = range <= 0x1.fffffep127f ? range / (float)span : high / (float)span - low / (float)span;
    scale = nb_uniform_scale(u->scale_type, scale);
    int32_t zero = lowest - nearest_even(low / scale);
    return (nb_uniform_step){scale, NB_MIN(highest, zero)};
}

/* ---- codes ------------------------------------------------------------------------------------------------------- */

/* floor(x + fraction), within -2^20 ... 2^20 */
static int32_t rounded_at_random(float x, double fraction) {
    x = x < -0x1p20f ? -0x1p20f : x > 0x1p20f ? 0x1p20f : x;
    double sum = (double)x + fraction;
    int32_t whole = (int32_t)sum;
    return whole - (sum < whole);
}

void nb_uniform_codes(const nb_uniform *u, nb_uniform_step step, uint64_t first, const float *x, size_t n,
                      int16_t *codes) {
    int32_t lowest = nb_uniform_lowest(u), highest = nb_uniform_highest(u);
    for (size_t i = 0; i < n; i++) {
        float steps = x[i] / step.scale;
        int32_t q = step.zero + (u->is_stochastic ? rounded_at_random(steps, nb_random_fraction(u->seed, first + i))
                                                  : nearest_even(steps));
        codes[i] = (int16_t)(q < lowest ? lowest : q > highest ? highest : q);
    }
}

void nb_uniform_values(nb_uniform_step step, const int16_t *codes, size_t n, float *out) {
    for (size_t i = 0; i < n; i++)
        out[i] = step.scale * (float)(codes[i] - step.zero);
}

/* ---- matrices ---------------------------------------------------------------------------------------------------- */

int32_t nb_matrix_check(const char *what, const float *x, uint64_t rows, uint64_t columns, nb_error *err) {
    for (uint64_t row = 0; row < rows; row++) {
        const float *from = x + row * columns;
        if (nb_are_finite(from, (size_t)columns))
            continue;
        uint64_t column = 0;
        while (nb_are_finite(from + column, 1))
            column++;
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "%s have a number that is not finite in row %l, column %l; the file is damaged", what, row,
                       column);
    }
    return NB_OK;
}

int32_t nb_magnitudes_check(const char *what, const float *x, uint32_t columns, nb_error *err) {
    for (uint32_t i = 0; i < columns; i++)
        if (!(x[i] >= 0) || !nb_are_finite(x + i, 1))
            return NB_FAIL(err, NB_ERR_FORMAT, "%s of column %u is %g; it must be finite and not negative", what, i,
                           (double)x[i]);
    return NB_OK;
}

uint64_t nb_uniform_steps(uint64_t rows, uint64_t columns, uint64_t group, nb_error *err) {
    uint64_t n = 1;
    if (!rows || !columns)
        nb_fail(err, NB_ERR_ARGUMENT, "a matrix of %l rows and %l columns has nothing to quantize", rows, columns);
    else if (group != NB_PER_TENSOR && columns % group)
        nb_fail(err, NB_ERR_ARGUMENT,
                "groups of %l columns do not divide rows of %l; take a group that does, or a scale for each row", group,
                columns);
    else if (group == NB_PER_TENSOR || nb_multiply(rows, columns / group, &n))
        return n;
    else
        nb_fail(err, NB_ERR_ARGUMENT, "a matrix of %l rows and %l columns is too large", rows, columns);
    return 0;
}

/* The number of steps, and the numbers that share each; or an error. */
static int32_t check_matrix(const nb_uniform *u, uint64_t group, const float *x, uint64_t rows, uint64_t columns,
                            uint64_t *n, uint64_t *each, nb_error *err) {
    NB_TRY(nb_uniform_check(u, err));
    *n = nb_uniform_steps(rows, columns, group, err);
    if (!*n)
        return NB_ERR_ARGUMENT;
    *each = rows * columns / *n;
    return nb_matrix_check("the numbers to be quantized", x, rows, columns, err);
}

int32_t nb_uniform_matrix_with(const nb_uniform *u, uint64_t group, const float *x, uint64_t rows, uint64_t columns,
                               const nb_uniform_step *steps, int16_t *codes, nb_error *err) {
    uint64_t n, each;
    NB_TRY(check_matrix(u, group, x, rows, columns, &n, &each, err));
    for (uint64_t i = 0; i < n; i++)
        nb_uniform_codes(u, steps[i], i * each, x + i * each, (size_t)each, codes + i * each);
    return NB_OK;
}

nb_uniform_step nb_uniform_fit_to(const nb_uniform *u, const float *x, size_t n) {
    float low = 0, high = 0;
    for (size_t i = 0; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    return nb_uniform_fit(u, low, high);
}

int32_t nb_uniform_matrix(const nb_uniform *u, uint64_t group, const float *x, uint64_t rows, uint64_t columns,
                          nb_uniform_step *steps, int16_t *codes, nb_error *err) {
    uint64_t n, each;
    NB_TRY(check_matrix(u, group, x, rows, columns, &n, &each, err));
    for (uint64_t i = 0; i < n; i++) {
        steps[i] = nb_uniform_fit_to(u, x + i * each, (size_t)each);
        nb_uniform_codes(u, steps[i], i * each, x + i * each, (size_t)each, codes + i * each);
    }
    return NB_OK;
}
