/* Makes a trainer: its tables of tensors, and the memory that a batch needs. */
#include "trainer.h"

#include "../base/writer.h"
#include "../models/rope.h"

enum { MOST_SIDE = 1 << 24, MOST_LAYERS = 4096 };

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

typedef enum side { ONE, WIDTH, QUERIES, KEYS, HIDDEN, VOCABULARY } side;

static uint64_t size_of(const nb_train_shape *s, side side) {
    switch (side) {
    case ONE: return 1;
    case WIDTH: return s->width;
    case QUERIES: return (uint64_t)s->heads * s->head_size;
    case KEYS: return (uint64_t)s->kv_heads * s->head_size;
    case HIDDEN: return s->hidden;
    case VOCABULARY: return s->vocabulary;
    }
    return 0;
}

typedef struct kind {
    const char *name;
    side rows, columns;
} kind;

static const kind embedding = {"token_embd", VOCABULARY, WIDTH}, output_norm = {"output_norm", ONE, WIDTH},
                  output = {"output", VOCABULARY, WIDTH};

static const kind of_layer[NB_LAYER_TENSORS] = {
    {"attn_norm", ONE, WIDTH},   {"attn_q", QUERIES, WIDTH},      {"attn_k", KEYS, WIDTH},
    {"attn_v", KEYS, WIDTH},     {"attn_output", WIDTH, QUERIES}, {"ffn_norm", ONE, WIDTH},
    {"ffn_gate", HIDDEN, WIDTH}, {"ffn_up", HIDDEN, WIDTH},       {"ffn_down", WIDTH, HIDDEN},
};

uint32_t nb_train_count_tensors(const nb_train_shape *s) {
    return 1 + s->layers * NB_LAYER_TENSORS + 1 + !s->is_tied;
}

static const kind *kind_of(const nb_train_shape *s, uint32_t index) {
    uint32_t layers = s->layers * NB_LAYER_TENSORS;
    if (index == 0)
        return &embedding;
    return index <= layers ? &of_layer[(index - 1) % NB_LAYER_TENSORS] : index == layers + 1 ? &output_norm : &output;
}

void nb_train_describe(const nb_train_shape *s, uint32_t index, nb_train_tensor *tensor) {
    const kind *k = kind_of(s, index);
    *tensor = (nb_train_tensor){
        .rows = (uint32_t)size_of(s, k->rows),
        .columns = (uint32_t)size_of(s, k->columns),
        .decays = k->rows != ONE,
    };
    nb_writer w = nb_writer_over(tensor->name, sizeof tensor->name);
    if (index > 0 && index <= s->layers * NB_LAYER_TENSORS)
        nb_write(&w, "blk.%u.", (index - 1) / NB_LAYER_TENSORS);
    nb_write(&w, "%s.weight", k->name);
}

static void name_tensors(nb_trainer *t) {
    for (uint32_t i = 0; i < t->n_tensors; i++) {
        nb_train_describe(&t->shape, i, &t->tensors[i]);
        t->derivations[i] = (nb_derivation){.rows = t->tensors[i].rows, .columns = t->tensors[i].columns, .rate = 1};
    }
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

static float *floats(nb_arena *arena, uint64_t rows, uint64_t columns) {
    return nb_arena_take(arena, nb_times(rows, columns), sizeof(float));
}

static void place_tables(nb_trainer *t, nb_arena *a) {
    t->tensors = nb_arena_take(a, t->n_tensors, sizeof *t->tensors);
    t->derivations = nb_arena_take(a, t->n_tensors, sizeof *t->derivations);
    t->grids = nb_arena_take(a, t->n_tensors, sizeof *t->grids);
    t->groups = nb_arena_take(a, 2 * (uint64_t)t->n_tensors, sizeof *t->groups);
    t->layers = nb_arena_take(a, t->shape.layers, sizeof *t->layers);
    t->traces = nb_arena_take(a, t->shape.layers, sizeof *t->traces);
}

/* Makes the tables. No tensor is derived yet. */
static int32_t make_tables(nb_trainer *t, nb_error *err) {
    nb_arena arena = {0};
    place_tables(t, &arena);
    NB_TRY(nb_arena_allocate(&arena, "a trainer's tables", err));
    t->tables = arena;
    place_tables(t, &arena);
    name_tensors(t);
    return NB_OK;
}

static void place_trace(const nb_trainer *t, nb_arena *a, uint64_t n, nb_trace *trace) {
    const nb_train_shape *s = &t->shape;
    uint64_t queries = size_of(s, QUERIES), keys = size_of(s, KEYS);
    trace->x = floats(a, n, s->width);
    trace->q = floats(a, n, queries);
    trace->k = floats(a, n, keys);
    trace->v = floats(a, n, keys);
    trace->attended = floats(a, n, queries);
    trace->middle = floats(a, n, s->width);
    trace->gate = floats(a, n, s->hidden);
    trace->up = floats(a, n, s->hidden);
}

static void place_traces(nb_trainer *t, nb_arena *a, uint64_t n) {
    nb_trace trace = {0};
    for (uint32_t l = 0; l < t->shape.layers; l++) {
        if (l == 0 || t->learns)
            place_trace(t, a, n, &trace);
        t->traces[l] = trace;
    }
    t->stream = t->learns ? floats(a, n, t->shape.width) : trace.x;
}

/* Buffers for the matrix with the most columns, and for the one with the most rows. */
static void place_signals(nb_trainer *t, nb_arena *a, uint64_t n) {
    const nb_train_shape *s = &t->shape;
    nb_signals *g = &t->signals;
    uint64_t columns = NB_MAX(NB_MAX(s->width, s->hidden), size_of(s, QUERIES));
    if (g->settings.inputs != NB_TRAIN_PLAIN)
        g->rounded = floats(a, n, columns);
    if (g->settings.inputs != NB_TRAIN_PLAIN && t->learns) {
        g->d_rounded = floats(a, n, columns);
        g->partial = nb_arena_take(a, 2 * n, sizeof *g->partial);
        g->inputs_before = floats(a, 2 * (uint64_t)s->layers, NB_LAYER_MATRICES);
    }
    if (g->settings.gradient_bits && t->learns)
        g->gradient = floats(a, n, NB_MAX(columns, size_of(s, KEYS)));
    if (g->settings.inputs != NB_TRAIN_PLAIN || g->settings.gradient_bits)
        t->pass.signals = g;
}

static void place_pass(nb_trainer *t, nb_arena *a, uint64_t n) {
    const nb_train_shape *s = &t->shape;
    nb_pass *p = &t->pass;
    uint64_t threads = (uint64_t)nb_pool_threads(p->pool), queries = size_of(s, QUERIES), keys = size_of(s, KEYS);
    p->cosines = floats(a, t->length, s->head_size / 2);
    p->sines = floats(a, t->length, s->head_size / 2);
    p->minus_sines = floats(a, t->length, s->head_size / 2);
    p->products = floats(a, threads, NB_PRODUCT_SCRATCH);
    p->scores = floats(a, threads * 2 * NB_QUERY_BLOCK, t->length);
    p->normed = floats(a, n, s->width);
    p->hidden = floats(a, n, s->hidden);
    t->logits = floats(a, NB_MIN(n, (uint64_t)NB_HEAD_TOKENS), s->vocabulary);
    t->loss_scratch = floats(a, threads * 3, s->vocabulary);
    t->losses = nb_arena_take(a, n, sizeof *t->losses);
    if (!t->learns)
        return;
    t->d = floats(a, n, s->width);
    p->inverse = floats(a, n, 1);
    p->d_normed = floats(a, n, s->width);
    p->d_gate = floats(a, n, s->hidden);
    p->d_up = floats(a, n, s->hidden);
    p->d_hidden = floats(a, n, s->hidden);
    p->d_q = floats(a, n, queries);
    p->d_k = floats(a, n, keys);
    p->d_v = floats(a, n, keys);
    p->d_attended = floats(a, n, queries);
}

static void place_batch(nb_trainer *t, nb_arena *a) {
    uint64_t n = (uint64_t)t->sequences * t->length;
    place_traces(t, a, n);
    place_pass(t, a, n);
    place_signals(t, a, n);
}

static int32_t make_batch(nb_trainer *t, nb_error *err) {
    nb_arena arena = {0};
    place_batch(t, &arena);
    NB_TRY(nb_arena_reserve(&arena, "what training computes of a batch", err));
    t->batch = arena;
    place_batch(t, &arena);
    return NB_OK;
}

static void compute_angles(nb_trainer *t) {
    nb_pass *p = &t->pass;
    uint32_t pairs = t->shape.head_size / 2;
    nb_rope rope = {.pairs = pairs, .base = t->shape.rope_base, .factor = 1, .attention_factor = 1};
    float magnitude, *frequencies = p->minus_sines; /* scratch memory until minus_sines are written */
    nb_rope_frequencies(&rope, t->length, frequencies, &magnitude);
    nb_rope_angles(frequencies, magnitude, pairs, 0, t->length, p->cosines, p->sines);
    for (size_t i = 0; i < (size_t)t->length * pairs; i++)
        p->minus_sines[i] = -p->sines[i];
}

/* ---- the object -------------------------------------------------------------------------------------------------- */

int32_t nb_train_check_shape(const nb_train_shape *s, nb_error *err) {
    const uint64_t sides[] = {s->vocabulary, s->width, s->hidden, size_of(s, QUERIES), size_of(s, KEYS)};
    for (int i = 0; i < 5; i++)
        if (sides[i] == 0 || sides[i] > MOST_SIDE)
            return NB_FAIL(err, NB_ERR_ARGUMENT,
                           "the vocabulary, the width, the hidden width and heads times head size of a model are 1 to "
                           "%u; these are %u, %u, %u, %u x %u and %u x %u",
                           (uint32_t)MOST_SIDE, s->vocabulary, s->width, s->hidden, s->heads, s->head_size, s->kv_heads,
                           s->head_size);
    if (s->layers == 0 || s->layers > MOST_LAYERS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a model of %u layers; take 1 to %u", s->layers, (uint32_t)MOST_LAYERS);
    if (s->head_size % 2)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "heads of %u numbers have no pairs to turn; take an even size",
                       s->head_size);
    if (s->heads % s->kv_heads)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%u heads of queries cannot share %u of keys evenly", s->heads,
                       s->kv_heads);
    if (!(s->rope_base >= 1 && s->rope_base <= 0x1p60f) || !(s->epsilon > 0 && s->epsilon <= 1))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "the base of rotary positions is %g and RMSNorm's epsilon %g; usual are 10000 and 0.00001",
                       (double)s->rope_base, (double)s->epsilon);
    return NB_OK;
}

static int32_t prepare(nb_trainer *t, nb_choose_derivations *choose, const void *context, nb_error *err) {
    NB_TRY(nb_train_check_shape(&t->shape, err));
    uint64_t n = (uint64_t)t->sequences * t->length;
    if (n == 0 || n > INT32_MAX)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a batch of %u sequences of %u tokens; take from 1 to %d tokens in all",
                       t->sequences, t->length, INT32_MAX);
    t->n_tensors = nb_train_count_tensors(&t->shape);
    NB_TRY(make_tables(t, err));
    if (choose)
        NB_TRY(choose(t, context, err));
    NB_TRY(nb_trainer_make_arrays(t, err));
    NB_TRY(make_batch(t, err));
    compute_angles(t);
    return NB_OK;
}

nb_trainer *nb_trainer_make(nb_pool *pool, const nb_train_shape *shape, uint32_t sequences, uint32_t length,
                            uint32_t learns, nb_choose_derivations *choose, const void *context, nb_error *err) {
    if (learns > NB_TRAIN_LEARNS_IN_8_BITS)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "there is no such way to learn (%u)", learns);
    nb_trainer *t = nb_alloc(sizeof *t);
    if (!t)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a trainer");
    *t = (nb_trainer){
        .shape = *shape,
        .sequences = sequences,
        .length = length,
        .learns = learns != NB_TRAIN_EVALUATES,
        .in_8_bits = learns == NB_TRAIN_LEARNS_IN_8_BITS,
        .loss = {.share = 0, .temperature = 1},
        .pass = {.shape = *shape, .pool = pool},
    };
    if (prepare(t, choose, context, err) == NB_OK)
        return t;
    nb_trainer_free(t);
    return NULL;
}

nb_trainer *nb_trainer_new(nb_pool *pool, const nb_train_shape *shape, uint32_t sequences, uint32_t length,
                           uint32_t learns, nb_error *err) {
    return nb_trainer_make(pool, shape, sequences, length, learns, NULL, NULL, err);
}

void nb_trainer_free(nb_trainer *t) {
    if (t) {
        nb_arena_free(&t->tables);
        nb_arena_free(&t->arrays);
        nb_arena_free(&t->batch);
        nb_arena_free(&t->blocks);
    }
    nb_free(t);
}

uint32_t nb_trainer_tensors(const nb_trainer *t) {
    return t->n_tensors;
}

int32_t nb_trainer_tensor(const nb_trainer *t, uint32_t index, nb_train_tensor *tensor) {
    if (index >= t->n_tensors)
        return NB_ERR_ARGUMENT;
    *tensor = t->tensors[index];
    return NB_OK;
}

uint32_t nb_trainer_floats(const nb_trainer *t) {
    return (uint32_t)t->floats;
}

float *nb_trainer_weights(nb_trainer *t) {
    return t->weights;
}

float *nb_trainer_gradients(nb_trainer *t) {
    return t->gradients;
}

double nb_trainer_moments_bytes(const nb_trainer *t) {
    return t->learns ? (double)t->moments_bytes : 0;
}

void *nb_trainer_moments(nb_trainer *t) {
    return t->moments;
}
