/* A loaded model: what the file says (checkpoint), its tokenizer, its hyper-parameters and its packed weights. */
#ifndef NB_MODEL_H
#define NB_MODEL_H

#include "../base/memory.h"
#include "../formats/checkpoint.h"
#include "../kernels/packing.h"
#include "../text/tokenizer.h"
#include "embedding.h"
#include "shape.h"

/* weight = NULL: there is no norm. */
typedef struct nb_norm {
    float *weight, *bias;
} nb_norm;

/* Vectors are F32; an absent one is NULL, an absent matrix has data = NULL. */
typedef struct nb_layer {
    nb_norm attention_norm, feed_forward_norm;           /* [width]: of a block's input */
    nb_norm attention_norm_2;                            /* [width]: of the input of attention only (Falcon) */
    nb_norm attention_post_norm, feed_forward_post_norm; /* [width]: of a block's output; BERT: of the stream then */
    float *q_norm, *k_norm; /* [head_size], or [heads, head_size]: of query and key heads */
    nb_matrix qkv;          /* q, k and v stacked, if the file has them merged; q, k and v are then views of it */
    bool qkv_whole;         /* k or v begins within a group of rows, so qkv cannot be split: it is multiplied whole */
    nb_matrix q, k, v;      /* [heads * head_size, width], [kv_heads * head_size, width], ... */
    nb_matrix o;            /* [width, heads * value_size] */
    float *qkv_bias, *q_bias, *k_bias, *v_bias, *o_bias;
    nb_matrix gate_up;        /* gate and up stacked, likewise */
    nb_matrix gate, up, down; /* [feed_forward, width] x 2, [width, feed_forward] */
    float *gate_bias, *up_bias, *down_bias;
    nb_matrix router;                              /* [experts, width]; absent: a layer without experts */
    nb_matrix expert_gate, expert_up, expert_down; /* those of all experts stacked */
    nb_matrix shared_gate, shared_up, shared_down; /* [shared_width, width] x 2, [width, shared_width] */
    float *shared_router;                          /* [width] */
} nb_layer;

typedef struct nb_family nb_family;

struct nb_model {
    nb_checkpoint checkpoint;
    nb_tokenizer *tokenizer;  /* NULL: the file has no vocabulary */
    nb_error tokenizer_error; /* of a file that is only inspected: why there is none */
    const nb_family *family;  /* NULL: a vocabulary without weights */
    bool is_partial;          /* tensors may be missing (NB_LOAD_PART) */
    bool is_folder;           /* it was a folder before nibble's converter made a GGUF of it */
    nb_shape shape;
    nb_layer *layers;                  /* [shape.layers] */
    nb_arena vectors, matrices;        /* the weights: */
    nb_matrix *outliers;               /* [n_outliers]: columns of some matrices in 16 bits (outliers.h) */
    uint32_t n_outliers, outlier_rows; /* the latter: of the one with most rows */
    struct nb_replacement *replaced;   /* memory of matrices that were replaced (weights.h) */
    nb_matrix embedding;               /* [vocabulary, width] */
    nb_matrix positions;               /* [context, width]: learned ones, added to the embeddings */
    nb_matrix token_types;             /* [token_types, width]: the first is added too */
    nb_norm embedding_norm;            /* [width]: of the sum of these three, in encoders */
    nb_matrix project_in, project_out; /* [width, embedding_width] and back; absent if these are equal */
    nb_matrix output;                  /* [vocabulary, width]; the embedding again if the file has none */
    nb_norm output_norm;               /* [width] */
    float *output_bias;                /* [vocabulary] */
    bool ordered;                      /* some matrix has an order of its own, or outliers */
    bool qkv_whole;                    /* of some layer */
    nb_embedding embedding_steps;      /* from hidden states to a text's embedding */
};

uint64_t nb_model_kv_token_bytes(const nb_model *model, uint32_t kv_type); /* KV cache, one position of all layers */

#endif
