/* Collects an importance matrix, and writes it in the formats of llama.cpp's tools/imatrix. quant/imatrix.h describes
 * and reads them. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../formats/checkpoint.h"
#include "../formats/gguf.h"
#include "../formats/gguf_writer.h"
#include "../kernels/ops.h"
#include "../models/family.h"
#include "../models/session.h"
#include "../types/finite.h"
#include "../types/types.h"

/* A matrix of a layer, or a stack of experts' matrices. */
typedef struct entry {
    const char *name; /* what follows "blk.N." */
    uint32_t layer, columns, rows, matrices;
    double *sums;     /* [matrices, columns], of squared inputs */
    uint64_t *counts; /* [matrices] vectors in the sums */
} entry;

enum { NO_ENTRY = UINT32_MAX, NAME_BYTES = 128 };

struct nb_collector {
    nb_arena arena; /* everything below */
    entry *entries;
    uint32_t n_entries;
    uint32_t *entry_of; /* [tensors of the file]; NO_ENTRY: the tensor has no entry */
    uint64_t n_tensors;
};

/* The entry for a slot's matrix in a layer. It has 0 rows if the model lacks the matrix, or if the file has it as a
 * part of another tensor. */
static entry entry_for(const nb_model *m, const nb_slot *slot, uint32_t layer, uint32_t *tensor) {
    const nb_matrix *w = (const nb_matrix *)(const void *)((const uint8_t *)&m->layers[layer] + slot->at);
    entry e = {slot->name, layer, w->columns, w->rows, slot->by_expert ? m->shape.experts : 1, NULL, NULL};
    if (!w->rows)
        return (entry){0};
    *tensor = w->tensor;
    nb_text name = nb_checkpoint_tensor_name(&m->checkpoint, &m->checkpoint.tensors[w->tensor]);
    if (!slot->by_expert && !nb_text_ends(name, slot->name))
        return (entry){0}; /* such as a part of attn_qkv.weight */
    e.rows /= e.matrices;
    return e;
}

/* Places the collector's arrays in its arena. It is called twice: to measure, and with memory. */
static void place_buffers(nb_collector *c, const nb_model *m) {
    uint64_t slots = 0;
    for (const nb_slot *slot = m->family->slots; slot->name; slot++)
        slots += slot->is_matrix && slot->in_layer;
    c->entries = nb_arena_take(&c->arena, nb_times(slots, m->shape.layers), sizeof *c->entries);
    c->entry_of = nb_arena_take(&c->arena, c->n_tensors, sizeof *c->entry_of);
    if (c->entry_of)
        memset(c->entry_of, 0xff, (size_t)c->n_tensors * sizeof *c->entry_of);
    c->n_entries = 0;
    for (const nb_slot *slot = m->family->slots; slot->name; slot++)
        for (uint32_t i = 0; slot->is_matrix && slot->in_layer && i < m->shape.layers; i++) {
            uint32_t tensor = 0;
            entry e = entry_for(m, slot, i, &tensor);
            if (!e.rows)
                continue;
            e.sums = nb_arena_take(&c->arena, nb_times(e.matrices, e.columns), sizeof *e.sums);
            e.counts = nb_arena_take(&c->arena, e.matrices, sizeof *e.counts);
            if (c->entries) {
                c->entries[c->n_entries] = e;
                c->entry_of[tensor] = c->n_entries;
            }
            c->n_entries++;
        }
}

/* If the model cuts a matrix into parts, all of them get the same vectors, so only the first part is counted. */
static void add(nb_collector *c, const nb_matrix *w, const float *x, uint32_t n) {
    uint32_t i = w->tensor < c->n_tensors ? c->entry_of[w->tensor] : NO_ENTRY;
    if (i == NO_ENTRY || w->columns != c->entries[i].columns || w->first % c->entries[i].rows)
        return;
    const entry *e = &c->entries[i];
    uint32_t matrix = w->first / e->rows;
    if (matrix >= e->matrices)
        return;
    for (uint32_t t = 0; t < n; t++)
        nb_add_squares(e->sums + (size_t)matrix * e->columns, x + (size_t)t * e->columns, e->columns);
    e->counts[matrix] += n;
}

static bool see(void *context, const nb_matmul_job *jobs, uint32_t n_jobs, const float *x, uint32_t n) {
    for (uint32_t i = 0; i < n_jobs; i++)
        add(context, jobs[i].w, x, n);
    return true;
}

nb_collector *nb_collector_new(nb_session *session, nb_error *err) {
    nb_collector *c = nb_alloc(sizeof *c);
    if (!c)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for an importance matrix");
    *c = (nb_collector){.n_tensors = session->model->checkpoint.n_tensors};
    place_buffers(c, session->model);
    if (nb_arena_allocate(&c->arena, "the importance matrix", err) < 0) {
        nb_free(c);
        return NULL;
    }
    place_buffers(c, session->model);
    session->observer = (nb_observer){.see = see, .context = c};
    return c;
}

void nb_collector_free(nb_collector *c) {
    if (!c)
        return;
    nb_arena_free(&c->arena);
    nb_free(c);
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static void put_float(nb_gguf_writer *w, double x) {
    nb_gguf_put_u32(w, nb_bits_of((float)x));
}

/* "blk.N." and the entry's name. */
static nb_text full_name(const entry *e, const char *ending, char *out, size_t capacity) {
    nb_writer name = nb_writer_over(out, capacity);
    nb_write(&name, "blk.%u.%s%s", e->layer, e->name, ending);
    return (nb_text){out, name.length};
}

static uint64_t most_counted(const entry *e) {
    uint64_t most = 0;
    for (uint32_t i = 0; i < e->matrices; i++)
        most = NB_MAX(most, e->counts[i]);
    return most;
}

static uint64_t columns_of(const entry *e) {
    return (uint64_t)e->columns * e->matrices;
}

typedef struct summary {
    uint32_t entries; /* that have vectors */
    uint32_t chunks;  /* whole windows of the entry with the most vectors */
} summary;

static int32_t summarize(const nb_collector *c, uint32_t chunk_size, summary *out, nb_error *err) {
    *out = (summary){0, 0};
    uint64_t most = 0;
    for (const entry *e = c->entries; e < c->entries + c->n_entries; e++) {
        for (uint64_t i = 0; i < columns_of(e); i++) {
            float sum = (float)e->sums[i];
            if (!nb_are_finite(&sum, 1))
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "the inputs of blk.%u.%s are not finite, or too large for a sum of squares; the model "
                               "is damaged",
                               e->layer, e->name);
        }
        most = NB_MAX(most, most_counted(e));
        out->entries += most_counted(e) > 0;
    }
    if (!out->entries)
        return NB_FAIL(err, NB_ERR_STATE, "nothing was collected: evaluate tokens with the session first");
    out->chunks = (uint32_t)NB_MIN(most / chunk_size, INT32_MAX);
    return NB_OK;
}

static void write_dat(const nb_collector *c, const summary *all, uint32_t chunk_size, nb_text text, nb_gguf_writer *w) {
    char bytes[NAME_BYTES];
    nb_gguf_put_u32(w, all->entries);
    for (const entry *e = c->entries; e < c->entries + c->n_entries; e++) {
        uint64_t most = most_counted(e), calls = NB_MIN((most + chunk_size - 1) / chunk_size, INT32_MAX);
        if (!most)
            continue;
        nb_text name = full_name(e, "", bytes, sizeof bytes);
        nb_gguf_put_u32(w, (uint32_t)name.size);
        nb_gguf_put(w, name.data, name.size);
        nb_gguf_put_u32(w, (uint32_t)calls);
        nb_gguf_put_u32(w, (uint32_t)columns_of(e));
        for (uint64_t i = 0; i < columns_of(e); i++) { /* 1 everywhere for an expert that got no token */
            uint64_t count = e->counts[i / e->columns];
            put_float(w, (count ? e->sums[i] / (double)count : 1) * (double)calls);
        }
    }
    nb_gguf_put_u32(w, all->chunks);
    nb_gguf_put_u32(w, (uint32_t)text.size);
    nb_gguf_put(w, text.data, text.size);
}

/* A tensor [columns, matrices], whose data begin at *offset. Then *offset is that of the next one. */
static void put_tensor(nb_gguf_writer *w, const entry *e, const char *ending, uint64_t columns, uint64_t *offset) {
    char text[NAME_BYTES];
    const uint64_t shape[2] = {columns, e->matrices};
    nb_gguf_put_tensor(w, full_name(e, ending, text, sizeof text), NB_TYPE_F32, 2, shape, *offset);
    *offset = NB_ROUND_UP(*offset + columns * e->matrices * sizeof(float), NB_GGUF_ALIGNMENT);
}

static void put_values(nb_gguf_writer *w, const summary *all, uint32_t chunk_size, nb_text text) {
    nb_gguf_put_key(w, "general.type", NB_VALUE_STRING);
    nb_gguf_put_text(w, nb_text_of("imatrix"));
    nb_gguf_put_key(w, "imatrix.datasets", NB_VALUE_ARRAY);
    nb_gguf_put_u32(w, NB_VALUE_STRING);
    nb_gguf_put_u64(w, 1);
    nb_gguf_put_text(w, text);
    nb_gguf_put_key(w, "imatrix.chunk_count", NB_VALUE_U32);
    nb_gguf_put_u32(w, all->chunks);
    nb_gguf_put_key(w, "imatrix.chunk_size", NB_VALUE_U32);
    nb_gguf_put_u32(w, chunk_size);
}

static void write_gguf(const nb_collector *c, const summary *all, uint32_t chunk_size, nb_text text,
                       nb_gguf_writer *w) {
    nb_gguf_put_start(w, 2 * (uint64_t)all->entries, 4);
    put_values(w, all, chunk_size, text);
    uint64_t offset = 0;
    for (const entry *e = c->entries; e < c->entries + c->n_entries; e++)
        if (most_counted(e)) {
            put_tensor(w, e, ".in_sum2", e->columns, &offset);
            put_tensor(w, e, ".counts", 1, &offset);
        }
    nb_gguf_put_padding(w);
    for (const entry *e = c->entries; e < c->entries + c->n_entries; e++) {
        if (!most_counted(e))
            continue;
        for (uint64_t i = 0; i < columns_of(e); i++)
            put_float(w, e->sums[i]);
        nb_gguf_put_padding(w);
        for (uint32_t i = 0; i < e->matrices; i++)
            put_float(w, (double)e->counts[i]);
        nb_gguf_put_padding(w);
    }
}

int32_t nb_collector_write(const nb_collector *c, uint32_t format, uint32_t chunk_size, const char *text,
                           size_t text_bytes, uint8_t *out, size_t capacity, nb_error *err) {
    if (format > NB_IMATRIX_GGUF || !chunk_size || text_bytes > NB_GGUF_MAX_NAME)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "an importance matrix cannot have the format %u, windows of %u tokens and a text whose name has "
                       "%z bytes; take format 0 or 1, windows of 1 token or more, and a name of at most 65535 bytes",
                       format, chunk_size, text_bytes);
    summary all;
    NB_TRY(summarize(c, chunk_size, &all, err));
    nb_gguf_writer w = {.out = out, .capacity = capacity};
    (format == NB_IMATRIX_GGUF ? write_gguf : write_dat)(c, &all, chunk_size, (nb_text){text, text_bytes}, &w);
    if (w.size >= INT32_MAX)
        return NB_FAIL(err, NB_ERR_MEMORY, "the importance matrix is larger than 2 GB");
    return (int32_t)w.size;
}
