/* Logits -> one token. The order is that of nibble.h; nb_sampler_for allocates all memory. */
#include "sampler.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../kernels/ops.h"
#include "mirostat.h"
#include "repeats.h"

#include <math.h>

struct nb_sampler {
    nb_arena arena; /* holds the sampler itself */
    nb_sampler_params params;
    int32_t vocabulary;
    nb_candidate *candidates; /* [vocabulary] */
    nb_candidate *scratch;    /* [vocabulary], or NULL: of the typical ones */
    int32_t *counts;          /* [vocabulary], zero between calls */
    nb_bias *biases;          /* [n_biases] */
    int32_t n_biases;
    nb_breakers breakers;
    double mu;      /* of mirostat, in bits */
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

/* The numbers of nb_sampler_params, their bounds, and what a message says of them. */
#define PARAM(member, lowest, highest, rule) {offsetof(nb_sampler_params, member), #member, lowest, highest, rule}
typedef struct param {
    size_t at;
    const char *name;
    float lowest, highest;
    const char *rule;
} param;
static const param floats[] = {
    PARAM(temperature, 0, 1e6f, "0 (greedy) or more"),
    PARAM(temperature_range, 0, 1e6f, "0 (off) or more"),
    PARAM(temperature_exponent, 0, 1e6f, "0 or more"),
    PARAM(top_p, 0, 1, "within 0 ... 1 (1: off)"),
    PARAM(min_p, 0, 1, "within 0 ... 1 (0: off)"),
    PARAM(typical_p, 0, 1, "within 0 ... 1 (1: off)"),
    PARAM(top_sigmas, 0, 1e6f, "0 (off) or more"),
    PARAM(xtc_probability, 0, 1, "within 0 ... 1 (0: off)"),
    PARAM(xtc_threshold, 0, 1, "within 0 ... 1"),
    PARAM(repeat_penalty, 1e-6f, 1e6f, "above 0 (1: off)"),
    PARAM(presence_penalty, -1e6f, 1e6f, "a number (0: off)"),
    PARAM(frequency_penalty, -1e6f, 1e6f, "a number (0: off)"),
    PARAM(dry_multiplier, 0, 1e6f, "0 (off) or more"),
    PARAM(dry_base, 1, 1e6f, "1 or more"),
    PARAM(mirostat_tau, 0, 1e6f, "0 or more"),
    PARAM(mirostat_eta, 0, 1e6f, "0 or more"),
};
static const param integers[] = {
    /* without a highest */
    PARAM(top_k, 0, 0, "0 (off) or more"),
    PARAM(penalty_last, -1, 0, "-1 (all), 0 (off) or more"),
    PARAM(dry_allowed_length, 0, 0, "0 or more"),
    PARAM(dry_last, -1, 0, "-1 (all), 0 (off) or more"),
};

/* Each step at most once, and none after a gap. */
static bool is_order(uint32_t steps) {
    for (uint32_t seen = 0, step; steps; steps >>= 4) {
        step = steps & 15;
        if (step < NB_STEP_TOP_SIGMAS || step > NB_STEP_TEMPERATURE || seen >> step & 1)
            return false;
        seen |= 1u << step;
    }
    return true;
}

static int32_t check_params(const nb_sampler_params *p, nb_error *err) {
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) {
        float value = *(const float *)((const char *)p + floats[i].at);
        if (!(value >= floats[i].lowest && value <= floats[i].highest)) /* written so that NaN fails */
            return NB_FAIL(err, NB_ERR_ARGUMENT, "%s is %g; it must be %s, and at most %g", floats[i].name,
                           (double)value, floats[i].rule, (double)floats[i].highest);
    }
    for (size_t i = 0; i < sizeof integers / sizeof *integers; i++) {
        int32_t value = *(const int32_t *)((const char *)p + integers[i].at);
        if (value < (int32_t)integers[i].lowest)
            return NB_FAIL(err, NB_ERR_ARGUMENT, "%s is %d; it must be %s", integers[i].name, value, integers[i].rule);
    }
    if (p->mirostat > 2)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "mirostat is %u; it must be 0 (off), 1 or 2", p->mirostat);
    if (!is_order(p->steps))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "steps is 0x%x: a step is unknown or occurs twice, or there is a gap",
                       p->steps);
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
        if (params->typical_p < 1)
            measured.scratch = nb_arena_take(arena, (uint64_t)vocabulary, sizeof *s->scratch);
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
    s->mu = 2 * (double)params->mirostat_tau;
    next_random(s);
    s->state += params->seed;
    next_random(s);
    return s;
}

void nb_sampler_free(nb_sampler *s) {
    if (s) {
        nb_breakers_free(&s->breakers);
        nb_arena arena = s->arena;
        nb_arena_free(&arena);
    }
}

int32_t nb_sampler_break_at(nb_sampler *s, const nb_tokenizer *tokenizer, nb_text text, nb_error *err) {
    return nb_breakers_add(&s->breakers, tokenizer, text, err);
}

static void apply(nb_sampler *s, uint32_t step, nb_candidates *c) {
    const nb_sampler_params *p = &s->params;
    switch (step) {
    case NB_STEP_TOP_SIGMAS:
        if (p->top_sigmas > 0)
            nb_keep_top_sigmas(c, p->top_sigmas);
        break;
    case NB_STEP_TOP_K: nb_keep_top_k(c, p->top_k); break;
    case NB_STEP_TYPICAL:
        if (p->typical_p < 1)
            nb_keep_typical(c, p->typical_p, s->scratch);
        break;
    case NB_STEP_TOP_P:
        if (p->top_p < 1)
            nb_keep_top_p(c, p->top_p);
        break;
    case NB_STEP_MIN_P:
        if (p->min_p > 0)
            nb_keep_min_p(c, p->min_p);
        break;
    case NB_STEP_XTC:
        if (p->xtc_probability > 0 && next_uniform(s) <= (double)p->xtc_probability)
            nb_leave_top_out(c, p->xtc_threshold);
        break;
    default: nb_heat(c, p->temperature, p->temperature_range, p->temperature_exponent); break;
    }
}

/* Biases and penalties: what changes logits before any token is left out. */
static void change(nb_sampler *s, float *logits, const int32_t *tokens, int32_t n) {
    for (int32_t i = 0; i < s->n_biases; i++)
        logits[s->biases[i].token] += s->biases[i].bias;
    nb_penalize(&s->params, logits, s->vocabulary, tokens, n, s->counts);
    nb_penalize_sequences(&s->params, &s->breakers, logits, s->vocabulary, tokens, n, s->counts);
}

nb_candidates nb_sampler_candidates(nb_sampler *s, float *logits, const int32_t *tokens, int32_t n) {
    const nb_sampler_params *p = &s->params;
    change(s, logits, tokens, n);
    uint32_t steps = p->steps;
    /* a top-k that comes first, but for steps that do nothing, finds its few tokens without a list of all */
    if ((steps & 15) == NB_STEP_TOP_SIGMAS && p->top_sigmas == 0)
        steps >>= 4;
    nb_candidates c =
        nb_candidates_best(s->candidates, logits, s->vocabulary, (steps & 15) == NB_STEP_TOP_K ? p->top_k : 0);
    for (; steps; steps >>= 4)
        apply(s, steps & 15, &c);
    if (p->mirostat == 1)
        nb_keep_mirostat(&c, s->mu, s->vocabulary);
    if (p->mirostat == 2)
        nb_keep_mirostat2(&c, s->mu);
    return c;
}

/* One of them, by their probabilities. */
static int32_t draw(nb_sampler *s, const nb_candidates *c) {
    float highest = nb_candidates_highest(c);
    double total = nb_candidates_total(c, highest), target = next_uniform(s) * total, sum = 0;
    int32_t drawn = 0;
    for (int32_t i = 0; i < c->n && sum <= target; i++) {
        double weight = nb_candidates_weight(c->list[i].logit - highest);
        if (weight > 0)
            drawn = i; /* also if rounding leaves the whole sum below the target */
        sum += weight;
    }
    if (s->params.mirostat) {
        float surprise = log2f((float)total) - (c->list[drawn].logit - highest) * 1.44269504f; /* log2(e) */
        s->mu -= (double)s->params.mirostat_eta * (double)(surprise - s->params.mirostat_tau);
    }
    return c->list[drawn].token;
}

int32_t nb_sampler_next(nb_sampler *s, float *logits, const int32_t *tokens, int32_t n) {
    if (s->params.temperature == 0) {
        change(s, logits, tokens, n);
        return (int32_t)nb_argmax(logits, (uint32_t)s->vocabulary);
    }
    nb_candidates c = nb_sampler_candidates(s, logits, tokens, n);
    return draw(s, &c);
}
