/* The inside of a tokenizer: the vocabulary with its hash table, which all encoders share (bpe.c, spm.c, unigram.c,
 * wordpiece.c), and the form in which a reader of a file format hands a vocabulary over. */
#ifndef NB_VOCABULARY_H
#define NB_VOCABULARY_H

#include "../base/memory.h"
#include "pretokenize.h"
#include "tokenizer.h"

/* GGUF's numbers for types of tokens. */
enum {
    NB_TOKEN_UNDEFINED, NB_TOKEN_NORMAL, NB_TOKEN_UNKNOWN, NB_TOKEN_CONTROL, NB_TOKEN_USER_DEFINED, NB_TOKEN_UNUSED,
    NB_TOKEN_BYTE
};

/* Bits of tokenizer.ggml.token_flags, which GGUF does not know: what tokenizer.json says of its added tokens. */
enum {
    NB_STRIP_LEFT = 1, NB_STRIP_RIGHT = 2, /* takes the white space before it, or after it, with it */
    NB_WHOLE_WORD = 4,                     /* is found only where it is not part of a longer word */
    NB_ADDED = 8,                          /* is looked for in texts */
    NB_NORMALIZED = 16,                    /* ... in the normalized text, by its normalized name */
    NB_SPECIAL = 32,                       /* gives no text */
    NB_OWN = 64                            /* belongs to the model, which may make it of a text; others are only added */
};

/* The most bytes of a name that is looked for at every place of a text: longer ones would take too long. */
enum { NB_LONGEST_ADDED = 1024 };

typedef enum nb_vocabulary_kind {
    NB_KIND_BPE,      /* words of a pre-tokenizer, merged by rank */
    NB_KIND_SPM,      /* SentencePiece's BPE: merged by the score of what they become */
    NB_KIND_UNIGRAM,  /* SentencePiece's unigram model: the most probable pieces */
    NB_KIND_WORDPIECE /* BERT's: the longest pieces from left to right */
} nb_vocabulary_kind;

typedef struct nb_token_entry {
    nb_text name; /* with U+2581 for spaces, and in WordPiece before what begins a word; byte-level BPE: see bpe.c */
    float score;
    uint8_t type, flags; /* flags: NB_STRIP_LEFT, ... */
} nb_token_entry;

enum { NB_MAX_END_TOKENS = 16 };

enum { NB_PREPEND_NEVER, NB_PREPEND_ALWAYS, NB_PREPEND_FIRST /* not after an added token */ };

/* What its decoders do (detokenizer.c). */
typedef struct nb_decoder_steps {
    bool byte_level, byte_fallback;
    bool marks, drop_first; /* U+2581 becomes a space; in the first token nothing (Metaspace) */
    bool cleanup;           /* WordPiece's: no spaces before punctuation */
    bool joins;             /* no decoder: tokens are joined by spaces */
    uint32_t strip;         /* Strip: so many spaces go at the beginning */
} nb_decoder_steps;

/* What a tokenizer.json does, step by step. For GGUF files only the two steps of BERT are set. */
typedef struct nb_library_steps {
    bool library;                       /* this is a tokenizer.json: added tokens are found as its library does (added.c) */
    bool clean, part_chinese;           /* BertNormalizer: see normalize.c */
    bool strip_left, strip_right;       /* Strip: white space at the ends */
    bool join_spaces, join_as_mark;     /* Replace: two or more spaces become one, or one U+2581 */
    bool prepend, escape;               /* Prepend: U+2581 before the text; Replace: each space becomes U+2581 */
    bool split_white;                   /* WhitespaceSplit */
    bool metaspace, split;              /* Metaspace: spaces become U+2581; split: each begins a word */
    uint8_t prepends;                   /* ... NB_PREPEND_...: U+2581 is put before a word that does not begin with a space */
    bool prepend_spaced;                /* ... and before one that does (sentencepiece) */
    nb_decoder_steps decoder;
} nb_library_steps;

/* A vocabulary as a file has it. A format's reader fills this in (gguf_vocabulary.c). */
typedef struct nb_vocabulary_source nb_vocabulary_source;
struct nb_vocabulary_source {
    nb_vocabulary_kind kind;
    const nb_pretokenizer *pre;  /* BPE */
    const uint8_t *bytes;        /* [n_bytes]: all names lie in it; it must outlive the tokenizer */
    size_t n_bytes;
    const void *file;            /* for the two functions below, which are called for i = 0, 1, ...; *at is 0 at first */
    void (*token)(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_token_entry *out);
    void (*merge)(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_text *left, nb_text *right);
    uint64_t n_tokens, n_merges;
    int32_t begin, end, unknown; /* tokens, or -1 */
    int32_t closing;             /* what is added at a text's end */
    int32_t ends[NB_MAX_END_TOKENS]; /* more tokens that end a generation, or -1 */
    bool add_begin, add_closing;
    bool whole_words;            /* BPE: a word that is a token is that token, whatever the merges say */
    bool nfc;                    /* texts are composed first (Unicode's NFC) */
    bool add_space;              /* BPE: before a text that does not begin with one; SPM, Unigram: before the first word */
    bool merge_spaces;           /* Unigram: one space before each word, whatever spaces the text has */
    bool lower, strip_accents;   /* WordPiece */
    nb_text charsmap;            /* Unigram: SentencePiece's precompiled normalization, or empty */
    nb_library_steps steps;
};

typedef struct nb_token {
    uint32_t at, size; /* its name within the source's bytes */
    float score;
    uint8_t type, flags;
    bool is_end; /* ends a generation */
} nb_token;

/* Open addressing, linear probing, at most half full; a free slot has number 0. */
typedef struct nb_token_slot {
    uint32_t hash, number; /* token + 1 */
} nb_token_slot;

typedef struct nb_merge_rule {
    int32_t left, right, merged;
} nb_merge_rule;

/* Merges by rank, and a hash table from pairs to ranks. The low bits of a slot, those of rank_mask, are rank + 1; the bits
 * above are those of the pair's hash. Most pairs do not merge, and these bits tell it without a look at the rules. */
typedef struct nb_merge_table {
    nb_merge_rule *rules; /* [rank], lower merges first */
    uint32_t *slots;      /* open addressing, linear probing, at most half full; 0: free. NULL: SPM by scores */
    uint32_t slot_mask, rank_mask;
    uint64_t seed;
} nb_merge_table;

/* Which hashes the beginnings of some names have, so that a search for longer names ends where there can be none. Two bits for
 * each hash: NB_PREFIX, NB_WHOLE_NAME. */
typedef struct nb_prefixes {
    uint32_t *bits, mask;
    uint32_t types; /* whose names: a set of 1 << NB_TOKEN_... */
} nb_prefixes;

enum { NB_PREFIX = 1, NB_WHOLE_NAME = 2 };
enum { NB_ORDINARY_TYPES = 1 << NB_TOKEN_NORMAL | 1 << NB_TOKEN_USER_DEFINED | 1 << NB_TOKEN_UNUSED };

typedef struct nb_bytes {
    uint8_t *data;
    size_t used, capacity;
} nb_bytes;

/* Names that are looked for in texts. */
typedef struct nb_needle {
    uint32_t at, size; /* bytes of the name */
    int32_t token;
} nb_needle;

typedef struct nb_needles {
    const uint8_t *bytes;
    nb_needle *items;     /* [n], sorted by their names, each once */
    uint32_t n;
    uint8_t starts[8192]; /* bit a | b << 8: some name starts with the bytes a, b */
} nb_needles;

/* The names that are looked for in texts. Of a tokenizer.json: [0] in the text as it came, [1] in the normalized text. Of other
 * files: [0] user-defined tokens, [1] user-defined, control and unknown tokens. */
typedef struct nb_added {
    nb_needles sets[2];
    nb_bytes names;        /* the normalized names */
    nb_needle *by_number;  /* [n_by_number]: the same, by their tokens' numbers */
    uint32_t n_by_number;
} nb_added;

int32_t nb_needles_sort(nb_needles *s, nb_error *err); /* items[n] in any order -> as nb_needles has them */

/* Walks the names that a text begins with, the shortest first. */
typedef struct nb_needle_walk {
    const nb_needles *set;
    const uint8_t *text;
    size_t n;
    uint32_t low, high, depth; /* items[low ... high) begin with the text's first `depth` bytes */
} nb_needle_walk;

static inline nb_needle_walk nb_needle_walk_of(const nb_needles *s, const uint8_t *text, size_t n) {
    return (nb_needle_walk){.set = s, .text = text, .n = n, .high = s->n};
}

const nb_needle *nb_needle_next(nb_needle_walk *walk); /* NULL: no more */
const nb_needle *nb_needles_longest(const nb_needles *s, const uint8_t *text, size_t n); /* that text[n] begins with, or NULL */

/* Whether a name may start at text[at]. Only names of one byte start at the text's last byte: any byte may follow these. */
static inline __attribute__((always_inline)) bool nb_needle_may_start(const nb_needles *s, const uint8_t *text,
                                                                      size_t at, size_t size) {
    uint32_t a = text[at], b = at + 1 < size ? text[at + 1] : 0;
    return s->starts[(a | b << 8) >> 3] >> (a & 7) & 1;
}

/* The tokens of a word that was met before. */
enum { NB_CACHED_BYTES = 24, NB_CACHED_TOKENS = 9 };

typedef struct nb_cached_word {
    uint64_t word[NB_CACHED_BYTES / 8]; /* zeros after its end */
    int32_t tokens[NB_CACHED_TOKENS];
    uint16_t size, count; /* bytes of the word, 0: nothing is here; tokens */
} nb_cached_word;

/* What two tokens become, and with which priority (SPM); or which token a character is. */
typedef struct nb_cached_pair {
    uint64_t pair; /* nb_pair_of; 0: nothing is here */
    uint32_t priority;
    int32_t merged;
} nb_cached_pair;

/* Words come again, in this text and in the next. After the first long text a tokenizer remembers some of them. */
typedef struct nb_word_cache {
    nb_cached_word *words; /* [word_mask + 1] */
    nb_cached_pair *pairs; /* [pair_mask + 1], SPM and BPE of characters */
    uint32_t word_mask, pair_mask;
} nb_word_cache;

struct nb_tokenizer {
    nb_arena arena;
    nb_vocabulary_kind kind;
    const uint8_t *bytes;
    nb_token *tokens; /* [size] */
    int32_t size;
    uint32_t longest; /* bytes of the longest name */
    nb_token_slot *slots;
    uint32_t slot_mask, hash_start; /* what nb_hash starts with */
    int32_t begin, end, closing, unknown; /* -1: none */
    bool add_begin, add_closing, add_space, merge_spaces, lower, strip_accents;
    bool whole_words, nfc;
    uint8_t before_spaces[32]; /* bits: bytes that stand before a space within some token */
    nb_added *added;
    nb_unicode *unicode;   /* all but SPM and Unigram of GGUF files */
    nb_foldings *foldings; /* NFC, WordPiece */
    nb_library_steps steps;

    const nb_pretokenizer *pre; /* BPE */
    nb_isolated isolated[NB_MAX_PASSES];
    nb_merge_table merges;
    int32_t byte_tokens[256]; /* BPE, SPM; -1: none */
    int32_t ascii_tokens[128]; /* of a character that is spelled as it is; -1: none */

    nb_prefixes prefixes; /* Unigram, WordPiece */
    nb_text charsmap;     /* Unigram */
    double unknown_score;
    uint32_t plain[4];    /* bits: ASCII that stands for itself before ASCII */
    nb_word_cache *cache;
};

static inline nb_text nb_token_name(const nb_tokenizer *t, int32_t token) {
    return (nb_text){(const char *)t->bytes + t->tokens[token].at, t->tokens[token].size};
}

/* Whether only its name as a whole may become the token, where special tokens are parsed: no word of a text does. */
static inline bool nb_is_special(const nb_tokenizer *t, int32_t token) {
    return (1 << NB_TOKEN_CONTROL | 1 << NB_TOKEN_UNKNOWN) >> t->tokens[token].type & 1;
}

/* U+2581, which stands for a space in the names of tokens. */
#define NB_SPACE_MARK "\xe2\x96\x81"
enum { NB_MARK_SIZE = 3 };

static inline bool nb_is_mark(const uint8_t *s, size_t n) { /* whether s[n] begins with it */
    return n >= NB_MARK_SIZE && s[0] == 0xe2 && s[1] == 0x96 && s[2] == 0x81;
}

/* The name as a text has it. In WordPiece's vocabularies the names of words begin with a mark, which texts do not have. A token
 * that is both such a word and an added token keeps the mark in its name. */
static inline nb_text nb_token_spelled(const nb_tokenizer *t, int32_t token) {
    nb_text name = nb_token_name(t, token);
    bool marked = t->kind == NB_KIND_WORDPIECE && t->tokens[token].type == NB_TOKEN_USER_DEFINED &&
                  t->tokens[token].flags & NB_OWN && nb_is_mark((const uint8_t *)name.data, name.size);
    return marked ? (nb_text){name.data + NB_MARK_SIZE, name.size - NB_MARK_SIZE} : name;
}

/* The byte that a name <0xHH> stands for, or -1. */
static inline int32_t nb_byte_of_name(nb_text name) {
    if (name.size != 6 || nb_compare(name.data, "<0x", 3) || name.data[5] != '>')
        return -1;
    int32_t high = nb_hex_digit((uint8_t)name.data[3]), low = nb_hex_digit((uint8_t)name.data[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* FNV-1a (Fowler, Noll, Vo). It takes one byte after the other, so the hash of a prefix can be continued. */
static inline uint32_t nb_hash(uint32_t hash, const void *bytes, size_t n) {
    const uint8_t *p = bytes;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ p[i]) * 0x01000193u;
    return hash;
}

/* A file can be made so that all its names or pairs have one hash; each look-up would then walk through all of them. So a table
 * whose filling takes more steps than an honest file needs is filled anew, with the next of these seeds. */
enum { NB_HASH_SEEDS = 8 };
static inline uint64_t nb_hash_seed(uint32_t i) { /* odd; the first is 2^64 / phi */
    return 0x9e3779b97f4a7c15u + i * 0x6a09e667f3bcc908u;
}
static inline uint64_t nb_most_probes(uint64_t n) { /* for n entries; usually there are some 1.5 for each */
    return 32 * n + 1024;
}

/* The token whose name is a followed by b, or -1. */
int32_t nb_vocabulary_find(const nb_tokenizer *t, nb_text a, nb_text b);

/* The token whose name is this word of a text, but never a special one, or -1. (SentencePiece has it so; in llama.cpp merges may
 * end in a special token.) */
int32_t nb_vocabulary_find_word(const nb_tokenizer *t, nb_text word);

/* The token of the byte, spelled <0xHH>, or -1. */
int32_t nb_vocabulary_find_byte(const nb_tokenizer *t, uint8_t byte);

/* Walks the tokens whose names text[n] begins with, the shortest first. */
typedef struct nb_prefix_walk {
    const uint8_t *text;
    size_t n, at; /* at: bytes of the last token */
    uint32_t hash;
} nb_prefix_walk;

static inline nb_prefix_walk nb_prefix_walk_of(const nb_tokenizer *t, const uint8_t *text, size_t n) {
    return (nb_prefix_walk){.text = text, .n = n, .hash = t->hash_start};
}

int32_t nb_prefix_next(const nb_tokenizer *t, const nb_prefixes *prefixes, nb_prefix_walk *walk); /* -1: no more */

/* How many hashes are enough for a whole vocabulary: a name has about six beginnings, and shares most of them with others. */
static inline uint64_t nb_prefix_hashes(uint64_t n_tokens) {
    uint64_t hashes = 1024;
    while (hashes < 32 * n_tokens && hashes < 1u << 31)
        hashes *= 2;
    return hashes;
}

/* Token names, types and scores, and the hash table. It takes memory from the arena: run it once to measure, once to fill. */
int32_t nb_vocabulary_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err);
/* hashes: a power of 2 */
void nb_prefixes_load(nb_tokenizer *t, nb_prefixes *prefixes, uint32_t types, uint64_t hashes);

/* NB_ERR_UNSUPPORTED: a name of `size` bytes is too long to be looked for in texts. */
int32_t nb_vocabulary_refuse_name(int32_t token, size_t size, nb_error *err);

/* Beginning, end and unknown tokens; the tokens that end a generation. */
void nb_special_load(nb_tokenizer *t, const nb_vocabulary_source *source);

/* The names that are looked for in texts. They have memory of their own. */
int32_t nb_added_load(nb_tokenizer *t, nb_error *err);
void nb_added_free(nb_added *a); /* NULL is fine */

/* Where the encoders put their tokens. */
typedef struct nb_token_list {
    int32_t *tokens;
    int32_t capacity;
    int32_t count; /* goes on past the capacity, up to INT32_MAX: normalization may make a text many times as long */
} nb_token_list;

/* Two tokens as one number, never 0, and its hash. Multiplicative hashing (Knuth), 2^64 / phi. */
static inline uint64_t nb_pair_of(int32_t left, int32_t right) {
    return (uint64_t)(uint32_t)(left + 1) << 32 | (uint32_t)(right + 1);
}

static inline uint32_t nb_pair_hash(uint64_t pair, uint64_t seed) {
    return (uint32_t)((pair * seed) >> 32);
}

static inline void nb_token_append(nb_token_list *list, int32_t token) {
    if (list->count < list->capacity)
        list->tokens[list->count] = token;
    list->count += list->count < INT32_MAX;
}

/* Memory for one encoding, grown as words need it. */
typedef struct nb_workspace {
    int32_t *ids;       /* of a symbol: its token, or < 0 (merge.h) */
    uint32_t *previous, *next, *starts;
    uint64_t *heap;     /* two for each symbol */
    size_t capacity;    /* symbols */
    uint8_t *text;      /* SentencePiece, WordPiece: a word as names of tokens spell it */
    size_t text_used, text_capacity;
    void *block;        /* holds the arrays of symbols */
    nb_bytes normal[2]; /* normalization writes one and reads the other */
    bool shifted;       /* normalization took white space away at the beginning */
} nb_workspace;

/* Room for `bytes` in all; what is there stays. */
int32_t nb_bytes_reserve(nb_bytes *b, uint64_t bytes, nb_error *err);

int32_t nb_workspace_reserve(nb_workspace *w, size_t symbols, nb_error *err);
int32_t nb_workspace_grow_text(nb_workspace *w, size_t bytes, nb_error *err);
static inline int32_t nb_workspace_reserve_text(nb_workspace *w, size_t bytes, nb_error *err) {
    return bytes <= w->text_capacity ? NB_OK : nb_workspace_grow_text(w, bytes, err);
}
void nb_workspace_free(nb_workspace *w);

/* One call of nb_tokenizer_encode. */
typedef struct nb_encoding {
    const nb_tokenizer *tokenizer;
    const uint8_t *start; /* of the text */
    nb_workspace workspace;
    nb_token_list out;
    nb_error *err;
    const nb_quote *quotes; /* [n_quotes], as nb_tokenize_quoted has them */
    const nb_plain *plain;  /* [n_plain] */
    size_t n_quotes, n_plain;
} nb_encoding;

/* Appends a model's tokens for one word. */
typedef int32_t (*nb_word_encoder)(nb_encoding *e, const uint8_t *word, size_t size);

/* Appends what `encode` makes of the word, or made of it before. */
int32_t nb_encode_word(nb_encoding *e, const uint8_t *word, size_t size, nb_word_encoder encode);

/* Cut a text at the special tokens that it holds (control: at control tokens too), and encode what lies between. The first
 * follows llama.cpp's rules, the second those of tokenizer.json. */
int32_t nb_special_encode(nb_encoding *e, const uint8_t *text, size_t size, bool control);
int32_t nb_added_encode(nb_encoding *e, const uint8_t *text, size_t size, bool control);

/* The first quote that ends after the text's byte `from`, or n_quotes. */
size_t nb_quote_after(const nb_encoding *e, size_t from);
/* Whether the name of this token at text[from ... to) is only text, because a quote touches it (nb_tokenize_quoted). */
bool nb_is_quoted(const nb_encoding *e, size_t from, size_t to, int32_t token);
/* Encodes what lies between special tokens. first: the whole text begins with it. */
int32_t nb_encode_piece(nb_encoding *e, const uint8_t *text, size_t size, bool first);

/* Normalization (normalize.c). *text and *size are the text, and then what it became, which may lie in w. */
int32_t nb_normalize(const nb_tokenizer *t, nb_workspace *w, const uint8_t **text, size_t *size, nb_error *err);
int32_t nb_nfc_text(const nb_foldings *f, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err); /* NFC */
int32_t nb_charsmap_apply(const nb_tokenizer *t, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err);

/* Skip white space at the beginning or at the end of text[from ... to): where the rest begins, or where it ends. */
size_t nb_skip_white(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to);
size_t nb_skip_white_back(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to);

/* Of a tokenizer.json: its pre-tokenizers WhitespaceSplit and Metaspace, and then the model. */
int32_t nb_spaced_encode(nb_encoding *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode);

/* Merges by rank: those of BPE, and of SentencePiece where a file has merges instead of scores. */
int32_t nb_merges_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err); /* as nb_vocabulary_load */
void nb_merge_by_rank(const nb_tokenizer *t, nb_workspace *w, uint32_t n); /* as nb_merge (merge.h) */

/* The encoders of a text without special tokens. The loaders take from the arena, as nb_vocabulary_load. */
int32_t nb_bpe_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err);
int32_t nb_bpe_encode(nb_encoding *e, const uint8_t *text, size_t size);
void nb_spm_load(nb_tokenizer *t);
int32_t nb_spm_encode(nb_encoding *e, const uint8_t *text, size_t size, bool first);
int32_t nb_charsmap_load(nb_tokenizer *t, nb_text map, nb_error *err);
/* Of the beginnings of text[n] that a rule replaces, the longest (or the shortest): *used is its size, and the result is what
 * replaces it. *used = 0: there is no rule. */
nb_text nb_charsmap_find(const nb_tokenizer *t, const uint8_t *text, size_t n, bool shortest, size_t *used);

static inline bool nb_charsmap_is_plain(const nb_tokenizer *t, const uint8_t *text, size_t n) {
    return text[0] < 0x80 && (n == 1 || text[1] < 0x80) && t->plain[text[0] / 32] >> text[0] % 32 & 1;
}

int32_t nb_unigram_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err);
int32_t nb_unigram_encode(nb_encoding *e, const uint8_t *text, size_t size, bool first);
void nb_wordpiece_load(nb_tokenizer *t, const nb_vocabulary_source *source);
int32_t nb_wordpiece_encode(nb_encoding *e, const uint8_t *text, size_t size);

/* Whether a text may be cut between this byte and a space: no token spans that place, so no merge does. */
static inline bool nb_parts_words(const nb_tokenizer *t, uint8_t byte) {
    return !(t->before_spaces[byte >> 3] >> (byte & 7) & 1);
}

/* Encodes a text word by word, with spaces escaped as U+2581 (of a tokenizer.json only if Metaspace says so). A word ends
 * before a space where no token spans that place, or where Metaspace splits. add_space: the text gets one more space at its
 * beginning. */
int32_t nb_encode_escaped(nb_encoding *e, const uint8_t *text, size_t size, bool add_space, nb_word_encoder encode);

/* Byte-level BPE writes each byte as a printable character (Radford et al. 2019; GPT-2's bytes_to_unicode). */
uint32_t nb_byte_character(uint8_t byte);
int32_t nb_character_byte(uint32_t codepoint); /* -1: stands for no byte */

#endif
