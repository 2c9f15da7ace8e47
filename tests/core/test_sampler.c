/* Samplers: each formula by hand on small logits, draws against the softmax by chi-square, the published numbers of the
 * generator. Logits are logarithms of probabilities, so that the effect of a filter is easy to see. */
#include "check.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/sampling/sampler.h"

#include <float.h>
#include <math.h>
#include <string.h>

static const nb_sampler_params off = {
    .temperature = 1,
    .top_p = 1,
    .typical_p = 1,
    .repeat_penalty = 1,
    .dry_base = 1,
    .steps = NB_STEPS_DEFAULT,
    .seed = 42,
};

static nb_sampler *sampler_of(int32_t vocabulary, nb_sampler_params params) {
    nb_error err = {0};
    nb_sampler *s = nb_sampler_for(vocabulary, &params, NULL, 0, &err);
    CHECK(s, "%s", err.message);
    return s;
}

/* One call with these logits, which are left alone. */
static int32_t choose(nb_sampler *s, const float *logits, int32_t n) {
    float copy[16];
    memcpy(copy, logits, (size_t)n * sizeof *copy);
    return nb_sampler_next(s, copy, NULL, 0);
}

static void check_greedy(void) {
    nb_sampler_params params = off;
    params.temperature = 0;
    nb_sampler *s = sampler_of(4, params);
    CHECK(choose(s, (float[]){1, 3, 2, 3}, 4) == 1, "the first of two highest");
    CHECK(choose(s, (float[]){-3, -1, -2, -4}, 4) == 1, "all below zero");
    CHECK(choose(s, (float[]){NAN, NAN, 5, NAN}, 4) == 2, "NaN is never chosen");
    CHECK(choose(s, (float[]){1, INFINITY, 2, -INFINITY}, 4) == 1, "infinity is the highest");
    CHECK(choose(s, (float[]){NAN, -INFINITY, -5, NAN}, 4) == 2, "minus infinity is the lowest");
    int32_t any = choose(s, (float[]){NAN, NAN, NAN, NAN}, 4);
    CHECK(any >= 0 && any < 4, "token %d", any);
    nb_sampler_free(s);
}

/* Draws many times: the tokens of p[n] that are not 0 come up as often as p says, the others never. Pearson's
 * chi-square: beyond 40 with at most 7 degrees of freedom once in 10^6. */
static void check_draws(const char *what, nb_sampler_params params, const float *logits, const double *p, int32_t n) {
    enum { DRAWS = 20000 };
    int32_t counts[16] = {0};
    nb_sampler *s = sampler_of(n, params);
    double sum = 0, chi_square = 0;
    for (int32_t i = 0; s && i < DRAWS; i++)
        counts[choose(s, logits, n)]++;
    for (int32_t i = 0; i < n; i++)
        sum += p[i];
    for (int32_t i = 0; i < n; i++) {
        double want = DRAWS * p[i] / sum;
        if (p[i] > 0)
            chi_square += (counts[i] - want) * (counts[i] - want) / want;
        else
            CHECK(counts[i] == 0, "%s: token %d was drawn %d times", what, i, counts[i]);
    }
    CHECK(chi_square < 40, "%s: chi-square %g", what, chi_square);
    nb_sampler_free(s);
}

static void check_filters(void) {
    float logits[5], shifted[5]; /* probabilities 0.1 0.4 0.05 0.3 0.15 */
    const double p[5] = {0.1, 0.4, 0.05, 0.3, 0.15};
    for (int i = 0; i < 5; i++) {
        logits[i] = logf((float)p[i]);
        shifted[i] = logits[i] + 1000;
    }
    nb_sampler_params q = off;
    check_draws("softmax", q, logits, p, 5);
    check_draws("softmax of large logits", q, shifted, p, 5);
    q.top_k = 2;
    check_draws("top-k 2", q, logits, (double[]){0, 0.4, 0, 0.3, 0}, 5);
    q.top_k = 9;
    check_draws("top-k beyond the vocabulary", q, logits, p, 5);
    q.top_k = 3;
    const float infinite[8] = {0, 1, INFINITY, NAN, INFINITY, INFINITY, 2, INFINITY};
    check_draws("top-k 3 of equal ones", q, (float[16]){0}, (double[16]){1, 1, 1}, 16);
    check_draws("top-k 3 of infinite ones", q, infinite, (double[]){0, 0, 1, 0, 1, 1, 0, 0}, 8);
    q.top_k = 1;
    check_draws("top-k 1", q, logits, (double[]){0, 1, 0, 0, 0}, 5);

    q = off;
    q.top_p = 0.65f;
    check_draws("top-p 0.65", q, logits, (double[]){0, 0.4, 0, 0.3, 0}, 5);
    q.top_p = 0.75f;
    check_draws("top-p 0.75", q, shifted, (double[]){0, 0.4, 0, 0.3, 0.15}, 5);
    q.top_p = 0;
    check_draws("top-p 0", q, logits, (double[]){0, 1, 0, 0, 0}, 5);
    q.top_p = 0.999f;
    check_draws("top-p 0.999", q, logits, p, 5);

    q = off;
    q.min_p = 0.5f; /* 0.2 and more */
    check_draws("min-p 0.5", q, shifted, (double[]){0, 0.4, 0, 0.3, 0}, 5);
    q.min_p = 0.3f; /* 0.12 and more */
    check_draws("min-p 0.3", q, logits, (double[]){0, 0.4, 0, 0.3, 0.15}, 5);
    q.min_p = 1;
    check_draws("min-p 1", q, logits, (double[]){0, 1, 0, 0, 0}, 5);

    q = off;
    q.temperature = 2;
    double root[5], square[5];
    for (int i = 0; i < 5; i++) {
        root[i] = (double)sqrtf((float)p[i]);
        square[i] = p[i] * p[i];
    }
    check_draws("temperature 2", q, logits, root, 5);
    q.temperature = 0.5f;
    check_draws("temperature 0.5", q, shifted, square, 5);
    q.temperature = 1e-30f;
    check_draws("temperature near 0", q, logits, (double[]){0, 1, 0, 0, 0}, 5);

    /* the order matters: top-p sees what top-k left, and the temperature comes last */
    q = off;
    q.top_p = 0.75f;
    q.top_k = 3; /* 0.4 0.3 0.15 of 0.85: 0.82 with two, 0.7 without top-k */
    check_draws("top-k, then top-p", q, logits, (double[]){0, 0.4, 0, 0.3, 0}, 5);
    q = off;
    q.top_p = 0.65f;
    q.temperature = 2;
    check_draws("top-p, then temperature", q, logits, (double[]){0, root[1], 0, root[3], 0}, 5);
    q = off;
    q.min_p = 0.5f;
    q.temperature = 2;
    check_draws("min-p, then temperature", q, logits, (double[]){0, root[1], 0, root[3], 0}, 5);
    q.top_k = 4;
    q.top_p = 0.9f;
    check_draws("all of them", q, logits, (double[]){0, root[1], 0, root[3], 0}, 5);

    float odd[5] = {NAN, logits[1], -INFINITY, logits[3], logits[4]};
    check_draws("NaN and infinity", off, odd, (double[]){0, 0.4, 0, 0.3, 0.15}, 5);
    q = off;
    q.top_p = 0.99f;
    check_draws("NaN and infinity, top-p", q, odd, (double[]){0, 0.4, 0, 0.3, 0.15}, 5);
}

/* Logits at minus infinity: they take no part in a deviation, whatever the temperature was, and are no top choice. */
static void check_infinite(void) {
    const float logits[4] = {2, -INFINITY, 1, -2};
    nb_sampler_params q = off;
    q.temperature = 2;
    q.top_sigmas = 1;
    q.steps = NB_STEP_TEMPERATURE | NB_STEP_TOP_SIGMAS << 4;
    /* the deviation of 2, 1, -2 is 1.7 */
    check_draws("sigmas after a temperature", q, logits, (double[]){exp(1), 0, exp(0.5), 0}, 4);
    q = off;
    q.xtc_probability = 1;
    check_draws("XTC with a threshold of 0", q, logits, (double[]){0, 0, 0, 1}, 4);
    q.xtc_probability = 0.25f; /* probabilities of 0.3 and more are top choices: 2 is left out a quarter of the time */
    q.xtc_threshold = 0.2f;
    double total = exp(2) + exp(1) + exp(-2), rest = exp(1) + exp(-2);
    check_draws("XTC now and then", q, logits,
                (double[]){0.75 * exp(2) / total, 0, 0.75 * exp(1) / total + 0.25 * exp(1) / rest,
                           0.75 * exp(-2) / total + 0.25 * exp(-2) / rest},
                4);
    /* s = (log 2 * 1 + log 1.5 * 3) / (log^2 2 + log^2 1.5) = 2.96, and with mu = 6, k = 5.2 (Basu et al. 2021) */
    q = off;
    q.mirostat = 1, q.mirostat_tau = 3, q.mirostat_eta = 0;
    check_draws("mirostat", q, logits, (double[]){exp(2), 0, exp(1), exp(-2)}, 4);
}

/* Every filter at once, over rows that are hard to divide by: a token comes out. */
static void check_hard_rows(void) {
    static const float rows[][4] = {{NAN, NAN, NAN, NAN},
                                    {-INFINITY, -INFINITY, -INFINITY, -INFINITY},
                                    {INFINITY, INFINITY, INFINITY, -INFINITY},
                                    {FLT_MAX, -FLT_MAX, 0, NAN},
                                    {0, 0, 0, 0}};
    nb_error err = {0};
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (int32_t n = 1; n <= 4; n++)
            for (uint32_t version = 0; version < 3; version++) {
                nb_sampler_params q = off;
                q.temperature = 1e-6f, q.temperature_range = 3, q.temperature_exponent = 0.5f;
                q.top_sigmas = 1, q.typical_p = 0.5f, q.xtc_probability = 1, q.min_p = 0.5f, q.top_p = 0.5f;
                q.mirostat = version, q.mirostat_tau = 3, q.mirostat_eta = 1;
                q.dry_multiplier = 1, q.dry_base = 1e6f, q.dry_last = -1;
                nb_sampler *s = nb_sampler_for(n, &q, NULL, 0, &err);
                for (int i = 0; s && i < 3; i++) {
                    int32_t token = choose(s, rows[r], n);
                    CHECK(token >= 0 && token < n, "row %u: token %d of %d", (uint32_t)r, token, n);
                }
                nb_sampler_free(s);
            }
}

static void check_penalties(void) {
    nb_sampler_params params = off;
    params.temperature = 0;
    params.repeat_penalty = 2;
    params.frequency_penalty = 0.5f;
    params.presence_penalty = 0.25f;
    params.penalty_last = -1;
    const int32_t tokens[] = {3, 0, 0, 1, 99, -5};
    const struct {
        int32_t last;
        float want[4];
    } cases[] = {
        /* 2/2 - 2*0.5 - 0.25; -2*2 - 0.5 - 0.25; untouched; 0 - 0.5 - 0.25 */
        {-1, {-0.25f, -4.75f, 1, -0.75f}},
        {100, {-0.25f, -4.75f, 1, -0.75f}},
        {4, {0.25f, -4.75f, 1, 0}}, /* 0 1 99 -5 */
        {2, {2, -2, 1, 0}},
        {0, {2, -2, 1, 0}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        params.penalty_last = cases[i].last;
        nb_sampler *s = sampler_of(4, params);
        for (int again = 0; again < 2; again++) { /* nothing is carried over */
            float logits[4] = {2, -2, 1, 0};
            nb_sampler_next(s, logits, tokens, 6);
            for (int t = 0; t < 4; t++)
                CHECK(logits[t] == cases[i].want[t], "last %d: logit %d is %g, not %g", cases[i].last, t,
                      (double)logits[t], (double)cases[i].want[t]);
        }
        nb_sampler_free(s);
    }
}

static void check_bias(void) {
    nb_bias biases[] = {{1, -INFINITY}, {2, 1.5f}, {2, 1}, {0, -1}};
    nb_error err = {0};
    nb_sampler_params params = off;
    params.temperature = 0;
    nb_sampler *s = nb_sampler_for(4, &params, biases, 4, &err);
    float logits[4] = {3, 9, 0, 2.25f};
    if (CHECK(s, "%s", err.message))
        CHECK(nb_sampler_next(s, logits, NULL, 0) == 2 && logits[0] == 2 && logits[2] == 2.5f, "%g %g",
              (double)logits[0], (double)logits[2]);
    nb_sampler_free(s);
    biases[3].token = 4;
    CHECK(!nb_sampler_for(4, &params, biases, 4, &err) && err.code == NB_ERR_ARGUMENT, "token 4 of 4");
    biases[3].token = -1;
    CHECK(!nb_sampler_for(4, &params, biases, 4, &err) && err.code == NB_ERR_ARGUMENT, "token -1");
    biases[3].token = 0;
    biases[3].bias = NAN;
    CHECK(!nb_sampler_for(4, &params, biases, 4, &err) && err.code == NB_ERR_ARGUMENT, "NaN");
}

static void check_refused(const char *what, nb_sampler_params params) {
    nb_error err = {0};
    nb_sampler *s = nb_sampler_for(4, &params, NULL, 0, &err);
    CHECK(!s && err.code == NB_ERR_ARGUMENT && err.message[0], "%s: code %d", what, err.code);
    nb_sampler_free(s);
}

static void check_arguments(void) {
#define REFUSED(member, number)         \
    do {                                \
        nb_sampler_params params = off; \
        params.member = number;         \
        check_refused(#member, params); \
    } while (0)
    REFUSED(temperature, -1);
    REFUSED(temperature, NAN);
    REFUSED(temperature, INFINITY);
    REFUSED(top_k, -1);
    REFUSED(top_p, -0.1f);
    REFUSED(top_p, 1.1f);
    REFUSED(top_p, NAN);
    REFUSED(min_p, -0.1f);
    REFUSED(min_p, 1.1f);
    REFUSED(repeat_penalty, 0);
    REFUSED(repeat_penalty, NAN);
    REFUSED(presence_penalty, INFINITY);
    REFUSED(frequency_penalty, NAN);
    REFUSED(penalty_last, -2);
    REFUSED(temperature_range, -1);
    REFUSED(temperature_exponent, NAN);
    REFUSED(typical_p, 1.1f);
    REFUSED(top_sigmas, -1);
    REFUSED(xtc_probability, 1.1f);
    REFUSED(xtc_threshold, -0.1f);
    REFUSED(dry_multiplier, -1);
    REFUSED(dry_base, 0.5f);
    REFUSED(dry_allowed_length, -1);
    REFUSED(dry_last, -2);
    REFUSED(mirostat, 3);
    REFUSED(mirostat_tau, NAN);
    REFUSED(mirostat_eta, -1);
    REFUSED(steps, 0x11); /* twice */
    REFUSED(steps, 0x70); /* a gap */
    REFUSED(steps, 0x8);  /* unknown */
#undef REFUSED
    nb_error err = {0};
    CHECK(!nb_sampler_for(0, &off, NULL, 0, &err), "an empty vocabulary");
}

/* The first outputs of the reference implementation's pcg32-demo (seed 42, stream 54; pcg-random.org) are a15c02b7
 * 7b47f409 ba1d3330 83d2f293 bfa4784b cbed606e. A draw takes two; of 4096 equal tokens it is the first one's upper 12
 * bits that choose. */
static void check_seeds(void) {
    enum { N = 4096, DRAWS = 64 };
    static float logits[N];
    static int32_t first[DRAWS];
    const int32_t published[] = {0xa15, 0xba1, 0xbfa};
    for (uint32_t seed = 42; seed < 44; seed++)
        for (int again = 0; again < 2; again++) {
            nb_sampler_params params = off;
            params.seed = seed;
            nb_sampler *s = sampler_of(N, params);
            int32_t same = 0;
            for (int i = 0; s && i < DRAWS; i++) {
                int32_t token = nb_sampler_next(s, logits, NULL, 0);
                same += token == first[i];
                if (seed == 42 && i < 3)
                    CHECK(token == published[i], "draw %d is %x, not %x", i, token, published[i]);
                if (again == 0)
                    first[i] = token;
            }
            CHECK(again ? same == DRAWS : same < DRAWS / 2, "seed %u: %d of %d draws are as before", seed, same, DRAWS);
            nb_sampler_free(s);
        }
}

/* A vocabulary of ordinary size: no draw lies outside what the filters leave, by their definitions. */
static void check_large(nb_sampler_params params) {
    enum { N = 50000, DRAWS = 20 };
    float *logits = nb_alloc(2 * N * sizeof *logits), *copy = logits + N;
    uint32_t state = 7;
    if (!CHECK(logits, "no memory"))
        return;
    for (int32_t i = 0; i < N; i++) {
        state = state * 1664525 + 1013904223;
        logits[i] = (float)(state >> 8) * 0x1p-24f;
        logits[i] = 12 * logits[i] * logits[i] * logits[i];
    }
    nb_sampler *s = sampler_of(N, params);
    for (int draw = 0; s && draw < DRAWS; draw++) {
        memcpy(copy, logits, N * sizeof *logits);
        int32_t token = nb_sampler_next(s, copy, NULL, 0), above = 0;
        double sum = 0, total = 0;
        for (int32_t i = 0; i < N; i++) {
            double p = (double)expf(logits[i]);
            total += p;
            above += logits[i] > logits[token];
            sum += logits[i] > logits[token] ? p : 0;
        }
        CHECK(params.top_k == 0 || above < params.top_k, "%d tokens are before token %d", above, token);
        /* top-p after top-k counts only what top-k left, so this holds for one of them alone */
        CHECK(params.top_k || sum < (double)params.top_p * total * 1.000001, "%g of %g are before token %d", sum, total,
              token);
    }
    nb_sampler_free(s);
    nb_free(logits);
}

/* ---- degenerate rows ---- */

enum { MOST = 16 };

/* p[n]: the probabilities, by the definitions in nibble.h; NaN and minus infinity count as the lowest number. The rows
 * have numbers that are equal or far apart, so that rounding does not matter. */
static void define(const nb_sampler_params *q, const float *logits, int32_t n, double *p) {
    double x[MOST], total = 0, sum = 0;
    int32_t order[MOST], kept = n;
    for (int32_t i = 0; i < n; i++) {
        x[i] =
            isnan(logits[i]) ? -(double)FLT_MAX : NB_MIN(NB_MAX((double)logits[i], -(double)FLT_MAX), (double)FLT_MAX);
        p[i] = 0;
        int32_t at = i; /* the highest first, of equal ones the first */
        for (; at > 0 && x[order[at - 1]] < x[i]; at--)
            order[at] = order[at - 1];
        order[at] = i;
    }
    double most = x[order[0]];
    if (q->top_k)
        kept = NB_MIN(kept, q->top_k);
    for (int32_t i = 0; i < kept; i++)
        total += exp(x[order[i]] - most);
    for (int32_t i = 0; i < kept && q->top_p < 1; i++) {
        sum += exp(x[order[i]] - most);
        if (sum >= (double)q->top_p * total)
            kept = i + 1;
    }
    for (int32_t i = 0; i < kept; i++)
        if (q->min_p == 0 || x[order[i]] - most >= log((double)q->min_p))
            p[order[i]] = exp((x[order[i]] - most) / (double)q->temperature);
    total = 0;
    for (int32_t i = 0; i < n; i++)
        total += p[i];
    for (int32_t i = 0; i < n; i++)
        p[i] /= total;
}

static void check_degenerate(const float *logits, int32_t n, nb_sampler_params params) {
    enum { DRAWS = 100 };
    double p[MOST];
    int32_t seen[MOST] = {0};
    define(&params, logits, n, p);
    nb_sampler *s = sampler_of(n, params);
    for (int32_t i = 0; s && i < DRAWS; i++) {
        int32_t token = choose(s, logits, n);
        if (!CHECK(token >= 0 && token < n && p[token] > 0,
                   "row %g %g %g ... of %d, temperature %g, top-k %d, top-p %g, min-p %g: token %d", (double)logits[0],
                   (double)logits[1 % n], (double)logits[2 % n], n, (double)params.temperature, params.top_k,
                   (double)params.top_p, (double)params.min_p, token))
            break;
        seen[token]++;
    }
    for (int32_t i = 0; s && i < n; i++) /* e^-20 */
        CHECK(p[i] < 0.2 || seen[i], "row %g %g %g ... of %d: token %d of probability %g never comes",
              (double)logits[0], (double)logits[1 % n], (double)logits[2 % n], n, i, p[i]);
    nb_sampler_free(s);
}

/* Rows that damaged, untrained and very confident models make, through all filters together. */
static void check_degenerate_rows(void) {
    enum { ROWS = 14 };
    static const float pairs[ROWS][2] = {
        /* even tokens, odd ones */
        {0, 0},
        {3.5f, 3.5f},
        {-3e38f, -3e38f},
        {3e38f, 3e38f},
        {INFINITY, INFINITY},
        {-INFINITY, -INFINITY},
        {NAN, NAN},
        {1e-42f, -1e-42f},
        {3e38f, -3e38f},
        {INFINITY, -INFINITY},
        {NAN, 2},
        {NAN, -INFINITY},
        {-INFINITY, 0},
        {INFINITY, NAN},
    };
    static const float lone[] = {100, -100, 3e38f, INFINITY, -INFINITY, NAN}, temperatures[] = {1, 1e-30f, 1e6f};
    static const float shares[] = {1, 0.5f, 0};
    static const int32_t counts[] = {0, 1, 3, 40};
    float row[MOST];
    for (size_t r = 0; r < ROWS + sizeof lone / sizeof *lone; r++)
        for (int32_t n = 1; n <= MOST; n += 15) {
            for (int32_t i = 0; i < n; i++)
                row[i] = r < ROWS ? pairs[r][i % 2] : i == n / 3 ? lone[r - ROWS] : 0;
            for (size_t i = 0; i < 3 * 3 * 3 * 4; i++) {
                nb_sampler_params params = off;
                params.temperature = temperatures[i % 3];
                params.top_p = shares[i / 3 % 3];
                params.min_p = 1 - shares[i / 9 % 3];
                params.top_k = counts[i / 27];
                check_degenerate(row, n, params);
            }
        }
}

void test_sampler(void) {
    check_degenerate_rows();
    check_greedy();
    check_filters();
    check_penalties();
    check_infinite();
    check_hard_rows();
    check_bias();
    check_arguments();
    check_seeds();
    nb_sampler_params params = off;
    params.top_k = 40;
    check_large(params);
    params.top_k = 0;
    params.top_p = 0.5f;
    check_large(params);
}
