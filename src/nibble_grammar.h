/* nibble's grammars: which tokens may come next, if an answer has to follow a grammar. It is a WebAssembly module of
 * its own, which is fetched only if a request has a grammar. It knows nothing of models: a vocabulary is a list of
 * bytes.
 *
 *   nb_lexicon   the bytes of a model's tokens, sorted.
 *   nb_grammar   a grammar in GBNF, compiled, with what is known of its masks. It grows while it is used.
 *   nb_matcher   one place in one text: how far an answer follows its grammar.
 *
 * In this order: nb_lexicon_new, nb_grammar_new, nb_matcher_new; then for each token nb_matcher_mask, the choice of a
 * token whose bit is 1, and nb_matcher_accept.
 *
 * The rules and errors of nibble.h apply; nb_alloc and nb_free are here, too. docs/structured.md describes GBNF. */
#ifndef NIBBLE_GRAMMAR_H
#define NIBBLE_GRAMMAR_H

#include "nibble.h"

#pragma GCC visibility push(default)

typedef struct nb_lexicon nb_lexicon;
typedef struct nb_grammar nb_grammar;
typedef struct nb_matcher nb_matcher;

/* lengths: [n_tokens], the bytes of each token's text, which lie one after another in bytes[n_bytes]. A token without
 * bytes, such as a control token, is never allowed. ends: [n_ends], the tokens that end an answer; their own bytes do
 * not count. Everything is copied. */
nb_lexicon *nb_lexicon_new(const uint8_t *bytes, size_t n_bytes, const uint32_t *lengths, uint32_t n_tokens,
                           const uint32_t *ends, uint32_t n_ends, nb_error *err);
void nb_lexicon_free(nb_lexicon *lexicon); /* NULL is fine; its grammars must be gone */

/* text: GBNF, UTF-8. lexicon: NULL if texts will be matched, but no tokens. */
nb_grammar *nb_grammar_new(const char *text, size_t text_bytes, const nb_lexicon *lexicon, nb_error *err);
void nb_grammar_free(nb_grammar *grammar); /* NULL is fine; its matchers must be gone */

/* A matcher at the beginning of a text. */
nb_matcher *nb_matcher_new(nb_grammar *grammar, nb_error *err);
nb_matcher *nb_matcher_clone(const nb_matcher *matcher, nb_error *err);
int32_t nb_matcher_reset(nb_matcher *matcher, nb_error *err);
void nb_matcher_free(nb_matcher *matcher); /* NULL is fine */

/* Goes on by these bytes. Returns 1; or 0 if the grammar does not allow them: then nothing has changed. */
int32_t nb_matcher_take(nb_matcher *matcher, const uint8_t *bytes, size_t n, nb_error *err);
/* Goes on by a token. Returns as nb_matcher_take; a token that ends an answer changes nothing. */
int32_t nb_matcher_accept(nb_matcher *matcher, uint32_t token, nb_error *err);

enum {
    NB_MATCHER_OPEN = 0, /* the text must go on */
    NB_MATCHER_MAY_END = 1,
    NB_MATCHER_ENDS = 2 /* nothing can follow */
};
int32_t nb_matcher_end(const nb_matcher *matcher);

/* Writes one bit for each token, the lowest bit of mask[0] for token 0: whether it may come next. mask: [(n_tokens +
 * 31) / 32]. with_ends: tokens that end an answer are allowed where the text may end; otherwise they never are. Returns
 * how many tokens are allowed. */
int32_t nb_matcher_mask(nb_matcher *matcher, uint32_t *mask, uint32_t with_ends, nb_error *err);

#pragma GCC visibility pop

#endif
