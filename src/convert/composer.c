#include "composer.h"

#include "../base/memory.h"
#include "../base/numbers.h"

enum { MOST_BYTES = 1 << 29 }; /* of a header; the largest vocabularies take some 10 MB */

/* Room for n more bytes at the header's end, or NULL. */
static uint8_t *reserve(nb_composer *x, uint64_t n) {
    nb_checkpoint *c = x->c;
    if (x->code < 0)
        return NULL;
    uint64_t needed = c->header_size + n;
    if (needed > x->capacity) {
        uint64_t capacity = NB_MAX(NB_MAX(needed, 2 * x->capacity), 4096);
        uint8_t *larger = n < MOST_BYTES && capacity < MOST_BYTES ? nb_alloc((size_t)capacity) : NULL;
        if (!larger) {
            x->code = NB_FAIL(x->err, NB_ERR_MEMORY, "no memory for %l bytes of names and values", capacity);
            return NULL;
        }
        if (c->header_size)
            memcpy(larger, c->header, c->header_size);
        nb_free(c->header);
        c->header = larger;
        x->capacity = capacity;
    }
    return c->header + c->header_size;
}

static void append(nb_composer *x, const void *bytes, size_t n) {
    uint8_t *to = reserve(x, n);
    if (to && n)
        memcpy(to, bytes, n);
    x->c->header_size += to ? n : 0;
}

static void append_node(nb_composer *x, nb_node string) {
    uint8_t *to = reserve(x, nb_node_raw(string).size);
    x->c->header_size += to ? nb_node_decode(string, (char *)to) : 0;
}

/* Begins a value. Its payload is appended next, and end_value follows. */
static void begin_value(nb_composer *x, const char *key, uint32_t type, uint32_t item_type) {
    nb_checkpoint *c = x->c;
    nb_text name = nb_text_of(key);
    nb_value v = {.key_at = c->header_size, .key_size = name.size, .type = type, .item_type = item_type, .count = 1};
    append(x, name.data, name.size);
    void *values = c->values;
    if (x->code == NB_OK)
        x->code = nb_grow(&values, &c->values_capacity, c->n_values, sizeof v, "metadata values", x->err);
    if (x->code < 0)
        return;
    v.at = c->header_size;
    c->values = values;
    c->values[c->n_values++] = v;
}

static void end_value(nb_composer *x) {
    if (x->code < 0)
        return;
    nb_value *v = &x->c->values[x->c->n_values - 1];
    v->size = x->c->header_size - v->at;
    if (v->type == NB_VALUE_STRING)
        v->count = v->size;
}

static void put_value(nb_composer *x, const char *key, uint32_t type, const void *value, size_t n) {
    begin_value(x, key, type, 0);
    append(x, value, n);
    end_value(x);
}

void nb_compose_number(nb_composer *x, const char *key, double value) {
    if (value >= 0 && value <= UINT32_MAX && value == (double)(uint32_t)value)
        nb_compose_whole(x, key, (uint32_t)value);
    else
        put_value(x, key, NB_VALUE_F64, &value, sizeof value);
}

void nb_compose_whole(nb_composer *x, const char *key, uint32_t value) {
    put_value(x, key, NB_VALUE_U32, &value, sizeof value);
}

void nb_compose_real(nb_composer *x, const char *key, double value) {
    float rounded = (float)value;
    put_value(x, key, NB_VALUE_F32, &rounded, sizeof rounded);
}

void nb_compose_flag(nb_composer *x, const char *key, bool value) {
    uint8_t byte = value;
    put_value(x, key, NB_VALUE_BOOL, &byte, sizeof byte);
}

void nb_compose_string(nb_composer *x, const char *key, nb_text value) {
    begin_value(x, key, NB_VALUE_STRING, 0);
    append(x, value.data, value.size);
    end_value(x);
}

void nb_compose_only_nibble(nb_composer *x, const char *reason) {
    if (!nb_checkpoint_find(x->c, NB_ONLY_NIBBLE))
        nb_compose_string(x, NB_ONLY_NIBBLE, nb_text_of(reason));
}

void nb_compose_node(nb_composer *x, const char *key, nb_node string) {
    begin_value(x, key, NB_VALUE_STRING, 0);
    append_node(x, string);
    end_value(x);
}

void nb_compose_array(nb_composer *x, const char *key, uint32_t item_type) {
    begin_value(x, key, NB_VALUE_ARRAY, item_type);
    if (x->code == NB_OK)
        x->c->values[x->c->n_values - 1].count = 0;
}

static void end_item(nb_composer *x) {
    end_value(x);
    if (x->code == NB_OK)
        x->c->values[x->c->n_values - 1].count++;
}

void nb_compose_f32(nb_composer *x, float item) {
    append(x, &item, sizeof item);
    end_item(x);
}

void nb_compose_u32(nb_composer *x, uint32_t item) {
    append(x, &item, sizeof item);
    end_item(x);
}

void nb_compose_u8(nb_composer *x, uint8_t item) {
    append(x, &item, sizeof item);
    end_item(x);
}

void nb_compose_text(nb_composer *x, nb_text item) {
    uint64_t size = item.size;
    append(x, &size, sizeof size);
    append(x, item.data, item.size);
    end_item(x);
}

void nb_compose_item(nb_composer *x, nb_node first, nb_node second) {
    uint64_t at = x->c->header_size, size = 0;
    append(x, &size, sizeof size);
    append_node(x, first);
    if (second.at) {
        append(x, " ", 1);
        append_node(x, second);
    }
    if (x->code < 0)
        return;
    size = x->c->header_size - at - sizeof size;
    memcpy(x->c->header + at, &size, sizeof size);
    end_item(x);
}

/* The tensor's name is all that was appended since name_at. */
static void add_tensor(nb_composer *x, uint64_t name_at, nb_tensor_info info) {
    nb_checkpoint *c = x->c;
    info.name_at = name_at;
    info.name_size = c->header_size - name_at;
    void *tensors = c->tensors;
    if (x->code == NB_OK)
        x->code = nb_grow(&tensors, &c->tensors_capacity, c->n_tensors, sizeof info, "tensors", x->err);
    if (x->code < 0)
        return;
    c->tensors = tensors;
    c->tensors[c->n_tensors++] = info;
}

void nb_compose_tensor(nb_composer *x, nb_text prefix, nb_node name, nb_tensor_info info) {
    uint64_t at = x->c->header_size;
    append(x, prefix.data, prefix.size);
    append_node(x, name);
    add_tensor(x, at, info);
}

void nb_compose_named_tensor(nb_composer *x, nb_text name, nb_tensor_info info) {
    uint64_t at = x->c->header_size;
    append(x, name.data, name.size);
    add_tensor(x, at, info);
}
