#include "session.h"

#include "../base/numbers.h"
#include "../base/writer.h"
#include "../kernels/attention.h"
#include "../types/finite.h"
#include "../kernels/matmul.h"
#include "../kernels/ops.h"
#include "../types/types.h"
#include "bind.h"
#include "blocks.h"
#include "family.h"
#include "pages.h"
#include "rope.h"

#include <math.h>

enum { BATCH = 128, LOGITS_ROWS = NB_MAX_GUESSES + 1 };

static float *take_floats(nb_arena *a, uint64_t rows, uint64_t columns) {
    return nb_arena_take(a, nb_times(rows, columns), sizeof(float));
}

/* Gives the session's buffers their memory; run twice, to measure the arena and to use it. */
static void allocate_buffers(nb_session *s) {
    const nb_shape *m = &s->model->shape;
    nb_arena *a = &s->arena;
    uint64_t batch = s->batch, threads = (uint64_t)nb_pool_threads(s->pool);
    s->n_pages = (uint32_t)NB_MIN(nb_times(s->n_sequences, nb_cache_tiles(s->context)), UINT32_MAX);
    uint64_t tiles = nb_times(m->kv_heads, s->n_pages); /* of a layer */
    s->layer_bytes = s->walks ? 0 : (size_t)(tiles * s->cache.tile_bytes);
    s->tiles = nb_arena_take(a, nb_times(s->walks ? 1 : m->layers, tiles), s->cache.tile_bytes);
    s->sequences = s->sequence = nb_arena_take(a, s->n_sequences, sizeof(nb_sequence));
    s->tokens = nb_arena_take(a, nb_times(s->n_sequences, s->context), sizeof(int32_t));
    s->pages = nb_arena_take(a, s->n_pages, sizeof(uint32_t));
    s->page_users = nb_arena_take(a, s->n_pages, 1);
    s->inputs = nb_arena_take(a, batch, sizeof(int32_t));
    for (uint32_t i = 0; i < NB_ROPES; i++) {
        nb_rotation *r = &s->rotations[i];
        r->rope = &m->ropes[i];
        r->frequencies = nb_arena_take(a, r->rope->pairs, sizeof(float));
        r->cosines = take_floats(a, batch, r->rope->pairs);
        r->sines = take_floats(a, batch, r->rope->pairs);
    }
    s->x = take_floats(a, batch, m->width);
    s->y = take_floats(a, batch, m->width);
    s->normed = take_floats(a, batch, m->width);
    s->q = take_floats(a, batch, (uint64_t)m->heads * m->head_size);
    s->attended = take_floats(a, batch, (uint64_t)m->heads * m->value_size);
    bool padded = s->cache.keys.size != m->head_size || s->cache.values.size != m->value_size;
    s->padded_q = take_floats(a, padded ? batch : 0, (uint64_t)m->heads * s->cache.keys.size);
    s->padded_attended = take_floats(a, padded ? batch : 0, (uint64_t)m->heads * s->cache.values.size);
    s->padded = padded;
    uint64_t qkv = (uint64_t)(m->heads + m->kv_heads) * m->head_size + (uint64_t)m->kv_heads * m->value_size;
    s->merged = take_floats(a, s->model->qkv_whole || s->walks ? batch : 0, qkv);
    s->new_k = take_floats(a, batch, (uint64_t)m->kv_heads * m->head_size);
    s->new_v = take_floats(a, batch, (uint64_t)m->kv_heads * m->value_size);
    uint32_t inner = NB_MAX(m->feed_forward, NB_MAX(m->expert_width, m->shared_width));
    uint64_t expert_in = m->experts ? batch : 0;
    s->gate = take_floats(a, batch, inner);
    s->up = take_floats(a, batch, inner);
    s->scores = take_floats(a, batch, m->experts);
    s->choices = nb_arena_take(a, nb_times(batch, m->experts_used), sizeof(nb_choice));
    s->members = nb_arena_take(a, expert_in, sizeof(nb_choice));
    s->expert_in = take_floats(a, expert_in, m->width);
    s->expert_out = take_floats(a, expert_in, m->width);
    s->logits = take_floats(a, s->logits_capacity, m->vocabulary);
    uint32_t columns = NB_MAX(NB_MAX(m->width, inner), m->heads * m->value_size),
             widest = s->model->embedding_steps.widest;
    s->pooled = take_floats(a, 2, widest);
    columns = NB_MAX(columns, widest);
    for (nb_form form = NB_FORM_F32 + 1; form < NB_FORM_COUNT; form++)
        if (form != NB_FORM_HALVES || NB_HAS_HALVES)
            s->activations.forms[form] = nb_arena_take(a, s->batch, nb_form_token_bytes(form, columns));
    s->ordered = take_floats(a, s->model->ordered ? batch : 0, columns);
    s->of_outliers = take_floats(a, batch, s->model->outlier_rows);
    s->matmul_scratch = take_floats(a, threads * NB_MATMUL_SCRATCH, columns);
    s->attention_scratch =
        nb_arena_take(a, nb_attention_scratch(&s->cache, m->heads, m->kv_heads, s->context, (uint32_t)threads),
                      sizeof(float));
}

/* walks: the session is for nb_walk. */
static int32_t prepare(nb_session *s, const nb_model *model, nb_pool *pool, uint32_t context, uint32_t batch,
                       uint32_t kv_type, bool walks, uint32_t sequences, nb_error *err) {
    if (!model->family)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the file holds a vocabulary but no weights; it can tokenize, not generate");
    if (model->is_partial && !walks)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "this model was loaded as a part, which may lack tensors; only nb_walk computes with it");
    if (!nb_cache_type_name(kv_type))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "KV cache type %u is not supported; I16 (25), F16 (1), F32 (0), Q8_0 (8), Q4_0 (2) and "
                       "Q8_0/Q4_0 "
                       "(520) are",
                       kv_type);
    if (context > NB_MAX_POSITIONS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a context of %u tokens is too large; choose %u or less", context,
                       (uint32_t)NB_MAX_POSITIONS);
    if (model->positions.rows && context > model->positions.rows)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "this model has learned %u positions, so its context cannot be %u; choose %u or less",
                       model->positions.rows, context, model->positions.rows);
    if (sequences < 1 || sequences > NB_MAX_SEQUENCES)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%u sequences are not 1 to %u", sequences, (uint32_t)NB_MAX_SEQUENCES);
    *s = (nb_session){.model = model, .pool = pool, .walks = walks, .n_sequences = sequences};
    s->cache = nb_cache_of(kv_type, model->shape.head_size, model->shape.value_size);
    s->context = context ? context : model->shape.context;
    /* a bidirectional model evaluates a text as one batch */
    s->batch = model->shape.bidirectional ? s->context : NB_MIN(batch ? batch : BATCH, s->context);
    s->batch = NB_MAX(s->batch, sequences);
    s->logits_capacity = walks ? 0 : NB_MAX(NB_MIN(s->batch, LOGITS_ROWS), sequences);
    allocate_buffers(s);
    return NB_OK;
}

/* Allocates a session that was prepared. */
static int32_t allocate(nb_session measured, nb_session **out, nb_error *err) {
    NB_TRY(nb_arena_reserve(&measured.arena, "the session (KV cache and buffers)", err));
    nb_session *s = *out = nb_alloc(sizeof *s);
    if (!s) {
        nb_arena_free(&measured.arena);
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a session");
    }
    *s = measured;
    allocate_buffers(s);
    /* The KV cache, which comes first, is written before it is read. The other buffers are zeroed, as unused lanes of
     * vectors are computed too, and old memory may hold subnormal numbers, which are slow. */
    uint8_t *rest = (uint8_t *)s->sequences;
    memset(rest, 0, (size_t)(s->arena.base + s->arena.size - rest));
    for (uint32_t i = 0; i < s->n_sequences; i++) {
        s->sequences[i].tokens = s->tokens + (size_t)i * s->context;
        s->sequences[i].pages = s->pages + (size_t)i * nb_cache_tiles(s->context);
    }
    for (nb_rotation *r = s->rotations; r < s->rotations + NB_ROPES; r++)
        nb_rope_frequencies(r->rope, s->context, r->frequencies, &r->magnitude);
    return NB_OK;
}

nb_session *nb_session_new(const nb_model *model, nb_pool *pool, uint32_t context, uint32_t batch, uint32_t kv_type,
                           uint32_t precision, uint32_t sequences, nb_error *err) {
    if (precision > NB_PRECISION_FAST)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "precision %u is not one of exact (0) and fast (1)", precision);
    nb_session measured;
    if (prepare(&measured, model, pool, context, batch, kv_type, false, sequences, err) < 0)
        return NULL;
    measured.activations.precision = precision;
    nb_session *s = NULL;
    return allocate(measured, &s, err) < 0 ? NULL : s;
}

int32_t nb_session_new_walk(const nb_model *model, nb_pool *pool, uint32_t window, nb_session **out, nb_error *err) {
    nb_session measured;
    *out = NULL;
    NB_TRY(prepare(&measured, model, pool, window, 0, NB_TYPE_F32, true, 1, err));
    return allocate(measured, out, err);
}

void nb_session_free(nb_session *s) {
    if (!s)
        return;
    nb_arena_free(&s->arena);
    nb_free(s->adapted);
    nb_free(s);
}

double nb_session_bytes(const nb_model *model, uint32_t context, uint32_t batch, uint32_t kv_type, uint32_t sequences) {
    nb_session measured;
    nb_model trial = {0};
    if (!model->family && model->checkpoint.n_tensors && nb_model_try(model, &trial, NULL) == NB_OK)
        model = &trial; /* only its header was loaded */
    bool known = prepare(&measured, model, NULL, context, batch, kv_type, false, sequences, NULL) == NB_OK;
    nb_model_trial_free(&trial);
    if (!known)
        return 0;
    return (double)(measured.arena.failed ? UINT64_MAX : measured.arena.used);
}

void nb_session_break(nb_session *s, uint32_t i) {
    __atomic_store_n(&s->broken, i + 1, __ATOMIC_RELAXED);
}

int32_t nb_session_refuse_numbers(nb_session *s, const char *what, nb_error *err) {
    s->sequence->held = s->logits_rows = 0;
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "the model's numbers are not finite: %s; the file is damaged, or its weights are too large to "
                   "compute with",
                   what);
}

/* The largest context, smaller than `context`, whose session takes no more than `most` bytes; 0: there is none. */
static uint32_t fitting_context(const nb_model *model, nb_pool *pool, uint32_t context, uint32_t kv_type,
                                uint32_t sequences, uint64_t most) {
    uint32_t fits = 0;
    for (uint32_t too_large = context; too_large - fits > 1;) {
        uint32_t middle = fits + (too_large - fits) / 2;
        nb_session measured;
        bool small = prepare(&measured, model, pool, middle, 0, kv_type, false, sequences, NULL) >= 0 &&
                     !measured.arena.failed && measured.arena.used <= most;
        *(small ? &fits : &too_large) = middle;
    }
    return fits;
}

int32_t nb_session_check(const nb_model *model, nb_pool *pool, uint32_t context, uint32_t kv_type, uint32_t sequences,
                         nb_error *err) {
    nb_session measured;
    NB_TRY(prepare(&measured, model, pool, context, 0, kv_type, false, sequences, err));
    uint64_t bytes = measured.arena.failed ? UINT64_MAX : measured.arena.used, left = nb_memory_left();
    /* Allocates and frees the memory: the engine may grant less than there are addresses for, and what it has granted
     * stays nibble's. */
    void *memory = nb_alloc_items(bytes, 1);
    nb_free(memory);
    if (memory)
        return NB_OK;
    uint32_t fits = fitting_context(model, pool, measured.context, kv_type, sequences, NB_MIN(bytes - 1, left));
    fits = fits >= 256 ? fits / 256 * 256 : fits;
    if (!fits || bytes <= left)
        return nb_memory_refuse("the session (KV cache and buffers)", bytes, err);
    return NB_FAIL(err, NB_ERR_MEMORY,
                   "a context of %u tokens does not fit: it needs %u MB, and beside the model there is room for %u MB; "
                   "load the model with a contextLength (--context) of %u or less",
                   measured.context, nb_megabytes(bytes), nb_megabytes(left), fits);
}

int32_t nb_session_compute_logits(nb_session *s, uint32_t row, uint32_t rows, nb_error *err) {
    const nb_model *m = s->model;
    const nb_shape *shape = &m->shape;
    const float *x = s->x + (size_t)row * shape->width;
    for (uint32_t i = 0; i < rows && m->output_norm.weight; i++)
        nb_norm_row(shape, s->normed + (size_t)i * shape->width, x + (size_t)i * shape->width, &m->output_norm,
                    shape->width);
    const float *last = m->output_norm.weight ? s->normed : x;
    if (m->project_out.rows) {
        /* [rows, embedding_width] */
        nb_session_multiply(s, last, rows, shape->width, &(nb_matmul_job){&m->project_out, s->y}, 1);
        last = s->y;
    }
    /* [rows, vocabulary] */
    nb_session_multiply(s, last, rows, m->output.columns, &(nb_matmul_job){&m->output, s->logits}, 1);
    for (uint32_t i = 0; i < rows && m->output_bias; i++)
        nb_add_to(s->logits + (size_t)i * shape->vocabulary, m->output_bias, shape->vocabulary);
    if (shape->logit_scale != 1)
        nb_scale(s->logits, shape->logit_scale, (size_t)rows * shape->vocabulary);
    if (!nb_are_finite(s->logits, (size_t)rows * shape->vocabulary)) /* a cap would hide it */
        return nb_session_refuse_numbers(s, "the logits", err);
    if (shape->logit_cap > 0)
        nb_cap(s->logits, shape->logit_cap, (size_t)rows * shape->vocabulary);
    s->logits_rows = rows;
    return NB_OK;
}

int32_t nb_session_check_tokens(const nb_session *s, const int32_t *tokens, uint32_t first, uint32_t rows,
                                nb_error *err) {
    for (uint32_t i = first; i < first + rows; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= s->model->shape.vocabulary)
            return NB_FAIL(err, NB_ERR_ARGUMENT, "token %d at position %u is not in the vocabulary of %u", tokens[i], i,
                           s->model->shape.vocabulary);
    return NB_OK;
}

int32_t nb_session_check_length(const nb_session *s, int32_t n, nb_error *err) {
    if (n < 1)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there are no tokens to evaluate; a prompt needs at least one");
    if ((uint32_t)n > s->context)
        return NB_FAIL(err, NB_ERR_CONTEXT,
                       "%d tokens do not fit the context of %u; shorten the text or load the model with a larger one",
                       n, s->context);
    return NB_OK;
}

/* Adds tokens [first, first + rows) of this prefix to the batch. The sequence, which holds the tokens before `first`,
 * counts these as held, too: if they are not computed, the caller must take that back. */
static void add_run(nb_session *s, nb_sequence *q, const int32_t *tokens, uint32_t first, uint32_t rows) {
    s->runs[s->n_runs++] = (nb_run){s->rows, rows, first, q->pages};
    memcpy(s->inputs + s->rows, tokens + first, rows * sizeof *tokens);
    memcpy(q->tokens + first, tokens + first, rows * sizeof *tokens);
    q->held = first + rows;
    q->pieces = 0;
    nb_pages_cut(s, q, q->held);
    nb_pages_write(s, q, first, q->held);
    for (const nb_rotation *r = s->rotations; r < s->rotations + NB_ROPES; r++) {
        size_t at = (size_t)s->rows * r->rope->pairs;
        nb_rope_angles(r->frequencies, r->magnitude, r->rope->pairs, first, rows, r->cosines + at, r->sines + at);
    }
    s->rows += rows;
}

void nb_session_place(nb_session *s, const int32_t *tokens, uint32_t first, uint32_t rows) {
    s->n_runs = s->rows = 0;
    add_run(s, s->sequence, tokens, first, rows);
}

void nb_session_begin(nb_session *s) {
    const nb_model *m = s->model;
    for (uint32_t i = 0; i < s->rows; i++)
        nb_matrix_row(&m->embedding, (uint32_t)s->inputs[i], s->x + (size_t)i * m->shape.width);
    if (m->family->begin)
        m->family->begin(s, s->rows);
}

int32_t nb_session_parts(nb_session *s, uint32_t layer, uint32_t from, uint32_t to, nb_error *err) {
    s->broken = s->scored_rows = 0;
    nb_step p = nb_step_of(s, layer);
    for (uint32_t i = from; i < to; i++)
        s->model->family->parts[i](&p);
    if (s->broken) {
        char what[64];
        nb_writer w = nb_writer_over(what, sizeof what);
        nb_write(&w, "queries, keys or values of layer %u", s->broken - 1);
        return nb_session_refuse_numbers(s, what, err);
    }
    return NB_OK;
}

int32_t nb_session_layers(nb_session *s, uint32_t from, uint32_t to, nb_error *err) {
    for (uint32_t i = from; i < to; i++)
        NB_TRY(nb_session_parts(s, i, 0, NB_LAYER_PARTS, err));
    return NB_OK;
}

int32_t nb_session_evaluate(nb_session *s, const int32_t *tokens, uint32_t first, uint32_t rows, nb_error *err) {
    nb_session_place(s, tokens, first, rows);
    nb_session_begin(s);
    return nb_session_layers(s, 0, s->model->shape.layers, err);
}

/* How many of tokens[n], from the first on, a sequence holds. */
static uint32_t held_of(const nb_sequence *q, const int32_t *tokens, int32_t n) {
    uint32_t common = 0;
    while (common < q->held && common < (uint32_t)n && q->tokens[common] == tokens[common])
        common++;
    return common;
}

static uint32_t common_length(const nb_session *s, const int32_t *tokens, int32_t n) {
    return held_of(s->sequence, tokens, n);
}

int32_t nb_session_holds(const nb_session *s, const int32_t *tokens, int32_t n) {
    return (int32_t)common_length(s, tokens, n);
}

static int32_t refuse_going_on(const nb_session *s, nb_error *err) {
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "this %s model is not causal: its tokens see those that follow, so it cannot continue a text; "
                   "ask it for embeddings or logits",
                   s->model->family->name);
}

static int32_t check_continues(const nb_session *s, nb_error *err) {
    if (s->model->shape.encoder)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a %s model is an encoder, which cannot continue a text; ask it for embeddings",
                       s->model->family->name);
    return NB_OK;
}

/* A bidirectional model evaluates a text as a whole, in the first call. Each call computes some rows of its logits. */
static int32_t advance_whole(nb_session *s, const int32_t *tokens, uint32_t n, uint32_t flags, nb_error *err) {
    if (!(flags & NB_LOGITS_ALL))
        return refuse_going_on(s, err);
    bool goes_on =
        s->logits_done && s->logits_done < n && s->sequence->held == n && common_length(s, tokens, (int32_t)n) == n;
    int32_t code = NB_OK;
    NB_TRY(nb_session_check_tokens(s, tokens, 0, n, err));
    nb_forbid_allocation(true);
    if (!goes_on) {
        s->logits_done = 0;
        code = nb_session_evaluate(s, tokens, 0, n, err);
    }
    uint32_t rows = NB_MIN(n - s->logits_done, s->logits_capacity);
    if (code == NB_OK)
        code = nb_session_compute_logits(s, s->logits_done, rows, err);
    nb_forbid_allocation(false);
    NB_TRY(code);
    return (int32_t)(s->logits_done += rows);
}

int32_t nb_session_advance(nb_session *s, const int32_t *tokens, int32_t n, uint32_t flags, nb_error *err) {
    s->logits_rows = 0;
    NB_TRY(check_continues(s, err));
    NB_TRY(nb_session_check_length(s, n, err));
    if (s->model->shape.bidirectional)
        return advance_whole(s, tokens, (uint32_t)n, flags, err);
    uint32_t common = common_length(s, tokens, n);
    if (common == (uint32_t)n)
        common--; /* the last token is evaluated again, for its logits */
    uint32_t rows = NB_MIN((uint32_t)n - common, flags & NB_LOGITS_ALL ? s->logits_capacity : s->batch);
    NB_TRY(nb_session_check_tokens(s, tokens, common, rows, err));
    nb_forbid_allocation(true);
    int32_t code = nb_session_evaluate(s, tokens, common, rows, err);
    if (code == NB_OK && flags & NB_LOGITS_ALL)
        code = nb_session_compute_logits(s, 0, rows, err);
    else if (code == NB_OK && s->sequence->held == (uint32_t)n)
        code = nb_session_compute_logits(s, rows - 1, 1, err);
    nb_forbid_allocation(false);
    return code < 0 ? code : (int32_t)s->sequence->held;
}

static bool same_adapters(const nb_sequence *a, const nb_sequence *b) {
    bool same = a->n_adapters == b->n_adapters;
    for (uint32_t i = 0; same && i < a->n_adapters; i++)
        same = a->adapters[i] == b->adapters[i] && a->adapter_scales[i] == b->adapter_scales[i];
    return same;
}

/* Adds the rows of a turn to the batch. */
static int32_t add_turn(nb_session *s, nb_turn *turn, const int32_t *tokens, uint64_t *seen, nb_error *err) {
    uint64_t bit = turn->sequence < s->n_sequences ? 1ULL << turn->sequence : 0;
    nb_sequence *q = &s->sequences[bit ? turn->sequence : 0];
    if (!bit || *seen & bit || !turn->most || !same_adapters(q, s->sequence))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "a turn of sequence %u and %u tokens: sequences are 0 to %u, each has one turn, of a token or "
                       "more, and all have the same adapters",
                       turn->sequence, turn->most, s->n_sequences - 1);
    *seen |= bit;
    NB_TRY(nb_session_check_length(s, turn->n, err));
    uint32_t n = (uint32_t)turn->n, common = NB_MIN(held_of(q, tokens, turn->n), n - 1);
    uint32_t rows = NB_MIN(NB_MIN(n - common, turn->most), s->batch - s->rows);
    NB_TRY(nb_session_check_tokens(s, tokens, common, rows, err));
    if (rows)
        add_run(s, q, tokens, common, rows);
    turn->held = (int32_t)(common + rows);
    turn->row = turn->held == turn->n ? (int32_t)s->rows - 1 : -1; /* of the batch; later of the logits */
    return NB_OK;
}

/* Brings the rows that need logits to the front of x, and computes them. */
static int32_t finish_turns(nb_session *s, nb_turn *turns, uint32_t n, nb_error *err) {
    uint32_t width = s->model->shape.width, rows = 0;
    for (nb_turn *turn = turns; turn < turns + n; turn++)
        if (turn->row >= 0) { /* rows <= turn->row, as turns are in the order of their rows */
            memmove(s->x + (size_t)rows * width, s->x + (size_t)turn->row * width, width * sizeof *s->x);
            turn->row = (int32_t)rows++;
        }
    return rows ? nb_session_compute_logits(s, 0, rows, err) : NB_OK;
}

int32_t nb_session_advance_all(nb_session *s, nb_turn *turns, const int32_t *const *tokens, uint32_t n, nb_error *err) {
    uint64_t seen = 0;
    s->logits_rows = s->n_runs = s->rows = 0;
    NB_TRY(check_continues(s, err));
    if (s->model->shape.bidirectional)
        return refuse_going_on(s, err);
    if (n)
        NB_TRY(nb_session_select(s, turns->sequence, err));
    int32_t code = NB_OK;
    for (uint32_t i = 0; i < n && code == NB_OK; i++)
        code = add_turn(s, &turns[i], tokens[i], &seen, err);
    nb_forbid_allocation(true);
    if (code == NB_OK && s->rows) {
        nb_session_begin(s);
        code = nb_session_layers(s, 0, s->model->shape.layers, err);
    }
    if (code == NB_OK)
        code = finish_turns(s, turns, n, err);
    nb_forbid_allocation(false);
    if (n > 1 || code < 0)
        s->logits_rows = 0; /* nb_session_generate would not know whose they are */
    for (uint32_t i = 0; i < s->n_sequences && code < 0; i++)
        if (seen >> i & 1)
            s->sequences[i].held = 0; /* what was not computed is not held */
    return code;
}

int32_t nb_session_select(nb_session *s, uint32_t i, nb_error *err) {
    if (i >= s->n_sequences)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "sequence %u is not one of the session's %u", i, s->n_sequences);
    if (s->sequence != &s->sequences[i])
        s->logits_rows = s->scored_rows = s->logits_done = 0;
    s->sequence = &s->sequences[i];
    return NB_OK;
}

int32_t nb_session_fork(nb_session *s, uint32_t from, int32_t n, nb_error *err) {
    if (from >= s->n_sequences || n < 0 || (uint32_t)n > s->sequences[from].held)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "sequence %u does not hold %d tokens", from, n);
    nb_sequence *to = s->sequence;
    s->logits_rows = s->scored_rows = to->pieces = 0;
    if (to != &s->sequences[from])
        nb_pages_share(s, to, &s->sequences[from], (uint32_t)n);
    to->held = (uint32_t)n;
    nb_pages_cut(s, to, to->held);
    return NB_OK;
}

int32_t nb_session_generate(nb_session *s, nb_sampler *sampler, int32_t *tokens, int32_t n, int32_t count,
                            uint32_t past_end, nb_error *err) {
    int32_t made = 0;
    while (made < count) {
        bool ready =
            s->logits_rows == 1 && s->sequence->held == (uint32_t)n && common_length(s, tokens, n) == s->sequence->held;
        for (int32_t held = ready ? n : -1; held < n;)
            NB_TRY(held = nb_session_advance(s, tokens, n, NB_LOGITS_LAST, err));
        int32_t token = nb_sampler_next(sampler, s->logits, tokens, n);
        s->logits_rows = 0; /* the sampler has changed them */
        tokens[n++] = token;
        made++;
        if (!past_end && nb_model_is_end(s->model, token))
            break;
    }
    return made;
}

int32_t nb_session_speculate(nb_session *s, nb_sampler *sampler, int32_t *tokens, int32_t n, int32_t guesses,
                             uint32_t past_end, nb_error *err) {
    if (guesses < 0 || (uint32_t)guesses >= s->logits_capacity)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%d guesses are not 0 to %d", guesses, (int32_t)s->logits_capacity - 1);
    if (n < 1 || common_length(s, tokens, n) < (uint32_t)n - 1)
        return NB_FAIL(err, NB_ERR_STATE, "the session does not hold the tokens before the guesses; advance it first");
    s->sequence->held = (uint32_t)n - 1; /* guesses that it may hold are evaluated, too, for their logits */
    /* a model that is not causal is refused here */
    uint32_t flags = s->model->shape.bidirectional ? NB_LOGITS_LAST : NB_LOGITS_ALL;
    NB_TRY(nb_session_advance(s, tokens, n + guesses, flags, err));
    s->logits_rows = 0; /* the sampler changes them */
    int32_t made = 0;
    for (bool goes_on = true; goes_on; made++) {
        int32_t *guess = tokens + n + made;
        int32_t token =
            nb_sampler_next(sampler, s->logits + (size_t)made * s->model->shape.vocabulary, tokens, n + made);
        goes_on = made < guesses && token == *guess && (past_end || !nb_model_is_end(s->model, token));
        *guess = token;
    }
    s->sequence->held = (uint32_t)(n + made) - 1; /* without what was guessed wrongly */
    return made;
}

float *nb_session_logits(nb_session *s, int32_t *rows) {
    *rows = (int32_t)s->logits_rows;
    return s->logits;
}
