/* A GGUF file with some things changed, for tests of what a loader must refuse or accept. */
#ifndef NB_EDIT_H
#define NB_EDIT_H

#include "../../src/formats/checkpoint.h"

typedef struct test_edit {
    enum {
        TEST_SET,       /* the value `key` becomes `number`, of value type `type`; it is added if there is none */
        TEST_SET_TEXT,  /* or becomes the string `text` */
        TEST_SET_ARRAY, /* or an array of `type` with items[n] */
        TEST_DROP,      /* there is no value `key` */
        TEST_RENAME,    /* the tensor `key` is called `text` */
        TEST_COPY,      /* there is another tensor `text` that holds the same as the tensor `key` */
        TEST_PART,      /* there is another tensor `text`: matrix `number` of the stack `key`, as of one expert */
        /* the tensor `key` gets the data type `type` and is [n] long; it holds `items`, and then zeros */
        TEST_RESHAPE,
        TEST_ADD, /* there is another tensor `key`, of the same form */
        TEST_OMIT /* there is no tensor `key` */
    } what;
    const char *key, *text;
    uint32_t type;
    double number;
    double items[8];
    uint64_t n;
} test_edit;

#define SET(name, value_type, value) {.what = TEST_SET, .key = name, .type = NB_VALUE_##value_type, .number = value}
#define SET_TEXT(name, value) {.what = TEST_SET_TEXT, .key = name, .text = value}
#define SET_ARRAY(name, item_type, count, ...)                                                                  \
    {                                                                                                           \
        .what = TEST_SET_ARRAY, .key = name, .type = NB_VALUE_##item_type, .n = count, .items = { __VA_ARGS__ } \
    }
#define DROP(name) {.what = TEST_DROP, .key = name}
#define RENAME(name, other) {.what = TEST_RENAME, .key = name, .text = other}
#define COPY(name, other) {.what = TEST_COPY, .key = name, .text = other}
#define PART(name, index, other) {.what = TEST_PART, .key = name, .number = index, .text = other}
#define RESHAPE(name, data_type, count, ...)                                                                 \
    {                                                                                                        \
        .what = TEST_RESHAPE, .key = name, .type = NB_TYPE_##data_type, .n = count, .items = { __VA_ARGS__ } \
    }
#define ADD(name, data_type, count) {.what = TEST_ADD, .key = name, .type = NB_TYPE_##data_type, .n = count}
#define OMIT(name) {.what = TEST_OMIT, .key = name}

/* The changed file, to be freed with nb_free. A check fails if an edit of a tensor or a drop finds nothing. */
uint8_t *test_edit_gguf(const uint8_t *file, size_t size, const test_edit *edits, size_t n_edits, size_t *out_size);

#endif
