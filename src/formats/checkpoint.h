/* What any weights file says, whatever its format: named values and named tensors. The readers (gguf.c, ...) fill it;
 * models/ and text/ look things up in it. It owns the file's header bytes, which the values point into. */
#ifndef NB_CHECKPOINT_H
#define NB_CHECKPOINT_H

#include "../base/error.h"
#include "../base/text.h"

/* GGUF's numbers for value types. */
enum {
    NB_VALUE_U8,
    NB_VALUE_I8,
    NB_VALUE_U16,
    NB_VALUE_I16,
    NB_VALUE_U32,
    NB_VALUE_I32,
    NB_VALUE_F32,
    NB_VALUE_BOOL,
    NB_VALUE_STRING,
    NB_VALUE_ARRAY,
    NB_VALUE_U64,
    NB_VALUE_I64,
    NB_VALUE_F64,
    NB_VALUE_COUNT
};

typedef struct nb_value {
    uint64_t key_at, key_size; /* within the header */
    uint32_t type;
    uint32_t item_type; /* of an ARRAY (arrays of arrays are refused) */
    uint64_t count;     /* items of an ARRAY; bytes of a STRING; else 1 */
    uint64_t at, size;  /* the payload within the header: of an ARRAY the items, of a STRING its bytes */
} nb_value;

enum { NB_MAX_DIMENSIONS = 4 };

typedef struct nb_tensor_info {
    uint64_t name_at, name_size;
    uint32_t type; /* NB_TYPE_... (types/types.h), known to be valid */
    uint32_t n_dimensions;
    uint64_t shape[NB_MAX_DIMENSIONS]; /* shape[0] runs fastest, the rest are 1; all >= 1, the product fits 63 bits */
    uint64_t at;                       /* absolute offset within the file */
    uint64_t bytes;                    /* size within the file */
    uint32_t file;                     /* of a model of several files: which one, from 0 */
    uint32_t reserved;
} nb_tensor_info;

typedef struct nb_checkpoint {
    uint8_t *header; /* owned (nb_alloc) */
    size_t header_size;
    uint32_t version;   /* of the format */
    const char *format; /* "GGUF", "safetensors" */
    nb_value *values;   /* owned */
    uint64_t n_values, values_capacity;
    nb_tensor_info *tensors; /* owned; in the order of their data, file by file, not overlapping */
    uint64_t n_tensors, tensors_capacity;
    uint64_t data_at;     /* where tensor data begins */
    uint64_t total_bytes; /* to the end of the last tensor (padding may follow); of several files the sum */
} nb_checkpoint;

void nb_checkpoint_free(nb_checkpoint *c);

/* A copy of these bytes becomes the header. */
int32_t nb_checkpoint_keep_header(nb_checkpoint *c, const uint8_t *bytes, size_t size, nb_error *err);

/* Sorts the tensors of several files by file and offset; NB_ERR_FORMAT if two have the same name or overlap. */
int32_t nb_checkpoint_sort(nb_checkpoint *c, nb_error *err);

nb_text nb_checkpoint_key(const nb_checkpoint *c, const nb_value *v);
nb_text nb_checkpoint_tensor_name(const nb_checkpoint *c, const nb_tensor_info *t);

/* NB_ERR_UNSUPPORTED if the file says that it is not a model, but an importance matrix, an adapter or a projector. */
int32_t nb_checkpoint_refuse_companion(const nb_checkpoint *c, nb_error *err);

const nb_value *nb_checkpoint_find(const nb_checkpoint *c, const char *key); /* NULL if there is none */
const nb_tensor_info *nb_checkpoint_find_tensor(const nb_checkpoint *c, const char *name);
const nb_tensor_info *nb_checkpoint_find_named(const nb_checkpoint *c, nb_text name);

/* These two read the numbers that a model computes with. A file may have NaN, infinity or 1e300 for any number: outside
 * the range it is NB_ERR_FORMAT, with the key in the message. */
typedef struct nb_limits {
    double least, most;
} nb_limits;
/* 1: *value is what the file says. 0: the key is absent, and *value stays. NB_ERR_FORMAT also if it is not a number. */
int32_t nb_checkpoint_read(const nb_checkpoint *c, const char *key, nb_limits range, double *value, nb_error *err);
/* NB_OK if every item of an array of numbers is within the range: nb_checkpoint_item may then read them. */
int32_t nb_checkpoint_check_items(const nb_checkpoint *c, const nb_value *array, nb_limits range, nb_error *err);

/* These read values that are shown or compared. They give the fallback if the key is absent or has a value of another
 * kind. */
double nb_checkpoint_number_of(const nb_checkpoint *c, const nb_value *v);             /* 0: it is not a number */
nb_text nb_checkpoint_text_of(const nb_checkpoint *c, const nb_value *v);              /* of a STRING */
double nb_checkpoint_number(const nb_checkpoint *c, const char *key, double fallback); /* any numeric type or BOOL */
nb_text nb_checkpoint_string(const nb_checkpoint *c, const char *key);                 /* .data = NULL if absent */

/* Bytes of a scalar type, or of an array's items; 0 for STRING, ARRAY and unknown types. */
size_t nb_value_bytes(uint32_t type);

/* Item i < count of an array of numbers or BOOLs, as a number (0 if it is an array of something else). */
double nb_checkpoint_item(const nb_checkpoint *c, const nb_value *array, uint64_t i);

/* Iterates over an array of strings: *at starts as array->at; each call returns the next string and advances *at. */
nb_text nb_checkpoint_next_string(const nb_checkpoint *c, uint64_t *at);

#endif
