/* The inside of AutoRound (nibble_train.h: nb_auto_round). auto_round.c has the steps, auto_round_matrix.c rounds a
 * matrix and updates its parameters, and auto_round_results.c has the results. */
#ifndef NB_AUTO_ROUND_H
#define NB_AUTO_ROUND_H

#include "trainer.h"

/* The numbers that the codes of a group mean: s (code - z) + b. */
typedef struct nb_round_levels {
    float s, b;
    int32_t z;
} nb_round_levels;

typedef enum nb_round_rule {
    NB_ROUND_NOT, /* the matrix is not rounded */
    NB_ROUND_SYMMETRIC,
    NB_ROUND_MAGNITUDE, /* Q8_0 */
    NB_ROUND_ZERO,      /* asymmetric, with a zero point */
    NB_ROUND_MINIMUM,   /* with b */
    NB_ROUND_FROZEN     /* K types, whose levels do not learn */
} nb_round_rule;

/* A group's range, min(w, 0) and max(w, 0), and the factors A and B that clip it. */
typedef struct nb_round_range {
    float low, high, a, b;
} nb_round_range;

/* A matrix that is rounded. */
typedef struct nb_rounded_matrix {
    nb_auto_round_grid grid;
    nb_round_rule rule;
    uint32_t rows, columns, group, groups; /* groups: of a row */
    int32_t least, most;                   /* codes */
    nb_arena arena;                        /* everything below */
    float *weights, *v;                    /* [rows, columns] */
    uint8_t *codes, *best_codes;           /* [rows, columns] */
    nb_round_range *ranges;                /* [rows, groups] */
    nb_round_levels *levels, *best_levels; /* [rows, groups] */
    uint8_t *blocks;                       /* of a K type: the given blocks, which have the scales; else NULL */
} nb_rounded_matrix;

struct nb_auto_round {
    nb_auto_round_settings settings;
    nb_trainer *layer; /* a model of one layer: the tensors of the embedding, the layer and the output norm */
    nb_arena streams;
    float *exact, *inputs; /* [windows, window, width] */
    uint32_t *order;       /* [windows] */
    nb_rounded_matrix matrices[NB_LAYER_TENSORS];
    uint32_t passed;           /* windows of `exact` that have passed through the current layer */
    uint32_t step, batch_done; /* steps done; windows of the current batch that are done */
    bool has_failed;           /* a loss was not finite; nothing more can be computed */
    uint64_t shuffles;         /* random numbers used for the order of the current layer */
    uint32_t next;             /* index into order */
    double sum, first, best; /* of squared errors in the current batch; losses of the first step and of the best one */
};

/* Begins with these weights, and allocates memory. blocks: see nb_auto_round_choose. */
int32_t nb_rounded_matrix_begin(nb_rounded_matrix *m, const nb_auto_round_grid *grid, const nb_train_tensor *tensor,
                                const float *weights, const void *blocks, nb_error *err);
void nb_rounded_matrix_free(nb_rounded_matrix *m);

/* Computes levels and codes from the current parameters, and the rounded weights -> out. */
void nb_rounded_matrix_round(const nb_rounded_matrix *m, nb_pool *pool, float *out);

/* Updates all parameters by the gradient with respect to `out`. */
void nb_rounded_matrix_learn(const nb_rounded_matrix *m, nb_pool *pool, const float *gradient, float rate);

/* Keeps the current codes and levels as the best. */
void nb_rounded_matrix_keep(const nb_rounded_matrix *m);

#endif
