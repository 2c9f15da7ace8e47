/* nibble's integer engine: a Llama whose whole forward pass, from the token embedding to the logits and the choice of
 * the likeliest token, is integer arithmetic (Jacob et al. 2018). It is a WebAssembly module of its own, without any
 * floating-point instruction. docs/integer.md is the specification, and tests/oracles/integer_model.py implements it in
 * NumPy.
 *
 *   nb_integer_model    a file that `nibble quantize --method integer` wrote, in the caller's memory
 *   nb_integer_session  one sequence of tokens of it, and its KV cache
 *
 * It works on tokens only. They come from the engine of nibble.h, which reads the same file's tokenizer. The results
 * are the same on every device, in every build and for every number of threads.
 *
 * The rules and errors of nibble.h hold here, too. The module also exports nb_alloc, nb_free and the pool's
 * functions. */
#ifndef NIBBLE_INTEGER_H
#define NIBBLE_INTEGER_H

#include "nibble.h"

#pragma GCC visibility push(default)

typedef struct nb_integer_model nb_integer_model;
typedef struct nb_integer_session nb_integer_session;

/* file: all bytes, at an address that is a multiple of 4, as from nb_alloc. They must outlive the model, which does not
 * copy the weights. */
nb_integer_model *nb_integer_model_new(const uint8_t *file, size_t size, nb_error *err);
void nb_integer_model_free(nb_integer_model *model); /* NULL is fine; its sessions must be gone */
int32_t nb_integer_model_vocabulary(const nb_integer_model *model);
int32_t nb_integer_model_context(const nb_integer_model *model);

/* context: tokens that the KV cache holds. pool: NULL is fine; else it must outlive the session. */
nb_integer_session *nb_integer_session_new(const nb_integer_model *model, nb_pool *pool, uint32_t context,
                                           nb_error *err);
void nb_integer_session_free(nb_integer_session *session); /* NULL is fine */
/* Bytes of memory for a session; SIZE_MAX if it is more than can be addressed. */
size_t nb_integer_session_bytes(const nb_integer_model *model, nb_pool *pool, uint32_t context);

/* Like nb_session_advance, with NB_LOGITS_LAST or NB_LOGITS_ALL, and nb_session_holds. */
int32_t nb_integer_session_advance(nb_integer_session *session, const int32_t *tokens, int32_t n, uint32_t flags,
                                   nb_error *err);
int32_t nb_integer_session_holds(const nb_integer_session *session, const int32_t *tokens, int32_t n);

/* Empties the cache. */
void nb_integer_session_forget(nb_integer_session *session);

/* The logits of the last call, in units of 2^-16: [*rows, vocabulary]. *rows is 0 if that call made none. */
const int32_t *nb_integer_session_logits(const nb_integer_session *session, int32_t *rows);

/* The token with the largest logit in the last row; of several, the first. */
int32_t nb_integer_session_choose(const nb_integer_session *session, nb_error *err);

#pragma GCC visibility pop

#endif
