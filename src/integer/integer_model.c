/* Reads the GGUF of an integer model. All numbers are checked here, so that later no sum overflows and no index is out
 * of bounds. */
#include "integer_model.h"

#include "../base/cursor.h"
#include "../base/memory.h"
#include "../base/writer.h"
#include "../formats/gguf.h"
#include "../types/types.h"

#define DAMAGED "the file is damaged; make it again"

typedef struct reader {
    const nb_checkpoint *c;
    const uint8_t *file;
    nb_error *err;
} reader;

/* Reads the value "integer.NAME", of the type U32. */
static int32_t read_number(const reader *r, const char *name, uint32_t least, uint32_t most, uint32_t *out) {
    char key[64];
    nb_writer w = nb_writer_over(key, sizeof key);
    nb_write(&w, "integer.%s", name);
    const nb_value *v = nb_checkpoint_find(r->c, key);
    if (!v || v->type != NB_VALUE_U32)
        return NB_FAIL(r->err, NB_ERR_FORMAT, "the file has no value %s of the type U32: " DAMAGED, key);
    nb_cursor in = nb_cursor_over(r->file, r->c->header_size, (size_t)v->at);
    *out = nb_cursor_u32(&in);
    if (in.is_short || *out < least || *out > most)
        return NB_FAIL(r->err, NB_ERR_FORMAT, "%s is %u, not %u to %u: " DAMAGED, key, *out, least, most);
    return NB_OK;
}

/* Finds the data of a tensor, which must have this type and the shape [rows, columns]. */
static int32_t find(const reader *r, const char *name, uint32_t type, uint64_t columns, uint64_t rows,
                    const uint8_t **out) {
    const nb_tensor_info *t = nb_checkpoint_find_tensor(r->c, name);
    if (!t)
        return NB_FAIL(r->err, NB_ERR_FORMAT, "tensor %s is missing: " DAMAGED, name);
    if (t->type != type || t->shape[0] != columns || t->shape[1] != rows || t->shape[2] != 1 || t->shape[3] != 1)
        return NB_FAIL(r->err, NB_ERR_FORMAT,
                       "tensor %s is not of the type and of the size [%l, %l] that it must be: " DAMAGED, name, rows,
                       columns);
    if (type == NB_TYPE_I32 && t->at % sizeof(int32_t))
        return NB_FAIL(r->err, NB_ERR_FORMAT, "tensor %s begins at byte %l, not at a multiple of 4: " DAMAGED, name,
                       t->at);
    *out = r->file + t->at;
    return NB_OK;
}

/* Reads the tensor NAME.SUFFIX: n numbers, and then the shift that they share. */
static int32_t read_shifted(const reader *r, const char *name, const char *suffix, uint32_t n, int32_t least,
                            const int32_t **numbers, int32_t *shift) {
    char full[128];
    nb_writer w = nb_writer_over(full, sizeof full);
    nb_write(&w, "%s.%s", name, suffix);
    const uint8_t *at;
    NB_TRY(find(r, full, NB_TYPE_I32, (uint64_t)n + 1, 1, &at));
    *numbers = (const int32_t *)(const void *)at;
    *shift = (*numbers)[n];
    if (*shift < 0 || *shift > 62)
        return NB_FAIL(r->err, NB_ERR_FORMAT, "tensor %s has the shift %d, not 0 to 62: " DAMAGED, full, *shift);
    for (uint32_t i = 0; i < n; i++)
        if ((*numbers)[i] < least)
            return NB_FAIL(r->err, NB_ERR_FORMAT, "number %u of tensor %s is %d, less than %d: " DAMAGED, i, full,
                           (*numbers)[i], least);
    return NB_OK;
}

static int32_t read_matrix(const reader *r, const char *name, uint32_t rows, uint32_t columns, nb_integer_matrix *out) {
    char full[128];
    nb_writer w = nb_writer_over(full, sizeof full);
    nb_write(&w, "%s.weight", name);
    const uint8_t *at;
    NB_TRY(find(r, full, NB_TYPE_I8, columns, rows, &at));
    *out = (nb_integer_matrix){.codes = (const int8_t *)at, .rows = rows, .columns = columns};
    return read_shifted(r, name, "multipliers", rows, 1, &out->multipliers, &out->shift);
}

static int32_t read_gain(const reader *r, const char *name, uint32_t n, nb_integer_gain *out) {
    return read_shifted(r, name, "scales", n, -INT32_MAX, &out->numbers, &out->shift);
}

static const char *layer_name(char *out, size_t capacity, uint32_t layer, const char *name) {
    nb_writer w = nb_writer_over(out, capacity);
    nb_write(&w, "blk.%u.%s", layer, name);
    return out;
}

static int32_t read_layer(const reader *r, const nb_integer_model *m, uint32_t i, nb_integer_layer *out) {
    uint32_t q_width = m->heads * m->head_size, kv_width = m->kv_heads * m->head_size;
    const struct {
        const char *name;
        uint32_t rows, columns;
        nb_integer_matrix *to;
    } matrices[] = {
        {"attn_q", q_width, m->width, &out->q},
        {"attn_k", kv_width, m->width, &out->k},
        {"attn_v", kv_width, m->width, &out->v},
        {"attn_output", m->width, q_width, &out->o},
        {"ffn_gate", m->feed_forward, m->width, &out->gate},
        {"ffn_up", m->feed_forward, m->width, &out->up},
        {"ffn_down", m->width, m->feed_forward, &out->down},
    };
    char name[64];
    for (size_t k = 0; k < sizeof matrices / sizeof *matrices; k++)
        NB_TRY(read_matrix(r, layer_name(name, sizeof name, i, matrices[k].name), matrices[k].rows, matrices[k].columns,
                           matrices[k].to));
    NB_TRY(read_gain(r, layer_name(name, sizeof name, i, "attn_norm"), m->width, &out->attn_norm));
    return read_gain(r, layer_name(name, sizeof name, i, "ffn_norm"), m->width, &out->ffn_norm);
}

/* A sum of n products is below 2^31. (For codes of more bits nb_wide_levels ensures that.) */
_Static_assert((uint64_t)128 * NB_LEVELS * NB_INTEGER_MOST_WIDTH < INT32_MAX, "sums fit 32 bits");

static int32_t read_shape(const reader *r, nb_integer_model *m) {
    uint32_t version, exponent;
    NB_TRY(read_number(r, "version", 1, 1, &version));
    NB_TRY(read_number(r, "vocabulary", 1, 1 << 24, &m->vocabulary));
    NB_TRY(read_number(r, "width", 1, NB_INTEGER_MOST_WIDTH, &m->width));
    NB_TRY(read_number(r, "layers", 1, 1 << 10, &m->layers));
    NB_TRY(read_number(r, "feed_forward", 1, NB_INTEGER_MOST_WIDTH, &m->feed_forward));
    NB_TRY(read_number(r, "heads", 1, 1 << 10, &m->heads));
    NB_TRY(read_number(r, "kv_heads", 1, m->heads, &m->kv_heads));
    NB_TRY(read_number(r, "head_size", 2, NB_INTEGER_MOST_HEAD, &m->head_size));
    NB_TRY(read_number(r, "context", 1, NB_INTEGER_MOST_CONTEXT, &m->context));
    NB_TRY(read_number(r, "epsilon", 0, (1 << 20) - 1, &m->epsilon));
    NB_TRY(read_number(r, "score.multiplier", 1u << 30, INT32_MAX, &m->score.m));
    NB_TRY(read_number(r, "score.shift", 0, 62, &exponent));
    m->score.e = -(int32_t)exponent;
    if (m->heads % m->kv_heads || m->head_size % 2 || m->heads * m->head_size > NB_INTEGER_MOST_WIDTH)
        return NB_FAIL(r->err, NB_ERR_FORMAT,
                       "%u heads of %u numbers and %u of keys and values do not fit together: " DAMAGED, m->heads,
                       m->head_size, m->kv_heads);
    return NB_OK;
}

static int32_t read_model(const reader *r, nb_integer_model *m) {
    NB_TRY(read_shape(r, m));
    const uint8_t *steps;
    NB_TRY(find(r, "rope.steps", NB_TYPE_I32, m->head_size / 2, 1, &steps));
    m->steps = (const uint32_t *)(const void *)steps;
    NB_TRY(read_matrix(r, "token_embd", m->vocabulary, m->width, &m->embedding));
    m->output = m->embedding;
    if (nb_checkpoint_find_tensor(r->c, "output.weight"))
        NB_TRY(read_matrix(r, "output", m->vocabulary, m->width, &m->output));
    NB_TRY(read_gain(r, "output_norm", m->width, &m->output_norm));
    m->layer = nb_alloc_items(m->layers, sizeof *m->layer);
    if (!m->layer)
        return NB_FAIL(r->err, NB_ERR_MEMORY, "no memory for %u layers", m->layers);
    for (uint32_t i = 0; i < m->layers; i++)
        NB_TRY(read_layer(r, m, i, &m->layer[i]));
    return NB_OK;
}

static int32_t open_file(nb_integer_model *m, const uint8_t *file, size_t size, nb_error *err) {
    nb_checkpoint c = {0};
    nb_gguf g = {.file_bytes = size};
    int32_t code = nb_gguf_parse(&g, &c, file, size, err);
    if (code == NB_GGUF_MORE)
        code = NB_FAIL(err, NB_ERR_TRUNCATED, "the file ends within its header: fetch it again");
    /* Values and tensors point into the file, which belongs to the caller. */
    // NOLINTNEXTLINE(performance-no-int-to-ptr): a cast without const; nothing is written there
    c.header = (uint8_t *)(uintptr_t)file;
    c.header_size = g.at;
    if (code == NB_OK && !nb_text_is(nb_checkpoint_string(&c, "general.architecture"), NB_INTEGER_ARCHITECTURE))
        code = NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "this is no model of integers: `nibble quantize --method integer` makes one");
    reader r = {&c, file, err};
    if (code == NB_OK)
        code = read_model(&r, m);
    c.header = NULL;
    nb_checkpoint_free(&c);
    return code;
}

nb_integer_model *nb_integer_model_new(const uint8_t *file, size_t size, nb_error *err) {
    if ((uintptr_t)file % sizeof(int32_t))
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "the address of the file's bytes must be a multiple of 4");
    nb_integer_model *m = nb_alloc(sizeof *m);
    if (!m)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a model");
    *m = (nb_integer_model){0};
    nb_integer_sines_fill(&m->sines);
    if (open_file(m, file, size, err) < 0) {
        nb_integer_model_free(m);
        return NULL;
    }
    return m;
}

void nb_integer_model_free(nb_integer_model *m) {
    if (!m)
        return;
    nb_free(m->layer);
    nb_free(m);
}

int32_t nb_integer_model_vocabulary(const nb_integer_model *m) {
    return (int32_t)m->vocabulary;
}

int32_t nb_integer_model_context(const nb_integer_model *m) {
    return (int32_t)m->context;
}
