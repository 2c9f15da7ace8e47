/* The header of the GGUF of a model of integers, and which tensors of a Llama go into it (docs/integer.md). */
#ifndef NB_INTEGER_HEADER_H
#define NB_INTEGER_HEADER_H

#include "../formats/gguf_writer.h"
#include "integer_shape.h"

/* What becomes of a tensor of the Llama. */
typedef enum nb_integer_kind {
    NB_INTEGER_CODES,  /* NAME.weight: codes of 8 bits, [rows, columns]; NAME.multipliers: [rows], and their shift */
    NB_INTEGER_SCALES, /* NAME.scales: [columns], and their shift */
    NB_INTEGER_ANGLES  /* factors of RoPE, for the tensor rope.steps */
} nb_integer_kind;

typedef struct nb_integer_tensor {
    const char *name; /* without "blk.N." */
    nb_integer_kind kind;
    uint32_t columns, rows;
} nb_integer_tensor;

/* Which one tensor i of the file is. NB_ERR_UNSUPPORTED: integers are not computed with such a tensor. */
int32_t nb_integer_tensor_find(const nb_checkpoint *c, const nb_integer_shape *shape, uint64_t i,
                               nb_integer_tensor *out, nb_error *err);

/* Checks that all tensors are there and of the right shapes, of types that can be dequantized. */
int32_t nb_integer_tensors_check(const nb_checkpoint *c, const nb_integer_shape *shape, nb_error *err);

/* Everything before the tensors' data. These have the order of the file's tensors; rope.steps comes last. */
int32_t nb_integer_header_write(const nb_checkpoint *c, const nb_integer_shape *shape, nb_gguf_writer *w,
                                nb_error *err);

#endif
