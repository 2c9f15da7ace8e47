/* Scores of a text equal those computed from its logits, in batches of any size. An importance matrix that is written
 * in either format can be read again. (tests/js/imatrix.test.js compares both with llama.cpp's numbers.) */
#include "../../src/models/session.h"
#include "../../src/base/numbers.h"
#include "../../src/kernels/ops.h"
#include "../../src/quant/imatrix.h"
#include "../../src/types/types.h"
#include "check.h"
#include "load.h"

#include <math.h>

enum { TOKENS = 40, CONTEXT = 64 };

static int32_t tokens[TOKENS];

static nb_model *load(const char *path, nb_error *err) {
    size_t size;
    uint8_t *file = test_read_all(path, &size);
    nb_model *m = test_load(file, size, (double)size, 0, err);
    nb_free(file);
    for (int32_t i = 0; m && i < TOKENS; i++)
        tokens[i] = 2 + i * 7 % (nb_model_vocabulary(m) - 2);
    return m;
}

static int32_t score(nb_session *s, int32_t from, float *scores, nb_error *err) {
    int32_t done = 0;
    while (done >= 0 && done < TOKENS)
        done = nb_session_score(s, tokens, TOKENS, done, from, scores, err);
    return done;
}

/* -ln p of each token, from logits of nb_session_advance, in F64. */
static void expect_scores(nb_session *s, uint32_t vocabulary, double *expected, nb_error *err) {
    for (int32_t held = 0, row = 0; held < TOKENS;) {
        held = nb_session_advance(s, tokens, TOKENS, NB_LOGITS_ALL, err);
        if (!CHECK(held > 0, "%s", err->message))
            return;
        int32_t rows;
        const float *logits = nb_session_logits(s, &rows);
        for (int32_t i = 0; i < rows && row + 1 < TOKENS; i++, row++, logits += vocabulary) {
            double sum = 0;
            for (uint32_t k = 0; k < vocabulary; k++)
                sum += exp((double)logits[k]);
            expected[row + 1] = log(sum) - (double)logits[tokens[row + 1]];
        }
    }
}

static void check_scores(const char *path) {
    nb_error err = {0};
    nb_model *m = load(path, &err);
    if (!CHECK(m, "%s: %s", path, err.message))
        return;
    double expected[TOKENS];
    static const uint32_t batches[] = {64, 9, 1};
    for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
        nb_session *s = nb_session_new(m, NULL, CONTEXT, batches[b], NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
        if (b == 0)
            expect_scores(s, (uint32_t)nb_model_vocabulary(m), expected, &err);
        for (int32_t from = 1; from <= TOKENS; from += 13) {
            float scores[TOKENS];
            for (int32_t i = 0; i < TOKENS; i++)
                scores[i] = -1;
            CHECK(score(s, from, scores, &err) == TOKENS, "%s: %s", path, err.message);
            for (int32_t i = 0; i < TOKENS; i++)
                CHECK(i < from ? scores[i] == -1 : fabs((double)scores[i] - expected[i]) < 2e-4,
                      "%s, batch %u, from %d: score %d is %g, not %g", path, batches[b], from, i, (double)scores[i],
                      expected[i]);
        }
        nb_session_free(s);
    }
    nb_model_free(m);
}

static void check_refusals(void) {
    nb_error err = {0};
    float scores[TOKENS];
    static const char *const others[] = {
        "tests/fixtures/encoders/bert.gguf",
        "tests/fixtures/encoders/gemma-embedding.gguf",
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        nb_model *m = load(others[i], &err);
        nb_session *s = m ? nb_session_new(m, NULL, CONTEXT, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err) : NULL;
        CHECK(s && score(s, 1, scores, &err) == NB_ERR_UNSUPPORTED && test_contains(err.message, "not causal"), "%s",
              err.message);
        nb_session_free(s);
        nb_model_free(m);
    }
    nb_model *m = load("tests/fixtures/models/gpt2.gguf", &err);
    nb_session *s = nb_session_new(m, NULL, TOKENS - 1, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    CHECK(score(s, 1, scores, &err) == NB_ERR_CONTEXT, "%s", err.message);
    CHECK(nb_session_score(s, tokens, 9, 0, 0, scores, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_session_score(s, tokens, 9, 0, 10, scores, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_session_score(s, tokens, 9, 3, 1, scores, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    tokens[4] = nb_model_vocabulary(m);
    CHECK(nb_session_score(s, tokens, 9, 0, 1, scores, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "vocabulary"),
          "%s", err.message);
    nb_session_free(s);
    nb_model_free(m);
}

static nb_imatrix *written(const nb_collector *c, uint32_t format, nb_error *err) {
    int32_t size = nb_collector_write(c, format, 20, "a text", 6, NULL, 0, err);
    if (!CHECK(size > 0, "%s", err->message))
        return NULL;
    uint8_t *out = nb_alloc((size_t)size + 1);
    CHECK(nb_collector_write(c, format, 20, "a text", 6, out, (size_t)size + 1, err) == size, "%s", err->message);
    nb_imatrix *m;
    CHECK(nb_imatrix_read(out, (size_t)size, &m, err) == NB_OK && m->chunks == TOKENS / 20 &&
              nb_text_is(m->data_set, "a text"),
          "%s", err->message);
    nb_free(out);
    return m;
}

/* A model: the number of entries, and one of them with its columns and matrices. */
typedef struct model_file {
    const char *path;
    uint32_t entries;
    const char *name;
    uint64_t columns, matrices;
} model_file;

static void check_collected(const model_file *f) {
    nb_error err = {0};
    nb_model *m = load(f->path, &err);
    nb_session *s = nb_session_new(m, NULL, CONTEXT, 16, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    nb_collector *c = nb_collector_new(s, &err);
    if (!CHECK(c, "%s: %s", f->path, err.message))
        return;
    CHECK(nb_collector_write(c, NB_IMATRIX_DAT, 20, "", 0, NULL, 0, &err) == NB_ERR_STATE, "%s", err.message);
    CHECK(nb_collector_write(c, 2, 20, "", 0, NULL, 0, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_collector_write(c, 0, 0, "", 0, NULL, 0, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(score(s, TOKENS, NULL, &err) == TOKENS, "%s: %s", f->path, err.message);
    nb_imatrix *a = written(c, NB_IMATRIX_GGUF, &err), *b = written(c, NB_IMATRIX_DAT, &err);
    const float *x = NULL, *y = NULL;
    if (CHECK(a && b && a->n_entries == f->entries && b->n_entries == f->entries, "%s: %u entries", f->path,
              a ? a->n_entries : 0) &&
        CHECK(nb_imatrix_find(a, nb_text_of(f->name), f->columns, f->matrices, &x, &err) == 1 &&
                  nb_imatrix_find(b, nb_text_of(f->name), f->columns, f->matrices, &y, &err) == 1,
              "%s: %s", f->name, err.message))
        for (uint64_t i = 0; i < f->columns * f->matrices; i++)
            CHECK(x[i] > 0 && fabsf(x[i] - y[i]) <= 1e-6f * x[i], "%s: number %l is %g and %g", f->name, i,
                  (double)x[i], (double)y[i]);
    nb_imatrix_free(a);
    nb_imatrix_free(b);
    nb_session_free(s);
    nb_collector_free(c);
    nb_model_free(m);
}

/* Against F64, at lengths around the number of terms that are added up together. */
static void check_sums(void) {
    static const uint32_t lengths[] = {1, 3, 4, 5, 255, 256, 257, 1000};
    static float x[1000];
    uint32_t seed = 4;
    for (uint32_t i = 0; i < 1000; i++)
        x[i] = (float)(test_random(&seed) % 40000) / 1000 - 20;
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        double sum = 0;
        for (uint32_t i = 0; i < lengths[k]; i++)
            sum += exp((double)x[i]);
        double found = nb_log_sum_exp(x, lengths[k]);
        CHECK(fabs(found - log(sum)) < 5e-6, "of %u numbers: %g, not %g", lengths[k], found, log(sum));
    }
    x[0] = 1e4f; /* e^x is infinite */
    for (int32_t i = -50000; i < 50000; i++) {
        double v = 0.015 * i, e = exp(v), found = nb_exp(v);
        CHECK(fabs(found - e) <= 5e-16 * e || (v < -708 && found == 0) || (v > 709 && isinf(found)),
              "e^%g is %g, not %g", v, found, e);
        if (e > 0 && e <= 1e300)
            CHECK(fabs(nb_log(e) - log(e)) <= 5e-16 * fabs(log(e)), "ln %g is %g, not %g", e, nb_log(e), log(e));
    }
    for (uint32_t i = 0; i < 10000; i++) {
        double v = 0.5 + 0.00015 * i;
        CHECK(fabs(nb_log(v) - log(v)) <= 5e-16, "ln %g is %g, not %g", v, nb_log(v), log(v));
    }
    CHECK(nb_log(0) == -(double)INFINITY && isnan(nb_log(-1)) && isnan(nb_exp((double)NAN)) && nb_exp(-1e9) == 0 &&
              nb_log((double)INFINITY) == (double)INFINITY && nb_exp(1e9) == (double)INFINITY,
          "limits");
    CHECK(nb_log_sum_exp(x, 1000) == 1e4, "%g", nb_log_sum_exp(x, 1000));
}

void test_collector(void) {
    static const model_file files[] = {
        {"tests/fixtures/models/gpt2.gguf", 8, "blk.1.ffn_down.weight", 128, 1},
        {"tests/fixtures/models/phi3.gguf", 8, "blk.1.ffn_up.weight", 32, 1},
        {"tests/fixtures/models/mixtral.gguf", 16, "blk.0.ffn_down_exps.weight", 48, 5},
        {"tests/fixtures/models/qwen2moe.gguf", 22, "blk.0.ffn_down_exps.weight", 20, 6},
    };
    check_sums();
    check_scores("tests/fixtures/models/gemma2.gguf");
    check_scores("tests/fixtures/models/gpt2.gguf");
    check_refusals();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_collected(&files[i]);
}
