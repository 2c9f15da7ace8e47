/* The state of a converter: converter.c reads the files' headers and plans, converter_output.c makes the GGUF's bytes
 * of the weights. */
#ifndef NB_CONVERTER_H
#define NB_CONVERTER_H

#include "../formats/gguf.h"
#include "documents.h"
#include "rows.h"

struct nb_converter {
    nb_plan plan;
    uint32_t flags;
    enum { BETWEEN, HEADER, WEIGHTS, COMPLETE, FAILED } stage; /* BETWEEN: no file is being read */
    bool open, planned; /* open: a file has begun; planned: all headers are there */
    bool settled;       /* the plan is final, and the GGUF's header is made of it */
    bool types_settled; /* the types of tensors that the converter makes can no more be chosen */

    char name[128];                             /* of the current file */
    double told;                                /* its size; 0: unknown */
    int32_t kind;                               /* a document, or NB_DOCUMENTS: weights */
    enum { UNKNOWN, GGUF, SAFETENSORS } format; /* of the weights */
    uint32_t parts;                             /* files of weights so far */
    nb_gguf gguf;
    nb_checkpoint part; /* of a GGUF whose header is being read */
    nb_documents documents;

    uint8_t *buffer; /* HEADER: the file so far; WEIGHTS: bytes that are not used yet */
    size_t capacity, filled, used;
    uint32_t file;            /* WEIGHTS: its number */
    uint64_t file_at;         /* the offset of buffer[0] in it */
    uint64_t source, arrived; /* the tensor of the files that arrives, and how many of its bytes have */

    uint8_t *header; /* of the GGUF */
    size_t header_size;
    bool header_given;
    uint64_t target, row; /* the tensor of the GGUF that is being written, and how many of its rows are */
    uint64_t written;     /* bytes behind the header */
    nb_rows rows;         /* makes the rows that are not passed on as they are */
};

static inline const nb_tensor_info *nb_source_at_hand(const nb_converter *x) {
    return &x->plan.in.tensors[x->source];
}

/* Whether the weights of tensor i of the files are in the GGUF. */
static inline bool nb_is_source_needed(const nb_plan *p, uint64_t i) {
    uint32_t target = p->origins[i].target;
    return target != NB_NONE && p->targets[target].how == NB_TENSOR_MADE;
}

/* Goes on to the next target that the GGUF has, if the current one is left out. */
static inline void nb_skip_absent(nb_converter *x) {
    while (x->target < x->plan.out.n_tensors && x->plan.targets[x->target].how == NB_TENSOR_ABSENT)
        x->target++;
}

/* A larger buffer, with what is in it. */
int32_t nb_converter_grow(nb_converter *x, uint64_t capacity, nb_error *err);

#endif
