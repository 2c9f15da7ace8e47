/* A family is an architecture: how to read its hyper-parameters, which tensors it has, how a batch passes through. */
#ifndef NB_FAMILY_H
#define NB_FAMILY_H

#include "model.h"

struct nb_step; /* blocks.h */

/* The sides that tensors can have. nb_extent_of (bind.c) says how each follows from the shape. */
typedef enum nb_extent {
    NB_EXTENT_1,
    NB_EXTENT_VOCABULARY,
    NB_EXTENT_WIDTH,
    NB_EXTENT_FEED_FORWARD,
    NB_EXTENT_HEAD,
    NB_EXTENT_HEADS,
    NB_EXTENT_KV_HEADS,
    NB_EXTENT_QUERIES,
    NB_EXTENT_KEYS,
    NB_EXTENT_VALUES,
    NB_EXTENT_ATTENDED, /* attention's output */
    NB_EXTENT_QKV,
    NB_EXTENT_PAIRS,
    NB_EXTENT_GATE_UP,
    NB_EXTENT_CONTEXT,
    NB_EXTENT_TYPES,
    NB_EXTENT_EXPERTS,
    NB_EXTENT_EXPERT, /* inner width of one expert */
    NB_EXTENT_SHARED, /* inner width of the shared experts */
    NB_EXTENT_EMBEDDING
} nb_extent;

/* Whether a file must have a tensor. NB_DENSE: layers without experts must; NB_MIXTURE: those with experts. Some
 * tensors are optional in llama.cpp, while the same family always has them in transformers (NB_FOLDERS_MUST) or never
 * (NB_GGUF_MAY). */
typedef enum nb_need { NB_ALWAYS, NB_OPTIONAL, NB_DENSE, NB_MIXTURE, NB_FOLDERS_MUST, NB_GGUF_MAY } nb_need;

/* Where a tensor of the file belongs. (The fields are small, as there are many slots.) */
typedef struct nb_slot {
    const char *name;                                /* in a layer: what follows "blk.N." */
    uint16_t at;                                     /* offset of the nb_matrix or float * in nb_model or nb_layer */
    uint8_t need;                                    /* nb_need */
    bool in_layer : 1, is_matrix : 1, by_expert : 1; /* the last: one such matrix for each expert, as a third side */
    uint8_t rows, columns; /* nb_extent; a vector has rows = NB_EXTENT_1, or one of HEADS and KV_HEADS */
} nb_slot;

enum { NB_LAYER_PARTS = 2 };

struct nb_family {
    const char *name;     /* general.architecture */
    const nb_slot *slots; /* ends with name = NULL */
    /* Fills model->shape from the checkpoint's values; says what is missing or not supported. */
    int32_t (*configure)(nb_model *model, nb_error *err);
    /* What precedes the first layer: session->x has the embeddings of the batch's n tokens, and afterwards the residual
     * stream. NULL: nothing. */
    void (*begin)(nb_session *session, uint32_t n);
    /* A layer in two parts: attention, then the feed-forward network. Each part takes the residual stream of the step's
     * tokens from session->x, and leaves it there for the next. It uses nothing else that an earlier part has left,
     * unless the layer is parallel (nb_layer_is_parallel). */
    void (*parts[NB_LAYER_PARTS])(struct nb_step *step);
};

/* Whether attention and the feed-forward network get the same residual stream (a parallel layer): the file says so
 * (nb_shape), or there is no norm between them. Then the first part leaves the input of the second one in
 * session->normed, so nothing else may run between them. */
bool nb_layer_is_parallel(const nb_model *model, uint32_t layer);

extern const nb_family *const nb_families[]; /* ends with NULL; families/families.c */

/* The family of the file's architecture (general.architecture); NULL, and an error that lists the supported ones. */
const nb_family *nb_family_find(const nb_checkpoint *c, nb_error *err);

#endif
