/* Turns the weights that arrive into the GGUF's bytes. Weights that do not change are handed out right from the buffer
 * into which they were read. */
#include "converter.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../types/traits.h"
#include "arrangement.h"

enum {
    OUTPUT = 1 << 20, /* bytes that are made at once, unless a row has more */
    NEAR = 1 << 20    /* a gap of unneeded bytes up to this size is read; for a larger one the file is opened anew */
};

/* Hands out zeros up to the beginning of the current target. */
static int32_t pad(nb_converter *x, const uint8_t **bytes) {
    static const uint8_t zeros[NB_GGUF_ALIGNMENT];
    *bytes = zeros;
    return (int32_t)(x->plan.out.tensors[x->target].at - x->written);
}

static void end_target(nb_converter *x) {
    for (uint32_t i = x->plan.targets[x->target].first; i != NB_NONE; i = x->plan.sources[i].next) {
        nb_free(x->plan.sources[i].bytes);
        x->plan.sources[i].bytes = NULL;
    }
    x->target++;
    x->row = 0;
    nb_skip_absent(x);
}

/* Hands out the zeros of a blank target. */
static int32_t write_zeros(nb_converter *x, const uint8_t **bytes, nb_error *err) {
    const nb_tensor_info *to = &x->plan.out.tensors[x->target];
    uint64_t n = NB_MIN(to->bytes - (x->written - to->at), OUTPUT);
    uint8_t *out = nb_rows_output(&x->rows, n);
    if (!out)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l zeros", n);
    memset(out, 0, (size_t)n);
    if (x->written + n == to->at + to->bytes)
        end_target(x);
    *bytes = out;
    return (int32_t)n;
}

/* For a partial GGUF: advances to the next source that is needed. Returns whether it is so near in this file that
 * reading on costs less than opening the file anew. */
static bool is_next_near(nb_converter *x) {
    const nb_plan *p = &x->plan;
    while (x->source < p->in.n_tensors && nb_current_source(x)->file == x->file && !nb_is_source_needed(p, x->source))
        x->source++;
    return x->source < p->in.n_tensors && nb_current_source(x)->file == x->file &&
           nb_current_source(x)->at <= x->file_at + x->filled + NEAR;
}

/* Counts n more bytes of the source as used. */
static void advance(nb_converter *x, size_t n) {
    x->used += n;
    x->arrived += n;
    if (x->arrived == nb_current_source(x)->bytes) {
        x->source++;
        x->arrived = 0;
    }
}

/* Makes some rows of a target whose sources have all arrived. */
static int32_t write_rows(nb_converter *x, const uint8_t **bytes, nb_error *err) {
    uint32_t target = (uint32_t)x->target;
    const nb_tensor_info *to = &x->plan.out.tensors[target];
    bool whole = x->plan.targets[target].quantize && nb_rows_need_all(&x->rows, target);
    uint64_t rows = nb_rows_of(to), row_bytes = to->bytes / rows;
    uint64_t n = whole ? rows : NB_MIN(rows - x->row, NB_MAX(OUTPUT / row_bytes, 1));
    uint8_t *out = nb_rows_output(&x->rows, n * row_bytes);
    if (!out)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for rows of %l bytes", row_bytes);
    if (!x->row)
        NB_TRY(nb_arrangement_begin(&x->plan, target, err));
    NB_TRY(nb_rows_assemble(&x->rows, target, x->row, n, out, err));
    if (whole)
        nb_rows_finish(&x->rows, target, out);
    x->row += n;
    if (x->row == rows)
        end_target(x);
    *bytes = out;
    return (int32_t)(n * row_bytes);
}

/* Hands out what has arrived of the target's only source, as it is. For a file its numbers must be finite. */
static int32_t pass_on(nb_converter *x, size_t n, const uint8_t **bytes, nb_error *err) {
    *bytes = x->buffer + x->used;
    if (x->plan.recipe.preset && x->plan.recipe.for_file) {
        const nb_traits *traits = nb_traits_of(nb_current_source(x)->type);
        n -= n % traits->block_bytes;
        if (!n)
            return 0;
        uint64_t first = x->arrived / traits->block_bytes * traits->block_weights;
        NB_TRY(nb_rows_check(&x->rows, (uint32_t)x->target, first, *bytes, n, err));
    }
    bool last = x->arrived + n == nb_current_source(x)->bytes;
    advance(x, n);
    if (last)
        end_target(x);
    return (int32_t)n;
}

/* Hands out the picked rows among those that have arrived. Returns 0 if there are none yet. */
static int32_t pick_rows(nb_converter *x, size_t n, const uint8_t **bytes, nb_error *err) {
    const nb_tensor_info *from = nb_current_source(x);
    const nb_target *target = &x->plan.targets[x->target];
    uint64_t row_bytes = from->bytes / nb_rows_of(from), first = x->arrived / row_bytes;
    uint64_t rows = NB_MIN(n / row_bytes, NB_MAX(OUTPUT / row_bytes, 1));
    if (!rows)
        return row_bytes > x->capacity ? nb_converter_grow(x, row_bytes, err) : 0;
    uint8_t *out = nb_rows_output(&x->rows, rows * row_bytes);
    if (!out)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for rows of %l bytes", row_bytes);
    size_t filled = 0, size = (size_t)row_bytes;
    for (; x->row < target->n_rows && target->rows[x->row] < first + rows; x->row++, filled += size)
        memcpy(out + filled, x->buffer + x->used + (target->rows[x->row] - first) * row_bytes, size);
    bool last = first + rows == nb_rows_of(from);
    advance(x, (size_t)(rows * row_bytes));
    if (last)
        end_target(x);
    *bytes = out;
    return (int32_t)filled;
}

/* Makes rows from what has arrived of the target's only source. Returns 0 if that is less than a row, or if all rows
 * of the target must be there first. */
static int32_t stream_rows(nb_converter *x, const uint8_t **bytes, nb_error *err) {
    uint32_t target = (uint32_t)x->target;
    const nb_tensor_info *from = nb_current_source(x), *to = &x->plan.out.tensors[target];
    size_t n = (size_t)NB_MIN(NB_MIN(x->filled - x->used, INT32_MAX), from->bytes - x->arrived); /* fits an int32_t */
    if (x->plan.targets[target].rows)
        return pick_rows(x, n, bytes, err);
    if (from->type == to->type && x->plan.targets[target].shift == 0)
        return pass_on(x, n, bytes, err);
    const uint8_t *in = x->buffer + x->used;
    uint64_t row_bytes = from->bytes / nb_rows_of(from), out_bytes = to->bytes / nb_rows_of(to);
    bool whole = nb_rows_need_all(&x->rows, target);
    size_t rows = (size_t)NB_MIN(n / row_bytes, whole ? UINT64_MAX : NB_MAX(OUTPUT / out_bytes, 1));
    if (!rows)
        return row_bytes > x->capacity ? nb_converter_grow(x, row_bytes, err) : 0;
    uint8_t *out = nb_rows_output(&x->rows, whole ? to->bytes : rows * out_bytes);
    if (!out)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %z rows of tensor %t", rows,
                       nb_checkpoint_tensor_name(&x->plan.out, to));
    uint64_t done = (x->arrived - x->plan.targets[target].skipped) / row_bytes;
    NB_TRY(nb_rows_convert(&x->rows, target, done, in, rows, whole ? out + done * out_bytes : out, err));
    bool last = x->arrived + rows * row_bytes == from->bytes;
    advance(x, rows * (size_t)row_bytes);
    *bytes = out;
    if (last)
        end_target(x);
    if (!whole)
        return (int32_t)(rows * out_bytes);
    if (last)
        nb_rows_finish(&x->rows, target, out);
    return last ? (int32_t)to->bytes : 0;
}

/* Keeps what has arrived of a source until the other sources of its target have arrived. */
static int32_t collect(nb_converter *x, nb_error *err) {
    const nb_tensor_info *from = nb_current_source(x);
    nb_source *origin = &x->plan.sources[x->source];
    if (!origin->bytes)
        origin->bytes = nb_alloc_items(from->bytes, 1);
    if (!origin->bytes)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to hold tensor %t (%l bytes) until its matrix is whole",
                       nb_checkpoint_tensor_name(&x->plan.in, from), from->bytes);
    size_t n = (size_t)NB_MIN(x->filled - x->used, from->bytes - x->arrived);
    memcpy(origin->bytes + x->arrived, x->buffer + x->used, n);
    if (x->arrived + n == from->bytes)
        x->plan.targets[origin->target].missing--;
    advance(x, n);
    return NB_OK;
}

/* The GGUF's next bytes after its header, or 0. */
static int32_t produce(nb_converter *x, const uint8_t **bytes, nb_error *err) {
    const nb_plan *p = &x->plan;
    for (;;) {
        if (x->target < p->out.n_tensors) {
            const nb_target *to = &p->targets[x->target];
            bool waits = x->written < p->out.tensors[x->target].at;
            if (to->how == NB_TENSOR_BLANK)
                return waits ? pad(x, bytes) : write_zeros(x, bytes, err);
            if (to->arrangement != NB_AS_ROWS && !to->missing)
                return waits ? pad(x, bytes) : write_rows(x, bytes, err);
        }
        if (x->stage != WEIGHTS)
            return 0;
        bool goes_on = !p->is_partial || x->arrived || is_next_near(x);
        if (!goes_on || x->source == p->in.n_tensors || nb_current_source(x)->file != x->file) {
            x->stage = BETWEEN;
            return 0;
        }
        if (!x->arrived && x->file_at + x->used < nb_current_source(x)->at) { /* skips padding, or a gap */
            x->used += (size_t)NB_MIN(nb_current_source(x)->at - x->file_at - x->used, x->filled - x->used);
            if (x->file_at + x->used < nb_current_source(x)->at)
                return 0;
        }
        if (x->used == x->filled)
            return 0;
        uint32_t target = p->sources[x->source].target;
        if (!nb_is_source_needed(p, x->source)) {
            advance(x, (size_t)NB_MIN(x->filled - x->used, nb_current_source(x)->bytes - x->arrived));
        } else if (p->targets[target].arrangement != NB_AS_ROWS) {
            NB_TRY(collect(x, err));
        } else if (x->arrived < p->targets[target].skipped) {
            advance(x, (size_t)NB_MIN(x->filled - x->used, p->targets[target].skipped - x->arrived));
        } else if (x->written < p->out.tensors[x->target].at) {
            return pad(x, bytes);
        } else {
            size_t used = x->used;
            int32_t n = stream_rows(x, bytes, err);
            if (n || x->used == used)
                return n;
        }
    }
}

int32_t nb_converter_take(nb_converter *x, const uint8_t **bytes, nb_error *err) {
    *bytes = NULL;
    if (x->stage == FAILED || !x->settled)
        return 0;
    if (!x->header_given) {
        x->header_given = true;
        *bytes = x->header;
        return (int32_t)x->header_size;
    }
    if (x->flags & NB_CONVERT_HEADER)
        return 0;
    int32_t n = produce(x, bytes, err);
    if (n < 0)
        x->stage = FAILED;
    else
        x->written += (uint32_t)n;
    return n;
}
