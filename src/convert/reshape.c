#include "reshape.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../types/traits.h"
#include "rows.h"
#include "safetensors.h"

static const nb_tensor_info *source_of(const nb_plan *plan, uint32_t target, const uint8_t **bytes) {
    uint32_t i = plan->targets[target].first;
    *bytes = plan->sources[i].bytes;
    return &plan->in.tensors[i];
}

static uint64_t element_bytes(const nb_tensor_info *t) {
    return t->bytes / (t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3]);
}

/* The number of rows of a matrix, or of elements of a vector. */
static uint64_t units_of(const nb_tensor_info *t) {
    return t->n_dimensions == 1 ? t->shape[0] : t->shape[1];
}

static bool is_alike(const nb_tensor_info *a, const nb_tensor_info *b) {
    return a->type == b->type && a->n_dimensions == b->n_dimensions && a->shape[0] == b->shape[0] &&
           a->shape[1] == b->shape[1];
}

static int32_t check_stack(nb_plan *plan, uint32_t target, nb_error *err) {
    const nb_target *t = &plan->targets[target];
    const nb_tensor_info *first = &plan->in.tensors[t->first];
    nb_tensor_info *to = &plan->out.tensors[target];
    uint32_t n = t->missing;       /* all its sources: none has arrived yet */
    uint8_t *filled = nb_alloc(n); /* [n]: whether there is a source for this place */
    if (!filled)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u tensors", n);
    memset(filled, 0, n);
    int32_t code = NB_OK;
    for (uint32_t i = t->first; i != NB_NONE && code == NB_OK; i = plan->sources[i].next) {
        const nb_tensor_info *one = &plan->in.tensors[i];
        uint32_t place = plan->sources[i].row;
        bool fits = is_alike(one, first) && one->n_dimensions <= 2;
        if (!fits || place >= n || filled[place])
            code = NB_FAIL(err, NB_ERR_FORMAT, "tensor %t is one of %u that are stacked, but %s; the files are damaged",
                           nb_checkpoint_tensor_name(&plan->in, one), n,
                           fits ? "one of them is missing, or is there twice" : "has another type or shape");
        else
            filled[place] = 1;
    }
    nb_free(filled);
    to->n_dimensions = first->n_dimensions + 1;
    to->shape[0] = first->shape[0];
    to->shape[1] = first->n_dimensions == 1 ? n : first->shape[1];
    to->shape[2] = first->n_dimensions == 1 ? 1 : n;
    return code;
}

int32_t nb_reshape_check(nb_plan *plan, uint32_t target, nb_error *err) {
    const nb_target *t = &plan->targets[target];
    const nb_tensor_info *from = &plan->in.tensors[t->first];
    nb_tensor_info *to = &plan->out.tensors[target];
    nb_text name = nb_checkpoint_tensor_name(&plan->in, from);
    if (!nb_traits_of(from->type) || nb_traits_of(from->type)->block_weights != 1)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t has type %s, which is not supported; F32, F16, BF16, F64, F8_E4M3 and F8_E5M2 are",
                       name, nb_safetensors_type(from->type));
    if (t->arrangement == NB_AS_STACKED)
        return check_stack(plan, target, err);
    if (t->missing > 1)
        return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t is there twice, under two names; the files are damaged", name);
    if (t->arrangement == NB_AS_TRANSPOSED) {
        to->shape[0] = from->shape[1];
        to->shape[1] = from->shape[0];
    } else if (t->arrangement == NB_AS_PERMUTED) {
        return NB_OK; /* huggingface_tensors.c checks that the rows are whole heads */
    } else if (from->n_dimensions > 2 || units_of(from) % ((uint64_t)t->groups * t->group_heads)) {
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t has %l rows, which are not %u groups of %u heads as config.json says, or has more "
                       "than two dimensions; the files do not belong together",
                       name, units_of(from), t->groups, t->group_heads);
    }
    return NB_OK;
}

static void put_transposed(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out) {
    const uint8_t *in;
    const nb_tensor_info *from = source_of(plan, target, &in);
    uint64_t size = element_bytes(from), columns = from->shape[1];
    for (uint64_t i = 0; i < columns; i++)
        for (uint64_t row = 0; row < rows; row++)
            memcpy(out + (row * columns + i) * size, in + (i * from->shape[0] + first + row) * size, (size_t)size);
}

/* The row of the source that becomes row i of n. The source has group after group, and in each its queries, then a key
 * and a value. The target has all queries, then all keys, then all values. size: rows of a head. */
static uint64_t regrouped(const nb_target *t, uint64_t i, uint64_t n) {
    uint64_t queries = t->group_heads - 2, size = n / ((uint64_t)t->groups * t->group_heads), head = i / size;
    uint64_t all_queries = queries * t->groups;
    uint64_t group = head < all_queries ? head / queries : (head - all_queries) % t->groups;
    uint64_t place = head < all_queries ? head % queries : queries + (head - all_queries) / t->groups;
    return (group * t->group_heads + place) * size + i % size;
}

uint64_t nb_reshape_row(const nb_target *t, uint64_t i, uint64_t n) {
    return t->arrangement == NB_AS_REGROUPED ? regrouped(t, i, n) : nb_row_in_files(t, i);
}

/* Rows in another order. */
static void put_reordered(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out) {
    const uint8_t *in;
    const nb_target *t = &plan->targets[target];
    const nb_tensor_info *from = source_of(plan, target, &in);
    uint64_t n = units_of(from), size = from->bytes / n, last = from->n_dimensions == 1 ? n : first + rows;
    for (uint64_t i = first; i < last; i++, out += size)
        memcpy(out, in + nb_reshape_row(t, i, n) * size, (size_t)size);
}

static void put_stacked(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out) {
    for (uint32_t i = plan->targets[target].first; i != NB_NONE; i = plan->sources[i].next) {
        const nb_tensor_info *from = &plan->in.tensors[i];
        uint64_t own = nb_rows_of(from), size = from->bytes / own, begin = plan->sources[i].row * own;
        uint64_t low = NB_MAX(begin, first), high = NB_MIN(begin + own, first + rows);
        if (low < high)
            memcpy(out + (low - first) * size, plan->sources[i].bytes + (low - begin) * size,
                   (size_t)((high - low) * size));
    }
}

void nb_reshape_rows(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out) {
    const nb_target *t = &plan->targets[target];
    switch (t->arrangement) {
    case NB_AS_TRANSPOSED: put_transposed(plan, target, first, rows, out); break;
    case NB_AS_REGROUPED:
    case NB_AS_PERMUTED: put_reordered(plan, target, first, rows, out); break;
    case NB_AS_NUMBERS: memcpy(out, t->numbers, (size_t)plan->out.tensors[target].bytes); break;
    case NB_AS_STACKED: put_stacked(plan, target, first, rows, out); break;
    default: __builtin_trap(); /* no other arrangement is reshaped */
    }
}
