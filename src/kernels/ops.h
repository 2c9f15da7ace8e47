/* The small operations between matrix products, on rows of F32. Each states its error bound; tests/core/test_ops.c
 * checks them against double precision. */
#ifndef NB_OPS_H
#define NB_OPS_H

#include "../base/simd.h"

/* Constants of e^x, for a loop to keep in registers (nb_held_constant says why). */
typedef struct nb_exp_constants {
    v128_t least, most, log2_e, magic, ln2_high, ln2_low, one, p[6];
} nb_exp_constants;

static inline nb_exp_constants nb_exp_held(void) {
    return (nb_exp_constants){
        .least = nb_held_float(-87.3f),
        .most = nb_held_float(88),
        .log2_e = nb_held_float(0x1.715476p+0f),
        .magic = nb_held_float(0x1.8p+23f + 127),
        .ln2_high = nb_held_float(-0x1.63p-1f),
        .ln2_low = nb_held_float(0x1.bd0106p-13f),
        .one = nb_held_float(1),
        .p =
            {
                nb_held_float(1 / 5040.0f),
                nb_held_float(1 / 720.0f),
                nb_held_float(1 / 120.0f),
                nb_held_float(1 / 24.0f),
                nb_held_float(1 / 6.0f),
                nb_held_float(0.5f),
            },
    };
}

/* e^x in four lanes: |relative error| <= 2e-7 for -87 <= x <= 88; below, 0 ... 1.2e-38; above, at most 1.7e38; NaN for
 * NaN. x = n ln 2 + r with |r| <= ln 2 / 2, e^r by its Taylor polynomial of degree 7 (remainder 5e-9). In numbers as
 * large as `magic` the last bit means 1. So adding magic rounds, and leaves n + 127, the exponent of 2^n, in the low
 * bits. */
static inline v128_t nb_exp_f32x4(v128_t x, const nb_exp_constants *c) {
    x = wasm_f32x4_pmin(wasm_f32x4_pmax(x, c->least), c->most); /* with operands swapped, NaN would become a number */
    v128_t shifted = nb_madd(x, c->log2_e, c->magic), n = wasm_f32x4_sub(shifted, c->magic);
    /* ln 2 in two parts, the first with so few bits that n times it is exact (Cody and Waite 1980) */
    v128_t r = nb_madd(n, c->ln2_low, nb_madd(n, c->ln2_high, x));
    v128_t p = c->p[0];
    for (uint32_t i = 1; i < 6; i++)
        p = nb_madd(p, r, c->p[i]);
    p = nb_madd(nb_madd(p, r, c->one), r, c->one);
    return wasm_f32x4_mul(p, wasm_i32x4_shl(shifted, 23));
}

/* out = x / sqrt(mean(x^2) + epsilon) * weight (Zhang and Sennrich 2019). x, weight, out: [n]; out may be x. */
void nb_rms_norm(float *out, const float *x, const float *weight, uint32_t n, float epsilon);

/* out = (x - mean) / sqrt(variance + epsilon) * weight + bias (Ba et al. 2016). bias may be NULL, out may be x. */
void nb_layer_norm(float *out, const float *x, const float *weight, const float *bias, uint32_t n, float epsilon);

/* gate = gate / (1 + e^-gate) * up (SwiGLU: Shazeer 2020, section 2). [n] each. Relative error <= 1e-6. */
void nb_silu_multiply(float *gate, const float *up, size_t n);

/* gate = gelu(gate) * up, by the hyperbolic tangent (Hendrycks and Gimpel 2016; GEGLU: Shazeer 2020). [n] each.
 * gelu(x) = x / 2 (1 + tanh u) = x / (1 + e^-2u), u = sqrt(2 / pi) (x + 0.044715 x^3). |error| <= 2e-7 |gate up|. */
void nb_gelu_multiply(float *gate, const float *up, size_t n);

/* x = gelu(x), as above; and x = x Φ(x) with the normal distribution itself, by Abramowitz and Stegun 1964, 7.1.26:
 * |error| <= 2e-7 |x|, and 3e-7 |x|. x: [n]. */
void nb_gelu(float *x, size_t n);
void nb_gelu_exact(float *x, size_t n);

/* x = max(x, 0). [n]. */
void nb_relu(float *x, size_t n);

/* x += y. [n] each. */
void nb_add_to(float *x, const float *y, size_t n);

/* x *= scale. x: [n]. */
void nb_scale(float *x, float scale, size_t n);

/* x = cap tanh(x / cap). x: [n]. |error| <= 4e-7 cap. */
void nb_cap(float *x, float cap, size_t n);

/* Rotates the first 2 * pairs elements of a head by the angles whose cosine and sine are given: [pairs] each.
 * Interleaved: elements 2i and 2i+1 are a pair; else i and i + pairs are (Su et al. 2021, section 3.4.2). */
void nb_rotate(float *head, const float *cosine, const float *sine, uint32_t pairs, bool interleaved);

/* The index of the first of x[from] ... x[n - 1] that is above the level; n if none is. NaN is never above. */
uint32_t nb_find_above(const float *x, uint32_t from, uint32_t n, float level);

/* e^x and ln x in F64, without the tables of a C library, which would add 6 KB to each engine. The relative error is at
 * most 5e-16; of ln x near x = 1, the absolute error is. nb_exp: 0 below -708, infinity above 709. */
double nb_exp(double x);
double nb_log(double x);

/* ln(e^x[0] + ... + e^x[n - 1]), n > 0. |error| <= 5e-6, whatever n is: lanes add 64 numbers each in F32, the rest
 * is F64. */
double nb_log_sum_exp(const float *x, uint32_t n);

/* sums += x^2. [n] each. */
void nb_add_squares(double *sums, const float *x, size_t n);

/* sums += |x|, largest = max(largest, |x|). [n] each. */
void nb_add_magnitudes(double *sums, float *largest, const float *x, size_t n);

/* The index of the largest of x[n], the first of equal ones. NaN is skipped; 0 if there is nothing else. */
uint32_t nb_argmax(const float *x, uint32_t n);

#endif
