/* What the samplers leave of random logits, and with which probabilities, against llama.cpp's
 * (tests/oracles/sampler_vectors.py). */
#include "load.h"

#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/sampling/sampler.h"

#include <math.h>
#include <stdlib.h>

static const char VECTORS[] = "tests/fixtures/samplers.bin", MODEL[] = "tests/fixtures/tiny.gguf";
static const char *const breakers[] = {"\n", ":", "\"", "*", "the cat"};

enum { MOST = 1024, CERTAIN = 3 };

/* A row as the oracle makes it. Each token of the prefix counts once. */
static void fill_row(float *logits, int32_t vocabulary, float spread, const int32_t *prefix, int32_t n, bool is_last,
                     uint32_t *seed) {
    for (int32_t i = 0; i < vocabulary; i++)
        logits[i] = test_random_float(seed) * spread;
    for (int32_t i = 0; i < n; i++) {
        bool is_new = true;
        for (int32_t k = 0; k < i; k++)
            is_new = is_new && prefix[k] != prefix[i];
        if (is_new)
            logits[prefix[i]] += 5;
    }
    if (!is_last)
        logits[CERTAIN] += 40;
}

static double probability_in(const nb_candidates *c, int32_t token) {
    float highest = nb_candidates_highest(c);
    for (int32_t i = 0; i < c->n; i++)
        if (c->list[i].token == token)
            return nb_candidates_weight(c->list[i].logit - highest) / nb_candidates_total(c, highest);
    return 0;
}

/* The same tokens, with the same probabilities but for rounding errors of the reference's floats. */
static void compare(uint32_t number, const nb_candidates *c, nb_cursor *in) {
    static int32_t tokens[MOST];
    uint32_t kept = nb_cursor_u32(in);
    CHECK(kept <= MOST && (uint32_t)c->n == kept, "case %u: %d candidates, not %u", number, c->n, kept);
    for (uint32_t i = 0; i < kept; i++)
        tokens[i % MOST] = (int32_t)nb_cursor_u32(in);
    for (uint32_t i = 0; i < kept; i++) {
        double want = (double)nb_cursor_f32(in), have = probability_in(c, tokens[i % MOST]);
        CHECK(want > 0 && fabs(have - want) <= 1e-5 * want + 1e-9, "case %u: token %d has the probability %g, not %g",
              number, tokens[i % MOST], have, want);
    }
}

static void check_case(const nb_model *m, uint32_t number, nb_cursor *in, uint32_t *seed) {
    static float logits[MOST];
    static int32_t prefix[MOST];
    nb_error err = {0};
    nb_sampler_params params;
    const uint8_t *words = nb_cursor_bytes(in, sizeof params);
    uint32_t vocabulary = nb_cursor_u32(in), rows = nb_cursor_u32(in), n = nb_cursor_u32(in);
    if (!words || vocabulary > MOST || n > MOST) {
        CHECK(false, "case %u is broken", number);
        return;
    }
    memcpy(&params, words, sizeof params);
    for (uint32_t i = 0; i < n; i++)
        prefix[i] = (int32_t)nb_cursor_u32(in);
    float spread = nb_cursor_f32(in);
    nb_sampler *s = nb_sampler_for((int32_t)vocabulary, &params, NULL, 0, &err);
    CHECK(s, "case %u: %s", number, err.message);
    for (size_t i = 0; s && i < sizeof breakers / sizeof *breakers; i++)
        CHECK(nb_sampler_break(s, m, breakers[i], nb_length(breakers[i]), &err) == 0, "%s", err.message);
    for (uint32_t row = 1; s && row <= rows; row++) {
        fill_row(logits, (int32_t)vocabulary, spread, prefix, (int32_t)n, row == rows, seed);
        if (row < rows) {
            CHECK(nb_sampler_next(s, logits, prefix, (int32_t)n) == CERTAIN, "case %u: another token", number);
            continue;
        }
        nb_candidates c = nb_sampler_candidates(s, logits, prefix, (int32_t)n);
        compare(number, &c, in);
    }
    nb_sampler_free(s);
}

/* other: another model. */
static void check_breakers(const nb_model *m, const nb_model *other) {
    nb_error err = {0};
    nb_sampler_params params = {.top_p = 1, .typical_p = 1, .repeat_penalty = 1, .dry_base = 1};
    nb_sampler *s = nb_sampler_for(8, &params, NULL, 0, &err);
    char text[80] = {0};
    CHECK(nb_sampler_break(s, m, text, 0, &err) < 0, "an empty breaker");
    CHECK(nb_sampler_break(s, m, text, 64, &err) < 0, "a breaker of 64 bytes");
    CHECK(nb_sampler_break(s, m, "a", 1, &err) == 0, "%s", err.message);
    CHECK(nb_sampler_break(s, other, "a", 1, &err) < 0 && test_contains(err.message, "of one model"), "%s",
          err.message);
    for (int i = 1; i < 32; i++)
        CHECK(nb_sampler_break(s, m, text, 63, &err) == 0, "breaker %d: %s", i, err.message);
    CHECK(nb_sampler_break(s, m, text, 1, &err) < 0, "33 breakers");
    nb_sampler_free(s);
}

void test_sampler_steps(void) {
    nb_error err = {0};
    size_t size, model_size;
    uint8_t *file = test_read_all(VECTORS, &size), *model = test_read_all(MODEL, &model_size);
    nb_model *m = test_load(model, model_size, (double)model_size, 0, &err),
             *other = test_load(model, model_size, (double)model_size, 0, &err);
    CHECK(m && other, "%s", err.message);
    nb_cursor in = nb_cursor_over(file, size, 0);
    uint32_t seed = nb_cursor_u32(&in), cases = nb_cursor_u32(&in);
    CHECK(cases > 0, "there are no cases");
    for (uint32_t i = 0; m && i < cases; i++)
        check_case(m, i, &in, &seed);
    if (m && other)
        check_breakers(m, other);
    nb_model_free(m);
    nb_model_free(other);
    nb_free(file);
    nb_free(model);
}
