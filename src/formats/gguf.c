#include "gguf.h"

#include "../base/cursor.h"
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/sort.h"
#include "../base/writer.h"
#include "../types/traits.h"
#include "recognize.h"

enum stage { AT_START, BETWEEN_ITEMS, IN_ARRAY, FINISHED };

enum {
    MIN_VALUE_BYTES = 14, /* key length, a one-byte key, a type, a one-byte payload */
    MIN_TENSOR_BYTES = 33 /* name length, a one-byte name, the number of dimensions, one of them, type, offset */
};

#define DAMAGED "the file is damaged or not really GGUF; download or convert it again"

/* ---- what every item needs -------------------------------------------------------------------------------- */

/* The current item is not complete: more bytes will come, unless this is the whole file. */
static int32_t need_more(const nb_gguf *g, size_t size, nb_error *err) {
    if (g->file_bytes && size >= g->file_bytes)
        return NB_FAIL(err, NB_ERR_TRUNCATED,
                       "the file ends at byte %l, inside its header (the item at byte %z is not whole); the download "
                       "or copy is incomplete: fetch it again",
                       g->file_bytes, g->at);
    return NB_GGUF_MORE;
}

/* Refuses `count` items of at least `item_bytes` each, from offset `at` on, if they cannot fit the header. */
static int32_t check_room(const nb_gguf *g, uint64_t at, uint64_t count, uint64_t item_bytes, const char *what,
                          nb_error *err) {
    const char *unit = item_bytes == 1 ? "bytes" : "items";
    uint64_t bytes, end;
    bool fits = nb_multiply(count, item_bytes, &bytes) && nb_add(at, bytes, &end);
    if (g->file_bytes && (!fits || end > g->file_bytes))
        return NB_FAIL(err, NB_ERR_TRUNCATED,
                       "%s at byte %l announces %l %s, past the end of the file (%l bytes); the download is incomplete "
                       "or the file is damaged: fetch it again",
                       what, at, count, unit, g->file_bytes);
    if (!fits || end > NB_GGUF_MAX_HEADER)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "%s at byte %l announces %l %s, but a header may have %u bytes here at most: " DAMAGED, what, at,
                       count, unit, (uint32_t)NB_GGUF_MAX_HEADER);
    return NB_OK;
}

/* A string: u64 length, then its bytes. in->is_short is set if it is not complete, as with any read. */
static int32_t read_string(const nb_gguf *g, nb_cursor *in, const char *what, uint64_t *at, uint64_t *size,
                           nb_error *err) {
    *size = nb_cursor_u64(in);
    *at = in->at;
    if (in->is_short)
        return NB_OK;
    NB_TRY(check_room(g, *at, *size, 1, what, err));
    nb_cursor_bytes(in, *size);
    return NB_OK;
}

/* A key or a tensor's name. */
static int32_t read_name(const nb_gguf *g, nb_cursor *in, const char *what, uint64_t *at, uint64_t *size,
                         nb_error *err) {
    NB_TRY(read_string(g, in, what, at, size, err));
    if (*at > g->at && (*size == 0 || *size > NB_GGUF_MAX_NAME)) /* the length itself was complete */
        return NB_FAIL(err, NB_ERR_FORMAT, "%s at byte %z is %l bytes long, not 1 to %u: " DAMAGED, what, g->at, *size,
                       (uint32_t)NB_GGUF_MAX_NAME);
    return NB_OK;
}

/* ---- the start: magic, version, counts -------------------------------------------------------------------- */

static int32_t refuse_magic(const uint8_t *data, size_t size, nb_error *err) {
    NB_TRY(nb_refuse_others(data, size, NB_EXPECT_WEIGHTS, err));
    if (nb_is_safetensors(data, size))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "this is a safetensors file: its weights need config.json and tokenizer.json, so load the whole "
                       "folder (or all of its files)");
    uint8_t head[4] = {0};
    memcpy(head, data, NB_MIN(size, sizeof head));
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "not a GGUF file: it begins with %x %x %x %x (hex), not \"GGUF\"; pass a model in GGUF format",
                   head[0], head[1], head[2], head[3]);
}

static int32_t check_version(uint32_t version, nb_error *err) {
    if (version == 2 || version == 3)
        return NB_OK;
    if (version == 1)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "GGUF version 1 (at byte 4), of August 2023, is not supported; get a newer conversion of the "
                       "model (version 2 or 3)");
    if (version && (version & 0xffff) == 0)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "this is a big-endian GGUF file (at byte 4 the version reads %u); convert the model again for "
                       "little-endian machines",
                       version);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "GGUF version %u (at byte 4) is not known here; versions 2 and 3 are: get a newer nibble, or "
                   "another conversion of the model",
                   version);
}

static int32_t parse_start(nb_gguf *g, nb_checkpoint *c, nb_cursor *in, nb_error *err) {
    nb_text start = {(const char *)in->data, NB_MIN(in->size, 4)};
    if (!nb_text_equal(start, (nb_text){"GGUF", start.size})) {
        bool all = g->file_bytes && in->size >= g->file_bytes;
        return in->size < nb_recognize_bytes(in->data, in->size) && !all ? NB_GGUF_MORE
                                                                         : refuse_magic(in->data, in->size, err);
    }
    nb_cursor_bytes(in, 4);
    c->version = nb_cursor_u32(in);
    if (!in->is_short)
        NB_TRY(check_version(c->version, err));
    g->n_tensors = nb_cursor_u64(in);
    g->n_values = nb_cursor_u64(in);
    if (in->is_short)
        return need_more(g, in->size, err);
    if (g->n_tensors > NB_GGUF_MAX_TENSORS)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the header announces %l tensors (at byte 8), more than the %u that are allowed here: " DAMAGED,
                       g->n_tensors, (uint32_t)NB_GGUF_MAX_TENSORS);
    if (g->n_values > NB_GGUF_MAX_VALUES)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the header announces %l metadata values (at byte 16), more than the %u that are allowed "
                       "here: " DAMAGED,
                       g->n_values, (uint32_t)NB_GGUF_MAX_VALUES);
    NB_TRY(check_room(g, in->at, g->n_values, MIN_VALUE_BYTES, "the list of metadata values", err));
    NB_TRY(check_room(g, in->at + g->n_values * MIN_VALUE_BYTES, g->n_tensors, MIN_TENSOR_BYTES, "the list of tensors",
                      err));
    c->format = "GGUF";
    g->alignment = NB_GGUF_ALIGNMENT;
    g->at = in->at;
    g->stage = BETWEEN_ITEMS;
    return NB_OK;
}

/* ---- metadata values -------------------------------------------------------------------------------------- */

static nb_text text_of(const nb_cursor *in, uint64_t at, uint64_t size) {
    return (nb_text){(const char *)in->data + at, (size_t)size};
}

static int32_t check_bools(const uint8_t *p, uint64_t count, uint64_t at, nb_text key, nb_error *err) {
    for (uint64_t i = 0; i < count; i++)
        if (p[i] > 1)
            return NB_FAIL(err, NB_ERR_FORMAT, "%t: the boolean at byte %l is %u, neither 0 nor 1: " DAMAGED, key,
                           at + i, (uint32_t)p[i]);
    return NB_OK;
}

/* Tensor offsets cannot be checked without it, so it is set as soon as it is read. */
static int32_t set_alignment(nb_gguf *g, const nb_value *v, const uint8_t *payload, nb_error *err) {
    if (v->type != NB_VALUE_U32)
        return NB_FAIL(err, NB_ERR_FORMAT, "general.alignment (at byte %l) has value type %u, not %u (u32): " DAMAGED,
                       v->key_at, v->type, (uint32_t)NB_VALUE_U32);
    uint32_t alignment;
    memcpy(&alignment, payload, sizeof alignment);
    if (alignment == 0 || (alignment & (alignment - 1)) || alignment > NB_GGUF_MAX_ALIGNMENT)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "general.alignment (at byte %l) is %u, not a power of two up to %u: " DAMAGED, v->at, alignment,
                       (uint32_t)NB_GGUF_MAX_ALIGNMENT);
    g->alignment = alignment;
    return NB_OK;
}

static int32_t parse_value(nb_gguf *g, nb_checkpoint *c, nb_cursor *in, nb_error *err) {
    nb_value v = {.count = 1};
    NB_TRY(read_name(g, in, "the key", &v.key_at, &v.key_size, err));
    v.type = nb_cursor_u32(in);
    if (in->is_short)
        return need_more(g, in->size, err);
    nb_text key = text_of(in, v.key_at, v.key_size);
    if (v.type >= NB_VALUE_COUNT)
        return NB_FAIL(err, NB_ERR_FORMAT, "%t: unknown value type %u at byte %z: " DAMAGED, key, v.type, in->at - 4);

    uint64_t item_bytes = nb_value_bytes(v.type);
    v.at = in->at;
    v.size = item_bytes;
    if (v.type == NB_VALUE_STRING) {
        NB_TRY(read_string(g, in, "the string", &v.at, &v.size, err));
        v.count = v.size;
    } else if (v.type == NB_VALUE_ARRAY) {
        v.item_type = nb_cursor_u32(in);
        v.count = nb_cursor_u64(in);
        v.at = in->at;
        if (in->is_short)
            return need_more(g, in->size, err);
        if (v.item_type == NB_VALUE_ARRAY)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "%t: an array of arrays at byte %l is not supported; no known model has one: convert the "
                           "model again",
                           key, v.at - 12);
        if (v.item_type >= NB_VALUE_COUNT)
            return NB_FAIL(err, NB_ERR_FORMAT, "%t: unknown item type %u at byte %l: " DAMAGED, key, v.item_type,
                           v.at - 12);
        bool strings = v.item_type == NB_VALUE_STRING;
        item_bytes = strings ? sizeof(uint64_t) /* at least */ : nb_value_bytes(v.item_type);
        NB_TRY(check_room(g, v.at, v.count, item_bytes, "the array", err));
        v.size = strings ? 0 : v.count * item_bytes;
    }
    const uint8_t *payload = v.type == NB_VALUE_STRING ? NULL : nb_cursor_bytes(in, v.size);
    if (in->is_short)
        return need_more(g, in->size, err);
    if (v.type == NB_VALUE_BOOL || (v.type == NB_VALUE_ARRAY && v.item_type == NB_VALUE_BOOL))
        NB_TRY(check_bools(payload, v.size, v.at, key, err));
    g->own |= nb_text_is(key, "nibble.source");
    if (nb_text_is(key, "general.alignment"))
        NB_TRY(set_alignment(g, &v, payload, err));

    void *values = c->values;
    NB_TRY(nb_grow(&values, &c->values_capacity, c->n_values, sizeof v, "metadata values", err));
    c->values = values;
    c->values[c->n_values++] = v;
    g->at = in->at;
    g->items_left = v.type == NB_VALUE_ARRAY && v.item_type == NB_VALUE_STRING ? v.count : 0;
    g->stage = g->items_left ? IN_ARRAY : BETWEEN_ITEMS;
    return NB_OK;
}

/* The strings of an array. g->at advances with each of them, as a vocabulary may arrive in hundreds of pieces. */
static int32_t parse_strings(nb_gguf *g, nb_checkpoint *c, nb_cursor *in, nb_error *err) {
    for (; g->items_left; g->items_left--) {
        uint64_t at, size;
        NB_TRY(read_string(g, in, "the string", &at, &size, err));
        if (in->is_short)
            return need_more(g, in->size, err);
        g->at = in->at;
    }
    nb_value *v = &c->values[c->n_values - 1];
    v->size = g->at - v->at;
    g->stage = BETWEEN_ITEMS;
    return NB_OK;
}

/* ---- tensors ---------------------------------------------------------------------------------------------- */

/* GGUF type ids that nibble does not read (ggml.h: enum ggml_type): ggml has removed them. NULL: no such type. */
static const char *foreign_type(uint32_t type) {
    static const char *const names[] = {
        [4] = "Q4_2",      [5] = "Q4_3",        [31] = "Q4_0_4_4",   [32] = "Q4_0_4_8",
        [33] = "Q4_0_8_8", [36] = "IQ4_NL_4_4", [37] = "IQ4_NL_4_8", [38] = "IQ4_NL_8_8",
    };
    return type < sizeof names / sizeof *names ? names[type] : NULL;
}

static int32_t refuse_type(uint32_t type, nb_text name, uint64_t at, nb_error *err) {
    char supported[NB_LIST_BYTES];
    nb_writer w = nb_writer_over(supported, sizeof supported);
    for (uint32_t i = 0; i < NB_TYPE_F8_E4M3; i++) /* the first that is not GGUF's */
        if (nb_traits_of(i))
            nb_write(&w, w.length ? ", %s" : "%s", nb_traits_of(i)->name);
    const char *foreign = foreign_type(type);
    if (foreign)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t has type %s (%u, at byte %l), which is not supported; supported: %s. Get the model "
                       "in one of these",
                       name, foreign, type, at, supported);
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "tensor %t has the unknown type %u at byte %l; supported: %s. The file is damaged or newer than "
                   "this nibble",
                   name, type, at, supported);
}

static int32_t parse_tensor(nb_gguf *g, nb_checkpoint *c, nb_cursor *in, nb_error *err) {
    nb_tensor_info t = {.shape = {1, 1, 1, 1}};
    NB_TRY(read_name(g, in, "the tensor name", &t.name_at, &t.name_size, err));
    t.n_dimensions = nb_cursor_u32(in);
    if (in->is_short)
        return need_more(g, in->size, err);
    nb_text name = text_of(in, t.name_at, t.name_size);
    if (t.n_dimensions < 1 || t.n_dimensions > NB_MAX_DIMENSIONS)
        return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t has %u dimensions (at byte %z), not 1 to %u: " DAMAGED, name,
                       t.n_dimensions, in->at - 4, (uint32_t)NB_MAX_DIMENSIONS);
    uint64_t shape_at = in->at;
    for (uint32_t i = 0; i < t.n_dimensions; i++)
        t.shape[i] = nb_cursor_u64(in);
    t.type = nb_cursor_u32(in);
    t.at = nb_cursor_u64(in); /* relative to the data, until that is known */
    if (in->is_short)
        return need_more(g, in->size, err);

    const nb_traits *traits = t.type < NB_TYPE_F8_E4M3 || g->own ? nb_traits_of(t.type) : NULL;
    if (!traits)
        return refuse_type(t.type, name, in->at - 12, err);
    uint64_t weights = 1;
    for (uint32_t i = 0; i < t.n_dimensions; i++)
        if (t.shape[i] == 0 || !nb_multiply(weights, t.shape[i], &weights) || weights > INT64_MAX)
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "tensor %t has the impossible shape [%l, %l, %l, %l] (at byte %l): " DAMAGED, name,
                           t.shape[0], t.shape[1], t.shape[2], t.shape[3], shape_at);
    if (t.shape[0] % traits->block_weights)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t has rows of %l weights (at byte %l), not a multiple of %s's blocks of %u: " DAMAGED,
                       name, t.shape[0], shape_at, traits->name, traits->block_weights);
    uint64_t end;
    if (!nb_multiply(weights / traits->block_weights, traits->block_bytes, &t.bytes) || !nb_add(t.at, t.bytes, &end) ||
        end > INT64_MAX)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t, of shape [%l, %l, %l, %l] at data offset %l (at byte %z), is larger than any "
                       "file: " DAMAGED,
                       name, t.shape[0], t.shape[1], t.shape[2], t.shape[3], t.at, in->at - 8);
    if (t.at % g->alignment)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t has data offset %l (at byte %z), not a multiple of the alignment %l: " DAMAGED, name,
                       t.at, in->at - 8, g->alignment);
    void *tensors = c->tensors;
    NB_TRY(nb_grow(&tensors, &c->tensors_capacity, c->n_tensors, sizeof t, "tensors", err));
    c->tensors = tensors;
    c->tensors[c->n_tensors++] = t;
    g->at = in->at;
    return NB_OK;
}

/* ---- the end: what only the whole header shows ------------------------------------------------------------ */

typedef struct sorting {
    const nb_checkpoint *c;
    const uint8_t *header; /* c->header is not set yet */
} sorting;

static int compare_texts(const uint8_t *header, uint64_t at_a, uint64_t size_a, uint64_t at_b, uint64_t size_b) {
    return size_a != size_b ? (size_a < size_b ? -1 : 1) : nb_compare(header + at_a, header + at_b, (size_t)size_a);
}

static int compare_keys(const void *table, uint32_t a, uint32_t b) {
    const sorting *s = table;
    const nb_value *x = &s->c->values[a], *y = &s->c->values[b];
    return compare_texts(s->header, x->key_at, x->key_size, y->key_at, y->key_size);
}

static int compare_names(const void *table, uint32_t a, uint32_t b) {
    const sorting *s = table;
    const nb_tensor_info *x = &s->c->tensors[a], *y = &s->c->tensors[b];
    return compare_texts(s->header, x->name_at, x->name_size, y->name_at, y->name_size);
}

static int compare_offsets(const void *table, uint32_t a, uint32_t b) {
    const sorting *s = table;
    uint64_t x = s->c->tensors[a].at, y = s->c->tensors[b].at;
    return x != y ? (x < y ? -1 : 1) : 0;
}

/* Finds two items that compare equal; *duplicate is the later one in the file. false: there are none. */
static bool find_duplicate(const sorting *s, nb_compare_items compare, uint32_t *order, uint32_t n,
                           uint32_t *duplicate) {
    nb_sort(order, n, compare, s);
    for (uint32_t i = 1; i < n; i++)
        if (compare(s, order[i - 1], order[i]) == 0) {
            *duplicate = NB_MAX(order[i - 1], order[i]);
            return true;
        }
    return false;
}

static int32_t check_names(const nb_checkpoint *c, const nb_cursor *in, uint32_t *order, nb_error *err) {
    uint32_t duplicate;
    const sorting table = {c, in->data};
    if (find_duplicate(&table, compare_keys, order, (uint32_t)c->n_values, &duplicate)) {
        const nb_value *v = &c->values[duplicate];
        return NB_FAIL(err, NB_ERR_FORMAT, "the key %t is there twice, the second time at byte %l: " DAMAGED,
                       text_of(in, v->key_at, v->key_size), v->key_at);
    }
    if (find_duplicate(&table, compare_names, order, (uint32_t)c->n_tensors, &duplicate)) {
        const nb_tensor_info *t = &c->tensors[duplicate];
        return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t is there twice, the second time at byte %l: " DAMAGED,
                       text_of(in, t->name_at, t->name_size), t->name_at);
    }
    return NB_OK;
}

/* Sorts the tensors by offset, makes the offsets absolute, and refuses tensors that overlap or lie past the end. */
static int32_t place_tensors(nb_gguf *g, nb_checkpoint *c, const nb_cursor *in, uint32_t *order, nb_error *err) {
    if (!c->n_tensors) { /* a vocabulary alone: nothing follows, not even padding */
        c->data_at = c->total_bytes = g->at;
        return NB_OK;
    }
    c->data_at = NB_ROUND_UP(g->at, g->alignment);
    c->total_bytes = c->data_at;
    nb_tensor_info *sorted = nb_alloc_items(c->n_tensors, sizeof *sorted);
    if (!sorted)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l tensors", c->n_tensors);
    nb_sort(order, (uint32_t)c->n_tensors, compare_offsets, &(sorting){c, in->data});
    for (uint32_t i = 0; i < c->n_tensors; i++)
        sorted[i] = c->tensors[order[i]];
    nb_free(c->tensors);
    c->tensors = sorted;
    c->tensors_capacity = c->n_tensors;

    for (uint32_t i = 0; i < c->n_tensors; i++) {
        nb_tensor_info *t = &sorted[i];
        nb_text name = text_of(in, t->name_at, t->name_size);
        t->at += c->data_at; /* fits: both are below 2^63 */
        if (t->at < c->total_bytes)
            return NB_FAIL(err, NB_ERR_FORMAT, "the data of tensors %t and %t overlap at byte %l: " DAMAGED,
                           text_of(in, sorted[i - 1].name_at, sorted[i - 1].name_size), name, t->at);
        c->total_bytes = t->at + t->bytes;
        if (g->file_bytes && c->total_bytes > g->file_bytes)
            return NB_FAIL(err, NB_ERR_TRUNCATED,
                           "the data of tensor %t ends at byte %l, but the file has only %l bytes: the download or "
                           "copy is incomplete; fetch it again",
                           name, c->total_bytes, g->file_bytes);
    }
    return NB_OK;
}

static int32_t parse_end(nb_gguf *g, nb_checkpoint *c, nb_cursor *in, nb_error *err) {
    uint64_t n = NB_MAX(c->n_values, c->n_tensors);
    uint32_t *order = nb_alloc_items(n, sizeof *order);
    if (!order)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the names of %l values and tensors", n);
    int32_t code = check_names(c, in, order, err);
    if (code == NB_OK)
        code = place_tensors(g, c, in, order, err);
    nb_free(order);
    NB_TRY(code);
    g->stage = FINISHED;
    return NB_OK;
}

int32_t nb_gguf_parse(nb_gguf *g, nb_checkpoint *c, const uint8_t *header, size_t size, nb_error *err) {
    while (g->stage != FINISHED) {
        nb_cursor in = nb_cursor_over(header, size, g->at);
        int32_t code;
        if (g->stage == AT_START)
            code = parse_start(g, c, &in, err);
        else if (g->stage == IN_ARRAY)
            code = parse_strings(g, c, &in, err);
        else if (c->n_values < g->n_values)
            code = parse_value(g, c, &in, err);
        else if (c->n_tensors < g->n_tensors)
            code = parse_tensor(g, c, &in, err);
        else
            code = parse_end(g, c, &in, err);
        if (code != NB_OK)
            return code;
    }
    return NB_GGUF_DONE;
}
