/* A vocabulary as a file holds it: the data that a reader of a file format hands to nb_tokenizer_build. */
#ifndef NB_VOCABULARY_H
#define NB_VOCABULARY_H

#include "../base/text.h"

/* GGUF's numbers for types of tokens. */
enum {
    NB_TOKEN_UNDEFINED,
    NB_TOKEN_NORMAL,
    NB_TOKEN_UNKNOWN,
    NB_TOKEN_CONTROL,
    NB_TOKEN_USER_DEFINED,
    NB_TOKEN_UNUSED,
    NB_TOKEN_BYTE
};

/* Bits of tokenizer.ggml.token_flags, a key of nibble's own. They hold what a tokenizer.json says of its added
 * tokens. */
enum {
    NB_STRIP_LEFT = 1,  /* the token swallows the white space before it */
    NB_STRIP_RIGHT = 2, /* ... and after it */
    NB_WHOLE_WORD = 4,  /* it is found only where it is not part of a longer word */
    NB_ADDED = 8,       /* it is searched for in texts */
    NB_NORMALIZED = 16, /* ... by its normalized name, in the normalized text */
    NB_SPECIAL = 32,    /* it gives no text */
    NB_OWN = 64         /* it is in the model's vocabulary; other tokens are only added */
};

typedef enum nb_vocabulary_kind {
    NB_KIND_BPE,      /* words of a pre-tokenizer, merged by rank */
    NB_KIND_SPM,      /* SentencePiece's BPE: merged by the score of the result */
    NB_KIND_UNIGRAM,  /* SentencePiece's unigram model: the most probable pieces */
    NB_KIND_WORDPIECE /* BERT's: the longest pieces from left to right */
} nb_vocabulary_kind;

/* ▁, U+2581, stands for a space in the names of tokens. */
#define NB_METASPACE "\xe2\x96\x81"
enum { NB_METASPACE_SIZE = 3 };

static inline bool nb_is_metaspace(const uint8_t *s, size_t n) { /* whether s[n] begins with it */
    return n >= NB_METASPACE_SIZE && s[0] == 0xe2 && s[1] == 0x96 && s[2] == 0x81;
}

typedef struct nb_token_entry {
    nb_text name; /* byte-level BPE: see byte_level.h. WordPiece: with ▁ where it begins a word */
    float score;
    uint8_t type, flags; /* flags: NB_STRIP_LEFT, ... */
} nb_token_entry;

/* What the decoders of a tokenizer.json do (detokenizer.c). */
typedef struct nb_decoder_steps {
    bool byte_level, byte_fallback;
    bool unescape, drop_first; /* ▁ becomes a space; in the first token nothing (Metaspace) */
    bool cleanup;              /* WordPiece's: no spaces before punctuation */
    bool joins;                /* there is no decoder: tokens are joined by spaces */
    uint32_t strip;            /* Strip: how many spaces are removed at the beginning */
} nb_decoder_steps;

enum { NB_PREPEND_NEVER, NB_PREPEND_ALWAYS, NB_PREPEND_FIRST /* not after an added token */ };

/* The steps of a tokenizer.json. For other files only the two of BertNormalizer are set. */
typedef struct nb_pipeline {
    bool from_json;                      /* there is a tokenizer.json: added tokens follow its rules (added.c) */
    bool clean, space_chinese;           /* BertNormalizer: see normalize.c */
    bool strip_left, strip_right;        /* Strip: white space at the ends */
    bool join_spaces, join_as_metaspace; /* Replace: two or more spaces become one space, or one ▁ */
    bool prepend, escape;                /* Prepend: ▁ before the text; Replace: each space becomes ▁ */
    bool split_white;                    /* WhitespaceSplit */
    bool metaspace, split;               /* Metaspace: spaces become ▁; split: each ▁ begins a word */
    uint8_t prepend_scheme;              /* ... NB_PREPEND_...: ▁ is put before a word that begins with no space */
    bool prepend_spaced;                 /* ... and before one that does (sentencepiece) */
    nb_decoder_steps decoder;
} nb_pipeline;

enum { NB_MAX_END_TOKENS = 16 };

/* The reader of a file format fills this in (gguf_vocabulary.c). */
typedef struct nb_vocabulary_source nb_vocabulary_source;
struct nb_vocabulary_source {
    nb_vocabulary_kind kind;
    const struct nb_pretokenizer *pre; /* BPE */
    const uint8_t *bytes;              /* [n_bytes]: all names lie in it; it must outlive the tokenizer */
    size_t n_bytes;
    const void *file; /* for the two functions below, which are called for i = 0, 1, ...; *at is 0 at first */
    void (*token)(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_token_entry *out);
    void (*merge)(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_text *left, nb_text *right);
    uint64_t n_tokens, n_merges;
    int32_t begin, end, unknown;     /* the tokens BOS, EOS and UNK, or -1 */
    int32_t closing;                 /* the token that is added at a text's end, or -1 */
    int32_t ends[NB_MAX_END_TOKENS]; /* more tokens that end a generation, or -1 */
    bool add_begin, add_closing;
    bool whole_words;          /* BPE: a word that is a token becomes that token, whatever the merges say */
    bool nfc;                  /* texts are composed first (Unicode's NFC) */
    bool add_space;            /* BPE: before a text that begins with no space; SPM, Unigram: before the first word */
    bool merge_spaces;         /* Unigram: one space before each word, whatever spaces the text has */
    bool lower, strip_accents; /* WordPiece */
    nb_text charsmap;          /* SPM, Unigram: SentencePiece's precompiled rules (charsmap.h), or empty */
    nb_pipeline steps;
};

#endif
