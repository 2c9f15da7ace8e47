/* A loaded model: what the file says (checkpoint), its tokenizer, its hyper-parameters and its packed weights.
 * A family is an architecture: how to read its hyper-parameters, which tensors it has, how a batch passes through. */
#ifndef NB_MODEL_H
#define NB_MODEL_H

#include "../base/memory.h"
#include "../formats/checkpoint.h"
#include "../kernels/packing.h"
#include "../text/tokenizer.h"
#include "embedding.h"

typedef struct nb_rope {
    bool odd;            /* the file asks for pairs of an odd number of elements */
    uint32_t pairs;      /* rotated pairs of a head: half the rotated elements */
    bool interleaved;    /* pairs are neighbours (2i, 2i+1), else (i, i + pairs) */
    float base;          /* Su et al. 2021: frequency i is base^(-i / pairs) */
    enum { NB_ROPE_NONE, NB_ROPE_LINEAR, NB_ROPE_YARN, NB_ROPE_LLAMA3 } scaling; /* GGUF has llama3's as factors */
    float factor;        /* linear, yarn, llama3: context extension */
    float original_context, beta_fast, beta_slow, attention_factor; /* yarn; llama3: original_context, and as beta_fast and
                                                                      beta_slow its high and low frequency factor */
    float ramp_first, ramp_last; /* yarn: pairs between which the extension sets in, which need be in no order; first < 0: by
                                    beta_fast and beta_slow */
    float *factors;      /* [pairs]: divide the frequencies; NULL: none */
    float *long_factors; /* [pairs]: instead of those, where the session's context exceeds the original one; NULL: none */
} nb_rope;

enum { NB_ROPES = 2 };

enum { NB_MOST_POSITIONS = 1 << 27 }; /* of a context: positions and their differences fit an int32_t */

/* What q_norm and k_norm hold: weights for any head, for each head its own, or for all heads as one row. */
typedef enum nb_head_norms { NB_HEAD_NORMS_SHARED, NB_HEAD_NORMS_OWN, NB_HEAD_NORMS_WHOLE } nb_head_norms;

typedef struct nb_shape {
    uint32_t vocabulary, layers;
    uint32_t width;                     /* of the residual stream (GGUF: embedding_length) */
    uint32_t embedding_width;           /* of embeddings that have one of their own */
    uint32_t feed_forward;              /* inner width of the feed-forward network */
    uint32_t heads, kv_heads;
    uint32_t head_size, value_size;     /* of a query or key head; of a value head */
    uint32_t context;                   /* trained for */
    uint32_t window;                    /* sliding window of attention; 0: none */
    uint32_t window_after;              /* of what follows a token: positions that its window has, if both_ways */
    uint32_t window_period;             /* every so many-th layer has no window all the same; 0: all have it */
    uint32_t unrotated_period;          /* every so many-th layer takes the second of the ropes; 0: none */
    uint32_t experts, experts_used;     /* of a mixture: in a layer, and of those for one token; 0: no mixture */
    uint32_t dense_layers;              /* so many layers come before those with experts; UINT32_MAX: no key says */
    uint32_t expert_width, shared_width; /* inner widths: of an expert; of those that see all tokens, together */
    bool experts_sum_to_1;              /* the chosen experts' weights are scaled so */
    bool both_ways;                     /* tokens see those that follow too: a text is evaluated as a whole */
    bool encoder;                       /* so, and it has embeddings, no logits */
    uint32_t token_types;               /* kinds of tokens that its embeddings tell apart */
    uint32_t pooling;                   /* NB_POOLING_...: what the file wants */
    bool parallel;                      /* both blocks of a layer side by side, where a family has it either way */
    bool norms_last;                    /* of what the stream has become, where a family has them either way */
    bool layer_norm;                    /* norms are about the mean (Ba et al. 2016), else root mean squares */
    nb_head_norms head_norms;
    float norm_epsilon, attention_scale; /* the latter usually 1 / sqrt(head_size) */
    float attention_cap, logit_cap;     /* x becomes cap tanh(x / cap); 0: none */
    float embedding_scale, residual_scale, logit_scale; /* multiply: what enters, what a block adds, what leaves */
    nb_rope ropes[NB_ROPES];            /* the first, and another if layers differ; an unused one has no pairs */
} nb_shape;

/* weight = NULL: there is none. */
typedef struct nb_norm {
    float *weight, *bias;
} nb_norm;

/* Vectors are F32; an absent one is NULL, an absent matrix has data = NULL. */
typedef struct nb_layer {
    nb_norm attention_norm, feed_forward_norm;      /* [width]: of what a block is given */
    nb_norm attention_norm_2;                       /* [width]: of what attention alone is given */
    nb_norm attention_post_norm, feed_forward_post_norm; /* [width]: of what it adds */
    float *q_norm, *k_norm;                         /* [head_size], or [heads, head_size]: of query and key heads */
    nb_matrix qkv;                                  /* q, k and v below each other: they are then parts of it */
    bool qkv_whole;                                 /* no, as they do not begin with a group of rows: it is multiplied as it is */
    nb_matrix q, k, v, o;                           /* [heads * head_size, width], [kv_heads * ...], [width, heads * value_size] */
    float *qkv_bias, *q_bias, *k_bias, *v_bias, *o_bias;
    nb_matrix gate_up;                              /* gate and up below each other, likewise */
    nb_matrix gate, up, down;                       /* [feed_forward, width] x 2, [width, feed_forward] */
    float *gate_bias, *up_bias, *down_bias;
    nb_matrix router;                               /* [experts, width]; absent: a layer without experts */
    nb_matrix expert_gate, expert_up, expert_down;  /* the experts' gates below each other, and so on */
    nb_matrix shared_gate, shared_up, shared_down;  /* [shared_width, width] x 2, [width, shared_width] */
    float *shared_router;                           /* [width] */
} nb_layer;

typedef struct nb_family nb_family;

struct nb_model {
    nb_checkpoint checkpoint;
    nb_tokenizer *tokenizer;  /* NULL: the file has no vocabulary */
    const nb_family *family;  /* NULL: a vocabulary without weights */
    bool is_folder;           /* before nibble's converter made a GGUF of it */
    nb_shape shape;
    nb_layer *layers;         /* [shape.layers] */
    nb_arena arena;           /* the weights: */
    nb_matrix embedding;      /* [vocabulary, width] */
    nb_matrix positions;      /* [context, width]: learned ones, added to the embeddings */
    nb_matrix token_types;    /* [token_types, width]: the first is added too */
    nb_norm embedding_norm;   /* [width]: of the sum, in encoders */
    nb_matrix project_in, project_out; /* [width, embedding_width], [embedding_width, width]: absent if these are one */
    nb_matrix output;         /* [vocabulary, width]; the embedding again if the file has none */
    nb_norm output_norm;      /* [width] */
    float *output_bias;       /* [vocabulary] */
    bool ordered;             /* some matrix has an order of its own */
    bool qkv_whole;           /* of some layer */
    nb_embedding embedding_steps; /* from hidden states to a text's embedding */
};

/* Where a tensor of the file belongs. */
typedef enum nb_extent {      /* a side of a tensor, in terms of the shape */
    NB_EXTENT_1, NB_EXTENT_VOCABULARY, NB_EXTENT_WIDTH, NB_EXTENT_FEED_FORWARD, NB_EXTENT_HEAD, NB_EXTENT_HEADS,
    NB_EXTENT_KV_HEADS, NB_EXTENT_QUERIES, NB_EXTENT_KEYS, NB_EXTENT_VALUES, NB_EXTENT_MIXED /* heads * value_size */,
    NB_EXTENT_QKV, NB_EXTENT_PAIRS, NB_EXTENT_GATE_UP, NB_EXTENT_CONTEXT, NB_EXTENT_TYPES, NB_EXTENT_EXPERTS,
    NB_EXTENT_EXPERT /* inner width of one */, NB_EXTENT_SHARED, NB_EXTENT_EMBEDDING
} nb_extent;

/* Whether a file must have it: dense in layers without experts, mixture in layers with them. llama.cpp loads some tensors where
 * they are that the same family has always in transformers (NB_FOLDERS_MUST), or never (NB_GGUF_MAY). */
typedef enum nb_need { NB_ALWAYS, NB_OPTIONAL, NB_DENSE, NB_MIXTURE, NB_FOLDERS_MUST, NB_GGUF_MAY } nb_need;

typedef struct nb_slot {      /* of small fields: there are many */
    const char *name;         /* in a layer: what follows "blk.N." */
    uint16_t at;              /* offset of the nb_matrix or float * in nb_model or nb_layer */
    uint8_t need;             /* nb_need */
    bool in_layer : 1, is_matrix : 1, by_expert : 1; /* the last: one such matrix for each expert, as a third side */
    uint8_t rows, columns;    /* nb_extent; a vector has rows = NB_EXTENT_1, or one of HEADS and KV_HEADS */
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

/* Finds the family, configures it, checks every tensor against the slots, and allocates the weights.
 * destinations: [n_tensors], receives where each tensor goes. */
typedef struct nb_destination {
    nb_matrix *matrix; /* from row `first` on; or */
    uint32_t first, rows; /* rows: of the whole matrix; 0: another tensor has it made */
    float **vector;    /* or */
    const int32_t **order; /* or nothing: */
    enum { NB_TAKEN, NB_WITHOUT_EFFECT, NB_ONLY_ZEROS } left_out; /* the last: it must hold zeros, which change nothing */
    bool divides;      /* the vector's numbers divide RoPE's frequencies */
} nb_destination;
int32_t nb_model_plan(nb_model *model, nb_destination *destinations, nb_error *err);

uint64_t nb_model_kv_token_bytes(const nb_model *model, uint32_t kv_type); /* KV cache, one position of all layers */

#endif
