/* GPTQ onto evenly spaced codes with scales and zero points, as folders have them: w = scale (code - zero). */
#include "../base/numbers.h"
#include "../base/simd.h"
#include "gptq_feed.h"
#include "gptq_pack.h"
#include "uniform.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* ---- scales ----------------------------------------------------------------------------------------------------- */

typedef struct coding {
    nb_quantizer *q;
    const nb_code_format *format;
    uint32_t group, groups;
    int32_t most, least_zero;
    uint8_t *codes, *zeros;
    void *scales;
    float *dequantized;
} coding;

typedef struct range {
    float low, high;
} range;

/* Zero is always within it. A symmetric one reaches as far on either side. (GPTQModel's Quantizer, from which the rules
 * are, leaves low at 0 where all weights are positive: half of such a group is clipped. That is not done here.) */
static range range_of(const coding *c, const float *x) {
    range r = {0, 0};
    for (uint32_t i = 0; i < c->group; i++) {
        r.low = NB_MIN(r.low, x[i]);
        r.high = NB_MAX(r.high, x[i]);
    }
    if (c->format->symmetric) {
        r.high = NB_MAX(r.high, -r.low);
        r.low = -r.high;
    }
    if (r.low == 0 && r.high == 0) /* any scale will do */
        r = (range){-1, 1};
    return r;
}

static nb_levels levels_of(const coding *c, range r) {
    nb_levels l = {0, (r.high - r.low) / (float)c->most, 1 << (c->format->bits - 1)};
    if (c->format->symmetric)
        return l;
    l.origin = nb_nearest(-r.low / l.step, 0, c->most);
    if (l.origin < c->least_zero) { /* there are as many codes less for what is above zero */
        l.origin = c->least_zero;
        l.step = r.high / (float)(c->most - c->least_zero);
    }
    return l;
}

/* The sum of |error|^power, four weights at a time. */
static float error_of(const coding *c, const float *x, const nb_levels *l) {
    float power = c->format->search, rest = 0;
    v128_t sum = wasm_f32x4_splat(0), step = wasm_f32x4_splat(l->step), far = wasm_f32x4_splat(4096);
    v128_t origin = wasm_i32x4_splat(l->origin), zero = wasm_i32x4_splat(0), most = wasm_i32x4_splat(c->most);
    for (uint32_t i = 0; i < c->group; i += 4) {
        v128_t four = wasm_v128_load(x + i), steps = wasm_f32x4_div(four, step); /* as nb_steps_of */
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

static void keep_better(const coding *c, const float *x, nb_levels l, nb_levels *best, float *least) {
    float error = error_of(c, x, &l);
    if (error < *least) {
        *least = error;
        *best = l;
    }
}

/* GPTQModel's search: 80 ranges, each 1 % of the whole smaller than the one before. Of two bits, whose zero point is
 * coarse, the zero points on both sides of the ideal one are tried. */
static nb_levels search(const coding *c, const float *x, range r) {
    nb_levels best = levels_of(c, r);
    float least = INFINITY;
    for (int i = 0; i < 80; i++) {
        float part = (float)(1 - i / 100.0);
        nb_levels l = levels_of(c, (range){part * r.low, part * r.high});
        keep_better(c, x, l, &best, &least);
        if (c->most == 3 && !c->format->symmetric) {
            float ideal = NB_MIN(-(part * r.low) / l.step, (float)c->most); /* the step of tiny weights may be 0 */
            int32_t below = (int32_t)ideal, above = below + ((float)below < ideal);
            l.origin = NB_MAX(c->least_zero, NB_MIN(l.origin == below ? above : below, c->most));
            keep_better(c, x, l, &best, &least);
        }
    }
    return best;
}

/* Stores the scale, and returns what is stored. */
static float keep_scale(const coding *c, size_t at, float scale) {
    uint16_t *halves = c->scales;
    if (c->format->format != NB_FORMAT_INT8) {
        halves[at] = nb_f32_to_f16(scale);
        return nb_f16_to_f32(halves[at]);
    }
    uint32_t type = c->format->scale_type;
    scale = nb_uniform_scale(type, scale);
    if (type == NB_TYPE_F32)
        ((float *)c->scales)[at] = scale;
    else
        halves[at] = type == NB_TYPE_F16 ? nb_f32_to_f16(scale) : (uint16_t)(nb_bits_of(scale) >> 16);
    return scale;
}

/* The scale is rounded to its type before any code is chosen, so that error feedback makes up for that, too. */
static bool choose_group(void *context, uint32_t row, uint32_t group, const float *x, nb_levels *levels) {
    coding *c = context;
    range r = range_of(c, x);
    nb_levels l = c->format->search > 0 ? search(c, x, r) : levels_of(c, r);
    size_t at = (size_t)row * c->groups + group;
    l.step = keep_scale(c, at, l.step);
    c->zeros[at] = (uint8_t)l.origin;
    *levels = l;
    return l.step <= 0x1.fffffep127f; /* not infinite */
}

static void finish_row(void *context, uint32_t row, const uint8_t *codes, const float *values) {
    const coding *c = context;
    size_t n = c->q->columns;
    memcpy(c->codes + row * n, codes, n);
    if (c->dequantized)
        memcpy(c->dequantized + row * n, values, n * sizeof *values);
}

/* Groups within so many columns get their scales when the first of these columns is reached, as GPTQModel does: the
 * errors of the columns before them, which are not made up for yet, would make their ranges wider. With 2 and 3 bits
 * that costs more than it gives. */
enum { BLOCK = 128 };

/* ---- the header's functions ------------------------------------------------------------------------------------- */

int32_t nb_code_format_check(const nb_code_format *f, uint32_t columns, nb_error *err) {
    bool known = f->bits == 2 || f->bits == 3 || f->bits == 4 || f->bits == 8;
    if (f->format > NB_FORMAT_INT8 || !known || (f->format == NB_FORMAT_COMPRESSED && f->bits == 3) ||
        (f->format == NB_FORMAT_AWQ && f->bits != 4) || (f->format == NB_FORMAT_INT8 && f->bits != 8))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "codes of %u bits in format %u are not written; take 2, 3, 4 or 8 (compressed-tensors: not 3; "
                       "AWQ: only 4; int-quantized: only 8)",
                       f->bits, f->format);
    bool known_scale = f->scale_type == NB_TYPE_F32 || f->scale_type == NB_TYPE_F16 || f->scale_type == NB_TYPE_BF16;
    if (f->format == NB_FORMAT_INT8 && (f->group || !f->symmetric || !known_scale))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "int-quantized weights are symmetric, have a scale for each row (group 0, not %u), and the "
                       "scales are F32, F16 or BF16 (not type %u)",
                       f->group, f->scale_type);
    if (f->group % NB_TILE || (f->group && columns % f->group))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "groups of %u columns do not divide rows of %u, or are no multiple of 32; take a smaller group, "
                       "or 0 for whole rows",
                       f->group, columns);
    if (!(f->search >= 0 && f->search <= 16))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "the power of the scale search is %g; take 0 (none), 2 or 2.4",
                       (double)f->search);
    return NB_OK;
}

static int32_t check_order(const nb_quantizer *q, const nb_code_format *f, uint32_t flags, nb_error *err) {
    NB_TRY(nb_hessian_check_ready(q, flags, err));
    NB_TRY(nb_code_format_check(f, q->columns, err));
    if (q->settings.order == NB_ORDER_GROUP_AWARE && f->group && q->settings.group != f->group)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "the columns are ordered for groups of %u, but the groups are of %u: prepare the quantizer with "
                       "this group size",
                       q->settings.group, f->group);
    return NB_OK;
}

/* Whether groups are of columns as they are quantized, wherever they lie. */
static bool is_by_turn(const nb_quantizer *q, const nb_code_format *f) {
    return q->settings.order == NB_ORDER_ACTIVATION && f->group;
}

int32_t nb_quantizer_groups(nb_quantizer *q, const nb_code_format *f, int32_t *groups, nb_error *err) {
    NB_TRY(check_order(q, f, NB_ROWS_NEAREST, err));
    for (uint32_t i = 0; i < q->columns; i++) {
        uint32_t column = q->order[i];
        groups[column] = f->group ? (int32_t)((is_by_turn(q, f) ? i : column) / f->group) : 0;
    }
    return is_by_turn(q, f);
}

int32_t nb_quantizer_codes(nb_quantizer *q, const nb_code_format *f, uint32_t flags, uint32_t source_type,
                           const void *weights, uint32_t first_row, uint32_t rows, uint8_t *codes, void *scales,
                           uint8_t *zeros, float *dequantized, nb_error *err) {
    NB_TRY(check_order(q, f, flags, err));
    NB_TRY(nb_weights_check(q->columns, source_type, err));
    uint32_t group = f->group ? f->group : q->columns;
    coding c = {.q = q,
                .format = f,
                .group = group,
                .groups = q->columns / group,
                .most = (1 << f->bits) - 1,
                .least_zero = f->format == NB_FORMAT_GPTQ, /* less 1 it must not be negative */
                .codes = codes,
                .zeros = zeros,
                .scales = scales,
                .dequantized = dequantized};
    nb_feed feed = {.q = q,
                    .source_type = source_type,
                    .weights = weights,
                    .rows = rows,
                    .first_row = first_row,
                    .span = group,
                    .granule = group,
                    .block = group && BLOCK % group == 0 ? BLOCK : group,
                    .is_upfront = !f->group || q->settings.order == NB_ORDER_STATIC,
                    .is_nearest = (flags & NB_ROWS_NEAREST) != 0,
                    .is_by_turn = is_by_turn(q, f),
                    .most = c.most,
                    .choose = choose_group,
                    .finish = finish_row,
                    .context = &c};
    return nb_feed_rows(&feed, err);
}
