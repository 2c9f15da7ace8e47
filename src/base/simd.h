/* Vector instructions, by WebAssembly's names. The native build gets them from SIMDe, and the relaxed dot product from
 * below, so that the sanitizers check the same kernels that browsers run. */
#ifndef NB_SIMD_H
#define NB_SIMD_H

#include "numbers.h"

#include <stddef.h>

#ifdef __wasm__
#include <wasm_simd128.h>
#else
#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/wasm/simd128.h>
#endif

/* For functions that are compiled anew at each call, for the constants that are its arguments. */
#define INLINE static inline __attribute__((always_inline))

/* Relaxed kernels are compiled where the instructions exist, and natively for the tests. */
#if defined(__wasm_relaxed_simd__) || defined(NB_NATIVE)
#define NB_RELAXED 1
#endif

#ifdef NB_NATIVE
/* Sums of pairs of products. The second operand must be within 0 ... 127: only there do all engines agree. */
static inline v128_t wasm_i16x8_relaxed_dot_i8x16_i7x16(v128_t a, v128_t b) {
    int8_t x[16], y[16];
    int16_t sum[8];
    wasm_v128_store(x, a);
    wasm_v128_store(y, b);
    for (int i = 0; i < 8; i++) {
        if (y[2 * i] < 0 || y[2 * i + 1] < 0)
            __builtin_trap();
        sum[i] = (int16_t)(x[2 * i] * y[2 * i] + x[2 * i + 1] * y[2 * i + 1]);
    }
    return wasm_v128_load(sum);
}

/* Sums of four products each, added to c. b as above. */
static inline v128_t wasm_i32x4_relaxed_dot_i8x16_i7x16_add(v128_t a, v128_t b, v128_t c) {
    v128_t pairs = wasm_i16x8_relaxed_dot_i8x16_i7x16(a, b);
    return wasm_i32x4_add(wasm_i32x4_extadd_pairwise_i16x8(pairs), c);
}
#endif

/* a * b + c. Relaxed builds round once or twice, depending on the device. */
#if defined(__wasm_relaxed_simd__)
#define nb_madd(a, b, c) wasm_f32x4_relaxed_madd(a, b, c)
#else
#define nb_madd(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#endif

/* Four lanes of the same bits, for use in a loop. V8 rebuilds a vector constant at each use, in three instructions; a
 * splat of a value that the compiler does not know stays in a register. */
static inline v128_t nb_held_constant(uint32_t bits) {
#ifdef __wasm__
    __asm__("" : "+r"(bits));
#endif
    return wasm_i32x4_splat((int32_t)bits);
}

static inline v128_t nb_held_float(float value) {
#ifdef __wasm__
    __asm__("" : "+r"(value));
#endif
    return wasm_f32x4_splat(value);
}

/* Forces v to be computed here. Otherwise the compiler may delay a running sum until its use and keep all its inputs
 * alive: more than the sixteen registers of x86 hold. */
#ifdef __wasm__
#define nb_pin(v) __asm__ volatile("" : "+r"(v))
#else
#define nb_pin(v) ((void)0)
#endif

/* Keeps the compiler from unrolling a loop that would gain nothing by it. */
#define NB_LOOP _Pragma("clang loop unroll(disable)")

/* Makes the compiler unroll a loop whose count is a constant, so that its vectors can stay in registers. */
#define NB_UNROLL _Pragma("clang loop unroll(full)")

/* Lane i in all lanes, by one instruction. (In V8 a splat from memory takes two.) */
#define nb_lane_splat(v, i) wasm_i32x4_shuffle(v, v, i, i, i, i)

/* Four binary16 numbers at p -> four floats. Shifted into a float's place, their bits are the value times 2^-112, also
 * for subnormals. Infinities and NaN come out wrong (weights and caches have none). mask, unit: NB_F16_MASK and
 * NB_F16_UNIT in all lanes, which the caller keeps in registers. */
static inline v128_t nb_load_f16x4_with(const void *p, v128_t mask, v128_t unit) {
    v128_t bits = wasm_i32x4_shl(wasm_i32x4_load16x4(p), 13); /* sign-extended: bits 28 ... 31 are the sign */
    return wasm_f32x4_mul(wasm_v128_and(bits, mask), unit);
}

#define NB_F16_MASK 0x8fffe000u
#define NB_F16_UNIT 0x77800000u /* 2^112 */

/* Lane i: entry index[i] < 16 of the table. */
#ifdef __wasm_relaxed_simd__ /* one instruction less, as other indices are undefined */
#define nb_lookup(table, index) wasm_i8x16_relaxed_swizzle(table, index)
#else
#define nb_lookup(table, index) wasm_i8x16_swizzle(table, index)
#endif

static inline float nb_sum_f32x4(v128_t v) {
    v = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(v, 0) + wasm_f32x4_extract_lane(v, 1);
}

static inline float nb_max_f32x4(v128_t v) {
    v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    v = wasm_f32x4_pmax(v, wasm_i32x4_shuffle(v, v, 1, 0, 3, 2));
    return wasm_f32x4_extract_lane(v, 0);
}

/* |x| < 2^22 -> the nearest integers, ties to even: adding 1.5 * 2^23 rounds. (Engines compile a conversion to ten
 * instructions.) */
static inline v128_t nb_round_i32x4(v128_t x) {
    v128_t magic = wasm_f32x4_splat(0x1.8p23f);
    return wasm_i32x4_sub(wasm_f32x4_add(x, magic), magic);
}

/* Lane i of the result is the sum of the lanes of the i-th argument. */
static inline v128_t nb_sums_f32x4(v128_t a, v128_t b, v128_t c, v128_t d) {
    v128_t ab = wasm_f32x4_add(wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), wasm_i32x4_shuffle(a, b, 2, 6, 3, 7));
    v128_t cd = wasm_f32x4_add(wasm_i32x4_shuffle(c, d, 0, 4, 1, 5), wasm_i32x4_shuffle(c, d, 2, 6, 3, 7));
    return wasm_f32x4_add(wasm_i32x4_shuffle(ab, cd, 0, 1, 4, 5), wasm_i32x4_shuffle(ab, cd, 2, 3, 6, 7));
}

#endif
