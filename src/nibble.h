/* nibble: quantized language models in WebAssembly (and natively, for its tests).
 *
 * The object model
 *
 *   nb_loader     reads a GGUF file, whose bytes arrive in order and in pieces, into a model. (nibble_convert.h makes
 *                 GGUF of other formats.)
 *   nb_model      what the file has: hyper-parameters, vocabulary, weights. Immutable; any number of sessions share it.
 *   nb_session    sequences of tokens with their KV cache, often only one, and buffers for a batch of their tokens.
 *                 The caller always passes a sequence's whole prefix; the session evaluates only the tokens that it
 *                 does not hold yet, and computes logits.
 *   nb_collector  watches a session, and collects an importance matrix for quantizers.
 *   nb_walk       takes texts through a model layer by layer, with one layer's weights in memory, for quantizers.
 *   nb_probe      measures how much a model's output changes if one of its tensors is replaced, for quantizers.
 *   nb_sampler    logits -> one token, seeded and reproducible.
 *   nb_detokenizer  tokens -> text that is always whole UTF-8.
 *   nb_pool       the threads that a session computes with.
 *
 * The data flow: bytes -> nb_loader -> nb_model; text -> nb_tokenize -> nb_session_advance -> nb_session_generate
 * (nb_session_logits, nb_sampler_next) -> nb_detokenizer_push -> text.
 *
 * Rules that hold everywhere
 *   - Nothing here prints, exits, or does I/O. Bad input is an error, never undefined behaviour.
 *   - A function that can fail takes an nb_error last, and returns a negative code or NULL; the message says what is
 *     wrong, where, and what to do. NB_OK is 0. Codes never change their number.
 *   - Nothing is allocated between nb_session_new and nb_session_free by advancing a session.
 *   - The exports of the WebAssembly builds are the functions of this header, under the same names: this is the one
 *     list. So arguments are pointers, size_t, 32-bit integers and floats: no 64-bit integers and no structs by value.
 */
#ifndef NIBBLE_H
#define NIBBLE_H

#include <stddef.h>
#include <stdint.h>

#pragma GCC visibility push(default) /* everything else is hidden: the builds export what this header declares */

/* ---- errors ------------------------------------------------------------------------------------------------ */

enum {
    NB_OK = 0,
    NB_ERR_TRUNCATED = -1,   /* the bytes end before what they promise */
    NB_ERR_FORMAT = -2,      /* the bytes violate their format */
    NB_ERR_UNSUPPORTED = -3, /* well-formed, but nibble does not support this type, architecture, tokenizer, ... */
    NB_ERR_MEMORY = -4,      /* an allocation failed, or a size does not fit the address space */
    NB_ERR_ARGUMENT = -5,    /* the caller passed something out of range */
    NB_ERR_CONTEXT = -6,     /* more tokens than the session's context holds */
    NB_ERR_STATE = -7        /* a call in the wrong order */
};

typedef struct nb_error {
    int32_t code;      /* NB_OK or one of the above */
    char message[508]; /* UTF-8, zero-terminated */
} nb_error;

/* ---- memory ------------------------------------------------------------------------------------------------ */

/* 64-byte aligned memory, or NULL. Freed memory is reused; a WebAssembly memory itself never shrinks. */
void *nb_alloc(size_t bytes);
void nb_free(void *p); /* NULL is fine */

/* ---- threads ----------------------------------------------------------------------------------------------- */

typedef struct nb_pool nb_pool;

/* A pool of n_threads, the caller being one of them: 1 needs no thread at all. In the native build the others are
 * started here; in WebAssembly the host starts each worker i = 1 ... n_threads-1 on its own instance of the module:
 * it sets the instance's __stack_pointer to nb_pool_stack(pool, i) and calls nb_pool_work(pool, i), which returns only
 * after nb_pool_stop. */
nb_pool *nb_pool_new(int32_t n_threads, nb_error *err);
void *nb_pool_stack(nb_pool *pool, int32_t worker); /* highest address of that worker's stack */
void nb_pool_work(nb_pool *pool, int32_t worker);
void nb_pool_stop(nb_pool *pool); /* ends the workers; the pool may then be freed */
void nb_pool_free(nb_pool *pool); /* NULL is fine */

/* 1 if the JavaScript engine's relaxed dot products, as its current compiler tier computes them, give the sums that
 * the kernels of this build rely on; 0 if not, or if this is not a relaxed build. Cheap: call it a few thousand times,
 * so that the top tier is tested. */
int32_t nb_probe_relaxed(void);

/* ---- loading ----------------------------------------------------------------------------------------------- */

typedef struct nb_loader nb_loader;
typedef struct nb_model nb_model;

enum {
    NB_LOAD_ALL = 0,
    NB_LOAD_HEADER = 1, /* stop after the header: enough to inspect a file and to tokenize with it */
    /* The file may lack tensors. Only nb_walk accepts such a model. It has a tokenizer if it has token_embd.weight. */
    NB_LOAD_PART = 2 /* both flags: only the header of such a file */
};

/* total_bytes: the file's size if known, else 0 (a double, exact to 2^53, so that JavaScript can pass it). */
nb_loader *nb_loader_new(double total_bytes, uint32_t flags, nb_error *err);

/* Makes loading check, after the header and before the weights, that a session of this pool, context, kv_type and
 * number of sequences (nb_session_new) fits beside the weights. If not, the error says which context would fit.
 * at_most: use the model's own context if that is smaller. Call it before the first bytes are committed; pool must
 * outlive the loader. */
void nb_loader_expect(nb_loader *loader, nb_pool *pool, uint32_t context, uint32_t at_most, uint32_t kv_type,
                      uint32_t sequences);

/* Where the file's next bytes go, and how many fit. *capacity = 0: the loader needs no more bytes.
 * The address is good until the next nb_loader_commit. */
uint8_t *nb_loader_space(nb_loader *loader, size_t *capacity);

/* Processes the n <= capacity bytes that were written there. */
int32_t nb_loader_commit(nb_loader *loader, size_t n, nb_error *err);

/* Bytes of the whole file: total_bytes, or if that is 0, what the header implies; 0 while neither is known. */
double nb_loader_total(const nb_loader *loader);

/* The name of the tensor whose bytes come next, or at which loading failed. It is empty before the header is complete
 * and has passed all checks, and at the end. Writes at most capacity bytes, zero-terminated; returns the name's
 * length. */
size_t nb_loader_tensor(const nb_loader *loader, char *out, size_t capacity);

/* Returns the model; the loader must still be freed. NB_ERR_TRUNCATED if bytes are missing. */
nb_model *nb_loader_finish(nb_loader *loader, nb_error *err);
void nb_loader_free(nb_loader *loader); /* NULL is fine */

void nb_model_free(nb_model *model); /* NULL is fine; its sessions must be gone */

/* Everything there is to know about the file, as one JSON object (see models/describe.c for its members).
 * Writes at most capacity bytes, zero-terminated; returns the length of the whole text, as snprintf does. */
size_t nb_model_describe(const nb_model *model, char *out, size_t capacity);

/* How many tokens can be evaluated, and have a logit. A tokenizer may have more, as with some fine-tunes: evaluating
 * such a token is an error, and it is never sampled. */
int32_t nb_model_vocabulary(const nb_model *model);
int32_t nb_model_context(const nb_model *model);               /* context length that the model was trained for */
int32_t nb_model_width(const nb_model *model);                 /* numbers in a token's vector */
int32_t nb_model_embedding_size(const nb_model *model);        /* numbers in an embedding, by the file's own pooling */
int32_t nb_model_is_end(const nb_model *model, int32_t token); /* 1 if the token ends a generation (EOS, EOT, ...) */
/* The type's number in GGUF, such as 4 for user-defined; 0: there is no such token. */
int32_t nb_model_token_type(const nb_model *model, int32_t token);

/* ---- text -------------------------------------------------------------------------------------------------- */

enum {
    NB_TOKENIZE_BARE = 0,
    NB_TOKENIZE_ADD_SPECIAL = 1,  /* add the beginning and end tokens that the model expects */
    NB_TOKENIZE_PARSE_SPECIAL = 2 /* special tokens written in the text become those tokens; else they are text */
};

/* UTF-8 (broken sequences are tolerated: see text/tokenizer.h) -> token ids. Returns the number of tokens; if that is
 * more than capacity, nothing past capacity was written and the call should be repeated with that capacity. A model
 * remembers words of long texts, so only one thread at a time may tokenize with it. */
int32_t nb_tokenize(const nb_model *model, const char *text, size_t text_bytes, uint32_t flags, int32_t *tokens,
                    int32_t capacity, nb_error *err);

/* A span of a text whose author may not write special tokens, such as a message within a chat's prompt. */
typedef struct nb_quote {
    uint32_t from, to; /* bytes [from, to) */
    uint32_t kind;     /* 0 to 31, for nb_plain */
} nb_quote;

/* A user-defined token that also counts as text within quotes of some kinds. */
typedef struct nb_plain {
    int32_t token;
    uint32_t kinds; /* bits 1 << kind */
} nb_plain;

/* As nb_tokenize, for a text with quotes, which are in ascending order and do not overlap. If a quote overlaps the name
 * of a special token in the text, the name is text: that of a control token always, that of a user-defined token if
 * `plain` says so. */
int32_t nb_tokenize_quoted(const nb_model *model, const char *text, size_t text_bytes, uint32_t flags,
                           const nb_quote *quotes, size_t n_quotes, const nb_plain *plain, size_t n_plain,
                           int32_t *tokens, int32_t capacity, nb_error *err);

typedef struct nb_detokenizer nb_detokenizer;

enum {
    NB_DETOKENIZE_TEXT = 0,    /* special tokens give no text */
    NB_DETOKENIZE_SPECIAL = 1, /* special tokens give their names */
    /* The tokens are a whole text, not a piece of a stream: the space that the tokenizer puts before a text is removed,
     * and the result is what the decoders of a tokenizer.json give. (If the model's description says cleansUp,
     * transformers also removes spaces before punctuation: that is left to the caller.) */
    NB_DETOKENIZE_WHOLE = 2
};

/* A streaming decoder: it keeps the bytes of an incomplete character back. */
nb_detokenizer *nb_detokenizer_new(const nb_model *model, uint32_t flags, nb_error *err);
/* The text that this token completes: writes at most capacity bytes of whole UTF-8 (not zero-terminated), returns its
 * length, which may be 0; if that is more than capacity nothing was consumed: repeat with that capacity. Invalid bytes
 * come out as U+FFFD. A token that the tokenizer does not know has no text: many models have more rows in their
 * embedding than their tokenizer has tokens. */
int32_t nb_detokenizer_push(nb_detokenizer *d, int32_t token, char *out, int32_t capacity, nb_error *err);
/* Ends the text: gives what is still kept back, an incomplete character as U+FFFD, and starts anew. Returns as
 * nb_detokenizer_push. */
int32_t nb_detokenizer_flush(nb_detokenizer *d, char *out, int32_t capacity);
/* The bytes that nb_detokenizer_push would add to the text for this token: they may be a part of a character. Writes
 * them if capacity is enough, consumes nothing, and returns how many there are; 0 also if there is no such token. A
 * space that NB_DETOKENIZE_WHOLE removes is among them. */
int32_t nb_detokenizer_bytes(nb_detokenizer *d, int32_t token, char *out, int32_t capacity, nb_error *err);
void nb_detokenizer_free(nb_detokenizer *d); /* NULL is fine */

/* ---- sessions ---------------------------------------------------------------------------------------------- */

typedef struct nb_session nb_session;

/* How finely activations are rounded before they are multiplied with quantized weights. */
enum {
    NB_PRECISION_EXACT = 0, /* 16 bits: logits within about 1e-2 of what the weights say */
    NB_PRECISION_FAST = 1   /* 8 bits where that is faster (relaxed builds), as llama.cpp does */
};

/* context: tokens that a sequence can hold (0: the model's own). batch: tokens evaluated together in a prompt, at most
 * (0: a good default). kv_type: NB_TYPE_I16 (25), which is fast, NB_TYPE_Q8_0 (8), half as large, NB_TYPE_Q4_0 (2), a
 * quarter, NB_TYPE_Q8_0 + 256 NB_TYPE_Q4_0 (520), keys in Q8_0 and values in Q4_0, NB_TYPE_F16 (1) or NB_TYPE_F32 (0):
 * kernels/kv_cache.h. sequences: how many there are, 1 to NB_MAX_SEQUENCES, each with room for a whole context.
 * Sequence 0 is selected. The pool must outlive the session. */
enum { NB_MAX_SEQUENCES = 64 };
nb_session *nb_session_new(const nb_model *model, nb_pool *pool, uint32_t context, uint32_t batch, uint32_t kv_type,
                           uint32_t precision, uint32_t sequences, nb_error *err);
void nb_session_free(nb_session *session); /* NULL is fine */
/* The bytes of memory that such a session needs, also if only the model's header was loaded; 0: it could not be made. */
double nb_session_bytes(const nb_model *model, uint32_t context, uint32_t batch, uint32_t kv_type, uint32_t sequences);

/* Functions that do not name a sequence work on the selected one: this, from now on. If it was another one, its logits
 * are gone. */
int32_t nb_session_select(nb_session *session, uint32_t sequence, nb_error *err);

/* The selected sequence forgets what it held, and gets the first n tokens of sequence `from`, with its adapters. Their
 * keys and values are in memory once, until one of the two sequences writes to a part that they share. `from` may be
 * the selected sequence: it then keeps its first n tokens. */
int32_t nb_session_fork(nb_session *session, uint32_t from, int32_t n, nb_error *err);

/* What a sequence wants of nb_session_advance_all. */
typedef struct nb_turn {
    uint32_t sequence;
    int32_t n;     /* tokens of its whole prefix */
    uint32_t most; /* tokens that are evaluated, at most */
    int32_t held;  /* result: tokens of the prefix that it holds now */
    int32_t row;   /* result: which row of the logits follows its last token; -1: it does not hold all of them yet */
} nb_turn;

/* Advances several sequences by one batch, which reads the weights once. turns[n]: one for each sequence; tokens[n]:
 * their prefixes. In this order each sequence gets as many rows of the batch as it asks for, or as are left. The
 * numbers of a row are those that it would have alone. All sequences must have the same adapters. nb_session_logits
 * then gives the address of the logits, but 0 as the number of rows if there were several turns: `row` of each turn
 * says which row is its own. If the call fails, these sequences hold nothing. The sequence of turns[0] is selected
 * afterwards. */
int32_t nb_session_advance_all(nb_session *session, nb_turn *turns, const int32_t *const *tokens, uint32_t n,
                               nb_error *err);

enum {
    NB_LOGITS_LAST = 0, /* logits of the prefix's last token only */
    NB_LOGITS_ALL = 1   /* logits of every token evaluated */
};

/* tokens[n]: the whole prefix. Keeps the part that the cache holds already, evaluates at most one batch of the rest,
 * and returns how many tokens of the prefix the cache holds now: repeat until that is n. At least the last token is
 * evaluated anew, so that its logits exist. A bidirectional model (attention.causal is false) evaluates all of the
 * prefix in the first call; only NB_LOGITS_ALL is possible. Each call then gives the logits of some more tokens, and
 * returns for how many tokens there have been logits so far: repeat until that is n, too. */
int32_t nb_session_advance(nb_session *session, const int32_t *tokens, int32_t n, uint32_t flags, nb_error *err);

/* How many of tokens[n], from the first on, the cache holds. */
int32_t nb_session_holds(const nb_session *session, const int32_t *tokens, int32_t n);

/* Forgets the tokens [keep, keep + drop) of those that the cache holds. Those that follow take their places: their keys
 * are rotated for the new positions, and nothing is evaluated (models/shifting.c). Such a cache is not that of the text
 * that is left, but it mostly goes on as well. Learned positions and attention in both directions are refused, also
 * with drop 0, which does nothing. */
int32_t nb_session_shift(nb_session *session, int32_t keep, int32_t drop, nb_error *err);

/* Logits of the last call: [rows, vocabulary] F32. LAST: one row, once the whole prefix is held (else 0 rows);
 * ALL: one row for each token that the call evaluated. */
float *nb_session_logits(nb_session *session, int32_t *rows);

/* A LoRA adapter for a model: a GGUF of llama.cpp's convert_lora_to_gguf.py, all `size` bytes of it (models/adapter.h).
 * The bytes are not needed afterwards; the adapter needs the model, and no session may use it when it is freed. */
typedef struct nb_adapter nb_adapter;
nb_adapter *nb_adapter_new(const nb_model *model, const uint8_t *bytes, size_t size, nb_error *err);
void nb_adapter_free(nb_adapter *adapter);          /* NULL is fine */
double nb_adapter_bytes(const nb_adapter *adapter); /* of memory */

/* From now on the selected sequence is computed with these n adapters, each multiplied by its scale, in place of those
 * of before. It forgets its tokens, as they were computed with others. The adapters are of the session's model. */
enum { NB_MAX_ADAPTERS = 16 };
int32_t nb_session_adapt(nb_session *session, const nb_adapter *const *adapters, const float *scales, uint32_t n,
                         nb_error *err);

/* Saving what the selected sequence holds, to go on later without evaluating it again. The bytes come in pieces, so
 * that nobody needs memory for all of them: piece 0 has NB_SAVED_HEAD bytes, piece 1 the tokens, and each further one
 * the keys and values of a KV head. Returns the size of piece i, and writes it unless out is NULL; 0: there are no
 * more. out: aligned to 8 bytes. Bidirectional models hold nothing to go on from: NB_ERR_UNSUPPORTED. */
enum { NB_SAVED_HEAD = 48 };
int32_t nb_session_save(nb_session *session, int32_t piece, uint8_t *out, nb_error *err);

/* Restores what was saved into the selected sequence, piece after piece, beginning with piece 0; returns the size of
 * the next one, or 0 after the last. The session must be of the same model, loaded in the same way, with the same type
 * of KV cache and enough context; its precision may differ. All of this is checked, and checksums find damage. The
 * sequence holds nothing until the last piece is in. */
int32_t nb_session_restore(nb_session *session, int32_t piece, const uint8_t *bytes, size_t size, nb_error *err);

/* How the tokens' vectors are pooled: GGUF's numbers. */
enum {
    /* What the file says (models/embedding.h). Where it says nothing: the mean, or the last token if attention is
     * causal. */
    NB_POOLING_FILE = 0,
    NB_POOLING_MEAN = 1,
    NB_POOLING_CLS = 2, /* the first token's */
    NB_POOLING_LAST = 3
};

/* A text's embedding: the tokens' last hidden states, pooled without the first `unpooled` tokens, such as a prompt.
 * Tokens from `second` on are of the second type, as those of a pair's second text are in BERT; 0: all are of the
 * first.
 *   NB_POOLING_FILE: then the steps that the file names. out: [nb_model_embedding_size].
 *   Others: the result is scaled to length 1. out: [nb_model_width].
 * Evaluates one batch and returns how many tokens are done. Repeat with that as `done`, which is 0 at first, until
 * it is n: only then is `out` written. In between the session must not be used for anything else. Afterwards the
 * session holds these tokens, or none if the model is bidirectional. */
int32_t nb_session_embed(nb_session *session, const int32_t *tokens, int32_t n, int32_t done, uint32_t unpooled,
                         uint32_t second, uint32_t pooling, float *out, nb_error *err);

/* How likely the model finds a text: scores[i] = -ln p(tokens[i] | tokens[0 ... i - 1]) for i in [from, n), 1 <=
 * from <= n; the rest of scores[n] stays. The exponential of their mean is the perplexity. Evaluates one batch and
 * returns how many tokens are done: repeat as nb_session_embed. With from = n no logits are computed, which is for
 * nb_collector. */
int32_t nb_session_score(nb_session *session, const int32_t *tokens, int32_t n, int32_t done, int32_t from,
                         float *scores, nb_error *err);

/* ---- comparing two models ----------------------------------------------------------------------------------- */

/* Computes logits of tokens [first, first + rows) of the batch that nb_session_score evaluated last, or of as many of
 * them as fit; returns how many. nb_session_logits has them. */
int32_t nb_session_project(nb_session *session, int32_t first, int32_t rows, nb_error *err);

/* The numbers for each token that is compared, as doubles. */
enum {
    NB_COMPARED_BASE = 0,       /* -ln p(next token), by the base */
    NB_COMPARED_OTHER = 1,      /* the same by this session's model */
    NB_COMPARED_DIVERGENCE = 2, /* KL(base || other) of what they expect next, in nats: models/compare.c */
    NB_COMPARED_SAME_TOP = 3,   /* 1: both find the same token likeliest, else 0 */
    NB_COMPARED_NUMBERS = 4
};

/* Compares this session's logits of those tokens with the base's of the same tokens. rows: no more than one call of
 * nb_session_project gives. base: [rows, vocabulary]; next: [rows], the tokens that follow; out: [rows,
 * NB_COMPARED_NUMBERS]. */
int32_t nb_session_compare(nb_session *session, int32_t first, int32_t rows, const float *base, const int32_t *next,
                           double *out, nb_error *err);

/* How many matrices the model has. A merged matrix of the file that the model splits counts as several. */
int32_t nb_model_matrices(const nb_model *model);

typedef struct nb_matrix_facts {
    uint32_t type, rows, columns;
    int32_t layer; /* -1: of no layer */
    char kind[48]; /* the tensor's name without its layer, such as "ffn_down.weight", zero-terminated */
} nb_matrix_facts;
int32_t nb_model_matrix(const nb_model *model, int32_t i, nb_matrix_facts *facts, nb_error *err);

/* Rows of matrix i as F32: [rows, columns]. The order of rows and columns is the same for GGUFs and folders. */
int32_t nb_model_weights(const nb_model *model, int32_t i, int32_t row, int32_t rows, float *out, nb_error *err);

/* The root mean square of a matrix's weights. 0 also if there is no such matrix, or no memory for a row. */
double nb_model_matrix_rms(const nb_model *model, int32_t i);

enum { NB_WEIGHT_BINS = 80, NB_WEIGHT_RANGE = 4 };

/* Compares rows of matrix i with the base's, and adds what it finds to squares and bins. squares: [2], the sums of
 * squares of the differences and of the base's weights. bins: [2, NB_WEIGHT_BINS], how many weights of the base and of
 * this model lie in each of the bins, which divide -NB_WEIGHT_RANGE to NB_WEIGHT_RANGE times `unit`. */
int32_t nb_model_weights_compare(const nb_model *model, int32_t i, int32_t row, int32_t rows, const float *base,
                                 float unit, double *squares, uint32_t *bins, nb_error *err);

/* ---- calibration ------------------------------------------------------------------------------------------- */

typedef struct nb_collector nb_collector;

enum { NB_IMATRIX_DAT = 0, NB_IMATRIX_GGUF = 1 }; /* file formats of llama.cpp's tools/imatrix: quant/imatrix.h */

/* Collects an importance matrix: from now on, as the session evaluates tokens, it adds up the squares of the inputs of
 * each column of each matrix of the layers. Free the session first. */
nb_collector *nb_collector_new(nb_session *session, nb_error *err);

/* Writes what was collected as a file. chunk_size: the tokens of a window, as the file says how many windows there
 * were. text: a name of the text. Returns the file's size; if capacity is not more than that, `out` is of no use:
 * repeat with size + 1. */
int32_t nb_collector_write(const nb_collector *collector, uint32_t format, uint32_t chunk_size, const char *text,
                           size_t text_bytes, uint8_t *out, size_t capacity, nb_error *err);
void nb_collector_free(nb_collector *collector); /* NULL is fine */

/* A walk takes texts through a model one layer at a time. Between layers it keeps the residual stream of every token,
 * so only the weights of one layer have to be in memory. It gives quantizers the statistics that they need, and takes
 * the quantized weights back, so that the following layers are computed with them:
 *
 *     walk = nb_walk_new(pool, tokens, windows, window)
 *     nb_walk_begin(walk, ends)                    ends: a model that has the tensors outside the layers
 *     for each layer:
 *         n = nb_walk_layer(walk, model, layer)    model: has all tensors of this layer
 *         for each group of n, in order:
 *             before the first group of the layer's second part: nb_walk_pass_part(walk, ...) until all tokens are done
 *             nb_walk_observe(walk, group, NB_WALK_HESSIANS, ...) until all tokens are done
 *             quantize each matrix of the group (nb_walk_matrix) with nb_walk_hessian, _mean and _largest
 *             nb_walk_replace(walk, the matrix, ...)
 *         nb_walk_pass(walk, ...) until all tokens are done
 *
 * A group is the matrices that are multiplied with the same vectors: q, k and v; o; gate and up; down. A router is a
 * group of its own. Groups are in the order in which they are computed, so a later one sees what an earlier one was
 * replaced by. Matrices of experts hold all experts of a layer; each expert has its own vectors and its own statistics.
 * The models may be partial (NB_LOAD_PART) or whole. A partial model with a layer also needs the factors of RoPE
 * (rope_freqs, rope_factors_*), if the model has any. */
typedef struct nb_walk nb_walk;

/* tokens: [windows, window]; each window is a text of its own, and as long as the context. The streams take
 * windows * window * nb_model_width floats. The pool must outlive the walk; NULL: one thread. */
nb_walk *nb_walk_new(nb_pool *pool, const int32_t *tokens, uint32_t windows, uint32_t window, nb_error *err);
void nb_walk_free(nb_walk *walk); /* NULL is fine */

/* The residual streams become what the first layer is given. `ends` may be freed then. Once a walk. */
int32_t nb_walk_begin(nb_walk *walk, const nb_model *ends, nb_error *err);

/* The layer to work on: the next one, or the same again. Returns how many groups it has. The model must stay until
 * nb_walk_pass is done, or until nb_walk_free, and only the walk may use it: nb_walk_replace changes its weights. */
int32_t nb_walk_layer(nb_walk *walk, nb_model *model, uint32_t layer, nb_error *err);

/* Matrix i of a group: writes its tensor's name, zero-terminated, at most capacity bytes of it. Returns the name's
 * length, or 0 if there is no such group or matrix. sides[4]: columns; rows, those of one expert if the matrix is of
 * experts; the number of experts, else 1; and the part of the layer, 0 or 1. Matrices that the file has as one tensor
 * (attn_qkv) are one. Experts that it has one by one (blk.0.ffn_gate.3.weight) are one matrix, too, with the name of a
 * stack (blk.0.ffn_gate_exps.weight). */
size_t nb_walk_matrix(const nb_walk *walk, uint32_t group, uint32_t i, uint32_t sides[4], char *name, size_t capacity);

enum {
    NB_WALK_MEANS = 0,    /* mean |x|, max |x| and the number of vectors */
    NB_WALK_HESSIANS = 1, /* these, and the sums of x x^T: columns * columns floats for each expert of each group */
    NB_WALK_RANGES = 2,   /* a bit that may be added: histograms, for ranges of static activations */
    NB_WALK_ALL = -1      /* as a group: all groups of the layer */
};

/* Computes statistics of the vectors x that the matrices of a group are multiplied with. x counts as 0 in columns of
 * outliers (X.outliers): the matrix's own weights have no effect there, so a quantizer may not move errors into these
 * columns. The streams stay as they are, and only what the group depends on is computed. Evaluates one batch of tokens,
 * and returns how many tokens are done. Repeat with that as `done`, which is 0 at first, until it is windows * window.
 * Before that there are no results, and nb_walk_replace, nb_walk_note and nb_walk_change are errors. `done` 0 begins
 * anew, and frees the results of the last time. */
int32_t nb_walk_observe(nb_walk *walk, int32_t group, uint32_t what, int32_t done, nb_error *err);

/* The statistics of a group, of one of its experts (0: it has none). NULL if there are none. Columns are those of the
 * file's tensors. They stay until the next nb_walk_observe, nb_walk_pass or nb_walk_layer.
 *   _hessian: the sum of x x^T over all vectors, [columns, columns], symmetric. GPTQ's H is 2 / count times that.
 *   _mean: mean |x| of each column, [columns]; 0 if there was no vector.
 *   _largest: max |x| of each column, [columns].
 *   _count: how many vectors there were.
 *   _range: NB_RANGE_BYTES bytes for nb_quantizer_input, if NB_WALK_RANGES was asked for. */
const float *nb_walk_hessian(const nb_walk *walk, uint32_t group, uint32_t expert);
const float *nb_walk_mean(const nb_walk *walk, uint32_t group, uint32_t expert);
const float *nb_walk_largest(const nb_walk *walk, uint32_t group, uint32_t expert);
int32_t nb_walk_count(const nb_walk *walk, uint32_t group, uint32_t expert);
enum { NB_RANGE_BYTES = 32808 };
const void *nb_walk_range(const nb_walk *walk, uint32_t group, uint32_t expert);

/* Replaces the weights of a tensor of this layer by these `size` bytes: blocks of a type, as a GGUF file has them.
 * name: as nb_walk_matrix gives it, or a vector's ("blk.0.attn_norm.weight"). Matrices of experts are replaced
 * together. Order of columns and scale of the tensor stay (nb_matrix). */
int32_t nb_walk_replace(nb_walk *walk, const char *name, size_t name_bytes, uint32_t type, const uint8_t *bytes,
                        size_t size, nb_error *err);

/* Whether a layer still computes the same after its weights were replaced, as it must after folding. nb_walk_note
 * stores the layer's outputs for the first tokens. nb_walk_change computes them again, and returns the norm of the
 * difference, divided by the norm of what the layer had added to the streams. Infinity or NaN if outputs are not
 * finite; a negative code if it fails. The streams stay as they are. */
int32_t nb_walk_note(nb_walk *walk, nb_error *err);
double nb_walk_change(nb_walk *walk, nb_error *err);

/* The streams become what the layer, with its weights as they are now, makes of them. Repeat as nb_walk_observe. After
 * that comes the next layer. */
int32_t nb_walk_pass(nb_walk *walk, int32_t done, nb_error *err);

/* The same for the layer's first part, which is attention, after all its matrices have their final weights: it need not
 * be computed again for the second part. Groups of the first part cannot be observed any more. If attention and the
 * feed-forward network are parallel, all groups are in part 0, and this is an error: no observation computes the other
 * block. */
int32_t nb_walk_pass_part(nb_walk *walk, int32_t done, nb_error *err);

/* The residual streams now: [windows * window, width]. NULL before nb_walk_begin. */
const float *nb_walk_streams(const nb_walk *walk);

/* A probe measures how much the model's output changes if a tensor is replaced: the KL divergence from the original
 * output over some tokens; of an encoder, 1 - the cosine of a window's embedding and the original one. It stores the
 * original outputs, windows * window * nb_model_vocabulary floats (windows * nb_model_embedding_size), and the residual
 * streams before the current layer, so that earlier layers need not be computed again:
 *
 *     probe = nb_probe_new(model, pool, tokens, windows, window)
 *     nb_probe_run(probe, NB_PROBE_BASE, ...) until all tokens are done
 *     for each tensor outside the layers: nb_probe_replace(...), nb_probe_run(probe, NB_PROBE_WHOLE, ...), and its own
 *         weights are put back with nb_probe_replace
 *     for each layer:
 *         for each of its tensors: the same with NB_PROBE_REST
 *         nb_probe_run(probe, NB_PROBE_NEXT, ...) */
typedef struct nb_probe nb_probe;

/* tokens: [windows, window], as nb_walk_new. Only the probe may use the model, which must outlive it. */
nb_probe *nb_probe_new(nb_model *model, nb_pool *pool, const int32_t *tokens, uint32_t windows, uint32_t window,
                       nb_error *err);
void nb_probe_free(nb_probe *probe); /* NULL is fine */

enum {
    NB_PROBE_BASE = 0,  /* stores the original outputs: the first run of all */
    NB_PROBE_WHOLE = 1, /* computes all layers, and compares */
    NB_PROBE_REST = 2,  /* computes the current layer and those after it, and compares */
    NB_PROBE_NEXT = 3   /* the streams pass through the current layer, and the next layer becomes the current one */
};

/* Evaluates one batch of tokens, and returns how many are done: repeat with that as `done`, which is 0 at first, until
 * it is windows * window. Comparing adds the divergences of the batch's tokens to *sum, in nats. Of an encoder it adds
 * the change of the window's embedding, once for each of its tokens. */
int32_t nb_probe_run(nb_probe *probe, uint32_t what, int32_t done, double *sum, nb_error *err);

/* Replaces a tensor of the current layer, or one outside the layers, as nb_walk_replace does. */
int32_t nb_probe_replace(nb_probe *probe, const char *name, size_t name_bytes, uint32_t type, const uint8_t *bytes,
                         size_t size, nb_error *err);

/* ---- sampling ---------------------------------------------------------------------------------------------- */

typedef struct nb_sampler nb_sampler;

/* Steps that leave candidates out, or change their probabilities. */
enum {
    NB_STEP_TOP_SIGMAS = 1,
    NB_STEP_TOP_K,
    NB_STEP_TYPICAL,
    NB_STEP_TOP_P,
    NB_STEP_MIN_P,
    NB_STEP_XTC,
    NB_STEP_TEMPERATURE
};
/* All of them in llama.cpp's order. */
#define NB_STEPS_DEFAULT 0x7654321u

/* First come the logit bias, the repetition, frequency and presence penalties, and DRY; then the likeliest token if
 * temperature = 0; else the steps, mirostat, and a draw. */
typedef struct nb_sampler_params {
    float temperature; /* 0: greedy */
    /* The temperature depends on the entropy: from temperature - range, but at
     * least 0, to temperature + range. 0: off */
    float temperature_range;
    float temperature_exponent;
    int32_t top_k;           /* 0: off */
    float top_p;             /* 1: off */
    float min_p;             /* 0: off */
    float typical_p;         /* 1: off */
    float top_sigmas;        /* 0: off */
    float xtc_probability;   /* that XTC leaves out the top choices; 0: off */
    float xtc_threshold;     /* the least probability of a top choice */
    float repeat_penalty;    /* 1: off. Keskar et al. 2019, section 4.1 */
    float presence_penalty;  /* 0: off */
    float frequency_penalty; /* 0: off */
    int32_t penalty_last;    /* tokens that the penalties look back; 0: off, -1: all */
    float dry_multiplier;    /* 0: off */
    float dry_base;
    int32_t dry_allowed_length;
    int32_t dry_last;   /* as penalty_last */
    uint32_t mirostat;  /* 0: off; else its version, 1 or 2 */
    float mirostat_tau; /* bits */
    float mirostat_eta; /* how fast mu follows */
    uint32_t steps;     /* NB_STEP_...: the first in the lowest four bits, and so on up to a 0; none twice */
    uint32_t seed;
} nb_sampler_params; /* 23 words of 32 bits */

/* A number that is added to the logit of a token. */
typedef struct nb_bias {
    int32_t token;
    float bias;
} nb_bias;

/* biases: [n_biases]. */
nb_sampler *nb_sampler_new(const nb_model *model, const nb_sampler_params *params, const nb_bias *biases,
                           int32_t n_biases, nb_error *err);
/* A text that ends repetitions for DRY: 1 to 63 bytes, at most 32 of them. The model is that of the sampler, and must
 * outlive it. */
int32_t nb_sampler_break(nb_sampler *sampler, const nb_model *model, const char *text, size_t text_bytes,
                         nb_error *err);
/* logits[vocabulary] is changed in place. tokens[n]: the prefix so far, for the penalties. Returns the chosen token. */
int32_t nb_sampler_next(nb_sampler *sampler, float *logits, const int32_t *tokens, int32_t n);
void nb_sampler_free(nb_sampler *sampler); /* NULL is fine */

/* Writes the tokens that follow tokens[n]: `count` of them, or fewer if one ends the generation and past_end is 0.
 * tokens has room for n + count; n + count - 1 <= the context. Returns how many. The last one is not evaluated: the
 * next call does that. A long prompt should go through nb_session_advance first, which works batch by batch; here it is
 * evaluated in one call. Afterwards nb_session_logits returns 0 rows: sampling has overwritten them. */
int32_t nb_session_generate(nb_session *session, nb_sampler *sampler, int32_t *tokens, int32_t n, int32_t count,
                            uint32_t past_end, nb_error *err);

/* Speculation (Leviathan et al. 2023): tokens[n, n + guesses) are guesses of what follows tokens[n], whose first n - 1
 * tokens the session holds. Evaluates the prefix's last token and the guesses as one batch, which reads the weights
 * once, and chooses a token after each, until one is not what was guessed, or ends the generation while past_end is 0.
 * Writes the chosen tokens over the guesses and returns how many they are: 1 to guesses + 1. They are those that
 * nb_session_generate would choose. guesses: 0 to NB_MAX_GUESSES, and less than the session's batch; tokens has room
 * for n + guesses + 1, and n + guesses <= the context. */
enum { NB_MAX_GUESSES = 7 };
int32_t nb_session_speculate(nb_session *session, nb_sampler *sampler, int32_t *tokens, int32_t n, int32_t guesses,
                             uint32_t past_end, nb_error *err);

#pragma GCC visibility pop

#endif
