/* Byte-level BPE merges the bytes of words by rank. The names of its tokens write bytes as characters
 * (byte_level.h). In some vocabularies (pre->raw) names are plain UTF-8 instead, and words consist of
 * characters. */
#include "bpe.h"

#include "../base/hash.h"
#include "byte_level.h"
#include "merge.h"
#include "metaspace.h"
#include "names.h"
#include "word_cache.h"

/* The rank of the merge of two tokens; UINT32_MAX if they do not merge. */
static uint32_t rank_of(const nb_merge_table *m, int32_t left, int32_t right) {
    uint32_t hash = nb_pair_hash(nb_pair_of(left, right), m->seed), slot;
    for (uint32_t at = hash & m->slot_mask; (slot = m->slots[at]); at = (at + 1) & m->slot_mask) {
        if ((slot ^ hash) & ~m->rank_mask)
            continue;
        uint32_t rank = (slot & m->rank_mask) - 1;
        if (m->rules[rank].left == left && m->rules[rank].right == right)
            return rank;
    }
    return UINT32_MAX;
}

static __attribute__((noinline)) uint32_t pair_rank(const nb_tokenizer *t, const nb_workspace *w, uint32_t left,
                                                    uint32_t right, int32_t *merged) {
    if (w->ids[left] < 0 || w->ids[right] < 0)
        return UINT32_MAX;
    uint32_t rank = rank_of(&t->merges, w->ids[left], w->ids[right]);
    if (rank != UINT32_MAX)
        *merged = t->merges.rules[rank].merged;
    return rank;
}

__attribute__((noinline)) void nb_merge_by_rank(const nb_tokenizer *t, nb_workspace *w, uint32_t n) {
    nb_merge(t, w, n, pair_rank);
}

/* Leaves out merges that can never apply, because the vocabulary lacks one of the tokens, and merges that would make
 * a special token. Returns how many slots it looked at. */
static uint32_t add_merge(nb_tokenizer *t, nb_text first, nb_text second, uint32_t rank) {
    nb_text nothing = {0};
    int32_t left = nb_vocabulary_find(t, first, nothing), right = nb_vocabulary_find(t, second, nothing);
    int32_t merged = nb_vocabulary_find(t, first, second);
    nb_merge_table *m = &t->merges;
    if (left < 0 || right < 0 || merged < 0 || nb_is_special(t, merged))
        return 0;
    uint32_t hash = nb_pair_hash(nb_pair_of(left, right), m->seed), at = hash & m->slot_mask, probes = 1, slot;
    for (; (slot = m->slots[at]); at = (at + 1) & m->slot_mask, probes++) {
        const nb_merge_rule *rule = &m->rules[(slot & m->rank_mask) - 1];
        if (rule->left == left && rule->right == right)
            return probes; /* of two equal merges the first counts */
    }
    m->slots[at] = (hash & ~m->rank_mask) | (rank + 1);
    m->rules[rank] = (nb_merge_rule){left, right, merged};
    return probes;
}

static bool add_merges(nb_tokenizer *t, const nb_vocabulary_source *source) {
    uint64_t at = 0, most = nb_most_probes(source->n_merges);
    memset(t->merges.slots, 0, ((size_t)t->merges.slot_mask + 1) * sizeof *t->merges.slots);
    for (uint32_t rank = 0; rank < source->n_merges; rank++) {
        nb_text left = {0}, right = {0};
        source->merge(source, rank, &at, &left, &right);
        uint32_t probes = add_merge(t, left, right, rank);
        if (probes > most)
            return false;
        most -= probes;
    }
    return true;
}

int32_t nb_merges_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err) {
    uint64_t slots = 16;
    nb_merge_table *m = &t->merges;
    if (source->n_merges > INT32_MAX / 4)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the vocabulary is too large: it has %l merges", source->n_merges);
    while (slots < 2 * source->n_merges)
        slots *= 2;
    m->slots = nb_arena_take(&t->arena, slots, sizeof *m->slots);
    m->rules = nb_arena_take(&t->arena, source->n_merges, sizeof *m->rules);
    m->slot_mask = m->rank_mask = (uint32_t)(slots - 1); /* twice as many as there are ranks */
    if (!m->slots)
        return NB_OK; /* measuring */
    for (uint32_t i = 0; i < NB_HASH_SEEDS; i++) {
        m->seed = nb_hash_seed(i) | 1;
        if (add_merges(t, source))
            return NB_OK;
    }
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "too many of the vocabulary's %l merges have equal hashes, so that loading would take very long; "
                   "the file is broken",
                   source->n_merges);
}

int32_t nb_bpe_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err) {
    NB_TRY(nb_merges_load(t, source, err));
    t->pre = source->pre;
    if (!t->tokens)
        return NB_OK; /* measuring */
    nb_pretokenizer_prepare(t->pre, t->unicode, t->split_ascii);
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint8_t character[3];
        nb_text nothing = {0}, text = {(char *)character, nb_utf8_encode(nb_byte_character((uint8_t)byte), character)};
        t->byte_tokens[byte] =
            t->pre->raw ? nb_vocabulary_find_byte(t, (uint8_t)byte) : nb_vocabulary_find(t, text, nothing);
    }
    return NB_OK;
}

/* The token whose name writes these bytes, or -1. */
static int32_t find_word(const nb_tokenizer *t, const uint8_t *bytes, size_t n) {
    uint8_t name[256]; /* tokens with longer names are found by merging */
    size_t size = 0;
    if (n > t->longest)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (size + 2 > sizeof name)
            return -1;
        size += nb_utf8_encode(nb_byte_character(bytes[i]), name + size);
    }
    return nb_vocabulary_find_word(t, (nb_text){(char *)name, size});
}

static int32_t encode_bytes(nb_encode_call *e, const uint8_t *word, size_t n) {
    const nb_tokenizer *t = e->tokenizer;
    if (t->whole_words) {
        int32_t token = find_word(t, word, n);
        if (token >= 0) {
            nb_token_append(&e->out, token);
            return NB_OK;
        }
    }
    NB_TRY(nb_workspace_reserve(&e->workspace, n, e->err));
    nb_workspace *w = &e->workspace;
    for (size_t i = 0; i < n; i++)
        w->ids[i] = t->byte_tokens[word[i]];
    nb_merge_by_rank(t, w, (uint32_t)n);
    for (uint32_t i = 0; i != (uint32_t)NB_SYMBOL_END; i = w->next[i])
        if (w->ids[i] != NB_SYMBOL_UNKNOWN) /* a byte without a token is left out, as in llama.cpp */
            nb_token_append(&e->out, w->ids[i]);
    return NB_OK;
}

/* For names in plain UTF-8. A symbol that is no token is written byte by byte. */
static int32_t encode_characters(nb_encode_call *e, const uint8_t *word, size_t size) {
    uint32_t n;
    NB_TRY(nb_symbols_of(e, word, size, &n));
    nb_merge_by_rank(e->tokenizer, &e->workspace, n);
    nb_symbols_append(e, word, size);
    return NB_OK;
}

static bool is_space(const nb_tokenizer *t, const uint8_t *word, size_t size) {
    size_t length;
    return nb_unicode_class(t->unicode, nb_utf8_decode(word, size, &length)) == NB_CLASS_SPACE;
}

int32_t nb_bpe_encode(nb_encode_call *e, const uint8_t *text, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    if (t->add_space && text[0] != ' ') {
        nb_bytes *spaced = &e->workspace.text;
        spaced->used = 0;
        NB_TRY(nb_bytes_append(spaced, " ", 1, e->err));
        NB_TRY(nb_bytes_append(spaced, text, size, e->err));
        text = spaced->data;
        size++;
    }
    nb_words words = nb_words_of(t->pre, t->split_ascii, t->unicode, text, size);
    words.folds = t->steps.from_json;
    for (size_t start; nb_words_next(&words, &start);) {
        const uint8_t *word = text + start;
        size_t n = words.at - start;
        int32_t token = -1;
        if (t->pre->drop_spaces && is_space(t, word, n))
            continue;
        if (t->pre->whole_lines && word[0] == '\n')
            token = nb_vocabulary_find_word(t, (nb_text){(const char *)word, n});
        if (token >= 0)
            nb_token_append(&e->out, token);
        else if (t->pre->escape_spaces)
            NB_TRY(nb_encode_escaped(e, word, n, false, encode_characters));
        else
            NB_TRY(nb_encode_word(e, word, n, t->pre->raw ? encode_characters : encode_bytes));
    }
    return NB_OK;
}
