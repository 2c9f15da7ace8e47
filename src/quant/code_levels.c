#include "code_levels.h"

#include "../base/numbers.h"
#include "../base/simd.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* The largest code. */
static int32_t most_of(const nb_code_rule *c) {
    return (1 << c->bits) - 1;
}

typedef struct range {
    float low, high;
} range;

/* The range always contains 0. A symmetric one reaches equally far on both sides. (GPTQModel leaves `low` at 0 in a
 * group of positive weights, which clips half of them. That is not done here.) */
static range range_of(const nb_code_rule *c, const float *x, uint32_t n) {
    range r = {0, 0};
    for (uint32_t i = 0; i < n; i++) {
        r.low = NB_MIN(r.low, x[i]);
        r.high = NB_MAX(r.high, x[i]);
    }
    if (c->is_symmetric) {
        r.high = NB_MAX(r.high, -r.low);
        r.low = -r.high;
    }
    if (r.low == 0 && r.high == 0) /* any scale will do */
        r = (range){-1, 1};
    return r;
}

static nb_levels levels_of(const nb_code_rule *c, range r) {
    nb_levels l = {0, (r.high - r.low) / (float)most_of(c), 1 << (c->bits - 1)};
    if (c->is_symmetric)
        return l;
    l.origin = nb_nearest(-r.low / l.step, 0, most_of(c));
    if (l.origin < c->least_zero) { /* fewer codes are left above zero */
        l.origin = c->least_zero;
        l.step = r.high / (float)(most_of(c) - c->least_zero);
    }
    return l;
}

/* The sum of |error|^power, four weights at a time. */
static float error_of(const nb_code_rule *c, const float *x, uint32_t n, const nb_levels *l) {
    float power = c->power, rest = 0;
    v128_t sum = wasm_f32x4_splat(0), step = wasm_f32x4_splat(l->step), far = wasm_f32x4_splat(4096);
    v128_t origin = wasm_i32x4_splat(l->origin), zero = wasm_i32x4_splat(0), most = wasm_i32x4_splat(most_of(c));
    for (uint32_t i = 0; i < n; i += 4) {
        v128_t four = wasm_v128_load(x + i), steps = wasm_f32x4_div(four, step); /* rounded as by nb_steps_of */
        steps = wasm_f32x4_pmax(wasm_f32x4_pmin(steps, far), wasm_f32x4_neg(far));
        v128_t codes = wasm_i32x4_add(nb_round_i32x4(steps), origin);
        codes = wasm_i32x4_sub(wasm_i32x4_max(zero, wasm_i32x4_min(codes, most)), origin);
        v128_t error = wasm_f32x4_sub(wasm_f32x4_mul(step, wasm_f32x4_convert_i32x4(codes)), four);
        if (power == 2) {
            sum = wasm_f32x4_add(sum, wasm_f32x4_mul(error, error));
            continue;
        }
        float errors[4];
        wasm_v128_store(errors, wasm_f32x4_abs(error));
        for (int k = 0; k < 4; k++)
            rest += powf(errors[k], power);
    }
    return rest + nb_sum_f32x4(sum);
}

static void keep_better(const nb_code_rule *c, const float *x, uint32_t n, nb_levels l, nb_levels *best, float *least) {
    float error = error_of(c, x, n, &l);
    if (error < *least) {
        *least = error;
        *best = l;
    }
}

/* GPTQModel's search: 80 ranges, each smaller than the one before by 1 % of the whole. With two bits the zero point is
 * coarse, so both neighbours of the ideal one are tried. */
static nb_levels search(const nb_code_rule *c, const float *x, uint32_t n, range r) {
    nb_levels best = levels_of(c, r);
    float least = INFINITY;
    for (int i = 0; i < 80; i++) {
        float fraction = (float)(1 - i / 100.0);
        nb_levels l = levels_of(c, (range){fraction * r.low, fraction * r.high});
        keep_better(c, x, n, l, &best, &least);
        if (most_of(c) == 3 && !c->is_symmetric) {
            /* the step of tiny weights may be 0 */
            float ideal = NB_MIN(-(fraction * r.low) / l.step, (float)most_of(c));
            int32_t below = (int32_t)ideal, above = below + ((float)below < ideal);
            l.origin = NB_MAX(c->least_zero, NB_MIN(l.origin == below ? above : below, most_of(c)));
            keep_better(c, x, n, l, &best, &least);
        }
    }
    return best;
}

nb_levels nb_code_levels(const nb_code_rule *rule, const float *x, uint32_t n) {
    range r = range_of(rule, x, n);
    return rule->power > 0 ? search(rule, x, n, r) : levels_of(rule, r);
}
