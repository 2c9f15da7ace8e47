#include "rows.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../types/finite.h"
#include "../types/traits.h"
#include "arrangement.h"

void nb_rows_free(nb_rows *r) {
    nb_free(r->output.bytes);
    nb_free(r->weights.bytes);
    nb_grids_free(&r->grids);
}

static void *reserve(nb_buffer *room, uint64_t bytes) {
    if (bytes > room->capacity) {
        nb_free(room->bytes);
        room->bytes = bytes <= INT32_MAX ? nb_alloc_items(bytes, 1) : NULL;
        room->capacity = room->bytes ? (size_t)bytes : 0;
    }
    return room->bytes;
}

uint8_t *nb_rows_output(nb_rows *r, uint64_t bytes) {
    return reserve(&r->output, bytes);
}

/* Bytes of a row of the target's weights in the source's type. */
static uint64_t source_row_bytes(const nb_rows *r, uint32_t target) {
    const nb_traits *traits = nb_traits_of(r->plan->targets[target].source_type);
    return r->plan->out.tensors[target].shape[0] / traits->block_weights * traits->block_bytes;
}

/* Refuses n numbers of which one is not finite, and names that. They begin with weight `first` of the target. */
static int32_t refuse_number(const nb_rows *r, uint32_t target, uint64_t first, const float *x, size_t n,
                             nb_error *err) {
    const nb_tensor_info *to = &r->plan->out.tensors[target];
    size_t i = 0;
    while (i + 1 < n && nb_are_finite(x + i, 1))
        i++;
    uint64_t at = first + i;
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "the model's numbers are not finite: tensor %t has infinities or NaN, the first at index %l (row "
                   "%l, column %l): %s; the file is damaged",
                   nb_checkpoint_tensor_name(&r->plan->out, to), at, at / to->shape[0], at % to->shape[0],
                   x[i] != x[i] ? "NaN"
                   : x[i] > 0   ? "infinity"
                                : "-infinity");
}

int32_t nb_rows_check(const nb_rows *r, uint32_t target, uint64_t first, const uint8_t *in, size_t bytes,
                      nb_error *err) {
    uint32_t type = r->plan->targets[target].source_type;
    if (nb_blocks_are_finite(type, in, bytes))
        return NB_OK;
    const nb_traits *traits = nb_traits_of(type);
    enum { LARGEST_BLOCK = 256 };
    float x[LARGEST_BLOCK];
    uint64_t aligned[LARGEST_BLOCK / 2];
    if (!traits->dequantize || traits->block_weights > LARGEST_BLOCK || traits->block_bytes > sizeof aligned)
        return NB_OK; /* numbers of 64 bits, which no model has as weights */
    for (size_t at = 0; at + traits->block_bytes <= bytes; at += traits->block_bytes, first += traits->block_weights) {
        memcpy(aligned, in + at, traits->block_bytes);
        traits->dequantize(aligned, x, traits->block_weights);
        if (!nb_are_finite(x, traits->block_weights))
            return refuse_number(r, target, first, x, traits->block_weights, err);
    }
    return NB_OK; /* only a scale that no number of its block uses */
}

enum { SHARED_RUN = 1 << 16 /* bytes of adjacent rows that one converter makes if several share the work */ };

/* Whether another converter makes this row of the target. */
static bool is_others(const nb_rows *r, uint32_t target, uint64_t row, size_t row_bytes) {
    const nb_recipe *recipe = &r->plan->recipe;
    if (recipe->shares < 2 || !r->plan->targets[target].quantize || nb_rows_need_all(r, target))
        return false;
    return (row / NB_MAX(SHARED_RUN / row_bytes, 1) + target) % recipe->shares != recipe->share;
}

int32_t nb_rows_convert(nb_rows *r, uint32_t number, uint64_t first, const uint8_t *in, size_t n, uint8_t *out,
                        nb_error *err) {
    const nb_tensor_info *to = &r->plan->out.tensors[number];
    const nb_target *target = &r->plan->targets[number];
    const nb_traits *traits = nb_traits_of(target->source_type);
    size_t columns = (size_t)to->shape[0], row_bytes = (size_t)source_row_bytes(r, number);
    size_t out_bytes = (size_t)(to->bytes / nb_rows_of(to));
    float *weights = reserve(&r->weights, (uint64_t)columns * sizeof(float));
    uint8_t *aligned = nb_alloc(row_bytes); /* blocks are read as structs, but `in` may be unaligned */
    if (!weights || !aligned) {
        nb_free(aligned);
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a row of %z weights", columns);
    }
    nb_encoding how = {.best = r->plan->recipe.best};
    int32_t code = target->quantize ? nb_grids_find(&r->grids, to->type, &how.neighbours, err) : NB_OK;
    for (size_t row = 0; row < n && code >= 0; row++, in += row_bytes, out += out_bytes) {
        if (is_others(r, number, first + row, out_bytes)) {
            memset(out, 0, out_bytes);
            continue;
        }
        memcpy(aligned, in, row_bytes);
        traits->dequantize(aligned, weights, columns);
        for (size_t i = 0; i < columns && target->shift != 0; i++)
            weights[i] += target->shift;
        if (!nb_are_finite(weights, columns)) /* before rounding, which would hide it */
            code = refuse_number(r, number, (first + row) * columns, weights, columns, err);
        else if (target->quantize) {
            if (target->importance) /* each matrix of stacked experts has its own */
                how.importance = target->importance + (first + row) / to->shape[1] * columns;
            target->quantize(&how, weights, out, columns);
        } else
            memcpy(out, weights, columns * sizeof(float)); /* a shifted target is F32 */
    }
    nb_free(aligned);
    return code;
}

int32_t nb_rows_assemble(nb_rows *r, uint32_t target, uint64_t row, uint64_t n, uint8_t *out, nb_error *err) {
    if (!r->plan->targets[target].quantize)
        return nb_arrangement_rows(r->plan, target, row, n, out, err);
    uint64_t bytes;
    uint8_t *rows = nb_multiply(n, source_row_bytes(r, target), &bytes) ? nb_alloc_items(bytes, 1) : NULL;
    if (!rows)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l rows of tensor %t", n,
                       nb_checkpoint_tensor_name(&r->plan->out, &r->plan->out.tensors[target]));
    int32_t code = nb_arrangement_rows(r->plan, target, row, n, rows, err);
    if (code >= 0)
        code = nb_rows_convert(r, target, row, rows, (size_t)n, out, err);
    nb_free(rows);
    return code;
}

bool nb_rows_need_all(const nb_rows *r, uint32_t target) {
    uint32_t type = r->plan->out.tensors[target].type;
    return r->plan->recipe.double_quant && (type == NB_TYPE_NF4 || type == NB_TYPE_FP4);
}

void nb_rows_finish(const nb_rows *r, uint32_t target, uint8_t *blocks) {
    size_t n = (size_t)(r->plan->out.tensors[target].bytes / sizeof(nb_block_nf4));
    nb_quantize_scales((nb_block_nf4 *)blocks, NULL, n);
}
