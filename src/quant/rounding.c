#include "rounding.h"

#include "../base/numbers.h"
#include "../types/traits.h"

static nb_quantize *quantizer_of(const nb_rounding *r) {
    return nb_neighbours_bytes(r->type) && !r->how.neighbours ? NULL : nb_encoder_of(r->type);
}

uint32_t nb_rounding_group(const nb_rounding *r, uint32_t columns, nb_error *err) {
    if (r->uniform) {
        if (nb_uniform_check(r->uniform, err) < 0 || !nb_uniform_steps(1, columns, r->group, err))
            return 0;
        return r->group == NB_PER_TENSOR ? columns : r->group;
    }
    const nb_traits *traits = quantizer_of(r) ? nb_traits_of(r->type) : NULL;
    if (!traits) {
        nb_fail(err, NB_ERR_ARGUMENT,
                "nibble does not write blocks of type %u, or the neighbours of its grid are not given", r->type);
        return 0;
    }
    if (!columns || columns % traits->block_weights) {
        nb_fail(err, NB_ERR_ARGUMENT, "blocks of %s have %u columns, which do not divide rows of %u", traits->name,
                traits->block_weights, columns);
        return 0;
    }
    return traits->block_weights;
}

uint64_t nb_rounding_bytes(uint32_t columns) {
    return nb_times(columns, 4); /* codes of 16 bits, or blocks of at most 32 bits for each weight */
}

/* The scale, rounded to its type, and the zero of a group. */
static nb_uniform_step step_of(const nb_rounding *r, const float *x, uint32_t n) {
    if (!r->rule)
        return nb_uniform_fit_to(r->uniform, x, n);
    nb_levels l = nb_code_levels(r->rule, x, n);
    return (nb_uniform_step){nb_uniform_scale(r->uniform->scale_type, l.step), l.origin};
}

void nb_round_row(const nb_rounding *r, const float *x, uint32_t n, float *out, void *scratch) {
    if (!r->uniform) {
        quantizer_of(r)(&r->how, x, scratch, n);
        nb_traits_of(r->type)->dequantize(scratch, out, n);
        return;
    }
    uint32_t group = r->group == NB_PER_TENSOR ? n : r->group;
    for (uint32_t at = 0; at < n; at += group) {
        nb_uniform_step step = step_of(r, x + at, group);
        nb_uniform_codes(r->uniform, step, at, x + at, group, scratch);
        nb_uniform_values(step, scratch, group, out + at);
    }
}
