/* The forward pass: token embedding, layers, logits. */
#include "integer_session.h"

enum { BATCH = 64, LOGITS_ROWS = 16 };

/* Places the session's arrays in its arena. It is called twice: to measure, and with memory. */
static void place_buffers(nb_integer_session *s) {
    const nb_integer_model *m = s->model;
    nb_arena *a = &s->arena;
    uint64_t batch = s->batch, q_width = (uint64_t)m->heads * m->head_size,
             kv_width = (uint64_t)m->kv_heads * m->head_size;
    uint64_t places = nb_times((uint64_t)m->layers * m->kv_heads, s->context);
    uint64_t columns = NB_MAX(NB_MAX(m->width, m->feed_forward), q_width);
    s->keys = nb_arena_take(a, places, m->head_size);
    s->values = nb_arena_take(a, places, m->head_size);
    s->key_scales = nb_arena_take(a, places, sizeof(nb_dyadic));
    s->value_scales = nb_arena_take(a, places, sizeof(nb_dyadic));
    s->tokens = nb_arena_take(a, s->context, sizeof(int32_t));
    s->cosines = nb_arena_take(a, batch * (m->head_size / 2), sizeof(int32_t));
    s->sines = nb_arena_take(a, batch * (m->head_size / 2), sizeof(int32_t));
    s->x = nb_arena_take(a, batch * m->width, sizeof(int32_t));
    s->codes = nb_arena_take(a, batch * columns, sizeof(int16_t));
    s->scales = nb_arena_take(a, batch, sizeof(nb_dyadic));
    s->q = nb_arena_take(a, batch * q_width, sizeof(int32_t));
    s->k = nb_arena_take(a, batch * kv_width, sizeof(int32_t));
    s->v = nb_arena_take(a, batch * kv_width, sizeof(int32_t));
    s->q_codes = nb_arena_take(a, batch * q_width, sizeof(int16_t));
    s->q_scales = nb_arena_take(a, batch * m->heads, sizeof(nb_dyadic));
    s->gate = nb_arena_take(a, batch * m->feed_forward, sizeof(int32_t));
    s->up = nb_arena_take(a, batch * m->feed_forward, sizeof(int32_t));
    s->logits = nb_arena_take(a, (uint64_t)s->logits_capacity * m->vocabulary, sizeof(int32_t));
    s->scratch_size = NB_MAX(columns, s->context);
    s->scratch = nb_arena_take(a, (uint64_t)nb_pool_threads(s->pool) * s->scratch_size, sizeof(int64_t));
}

static nb_integer_session measure(const nb_integer_model *model, nb_pool *pool, uint32_t context) {
    nb_integer_session s = {.model = model, .pool = pool, .context = context};
    s.batch = NB_MIN(context, BATCH);
    s.logits_capacity = NB_MIN(context, LOGITS_ROWS);
    place_buffers(&s);
    return s;
}

nb_integer_session *nb_integer_session_new(const nb_integer_model *model, nb_pool *pool, uint32_t context,
                                           nb_error *err) {
    if (!context || context > model->context)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "a context of %u tokens is not possible: this model has 1 to %u",
                            context, model->context);
    nb_integer_session measured = measure(model, pool, context);
    if (nb_arena_allocate(&measured.arena, "the session (cache and buffers)", err) < 0)
        return NULL;
    nb_integer_session *s = nb_alloc(sizeof *s);
    if (!s) {
        nb_arena_free(&measured.arena);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a session");
    }
    *s = measured;
    place_buffers(s);
    return s;
}

void nb_integer_session_free(nb_integer_session *s) {
    if (!s)
        return;
    nb_arena_free(&s->arena);
    nb_free(s);
}

size_t nb_integer_session_bytes(const nb_integer_model *model, nb_pool *pool, uint32_t context) {
    nb_integer_session s = measure(model, pool, NB_MIN(NB_MAX(context, 1), model->context));
    return s.arena.failed || s.arena.used > SIZE_MAX ? SIZE_MAX : (size_t)s.arena.used;
}

/* ---- operations on one token, in any thread ---- */

typedef struct row_job {
    nb_integer_session *s;
    uint32_t layer;
    void (*row)(nb_integer_session *s, uint32_t layer, uint32_t row, int64_t *scratch);
} row_job;

static void run_row(void *context, uint64_t index, uint64_t count, int32_t thread) {
    const row_job *p = context;
    (void)count;
    p->row(p->s, p->layer, (uint32_t)index, p->s->scratch + (uint64_t)thread * p->s->scratch_size);
}

static void each_row(nb_integer_session *s, uint32_t layer,
                     void (*row)(nb_integer_session *s, uint32_t layer, uint32_t row, int64_t *scratch)) {
    row_job p = {s, layer, row};
    nb_parallel(s->pool, s->rows, s->rows == 1, run_row, &p);
}

/* Normalizes a row of x, and encodes it as the input of a matrix. */
static void norm_row(nb_integer_session *s, nb_integer_gain gain, uint32_t levels, uint32_t from, uint32_t row,
                     int64_t *scratch) {
    uint32_t width = s->model->width;
    s->scales[row] = nb_integer_norm(s->x + (size_t)(from + row) * width, gain, width, s->model->epsilon, levels,
                                     scratch, s->codes + (size_t)row * width);
}

static void attention_norm(nb_integer_session *s, uint32_t layer, uint32_t row, int64_t *scratch) {
    norm_row(s, s->model->layer[layer].attn_norm, NB_LEVELS, 0, row, scratch);
}

static void feed_forward_norm(nb_integer_session *s, uint32_t layer, uint32_t row, int64_t *scratch) {
    norm_row(s, s->model->layer[layer].ffn_norm, NB_LEVELS, 0, row, scratch);
}

/* Encodes one head's keys or values for the cache. */
static nb_dyadic store(const int32_t *x, uint32_t n, int64_t *scratch, int8_t *out) {
    int16_t codes[NB_INTEGER_MOST_HEAD];
    nb_dyadic scale = nb_integer_codes_of(x, n, NB_LEVELS, scratch, codes);
    for (uint32_t i = 0; i < n; i++)
        out[i] = (int8_t)codes[i];
    return scale;
}

/* Rotates queries and keys, and stores keys and values in the cache. */
static void place_row(nb_integer_session *s, uint32_t layer, uint32_t row, int64_t *scratch) {
    const nb_integer_model *m = s->model;
    uint32_t size = m->head_size, pairs = size / 2;
    const int32_t *cosines = s->cosines + (size_t)row * pairs, *sines = s->sines + (size_t)row * pairs;
    for (uint32_t i = 0; i < m->heads; i++) {
        size_t at = (size_t)row * m->heads + i;
        nb_integer_rotate(s->q + at * size, cosines, sines, pairs);
        s->q_scales[at] = nb_integer_codes_of(s->q + at * size, size, NB_LEVELS, scratch, s->q_codes + at * size);
        s->q_scales[at].e -= NB_FRACTION;
    }
    for (uint32_t i = 0; i < m->kv_heads; i++) {
        size_t at = (size_t)row * m->kv_heads + i, place = nb_integer_place(s, layer, i) + s->first + row;
        nb_integer_rotate(s->k + at * size, cosines, sines, pairs);
        s->key_scales[place] = store(s->k + at * size, size, scratch, s->keys + place * size);
        s->key_scales[place].e -= NB_FRACTION;
        s->value_scales[place] = store(s->v + at * size, size, scratch, s->values + place * size);
    }
}

static void attend(void *context, uint64_t index, uint64_t count, int32_t thread) {
    const row_job *p = context;
    uint32_t heads = p->s->model->heads;
    (void)count;
    nb_integer_attend(p->s, p->layer, (uint32_t)(index / heads), (uint32_t)(index % heads),
                      p->s->scratch + (uint64_t)thread * p->s->scratch_size);
}

static void mixed_row(nb_integer_session *s, uint32_t layer, uint32_t row, int64_t *scratch) {
    uint32_t n = s->model->heads * s->model->head_size;
    (void)layer;
    s->scales[row] = nb_integer_codes_of(s->q + (size_t)row * n, n, NB_LEVELS, scratch, s->codes + (size_t)row * n);
    s->scales[row].e -= NB_FRACTION;
}

static void gated_row(nb_integer_session *s, uint32_t layer, uint32_t row, int64_t *scratch) {
    uint32_t n = s->model->feed_forward;
    (void)layer;
    nb_integer_gated(s->gate + (size_t)row * n, s->up + (size_t)row * n, n, scratch);
    s->scales[row] = nb_integer_codes(scratch, n, nb_wide_levels(n), s->codes + (size_t)row * n);
    s->scales[row].e -= 2 * NB_FRACTION;
}

/* ---- the whole batch ---- */

static void multiply(nb_integer_session *s, const nb_integer_matrix *w, bool adds, int32_t *out) {
    nb_integer_multiply(s->pool, w, (nb_integer_input){s->codes, s->scales, s->rows}, adds, out);
}

static void run_layer(nb_integer_session *s, uint32_t i) {
    const nb_integer_layer *l = &s->model->layer[i];
    each_row(s, i, attention_norm);
    multiply(s, &l->q, false, s->q);
    multiply(s, &l->k, false, s->k);
    multiply(s, &l->v, false, s->v);
    each_row(s, i, place_row);
    row_job p = {s, i, NULL};
    nb_parallel(s->pool, (uint64_t)s->rows * s->model->heads, s->rows == 1, attend, &p);
    each_row(s, i, mixed_row);
    multiply(s, &l->o, true, s->x);
    each_row(s, i, feed_forward_norm);
    multiply(s, &l->gate, false, s->gate);
    multiply(s, &l->up, false, s->up);
    each_row(s, i, gated_row);
    multiply(s, &l->down, true, s->x);
}

/* Token embeddings, and RoPE's sines and cosines. */
static void begin(nb_integer_session *s, const int32_t *tokens) {
    const nb_integer_model *m = s->model;
    uint32_t pairs = m->head_size / 2;
    for (uint32_t row = 0; row < s->rows; row++) {
        const nb_integer_matrix *w = &m->embedding;
        uint32_t token = (uint32_t)tokens[s->first + row];
        for (uint32_t i = 0; i < m->width; i++)
            s->x[(size_t)row * m->width + i] =
                nb_shift((int64_t)w->codes[(size_t)token * m->width + i] * w->multipliers[token],
                         w->shift - NB_FRACTION);
        for (uint32_t i = 0; i < pairs; i++) {
            uint32_t phase = (s->first + row) * m->steps[i];
            s->sines[(size_t)row * pairs + i] = nb_integer_sine(&m->sines, phase);
            s->cosines[(size_t)row * pairs + i] = nb_integer_sine(&m->sines, phase + (1u << 30));
        }
    }
}

/* Takes tokens [first, first + rows) of the prefix through the layers. s->x then has their residual stream. */
static void evaluate(nb_integer_session *s, const int32_t *tokens, uint32_t first, uint32_t rows) {
    s->held = s->first = first;
    s->rows = rows;
    begin(s, tokens);
    for (uint32_t i = 0; i < s->model->layers; i++)
        run_layer(s, i);
    memcpy(s->tokens + first, tokens + first, rows * sizeof *tokens);
    s->held = first + rows;
}

/* Logits of the last `rows` tokens of the batch. */
static void compute_logits(nb_integer_session *s, uint32_t rows) {
    const nb_integer_model *m = s->model;
    for (uint32_t i = 0; i < rows; i++)
        norm_row(s, m->output_norm, nb_wide_levels(m->width), s->rows - rows, i, s->scratch);
    nb_integer_multiply(s->pool, &m->output, (nb_integer_input){s->codes, s->scales, rows}, false, s->logits);
    s->logits_rows = rows;
}

int32_t nb_integer_session_holds(const nb_integer_session *s, const int32_t *tokens, int32_t n) {
    int32_t common = 0;
    while (common < n && (uint32_t)common < s->held && s->tokens[common] == tokens[common])
        common++;
    return common;
}

void nb_integer_session_forget(nb_integer_session *s) {
    s->held = 0;
}

static int32_t check(const nb_integer_session *s, const int32_t *tokens, int32_t n, uint32_t flags, nb_error *err) {
    if (n < 1)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there are no tokens to evaluate; a prompt needs one at least");
    if ((uint32_t)n > s->context)
        return NB_FAIL(err, NB_ERR_CONTEXT, "%d tokens do not fit the context of %u; choose a larger one", n,
                       s->context);
    if (flags > NB_LOGITS_ALL)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "flags %u are unknown: take NB_LOGITS_LAST (0) or NB_LOGITS_ALL (1)",
                       flags);
    for (int32_t i = 0; i < n; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= s->model->vocabulary)
            return NB_FAIL(err, NB_ERR_ARGUMENT, "token %d is %d; this model's tokens are 0 to %u", i, tokens[i],
                           s->model->vocabulary - 1);
    return NB_OK;
}

int32_t nb_integer_session_advance(nb_integer_session *s, const int32_t *tokens, int32_t n, uint32_t flags,
                                   nb_error *err) {
    s->logits_rows = 0;
    NB_TRY(check(s, tokens, n, flags, err));
    uint32_t common = (uint32_t)nb_integer_session_holds(s, tokens, n);
    if (common == (uint32_t)n)
        common--; /* the last token is evaluated again, as its logits are wanted */
    uint32_t rows = NB_MIN((uint32_t)n - common, flags & NB_LOGITS_ALL ? s->logits_capacity : s->batch);
    nb_forbid_allocation(true);
    evaluate(s, tokens, common, rows);
    if (flags & NB_LOGITS_ALL)
        compute_logits(s, rows);
    else if (s->held == (uint32_t)n)
        compute_logits(s, 1);
    nb_forbid_allocation(false);
    return (int32_t)s->held;
}

const int32_t *nb_integer_session_logits(const nb_integer_session *s, int32_t *rows) {
    *rows = (int32_t)s->logits_rows;
    return s->logits;
}

int32_t nb_integer_session_choose(const nb_integer_session *s, nb_error *err) {
    if (!s->logits_rows)
        return NB_FAIL(err, NB_ERR_STATE,
                       "there are no logits to choose from: call nb_integer_session_advance until it returns the "
                       "number of tokens");
    uint32_t n = s->model->vocabulary, best = 0;
    const int32_t *logits = s->logits + (size_t)(s->logits_rows - 1) * n;
    for (uint32_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return (int32_t)best;
}
