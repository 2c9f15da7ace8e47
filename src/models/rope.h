/* Rotary position embeddings: frequencies with their scalings, and the angles of a batch. */
#ifndef NB_ROPE_H
#define NB_ROPE_H

#include "shape.h"

/* frequencies: [pairs], for a session of that context. Position p rotates pair i by p * frequencies[i].
 *   none     base^(-i / pairs), divided by factors[i] if there are any: Llama 3's scaling comes as such a tensor,
 *            LongRoPE (Ding et al. 2024) as two, one for sessions with a context beyond the original one
 *   linear   that / factor (Chen et al. 2023)
 *   yarn     Peng et al. 2023, section 3.2: pairs that turn more than beta_fast times over the original context keep
 *            their frequency, those that turn less than beta_slow times are divided by factor, with a ramp between
 *   llama3   pairs that turn more than beta_fast times keep theirs, less than beta_slow times are divided, a ramp
 *            between, by the number of turns (transformers, modeling_rope_utils.py)
 * *magnitude: scales cosine and sine, 0.1 ln(factor) + 1 for yarn (ibid., section 3.4) times the file's own factor. */
void nb_rope_frequencies(const nb_rope *rope, uint32_t context, float *frequencies, float *magnitude);

/* cosines, sines: [n, pairs], of positions first ... first + n - 1. */
void nb_rope_angles(const float *frequencies, float magnitude, uint32_t pairs, uint32_t first, uint32_t n,
                    float *cosines, float *sines);

#endif
