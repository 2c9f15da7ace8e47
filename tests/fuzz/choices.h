/* What the targets of the quantizer and the trainer share: the input. Its first bytes choose what to do; the others,
 * repeated as often as needed, are weights and other numbers. The last byte says which allocation fails. */
#ifndef NB_CHOICES_H
#define NB_CHOICES_H

#include "fuzz.h"

#include "../../src/types/traits.h"

enum { CHOICES = 16 };

typedef struct input {
    const uint8_t *choices, *data;
    size_t size;
    uint32_t columns, rows;
    nb_error err;
} input;

/* Returns false if there are too few bytes. */
static inline bool read_input(const uint8_t *data, size_t size, input *in) {
    static const uint32_t columns[] = {32, 32, 32, 64, 64, 96, 96, 256}; /* the last takes longest by far */
    if (size < CHOICES + 1)
        return false;
    *in = (input){.choices = data, .data = data + CHOICES, .size = size - CHOICES - 1};
    in->columns = columns[data[0] % 8];
    bool has_many = data[1] & 64 && in->columns < 256; /* packers want 32 rows; with 256 columns, too, it takes long */
    in->rows = has_many ? 32 : 1 + data[1] % 3;
    return true;
}

static inline uint32_t choice(const input *in, uint32_t i) {
    return in->choices[i];
}

static inline void fill(const input *in, void *to, size_t bytes) {
    uint8_t *out = to;
    for (size_t i = 0; i < bytes; i++)
        out[i] = in->size ? in->data[i % in->size] : 0;
}

/* Whether a call succeeded, by its code. An error must have a message. */
static inline bool done(input *in, double code) {
    demand(code >= 0 || in->err.message[0]);
    in->err.message[0] = 0;
    return code >= 0;
}

static inline bool is_number(float x) {
    return __builtin_fabsf(x) <= 0x1.fffffep127f;
}

static inline void demand_numbers(const float *x, size_t n) {
    for (size_t i = 0; i < n; i++)
        /* the analyzer cannot see that rows_of gives 4 bytes for each F32 */
        demand(is_number(x[i])); /* NOLINT(clang-analyzer-security.ArrayBound) */
}

static inline void demand_scales(const float *scales, size_t n) {
    for (size_t i = 0; i < n; i++)
        demand(is_number(scales[i]) && scales[i] > 0);
}

/* Rows of a type, filled from the input; NULL: the columns are not whole blocks of the type. */
static inline void *rows_of(const input *in, uint32_t type) {
    const nb_traits *traits = nb_traits_of(type);
    if (!traits || !traits->dequantize || in->columns % traits->block_weights)
        return NULL;
    size_t bytes = (size_t)in->columns / traits->block_weights * traits->block_bytes * in->rows;
    void *rows = fuzz_memory(bytes);
    fill(in, rows, bytes);
    return rows;
}

#endif
