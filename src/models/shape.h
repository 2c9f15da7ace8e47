/* A model's hyper-parameters: the numbers that its computation depends on besides the weights (configure.h reads
 * them). */
#ifndef NB_SHAPE_H
#define NB_SHAPE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nb_rope {
    bool odd;         /* the file asks for pairs of an odd number of elements */
    uint32_t pairs;   /* rotated pairs of a head: half the rotated elements */
    bool interleaved; /* pairs are neighbours (2i, 2i+1), else (i, i + pairs) */
    float base;       /* Su et al. 2021: frequency i is base^(-i / pairs) */
    enum { NB_ROPE_NONE, NB_ROPE_LINEAR, NB_ROPE_YARN, NB_ROPE_LLAMA3 } scaling; /* GGUF has llama3's as factors */
    float factor; /* linear, yarn, llama3: context extension */
    float original_context, beta_fast, beta_slow,
        attention_factor; /* yarn; llama3: original_context, and as beta_fast and
                                                                      beta_slow its high and low frequency factor */
    float ramp_first,
        ramp_last;  /* yarn: pairs between which the extension sets in, which need be in no order; first < 0: by
                                    beta_fast and beta_slow */
    float *factors; /* [pairs]: divide the frequencies; NULL: none */
    /* [pairs]: instead of those, where the session's context exceeds the original one; NULL: none */
    float *long_factors;
} nb_rope;

enum { NB_ROPES = 2 };

enum { NB_MOST_POSITIONS = 1 << 27 }; /* of a context: positions and their differences fit an int32_t */

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
    uint32_t window_after;               /* of what follows a token: positions that its window has, if both_ways */
    uint32_t window_period;              /* every so many-th layer has no window all the same; 0: all have it */
    uint32_t unrotated_period;           /* every so many-th layer takes the second of the ropes; 0: none */
    bool window_has_rope;                /* layers with a window take the second of the ropes */
    uint32_t experts, experts_used;      /* of a mixture: in a layer, and of those for one token; 0: no mixture */
    uint32_t dense_layers;               /* so many layers come before those with experts; UINT32_MAX: no key says */
    uint32_t expert_width, shared_width; /* inner widths: of an expert; of those that see all tokens, together */
    bool experts_sum_to_1;               /* the chosen experts' weights are scaled so */
    bool both_ways;                      /* tokens see those that follow too: a text is evaluated as a whole */
    bool encoder;                        /* so, and it has embeddings, no logits */
    uint32_t token_types;                /* kinds of tokens that its embeddings tell apart */
    uint32_t pooling;                    /* NB_POOLING_...: what the file wants */
    bool parallel;                       /* both blocks of a layer side by side, where a family has it either way */
    bool norms_last;                     /* of what the stream has become, where a family has them either way */
    bool layer_norm;                     /* norms are about the mean (Ba et al. 2016), else root mean squares */
    nb_head_norms head_norms;
    float norm_epsilon, attention_scale;                /* the latter usually 1 / sqrt(head_size) */
    float attention_cap, logit_cap;                     /* x becomes cap tanh(x / cap); 0: none */
    float embedding_scale, residual_scale, logit_scale; /* multiply: what enters, what a block adds, what leaves */
    nb_rope ropes[NB_ROPES]; /* the first, and another if layers differ; an unused one has no pairs */
} nb_shape;

#endif
