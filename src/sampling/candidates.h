/* The tokens that a draw chooses among, and the filters that leave some of them out. Each filter keeps at least one. */
#ifndef NB_CANDIDATES_H
#define NB_CANDIDATES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct nb_candidate {
    float logit; /* finite */
    int32_t token;
} nb_candidate;

/* In no order, unless a function says so. Their probabilities are the softmax of their logits. */
typedef struct nb_candidates {
    nb_candidate *list; /* [n] */
    int32_t n;          /* at least 1 */
} nb_candidates;

/* The k best of all tokens; k = 0: all of them. list: room for `vocabulary` of them. Not-a-numbers become the lowest
 * logit, and infinities the lowest or the highest. */
nb_candidates nb_candidates_best(nb_candidate *list, const float *logits, int32_t vocabulary, int32_t k);

float nb_candidates_highest(const nb_candidates *c);
/* The sum of exp(logit - highest): what a probability is divided by. */
double nb_candidates_total(const nb_candidates *c, float highest);
/* exp(x) for x <= 0; 0 where a float would underflow. */
double nb_candidates_weight(float x);
/* Puts the best first, in order, while they are wanted. start: makes a heap of them. next: takes the best off the heap
 * of `left` tokens and returns it; it lies at list[left - 1] then. */
void nb_candidates_start(nb_candidates *c);
nb_candidate nb_candidates_next(nb_candidates *c, int32_t left);

void nb_keep_top_k(nb_candidates *c, int32_t k); /* k = 0: all */
/* Holtzman et al. 2020, "The Curious Case of Neural Text Degeneration", section 3.1. */
void nb_keep_top_p(nb_candidates *c, float p);
/* Nguyen et al. 2024, "Turning Up the Heat: Min-p Sampling", section 3. */
void nb_keep_min_p(nb_candidates *c, float min_p);
/* Meister et al. 2023, "Locally Typical Sampling", section 4. scratch: [n]. */
void nb_keep_typical(nb_candidates *c, float p, nb_candidate *scratch);
/* Tang et al. 2024, "Top-nσ: Not All Logits Are You Need": logits of at least the highest - sigmas * deviation. */
void nb_keep_top_sigmas(nb_candidates *c, float sigmas);
/* "Exclude top choices" (llama.cpp): of the tokens with a probability of `threshold` or more only the least probable
 * stays. */
void nb_leave_top_out(nb_candidates *c, float threshold);
/* Divides the logits. range: the temperature lies between temperature - range and temperature + range, by the entropy
 * of the candidates over the highest that so many can have, to the power of `exponent` (llama.cpp's dynamic
 * temperature). Afterwards the highest logit is 0. */
void nb_heat(nb_candidates *c, float temperature, float range, float exponent);

#endif
