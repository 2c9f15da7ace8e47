/* The state of a converter. converter.c reads the files' headers and plans; converter_output.c turns the weights into
 * the GGUF's bytes. */
#ifndef NB_CONVERTER_H
#define NB_CONVERTER_H

#include "../formats/gguf.h"
#include "documents.h"
#include "rows.h"

struct nb_converter {
    nb_plan plan;
    uint32_t flags;
    enum { BETWEEN, HEADER, WEIGHTS, COMPLETE, FAILED } stage; /* BETWEEN: no file is being read */
    bool open;                                                 /* a file has begun */
    bool planned;       /* all headers were read, and the tensors of the GGUF are known */
    bool settled;       /* the plan is final, and the GGUF's header is made from it */
    bool types_settled; /* from the first GGUF on, only types of blank tensors can be chosen */

    char name[128];                             /* of the current file */
    double file_bytes;                          /* its size; 0: unknown */
    int32_t kind;                               /* a document, or NB_DOCUMENTS: weights */
    enum { UNKNOWN, GGUF, SAFETENSORS } format; /* of the weights */
    uint32_t n_weight_files;                    /* files of weights so far */
    nb_gguf gguf;
    nb_checkpoint part; /* the GGUF whose header is being read */
    nb_documents documents;

    uint8_t *buffer; /* HEADER: the file so far; WEIGHTS: bytes that are to be used */
    size_t capacity, filled, used;
    uint32_t file;            /* WEIGHTS: its number */
    uint64_t file_at;         /* the offset of buffer[0] in it */
    uint64_t source, arrived; /* the tensor of the files that is arriving, and how many of its bytes were used */

    uint8_t *header; /* of the GGUF */
    size_t header_size;
    bool header_given;
    uint64_t target, row; /* the tensor of the GGUF that is being written, and its next row */
    uint64_t written;     /* bytes after the header */
    nb_rows rows;         /* makes the rows that are not copied as they are */
};

static inline const nb_tensor_info *nb_current_source(const nb_converter *x) {
    return &x->plan.in.tensors[x->source];
}

/* Whether the GGUF needs tensor i of the files. */
static inline bool nb_is_source_needed(const nb_plan *p, uint64_t i) {
    uint32_t target = p->sources[i].target;
    return target != NB_NONE && p->targets[target].how == NB_TENSOR_MADE;
}

/* Skips targets that the GGUF does not have. */
static inline void nb_skip_absent(nb_converter *x) {
    while (x->target < x->plan.out.n_tensors && x->plan.targets[x->target].how == NB_TENSOR_ABSENT)
        x->target++;
}

/* Enlarges the buffer. The content stays. */
int32_t nb_converter_grow(nb_converter *x, uint64_t capacity, nb_error *err);

#endif
