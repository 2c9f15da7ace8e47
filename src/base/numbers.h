/* Floating-point formats of 16 and 8 bits, and sizes with overflow checks. */
#ifndef NB_NUMBERS_H
#define NB_NUMBERS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t nb_bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, 4);
    return u;
}

static inline float nb_float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, 4);
    return x;
}

/* IEEE 754 binary16 -> binary32, exact. */
static inline float nb_f16_to_f32(uint16_t h) {
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, magnitude = h & 0x7fff;
    if (magnitude >= 0x7c00) /* infinity, NaN */
        return nb_float_of(sign | 0x7f800000 | (magnitude & 0x3ff) << 13);
    /* read as a float, the bits are the value times 2^-112, also for subnormals */
    return nb_float_of(sign | nb_bits_of(nb_float_of(magnitude << 13) * 0x1p112f));
}

/* binary32 -> binary16, to nearest, ties to even; overflow gives infinity. */
static inline uint16_t nb_f32_to_f16(float x) {
    uint32_t u = nb_bits_of(x), sign = u >> 16 & 0x8000;
    u &= 0x7fffffff;
    if (u > 0x7f800000)
        return (uint16_t)(sign | 0x7e00);
    if (u >= 0x477ff000) /* rounds to 65536 or more */
        return (uint16_t)(sign | 0x7c00);
    if (u < 0x38800000) /* subnormal: adding 0.5 leaves value * 2^24, rounded, in the low bits */
        return (uint16_t)(sign | (nb_bits_of(nb_float_of(u) + 0.5f) - 0x3f000000));
    return (uint16_t)(sign | (u + 0xfff + (u >> 13 & 1) - 0x38000000) >> 13);
}

/* 2^e; 0 or infinity if binary32 cannot hold it. */
static inline float nb_power_of_two(int32_t e) {
    return e < -149 ? 0 : nb_float_of(e < -126 ? 1u << (e + 149) : e > 127 ? 0x7f800000 : (uint32_t)(e + 127) << 23);
}

static inline float nb_bf16_to_f32(uint16_t h) {
    return nb_float_of((uint32_t)h << 16);
}

/* Half of an E8M0 number: 2^(e - 128), exact. 255, which the format calls NaN, is read like the others. */
static inline float nb_half_e8m0_to_f32(uint8_t e) {
    return nb_float_of(e < 2 ? 0x00200000u << e : (uint32_t)(e - 1) << 23);
}

/* Half of an E4M3 number without sign. 127, which the format calls NaN, is read as 0, as in llama.cpp. */
static inline float nb_half_e4m3_to_f32(uint8_t x) {
    if (x == 127)
        return 0;
    uint32_t exponent = x >> 3 & 15, mantissa = x & 7;
    return exponent ? nb_float_of((exponent + 119) << 23 | mantissa << 20) : (float)mantissa * 0x1p-10f;
}

/* F8_E4M3 and F8_E5M2 (types/types.h) -> binary32, exact. */
static inline float nb_e4m3_to_f32(uint8_t h) {
    uint32_t sign = (uint32_t)(h & 0x80) << 24, magnitude = h & 0x7f;
    if (magnitude == 0x7f)
        return nb_float_of(sign | 0x7fc00000);
    /* read as a float, the bits are the value times 2^-120, also for subnormals */
    return nb_float_of(sign | nb_bits_of(nb_float_of(magnitude << 20) * 0x1p120f));
}

static inline float nb_e5m2_to_f32(uint8_t h) {
    return nb_f16_to_f32((uint16_t)(h << 8));
}

static inline bool nb_add(uint64_t a, uint64_t b, uint64_t *out) {
    return !__builtin_add_overflow(a, b, out);
}

/* *out = a * b; false if that does not fit 64 bits. Computed from 32-bit halves: the compiler's own check, or one by
 * division, would call a 128-bit multiplication of a runtime library. */
static inline bool nb_multiply(uint64_t a, uint64_t b, uint64_t *out) {
    uint64_t a1 = a >> 32, a0 = (uint32_t)a, b1 = b >> 32, b0 = (uint32_t)b;
    if (a1 && b1)
        return false;
    uint64_t cross = a1 * b0 + a0 * b1; /* one of the products is 0 */
    return cross >> 32 == 0 && nb_add(cross << 32, a0 * b0, out);
}

/* Saturating sums and products of sizes: UINT64_MAX if the result does not fit 64 bits. No allocation is that large.
 * Sizes are computed with these, because a 32-bit size_t could overflow unnoticed. */
static inline uint64_t nb_plus(uint64_t a, uint64_t b) {
    uint64_t sum;
    return nb_add(a, b, &sum) ? sum : UINT64_MAX;
}

static inline uint64_t nb_times(uint64_t a, uint64_t b) {
    uint64_t product;
    return nb_multiply(a, b, &product) ? product : UINT64_MAX;
}

#define NB_ROUND_UP(n, multiple) (((n) + (multiple) - 1) / (multiple) * (multiple))
#define NB_MIN(a, b) ((a) < (b) ? (a) : (b))
#define NB_MAX(a, b) ((a) > (b) ? (a) : (b))

#endif
