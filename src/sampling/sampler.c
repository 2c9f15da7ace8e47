/* Logits -> one token. The order and the formulas are those of nibble.h; nb_sampler_for allocates all memory. */
#include "sampler.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../kernels/ops.h"

#include <float.h>
#include <math.h>

typedef struct candidate {
    float logit;
    int32_t token;
} candidate;

struct nb_sampler {
    nb_arena arena; /* holds the sampler itself */
    nb_sampler_params params;
    int32_t vocabulary;
    candidate *candidates; /* [vocabulary] */
    int32_t *counts;       /* [vocabulary], zero between calls */
    nb_bias *biases;       /* [n_biases] */
    int32_t n_biases;
    uint64_t state; /* of the random numbers */
};

/* PCG-XSH-RR 64/32 (O'Neill 2014, "PCG: A Family of Simple Fast Space-Efficient Statistically Good Algorithms for
 * Random Number Generation", section 6.3.1), seeded as in its reference implementation, with the stream of its demo. */
enum { STREAM = 54 };

static uint32_t next_random(nb_sampler *s) {
    uint64_t old = s->state;
    s->state = old * 6364136223846793005u + (STREAM << 1 | 1);
    uint32_t shifted = (uint32_t)((old >> 18 ^ old) >> 27), rotation = (uint32_t)(old >> 59);
    return shifted >> rotation | shifted << (-rotation & 31);
}

/* Uniform in [0, 1): 53 bits. */
static double next_uniform(nb_sampler *s) {
    uint64_t high = next_random(s), low = next_random(s);
    return (double)((high << 32 | low) >> 11) * 0x1p-53;
}

static int32_t check_params(const nb_sampler_params *p, nb_error *err) {
    /* written so that NaN fails */
    if (!(p->temperature >= 0 && p->temperature <= 1e6f))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "temperature is %g; it must be 0 (greedy) or more",
                       (double)p->temperature);
    if (!(p->top_p >= 0 && p->top_p <= 1))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "top_p is %g; it must be within 0 ... 1 (1: off)", (double)p->top_p);
    if (!(p->min_p >= 0 && p->min_p <= 1))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "min_p is %g; it must be within 0 ... 1 (0: off)", (double)p->min_p);
    if (p->top_k < 0)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "top_k is %d; it must be 0 (off) or more", p->top_k);
    if (!(p->repeat_penalty > 0 && p->repeat_penalty <= 1e6f))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "repeat_penalty is %g; it must be above 0 (1: off)",
                       (double)p->repeat_penalty);
    if (!(fabsf(p->presence_penalty) <= 1e6f) || !(fabsf(p->frequency_penalty) <= 1e6f))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "presence_penalty and frequency_penalty must be numbers (0: off)");
    if (p->penalty_last < -1)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "penalty_last is %d; it must be -1 (all), 0 (off) or more",
                       p->penalty_last);
    return NB_OK;
}

nb_sampler *nb_sampler_for(int32_t vocabulary, const nb_sampler_params *params, const nb_bias *biases, int32_t n_biases,
                           nb_error *err) {
    if (check_params(params, err) < 0)
        return NULL;
    if (vocabulary < 1 || n_biases < 0)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "a sampler cannot have a vocabulary of %d and %d biases", vocabulary,
                            n_biases);
    nb_sampler measured = {.params = *params, .vocabulary = vocabulary, .n_biases = n_biases}, *s = NULL;
    for (int pass = 0; pass < 2; pass++) {
        nb_arena *arena = &measured.arena;
        s = nb_arena_take(arena, 1, sizeof *s);
        measured.candidates = nb_arena_take(arena, (uint64_t)vocabulary, sizeof *s->candidates);
        measured.counts = nb_arena_take(arena, (uint64_t)vocabulary, sizeof *s->counts);
        measured.biases = nb_arena_take(arena, (uint64_t)n_biases, sizeof *s->biases);
        if (pass == 0 && nb_arena_allocate(arena, "a sampler", err) < 0)
            return NULL;
    }
    *s = measured;
    if (n_biases)
        memcpy(s->biases, biases, (size_t)n_biases * sizeof *s->biases);
    for (int32_t i = 0; i < n_biases; i++)
        if (s->biases[i].token < 0 || s->biases[i].token >= vocabulary || isnan(s->biases[i].bias)) {
            nb_fail(err, NB_ERR_ARGUMENT,
                    "the logit bias %g for token %d: the token must be within 0 ... %d and the bias a number",
                    (double)s->biases[i].bias, s->biases[i].token, vocabulary - 1);
            nb_sampler_free(s);
            return NULL;
        }
    next_random(s);
    s->state += params->seed;
    next_random(s);
    return s;
}

void nb_sampler_free(nb_sampler *s) {
    if (s) {
        nb_arena arena = s->arena;
        nb_arena_free(&arena);
    }
}

/* For each token that occurs n > 0 times among the last ones:
 *   logit <- (logit > 0 ? logit / repeat : logit * repeat) - n * frequency - presence
 * (Keskar et al. 2019, "CTRL", section 4.1, for the repeat penalty; below 0 its division would raise the logit.) */
static void penalize(nb_sampler *s, float *logits, const int32_t *tokens, int32_t n) {
    const nb_sampler_params *p = &s->params;
    if (p->repeat_penalty == 1 && p->frequency_penalty == 0 && p->presence_penalty == 0)
        return;
    int32_t first = p->penalty_last < 0 || p->penalty_last > n ? 0 : n - p->penalty_last;
    for (int32_t i = first; i < n; i++)
        if (tokens[i] >= 0 && tokens[i] < s->vocabulary)
            s->counts[tokens[i]]++;
    for (int32_t i = first; i < n; i++) {
        if (tokens[i] < 0 || tokens[i] >= s->vocabulary || !s->counts[tokens[i]])
            continue;
        float *logit = &logits[tokens[i]];
        *logit = *logit > 0 ? *logit / p->repeat_penalty : *logit * p->repeat_penalty;
        *logit -= (float)s->counts[tokens[i]] * p->frequency_penalty + p->presence_penalty;
        s->counts[tokens[i]] = 0;
    }
}

/* Whether a comes before b: the higher logit, then the lower token. */
static inline bool is_before(candidate a, candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

/* heap[n]: no child comes before its parent, or with `last` no parent before its child. */
static void sift_down(candidate *heap, int32_t n, int32_t at, bool last) {
    candidate item = heap[at];
    for (int32_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_before(heap[child + 1], heap[child]) != last)
            child++;
        if (is_before(heap[child], item) == last)
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static void make_heap(candidate *heap, int32_t n, bool last) {
    for (int32_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i, last);
}

/* NaN becomes the lowest logit. Infinities are clamped, as their difference would be NaN. */
static candidate candidate_of(const float *logits, int32_t token) {
    float logit = logits[token];
    return (candidate){logit >= -FLT_MAX ? NB_MIN(logit, FLT_MAX) : -FLT_MAX, token};
}

/* The k best tokens, unsorted; k = 0: all. The worst of the k best so far is at the top of a heap. Few of the later
 * tokens are better than that: only those with a higher logit can be. */
static int32_t keep_top_k(nb_sampler *s, const float *logits) {
    candidate *c = s->candidates;
    int32_t n = s->vocabulary, k = s->params.top_k == 0 ? n : NB_MIN(s->params.top_k, n);
    for (int32_t i = 0; i < k; i++)
        c[i] = candidate_of(logits, i);
    if (k == n)
        return n;
    make_heap(c, k, true);
    for (uint32_t i = (uint32_t)k; (i = nb_find_above(logits, i, (uint32_t)n, c[0].logit)) < (uint32_t)n; i++) {
        candidate next = candidate_of(logits, (int32_t)i);
        if (!is_before(next, c[0]))
            continue;
        c[0] = next;
        sift_down(c, k, 0, true);
    }
    return k;
}

/* exp(x) for x <= 0; 0 where a float would underflow. */
static inline double weight_of(float x) {
    return x < -103.0f ? 0.0 : (double)expf(x);
}

/* The smallest set of the most probable candidates whose probability is p or more (Holtzman et al. 2020, section
 * 3.1); at least one. They are popped off a heap, so that only those kept are sorted. They end up at the end of c; the
 * function returns how many there are. */
static int32_t keep_top_p(candidate *c, int32_t n, float p, float highest) {
    double total = 0, sum = 0;
    for (int32_t i = 0; i < n; i++)
        total += weight_of(c[i].logit - highest);
    make_heap(c, n, false);
    int32_t left = n;
    do {
        candidate first = c[0];
        c[0] = c[--left];
        sift_down(c, left, 0, false);
        c[left] = first;
        sum += weight_of(first.logit - highest);
    } while (left > 0 && sum < (double)p * total);
    return n - left;
}

/* Those whose probability is at least min_p times the highest's (Nguyen et al. 2024, section 3). */
static int32_t keep_min_p(candidate *c, int32_t n, float min_p, float highest) {
    float lowest = highest + logf(min_p);
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (c[i].logit >= lowest)
            c[kept++] = c[i];
    return kept;
}

/* A token with probability softmax(logit / temperature). */
static int32_t draw(nb_sampler *s, const candidate *c, int32_t n, float highest) {
    float temperature = s->params.temperature;
    double total = 0, sum = 0;
    for (int32_t i = 0; i < n; i++)
        total += weight_of((c[i].logit - highest) / temperature);
    double target = next_uniform(s) * total;
    int32_t last = 0;
    for (int32_t i = 0; i < n; i++) {
        double weight = weight_of((c[i].logit - highest) / temperature);
        if (weight > 0)
            last = i; /* the choice if rounding leaves the sum below the target */
        sum += weight;
        if (sum > target)
            return c[i].token;
    }
    return c[last].token;
}

int32_t nb_sampler_next(nb_sampler *s, float *logits, const int32_t *tokens, int32_t n) {
    for (int32_t i = 0; i < s->n_biases; i++)
        logits[s->biases[i].token] += s->biases[i].bias;
    penalize(s, logits, tokens, n);

    const nb_sampler_params *p = &s->params;
    if (p->temperature == 0)
        return (int32_t)nb_argmax(logits, (uint32_t)s->vocabulary);

    candidate *c = s->candidates;
    int32_t kept = keep_top_k(s, logits);
    float highest = c[0].logit;
    for (int32_t i = 1; i < kept; i++)
        highest = NB_MAX(highest, c[i].logit);
    if (p->top_p < 1) {
        int32_t all = kept;
        kept = keep_top_p(c, all, p->top_p, highest);
        c += all - kept;
    }
    if (p->min_p > 0)
        kept = keep_min_p(c, kept, p->min_p, highest);
    return draw(s, c, kept, highest);
}
