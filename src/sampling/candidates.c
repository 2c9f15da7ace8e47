/* Filters of candidates. They compare logits, and add probabilities in doubles. Logarithms and powers are of floats, as
 * those of doubles need tables of 8 KB. */
#include "candidates.h"

#include "../base/numbers.h"
#include "../kernels/ops.h"

#include <float.h>
#include <math.h>

/* Whether a comes before b: the higher logit, then the lower token. */
static inline bool is_before(nb_candidate a, nb_candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/* heap[n]: no child comes before its parent, or with `last` no parent before its child. */
static void sift_down(nb_candidate *heap, int32_t n, int32_t at, bool last) {
    nb_candidate item = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_before(heap[child + 1], heap[child]) != last)
            child++;
        if (is_before(heap[child], item) == last)
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void make_heap(nb_candidate *heap, int32_t n, bool last) {
    for (int32_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i, last);
}

/* Takes the place of the worst of heap[n], if it comes before that one. */
static void offer(nb_candidate *heap, int32_t n, nb_candidate next) {
    if (!is_before(next, heap[0]))
        return;
    heap[0] = next;
    sift_down(heap, n, 0, true);
}

/* Infinities are clamped, as their difference would be NaN. */
static nb_candidate candidate_of(const float *logits, int32_t token) {
    float logit = logits[token];
    return (nb_candidate){logit >= -FLT_MAX ? NB_MIN(logit, FLT_MAX) : -FLT_MAX, token};
}

/* The worst of the k best so far is at the top of a heap. Few of the later tokens are better than that: only those with
 * a higher logit can be. */
nb_candidates nb_candidates_best(nb_candidate *list, const float *logits, int32_t vocabulary, int32_t k) {
    int32_t kept = k == 0 ? vocabulary : NB_MIN(k, vocabulary);
    for (int32_t i = 0; i < kept; i++)
        list[i] = candidate_of(logits, i);
    if (kept < vocabulary) {
        uint32_t i = (uint32_t)kept, end = (uint32_t)vocabulary;
        make_heap(list, kept, true);
        for (; (i = nb_find_above(logits, i, end, list[0].logit)) < end; i++)
            offer(list, kept, candidate_of(logits, (int32_t)i));
    }
    return (nb_candidates){list, kept};
}

float nb_candidates_highest(const nb_candidates *c) {
    float highest = c->list[0].logit;
    for (int32_t i = 1; i < c->n; i++)
        highest = NB_MAX(highest, c->list[i].logit);
    return highest;
}

double nb_candidates_weight(float x) {
    return x < -103.0f ? 0.0 : (double)expf(x);
}

double nb_candidates_total(const nb_candidates *c, float highest) {
    double total = 0;
    for (int32_t i = 0; i < c->n; i++)
        total += nb_candidates_weight(c->list[i].logit - highest);
    return total;
}

void nb_candidates_start(nb_candidates *c) {
    make_heap(c->list, c->n, false);
}

nb_candidate nb_candidates_next(nb_candidates *c, int32_t left) {
    nb_candidate first = c->list[0];
    c->list[0] = c->list[left - 1];
    sift_down(c->list, left - 1, 0, false);
    c->list[left - 1] = first;
    return first;
}

void nb_keep_top_k(nb_candidates *c, int32_t k) {
    if (k == 0 || k >= c->n)
        return;
    make_heap(c->list, k, true);
    for (int32_t i = k; i < c->n; i++)
        offer(c->list, k, c->list[i]);
    c->n = k;
}

/* The smallest set of the most probable candidates whose probability is p or more. Only those that are kept are
 * sorted. */
void nb_keep_top_p(nb_candidates *c, float p) {
    float highest = nb_candidates_highest(c);
    double total = nb_candidates_total(c, highest), sum = 0;
    nb_candidates_start(c);
    int32_t left = c->n;
    do
        sum += nb_candidates_weight(nb_candidates_next(c, left--).logit - highest);
    while (left > 0 && sum < (double)p * total);
    c->list += left;
    c->n -= left;
}

static void keep_from(nb_candidates *c, float lowest) {
    int32_t kept = 0;
    for (int32_t i = 0; i < c->n; i++)
        if (c->list[i].logit >= lowest)
            c->list[kept++] = c->list[i];
    c->n = kept;
}

void nb_keep_min_p(nb_candidates *c, float min_p) {
    keep_from(c, nb_candidates_highest(c) + logf(min_p));
}

void nb_keep_top_sigmas(nb_candidates *c, float sigmas) {
    double sum = 0, squares = 0, counted = 0;
    for (int32_t i = 0; i < c->n; i++)
        if (c->list[i].logit > -FLT_MAX) { /* those at minus infinity would hide all differences */
            sum += (double)c->list[i].logit;
            counted++;
        }
    for (int32_t i = 0; i < c->n; i++)
        if (c->list[i].logit > -FLT_MAX) {
            double off = (double)c->list[i].logit - sum / counted;
            squares += off * off;
        }
    if (counted > 1)
        keep_from(c, (float)((double)nb_candidates_highest(c) - (double)sigmas * sqrt(squares / counted)));
}

/* -sum p log p, in nats. */
static double entropy_of(const nb_candidates *c, float highest, double total) {
    double sum = 0;
    for (int32_t i = 0; i < c->n; i++) {
        float x = c->list[i].logit - highest;
        double weight = nb_candidates_weight(x);
        if (weight > 0)
            sum += weight * (double)x;
    }
    return (double)logf((float)total) - sum / total;
}

/* The smallest set whose probability is above p, of those whose surprise -log(probability) is nearest to the entropy.
 * In `scratch` a token is an index into the list, and its logit the negative of that distance. */
void nb_keep_typical(nb_candidates *c, float p, nb_candidate *scratch) {
    float highest = nb_candidates_highest(c);
    double total = nb_candidates_total(c, highest), entropy = entropy_of(c, highest, total), sum = 0,
           log_total = (double)logf((float)total);
    nb_candidates nearest = {scratch, c->n};
    for (int32_t i = 0; i < c->n; i++) {
        double surprise = log_total - (double)(c->list[i].logit - highest), distance = fabs(surprise - entropy);
        scratch[i] = (nb_candidate){-(float)NB_MIN(distance, (double)FLT_MAX), i};
    }
    nb_candidates_start(&nearest);
    int32_t left = c->n;
    do {
        nb_candidate *next = &scratch[left - 1];
        int32_t at = nb_candidates_next(&nearest, left--).token;
        *next = c->list[at];
        sum += nb_candidates_weight(next->logit - highest);
    } while (left > 0 && sum <= (double)p * total);
    int32_t kept = c->n - left;
    for (int32_t i = 0; i < kept; i++)
        c->list[i] = scratch[left + i];
    c->n = kept;
}

void nb_leave_top_out(nb_candidates *c, float threshold) {
    float highest = nb_candidates_highest(c);
    double total = nb_candidates_total(c, highest), least = (double)threshold * total;
    int32_t above = 0, stays = -1, kept = 0;
    for (int32_t i = 0; i < c->n; i++) {
        double weight = nb_candidates_weight(c->list[i].logit - highest);
        if (weight == 0 || weight < least)
            continue;
        above++;
        if (stays < 0 || is_before(c->list[stays], c->list[i]))
            stays = i;
    }
    if (above < 2)
        return;
    for (int32_t i = 0; i < c->n; i++)
        if (i == stays || nb_candidates_weight(c->list[i].logit - highest) < least)
            c->list[kept++] = c->list[i];
    c->n = kept;
}

void nb_heat(nb_candidates *c, float temperature, float range, float exponent) {
    float highest = nb_candidates_highest(c);
    if (range > 0 && c->n > 1) {
        float low = NB_MAX(0.0f, temperature - range), high = temperature + range,
              entropy = (float)entropy_of(c, highest, nb_candidates_total(c, highest)),
              share = NB_MAX(0.0f, entropy / logf((float)c->n));
        temperature = low + (high - low) * powf(share, exponent);
    }
    for (int32_t i = 0; i < c->n; i++) {
        float x = c->list[i].logit - highest;
        bool is_lowest = c->list[i].logit == -FLT_MAX; /* minus infinity stays what it is */
        /* at a temperature of 0 only the likeliest have a weight */
        c->list[i].logit = x == 0 ? 0 : is_lowest ? -FLT_MAX : NB_MAX(x / temperature, -FLT_MAX);
    }
}
