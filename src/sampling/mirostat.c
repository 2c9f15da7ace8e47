/* Which tokens mirostat leaves; the sampler draws, and moves mu. */
#include "mirostat.h"

#include "../base/numbers.h"

#include <float.h>
#include <math.h>

enum { LIKELIEST = 100 };

void nb_keep_mirostat(nb_candidates *c, double mu, int32_t vocabulary) {
    int32_t left = c->n, most = NB_MIN(c->n, LIKELIEST);
    double products = 0, squares = 0, previous = 0;
    nb_candidates_start(c);
    for (int32_t i = 0; i < most; i++) {
        double logit = (double)nb_candidates_next(c, left--).logit;
        if (logit == (double)-FLT_MAX) /* minus infinity, of which there are many with a grammar, fits no curve */
            break;
        if (i > 0) { /* t = log of the ranks' ratio, b = log of the probabilities' */
            double t = (double)logf((float)(i + 1) / (float)i), b = previous - logit;
            products += t * b;
            squares += t * t;
        }
        previous = logit;
    }
    float exponent = (float)(products / squares), epsilon = exponent - 1, /* NaN if there is one candidate */
        k = powf(epsilon * exp2f((float)mu) / (1 - powf((float)vocabulary, -epsilon)), 1 / exponent);
    int32_t kept = k >= (float)c->n ? c->n : k >= 1 ? (int32_t)k : 1;
    while (c->n - left < kept)
        nb_candidates_next(c, left--);
    c->list += c->n - kept; /* the likeliest are last */
    c->n = kept;
}

void nb_keep_mirostat2(nb_candidates *c, double mu) {
    float highest = nb_candidates_highest(c);
    double least = nb_candidates_total(c, highest) * (double)exp2f(-(float)mu);
    int32_t kept = 0;
    if (!(least <= 1)) { /* the weight of the likeliest: even that one is too surprising */
        nb_keep_top_k(c, 1);
        return;
    }
    for (int32_t i = 0; i < c->n; i++)
        if (nb_candidates_weight(c->list[i].logit - highest) >= least)
            c->list[kept++] = c->list[i];
    c->n = kept;
}
