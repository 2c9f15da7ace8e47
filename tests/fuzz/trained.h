/* What the fuzz targets of the trainer share: numbers from the input, and the shape of a model. */
#ifndef NB_TRAINED_H
#define NB_TRAINED_H

#include "choices.h"

#include "../../src/nibble_train.h"

enum { MOST_VOCABULARY = 32 };

/* Byte i of the input, which is repeated as often as needed. */
static inline uint32_t byte_at(const input *in, size_t i) {
    return in->size ? in->data[i % in->size] : 0;
}

static inline float number_at(const input *in, size_t i) {
    uint32_t bits = byte_at(in, i) | byte_at(in, i + 1) << 8 | byte_at(in, i + 2) << 16 | byte_at(in, i + 3) << 24;
    return nb_float_of(bits);
}

/* A valid shape. If bit 7 of choice 1 is set: any shape, which trainers may refuse. */
static inline nb_train_shape shape_of(const input *in) {
    bool is_any = choice(in, 1) & 128;
    nb_train_shape s = {
        .vocabulary = 8 + choice(in, 2) % 8,
        .width = in->columns,
        .layers = 1 + (in->columns < 256 && choice(in, 2) & 16), /* with 256 columns one layer is slow enough */
        .heads = 2,
        .kv_heads = 1 + (choice(in, 2) >> 5 & 1),
        .head_size = in->columns / 2,
        .hidden = in->columns,
        .is_tied = choice(in, 2) >> 6 & 1,
        .is_interleaved = choice(in, 2) >> 7,
        .rope_base = 10000,
        .epsilon = 1e-5f,
    };
    if (is_any)
        s = (nb_train_shape){
            .vocabulary = byte_at(in, 0) % MOST_VOCABULARY,
            .width = byte_at(in, 1) % 64,
            .layers = byte_at(in, 2) % 3,
            .heads = byte_at(in, 3) % 5,
            .kv_heads = byte_at(in, 4) % 5,
            .head_size = byte_at(in, 5) % 20,
            .hidden = byte_at(in, 6) % 64,
            .is_tied = byte_at(in, 7) % 3,
            .is_interleaved = byte_at(in, 8) % 3,
            .rope_base = number_at(in, 9),
            .epsilon = number_at(in, 10),
        };
    return s;
}

#endif
