#include "edit.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/formats/gguf.h"
#include "../../src/formats/gguf_writer.h"
#include "../../src/types/types.h"
#include "check.h"

typedef struct editor {
    const uint8_t *file;
    nb_checkpoint c;
    const test_edit *edits;
    size_t n_edits;
    nb_gguf_writer out;
    uint64_t n_values, n_tensors, data_at; /* of the new file; data_at: of the next tensor, from the data's start */
} editor;

static void put_number(editor *e, uint32_t type, double x) {
    float single = (float)x;
    int64_t whole = x >= -0x1p63 && x < 0x1p63 ? (int64_t)x : 0;
    if (type == NB_VALUE_F32)
        nb_gguf_put(&e->out, &single, sizeof single);
    else if (type == NB_VALUE_F64)
        nb_gguf_put(&e->out, &x, sizeof x);
    else
        nb_gguf_put(&e->out, &whole, nb_value_bytes(type));
}

static bool is_value(const test_edit *edit) {
    return edit->what <= TEST_DROP;
}

static bool adds_tensor(const test_edit *edit) {
    return edit->what == TEST_COPY || edit->what == TEST_PART || edit->what == TEST_ADD;
}

static const test_edit *find(const editor *e, nb_text name, bool value) {
    for (size_t i = 0; i < e->n_edits; i++)
        if (is_value(&e->edits[i]) == value && !adds_tensor(&e->edits[i]) && nb_text_is(name, e->edits[i].key))
            return &e->edits[i];
    return NULL;
}

static void put_new_value(editor *e, const test_edit *edit) {
    if (edit->what == TEST_DROP)
        return;
    e->n_values++;
    nb_gguf_put_key(&e->out, edit->key,
                    edit->what == TEST_SET_TEXT    ? NB_VALUE_STRING
                    : edit->what == TEST_SET_ARRAY ? NB_VALUE_ARRAY
                                                   : edit->type);
    if (edit->what == TEST_SET_TEXT) {
        nb_gguf_put_text(&e->out, nb_text_of(edit->text));
        return;
    }
    if (edit->what == TEST_SET) {
        put_number(e, edit->type, edit->number);
        return;
    }
    nb_gguf_put_u32(&e->out, edit->type);
    nb_gguf_put_u64(&e->out, edit->n);
    for (uint64_t i = 0; i < edit->n; i++)
        put_number(e, edit->type, edit->items[i]);
}

static void put_values(editor *e) {
    for (uint64_t i = 0; i < e->c.n_values; i++) {
        const nb_value *v = &e->c.values[i];
        if (find(e, nb_checkpoint_key(&e->c, v), true))
            continue;
        e->n_values++;
        nb_gguf_put_value(&e->out, &e->c, v);
    }
    for (size_t i = 0; i < e->n_edits; i++)
        if (is_value(&e->edits[i])) {
            CHECK(e->edits[i].what != TEST_DROP || nb_checkpoint_find(&e->c, e->edits[i].key), "there is no %s",
                  e->edits[i].key);
            put_new_value(e, &e->edits[i]);
        }
}

static bool is_reshaped(const test_edit *edit) {
    return edit && (edit->what == TEST_RESHAPE || edit->what == TEST_ADD);
}

/* The type of values that is as large as the tensor type's numbers. Numbers of F16 are given as bits. */
static uint32_t value_type_of(uint32_t type) {
    return type == NB_TYPE_F32 ? NB_VALUE_F32
         : type == NB_TYPE_I32 ? NB_VALUE_I32
         : type == NB_TYPE_F16 ? NB_VALUE_U16
                               : NB_VALUE_U8;
}

static uint64_t bytes_of(const nb_tensor_info *t, const test_edit *edit) {
    return !is_reshaped(edit) ? t->bytes : edit->n * nb_value_bytes(value_type_of(edit->type));
}

static void put_info(editor *e, const nb_tensor_info *t, nb_text name, const test_edit *edit) {
    e->n_tensors++;
    if (is_reshaped(edit))
        nb_gguf_put_tensor(&e->out, name, edit->type, 1, &edit->n, e->data_at);
    else
        nb_gguf_put_tensor(&e->out, name, t->type, t->n_dimensions, t->shape, e->data_at);
    e->data_at = NB_ROUND_UP(e->data_at + bytes_of(t, edit), NB_GGUF_ALIGNMENT);
}

static void put_data(editor *e, const nb_tensor_info *t, const test_edit *edit) {
    nb_gguf_put_padding(&e->out);
    if (!is_reshaped(edit))
        nb_gguf_put(&e->out, e->file + t->at, (size_t)t->bytes);
    for (uint64_t i = 0; is_reshaped(edit) && i < edit->n; i++)
        put_number(e, value_type_of(edit->type), i < sizeof edit->items / sizeof *edit->items ? edit->items[i] : 0);
}

static nb_tensor_info part_of(const nb_tensor_info *t, uint64_t index) {
    nb_tensor_info part = *t;
    part.n_dimensions = 2;
    part.bytes /= t->shape[2];
    part.at += index * part.bytes;
    return part;
}

/* Tensors' infos, or their data, which lie in the same order. */
static void put_tensors(editor *e, bool data) {
    for (uint64_t i = 0; i < e->c.n_tensors; i++) {
        const nb_tensor_info *t = &e->c.tensors[i];
        nb_text name = nb_checkpoint_tensor_name(&e->c, t);
        const test_edit *edit = find(e, name, false);
        if (edit && edit->what == TEST_OMIT)
            continue;
        if (data)
            put_data(e, t, edit);
        else
            put_info(e, t, edit && edit->what == TEST_RENAME ? nb_text_of(edit->text) : name, edit);
    }
    for (size_t i = 0; i < e->n_edits; i++) {
        const test_edit *edit = &e->edits[i], *shape = edit->what == TEST_ADD ? edit : NULL;
        if (is_value(edit))
            continue;
        const nb_tensor_info *t = nb_checkpoint_find_tensor(&e->c, edit->key);
        if ((!shape && !CHECK(t, "there is no tensor %s", edit->key)) || !adds_tensor(edit))
            continue;
        nb_tensor_info added = shape                   ? (nb_tensor_info){0}
                             : edit->what == TEST_PART ? part_of(t, (uint64_t)edit->number)
                                                       : *t;
        if (data)
            put_data(e, &added, shape);
        else
            put_info(e, &added, nb_text_of(shape ? edit->key : edit->text), shape);
    }
}

static void put_all(editor *e) {
    uint64_t values = e->n_values, tensors = e->n_tensors; /* counted by the first pass */
    e->n_values = e->n_tensors = e->data_at = 0;
    nb_gguf_put_start(&e->out, tensors, values);
    put_values(e);
    put_tensors(e, false);
    nb_gguf_put_padding(&e->out);
    put_tensors(e, true);
}

uint8_t *test_edit_gguf(const uint8_t *file, size_t size, const test_edit *edits, size_t n_edits, size_t *out_size) {
    editor e = {.file = file, .edits = edits, .n_edits = n_edits};
    nb_gguf g = {.file_bytes = size};
    nb_error err;
    *out_size = 0;
    if (!CHECK(nb_gguf_parse(&g, &e.c, file, size, &err) == NB_GGUF_DONE, "%s", err.message) ||
        nb_checkpoint_keep_header(&e.c, file, g.at, &err) < 0)
        return NULL;
    put_all(&e);
    e.out = (nb_gguf_writer){.out = nb_alloc(e.out.size), .capacity = e.out.size};
    put_all(&e);
    *out_size = e.out.size;
    nb_checkpoint_free(&e.c);
    return e.out.out;
}
