/* Makes the GGUF of a model of integers from that of a Llama, tensor by tensor as the bytes arrive. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../formats/gguf.h"
#include "../nibble_quantize.h"
#include "../types/traits.h"
#include "integer_header.h"
#include "integer_rows.h"

#include <math.h>

enum { STAGING = 1 << 20 };

struct nb_integer_maker {
    nb_gguf gguf;
    nb_checkpoint c;
    nb_integer_shape shape;
    enum { HEADER, WEIGHTS, COMPLETE, FAILED } stage;
    uint8_t *in; /* HEADER: the file so far; WEIGHTS: what has arrived of the current tensor */
    size_t in_capacity, in_filled;
    uint64_t file_at; /* WEIGHTS: offset in the file of in[0] */
    uint64_t tensor;  /* the current one */
    uint8_t *out;     /* what nb_integer_maker_take gives next */
    size_t out_capacity, out_filled;
    double *factors; /* [head_size / 2], which frequencies of RoPE are divided by; NULL: none */
};

nb_integer_maker *nb_integer_maker_new(nb_error *err) {
    nb_integer_maker *m = nb_alloc(sizeof *m);
    uint8_t *in = nb_alloc(STAGING);
    if (!m || !in) {
        nb_free(m);
        nb_free(in);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory to begin");
    }
    *m = (nb_integer_maker){.in = in, .in_capacity = STAGING};
    return m;
}

void nb_integer_maker_free(nb_integer_maker *m) {
    if (!m)
        return;
    nb_checkpoint_free(&m->c);
    nb_free(m->in);
    nb_free(m->out);
    nb_free(m->factors);
    nb_free(m);
}

/* Appends n zeros to the output; they are to be overwritten at *to. */
static int32_t append(nb_integer_maker *m, uint64_t n, uint8_t **to, nb_error *err) {
    uint64_t needed = m->out_filled + n;
    if (needed > m->out_capacity)
        NB_TRY(nb_enlarge(&m->out, &m->out_capacity, m->out_filled, needed + STAGING, err));
    *to = m->out + m->out_filled;
    memset(*to, 0, (size_t)n);
    m->out_filled += (size_t)n;
    return NB_OK;
}

static uint64_t padded(uint64_t bytes) {
    return NB_ROUND_UP(bytes, (uint64_t)NB_GGUF_ALIGNMENT);
}

static int32_t write_header(nb_integer_maker *m, nb_error *err) {
    nb_gguf_writer w = {0};
    NB_TRY(nb_integer_header_write(&m->c, &m->shape, &w, err)); /* only counts */
    uint8_t *to;
    NB_TRY(append(m, w.size, &to, err));
    w = (nb_gguf_writer){.out = to, .capacity = w.size};
    return nb_integer_header_write(&m->c, &m->shape, &w, err);
}

/* ---- the tensors ------------------------------------------------------------------------------------------------- */

static nb_text current_name(const nb_integer_maker *m) {
    return nb_checkpoint_tensor_name(&m->c, &m->c.tensors[m->tensor]);
}

static int32_t not_finite(const nb_integer_maker *m, nb_error *err) {
    return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t has infinities or NaN; the file is damaged", current_name(m));
}

/* scratch: [rows]. */
static int32_t write_codes(nb_integer_maker *m, const float *w, uint32_t columns, uint32_t rows, double *scratch,
                           nb_error *err) {
    uint64_t codes = padded((uint64_t)columns * rows);
    uint8_t *to;
    NB_TRY(append(m, codes + padded(((uint64_t)rows + 1) * sizeof(int32_t)), &to, err));
    int32_t *multipliers = (int32_t *)(void *)(to + codes);
    return nb_integer_rows(w, rows, columns, scratch, (int8_t *)to, multipliers) ? NB_OK : not_finite(m, err);
}

static int32_t write_scales(nb_integer_maker *m, const double *numbers, uint32_t n, nb_error *err) {
    uint8_t *to;
    NB_TRY(append(m, padded(((uint64_t)n + 1) * sizeof(int32_t)), &to, err));
    return nb_integer_fixed(numbers, n, (int32_t *)(void *)to) ? NB_OK : not_finite(m, err);
}

static int32_t keep_factors(nb_integer_maker *m, const double *numbers, uint32_t n, nb_error *err) {
    for (uint32_t i = 0; i < n; i++)
        if (!(numbers[i] >= 1e-6 && numbers[i] <= 1e6))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "number %u of tensor %t is %g, not a factor of RoPE from 1e-6 to 1e6; the file is damaged",
                           i, current_name(m), numbers[i]);
    nb_free(m->factors);
    m->factors = nb_alloc_items(n, sizeof *m->factors);
    if (!m->factors)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u numbers", n);
    memcpy(m->factors, numbers, n * sizeof *numbers);
    return NB_OK;
}

/* The current tensor, all of whose bytes are at m->in. */
static int32_t write_tensor(nb_integer_maker *m, nb_error *err) {
    const nb_tensor_info *t = &m->c.tensors[m->tensor];
    nb_integer_tensor is = {0};
    NB_TRY(nb_integer_tensor_find(&m->c, &m->shape, m->tensor, &is, err));
    uint64_t n = (uint64_t)is.columns * is.rows;
    float *w = nb_alloc_items(n, sizeof *w);
    double *numbers = nb_alloc_items(NB_MAX(is.columns, is.rows), sizeof *numbers);
    int32_t code =
        w && numbers ? NB_OK : NB_FAIL(err, NB_ERR_MEMORY, "no memory for the weights of tensor %t", current_name(m));
    if (code == NB_OK) {
        nb_traits_of(t->type)->dequantize(m->in, w, (size_t)n);
        for (uint32_t i = 0; i < is.columns && is.kind != NB_INTEGER_CODES; i++)
            numbers[i] = (double)w[i];
        code = is.kind == NB_INTEGER_CODES  ? write_codes(m, w, is.columns, is.rows, numbers, err)
             : is.kind == NB_INTEGER_SCALES ? write_scales(m, numbers, is.columns, err)
                                            : keep_factors(m, numbers, is.columns, err);
    }
    nb_free(w);
    nb_free(numbers);
    return code;
}

/* The tensor rope.steps: by how much each pair of a head's numbers turns from one position to the next. */
static int32_t write_steps(nb_integer_maker *m, nb_error *err) {
    const nb_integer_shape *s = &m->shape;
    uint32_t pairs = s->head_size / 2;
    uint8_t *to;
    NB_TRY(append(m, padded(pairs * sizeof(uint32_t)), &to, err));
    uint32_t *steps = (uint32_t *)(void *)to;
    for (uint32_t i = 0; i < pairs; i++)
        steps[i] = nb_integer_step(pow(s->rope_base, -2.0 * i / s->head_size) / s->rope_scale /
                                   (m->factors ? m->factors[i] : 1));
    return NB_OK;
}

/* ---- bytes in, bytes out ----------------------------------------------------------------------------------------- */

/* Removes the first n bytes of the input. */
static void drop(nb_integer_maker *m, size_t n) {
    m->in_filled -= n;
    m->file_at += n;
    memmove(m->in, m->in + n, m->in_filled);
}

static int32_t read_header(nb_integer_maker *m, nb_error *err) {
    int32_t code = nb_gguf_parse(&m->gguf, &m->c, m->in, m->in_filled, err);
    NB_TRY(code);
    if (code == NB_GGUF_MORE)
        return m->in_filled == m->in_capacity
                 ? nb_enlarge(&m->in, &m->in_capacity, m->in_filled, 2 * (uint64_t)m->in_capacity, err)
                 : NB_OK;
    NB_TRY(nb_checkpoint_keep_header(&m->c, m->in, m->gguf.at, err));
    NB_TRY(nb_integer_shape_read(&m->c, &m->shape, err));
    NB_TRY(nb_integer_tensors_check(&m->c, &m->shape, err));
    NB_TRY(write_header(m, err));
    m->stage = WEIGHTS;
    drop(m, m->gguf.at);
    return NB_OK;
}

/* Writes each tensor that has arrived whole. */
static int32_t read_tensors(nb_integer_maker *m, nb_error *err) {
    while (m->tensor < m->c.n_tensors) {
        const nb_tensor_info *t = &m->c.tensors[m->tensor];
        drop(m, (size_t)NB_MIN(t->at - m->file_at, m->in_filled)); /* padding before the tensor */
        if (t->bytes + STAGING > m->in_capacity)
            NB_TRY(nb_enlarge(&m->in, &m->in_capacity, m->in_filled, t->bytes + STAGING, err));
        if (m->in_filled < t->bytes || m->file_at < t->at)
            return NB_OK;
        NB_TRY(write_tensor(m, err));
        drop(m, (size_t)t->bytes);
        m->tensor++;
    }
    m->stage = COMPLETE;
    return write_steps(m, err);
}

uint8_t *nb_integer_maker_space(nb_integer_maker *m, size_t *capacity) {
    *capacity = m->stage == HEADER || m->stage == WEIGHTS ? m->in_capacity - m->in_filled : 0;
    return m->in + m->in_filled;
}

int32_t nb_integer_maker_commit(nb_integer_maker *m, size_t n, nb_error *err) {
    if (m->stage == FAILED || m->stage == COMPLETE)
        return NB_FAIL(err, NB_ERR_STATE, "the file takes no more bytes: it %s",
                       m->stage == FAILED ? "was refused" : "is complete");
    if (n > m->in_capacity - m->in_filled)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%z bytes were committed where %z fit", n, m->in_capacity - m->in_filled);
    m->in_filled += n;
    int32_t code = m->stage == HEADER ? read_header(m, err) : NB_OK;
    if (code == NB_OK && m->stage == WEIGHTS)
        code = read_tensors(m, err);
    if (code < 0)
        m->stage = FAILED;
    return code;
}

const uint8_t *nb_integer_maker_take(nb_integer_maker *m, size_t *size) {
    *size = m->out_filled;
    m->out_filled = 0;
    return m->out;
}

int32_t nb_integer_maker_end(const nb_integer_maker *m, nb_error *err) {
    return m->stage == COMPLETE ? NB_OK : NB_FAIL(err, NB_ERR_TRUNCATED, "the file ends before its last tensor");
}
