/* The trainer's object: trainer_memory.c makes it, arrays.c lays out its parameters, trainer.c computes with it. */
#ifndef NB_TRAINER_H
#define NB_TRAINER_H

#include "derive.h"
#include "moments.h"
#include "network.h"
#include "signals.h"

/* Tokens whose logits are in memory at a time. */
enum { NB_HEAD_TOKENS = 128 };

enum { NB_LAYER_TENSORS = 9, NB_LAYER_MATRICES = 7 }; /* of a layer */

/* Parameters that the optimizer treats alike: numbers first ... first + n - 1 of the arrays. */
typedef struct nb_run {
    uint64_t first, n;
    float rate; /* times the optimizer's */
    bool decays;
    bool in_8_bits;   /* its moments */
    uint64_t moments; /* where they begin, in bytes */
} nb_run;

struct nb_trainer {
    nb_train_shape shape;
    uint32_t sequences, length; /* at most, in a call */
    bool learns, in_8_bits;
    nb_train_loss loss;
    nb_train_optimizer optimizer; /* all 0 until one is set; its epsilon is above 0 then */
    uint32_t steps;               /* done */
    uint64_t counted;             /* positions whose gradients are in `gradients` */

    nb_arena tables;
    nb_train_tensor *tensors; /* [n_tensors]: the token embedding, the layers', the output norm's, the output matrix */
    uint32_t n_tensors;
    nb_derivation *derivations; /* [n_tensors] */
    nb_arena blocks;            /* of a quantized model whose scales learn: a table, and the blocks (tuning.c) */
    nb_weight_grid *grids;      /* [n_tensors]: of those that are rounded */
    nb_run *runs;               /* [n_runs], at most 2 for each tensor */
    uint32_t n_runs;
    nb_linear embedding;      /* [vocabulary, width] */
    nb_trained_layer *layers; /* [layers] */
    nb_gain output_norm;
    nb_linear output; /* [vocabulary, width] */

    nb_signals signals;    /* settings all 0: nothing is rounded */
    uint32_t inputs_first; /* of the layers' inputs, 2 numbers for each matrix, in the arrays */
    uint32_t parts;        /* accumulated since the last step */

    nb_arena arrays;
    uint64_t floats; /* of each of these: first what the tensors' names stand for, then parameters of their own */
    float *weights, *gradients;
    uint64_t moments_bytes; /* of the moments of all runs */
    uint8_t *moments;
    nb_moment_maps maps; /* in 8 bits */
    uint64_t derived;    /* floats of each of these: the weights that derivations compute, and their gradients */
    float *derived_weights, *derived_gradients;
    double *partial; /* [pieces of floats] */

    nb_arena batch;
    nb_trace *traces; /* [layers], one of the tables: all the same memory if the trainer does not learn */
    nb_pass pass;
    float *stream, *d;   /* [n, width]: what the last layer gives; the loss's gradient on its way back */
    float *logits;       /* [NB_HEAD_TOKENS, vocabulary] */
    float *loss_scratch; /* [threads, 3, vocabulary] */
    double *losses;      /* [n] */
};

/* Says which tensors are derived, and from what: it fills in t->derivations, whose rows and columns are there. */
typedef int32_t nb_trainer_plan(nb_trainer *t, const void *context, nb_error *err);

/* nb_trainer_new for those that derive weights. plan: NULL if none is derived. */
nb_trainer *nb_trainer_make(nb_pool *pool, const nb_train_shape *shape, uint32_t sequences, uint32_t length,
                            uint32_t learns, nb_trainer_plan *plan, const void *context, nb_error *err);

/* The tensors that a shape has, and what is known of each but where it lies. */
int32_t nb_train_check_shape(const nb_train_shape *shape, nb_error *err);
uint32_t nb_train_count_tensors(const nb_train_shape *shape);
void nb_train_describe(const nb_train_shape *shape, uint32_t index, nb_train_tensor *tensor);

/* An error if a weight, a step or a scale that a tensor is derived from is not finite. */
int32_t nb_trainer_check_finite(const nb_trainer *t, uint32_t index, nb_error *err);

/* Lays out the arrays by the derivations, takes their memory, and tells the layers where their weights are. */
int32_t nb_trainer_make_arrays(nb_trainer *t, nb_error *err);

#endif
