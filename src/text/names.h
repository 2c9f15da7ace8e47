/* The names of tokens: loads them, finds the token of a name, and lists the tokens whose names begin a text. */
#ifndef NB_NAMES_H
#define NB_NAMES_H

#include "tokenizer_internal.h"

/* Loads names, types and scores, and fills the hash table. It takes memory from the arena: the first run only
 * measures. */
int32_t nb_vocabulary_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err);

/* The token whose name is a followed by b, or -1. */
int32_t nb_vocabulary_find(const nb_tokenizer *t, nb_text a, nb_text b);

/* The token whose name is this word of a text, or -1. It is never a special one. (SentencePiece does the same. In
 * llama.cpp merges may end in a special token.) */
int32_t nb_vocabulary_find_word(const nb_tokenizer *t, nb_text word);

/* The token of the byte, spelled <0xHH>, or -1. */
int32_t nb_vocabulary_find_byte(const nb_tokenizer *t, uint8_t byte);

/* The byte that a name <0xHH> stands for, or -1. */
int32_t nb_byte_of_name(nb_text name);

/* The most bytes of a needle (a name that is looked for at every place of a text), and of any name of Unigram and
 * WordPiece. The search for longer ones would take too long. */
enum { NB_LONGEST_NEEDLE = 1024 };

/* NB_ERR_UNSUPPORTED: a name of `size` bytes is too long to be searched for in texts. */
int32_t nb_vocabulary_refuse_name(int32_t token, size_t size, nb_error *err);

/* ---- names that begin a text ---- */

/* A set of types: those of tokens that words of a text may become. */
enum { NB_ORDINARY_TYPES = 1 << NB_TOKEN_NORMAL | 1 << NB_TOKEN_USER_DEFINED | 1 << NB_TOKEN_UNUSED };

/* Fills `prefixes` with the names of tokens of some types. types: a set of 1 << NB_TOKEN_NORMAL and so on. hashes: how
 * many different hashes there are room for, a power of 2. */
void nb_prefixes_load(nb_tokenizer *t, nb_prefixes *prefixes, uint32_t types, uint64_t hashes);

/* The number of hashes for a whole vocabulary: at least 32 for each name. A name adds a few beginnings that no other
 * name has, so most hashes stay free, and a search rarely follows a wrong one. */
uint64_t nb_prefix_hashes(uint64_t n_tokens);

/* An iterator over the tokens whose names are beginnings of text[n], the shortest first. */
typedef struct nb_prefix_walk {
    const uint8_t *text;
    size_t n, at; /* at: the size of the name that was found last */
    uint32_t hash;
} nb_prefix_walk;

static inline nb_prefix_walk nb_prefix_walk_of(const nb_tokenizer *t, const uint8_t *text, size_t n) {
    return (nb_prefix_walk){.text = text, .n = n, .hash = t->hash_seed};
}

int32_t nb_prefix_next(const nb_tokenizer *t, const nb_prefixes *prefixes, nb_prefix_walk *walk); /* -1: no more */

#endif
