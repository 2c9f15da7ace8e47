/* The hyper-parameters of a Llama that is to become a model of integers. */
#ifndef NB_INTEGER_SHAPE_H
#define NB_INTEGER_SHAPE_H

#include "../formats/checkpoint.h"

typedef struct nb_integer_shape {
    uint32_t width, layers, feed_forward, heads, kv_heads, head_size, vocabulary, context;
    uint32_t epsilon;             /* of the norms, in units of 2^-32 */
    double rope_base, rope_scale; /* pair i of a head turns by rope_base^(-2 i / head_size) / rope_scale a position */
} nb_integer_shape;

/* Reads them from a GGUF's header. NB_ERR_UNSUPPORTED: the model has something that there is no integer form of. */
int32_t nb_integer_shape_read(const nb_checkpoint *c, nb_integer_shape *shape, nb_error *err);

#endif
