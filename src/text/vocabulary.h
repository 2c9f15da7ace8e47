/* Inside of a tokenizer: the vocabulary with its hash table, shared by the encoders (bpe.c, spm.c). */
#ifndef NB_VOCABULARY_H
#define NB_VOCABULARY_H

#include "../base/memory.h"
#include "pretokenize.h"
#include "tokenizer.h"

/* GGUF's tokenizer.ggml.token_type. */
enum {
    NB_TOKEN_NORMAL = 1, NB_TOKEN_UNKNOWN, NB_TOKEN_CONTROL, NB_TOKEN_USER_DEFINED, NB_TOKEN_UNUSED, NB_TOKEN_BYTE
};

typedef struct nb_token {
    uint32_t at, size; /* its name within the header */
    float score;
    uint8_t type;
    bool is_end; /* ends a generation */
} nb_token;

/* Open addressing, linear probing, at most half full; a free slot has number 0. */
typedef struct nb_token_slot {
    uint32_t hash, number; /* token + 1 */
} nb_token_slot;

typedef struct nb_merge_slot {
    uint64_t pair; /* (left + 1) << 32 | right + 1 */
    uint32_t rank; /* lower merges first */
    int32_t merged;
} nb_merge_slot;

/* Names of special tokens of which a text may hold some: user-defined tokens always, control tokens on request. */
typedef struct nb_special_set {
    uint8_t starts[8192]; /* bit a | b << 8: some name starts with the bytes a, b */
    uint32_t *lengths;    /* of the names, each once, longest first */
    uint32_t n_lengths;
} nb_special_set;

struct nb_tokenizer {
    nb_arena arena;
    const uint8_t *header;
    nb_token *tokens; /* [size] */
    int32_t size;
    uint32_t longest; /* bytes of the longest name */
    nb_token_slot *slots;
    uint32_t slot_mask;
    int32_t begin, end, unknown; /* -1: none */
    bool add_begin, add_end;
    nb_special_set special[2]; /* [1]: control tokens too */

    const nb_pretokenizer *pre; /* byte-level BPE; NULL: SentencePiece */
    nb_merge_slot *merges;
    uint32_t merge_mask;
    int32_t byte_tokens[256]; /* either kind; -1: none */

    bool add_space;    /* before a text's first word */
    bool spans_spaces; /* some token has a space after another character, so words cannot be merged one by one */
};

static inline nb_text nb_token_name(const nb_tokenizer *t, int32_t token) {
    return (nb_text){(const char *)t->header + t->tokens[token].at, t->tokens[token].size};
}

/* FNV-1a (Fowler, Noll, Vo): one byte after the other, so that a prefix's hash can be gone on with. */
static inline uint32_t nb_hash(uint32_t hash, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x01000193u;
    return hash;
}
#define NB_HASH_START 0x811c9dc5u

/* The token whose name is a followed by b, or -1. */
int32_t nb_vocabulary_find(const nb_tokenizer *t, nb_text a, nb_text b);

/* Token names, types and scores, and the hash table. Takes from the arena: run it first to measure, then to fill. */
int32_t nb_vocabulary_load(nb_tokenizer *t, const nb_checkpoint *c, nb_error *err);

/* Beginning, end and unknown tokens; the tokens that end a generation; what special.c needs to split texts. */
void nb_special_load(nb_tokenizer *t, const nb_checkpoint *c);

/* Where the encoders put their tokens. A text has fewer than 2^31 bytes, so a count fits. */
typedef struct nb_token_list {
    int32_t *tokens;
    int32_t capacity;
    int32_t count; /* counts on past the capacity */
} nb_token_list;

static inline void nb_token_append(nb_token_list *list, int32_t token) {
    if (list->count < list->capacity)
        list->tokens[list->count] = token;
    list->count++;
}

/* Memory for one encoding, grown as words need it. */
typedef struct nb_workspace {
    int32_t *ids;       /* of a symbol: its token, or < 0 (merge.h) */
    uint32_t *previous, *next, *starts;
    uint64_t *heap;
    size_t capacity;    /* symbols */
    uint8_t *text;      /* SentencePiece: a word with its spaces escaped */
    size_t text_used, text_capacity;
    void *block;        /* holds the arrays of symbols */
} nb_workspace;

int32_t nb_workspace_reserve(nb_workspace *w, size_t symbols, nb_error *err);
int32_t nb_workspace_reserve_text(nb_workspace *w, size_t bytes, nb_error *err);
void nb_workspace_free(nb_workspace *w);

/* One call of nb_tokenizer_encode. */
typedef struct nb_encoding {
    const nb_tokenizer *tokenizer;
    nb_workspace workspace;
    nb_token_list out;
    nb_error *err;
} nb_encoding;

/* Cuts a text at the special tokens that it holds (control: at control tokens too) and encodes what lies between. */
int32_t nb_special_encode(nb_encoding *e, const uint8_t *text, size_t size, bool control);

/* The encoders of a text without special tokens. */
int32_t nb_bpe_load(nb_tokenizer *t, const nb_checkpoint *c, nb_error *err); /* as nb_vocabulary_load */
int32_t nb_bpe_encode(nb_encoding *e, const uint8_t *text, size_t size);
void nb_spm_load(nb_tokenizer *t);
int32_t nb_spm_encode(nb_encoding *e, const uint8_t *text, size_t size);

/* Byte-level BPE writes each byte as a printable character (Radford et al. 2019; GPT-2's bytes_to_unicode). */
uint32_t nb_byte_character(uint8_t byte);
int32_t nb_character_byte(uint32_t codepoint); /* -1: stands for no byte */

#endif
