/* GPTQ for uniform codes with scales and zero points, as folders store them: w = scale (code - zero). */
#include "../base/numbers.h"
#include "../base/simd.h"
#include "code_levels.h"
#include "gptq_pack.h"
#include "uniform.h"

#include <math.h>

#pragma STDC FP_CONTRACT OFF

/* ---- scales ----------------------------------------------------------------------------------------------------- */

typedef struct coding {
    nb_quantizer *q;
    const nb_code_format *format;
    nb_code_rule rule;
    uint32_t group, groups;
    uint8_t *codes, *zeros;
    void *scales;
    float *dequantized;
} coding;

/* Stores the scale in its type. Returns it as it is stored. */
static float store_scale(const coding *c, size_t at, float scale) {
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

/* The scale is rounded to its type before any code is chosen, so that error feedback compensates for that, too. */
static bool choose_group(void *context, uint32_t row, uint32_t group, const float *x, nb_levels *levels) {
    coding *c = context;
    nb_levels l = nb_code_levels(&c->rule, x, c->group);
    size_t at = (size_t)row * c->groups + group;
    l.step = store_scale(c, at, l.step);
    c->zeros[at] = (uint8_t)l.origin;
    *levels = l;
    return l.step <= 0x1.fffffep127f; /* false if it is infinite */
}

static void finish_row(void *context, uint32_t row, const uint8_t *codes, const float *values) {
    const coding *c = context;
    size_t n = c->q->columns;
    memcpy(c->codes + row * n, codes, n);
    if (c->dequantized)
        memcpy(c->dequantized + row * n, values, n * sizeof *values);
}

/* All groups within so many columns get their scales when the first of these columns is reached, as in GPTQModel.
 * Chosen later, the scales would also have to cover the corrections for errors within these columns. With 2 and 3 bits
 * such wider ranges cost more than they gain. */
enum { BLOCK = 128 };

/* ---- functions of nibble_quantize.h ------------------------------------------------------------------------------ */

int32_t nb_code_format_check(const nb_code_format *f, uint32_t columns, nb_error *err) {
    bool known = f->bits == 2 || f->bits == 3 || f->bits == 4 || f->bits == 8;
    if (f->format > NB_FORMAT_INT8 || !known || (f->format == NB_FORMAT_COMPRESSED && f->bits == 3) ||
        (f->format == NB_FORMAT_AWQ && f->bits != 4) || (f->format == NB_FORMAT_INT8 && f->bits != 8))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "codes of %u bits in format %u are not written; take format 0 to 4, and 2, 3, 4 or 8 bits "
                       "(compressed-tensors: not 3; AWQ: only 4; int-quantized: only 8)",
                       f->bits, f->format);
    bool known_scale = f->scale_type == NB_TYPE_F32 || f->scale_type == NB_TYPE_F16 || f->scale_type == NB_TYPE_BF16;
    if (f->format == NB_FORMAT_INT8 && (f->group || !f->symmetric || !known_scale))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "int-quantized weights are symmetric, have a scale for each row (group 0, not %u), and the "
                       "scales are F32, F16 or BF16 (not type %u)",
                       f->group, f->scale_type);
    if (f->group % NB_TILE || (f->group && columns % f->group))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "groups of %u columns in rows of %u; take a divisor that is a multiple of 32, or 0 for whole "
                       "rows",
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

/* Whether groups are formed in the order of quantization, and not of adjacent columns. */
static bool follows_order(const nb_quantizer *q, const nb_code_format *f) {
    return q->settings.order == NB_ORDER_ACTIVATION && f->group;
}

int32_t nb_quantizer_groups(nb_quantizer *q, const nb_code_format *f, int32_t *groups, nb_error *err) {
    NB_TRY(check_order(q, f, NB_ROWS_NEAREST, err)); /* the order is known before the Hessian is factored */
    for (uint32_t i = 0; i < q->columns; i++) {
        uint32_t column = q->order[i];
        groups[column] = f->group ? (int32_t)((follows_order(q, f) ? i : column) / f->group) : 0;
    }
    return follows_order(q, f);
}

int32_t nb_quantizer_codes(nb_quantizer *q, const nb_code_format *f, uint32_t flags, uint32_t source_type,
                           const void *weights, uint32_t first_row, uint32_t rows, uint8_t *codes, void *scales,
                           uint8_t *zeros, float *dequantized, nb_error *err) {
    NB_TRY(check_order(q, f, flags, err));
    NB_TRY(nb_weights_check(q->columns, source_type, err));
    uint32_t group = f->group ? f->group : q->columns;
    coding c = {.q = q,
                .format = f,
                .rule = {.bits = f->bits,
                         .is_symmetric = f->symmetric != 0,
                         .least_zero = f->format == NB_FORMAT_GPTQ, /* it is stored minus 1 */
                         .power = f->search},
                .group = group,
                .groups = q->columns / group,
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
                    .block = BLOCK % group == 0 ? BLOCK : group,
                    .is_upfront = !f->group || q->settings.order == NB_ORDER_STATIC,
                    .is_nearest = (flags & NB_ROWS_NEAREST) != 0,
                    .follows_order = follows_order(q, f),
                    .most = (1 << f->bits) - 1,
                    .choose = choose_group,
                    .finish = finish_row,
                    .context = &c};
    return nb_feed_rows(&feed, err);
}
