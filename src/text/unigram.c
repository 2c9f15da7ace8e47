/* SentencePiece's unigram model (Kudo 2018). Of all ways to write a word as pieces, it takes the one whose
 * log-probabilities have the highest sum. Dynamic programming finds it (Viterbi). */
#include "unigram.h"

#include "metaspace.h"
#include "names.h"

void nb_unigram_load(nb_tokenizer *t, const nb_vocabulary_source *source) {
    nb_prefixes_load(t, &t->prefixes, NB_ORDINARY_TYPES, nb_prefix_hashes(source->n_tokens));
    float least = 0;
    for (int32_t i = 0; t->tokens && i < t->size; i++)
        if ((t->tokens[i].type == NB_TOKEN_NORMAL || t->steps.from_json) && t->tokens[i].score < least)
            least = t->tokens[i].score;
    t->unknown_score = (double)least - 10; /* SentencePiece's kUnkPenalty */
}

enum { UNKNOWN = -1 };

/* For each prefix of the word: the best sum (best), the last piece (ids), and where that piece starts (starts). A
 * character is unknown until a piece is found that ends with it. So each prefix has a last piece, whatever the scores
 * are. */
static int32_t encode_word(nb_encode_call *e, const uint8_t *word, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    NB_TRY(nb_workspace_reserve(&e->workspace, size + 1, e->err));
    nb_workspace *w = &e->workspace;
    double *best = (double *)w->heap;
    for (size_t i = 0; i <= size; i++)
        best[i] = i ? -__builtin_inf() : 0;
    for (size_t at = 0, length; at < size; at += length) {
        nb_utf8_decode(word + at, size - at, &length);
        if (best[at + length] == -__builtin_inf()) { /* no earlier piece ends here */
            w->ids[at + length] = UNKNOWN;
            w->starts[at + length] = (uint32_t)at;
        }
        nb_prefix_walk walk = nb_prefix_walk_of(t, word + at, size - at);
        bool known = false; /* the character alone is a piece */
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
    /* The last pieces lead from the word's end to its beginning, and are written in the other direction. */
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

int32_t nb_unigram_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool first) {
    if (e->tokenizer->steps.from_json)
        return nb_spaced_encode(e, text, size, first, encode_word);
    return nb_encode_escaped(e, text, size, false, encode_word);
}
