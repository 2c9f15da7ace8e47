/* Comparing two models: nb_session_compare for logits, nb_model_weights for weights, and what they refuse.
 * (tests/js/compare.test.js compares the figures with the reference's.) */
#include "../../src/base/memory.h"
#include "../../src/models/session.h"
#include "../../src/types/types.h"
#include "check.h"
#include "load.h"

#include <math.h>

enum { TOKENS = 30, MOST = 16 };

static int32_t tokens[TOKENS];

static nb_model *load(const char *path, nb_error *err) {
    size_t size;
    uint8_t *file = test_read_all(path, &size);
    nb_model *m = test_load(file, size, (double)size, 0, err);
    nb_free(file);
    CHECK(m, "%s: %s", path, err->message);
    for (int32_t i = 0; i < TOKENS; i++)
        tokens[i] = 2 + i * 7 % 80;
    return m;
}

/* A model agrees with itself. If the base's logits say "token 5 for certain", the divergence is -ln q(5). */
static void check_logits(void) {
    nb_error err = {0};
    nb_model *m = load("tests/fixtures/models/gemma2.gguf", &err);
    nb_session *s = m ? nb_session_new(m, NULL, TOKENS, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err) : NULL;
    if (!CHECK(s, "%s", err.message))
        return;
    int32_t vocabulary = nb_model_vocabulary(m), given;
    float scores[TOKENS], *base = nb_alloc(sizeof *base * (size_t)MOST * (size_t)vocabulary);
    double out[MOST * NB_COMPARED_NUMBERS];
    CHECK(nb_session_project(s, 0, 1, &err) == NB_ERR_ARGUMENT, "nothing was evaluated");
    CHECK(nb_session_score(s, tokens, TOKENS, 0, 1, scores, &err) == TOKENS, "%s", err.message);
    int32_t rows = nb_session_project(s, 3, TOKENS - 3, &err);
    if (!CHECK(rows > 0 && rows <= MOST, "%d rows: %s", rows, err.message))
        return;
    const float *logits = nb_session_logits(s, &given);
    CHECK(given == rows, "%d rows, not %d", given, rows);
    memcpy(base, logits, sizeof *base * (size_t)rows * (size_t)vocabulary);
    CHECK(nb_session_compare(s, 3, rows, base, tokens + 4, out, &err) == rows, "%s", err.message);
    for (int32_t i = 0; i < rows; i++) {
        const double *row = out + i * NB_COMPARED_NUMBERS;
        CHECK(row[NB_COMPARED_DIVERGENCE] == 0 && row[NB_COMPARED_SAME_TOP] == 1 &&
                  row[NB_COMPARED_BASE] == row[NB_COMPARED_OTHER],
              "row %d differs from itself", i);
        CHECK(fabs(row[NB_COMPARED_OTHER] - (double)scores[4 + i]) < 1e-4, "row %d: %g, not %g", i,
              row[NB_COMPARED_OTHER], (double)scores[4 + i]);
    }
    for (int32_t i = 0; i < rows * vocabulary; i++)
        base[i] = i % vocabulary == 5 ? 1000 : 0;
    static const int32_t fives[MOST] = {5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5};
    CHECK(nb_session_compare(s, 3, rows, base, fives, out, &err) == rows, "%s", err.message);
    for (int32_t i = 0; i < rows; i++)
        CHECK(fabs(out[i * NB_COMPARED_NUMBERS + NB_COMPARED_DIVERGENCE] -
                   out[i * NB_COMPARED_NUMBERS + NB_COMPARED_OTHER]) < 1e-9,
              "row %d: a divergence of %g", i, out[i * NB_COMPARED_NUMBERS + NB_COMPARED_DIVERGENCE]);
    static const int32_t wrong[][2] = {{-1, 1}, {0, 0}, {0, TOKENS + 1}, {TOKENS, 1}, {TOKENS - 1, 2}, {1, INT32_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        CHECK(nb_session_project(s, wrong[i][0], wrong[i][1], &err) == NB_ERR_ARGUMENT, "%d, %d", wrong[i][0],
              wrong[i][1]);
    CHECK(nb_session_compare(s, 3, rows + 1, base, fives, out, &err) == NB_ERR_ARGUMENT, "too many rows");
    CHECK(nb_session_compare(s, 3, 1, base, &(int32_t){vocabulary}, out, &err) == NB_ERR_ARGUMENT, "no such token");
    CHECK(nb_session_advance(s, tokens, TOKENS, NB_LOGITS_LAST, &err) == TOKENS, "%s", err.message);
    CHECK(nb_session_project(s, 3, 1, &err) == NB_ERR_ARGUMENT, "something else was evaluated since");
    nb_free(base);
    nb_session_free(s);
    nb_model_free(m);
}

/* All matrices of a model with experts, each compared with its own weights times 1.5. */
static void check_weights(void) {
    nb_error err = {0};
    nb_model *m = load("tests/fixtures/models/mixtral.gguf", &err);
    if (!m)
        return;
    int32_t n = nb_model_matrices(m);
    CHECK(n == 18, "%d matrices", n);
    for (int32_t i = 0; i < n; i++) {
        nb_matrix_facts f;
        if (!CHECK(nb_model_matrix(m, i, &f, &err) == NB_OK, "%s", err.message))
            return;
        size_t weights = (size_t)f.rows * f.columns;
        float *w = nb_alloc(weights * sizeof *w);
        CHECK(nb_model_weights(m, i, 0, (int32_t)f.rows, w, &err) == NB_OK, "%s: %s", f.kind, err.message);
        double squares = 0, found[2] = {0};
        for (size_t k = 0; k < weights; k++) {
            w[k] *= 1.5f;
            squares += (double)w[k] * (double)w[k];
        }
        double rms = nb_model_matrix_rms(m, i);
        CHECK(fabs(rms * 1.5 - sqrt(squares / (double)weights)) < 1e-6 * rms, "%s: %g", f.kind, rms);
        uint32_t bins[2 * NB_WEIGHT_BINS] = {0}, all[2] = {0};
        CHECK(nb_model_weights_compare(m, i, 0, (int32_t)f.rows, w, (float)rms, found, bins, &err) == NB_OK, "%s",
              err.message);
        for (int32_t b = 0; b < 2 * NB_WEIGHT_BINS; b++)
            all[b / NB_WEIGHT_BINS] += bins[b];
        CHECK(all[0] == weights && all[1] == weights, "%s: %u and %u weights", f.kind, all[0], all[1]);
        CHECK(fabs(found[0] / found[1] - 1.0 / 9) < 1e-6, "%s: %g", f.kind, found[0] / found[1]);
        CHECK(nb_model_weights(m, i, (int32_t)f.rows, 1, w, &err) == NB_ERR_ARGUMENT, "a row that is not there");
        CHECK(nb_model_weights(m, i, -1, 1, w, &err) == NB_ERR_ARGUMENT, "a row that is not there");
        nb_free(w);
    }
    nb_matrix_facts f;
    CHECK(nb_model_matrix(m, n, &f, &err) == NB_ERR_ARGUMENT && nb_model_matrix(m, -1, &f, &err) == NB_ERR_ARGUMENT,
          "a matrix that is not there");
    CHECK(nb_model_matrix_rms(m, n) == 0, "a matrix that is not there");
    nb_model_free(m);
}

void test_compare(void) {
    check_logits();
    check_weights();
}
