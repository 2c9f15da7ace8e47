/* Bytes in, model out. The header is collected in a growing buffer. As soon as it is complete, everything that it can
 * show is checked (architecture, tokenizer, shapes, memory), before the weights are fetched. From then on each piece
 * goes to a staging buffer: complete groups of rows are packed into their places, and an incomplete one waits for the
 * next piece. */
#include "../base/cursor.h"
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../formats/gguf.h"
#include "../text/gguf_vocabulary.h"
#include "../types/finite.h"
#include "bind.h"
#include "family.h"
#include "session.h"
#include "weights.h"

enum { FIRST_HEADER = 1 << 20, STAGING = 1 << 20 };

struct nb_loader {
    nb_model *model; /* NULL after nb_loader_finish */
    nb_gguf gguf;
    uint32_t flags;
    double announced; /* the file's size, as the caller says; 0: unknown */
    enum { HEADER, WEIGHTS, COMPLETE, FAILED } stage;
    uint8_t *buffer; /* HEADER: the file so far; WEIGHTS: what is not packed yet */
    size_t capacity, filled;
    uint64_t file_at;             /* WEIGHTS: offset in the file of buffer[0] */
    nb_destination *destinations; /* [n_tensors] */
    uint64_t tensor;              /* being filled */
    bool begun;                   /* the header is complete and has passed all checks: tensors are being filled */
    uint64_t rows_done;           /* of that tensor */
    struct {                      /* the session that the caller will create */
        bool known, at_most;
        nb_pool *pool;
        uint32_t context, kv_type, sequences;
    } expected;
};

nb_loader *nb_loader_new(double total_bytes, uint32_t flags, nb_error *err) {
    if (!(total_bytes >= 0 && total_bytes < 0x1p53))
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "a file cannot have %g bytes", total_bytes);
    nb_loader *l = nb_alloc(sizeof *l);
    nb_model *m = nb_alloc(sizeof *m);
    uint8_t *buffer = nb_alloc(FIRST_HEADER);
    if (!l || !m || !buffer) {
        nb_free(l);
        nb_free(m);
        nb_free(buffer);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory to begin loading");
    }
    *m = (nb_model){0};
    *l = (nb_loader){.model = m, .flags = flags, .announced = total_bytes, .buffer = buffer, .capacity = FIRST_HEADER};
    /* A file that is only inspected may be cut off after its header. */
    l->gguf.file_bytes = flags & NB_LOAD_HEADER ? 0 : (uint64_t)total_bytes;
    return l;
}

void nb_loader_free(nb_loader *l) {
    if (!l)
        return;
    nb_model_free(l->model);
    nb_free(l->buffer);
    nb_free(l->destinations);
    nb_free(l);
}

size_t nb_loader_tensor(const nb_loader *l, char *out, size_t capacity) {
    const nb_checkpoint *c = l->model ? &l->model->checkpoint : NULL;
    nb_writer w = nb_writer_over(out, capacity);
    if (c && l->begun && l->tensor < c->n_tensors) {
        nb_text name = nb_checkpoint_tensor_name(c, &c->tensors[l->tensor]);
        nb_write_bytes(&w, name.data, name.size);
    }
    return w.length;
}

double nb_loader_total(const nb_loader *l) {
    return l->announced > 0 || l->stage == HEADER || !l->model ? l->announced
                                                               : (double)l->model->checkpoint.total_bytes;
}

void nb_loader_expect(nb_loader *l, nb_pool *pool, uint32_t context, uint32_t at_most, uint32_t kv_type,
                      uint32_t sequences) {
    l->expected.known = true;
    l->expected.at_most = at_most;
    l->expected.pool = pool;
    l->expected.context = context;
    l->expected.kv_type = kv_type;
    l->expected.sequences = sequences;
}

uint8_t *nb_loader_space(nb_loader *l, size_t *capacity) {
    *capacity = l->stage == HEADER || l->stage == WEIGHTS ? l->capacity - l->filled : 0;
    return l->buffer + l->filled;
}

/* Bytes of the file that make one unit of packing: a group of rows of a matrix, or a whole vector. */
static uint64_t unit_bytes(const nb_loader *l, uint64_t tensor) {
    const nb_tensor_info *info = &l->model->checkpoint.tensors[tensor];
    const nb_matrix *m = l->destinations[tensor].matrix;
    return m ? info->bytes / (info->shape[1] * info->shape[2]) * nb_group_rows(info->type) : info->bytes;
}

static int32_t not_finite(const nb_loader *l, const nb_tensor_info *info, nb_error *err) {
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "the model's numbers are not finite: tensor %t has infinities or NaN; the file is damaged",
                   nb_checkpoint_tensor_name(&l->model->checkpoint, info));
}

static int32_t fill_vector(const nb_tensor_info *info, const uint8_t *bytes, float *out, nb_error *err) {
    return nb_vector_fill(info->type, bytes, (size_t)info->bytes, out, (size_t)(info->shape[0] * info->shape[1]), err);
}

static int32_t check_factors(const nb_loader *l, const nb_tensor_info *info, const float *factors, nb_error *err) {
    for (uint64_t i = 0; i < info->shape[0]; i++)
        if (!(factors[i] >= 1e-6f && factors[i] <= 1e6f))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "number %l of tensor %t is %g, which is no factor of RoPE; the file is damaged", i,
                           nb_checkpoint_tensor_name(&l->model->checkpoint, info), (double)factors[i]);
    return NB_OK;
}

static int32_t fill_order(const nb_loader *l, const nb_tensor_info *info, const uint8_t *bytes,
                          const nb_destination *to, nb_error *err) {
    int32_t *out = (int32_t *)*to->order;
    memcpy(out, bytes, (size_t)info->bytes);
    for (uint64_t i = 0; i < info->shape[0]; i++)
        if (out[i] < 0 || (uint32_t)out[i] >= to->order_limit || (to->ascends && i && out[i] <= out[i - 1]))
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t names column %d of %u%s; the file is damaged",
                           nb_checkpoint_tensor_name(&l->model->checkpoint, info), out[i], to->order_limit,
                           to->ascends ? ", and columns must ascend" : "");
    return NB_OK;
}

/* A tensor that nibble does not use may only hold zeros, which would change nothing. */
static int32_t check_zeros(const nb_loader *l, const nb_tensor_info *info, const uint8_t *bytes, nb_error *err) {
    uint64_t n = info->shape[0] * info->shape[1] * info->shape[2] * info->shape[3], rest = 0;
    float *numbers = nb_alloc_items(n, sizeof *numbers);
    int32_t code =
        numbers ? fill_vector(info, bytes, numbers, err) : NB_FAIL(err, NB_ERR_MEMORY, "no memory to load the model");
    for (uint64_t i = 0; i < n && code == NB_OK; i++)
        rest += numbers[i] != 0;
    nb_free(numbers);
    if (code == NB_OK && rest)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t is not part of the %s architecture as nibble knows it, and not all of it is zero",
                       nb_checkpoint_tensor_name(&l->model->checkpoint, info), l->model->family->name);
    return code;
}

/* Packs as much as `size` bytes at `bytes` hold of the current tensor; *used says how much that was. */
static int32_t fill_tensor(nb_loader *l, const uint8_t *bytes, size_t size, size_t *used, nb_error *err) {
    const nb_tensor_info *info = &l->model->checkpoint.tensors[l->tensor];
    nb_destination to = l->destinations[l->tensor];
    *used = 0;
    if (!to.matrix) {
        if (size >= info->bytes) {
            if (!to.order && !nb_blocks_are_finite(info->type, bytes, (size_t)info->bytes))
                return not_finite(l, info, err);
            if (to.order)
                NB_TRY(fill_order(l, info, bytes, &to, err));
            else if (to.left_out == NB_ONLY_ZEROS)
                NB_TRY(check_zeros(l, info, bytes, err));
            else if (!to.left_out)
                NB_TRY(fill_vector(info, bytes, *to.vector, err));
            if (to.divides)
                NB_TRY(check_factors(l, info, *to.vector, err));
            *used = (size_t)info->bytes;
            l->tensor++;
        }
        return NB_OK;
    }
    nb_matrix *m = to.matrix;
    uint64_t all = info->shape[1] * info->shape[2];
    size_t row_bytes = (size_t)(info->bytes / all);
    while (l->rows_done < all) {
        uint64_t rows = NB_MIN(nb_group_rows(info->type), all - l->rows_done);
        if (size - *used < rows * row_bytes)
            return NB_OK;
        if (!nb_blocks_are_finite(info->type, bytes + *used, (size_t)rows * row_bytes))
            return not_finite(l, info, err);
        nb_matrix_pack(m, to.first + (uint32_t)l->rows_done, bytes + *used);
        *used += (size_t)rows * row_bytes;
        l->rows_done += rows;
    }
    l->tensor++;
    l->rows_done = 0;
    return NB_OK;
}

static int32_t fill(nb_loader *l, nb_error *err) {
    const nb_checkpoint *c = &l->model->checkpoint;
    size_t at = 0;
    while (l->tensor < c->n_tensors) {
        const nb_tensor_info *info = &c->tensors[l->tensor];
        if (!l->rows_done && l->file_at + at < info->at) { /* alignment, or a gap */
            at += (size_t)NB_MIN(info->at - l->file_at - at, l->filled - at);
            if (l->file_at + at < info->at)
                break;
        }
        uint64_t tensor = l->tensor;
        size_t used;
        NB_TRY(fill_tensor(l, l->buffer + at, l->filled - at, &used, err));
        at += used;
        if (l->tensor == tensor)
            break;
    }
    l->filled -= at;
    memmove(l->buffer, l->buffer + at, l->filled);
    l->file_at += at;
    if (l->tensor == c->n_tensors)
        l->stage = COMPLETE;
    return NB_OK;
}

/* The header is complete: everything but the weights is loaded here. */
static int32_t open_model(nb_loader *l, nb_error *err) {
    nb_model *m = l->model;
    nb_checkpoint *c = &m->checkpoint;
    nb_error vocabulary_error = {0};
    m->is_partial = l->flags & NB_LOAD_PART;
    if (!m->is_partial || nb_checkpoint_find_tensor(c, "token_embd.weight"))
        m->tokenizer = nb_tokenizer_new(c, &vocabulary_error);
    /* a header can be shown without a tokenizer */
    bool goes_on = l->flags & NB_LOAD_HEADER && vocabulary_error.code != NB_ERR_MEMORY;
    m->tokenizer_error = vocabulary_error;
    if (vocabulary_error.code && !goes_on) {
        if (err)
            *err = vocabulary_error;
        return vocabulary_error.code;
    }
    if (l->flags & NB_LOAD_HEADER || !c->n_tensors) {
        l->stage = COMPLETE;
        return NB_OK;
    }
    l->destinations = nb_alloc_items(c->n_tensors, sizeof *l->destinations);
    if (!l->destinations)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l tensors", c->n_tensors);
    memset(l->destinations, 0, (size_t)c->n_tensors * sizeof *l->destinations);
    NB_TRY(nb_model_bind(m, l->destinations, err));
    /* The staging buffer holds a piece of the file and the largest unit, or the data that came with the header. */
    uint64_t rest = l->filled - c->header_size, largest = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++)
        largest = NB_MAX(largest, unit_bytes(l, i));
    uint64_t capacity = NB_MAX(rest, largest) + STAGING;
    uint8_t *staging = nb_alloc_items(capacity, 1);
    if (!staging)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a staging buffer of %l bytes", capacity);
    if (rest)
        memcpy(staging, l->buffer + c->header_size, (size_t)rest);
    nb_free(l->buffer);
    l->buffer = staging;
    l->capacity = (size_t)capacity;
    l->filled = (size_t)rest;
    l->file_at = c->header_size;
    if (!l->expected.known)
        return NB_OK;
    uint32_t context = l->expected.context;
    if (l->expected.at_most)
        context = NB_MIN(context, m->shape.context);
    return nb_session_check(m, l->expected.pool, context, l->expected.kv_type, l->expected.sequences, err);
}

/* Refuses a single part of a split GGUF. */
static int32_t refuse_split(const nb_checkpoint *c, nb_error *err) {
    double count = nb_checkpoint_number(c, "split.count", 0);
    if (count > 1)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is part %g of a model in %g files (NAME-00001-of-0000N.gguf): give all of them",
                       nb_checkpoint_number(c, "split.no", 0) + 1, count);
    return NB_OK;
}

static int32_t gather_header(nb_loader *l, nb_error *err) {
    nb_checkpoint *c = &l->model->checkpoint;
    int32_t code = nb_gguf_parse(&l->gguf, c, l->buffer, l->filled, err);
    NB_TRY(code);
    if (code == NB_GGUF_MORE)
        return l->filled == l->capacity
                 ? nb_enlarge(&l->buffer, &l->capacity, l->filled, 2 * (uint64_t)l->capacity, err)
                 : NB_OK;
    NB_TRY(nb_checkpoint_keep_header(c, l->buffer, l->gguf.at, err));
    if (!(l->flags & NB_LOAD_HEADER))
        NB_TRY(refuse_split(c, err));
    NB_TRY(open_model(l, err));
    if (l->stage == COMPLETE)
        return NB_OK;
    l->stage = WEIGHTS;
    l->begun = true;
    return fill(l, err);
}

static int32_t cut_off(const nb_loader *l, nb_error *err) {
    const nb_checkpoint *c = &l->model->checkpoint;
    return NB_FAIL(err, NB_ERR_TRUNCATED, "the file ends after %l bytes, within tensor %t; fetch it again",
                   l->file_at + l->filled, nb_checkpoint_tensor_name(c, &c->tensors[l->tensor]));
}

/* ---- the end --------------------------------------------------------------------------------------------------- */

int32_t nb_loader_commit(nb_loader *l, size_t n, nb_error *err) {
    if (l->stage == FAILED || (l->stage == COMPLETE && n))
        return NB_FAIL(err, NB_ERR_STATE, "the loader takes no more bytes: it has %s",
                       l->stage == FAILED ? "failed" : "the whole file");
    if (n > l->capacity - l->filled)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%z bytes were committed where %z fit", n, l->capacity - l->filled);
    l->filled += n;
    int32_t code = l->stage == WEIGHTS ? fill(l, err) : l->stage == HEADER ? gather_header(l, err) : NB_OK;
    if (code < 0)
        l->stage = FAILED;
    return code;
}

nb_model *nb_loader_finish(nb_loader *l, nb_error *err) {
    if (l->stage == HEADER) {
        /* once it knows that nothing follows, the parser says what is missing */
        l->gguf.file_bytes = l->filled;
        if (l->filled && nb_gguf_parse(&l->gguf, &l->model->checkpoint, l->buffer, l->filled, err) < 0)
            return NULL;
        return NB_FAIL_NULL(err, NB_ERR_TRUNCATED,
                            "the file is empty or ends within its header, after %z bytes; fetch it again", l->filled);
    }
    if (l->stage == WEIGHTS)
        return cut_off(l, err), NULL;
    if (l->stage == FAILED || !l->model)
        return NB_FAIL_NULL(err, NB_ERR_STATE, l->model ? "loading has failed" : "the model was returned before");
    nb_model *m = l->model;
    l->model = NULL;
    return m;
}
