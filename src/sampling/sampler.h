/* Samplers beyond nibble.h. */
#ifndef NB_SAMPLER_H
#define NB_SAMPLER_H

#include "../base/error.h"

/* As nb_sampler_new, but given the size of the vocabulary instead of a model. */
nb_sampler *nb_sampler_for(int32_t vocabulary, const nb_sampler_params *params, const nb_bias *biases, int32_t n_biases,
                           nb_error *err);

#endif
