#include "tokenizer.h"

#include "added.h"
#include "bpe.h"
#include "byte_level.h"
#include "charsmap.h"
#include "names.h"
#include "partition.h"
#include "special.h"
#include "spm.h"
#include "unigram.h"
#include "word_cache.h"
#include "wordpiece.h"

/* Notes which bytes stand before ▁ within the name. A text may be cut between any other byte and a space (metaspace.c).
 */
static void find_inner_spaces(nb_tokenizer *t, nb_text name) {
    const uint8_t *s = (const uint8_t *)name.data;
    bool after_metaspace = true;
    for (size_t i = 0; i < name.size;) {
        bool metaspace = nb_is_metaspace(s + i, name.size - i);
        if (metaspace && !after_metaspace)
            t->before_spaces[s[i - 1] >> 3] |= (uint8_t)(1 << (s[i - 1] & 7));
        after_metaspace = metaspace;
        i += metaspace ? NB_METASPACE_SIZE : 1;
    }
}

enum { LONG_TEXT = 4096 }; /* bytes; from this size on it pays to cache words */

/* This runs twice: first to measure the arena, and then to fill it. */
static int32_t load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err) {
    t->kind = source->kind;
    t->whole_words = source->whole_words;
    t->nfc = source->nfc;
    t->add_space = source->add_space;
    t->merge_spaces = source->merge_spaces;
    t->lower = source->lower;
    t->strip_accents = source->strip_accents;
    t->steps = source->steps;
    t->cache = nb_arena_take(&t->arena, 1, sizeof *t->cache);
    NB_TRY(nb_vocabulary_load(t, source, err));
    if (t->kind == NB_KIND_BPE || t->kind == NB_KIND_WORDPIECE || t->steps.from_json) {
        t->unicode = nb_arena_take(&t->arena, 1, nb_unicode_bytes());
        if (t->unicode)
            nb_unicode_expand(t->unicode);
    }
    if (t->nfc || t->kind == NB_KIND_WORDPIECE) {
        t->mappings = nb_arena_take(&t->arena, 1, nb_mappings_bytes());
        if (t->mappings)
            nb_mappings_expand(t->mappings);
    }
    if (t->kind == NB_KIND_BPE)
        NB_TRY(nb_bpe_load(t, source, err));
    if (t->kind == NB_KIND_SPM && source->n_merges)
        NB_TRY(nb_merges_load(t, source, err));
    if (t->tokens)
        nb_special_load(t, source);
    if (t->kind == NB_KIND_SPM || t->kind == NB_KIND_UNIGRAM)
        NB_TRY(nb_charsmap_load(t, source->charsmap, err));
    if (t->kind == NB_KIND_UNIGRAM)
        nb_unigram_load(t, source);
    if (t->kind == NB_KIND_WORDPIECE)
        nb_wordpiece_load(t, source);
    if (!t->tokens)
        return NB_OK; /* measuring */
    if (t->kind == NB_KIND_SPM)
        nb_spm_load(t);
    for (int32_t i = 0; i < t->size; i++)
        if (t->tokens[i].type != NB_TOKEN_CONTROL)
            find_inner_spaces(t, nb_token_name(t, i));
    for (uint32_t i = 0; i < 128; i++) {
        char self = (char)i;
        t->ascii_tokens[i] = nb_vocabulary_find_word(t, (nb_text){&self, 1});
    }
    return nb_added_load(t, err);
}

nb_tokenizer *nb_tokenizer_build(const nb_vocabulary_source *source, nb_error *err) {
    nb_tokenizer measured = {0};
    nb_tokenizer *t = NULL;
    if (load(&measured, source, err) < 0)
        return NULL;
    nb_arena arena = measured.arena;
    nb_arena_take(&arena, 1, sizeof *t);
    if (nb_arena_allocate(&arena, "the vocabulary", err) < 0)
        return NULL;
    nb_tokenizer filled = {.arena = arena};
    if (load(&filled, source, err) < 0) {
        nb_added_free(filled.added);
        nb_arena_free(&arena);
        return NULL;
    }
    t = nb_arena_take(&filled.arena, 1, sizeof *t);
    *t = filled;
    return t;
}

void nb_tokenizer_free(nb_tokenizer *t) {
    if (t) {
        nb_free(t->cache->words);
        nb_added_free(t->added);
        nb_arena arena = t->arena; /* holds t itself */
        nb_arena_free(&arena);
    }
}

static int32_t encode_text(nb_encode_call *e, size_t size, bool parse_special) {
    return e->tokenizer->steps.from_json ? nb_added_encode(e, e->start, size, parse_special)
                                         : nb_partition_encode(e, e->start, size, parse_special);
}

int32_t nb_tokenizer_encode(const nb_tokenizer *t, const char *text, size_t text_bytes, uint32_t flags, int32_t *tokens,
                            int32_t capacity, nb_error *err) {
    return nb_tokenizer_encode_quoted(t, text, text_bytes, flags, NULL, 0, NULL, 0, tokens, capacity, err);
}

int32_t nb_tokenizer_encode_quoted(const nb_tokenizer *t, const char *text, size_t text_bytes, uint32_t flags,
                                   const nb_quote *quotes, size_t n_quotes, const nb_plain *plain, size_t n_plain,
                                   int32_t *tokens, int32_t capacity, nb_error *err) {
    if (text_bytes > INT32_MAX / 4 || capacity < 0)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "cannot tokenize %z bytes at once; pass at most %d", text_bytes,
                       (int32_t)(INT32_MAX / 4));
    for (size_t i = 0; i < n_quotes; i++)
        if (quotes[i].from >= quotes[i].to || quotes[i].to > text_bytes || (i && quotes[i].from < quotes[i - 1].to))
            return NB_FAIL(err, NB_ERR_ARGUMENT,
                           "quote %z must not be empty, and must lie within the text, after the quote before it", i);
    nb_encode_call e = {
        .tokenizer = t,
        .start = (const uint8_t *)text,
        .out = {.tokens = tokens, .capacity = capacity},
        .err = err,
        .quotes = quotes,
        .n_quotes = n_quotes,
        .plain = plain,
        .n_plain = n_plain,
    };
    if (text_bytes >= LONG_TEXT && !t->cache->words)
        nb_word_cache_open(t);
    if (flags & NB_TOKENIZE_ADD_SPECIAL && t->add_begin)
        nb_token_append(&e.out, t->begin);
    int32_t code = encode_text(&e, text_bytes, (flags & NB_TOKENIZE_PARSE_SPECIAL) != 0);
    if (flags & NB_TOKENIZE_ADD_SPECIAL && t->add_closing)
        nb_token_append(&e.out, t->closing);
    nb_workspace_free(&e.workspace);
    return code < 0 ? code : e.out.count;
}

/* Receives a text byte by byte. What does not fit out[capacity] is only counted. */
typedef struct sink {
    char *out;
    int32_t capacity, size;
} sink;

static void put(sink *s, uint8_t byte) {
    if (s->size < s->capacity)
        s->out[s->size] = (char)byte;
    s->size++;
}

static void put_byte_level(sink *s, const uint8_t *name, size_t size) {
    for (size_t at = 0, length; at < size; at += length) {
        int32_t byte = nb_character_byte(nb_utf8_decode(name + at, size - at, &length));
        if (byte >= 0)
            put(s, (uint8_t)byte);
        else /* this character stands for itself */
            for (size_t i = 0; i < length; i++)
                put(s, name[at + i]);
    }
}

static void put_sentence_piece(sink *s, const uint8_t *name, size_t size) {
    for (size_t at = 0; at < size; at++)
        if (nb_is_metaspace(name + at, size - at)) {
            put(s, ' ');
            at += NB_METASPACE_SIZE - 1;
        } else {
            put(s, name[at]);
        }
}

int32_t nb_tokenizer_bytes(const nb_tokenizer *t, int32_t token, uint32_t flags, char *out, int32_t capacity) {
    if (token < 0 || token >= t->size)
        return 0;
    nb_text text = nb_token_name(t, token);
    const uint8_t *name = (const uint8_t *)text.data;
    sink s = {out, capacity, 0};
    switch (t->tokens[token].type) {
    case NB_TOKEN_UNKNOWN:
    case NB_TOKEN_CONTROL:
        if (!(flags & NB_DETOKENIZE_SPECIAL))
            break;
        /* fallthrough */
    case NB_TOKEN_USER_DEFINED:
        for (size_t i = 0; i < text.size; i++)
            put(&s, name[i]);
        break;
    case NB_TOKEN_NORMAL:
        if (t->pre && !t->pre->raw)
            put_byte_level(&s, name, text.size);
        else
            put_sentence_piece(&s, name, text.size);
        break;
    case NB_TOKEN_BYTE:
        if (nb_byte_of_name(text) >= 0)
            put(&s, (uint8_t)nb_byte_of_name(text));
        break;
    default: break; /* unused and undefined ones have no text */
    }
    return s.size;
}

int32_t nb_tokenizer_longest(const nb_tokenizer *t) {
    return (int32_t)t->longest;
}

int32_t nb_tokenizer_size(const nb_tokenizer *t) {
    return t->size;
}

int32_t nb_tokenizer_begin(const nb_tokenizer *t) {
    return t->begin;
}

int32_t nb_tokenizer_end(const nb_tokenizer *t) {
    return t->end;
}

bool nb_tokenizer_is_end(const nb_tokenizer *t, int32_t token) {
    return token >= 0 && token < t->size && t->tokens[token].is_end;
}

int32_t nb_tokenizer_type(const nb_tokenizer *t, int32_t token) {
    return token >= 0 && token < t->size ? t->tokens[token].type : 0;
}

nb_text nb_tokenizer_name(const nb_tokenizer *t, int32_t token) {
    return token >= 0 && token < t->size ? nb_token_name(t, token) : (nb_text){0};
}

bool nb_tokenizer_composes(const nb_tokenizer *t) {
    return t->nfc;
}

const char *nb_tokenizer_kind(const nb_tokenizer *t) {
    static const char *const names[] = {
        [NB_KIND_BPE] = "bpe",
        [NB_KIND_SPM] = "spm",
        [NB_KIND_UNIGRAM] = "unigram",
        [NB_KIND_WORDPIECE] = "wordpiece",
    };
    return names[t->kind];
}
