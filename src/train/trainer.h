/* The trainer's object: trainer_memory.c makes it, trainer.c computes with it. */
#ifndef NB_TRAINER_H
#define NB_TRAINER_H

#include "network.h"

/* Tokens whose logits are in memory at a time. */
enum { NB_HEAD_TOKENS = 128 };

struct nb_trainer {
    nb_train_shape shape;
    uint32_t sequences, length; /* at most, in a call */
    bool learns;
    nb_train_loss loss;
    nb_train_optimizer optimizer; /* all 0 until one is set; its epsilon is above 0 then */
    uint32_t steps;               /* done */
    uint64_t counted;             /* positions whose gradients are in `gradients` */

    nb_arena memory;          /* of all that follows */
    nb_train_tensor *tensors; /* [n_tensors]: the token embedding, the layers', the output norm's, the output matrix */
    uint32_t n_tensors;
    uint64_t floats; /* of each of these: */
    float *weights, *gradients, *first, *second;

    nb_trained_layer *layers; /* [layers] */
    nb_trace *traces;         /* [layers]: all the same memory if the trainer does not learn */
    nb_gain output_norm;
    nb_linear output; /* [vocabulary, width] */
    nb_pass pass;
    float *stream, *d;   /* [n, width]: what the last layer gives; the loss's gradient on its way back */
    float *logits;       /* [NB_HEAD_TOKENS, vocabulary] */
    float *loss_scratch; /* [threads, 3, vocabulary] */
    double *losses;      /* [n] */
    double *partial;     /* [pieces of floats] */
};

#endif
