/* SentencePiece-style BPE (Kudo and Richardson 2018): neighbours whose concatenation is a token merge, the highest
 * score first; what is no token in the end is written as byte tokens <0xHH>. Spaces are U+2581 in token names. */
#include "../base/numbers.h"
#include "merge.h"
#include "unicode.h"

static const char space_mark[] = "\xe2\x96\x81";
enum { MARK_SIZE = 3 };

static inline bool is_mark(const uint8_t *s, size_t n) {
    return n >= MARK_SIZE && s[0] == 0xe2 && s[1] == 0x96 && s[2] == 0x81;
}

/* Whether a space follows another character within text. */
static bool has_inner_space(nb_text text) {
    const uint8_t *s = (const uint8_t *)text.data;
    bool after_other = false;
    for (size_t i = 0; i < text.size;) {
        bool mark = is_mark(s + i, text.size - i);
        if (mark && after_other)
            return true;
        after_other |= !mark;
        i += mark ? MARK_SIZE : 1;
    }
    return false;
}

void nb_spm_load(nb_tokenizer *t) {
    for (int32_t i = 0; i < t->size; i++)
        t->spans_spaces |= has_inner_space(nb_token_name(t, i));
    for (uint32_t byte = 0; byte < 256; byte++) {
        char name[6] = {'<', '0', 'x', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15], '>'};
        char self = (char)byte;
        int32_t token = nb_vocabulary_find(t, (nb_text){name, sizeof name}, (nb_text){0});
        if (token < 0)
            token = nb_vocabulary_find(t, (nb_text){&self, 1}, (nb_text){0});
        t->byte_tokens[byte] = token < 0 ? t->unknown : token;
    }
}

/* Orders as the float does, from high to low; never UINT32_MAX. */
static uint32_t priority_of(float score) {
    if (score != score)
        return UINT32_MAX - 1;
    uint32_t bits = nb_bits_of(score + 0.0f); /* -0 becomes 0 */
    return ~(bits & 0x80000000 ? ~bits : bits | 0x80000000);
}

/* starts[i] ... starts[next[i]]: the text of symbol i; one start beyond the last symbol's is its end. */
static uint32_t pair_score(const nb_tokenizer *t, const nb_workspace *w, uint32_t left, uint32_t right,
                           int32_t *merged) {
    uint32_t end = w->next[right] == (uint32_t)NB_SYMBOL_END ? (uint32_t)w->text_used : w->starts[w->next[right]];
    size_t size = end - w->starts[left];
    if (size > t->longest)
        return UINT32_MAX;
    *merged = nb_vocabulary_find(t, (nb_text){(char *)w->text + w->starts[left], size}, (nb_text){0});
    return *merged < 0 ? UINT32_MAX : priority_of(t->tokens[*merged].score);
}

/* w->text[text_used]: one word, its spaces escaped. */
static int32_t encode_word(nb_encoding *e) {
    const nb_tokenizer *t = e->tokenizer;
    nb_workspace *w = &e->workspace;
    NB_TRY(nb_workspace_reserve(w, w->text_used, e->err));
    uint32_t n = 0;
    for (size_t at = 0, length; at < w->text_used; at += length) {
        nb_utf8_decode(w->text + at, w->text_used - at, &length);
        w->starts[n] = (uint32_t)at;
        w->ids[n++] = nb_vocabulary_find(t, (nb_text){(char *)w->text + at, length}, (nb_text){0});
    }
    nb_merge(t, w, n, pair_score);
    for (uint32_t i = 0, next; i != (uint32_t)NB_SYMBOL_END; i = next) {
        next = w->next[i];
        if (w->ids[i] >= 0) {
            nb_token_append(&e->out, w->ids[i]);
            continue;
        }
        size_t end = next == (uint32_t)NB_SYMBOL_END ? w->text_used : w->starts[next];
        for (size_t at = w->starts[i]; at < end; at++)
            if (t->byte_tokens[w->text[at]] >= 0)
                nb_token_append(&e->out, t->byte_tokens[w->text[at]]);
    }
    w->text_used = 0;
    return NB_OK;
}

int32_t nb_spm_encode(nb_encoding *e, const uint8_t *text, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    nb_workspace *w = &e->workspace;
    w->text_used = 0;
    bool in_word = false; /* something that is no space has been seen since the last cut */
    if (t->add_space) { /* before the text, and before what follows a special token */
        NB_TRY(nb_workspace_reserve_text(w, MARK_SIZE, e->err));
        memcpy(w->text, space_mark, MARK_SIZE);
        w->text_used = MARK_SIZE;
    }
    for (size_t i = 0; i < size;) {
        bool mark = is_mark(text + i, size - i), space = text[i] == ' ' || mark;
        /* no token spans this place, so no merge does: what came before can be merged by itself */
        if (space && in_word && !t->spans_spaces) {
            NB_TRY(encode_word(e));
            in_word = false;
        }
        in_word |= !space;
        NB_TRY(nb_workspace_reserve_text(w, w->text_used + MARK_SIZE, e->err));
        if (space) {
            memcpy(w->text + w->text_used, space_mark, MARK_SIZE);
            w->text_used += MARK_SIZE;
            i += mark ? MARK_SIZE : 1;
        } else {
            w->text[w->text_used++] = text[i++];
        }
    }
    return w->text_used ? encode_word(e) : NB_OK;
}
