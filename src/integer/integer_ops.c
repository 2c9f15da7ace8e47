#include "integer_ops.h"

/* log2(e) in units of 2^-30 */
static const int64_t LOG2_E = 1549082005;

nb_dyadic nb_integer_codes(const int64_t *v, uint32_t n, uint32_t levels, int16_t *codes) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < n; i++)
        most = NB_MAX(most, nb_magnitude(v[i]));
    if (!most) {
        memset(codes, 0, n * sizeof *codes);
        return (nb_dyadic){0, 0};
    }
    /* Magnitudes are shifted so that the largest one has exactly 31 bits. The inverse is then precise to 16 bits. */
    int32_t s = nb_bit_length(most) - 31, right = NB_MAX(s, 0), left = NB_MAX(-s, 0);
    uint64_t top = most >> right << left, inverse = ((uint64_t)levels << 40) / top;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t magnitude = nb_magnitude(v[i]) >> right << left;
        codes[i] = (int16_t)nb_with_sign(v[i], (magnitude * inverse + ((uint64_t)1 << 39)) >> 40);
    }
    return nb_dyadic_of((top << 20) / levels, s - 20);
}

nb_dyadic nb_integer_codes_of(const int32_t *v, uint32_t n, uint32_t levels, int64_t *scratch, int16_t *codes) {
    for (uint32_t i = 0; i < n; i++)
        scratch[i] = v[i];
    return nb_integer_codes(scratch, n, levels, codes);
}

uint32_t nb_integer_root(uint64_t v) {
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 60; bit; bit >>= 2) { /* digit by digit, in base 4 */
        if (v >= root + bit) {
            v -= root + bit;
            root = (root >> 1) + bit;
        } else
            root >>= 1;
    }
    return (uint32_t)root;
}

nb_dyadic nb_integer_norm(const int32_t *x, nb_integer_gain gain, uint32_t n, uint32_t epsilon, uint32_t levels,
                          int64_t *scratch, int16_t *codes) {
    uint64_t most = 0, sum = 0;
    for (uint32_t i = 0; i < n; i++)
        most = NB_MAX(most, nb_magnitude(x[i]));
    /* Magnitudes are shortened to 24 bits, so that sums of squares fit. Epsilon gets the unit of the squares. */
    int32_t s = NB_MAX(nb_bit_length(most) - 24, -20), right = NB_MAX(s, 0), left = NB_MAX(-s, 0);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t y = nb_magnitude(x[i]) >> right << left;
        sum += y * y;
        scratch[i] = nb_with_sign(x[i], y) * gain.numbers[i];
    }
    uint64_t mean = sum / NB_MAX(n, 1) + ((uint64_t)epsilon >> 2 * right << 2 * left);
    int32_t up = NB_MAX((62 - nb_bit_length(mean)) / 2 * 2, 0);
    uint32_t root = nb_integer_root(mean << up); /* the root mean square, times 2^(up / 2) */
    nb_dyadic scale = nb_integer_codes(scratch, n, levels, codes);
    return nb_dyadic_of(((uint64_t)scale.m << 32) / NB_MAX(root, 1), scale.e - gain.shift - 32 + up / 2);
}

uint32_t nb_integer_power(uint64_t d) {
    /* 2^-f for 0 <= f < 1 is a polynomial through five Chebyshev nodes, with an error of at most 8e-6. I-BERT (arXiv
     * 2101.01321) reduces the exponential in the same way, but its polynomial of degree 2 has an error of 2e-3. */
    static const int64_t coefficients[] = {1 << 30, -744155626, 257086653, -57137150, 7339192};
    uint64_t whole = d >> 16;
    if (whole > 30)
        return 0;
    int64_t f = (int64_t)(d & 0xffff) << 14, p = coefficients[4];
    for (int32_t i = 3; i >= 0; i--)
        p = coefficients[i] + ((p * f) >> 30);
    return (uint32_t)(p >> whole);
}

void nb_integer_gated(const int32_t *gate, const int32_t *up, uint32_t n, int64_t *out) {
    const int64_t one = 1 << 30;
    for (uint32_t i = 0; i < n; i++) {
        int64_t g = gate[i];
        int64_t e = nb_integer_power((nb_magnitude(g) * (uint64_t)LOG2_E + (1 << 29)) >> 30); /* exp(-|g|) */
        int64_t sigmoid = g < 0 ? (e << 30) / (one + e) : (one << 30) / (one + e);
        out[i] = (int64_t)nb_shift(g * sigmoid, 30) * up[i];
    }
}

void nb_integer_sines_fill(nb_integer_sines *sines) {
    const int64_t turn_c = 1073740561, turn_s = 1647098, half = 1 << 29; /* cosine and sine of pi / 2048, times 2^30 */
    int64_t c = 1 << 30, s = 0;
    for (int32_t i = 0; i <= NB_QUARTER; i++) {
        sines->at[i] = (int32_t)s;
        int64_t next = (c * turn_c - s * turn_s + half) >> 30;
        s = (s * turn_c + c * turn_s + half) >> 30;
        c = next;
    }
    sines->at[NB_QUARTER + 1] = sines->at[NB_QUARTER];
}

int32_t nb_integer_sine(const nb_integer_sines *sines, uint32_t phase) {
    const uint32_t quarter = 1u << 30;
    uint32_t f = phase & (quarter - 1);
    if (phase >> 30 & 1)
        f = quarter - f;
    uint32_t at = f >> 20;
    int64_t part = f & ((1 << 20) - 1), from = sines->at[at], to = sines->at[at + 1];
    int64_t v = from + (((to - from) * part + (1 << 19)) >> 20);
    v = (v + (1 << 14)) >> 15;
    return (int32_t)(phase >> 31 ? -v : v);
}

void nb_integer_rotate(int32_t *x, const int32_t *cosines, const int32_t *sines, uint32_t pairs) {
    for (uint32_t i = 0; i < pairs; i++) {
        int64_t a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = nb_shift(a * cosines[i] - b * sines[i], 15);
        x[2 * i + 1] = nb_shift(a * sines[i] + b * cosines[i], 15);
    }
}
