/* How the tokens' last hidden states become a text's embedding: they are pooled, and the result passes through some
 * steps. A file of nibble's converter names all of this in one value, "nibble.embedding":
 *
 *     mean cls dense/tanh layernorm normalize
 *
 * First the poolings, whose vectors are concatenated; then the steps, in order. Poolings and steps are called as in
 * sentence-transformers. Step N (from 0) has the tensors embedding.N.weight and, where there is one, embedding.N.bias.
 * llama.cpp's files of EmbeddingGemma have two dense steps without a bias: dense_2.weight and dense_3.weight.
 *
 * A reranker gives the first token's hidden state to a head, whose result is no embedding but scores: mostly one, that
 * of a document for a query. The head is a dense layer with tanh, cls, and one without, cls.output, as llama.cpp calls
 * them; either may be absent. Of RoBERTa they are transformers' classifier.dense and classifier.out_proj; of BERT they
 * are the pooler and the classifier. */
#ifndef NB_EMBEDDING_H
#define NB_EMBEDDING_H

#include "../formats/checkpoint.h"
#include "../kernels/packing.h"

#include <stdbool.h>

struct nb_model;
struct nb_destination;

enum { NB_MAX_STEPS = 8, NB_MAX_POOLINGS = 6 };

enum { NB_POOLING_RANK = 4 }; /* GGUF's number, after those of nibble.h: the file is a reranker */

typedef enum nb_pooling {
    NB_POOL_CLS,
    NB_POOL_MAX,
    NB_POOL_MEAN,
    NB_POOL_MEAN_SQRT,
    NB_POOL_WEIGHTED,
    NB_POOL_LAST
} nb_pooling;

typedef struct nb_embedding_step {
    enum { NB_STEP_DENSE, NB_STEP_LAYER_NORM, NB_STEP_NORMALIZE } kind;
    uint32_t activation;    /* of a dense step: index of activation_names (embedding.c) */
    uint32_t columns, rows; /* numbers in, numbers out */
    nb_matrix weight;       /* dense: [rows, columns] */
    float *scale, *bias;    /* layer norm: [rows]; bias: [rows], or NULL */
} nb_embedding_step;

typedef struct nb_embedding {
    nb_pooling poolings[NB_MAX_POOLINGS];
    uint32_t n_poolings, n_steps;
    nb_embedding_step steps[NB_MAX_STEPS];
    uint32_t widest; /* the most numbers between two steps */
    uint32_t size;   /* numbers in the result */
    uint32_t head;   /* of a reranker: 1 if the first step is cls, 2 if it is cls.output; else 0 */
} nb_embedding;

/* Fills model->embedding_steps once the family has filled the shape. */
int32_t nb_embedding_configure(struct nb_model *model, nb_error *err);

/* Binds the tensor if it belongs to a step; *found says whether it does. name: its name, for messages. */
int32_t nb_embedding_bind(struct nb_model *model, const nb_tensor_info *info, nb_text name, struct nb_destination *to,
                          bool *found, nb_error *err);

/* An error if a step lacks a tensor. (nb_embedding_configure has found the matrices.) */
int32_t nb_embedding_check(const struct nb_model *model, nb_error *err);

/* x = activation(x). x: [n]. */
void nb_embedding_activate(uint32_t activation, float *x, uint32_t n);

#endif
