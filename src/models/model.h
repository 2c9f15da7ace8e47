/* A loaded model: what the file says (checkpoint), its tokenizer, its hyper-parameters and its packed weights.
 * A family is an architecture: how to read its hyper-parameters, which tensors it has, how a batch passes through. */
#ifndef NB_MODEL_H
#define NB_MODEL_H

#include "../base/memory.h"
#include "../formats/checkpoint.h"
#include "../kernels/packing.h"
#include "../text/tokenizer.h"

typedef struct nb_rope {
    uint32_t pairs;      /* rotated pairs of a head: half the rotated elements */
    bool interleaved;    /* pairs are neighbours (2i, 2i+1), else (i, i + pairs) */
    float base;          /* Su et al. 2021: frequency i is base^(-i / pairs) */
    enum { NB_ROPE_NONE, NB_ROPE_LINEAR, NB_ROPE_YARN } scaling; /* llama3's scaling comes as factors */
    float factor;        /* linear, yarn: context extension */
    float original_context, beta_fast, beta_slow, attention_factor; /* yarn */
    float *factors;      /* [pairs]: divide the frequencies; NULL: none */
} nb_rope;

enum { NB_ROPES = 2 };

typedef struct nb_shape {
    uint32_t vocabulary, layers;
    uint32_t width;                     /* of the residual stream (GGUF: embedding_length) */
    uint32_t feed_forward;              /* inner width of the feed-forward network */
    uint32_t heads, kv_heads;
    uint32_t head_size, value_size;     /* of a query or key head; of a value head */
    uint32_t context;                   /* trained for */
    uint32_t window;                    /* sliding window of attention; 0: none */
    uint32_t window_period;             /* every so many-th layer has no window all the same; 0: all have it */
    float norm_epsilon, attention_scale; /* the latter usually 1 / sqrt(head_size) */
    nb_rope ropes[NB_ROPES];            /* the first, and another if layers differ; an unused one has no pairs */
} nb_shape;

/* Vectors are F32; an absent one is NULL, an absent matrix has data = NULL. */
typedef struct nb_layer {
    float *attention_norm, *feed_forward_norm;      /* [width]: of what a block is given */
    float *attention_post_norm, *feed_forward_post_norm; /* [width]: of what it adds */
    float *q_norm, *k_norm;                         /* [head_size]: of each query and key head */
    nb_matrix q, k, v, o;                           /* [heads * head_size, width], [kv_heads * ...], [width, heads * value_size] */
    float *q_bias, *k_bias, *v_bias, *o_bias;
    nb_matrix gate, up, down;                       /* [feed_forward, width] x 2, [width, feed_forward] */
    float *gate_bias, *up_bias, *down_bias;
} nb_layer;

typedef struct nb_family nb_family;

struct nb_model {
    nb_checkpoint checkpoint;
    nb_tokenizer *tokenizer;  /* NULL: the file has no vocabulary */
    const nb_family *family;  /* NULL: a vocabulary without weights */
    nb_shape shape;
    nb_layer *layers;         /* [shape.layers] */
    nb_arena arena;           /* the weights: */
    nb_matrix embedding;      /* [vocabulary, width] */
    nb_matrix output;         /* [vocabulary, width]; the embedding again if the file has none */
    float *output_norm;       /* [width] */
};

/* Where a tensor of the file belongs. */
typedef enum nb_extent {      /* a side of a tensor, in terms of the shape */
    NB_EXTENT_1, NB_EXTENT_VOCABULARY, NB_EXTENT_WIDTH, NB_EXTENT_FEED_FORWARD, NB_EXTENT_HEAD, NB_EXTENT_QUERIES,
    NB_EXTENT_KEYS, NB_EXTENT_VALUES, NB_EXTENT_MIXED /* heads * value_size */, NB_EXTENT_PAIRS
} nb_extent;

typedef struct nb_slot {
    const char *name;         /* in a layer: what follows "blk.N." */
    bool in_layer, is_matrix, optional;
    size_t at;                /* offset of the nb_matrix or float * in nb_model or nb_layer */
    nb_extent rows, columns;  /* a vector has rows = NB_EXTENT_1 */
} nb_slot;

struct nb_family {
    const char *name;         /* general.architecture */
    const nb_slot *slots;     /* ends with name = NULL */
    /* Fills model->shape from the checkpoint's values; says what is missing or not supported. */
    int32_t (*configure)(nb_model *model, nb_error *err);
    /* Evaluates tokens [first, first + n) of the session and leaves the residual stream in session->x. */
    void (*forward)(nb_session *session, uint32_t first, uint32_t n);
};

extern const nb_family *const nb_families[]; /* ends with NULL */

/* Reads what most families share: the sizes, heads, norm and RoPE keys under "<architecture>.". */
int32_t nb_model_configure(nb_model *model, nb_error *err);

/* What the file says under "<architecture>.<suffix>": any number; a whole one from 1 to most (fallback = 0: required). */
double nb_model_number(const nb_model *model, const char *suffix, double fallback);
int32_t nb_model_size(const nb_model *model, const char *suffix, uint32_t *out, double fallback, uint32_t most,
                      nb_error *err);

/* Finds the family, configures it, checks every tensor against the slots, and allocates the weights.
 * destinations: [n_tensors], receives where each tensor goes. */
typedef struct nb_destination {
    nb_matrix *matrix; /* or */
    float **vector;
} nb_destination;
int32_t nb_model_plan(nb_model *model, nb_destination *destinations, nb_error *err);

uint64_t nb_model_kv_token_bytes(const nb_model *model, uint32_t kv_type); /* KV cache, one position of all layers */

#endif
