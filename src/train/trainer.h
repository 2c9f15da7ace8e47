/* The trainer's object. trainer_memory.c makes it, arrays.c lays out its parameters, trainer.c computes with it. */
#ifndef NB_TRAINER_H
#define NB_TRAINER_H

#include "derive.h"
#include "moments.h"
#include "network.h"
#include "signals.h"

/* Tokens whose logits are in memory at a time. */
enum { NB_HEAD_TOKENS = 128 };

enum { NB_LAYER_TENSORS = 9, NB_LAYER_MATRICES = 7 }; /* of a layer */

/* Parameters [first, first + n) of the arrays, with their own learning rate and decay. */
typedef struct nb_parameter_group {
    uint64_t first, n;
    float rate; /* learning rate, times the optimizer's */
    bool decays;
    bool in_8_bits;   /* the moments are */
    uint64_t moments; /* offset of the moments, in bytes */
} nb_parameter_group;

struct nb_trainer {
    nb_train_shape shape;
    uint32_t sequences, length; /* the most in a call */
    bool learns, in_8_bits;
    nb_train_loss loss;
    nb_train_optimizer optimizer; /* all 0 until one is set, whose epsilon is above 0 */
    uint32_t steps;               /* done */
    uint64_t counted;             /* positions in the sums of gradients */

    nb_arena tables;
    nb_train_tensor *tensors; /* [n_tensors]: token embedding, layers, output norm, output matrix */
    uint32_t n_tensors;
    nb_derivation *derivations; /* [n_tensors] */
    nb_arena blocks;            /* of a quantized model whose scales are tuned: a table, and the blocks (tuning.c) */
    nb_weight_grid *grids;      /* [n_tensors]: of rounded tensors */
    nb_parameter_group *groups; /* [n_groups], at most 2 for each tensor */
    uint32_t n_groups;
    nb_linear embedding;      /* [vocabulary, width] */
    nb_trained_layer *layers; /* [layers] */
    nb_gain output_norm;
    nb_linear output; /* [vocabulary, width] */

    nb_signals signals;     /* settings all 0: nothing is rounded */
    uint32_t inputs_first;  /* index in the arrays of the layers' inputs, 2 numbers for each matrix */
    uint32_t micro_batches; /* accumulated since the last step */

    nb_arena arrays;
    uint64_t floats; /* of each of these arrays (arrays.c) */
    float *weights, *gradients;
    uint64_t moments_bytes; /* of all groups */
    uint8_t *moments;
    nb_moment_maps maps; /* of moments in 8 bits */
    uint64_t derived;    /* floats of each of these: derived weights, and their gradients */
    float *derived_weights, *derived_gradients;
    double *partial; /* [pieces of floats] */

    nb_arena batch;
    nb_trace *traces; /* [layers], in tables; they share their memory if the trainer does not learn */
    nb_pass pass;
    float *stream, *d;   /* [n, width]: the last layer's output; the gradient in the backward pass */
    float *logits;       /* [NB_HEAD_TOKENS, vocabulary] */
    float *loss_scratch; /* [threads, 3, vocabulary] */
    double *losses;      /* [n] */
};

/* Chooses which tensors are derived, and from what. It fills in t->derivations, which have rows and columns already. */
typedef int32_t nb_choose_derivations(nb_trainer *t, const void *context, nb_error *err);

/* nb_trainer_new for trainers with derived weights. choose: NULL if no tensor is derived. */
nb_trainer *nb_trainer_make(nb_pool *pool, const nb_train_shape *shape, uint32_t sequences, uint32_t length,
                            uint32_t learns, nb_choose_derivations *choose, const void *context, nb_error *err);

/* The tensors of a shape. Of each, nb_train_describe fills in everything but `first`. */
int32_t nb_train_check_shape(const nb_train_shape *shape, nb_error *err);
uint32_t nb_train_count_tensors(const nb_train_shape *shape);
void nb_train_describe(const nb_train_shape *shape, uint32_t index, nb_train_tensor *tensor);

/* An error if a parameter that a tensor is derived from is not finite. */
int32_t nb_trainer_check_finite(const nb_trainer *t, uint32_t index, nb_error *err);

/* Lays out the arrays by the derivations, allocates them, and sets the layers' pointers to weights and gradients. */
int32_t nb_trainer_make_arrays(nb_trainer *t, nb_error *err);

#endif
