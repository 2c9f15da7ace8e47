/* Samplers beyond nibble.h. */
#ifndef NB_SAMPLER_H
#define NB_SAMPLER_H

#include "../text/tokenizer.h"
#include "candidates.h"

/* As nb_sampler_new, but given the size of the vocabulary instead of a model. */
nb_sampler *nb_sampler_for(int32_t vocabulary, const nb_sampler_params *params, const nb_bias *biases, int32_t n_biases,
                           nb_error *err);

/* As nb_sampler_break. */
int32_t nb_sampler_break_at(nb_sampler *s, const nb_tokenizer *tokenizer, nb_text text, nb_error *err);

/* All of nb_sampler_next up to the draw: what it draws among. Not for temperature = 0. */
nb_candidates nb_sampler_candidates(nb_sampler *s, float *logits, const int32_t *tokens, int32_t n);

#endif
