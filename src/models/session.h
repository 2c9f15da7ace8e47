/* A session: sequences of tokens, and the memory to compute batches of their tokens with a model. */
#ifndef NB_SESSION_H
#define NB_SESSION_H

#include "../base/threads.h"
#include "../kernels/activations.h"
#include "../kernels/attention.h"
#include "../kernels/kv_cache.h"
#include "../kernels/matmul.h"
#include "model.h"

typedef struct nb_rotation {
    const nb_rope *rope;
    float *frequencies;     /* [pairs] */
    float magnitude;        /* yarn: scales cosine and sine */
    float *cosines, *sines; /* [batch, pairs], of the current batch */
} nb_rotation;

/* An (index, weight) pair. In `choices`: an expert chosen for a token. In `members`: a token routed to this expert.
 * The weight multiplies what the expert makes of the token. */
typedef struct nb_choice {
    uint32_t index;
    float weight;
} nb_choice;

/* Calibration's hook; see is NULL in normal runs. It is called before the matrices of some jobs are multiplied with the
 * same x, [n, columns], in the order of the file's columns. If it returns false, nobody needs the products, and they
 * become zeros. */
typedef struct nb_observer {
    bool (*see)(void *context, const nb_matmul_job *jobs, uint32_t n_jobs, const float *x, uint32_t n);
    void *context;
    bool sees_zeros; /* x is 0 in columns of outliers (outliers.h); else it has their inputs, too */
} nb_observer;

/* A text, and where its keys and values are. */
typedef struct nb_sequence {
    uint32_t held;             /* its tokens whose keys and values are in the cache */
    uint32_t restored, pieces; /* tokens that nb_session_restore brings; pieces that it has taken */
    int32_t *tokens;           /* [held], of [context] */
    uint32_t *pages;           /* [n_pages], of [nb_cache_tiles(context)]: where the keys and values are (pages.h) */
    uint32_t n_pages;
    const nb_adapter *adapters[NB_MAX_ADAPTERS]; /* [n_adapters] (adapter.h) */
    float adapter_scales[NB_MAX_ADAPTERS];       /* [n_adapters] */
    uint32_t n_adapters;
} nb_sequence;

struct nb_session {
    const nb_model *model;
    nb_pool *pool;
    nb_arena arena; /* everything below */
    uint32_t context, batch;
    bool walks;                        /* it is nb_walk's: its cache has room for one layer, and it has no logits */
    uint64_t model_sum;                /* the model's checksum; 0: not computed yet (saving.c) */
    uint32_t broken;                   /* a layer that has computed numbers that are not finite, plus 1; 0: none */
    nb_sequence *sequences, *sequence; /* [n_sequences]; the selected one (nb_session_select) */
    uint32_t n_sequences;
    int32_t *tokens;                   /* [n_sequences, context]: memory for those of the sequences */
    uint32_t *pages;                   /* [n_sequences, nb_cache_tiles(context)], likewise */
    nb_run runs[NB_MAX_SEQUENCES];     /* [n_runs]: whose tokens the rows of the batch are */
    uint32_t n_runs, rows;             /* of the batch */
    int32_t *inputs;                   /* [rows], of [batch]: the tokens of the rows */
    uint32_t second;                   /* of a pair of texts: the second one's first token; 0: no pair */
    nb_cache cache;                    /* the layout of a tile */
    bool padded;                       /* the cache's heads are larger than the model's */
    uint8_t *tiles;                    /* [layers, kv_heads, n_pages] */
    size_t layer_bytes;                /* of a layer's tiles */
    uint32_t n_pages, free_page;       /* no page before free_page is free */
    uint8_t *page_users;               /* [n_pages]: how many sequences have it */
    nb_rotation rotations[NB_ROPES];   /* one for each of the shape's */
    float *x, *y;                      /* [batch, width]: the residual stream; a block's output */
    float *normed;                     /* [batch, width] */
    float *q, *attended;               /* [batch, heads * head_size], [batch, heads * value_size] */
    float *padded_q, *padded_attended; /* the same, where the cache's heads end in zeros */
    float *merged;                     /* [batch, q, k and v], if a layer has them as one matrix (qkv_whole) */
    float *new_k, *new_v;              /* [batch, kv_heads * head_size], [... value_size] */
    float *gate, *up;                  /* [batch, feed_forward], or what an expert needs */
    float *scores;                     /* [batch, experts]: the router's */
    nb_choice *choices;                /* [batch, experts_used] */
    nb_choice *members;                /* [batch]: tokens of the current expert */
    float *expert_in, *expert_out;     /* [batch, width]: their rows of normed, gathered; the expert's output */
    float *logits;                     /* [logits_capacity, vocabulary] */
    float *pooled;                     /* [2, widest]: an embedding between its steps */
    uint32_t logits_capacity, logits_rows;
    /* x holds these tokens as the last layer left them; 0 rows: something else was computed since */
    uint32_t scored_first, scored_rows;
    uint32_t logits_done; /* of a bidirectional model: rows of x whose logits were computed */
    nb_observer observer;
    nb_activations activations;
    float *ordered;     /* [batch, columns] in a matrix's own order, if any has one */
    float *of_outliers; /* [batch, rows]: products with outliers */
    uint64_t adapted_floats;
    float *adapted; /* [adapted_floats], owned: products with A and B of an adapter */
    float *matmul_scratch, *attention_scratch;
};

/* out = x W^T for each job. All products with the model's matrices go through here, so that the observer sees them.
 * x: [n, columns]; out: [n, rows]; NB_MATMUL_JOBS jobs at most, whose matrices have so many columns. false: some
 * products are zeros, as the observer does not need them. */
bool nb_session_multiply(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *jobs,
                         uint32_t n_jobs);

/* A session for nb_walk, also of partial models. The cache is F32, and all layers use the same one. *out: NULL if it
 * fails. */
int32_t nb_session_new_walk(const nb_model *model, nb_pool *pool, uint32_t window, nb_session **out, nb_error *err);

/* NB_OK if the context has room for n tokens; if tokens [first, first + rows) are in the vocabulary. */
int32_t nb_session_check_length(const nb_session *s, int32_t n, nb_error *err);
int32_t nb_session_check_tokens(const nb_session *s, const int32_t *tokens, uint32_t first, uint32_t rows,
                                nb_error *err);

/* The batch becomes tokens [first, first + rows) of this prefix. The selected sequence, which holds the tokens before
 * `first`, is about to hold these. */
void nb_session_place(nb_session *s, const int32_t *tokens, uint32_t first, uint32_t rows);

/* What precedes the layers: the batch's tokens -> the residual stream in s->x. */
void nb_session_begin(nb_session *s);

/* The residual stream in s->x passes through parts [from, to) of a layer (nb_family); through layers [from, to). */
int32_t nb_session_parts(nb_session *s, uint32_t layer, uint32_t from, uint32_t to, nb_error *err);
int32_t nb_session_layers(nb_session *s, uint32_t from, uint32_t to, nb_error *err);

/* Tokens [first, first + rows) of the prefix go through the layers: their residual stream is s->x afterwards. */
int32_t nb_session_evaluate(nb_session *s, const int32_t *tokens, uint32_t first, uint32_t rows, nb_error *err);

/* Logits of rows [row, row + rows) of the residual stream, s->logits_capacity of them at most. */
int32_t nb_session_compute_logits(nb_session *s, uint32_t row, uint32_t rows, nb_error *err);

/* The embedding of a text of n tokens by the file's own steps. Their last hidden states are all in s->x.
 * out: [nb_model_embedding_size] */
int32_t nb_session_pool(nb_session *s, uint32_t n, float *out, nb_error *err);

/* Notes that layer i has computed numbers that are not finite. Any thread may call it. */
void nb_session_break(nb_session *s, uint32_t i);

/* Refuses numbers that are not finite. Nothing that the session has computed stays. */
int32_t nb_session_refuse_numbers(nb_session *s, const char *what, nb_error *err);

/* NB_OK if such a session fits into the memory that is left; else the error says which context would fit. */
int32_t nb_session_check(const nb_model *model, nb_pool *pool, uint32_t context, uint32_t kv_type, uint32_t sequences,
                         nb_error *err);

#endif
