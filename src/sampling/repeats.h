/* What makes tokens that occurred already less likely. Both change logits[vocabulary] in place. */
#ifndef NB_REPEATS_H
#define NB_REPEATS_H

#include "../text/tokenizer.h"

/* Texts that end a repetition: "sequence breakers". */
enum { NB_MOST_BREAKERS = 32, NB_LONGEST_BREAKER = 63 };
typedef struct nb_breakers {
    const nb_tokenizer *tokenizer; /* in whose tokens all of them are looked for; it must live as long */
    int32_t n;
    struct {
        uint8_t size; /* in bytes */
        char text[NB_LONGEST_BREAKER];
    } list[NB_MOST_BREAKERS];
    char *window; /* room for the texts of two tokens, and what is before them; NULL if n = 0 */
} nb_breakers;

int32_t nb_breakers_add(nb_breakers *b, const nb_tokenizer *tokenizer, nb_text text, nb_error *err);
void nb_breakers_free(nb_breakers *b);

/* For each token that occurs n > 0 times among the last penalty_last of tokens[n]:
 *     logit <- (logit > 0 ? logit / repeat : logit * repeat) - n * frequency - presence
 * (Keskar et al. 2019, "CTRL", section 4.1, for the repeat penalty; below 0 its division would raise the logit.)
 * counts[vocabulary]: zeros, before and after. */
void nb_penalize(const nb_sampler_params *p, float *logits, int32_t vocabulary, const int32_t *tokens, int32_t n,
                 int32_t *counts);

/* DRY, "don't repeat yourself" (llama.cpp). The last `length` of tokens[n] occurred before, and are followed there by a
 * token. If length is dry_allowed_length or more, that token is made less likely:
 *     logit <- logit - dry_multiplier * dry_base ^ (length - dry_allowed_length)
 * Beyond 256 the exponent grows no more. No repetition goes back beyond the last breaker, and a token that is a breaker
 * stays as likely. */
void nb_penalize_sequences(const nb_sampler_params *p, const nb_breakers *b, float *logits, int32_t vocabulary,
                           const int32_t *tokens, int32_t n, int32_t *counts);

#endif
