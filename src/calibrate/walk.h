/* A walk (nibble.h: nb_walk) and what it observes. */
#ifndef NB_WALK_H
#define NB_WALK_H

#include "../models/family.h"
#include "../models/session.h"
#include "../quant/range_histogram.h"

/* Each group has a matrix of its own, and no layer has more matrices than this (nb_layer). */
enum { NB_MOST_GROUPS = 16 };

/* Matrices that are multiplied with the same vectors. */
typedef struct nb_group {
    uint32_t tensor;                      /* of the file: that of the first of them, which names the group */
    uint32_t part;                        /* of the layer (nb_family) */
    uint32_t columns, experts;            /* experts: 1 if it has none */
    uint32_t n;                           /* matrices */
    const nb_slot *slots[NB_MATMUL_JOBS]; /* of each */
} nb_group;

/* Of a group, or of one of its experts. */
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
    uint32_t layer, part; /* that the streams are given to next */
    bool failed;          /* the streams are no longer of use */
    /* the layer at hand */
    nb_model *model;
    nb_session *session; /* NULL: there is none */
    uint32_t passed;     /* tokens whose streams are its outputs already, or its next part's inputs */
    uint32_t pass_to;    /* the part before which the pass ends */
    nb_group groups[NB_MOST_GROUPS];
    uint32_t n_groups;
    bool is_parallel; /* its parts are given the same streams (nb_layer_is_parallel) */
    /* what is observed */
    uint32_t from, to;             /* groups [from, to) */
    uint32_t observed;             /* tokens */
    const nb_group *infinite;      /* of which a vector was not finite; NULL: none */
    float *noted;                  /* [rows of the first batch, width] outputs of the layer; NULL: nothing is noted */
    nb_arena arena;                /* everything below */
    nb_sums *sums[NB_MOST_GROUPS]; /* [experts] of each group; NULL: not observed */
    float *scratch;                /* for nb_gram_add */
};

/* One batch of the tokens from `done` on, all of one window, passes through the layer, from the part at hand up to part
 * `to`: their streams are in session->x. Returns how many tokens it has. */
int32_t nb_walk_run(nb_walk *walk, uint32_t done, uint32_t to, nb_error *err);

/* Fills in the layer's groups. */
void nb_walk_find_groups(nb_walk *walk);

/* Frees what was observed. */
void nb_walk_forget(nb_walk *walk);

uint32_t nb_walk_tokens(const nb_walk *walk);

/* NB_OK if there is a layer to work on, none of whose outputs have been made. */
int32_t nb_walk_check_layer(const nb_walk *walk, nb_error *err);

#endif
