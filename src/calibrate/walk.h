/* The inside of a walk (nibble.h: nb_walk): layer-wise calibration. */
#ifndef NB_WALK_H
#define NB_WALK_H

#include "../models/family.h"
#include "../models/session.h"
#include "../quant/range_histogram.h"

/* A group has at least one matrix, and no layer has more matrices than this (nb_layer). */
enum { NB_MOST_GROUPS = 16 };

/* Matrices of a layer with the same inputs, such as q, k and v. */
typedef struct nb_group {
    uint32_t tensor;                      /* the first matrix's tensor in the file, which identifies the group */
    uint32_t part;                        /* of the layer: attention or feed-forward (nb_family) */
    uint32_t columns, experts;            /* experts: 1 if there are none */
    uint32_t n;                           /* matrices */
    const nb_slot *slots[NB_MATMUL_JOBS]; /* of the matrices, [n] */
} nb_group;

/* Statistics of the inputs of a group, or of one expert in it. */
typedef struct nb_sums {
    uint32_t count;           /* vectors */
    double *magnitudes;       /* [columns]: sums of |x| */
    float *mean, *largest;    /* [columns] */
    float *gram;              /* kernels/gram.h; NULL: not wanted */
    nb_range_observer *range; /* NULL: not wanted */
} nb_sums;

struct nb_walk {
    nb_pool *pool;
    int32_t *tokens; /* [windows, window] */
    uint32_t windows, window;
    float *streams; /* [windows * window, width]; NULL: not begun */
    /* of the model that the walk began with */
    const nb_family *family;
    uint32_t width, layers;
    uint32_t factors;     /* which slots for factors of RoPE it fills, as bits */
    uint32_t layer, part; /* the next ones for the streams */
    bool failed;          /* the streams are incomplete, and the walk cannot go on */
    /* the current layer */
    nb_model *model;
    nb_session *session; /* NULL: there is none */
    uint32_t passed;     /* tokens whose streams have passed through it, or through its current part */
    uint32_t pass_to;    /* the pass goes through the parts before this one */
    nb_group groups[NB_MOST_GROUPS];
    uint32_t n_groups;
    bool is_parallel; /* both parts have the same inputs (nb_layer_is_parallel) */
    /* observations */
    uint32_t from, to;        /* groups [from, to) are observed */
    uint32_t observed;        /* tokens so far */
    const nb_group *infinite; /* a group with an input that was not finite; NULL: none */
    float *noted;             /* [rows of the first batch, width] outputs of the layer (nb_walk_note); NULL: none */
    nb_arena arena;           /* everything below */
    nb_sums *sums[NB_MOST_GROUPS]; /* [experts] of each group; NULL: not observed */
    float *scratch;                /* for nb_gram_add */
};

/* Takes a batch of tokens from `done` on, all of one window, through the layer's parts [walk->part, to). The results
 * are in session->x. Returns the number of tokens. */
int32_t nb_walk_run(nb_walk *walk, uint32_t done, uint32_t to, nb_error *err);

/* Fills in the layer's groups. */
void nb_walk_find_groups(nb_walk *walk);

/* Frees what was observed. */
void nb_walk_forget(nb_walk *walk);

uint32_t nb_walk_tokens(const nb_walk *walk);

/* An error unless there is a current layer, and no token has passed through it. */
int32_t nb_walk_check_layer(const nb_walk *walk, nb_error *err);

#endif
