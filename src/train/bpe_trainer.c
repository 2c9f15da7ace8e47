/* Trains a tokenizer: text in pieces -> different words and how often they occur -> merges. */
#include "bpe_trainer.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../text/byte_level.h"

enum {
    BYTES = 256,
    FIRST_SIZE = 64,
    HELD_WORDS = 2, /* last words, whose ends may depend on text that has not arrived yet */
    UTF8_BYTES = 4, /* of a character, at most */
    MOST_TOKENS = 1 << 20,
};

/* ---- the object -------------------------------------------------------------------------------------------------- */

static const char *const pattern_names[] = {[NB_SPLIT_GPT2] = "gpt-2", [NB_SPLIT_LLAMA3] = "llama3"};

nb_bpe_trainer *nb_bpe_trainer_new(uint32_t pattern, uint32_t by_lines, nb_error *err) {
    if (pattern >= sizeof pattern_names / sizeof *pattern_names)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "there is no pattern %u to cut words by; take an NB_SPLIT_...",
                            pattern);
    nb_bpe_trainer *t = nb_alloc(sizeof *t);
    nb_unicode *unicode = nb_alloc(nb_unicode_bytes());
    if (!t || !unicode) {
        nb_free(t);
        nb_free(unicode);
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a tokenizer's trainer");
    }
    memset(unicode, 0, nb_unicode_bytes());
    nb_unicode_expand(unicode);
    *t = (nb_bpe_trainer){
        .pre = nb_pretokenizer_find(nb_text_of(pattern_names[pattern])),
        .unicode = unicode,
        .by_lines = by_lines,
        .next_size = FIRST_SIZE,
    };
    nb_pretokenizer_prepare(t->pre, unicode, t->splits);
    return t;
}

static void free_text(nb_bpe_trainer *t) {
    nb_free(t->rest);
    nb_free(t->unicode);
    nb_strings_free(&t->words);
    t->rest = NULL;
    t->unicode = NULL;
}

void nb_bpe_trainer_free(nb_bpe_trainer *t) {
    if (!t)
        return;
    free_text(t);
    nb_merges_free(&t->merges);
    nb_free(t);
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* Bytes of a word that are not UTF-8. */
static double broken_in(nb_text word) {
    double n = 0;
    int whole;
    for (size_t at = 0, length; at < word.size; at += length) {
        length = nb_utf8_prefix((const uint8_t *)word.data + at, word.size - at, &whole);
        n += whole ? 0 : (double)length;
    }
    return n;
}

static int32_t count_word(nb_bpe_trainer *t, size_t start, size_t end, nb_error *err) {
    uint32_t index;
    NB_TRY(nb_strings_add(&t->words, (nb_text){(const char *)t->rest + start, end - start}, &index, err));
    t->words.items[index].count++;
    t->total_words++;
    return NB_OK;
}

/* Counts the words of rest[*at ... end). is_end: the text ends there; else the last HELD_WORDS words are not counted.
 * *at becomes the beginning of what was not counted.
 *
 * Holding these words back is enough. A word's end depends at most on the character after it, on the white space that
 * it begins, or on two letters after an apostrophe. */
static int32_t count_words(nb_bpe_trainer *t, size_t *at, size_t end, bool is_end, nb_error *err) {
    size_t first = *at, starts[HELD_WORDS] = {first, first}, start;
    nb_words words = nb_words_of(t->pre, t->splits, t->unicode, t->rest + first, end - first);
    words.folds = true; /* as in the tokenizers library */
    for (uint64_t n = 0; nb_words_next(&words, &start); n++) {
        start += first;
        if (is_end)
            NB_TRY(count_word(t, start, words.at + first, err));
        else if (n >= HELD_WORDS)
            NB_TRY(count_word(t, starts[0], starts[1], err));
        if (n >= HELD_WORDS) {
            starts[0] = starts[1];
            starts[1] = start;
        } else {
            starts[n] = start;
        }
    }
    *at = is_end ? end : starts[0];
    return NB_OK;
}

/* The size of the rest without a character that is cut off at its end. */
static size_t whole_characters(const nb_bpe_trainer *t) {
    size_t end = t->rest_size;
    int whole;
    for (size_t back = 1; back < UTF8_BYTES && back <= end; back++) {
        if (nb_utf8_lead_of(t->rest[end - back]).length <= back)
            continue;
        size_t length = nb_utf8_prefix(t->rest + end - back, back, &whole);
        return length == back && !whole ? end - back : end;
    }
    return end;
}

/* Counts the words of the rest, except the last ones, which may still change. */
static int32_t count_rest(nb_bpe_trainer *t, bool is_end, nb_error *err) {
    size_t at = 0, end = is_end ? t->rest_size : whole_characters(t);
    for (size_t i = 0; t->by_lines && i < end; i++) {
        if (t->rest[i] != '\n')
            continue;
        NB_TRY(count_words(t, &at, i + 1, true, err));
    }
    NB_TRY(count_words(t, &at, end, is_end, err));
    t->rest_size -= at;
    if (at)
        memmove(t->rest, t->rest + at, t->rest_size);
    t->next_size = 2 * t->rest_size + FIRST_SIZE; /* doubling, so that a long word is not scanned again and again */
    return NB_OK;
}

/* After an error the trainer cannot go on: a second try would count some words twice. */
static int32_t cut_rest(nb_bpe_trainer *t, bool is_end, nb_error *err) {
    int32_t code = count_rest(t, is_end, err);
    t->has_failed = code != NB_OK;
    return code;
}

static int32_t check_open(const nb_bpe_trainer *t, nb_error *err) {
    if (t->has_failed)
        return NB_FAIL(err, NB_ERR_STATE,
                       "counting the words of this text has failed before; begin with a new trainer");
    if (t->has_begun)
        return NB_FAIL(err, NB_ERR_STATE, "this tokenizer is being trained and takes no more text or tokens");
    return NB_OK;
}

static int32_t keep(nb_bpe_trainer *t, const uint8_t *bytes, size_t size, nb_error *err) {
    uint64_t wanted = nb_plus(t->rest_size, size);
    if (wanted > t->rest_capacity)
        NB_TRY(nb_enlarge(&t->rest, &t->rest_capacity, t->rest_size, nb_plus(wanted, t->rest_size), err));
    if (size)
        memcpy(t->rest + t->rest_size, bytes, size);
    t->rest_size += size;
    t->bytes += (double)size;
    return NB_OK;
}

int32_t nb_bpe_trainer_add(nb_bpe_trainer *t, const uint8_t *bytes, size_t size, nb_error *err) {
    NB_TRY(check_open(t, err));
    NB_TRY(keep(t, bytes, size, err));
    return t->rest_size >= t->next_size ? cut_rest(t, false, err) : NB_OK;
}

int32_t nb_bpe_trainer_end_text(nb_bpe_trainer *t, nb_error *err) {
    NB_TRY(check_open(t, err));
    return cut_rest(t, true, err);
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

int32_t nb_bpe_trainer_add_special(nb_bpe_trainer *t, const char *name, size_t size, nb_error *err) {
    NB_TRY(check_open(t, err));
    uint32_t token;
    if (!size || broken_in((nb_text){name, size}) > 0)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a special token is a text in UTF-8 of at least one byte");
    return nb_strings_add(&t->merges.names, (nb_text){name, size}, &token, err);
}

/* Adds the tokens of the bytes, in the order of the characters that spell them. */
static int32_t add_bytes(nb_bpe_trainer *t, uint32_t *byte_tokens, nb_error *err) {
    for (uint32_t character = 0; character < 2 * BYTES; character++) {
        int32_t byte = nb_character_byte(character);
        if (byte < 0)
            continue;
        uint8_t name[UTF8_BYTES];
        size_t size = nb_utf8_encode(character, name);
        uint32_t *token = &byte_tokens[byte];
        NB_TRY(nb_strings_add(&t->merges.names, (nb_text){(const char *)name, size}, token, err));
        t->merges.names.items[*token].count = 1;
    }
    return NB_OK;
}

int32_t nb_bpe_trainer_begin(nb_bpe_trainer *t, uint32_t vocabulary, uint32_t least, nb_error *err) {
    NB_TRY(nb_bpe_trainer_end_text(t, err));
    uint32_t byte_tokens[BYTES] = {0};
    t->has_begun = true;
    NB_TRY(add_bytes(t, byte_tokens, err));
    uint32_t have = t->merges.names.n;
    if (vocabulary < have || vocabulary > MOST_TOKENS)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "a vocabulary of %u tokens: take %u (256 bytes and the special tokens) to %u", vocabulary, have,
                       (uint32_t)MOST_TOKENS);
    t->distinct = t->words.n;
    for (uint32_t i = 0; i < t->words.n; i++)
        t->broken += (double)t->words.items[i].count * broken_in(nb_string_at(&t->words, i));
    t->merges.least = least;
    NB_TRY(nb_merges_begin(&t->merges, &t->words, byte_tokens, err));
    free_text(t);
    t->vocabulary = vocabulary;
    return NB_OK;
}

int32_t nb_bpe_trainer_merge(nb_bpe_trainer *t, uint32_t most, nb_error *err) {
    if (!t->vocabulary)
        return NB_FAIL(err, NB_ERR_STATE,
                       "call nb_bpe_trainer_begin before merging; after a failure begin with a new trainer");
    uint32_t n = 0;
    for (; n < NB_MIN(most, (uint32_t)INT32_MAX) && t->merges.names.n < t->vocabulary; n++) {
        int32_t merged = nb_merges_next(&t->merges, err);
        if (merged < 0)
            t->vocabulary = 0;
        NB_TRY(merged);
        if (!merged)
            break;
    }
    return (int32_t)n;
}

/* ---- results ----------------------------------------------------------------------------------------------------- */

uint32_t nb_bpe_trainer_tokens(const nb_bpe_trainer *t) {
    return t->merges.names.n;
}

int32_t nb_bpe_trainer_token(const nb_bpe_trainer *t, uint32_t token, char *out, uint32_t capacity) {
    if (token >= t->merges.names.n)
        return NB_ERR_ARGUMENT;
    nb_text name = nb_string_at(&t->merges.names, token);
    if (name.size > INT32_MAX)
        return NB_ERR_MEMORY;
    if (capacity)
        memcpy(out, name.data, NB_MIN(name.size, capacity));
    return (int32_t)name.size;
}

uint32_t nb_bpe_trainer_merges(const nb_bpe_trainer *t) {
    return t->merges.n_merges;
}

const uint32_t *nb_bpe_trainer_pairs(const nb_bpe_trainer *t) {
    return t->merges.merges;
}

void nb_bpe_trainer_facts(const nb_bpe_trainer *t, nb_bpe_facts *facts) {
    *facts = (nb_bpe_facts){
        .bytes = t->bytes,
        .words = t->total_words,
        .distinct = t->has_begun ? t->distinct : t->words.n,
        .broken = t->broken,
    };
}
