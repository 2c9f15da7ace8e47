/* Mirostat (Basu et al. 2021, "Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity"): so many
 * candidates are left that the surprise of the drawn tokens stays near tau bits. `mu`, which
 * in mirostat 2 is the largest surprise of a candidate, follows: mu <- mu - eta * (surprise - tau), beginning with 2 *
 * tau. */
#ifndef NB_MIROSTAT_H
#define NB_MIROSTAT_H

#include "candidates.h"

/* Algorithm 1: estimates the exponent of Zipf's law from the likeliest 100 tokens, and from that how many to keep. */
void nb_keep_mirostat(nb_candidates *c, double mu, int32_t vocabulary);
/* Mirostat 2.0 (its authors' code; llama.cpp): leaves out what is more surprising than mu. */
void nb_keep_mirostat2(nb_candidates *c, double mu);

#endif
