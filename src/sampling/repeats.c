/* Penalties for tokens, and for sequences of tokens, that occurred already. */
#include "repeats.h"

#include "../base/memory.h"
#include "../base/numbers.h"

#include <float.h>
#include <math.h>

static bool is_token(int32_t token, int32_t vocabulary) {
    return token >= 0 && token < vocabulary;
}

void nb_penalize(const nb_sampler_params *p, float *logits, int32_t vocabulary, const int32_t *tokens, int32_t n,
                 int32_t *counts) {
    if (p->repeat_penalty == 1 && p->frequency_penalty == 0 && p->presence_penalty == 0)
        return;
    int32_t first = p->penalty_last < 0 || p->penalty_last > n ? 0 : n - p->penalty_last;
    for (int32_t i = first; i < n; i++)
        if (is_token(tokens[i], vocabulary))
            counts[tokens[i]]++;
    for (int32_t i = first; i < n; i++) {
        if (!is_token(tokens[i], vocabulary) || !counts[tokens[i]])
            continue;
        float *logit = &logits[tokens[i]];
        *logit = *logit > 0 ? *logit / p->repeat_penalty : *logit * p->repeat_penalty;
        *logit -= (float)counts[tokens[i]] * p->frequency_penalty + p->presence_penalty;
        counts[tokens[i]] = 0;
    }
}

/* ---- breakers -------------------------------------------------------------------------------------------------- */

int32_t nb_breakers_add(nb_breakers *b, const nb_tokenizer *tokenizer, nb_text text, nb_error *err) {
    if (text.size < 1 || text.size > NB_LONGEST_BREAKER)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a sequence breaker has %u bytes; it must have 1 to %d",
                       (uint32_t)text.size, NB_LONGEST_BREAKER);
    if (b->n == NB_MOST_BREAKERS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there are more than %d sequence breakers", NB_MOST_BREAKERS);
    if (b->n > 0 && b->tokenizer != tokenizer) /* the window would be too small for longer tokens */
        return NB_FAIL(err, NB_ERR_ARGUMENT, "the sequence breakers of a sampler must all be of one model");
    if (!b->window &&
        !(b->window = nb_alloc_items(1, NB_LONGEST_BREAKER + 2 * (uint64_t)nb_tokenizer_longest(tokenizer))))
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for sequence breakers");
    b->tokenizer = tokenizer;
    b->list[b->n].size = (uint8_t)text.size;
    memcpy(b->list[b->n++].text, text.data, text.size);
    return NB_OK;
}

void nb_breakers_free(nb_breakers *b) {
    nb_free(b->window);
}

/* Whether a breaker ends in text[size] after its first `before` bytes. */
static bool ends_within(const nb_breakers *b, const char *text, int32_t before, int32_t size) {
    for (int32_t k = 0; k < b->n; k++) {
        int32_t length = b->list[k].size;
        for (int32_t at = NB_MAX(0, before + 1 - length); at + length <= size; at++)
            if (nb_compare(text + at, b->list[k].text, (size_t)length) == 0)
                return true;
    }
    return false;
}

/* Whether a breaker ends in the text of the last of tokens[n]. It may begin in those before. */
static bool ends_in_last(const nb_breakers *b, const int32_t *tokens, int32_t n) {
    int32_t longest = nb_tokenizer_longest(b->tokenizer), room = NB_LONGEST_BREAKER, before = 0, wanted = 0;
    char *last = b->window + room, *earlier = last + longest;
    int32_t size = nb_tokenizer_bytes(b->tokenizer, tokens[n - 1], NB_DETOKENIZE_SPECIAL, last, longest);
    for (int32_t k = 0; k < b->n; k++)
        wanted = NB_MAX(wanted, b->list[k].size - 1);
    for (int32_t i = n - 1; i-- > 0 && n - i <= NB_LONGEST_BREAKER && before < wanted;) {
        int32_t bytes = nb_tokenizer_bytes(b->tokenizer, tokens[i], NB_DETOKENIZE_SPECIAL, earlier, longest),
                taken = NB_MIN(bytes, wanted - before);
        before += taken;
        memcpy(last - before, earlier + bytes - taken, (size_t)taken);
    }
    return ends_within(b, last - before, before, before + size);
}

/* How many tokens follow the last breaker in tokens[n]; `most` at most. */
static int32_t since_breaker(const nb_breakers *b, const int32_t *tokens, int32_t n, int32_t most) {
    if (b->n == 0)
        return most;
    int32_t since = 0;
    while (since < most && !ends_in_last(b, tokens, n - since))
        since++;
    return since;
}

/* ---- sequences ------------------------------------------------------------------------------------------------- */

#define MOST_EXPONENTS 256.0f

void nb_penalize_sequences(const nb_sampler_params *p, const nb_breakers *b, float *logits, int32_t vocabulary,
                           const int32_t *tokens, int32_t n, int32_t *counts) {
    int32_t allowed = p->dry_allowed_length, last = p->dry_last < 0 ? n : NB_MIN(n, p->dry_last);
    if (p->dry_multiplier == 0 || last <= allowed)
        return;
    /* A longer repetition is not penalized more, so that a prompt of one word takes no quadratic time. */
    float exponents = p->dry_base > 1.000001f ? NB_MIN(logf(FLT_MAX) / logf(p->dry_base), MOST_EXPONENTS) : 0;
    tokens += n - last;
    int32_t most =
        since_breaker(b, tokens, last, (int32_t)NB_MIN((double)allowed + (double)exponents + 1, (double)last));
    if (most < allowed)
        return;
    /* counts: 1 + the longest length for each token. k: how many tokens earlier the repeated ones end. */
    for (int32_t k = 1; k < last; k++) {
        int32_t length = 0, next = tokens[last - k];
        while (length < most && length + k < last && tokens[last - 1 - length] == tokens[last - 1 - length - k])
            length++;
        if (length >= allowed && is_token(next, vocabulary))
            counts[next] = NB_MAX(counts[next], 1 + length);
    }
    for (int32_t i = 0; i < last; i++) {
        if (!is_token(tokens[i], vocabulary) || !counts[tokens[i]])
            continue;
        float over = NB_MIN((float)(counts[tokens[i]] - 1 - allowed), exponents);
        counts[tokens[i]] = 0;
        if (b->n > 0 && ends_in_last(b, &tokens[i], 1)) /* a breaker itself may recur */
            continue;
        logits[tokens[i]] -= p->dry_multiplier * powf(p->dry_base, over);
    }
}
