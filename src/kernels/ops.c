#include "ops.h"

#include <math.h>

void nb_rms_norm(float *out, const float *x, const float *weight, uint32_t n, float epsilon) {
    v128_t sums[2] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8)
        for (uint32_t j = 0; j < 2; j++) {
            v128_t v = wasm_v128_load(x + i + 4 * j);
            sums[j] = nb_madd(v, v, sums[j]);
        }
    float sum = nb_sum_f32x4(wasm_f32x4_add(sums[0], sums[1]));
    for (; i < n; i++)
        sum += x[i] * x[i];
    float scale = 1 / sqrtf(sum / (float)n + epsilon);
    for (i = 0; i + 4 <= n; i += 4)
        wasm_v128_store(out + i, wasm_f32x4_mul(wasm_f32x4_mul(wasm_v128_load(x + i), wasm_f32x4_splat(scale)),
                                                wasm_v128_load(weight + i)));
    for (; i < n; i++)
        out[i] = x[i] * scale * weight[i];
}

void nb_layer_norm(float *out, const float *x, const float *weight, const float *bias, uint32_t n, float epsilon) {
    float sum = 0, squares = 0;
    NB_LOOP
    for (uint32_t i = 0; i < n; i++)
        sum += x[i];
    float mean = sum / (float)n;
    NB_LOOP
    for (uint32_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    float scale = 1 / sqrtf(squares / (float)n + epsilon);
    NB_LOOP
    for (uint32_t i = 0; i < n; i++)
        out[i] = (x[i] - mean) * scale * weight[i] + (bias ? bias[i] : 0);
}

static inline v128_t silu(v128_t x, const nb_exp_constants *c) {
    return wasm_f32x4_div(x, wasm_f32x4_add(c->one, nb_exp_f32x4(wasm_f32x4_neg(x), c)));
}

void nb_silu_multiply(float *gate, const float *up, size_t n) {
    const nb_exp_constants c = nb_exp_held();
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        wasm_v128_store(gate + i, wasm_f32x4_mul(silu(wasm_v128_load(gate + i), &c), wasm_v128_load(up + i)));
    for (; i < n; i++)
        gate[i] = wasm_f32x4_extract_lane(silu(wasm_f32x4_splat(gate[i]), &c), 0) * up[i];
}

static inline v128_t gelu(v128_t x, const nb_exp_constants *c) {
    v128_t square = wasm_f32x4_mul(x, x);
    v128_t factor = nb_madd(square, wasm_f32x4_splat(0.07135481f), wasm_f32x4_splat(1.59576912f)); /* 2u / x */
    v128_t power = nb_exp_f32x4(wasm_f32x4_neg(wasm_f32x4_mul(x, factor)), c);
    return wasm_f32x4_div(x, wasm_f32x4_add(c->one, power));
}

__attribute__((noinline)) void nb_gelu_multiply(float *gate, const float *up, size_t n) {
    const nb_exp_constants c = nb_exp_held();
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        wasm_v128_store(gate + i, wasm_f32x4_mul(gelu(wasm_v128_load(gate + i), &c), wasm_v128_load(up + i)));
    for (; i < n; i++)
        gate[i] = wasm_f32x4_extract_lane(gelu(wasm_f32x4_splat(gate[i]), &c), 0) * up[i];
}

/* Not inlined, to save code: for use where speed hardly matters. */
static __attribute__((noinline)) v128_t exp_f32x4(v128_t x) {
    const nb_exp_constants c = nb_exp_held();
    return nb_exp_f32x4(x, &c);
}

static v128_t gelu_exact(v128_t x) {
    v128_t one = wasm_f32x4_splat(1);
    v128_t u = wasm_f32x4_mul(wasm_f32x4_abs(x), wasm_f32x4_splat(0.70710678f)); /* |x| / sqrt(2) */
    v128_t t = wasm_f32x4_div(one, nb_madd(u, wasm_f32x4_splat(0.3275911f), one)), p = wasm_f32x4_splat(1.061405429f);
    p = nb_madd(p, t, wasm_f32x4_splat(-1.453152027f));
    p = nb_madd(p, t, wasm_f32x4_splat(1.421413741f));
    p = nb_madd(p, t, wasm_f32x4_splat(-0.284496736f));
    p = nb_madd(p, t, wasm_f32x4_splat(0.254829592f));
    p = wasm_f32x4_mul(wasm_f32x4_mul(p, t), exp_f32x4(wasm_f32x4_neg(wasm_f32x4_mul(u, u)))); /* 1 - erf(u) */
    p = wasm_f32x4_mul(p, wasm_f32x4_splat(0.5f));                                             /* Φ(-|x|) */
    return wasm_f32x4_mul(x, wasm_v128_bitselect(wasm_f32x4_sub(one, p), p, wasm_f32x4_gt(x, wasm_f32x4_splat(0))));
}

/* cap tanh(x / cap) = cap - 2 cap / (e^(2 x / cap) + 1) */
static v128_t capped(v128_t x, float cap) {
    v128_t power = exp_f32x4(wasm_f32x4_mul(x, wasm_f32x4_splat(2 / cap)));
    v128_t less = wasm_f32x4_div(wasm_f32x4_splat(2 * cap), wasm_f32x4_add(power, wasm_f32x4_splat(1)));
    return wasm_f32x4_sub(wasm_f32x4_splat(cap), less);
}

/* x[i] = expression of v = x[i], for all i < n; the last few in a vector of their own. */
#define EACH(x, n, expression)                                     \
    NB_LOOP                                                        \
    for (size_t i = 0; i < (n); i += 4) {                          \
        float lanes[4] = {0}, *at = (n) - i < 4 ? lanes : (x) + i; \
        if (at == lanes)                                           \
            memcpy(lanes, (x) + i, ((n) - i) * sizeof(float));     \
        v128_t v = wasm_v128_load(at);                             \
        wasm_v128_store(at, expression);                           \
        if (at == lanes)                                           \
            memcpy((x) + i, lanes, ((n) - i) * sizeof(float));     \
    }

void nb_gelu(float *x, size_t n) {
    float ones[64];
    for (size_t i = 0; i < 64; i++)
        ones[i] = 1;
    for (size_t i = 0; i < n; i += 64)
        nb_gelu_multiply(x + i, ones, n - i < 64 ? n - i : 64);
}

void nb_gelu_exact(float *x, size_t n) {
    EACH(x, n, gelu_exact(v))
}

void nb_relu(float *x, size_t n) {
    EACH(x, n, wasm_f32x4_max(v, wasm_f32x4_splat(0)))
}

void nb_cap(float *x, float cap, size_t n) {
    EACH(x, n, capped(v, cap))
}

void nb_scale(float *x, float scale, size_t n) {
    EACH(x, n, wasm_f32x4_mul(v, wasm_f32x4_splat(scale)))
}

void nb_add_to(float *x, const float *y, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        wasm_v128_store(x + i, wasm_f32x4_add(wasm_v128_load(x + i), wasm_v128_load(y + i)));
    for (; i < n; i++)
        x[i] += y[i];
}

void nb_rotate(float *head, const float *cosine, const float *sine, uint32_t pairs, bool interleaved) {
    uint32_t step = interleaved ? 2 : 1, other = interleaved ? 1 : pairs, i = 0;
    for (; i + 4 <= pairs; i += 4) {
        float *first = head + step * i, *second = interleaved ? first + 4 : first + pairs;
        v128_t a = wasm_v128_load(first), b = wasm_v128_load(second), x = a, y = b;
        if (interleaved) {
            x = wasm_i32x4_shuffle(a, b, 0, 2, 4, 6);
            y = wasm_i32x4_shuffle(a, b, 1, 3, 5, 7);
        }
        v128_t c = wasm_v128_load(cosine + i), s = wasm_v128_load(sine + i);
        a = wasm_f32x4_sub(wasm_f32x4_mul(x, c), wasm_f32x4_mul(y, s));
        b = wasm_f32x4_add(wasm_f32x4_mul(x, s), wasm_f32x4_mul(y, c));
        wasm_v128_store(first, interleaved ? wasm_i32x4_shuffle(a, b, 0, 4, 1, 5) : a);
        wasm_v128_store(second, interleaved ? wasm_i32x4_shuffle(a, b, 2, 6, 3, 7) : b);
    }
    for (; i < pairs; i++) {
        float *a = head + step * i, *b = a + other, x = *a, y = *b;
        *a = x * cosine[i] - y * sine[i];
        *b = x * sine[i] + y * cosine[i];
    }
}

uint32_t nb_find_above(const float *x, uint32_t from, uint32_t n, float level) {
    v128_t limit = wasm_f32x4_splat(level);
    uint32_t i = from;
    for (; i + 16 <= n; i += 16) {
        v128_t top = limit; /* pmax never lets NaN in; comparisons would become relaxed maxima, which may */
        for (uint32_t j = 0; j < 16; j += 4)
            top = wasm_f32x4_pmax(top, wasm_v128_load(x + i + j));
        if (wasm_v128_any_true(wasm_f32x4_gt(top, limit)))
            break;
    }
    while (i < n && !(x[i] > level))
        i++;
    return i;
}

uint32_t nb_argmax(const float *x, uint32_t n) {
    uint32_t best = 0;
    while (best < n && isnan(x[best]))
        best++;
    if (best == n)
        return 0;
    for (uint32_t i = best; (i = nb_find_above(x, i, n, x[best])) < n;)
        best = i;
    return best;
}

/* x = k ln 2 + r, |r| <= ln 2 / 2: e^x = 2^k (1 + r + r^2 / 2 + ...), 13 terms of Taylor's series. */
double nb_exp(double x) {
    const double LN2_HIGH = 0x1.62e42feep-1, LN2_LOW = 0x1.a39ef35793c76p-33; /* the first times k is exact */
    if (!(x >= -708 && x <= 709))
        return x < 0 ? 0 : x > 0 ? (double)INFINITY : x;
    int32_t k = (int32_t)(x * 0x1.71547652b82fep0 + (x < 0 ? -0.5 : 0.5));
    double r = x - k * LN2_HIGH - k * LN2_LOW, sum = 1;
    for (int32_t i = 13; i > 0; i--)
        sum = 1 + r / i * sum;
    uint64_t bits = (uint64_t)(1023 + k) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

/* x = 2^k m, 1/sqrt(2) <= m <= sqrt(2); z = (m - 1) / (m + 1): ln m = 2 (z + z^3 / 3 + z^5 / 5 + ...). */
double nb_log(double x) {
    if (!(x > 0 && x < (double)INFINITY))
        return x == 0 ? -(double)INFINITY : x > 0 ? x : (double)NAN;
    int32_t k = 0;
    for (; x < 0x1p-1022; k -= 54)
        x *= 0x1p54; /* subnormal */
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    k += (int32_t)(bits >> 52) - 1023;
    bits = (bits & 0xfffffffffffffu) | 1023ull << 52;
    memcpy(&x, &bits, sizeof x);
    if (x > 0x1.6a09e667f3bcdp0) {
        x /= 2;
        k++;
    }
    double z = (x - 1) / (x + 1), sum = 0;
    for (int32_t i = 21; i > 0; i -= 2)
        sum = sum * z * z + 1.0 / i;
    return k * 0x1.62e42fefa39efp-1 + 2 * z * sum;
}

double nb_log_sum_exp(const float *x, uint32_t n) {
    enum { BLOCK = 256 };
    const nb_exp_constants c = nb_exp_held();
    float most = x[nb_argmax(x, n)];
    double sum = 0;
    for (uint32_t from = 0; from < n; from += BLOCK) {
        uint32_t end = NB_MIN(n, from + BLOCK), i = from;
        v128_t lanes = wasm_f32x4_splat(0);
        for (; i + 4 <= end; i += 4)
            lanes =
                wasm_f32x4_add(lanes, nb_exp_f32x4(wasm_f32x4_sub(wasm_v128_load(x + i), wasm_f32x4_splat(most)), &c));
        float four[4];
        wasm_v128_store(four, lanes);
        for (uint32_t k = 0; k < 4; k++)
            sum += (double)four[k];
        for (; i < end; i++)
            sum += nb_exp((double)x[i] - (double)most);
    }
    return (double)most + nb_log(sum);
}

void nb_add_squares(double *sums, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        sums[i] += (double)x[i] * (double)x[i];
}

void nb_add_magnitudes(double *sums, float *largest, const float *x, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float magnitude = nb_float_of(nb_bits_of(x[i]) & 0x7fffffff);
        sums[i] += (double)magnitude;
        largest[i] = NB_MAX(largest[i], magnitude);
    }
}
