/* A model's hyper-parameters: the numbers that its computation depends on besides the weights (configure.h reads
 * them). */
#ifndef NB_SHAPE_H
#define NB_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nb_rope {
    bool odd;         /* the file asks to rotate an odd number of elements */
    uint32_t pairs;   /* rotated pairs of a head: half the rotated elements */
    bool interleaved; /* pairs are neighbours (2i, 2i+1), else (i, i + pairs) */
    float base;       /* Su et al. 2021: frequency i is base^(-i / pairs) */
    enum { NB_ROPE_NONE, NB_ROPE_LINEAR, NB_ROPE_YARN, NB_ROPE_LLAMA3 } scaling; /* GGUF has llama3's as factors */
    float factor;                /* linear, yarn, llama3: context extension */
    float original_context;      /* yarn, llama3 */
    float beta_fast, beta_slow;  /* yarn; llama3: high_freq_factor and low_freq_factor */
    float attention_factor;      /* scales cosine and sine */
    float ramp_first, ramp_last; /* yarn: pairs where its ramp begins and ends; first < 0: by the betas */
    float *factors;              /* [pairs]: divide the frequencies; NULL: none */
    float *long_factors;         /* [pairs]: instead, if the context exceeds the original one; NULL: none */
} nb_rope;

enum { NB_ROPES = 2 };

enum { NB_MAX_HEAD_SIZE = 4096 }; /* of keys and of values: a head fits on the stack */

enum { NB_MAX_POSITIONS = 1 << 27 }; /* of a context: positions and their differences fit an int32_t */

/* What q_norm and k_norm hold: weights for any head, for each head its own, or for all heads as one row. */
typedef enum nb_head_norms { NB_HEAD_NORMS_SHARED, NB_HEAD_NORMS_OWN, NB_HEAD_NORMS_WHOLE } nb_head_norms;

typedef struct nb_shape {
    uint32_t vocabulary, layers;
    uint32_t width;           /* of the residual stream (GGUF: embedding_length) */
    uint32_t embedding_width; /* of embeddings that have one of their own */
    uint32_t feed_forward;    /* inner width of the feed-forward network */
    uint32_t heads, kv_heads;
    uint32_t head_size, value_size;      /* of a query or key head; of a value head */
    uint32_t context;                    /* trained for */
    uint32_t window;                     /* sliding window of attention; 0: none */
    uint32_t window_after;               /* of a bidirectional model: positions after a token that its window has */
    uint32_t window_period;              /* every window_period-th layer has no window; 0: all have it */
    uint32_t unrotated_period;           /* every unrotated_period-th layer uses ropes[1]; 0: none */
    bool window_has_rope;                /* layers with a window use ropes[1] */
    uint32_t experts, experts_used;      /* experts of a layer, and how many a token uses; 0: no mixture */
    uint32_t dense_layers;               /* layers before those with experts; UINT32_MAX: the file does not say */
    uint32_t expert_width, shared_width; /* inner widths: of an expert; of all shared experts together */
    bool experts_sum_to_1;               /* the chosen experts' weights are scaled to a sum of 1 */
    bool bidirectional;                  /* tokens also see those that follow: a text is evaluated as a whole */
    bool encoder;                        /* bidirectional, with embeddings but no logits */
    uint32_t token_types;                /* kinds of tokens that its embeddings tell apart */
    uint32_t pooling;                    /* NB_POOLING_...: what the file says */
    bool parallel;                       /* attention and feed-forward in parallel, if a family has both kinds */
    bool post_norm;                      /* the stream is normalized after each block instead of before, likewise */
    bool layer_norm;                     /* norms are layer norms (Ba et al. 2016), else RMS norms */
    nb_head_norms head_norms;
    float norm_epsilon, attention_scale;                /* the latter usually 1 / sqrt(head_size) */
    float attention_cap, logit_cap;                     /* x becomes cap tanh(x / cap); 0: none */
    float embedding_scale, residual_scale, logit_scale; /* multiply embeddings, blocks' outputs, logits */
    nb_rope ropes[NB_ROPES]; /* the first, and another if layers differ; an unused one has no pairs */
} nb_shape;

#endif
