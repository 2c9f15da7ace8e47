#include "checkpoint.h"

#include "../base/cursor.h"
#include "../base/memory.h"

void nb_checkpoint_free(nb_checkpoint *c) {
    nb_free(c->header);
    nb_free(c->values);
    nb_free(c->tensors);
    *c = (nb_checkpoint){0};
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

const nb_value *nb_checkpoint_find(const nb_checkpoint *c, const char *key) {
    nb_text wanted = nb_text_of(key);
    for (uint64_t i = 0; i < c->n_values; i++)
        if (nb_text_equal(nb_checkpoint_key(c, &c->values[i]), wanted))
            return &c->values[i];
    return NULL;
}

const nb_tensor_info *nb_checkpoint_find_tensor(const nb_checkpoint *c, const char *name) {
    nb_text wanted = nb_text_of(name);
    for (uint64_t i = 0; i < c->n_tensors; i++)
        if (nb_text_equal(nb_checkpoint_tensor_name(c, &c->tensors[i]), wanted))
            return &c->tensors[i];
    return NULL;
}

size_t nb_value_bytes(uint32_t type) {
    switch (type) {
    case NB_VALUE_U8: case NB_VALUE_I8: case NB_VALUE_BOOL: return 1;
    case NB_VALUE_U16: case NB_VALUE_I16: return 2;
    case NB_VALUE_U32: case NB_VALUE_I32: case NB_VALUE_F32: return 4;
    case NB_VALUE_U64: case NB_VALUE_I64: case NB_VALUE_F64: return 8;
    default: return 0;
    }
}

static double number_at(const nb_checkpoint *c, uint32_t type, uint64_t at) {
    nb_cursor in = nb_cursor_over(c->header, c->header_size, (size_t)at);
    switch (type) {
    case NB_VALUE_U8: case NB_VALUE_BOOL: return nb_cursor_u8(&in);
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

double nb_checkpoint_number(const nb_checkpoint *c, const char *key, double fallback) {
    const nb_value *v = nb_checkpoint_find(c, key);
    return v && nb_value_bytes(v->type) ? number_at(c, v->type, v->at) : fallback;
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
