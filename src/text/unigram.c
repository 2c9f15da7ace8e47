/* SentencePiece's unigram model (Kudo 2018): of all ways to write a text as pieces, the one with the highest sum of
 * their log-probabilities, found by dynamic programming (Viterbi). Before that the text is normalized by rules that the
 * model brings along. */
#include "vocabulary.h"

/* ---- normalization, of GGUF files ------------------------------------------------------------------------------------ */

static void put_mark(nb_workspace *w) {
    memcpy(w->text + w->text_used, NB_SPACE_MARK, NB_MARK_SIZE);
    w->text_used += NB_MARK_SIZE;
}

/* The text becomes w->text, with marks for spaces. White space is handled as llama.cpp does it for SentencePiece. */
static int32_t normalize(nb_encoding *e, const uint8_t *text, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    nb_workspace *w = &e->workspace;
    bool in_word = false, begun = false;
    w->text_used = 0;
    for (size_t at = 0, used; at < size; at += used) {
        nb_text piece = {(const char *)text + at, used = 1};
        if (!nb_charsmap_is_plain(t, text + at, size - at))
            piece = nb_charsmap_find(t, text + at, size - at, false, &used);
        if (!used) {
            nb_utf8_decode(text + at, size - at, &used);
            bool broken = used == 1 && text[at] >= 0x80;
            piece = broken ? (nb_text){"\xef\xbf\xbd", 3} : (nb_text){(const char *)text + at, used};
        }
        NB_TRY(nb_workspace_reserve_text(w, w->text_used + (1 + NB_MARK_SIZE) * (piece.size + 1), e->err));
        for (size_t i = 0; i < piece.size; i++) {
            bool space = piece.data[i] == ' ';
            if (space ? !t->merge_spaces : !in_word && (t->merge_spaces || (t->add_space && !begun)))
                put_mark(w);
            if (!space)
                w->text[w->text_used++] = (uint8_t)piece.data[i];
            in_word = !space;
            begun |= !space;
        }
    }
    return NB_OK;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

int32_t nb_unigram_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err) {
    NB_TRY(nb_charsmap_load(t, source->charsmap, err));
    nb_prefixes_load(t, &t->prefixes, NB_ORDINARY_TYPES, nb_prefix_hashes(source->n_tokens));
    float least = 0;
    for (int32_t i = 0; t->tokens && i < t->size; i++)
        if ((t->tokens[i].type == NB_TOKEN_NORMAL || t->steps.library) && t->tokens[i].score < least)
            least = t->tokens[i].score;
    t->unknown_score = (double)least - 10; /* SentencePiece's kUnkPenalty */
    return NB_OK;
}

enum { UNKNOWN = -1 };

/* For each prefix of the word: its best sum (best), its last piece (ids) and where that piece starts (starts). A character is
 * unknown until a piece is found that ends with it, so each prefix has a last piece whatever the scores are. */
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
        nb_prefix_walk walk = nb_prefix_walk_of(t, word + at, size - at);
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
    /* The last pieces lead from the word's end to its beginning. They are written in the other direction. */
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

int32_t nb_unigram_encode(nb_encoding *e, const uint8_t *text, size_t size, bool first) {
    nb_workspace *w = &e->workspace;
    if (e->tokenizer->steps.library)
        return nb_spaced_encode(e, text, size, first, encode_word);
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
