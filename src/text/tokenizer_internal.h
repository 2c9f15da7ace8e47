/* The inside of a tokenizer: its tokens and the tables that the encoders share. */
#ifndef NB_TOKENIZER_INTERNAL_H
#define NB_TOKENIZER_INTERNAL_H

#include "../base/memory.h"
#include "pretokenize.h"
#include "unicode.h"
#include "vocabulary.h"

typedef struct nb_token {
    uint32_t at, size; /* its name within the source's bytes */
    float score;
    uint8_t type, flags;
    bool is_end; /* it ends a generation */
} nb_token;

/* A hash table from names to tokens: open addressing, linear probing, at most half full. A free slot has number 0. */
typedef struct nb_token_slot {
    uint32_t hash, number; /* number: the token + 1 */
} nb_token_slot;

typedef struct nb_merge_rule {
    int32_t left, right, merged;
} nb_merge_rule;

/* Merges by rank, and a hash table from pairs to ranks. A slot:
 *
 *     | high bits of the pair's hash | rank + 1 |   (rank_mask covers the right part)
 *
 * Most pairs do not merge. The bits of the hash show that without a read of `rules`. */
typedef struct nb_merge_table {
    nb_merge_rule *rules; /* [rank], lower merges first */
    uint32_t *slots;      /* open addressing, linear probing, at most half full; 0: free. NULL: SPM by scores */
    uint32_t slot_mask, rank_mask;
    uint64_t seed;
} nb_merge_table;

/* Two bits for each hash: whether some name has a beginning with this hash, and whether a whole name has it (names.c).
 * They tell a search where no longer name can follow. */
typedef struct nb_prefixes {
    uint32_t *bits, mask;
    uint32_t types; /* whose names: a set of 1 << NB_TOKEN_... */
} nb_prefixes;

typedef struct nb_tokenizer {
    nb_arena arena;
    nb_vocabulary_kind kind;
    const uint8_t *bytes;
    nb_token *tokens; /* [size] */
    int32_t size;
    uint32_t longest; /* bytes of the longest name */
    nb_token_slot *slots;
    uint32_t slot_mask, hash_seed;        /* hash_seed: what nb_hash starts with */
    int32_t begin, end, closing, unknown; /* -1: none */
    bool add_begin, add_closing, add_space, merge_spaces, lower, strip_accents; /* as nb_vocabulary_source has them */
    bool whole_words, nfc;
    uint8_t before_spaces[32]; /* a bit for each byte: it stands before ▁ within some name */
    struct nb_added *added;    /* added.h */
    nb_unicode *unicode;       /* NULL for SPM and Unigram of GGUF files */
    nb_mappings *mappings;     /* NFC, WordPiece; else NULL */
    nb_pipeline steps;

    const nb_pretokenizer *pre; /* BPE */
    nb_split_ascii split_ascii[NB_MAX_SPLITS];
    nb_merge_table merges;
    int32_t byte_tokens[256];  /* BPE, SPM; -1: none */
    int32_t ascii_tokens[128]; /* tokens whose name is this character alone; -1: none */

    nb_prefixes prefixes;        /* Unigram, WordPiece */
    nb_text charsmap;            /* SPM, Unigram */
    double unknown_score;        /* Unigram */
    uint32_t unmapped[4];        /* a bit for each ASCII character: the charsmap does not change it if ASCII follows */
    struct nb_word_cache *cache; /* word_cache.h */
} nb_tokenizer;

static inline nb_text nb_token_name(const nb_tokenizer *t, int32_t token) {
    return (nb_text){(const char *)t->bytes + t->tokens[token].at, t->tokens[token].size};
}

/* Special tokens: no word of a text becomes one. Only their names do, and only if the caller asks for it. */
static inline bool nb_is_special(const nb_tokenizer *t, int32_t token) {
    return (1 << NB_TOKEN_CONTROL | 1 << NB_TOKEN_UNKNOWN) >> t->tokens[token].type & 1;
}

/* The name as texts spell it. In WordPiece's vocabularies the names of words begin with ▁, which texts do not have. The
 * name of a token that is both a word and an added token begins with ▁, too. */
static inline nb_text nb_token_spelled(const nb_tokenizer *t, int32_t token) {
    nb_text name = nb_token_name(t, token);
    bool is_word = t->kind == NB_KIND_WORDPIECE && t->tokens[token].type == NB_TOKEN_USER_DEFINED &&
                   t->tokens[token].flags & NB_OWN && nb_is_metaspace((const uint8_t *)name.data, name.size);
    return is_word ? (nb_text){name.data + NB_METASPACE_SIZE, name.size - NB_METASPACE_SIZE} : name;
}

#endif
