#include "checkpoint.h"

#include "../base/cursor.h"
#include "../base/memory.h"
#include "../base/sort.h"

void nb_checkpoint_free(nb_checkpoint *c) {
    nb_free(c->header);
    nb_free(c->values);
    nb_free(c->tensors);
    *c = (nb_checkpoint){0};
}

int32_t nb_checkpoint_keep_header(nb_checkpoint *c, const uint8_t *bytes, size_t size, nb_error *err) {
    c->header = nb_alloc(size);
    c->header_size = size;
    if (!c->header)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the file's header (%z bytes)", size);
    memcpy(c->header, bytes, size);
    return NB_OK;
}

static nb_text text_at(const nb_checkpoint *c, uint64_t at, uint64_t size) {
    return (nb_text){(const char *)c->header + at, (size_t)size};
}

nb_text nb_checkpoint_key(const nb_checkpoint *c, const nb_value *v) {
    return text_at(c, v->key_at, v->key_size);
}

nb_text nb_checkpoint_tensor_name(const nb_checkpoint *c, const nb_tensor_info *t) {
    return text_at(c, t->name_at, t->name_size);
}

static int compare_names(const void *table, uint32_t a, uint32_t b) {
    const nb_checkpoint *c = table;
    nb_text x = nb_checkpoint_tensor_name(c, &c->tensors[a]), y = nb_checkpoint_tensor_name(c, &c->tensors[b]);
    return x.size != y.size ? (x.size < y.size ? -1 : 1) : nb_compare(x.data, y.data, x.size);
}

static int compare_places(const void *table, uint32_t a, uint32_t b) {
    const nb_tensor_info *x = &((const nb_checkpoint *)table)->tensors[a],
                         *y = &((const nb_checkpoint *)table)->tensors[b];
    if (x->file != y->file)
        return x->file < y->file ? -1 : 1;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : 0;
}

int32_t nb_checkpoint_sort(nb_checkpoint *c, nb_error *err) {
    if (!c->n_tensors)
        return NB_OK;
    uint32_t n = (uint32_t)c->n_tensors, *order = nb_alloc_items(n, sizeof *order);
    nb_tensor_info *sorted = nb_alloc_items(n, sizeof *sorted);
    int32_t code = NB_OK;
    if (!order || !sorted) {
        nb_free(order);
        nb_free(sorted);
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u tensors", n);
    }
    nb_sort(order, n, compare_names, c);
    for (uint32_t i = 1; i < n && code == NB_OK; i++)
        if (compare_names(c, order[i - 1], order[i]) == 0)
            code = NB_FAIL(err, NB_ERR_FORMAT,
                           "tensor %t is there twice: the files do not belong together, or are damaged",
                           nb_checkpoint_tensor_name(c, &c->tensors[order[i]]));
    nb_sort(order, n, compare_places, c);
    for (uint32_t i = 0; i < n; i++) {
        sorted[i] = c->tensors[order[i]];
        const nb_tensor_info *before = i ? &sorted[i - 1] : NULL;
        if (code == NB_OK && before && before->file == sorted[i].file && before->at + before->bytes > sorted[i].at)
            code =
                NB_FAIL(err, NB_ERR_FORMAT,
                        "the data of tensors %t and %t overlap at byte %l: the file is damaged; download it again",
                        nb_checkpoint_tensor_name(c, before), nb_checkpoint_tensor_name(c, &sorted[i]), sorted[i].at);
    }
    nb_free(order);
    nb_free(c->tensors);
    c->tensors = sorted;
    c->tensors_capacity = n;
    return code;
}

const nb_value *nb_checkpoint_find(const nb_checkpoint *c, const char *key) {
    nb_text wanted = nb_text_of(key);
    for (uint64_t i = 0; i < c->n_values; i++)
        if (nb_text_equal(nb_checkpoint_key(c, &c->values[i]), wanted))
            return &c->values[i];
    return NULL;
}

const nb_tensor_info *nb_checkpoint_find_named(const nb_checkpoint *c, nb_text name) {
    for (uint64_t i = 0; i < c->n_tensors; i++)
        if (nb_text_equal(nb_checkpoint_tensor_name(c, &c->tensors[i]), name))
            return &c->tensors[i];
    return NULL;
}

const nb_tensor_info *nb_checkpoint_find_tensor(const nb_checkpoint *c, const char *name) {
    return nb_checkpoint_find_named(c, nb_text_of(name));
}

size_t nb_value_bytes(uint32_t type) {
    switch (type) {
    case NB_VALUE_U8:
    case NB_VALUE_I8:
    case NB_VALUE_BOOL: return 1;
    case NB_VALUE_U16:
    case NB_VALUE_I16: return 2;
    case NB_VALUE_U32:
    case NB_VALUE_I32:
    case NB_VALUE_F32: return 4;
    case NB_VALUE_U64:
    case NB_VALUE_I64:
    case NB_VALUE_F64: return 8;
    default: return 0;
    }
}

static double number_at(const nb_checkpoint *c, uint32_t type, uint64_t at) {
    nb_cursor in = nb_cursor_over(c->header, c->header_size, (size_t)at);
    switch (type) {
    case NB_VALUE_U8:
    case NB_VALUE_BOOL: return nb_cursor_u8(&in);
    case NB_VALUE_I8: return (int8_t)nb_cursor_u8(&in);
    case NB_VALUE_U16: return nb_cursor_u16(&in);
    case NB_VALUE_I16: return (int16_t)nb_cursor_u16(&in);
    case NB_VALUE_U32: return nb_cursor_u32(&in);
    case NB_VALUE_I32: return (int32_t)nb_cursor_u32(&in);
    case NB_VALUE_F32: return nb_cursor_f32(&in);
    case NB_VALUE_U64: return (double)nb_cursor_u64(&in);
    case NB_VALUE_I64: return (double)(int64_t)nb_cursor_u64(&in);
    case NB_VALUE_F64: return nb_cursor_f64(&in);
    default: return 0;
    }
}

nb_text nb_checkpoint_text_of(const nb_checkpoint *c, const nb_value *v) {
    return text_at(c, v->at, v->size);
}

double nb_checkpoint_number_of(const nb_checkpoint *c, const nb_value *v) {
    return number_at(c, v->type, v->at);
}

double nb_checkpoint_number(const nb_checkpoint *c, const char *key, double fallback) {
    const nb_value *v = nb_checkpoint_find(c, key);
    return v && nb_value_bytes(v->type) ? nb_checkpoint_number_of(c, v) : fallback;
}

static bool is_within(nb_limits range, double x) {
    return x >= range.least && x <= range.most; /* false for NaN */
}

int32_t nb_checkpoint_read(const nb_checkpoint *c, const char *key, nb_limits range, double *value, nb_error *err) {
    const nb_value *v = nb_checkpoint_find(c, key);
    if (!v)
        return 0;
    if (!nb_value_bytes(v->type))
        return NB_FAIL(err, NB_ERR_FORMAT, "%s is not a number; the file is broken", key);
    double x = nb_checkpoint_number_of(c, v);
    if (!is_within(range, x))
        return NB_FAIL(err, NB_ERR_FORMAT, "%s is out of range: it is %g, and should be %g to %g; the file is broken",
                       key, x, range.least, range.most);
    *value = x;
    return 1;
}

int32_t nb_checkpoint_check_items(const nb_checkpoint *c, const nb_value *array, nb_limits range, nb_error *err) {
    if (array->type != NB_VALUE_ARRAY || !nb_value_bytes(array->item_type))
        return NB_FAIL(err, NB_ERR_FORMAT, "%t is not a list of numbers; the file is broken",
                       nb_checkpoint_key(c, array));
    for (uint64_t i = 0; i < array->count; i++) {
        double x = nb_checkpoint_item(c, array, i);
        if (!is_within(range, x))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "%t is out of range: number %l of it is %g, and should be %g to %g; the file is broken",
                           nb_checkpoint_key(c, array), i, x, range.least, range.most);
    }
    return NB_OK;
}

nb_text nb_checkpoint_string(const nb_checkpoint *c, const char *key) {
    const nb_value *v = nb_checkpoint_find(c, key);
    return v && v->type == NB_VALUE_STRING ? text_at(c, v->at, v->size) : (nb_text){0};
}

double nb_checkpoint_item(const nb_checkpoint *c, const nb_value *array, uint64_t i) {
    return number_at(c, array->item_type, array->at + i * nb_value_bytes(array->item_type));
}

nb_text nb_checkpoint_next_string(const nb_checkpoint *c, uint64_t *at) {
    nb_cursor in = nb_cursor_over(c->header, c->header_size, (size_t)*at);
    uint64_t size = nb_cursor_u64(&in);
    const uint8_t *data = nb_cursor_bytes(&in, size);
    *at = in.at;
    return (nb_text){(const char *)data, data ? (size_t)size : 0};
}

int32_t nb_checkpoint_refuse_companion(const nb_checkpoint *c, nb_error *err) {
    /* gguf-py's names (GGUFType); older projectors have only an architecture of their own */
    nb_text type = nb_checkpoint_string(c, "general.type");
    if (nb_text_is(type, "imatrix"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the file is an importance matrix, not a model: it is for quantizing one (--imatrix)");
    if (nb_text_is(type, "adapter"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the file is an adapter (LoRA), not a model: load the model, and give it this file (adapters, "
                       "--adapter)");
    if (nb_text_is(type, "mmproj") || nb_text_is(nb_checkpoint_string(c, "general.architecture"), "clip"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the file is a projector of images or sounds (mmproj), not a model: load the model that it "
                       "belongs to; nibble runs only the text part of that");
    return NB_OK;
}
