/* AutoRound (nibble_train.h: nb_auto_round): auto_round.c has the steps, auto_round_matrix.c what is done to a matrix,
 * auto_round_results.c what is read of it. */
#ifndef NB_AUTO_ROUND_H
#define NB_AUTO_ROUND_H

#include "trainer.h"

/* What the codes of a group stand for: s (code - z) + b. */
typedef struct nb_round_levels {
    float s, b;
    int32_t z;
} nb_round_levels;

typedef enum nb_round_rule {
    NB_ROUND_NOT, /* the matrix stays as it is */
    NB_ROUND_SYMMETRIC,
    NB_ROUND_MAGNITUDE, /* Q8_0 */
    NB_ROUND_ZERO,      /* asymmetric, with a zero point */
    NB_ROUND_MINIMUM,   /* with b */
    NB_ROUND_FROZEN     /* levels stay: K types */
} nb_round_rule;

/* A group's range, min(w, 0) and max(w, 0), and A and B, which clip it. */
typedef struct nb_round_range {
    float low, high, a, b;
} nb_round_range;

/* A matrix that is rounded. */
typedef struct nb_rounded_matrix {
    nb_auto_round_grid grid;
    nb_round_rule rule;
    uint32_t rows, columns, group, groups; /* groups: of a row */
    int32_t least, most;                   /* codes */
    nb_arena arena;                        /* all below */
    float *weights, *v;                    /* [rows, columns] */
    uint8_t *codes, *best_codes;           /* [rows, columns] */
    nb_round_range *ranges;                /* [rows, groups] */
    nb_round_levels *levels, *best_levels; /* [rows, groups] */
    uint8_t *blocks;                       /* of a K type: where scales are copied from; else NULL */
} nb_rounded_matrix;

struct nb_auto_round {
    nb_auto_round_settings settings;
    nb_trainer *layer; /* of one layer. Its tensors are the embedding, those of the layer, and the output norm */
    nb_arena streams;
    float *exact, *inputs; /* [windows, window, width] */
    uint32_t *order;       /* [windows] */
    nb_rounded_matrix matrices[NB_LAYER_TENSORS];
    uint32_t passed;         /* windows of `exact` that have passed the layer at hand */
    uint32_t step, part;     /* steps done; windows of the batch at hand that are done */
    uint64_t shuffles;       /* of the order, for the layer at hand */
    uint32_t next;           /* of the order, that comes next */
    double sum, first, best; /* of the batch at hand; losses */
};

/* Takes memory for a matrix with these weights. blocks: see nb_auto_round_choose. */
int32_t nb_rounded_matrix_begin(nb_rounded_matrix *m, const nb_auto_round_grid *grid, const nb_train_tensor *tensor,
                                const float *weights, const void *blocks, nb_error *err);
void nb_rounded_matrix_free(nb_rounded_matrix *m);

/* Levels and codes of the parameters as they are, and `out`, what they stand for. */
void nb_rounded_matrix_round(const nb_rounded_matrix *m, nb_pool *pool, float *out);

/* A step of all parameters, from the gradient with respect to `out`. */
void nb_rounded_matrix_learn(const nb_rounded_matrix *m, nb_pool *pool, const float *gradient, float rate);

/* What was found now is the best. */
void nb_rounded_matrix_keep(const nb_rounded_matrix *m);

#endif
