/* SentencePiece's unigram model (Kudo 2018): of all ways to write a text as pieces, the one with the highest sum of
 * their log-probabilities, found by dynamic programming (Viterbi). Before that the text is normalized by rules that the
 * model brings along. */
#include "../base/cursor.h"
#include "vocabulary.h"

/* ---- normalization --------------------------------------------------------------------------------------------------
 *
 * The rules ("precompiled charsmap"): u32 size of the trie in bytes; the trie; texts that end in zeros. The trie is a
 * double array (Aoe 1989) in the layout of darts-clone: the children of a unit u lie at index ^ offset(u) ^ label, a
 * child is one if its own label is right, and a leaf's value is at index ^ offset(u): where its replacement begins. */

static uint32_t unit_at(const nb_tokenizer *t, uint32_t index, uint32_t n_units) {
    uint32_t unit = 0;
    if (index < n_units)
        memcpy(&unit, t->charsmap.data + 4 + 4 * (size_t)index, 4);
    return unit;
}

static uint32_t offset_of(uint32_t unit) {
    return unit >> 10 << (unit >> 9 & 1) * 8;
}

/* The replacement of the longest beginning of text[n] that has one; *used = 0 if none has. */
static nb_text replacement_of(const nb_tokenizer *t, const uint8_t *text, size_t n, size_t *used) {
    nb_text found = {0};
    *used = 0;
    if (!t->charsmap.size)
        return found;
    uint32_t size;
    memcpy(&size, t->charsmap.data, 4);
    uint32_t n_units = size / 4, index = offset_of(unit_at(t, 0, n_units));
    nb_text texts = {t->charsmap.data + 4 + size, t->charsmap.size - 4 - size};
    for (size_t at = 0; at < n && text[at]; at++) {
        index ^= text[at];
        uint32_t unit = unit_at(t, index, n_units);
        if ((unit & 0x800000ffu) != text[at])
            break;
        index ^= offset_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        uint32_t start = unit_at(t, index, n_units) & 0x7fffffffu;
        if (start >= texts.size)
            break;
        *used = at + 1;
        found = (nb_text){texts.data + start, 0};
        while (found.data[found.size]) /* the last text ends in a zero: nb_unigram_load has seen to it */
            found.size++;
    }
    return found;
}

/* Most of a text is such: ASCII for which there is no rule, nor one that goes on with ASCII. */
static void find_plain(nb_tokenizer *t) {
    uint32_t size;
    memcpy(&size, t->charsmap.data, 4);
    uint32_t n_units = size / 4, root = offset_of(unit_at(t, 0, n_units));
    for (uint32_t a = 0; a < 128; a++) {
        uint32_t unit = unit_at(t, root ^ a, n_units), next = root ^ a ^ offset_of(unit);
        bool begins = (unit & 0x800000ffu) == a, plain = !begins || !(unit >> 8 & 1);
        for (uint32_t b = 1; b < 128 && begins; b++)
            plain &= (unit_at(t, next ^ b, n_units) & 0x800000ffu) != b;
        t->plain[a / 32] |= (uint32_t)plain << a % 32;
    }
}

static inline bool is_plain(const nb_tokenizer *t, const uint8_t *text, size_t n) {
    return text[0] < 0x80 && (n == 1 || text[1] < 0x80) && t->plain[text[0] / 32] >> text[0] % 32 & 1;
}

static void put_mark(nb_workspace *w) {
    memcpy(w->text + w->text_used, NB_SPACE_MARK, NB_MARK_SIZE);
    w->text_used += NB_MARK_SIZE;
}

/* Writes w->text; spaces as marks. SentencePiece's handling of white space, as llama.cpp has it; add_space_at_start and
 * add_space_to_words are what tokenizer.json's Metaspace does otherwise, which also keeps one space at the end. */
static int32_t normalize(nb_encoding *e, const uint8_t *text, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    nb_workspace *w = &e->workspace;
    bool in_word = false, begun = false, spaced = false; /* spaced: there were spaces */
    bool bare = t->add_space_at_start && text != e->start;
    w->text_used = 0;
    for (size_t at = 0, used; at < size; at += used) {
        nb_text piece = {(const char *)text + at, used = 1};
        if (!is_plain(t, text + at, size - at))
            piece = replacement_of(t, text + at, size - at, &used);
        if (!used) {
            nb_utf8_decode(text + at, size - at, &used);
            bool broken = used == 1 && text[at] >= 0x80;
            piece = broken ? (nb_text){"\xef\xbf\xbd", 3} : (nb_text){(const char *)text + at, used};
        }
        NB_TRY(nb_workspace_reserve_text(w, w->text_used + (1 + NB_MARK_SIZE) * (piece.size + 1), e->err));
        for (size_t i = 0; i < piece.size; i++) {
            bool space = piece.data[i] == ' ';
            bool first = !bare && t->add_space && !begun && !(t->add_space_to_words && spaced);
            if (space ? !t->merge_spaces : !in_word && (t->merge_spaces ? spaced || !bare : first))
                put_mark(w);
            if (!space)
                w->text[w->text_used++] = (uint8_t)piece.data[i];
            in_word = !space;
            begun |= !space;
            spaced |= space;
        }
    }
    if (t->merge_spaces && t->add_space_to_words && spaced && !in_word) {
        NB_TRY(nb_workspace_reserve_text(w, w->text_used + NB_MARK_SIZE, e->err));
        put_mark(w);
    }
    return NB_OK;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

int32_t nb_unigram_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err) {
    nb_text map = source->charsmap;
    uint32_t size = 0;
    if (map.size >= 4)
        memcpy(&size, map.data, 4);
    if (map.size && (map.size < 4 || size >= map.size - 4 || map.data[map.size - 1]))
        return NB_FAIL(err, NB_ERR_FORMAT, "the tokenizer's normalization rules (precompiled charsmap) are broken: "
                       "%z bytes, a trie of %u; convert the model anew", map.size, size);
    t->charsmap = map;
    if (map.size && t->tokens)
        find_plain(t);
    nb_prefixes_load(t, &t->prefixes, NB_ORDINARY_TYPES, nb_prefix_hashes(source->n_tokens));
    float least = 0;
    for (int32_t i = 0; t->tokens && i < t->size; i++)
        if (t->tokens[i].type == NB_TOKEN_NORMAL && t->tokens[i].score < least)
            least = t->tokens[i].score;
    t->unknown_score = (double)least - 10; /* SentencePiece's kUnkPenalty */
    return NB_OK;
}

enum { UNKNOWN = -1 };

/* For the end of each prefix of the word: the best sum, the last piece and where that piece starts. Whatever the scores
 * are, each character has a way to it: by default it is unknown. */
static int32_t encode_word(nb_encoding *e, const uint8_t *word, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    NB_TRY(nb_workspace_reserve(&e->workspace, size + 1, e->err));
    nb_workspace *w = &e->workspace;
    double *best = (double *)w->heap;
    for (size_t i = 0; i <= size; i++)
        best[i] = i ? -__builtin_inf() : 0;
    for (size_t at = 0, length; at < size; at += length) {
        nb_utf8_decode(word + at, size - at, &length);
        if (best[at + length] == -__builtin_inf()) { /* no piece that started before ends here */
            w->ids[at + length] = UNKNOWN;
            w->starts[at + length] = (uint32_t)at;
        }
        nb_prefix_walk walk = nb_prefix_walk_of(word + at, size - at);
        bool known = false; /* the character by itself is a piece */
        for (int32_t token; (token = nb_prefix_next(t, &t->prefixes, &walk)) >= 0;) {
            const nb_token *piece = &t->tokens[token];
            double sum = best[at] + (piece->type == NB_TOKEN_USER_DEFINED ? 0 : (double)piece->score);
            size_t end = at + walk.at;
            known |= walk.at == length;
            if (sum > best[end]) {
                best[end] = sum;
                w->ids[end] = token;
                w->starts[end] = (uint32_t)at;
            }
        }
        double sum = best[at] + t->unknown_score;
        if (!known && sum > best[at + length]) {
            best[at + length] = sum;
            w->ids[at + length] = UNKNOWN;
            w->starts[at + length] = (uint32_t)at;
        }
    }
    /* backwards to find the way, forwards to tell it */
    uint32_t n = 0;
    for (size_t end = size; end; end = w->starts[end])
        w->next[n++] = (uint32_t)end;
    bool after_unknown = false;
    while (n--) {
        int32_t token = w->ids[w->next[n]];
        bool unknown = token == UNKNOWN;
        if (unknown && !after_unknown && t->unknown >= 0)
            nb_token_append(&e->out, t->unknown);
        else if (!unknown)
            nb_token_append(&e->out, token);
        after_unknown = unknown;
    }
    return NB_OK;
}

int32_t nb_unigram_encode(nb_encoding *e, const uint8_t *text, size_t size) {
    nb_workspace *w = &e->workspace;
    NB_TRY(normalize(e, text, size));
    for (size_t start = 0, end; start < w->text_used; start = end) {
        bool in_word = false;
        for (end = start; end < w->text_used; end++) {
            bool mark = nb_is_mark(w->text + end, w->text_used - end);
            if (mark && in_word && nb_parts_words(e->tokenizer, w->text[end - 1]))
                break;
            in_word = !mark;
            end += mark ? NB_MARK_SIZE - 1 : 0;
        }
        NB_TRY(nb_encode_word(e, w->text + start, end - start, encode_word));
    }
    return NB_OK;
}
