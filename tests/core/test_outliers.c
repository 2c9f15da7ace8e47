/* Outliers, columns in 16 bits beside a matrix (models/outliers.h): products follow the formula, and bad tensors are
 * refused. (tests/js/logits.test.js has logits of whole models, from tests/oracles/outlier_models.py.) */
#include "../../src/models/outliers.h"
#include "../../src/models/session.h"
#include "check.h"
#include "edit.h"
#include "load.h"

#include <math.h>

#define LLAMA "tests/fixtures/models/outliers.gguf"
#define MERGED "tests/fixtures/models/outliers-merged.gguf"

enum { MOST_COLUMNS = 96, MOST_ROWS = 128, MOST_TOKENS = 5 };

/* Row `row` of s (W + O), whose n columns O are those of the list; s: X.scale, or 1. */
static void whole_row(const nb_matrix *w, uint32_t row, float *out) {
    float kept[MOST_COLUMNS];
    nb_matrix_row(w, row, out);
    if (w->outliers)
        nb_matrix_row(w->outliers, w->first + row, kept);
    for (uint32_t i = 0; w->outliers && i < w->outliers->columns; i++) {
        CHECK(out[w->outliers->order[i]] == 0, "column %d is not 0 in the matrix", w->outliers->order[i]);
        out[w->outliers->order[i]] = kept[i];
    }
    for (uint32_t i = 0; w->n_scales && i < w->columns; i++)
        out[i] *= *w->scales;
}

static bool is_kept(const nb_matrix *w, uint32_t column) {
    for (uint32_t i = 0; w->outliers && i < w->outliers->columns; i++)
        if (w->outliers->order[i] == (int32_t)column)
            return true;
    return false;
}

/* The largest input in i's block of 32 columns, without those of outliers. */
static float largest_in_block(const nb_matrix *w, const float *x, uint32_t i) {
    float most = 0;
    for (uint32_t k = i / 32 * 32; k < NB_MIN(w->columns, i / 32 * 32 + 32); k++)
        most = NB_MAX(most, is_kept(w, k) ? 0 : fabsf(x[k]));
    return most;
}

/* y = s x (W + O)^T of n tokens, in F64. The inputs of O are not rounded. Those of W are: each by half a step at most,
 * of which the largest one in 32 columns has 127, or with 16 bits 32639. */
static void check_product(nb_session *s, const nb_matrix *w, uint32_t n, const char *what) {
    static float x[MOST_TOKENS * MOST_COLUMNS], y[MOST_TOKENS * MOST_ROWS], row[MOST_COLUMNS];
    uint32_t seed = 7;
    double half_steps =
        nb_matmul_kernel_of(w->type, s->activations.precision)->form == NB_FORM_Q8 ? 2 * 127 : 2 * 32639;
    if (!CHECK(w->columns <= MOST_COLUMNS && w->rows <= MOST_ROWS, "%s: [%u, %u]", what, w->rows, w->columns))
        return;
    for (uint32_t i = 0; i < n * w->columns; i++)
        x[i] = (is_kept(w, i % w->columns) ? 100.0f : 1.0f) * ((float)(test_random(&seed) % 2001) / 1000 - 1);
    nb_session_multiply(s, x, n, w->columns, &(nb_matmul_job){w, y}, 1);
    for (uint32_t r = 0; r < w->rows; r++) {
        whole_row(w, r, row);
        for (uint32_t t = 0; t < n; t++) {
            const float *in = x + t * w->columns;
            double want = 0, within = 0;
            for (uint32_t i = 0; i < w->columns; i++) {
                double product = (double)in[i] * (double)row[i];
                want += product;
                within += 2e-6 * fabs(product);
                if (!is_kept(w, i))
                    within += fabs((double)row[i]) * (double)largest_in_block(w, in, i) / half_steps;
            }
            double found = (double)y[t * w->rows + r];
            CHECK(fabs(found - want) <= within, "%s, row %u of token %u of %u: %g, not %g", what, r, t, n, found, want);
        }
    }
}

/* LLAMA with a scale beside ffn_down, as files of NVFP4 have them. */
#define SCALED "a file with a scale"

static nb_model *load(const char *path) {
    const test_edit scale = {.what = TEST_ADD,
                             .key = "blk.0.ffn_down.scale",
                             .type = NB_TYPE_F32,
                             .n = 1,
                             .items = {-3}};
    bool is_scaled = nb_text_is(nb_text_of(path), SCALED);
    size_t size;
    uint8_t *file = test_read_all(is_scaled ? LLAMA : path, &size);
    if (is_scaled) {
        uint8_t *changed = test_edit_gguf(file, size, &scale, 1, &size);
        nb_free(file);
        file = changed;
    }
    nb_error err = {0};
    nb_model *m = test_load(file, size, (double)size, 0, &err);
    CHECK(m, "%s: %s", path, err.message);
    nb_free(file);
    return m;
}

static void check_products(const char *path, int32_t threads, uint32_t precision) {
    nb_error err = {0};
    nb_model *m = load(path);
    nb_pool *pool = test_pool_new(threads);
    nb_session *s = m ? nb_session_new(m, pool, 64, 16, NB_TYPE_F32, precision, 1, &err) : NULL;
    if (!CHECK(s, "%s: %s", path, err.message))
        return;
    const nb_layer *layer = &m->layers[m->shape.layers - 1];
    const struct {
        const nb_matrix *w;
        const char *name;
    } all[] = {{&layer->q, "q"},       {&layer->k, "k"},   {&layer->v, "v"},      {&layer->o, "o"},
               {&layer->gate, "gate"}, {&layer->up, "up"}, {&layer->down, "down"}};
    uint32_t with = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        with += all[i].w->outliers != NULL;
        for (uint32_t n = 1; n <= MOST_TOKENS; n += 2)
            check_product(s, all[i].w, n, all[i].name);
    }
    CHECK(with >= 6, "%s: %u matrices have outliers", path, with);
    nb_session_free(s);
    test_pool_free(pool);
    nb_model_free(m);
}

/* Comparisons get the weights s (W + O). */
static void check_weights(const char *path) {
    nb_error err = {0};
    nb_model *m = load(path);
    float told[MOST_COLUMNS], want[MOST_COLUMNS];
    uint32_t found = 0;
    for (int32_t i = 0; m && i < nb_model_matrices(m); i++) {
        nb_matrix_facts f;
        if (!CHECK(nb_model_matrix(m, i, &f, &err) == NB_OK, "%s", err.message))
            break;
        if (!test_contains(f.kind, "ffn_down"))
            continue;
        found++;
        for (int32_t row = 0; row < (int32_t)f.rows; row++) {
            whole_row(&m->layers[0].down, (uint32_t)row, want);
            CHECK(nb_model_weights(m, i, row, 1, told, &err) == NB_OK, "%s", err.message);
            for (uint32_t k = 0; k < f.columns; k++)
                CHECK(told[k] == want[k], "row %d, column %u: %g, not %g", row, k, (double)told[k], (double)want[k]);
        }
    }
    CHECK(found == 1, "%u matrices", found);
    nb_model_free(m);
}

/* Each is a good file with one thing changed. Of attn_k there are 4 columns of 64. */
static void check_refusals(void) {
#define LIST "blk.0.attn_k.outlier_columns"
#define KEPT "blk.0.attn_k.outliers"
    static const struct {
        const char *path;
        test_edit edits[2];
        const char *message;
    } cases[] = {
        {LLAMA, {RESHAPE(LIST, I32, 4, 0, 1, 2, 63)}, NULL},
        {LLAMA, {RESHAPE(LIST, I32, 4, 0, 1, 2, 64)}, LIST " names column 64 of 64"},
        {LLAMA, {RESHAPE(LIST, I32, 4, -1, 1, 2, 3)}, LIST " names column -1 of 64"},
        {LLAMA, {RESHAPE(LIST, I32, 4, 0, 2, 1, 3)}, "names column 1 of 64, and columns must ascend"},
        {LLAMA, {RESHAPE(LIST, I32, 4, 0, 2, 2, 3)}, "names column 2 of 64, and columns must ascend"},
        {LLAMA, {RESHAPE(LIST, I32, 3, 0, 1, 2)}, "but the other one of .outliers and .outlier_columns is of"},
        {LLAMA, {RESHAPE(LIST, F32, 4, 0, 1, 2, 3)}, LIST " has shape [4, 1, 1, 1] and type F32"},
        {LLAMA, {RESHAPE(KEPT, F32, 4, 0, 1, 2, 3)}, KEPT " has shape [4, 1, 1, 1] and type F32"},
        {LLAMA, {RESHAPE(KEPT, F16, 4)}, KEPT " has shape [4, 1, 1, 1] and type F16"},
        {LLAMA, {RESHAPE(LIST, I32, 65)}, LIST " has shape [65, 1, 1, 1]"},
        {LLAMA, {OMIT(LIST)}, "attn_k.weight (layer 0) needs all three"},
        {LLAMA, {OMIT(KEPT)}, "attn_k.weight (layer 0) needs all three"},
        {LLAMA, {OMIT("blk.0.attn_k.weight")}, "attn_k.weight (layer 0) needs all three"},
        {LLAMA, {ADD("blk.0.attn_k.order", I32, 64)}, "in another order and outliers, too"},
        {LLAMA, {RENAME(LIST, "blk.1.attn_k.outlier_columns")}, "is not part of"},
        {LLAMA, {RENAME(LIST, "blk.0.attn_norm.outlier_columns")}, "is not part of"},
        {LLAMA, {ADD("token_embd.outliers", F16, 64)}, "which only matrices of layers can have"},
        {"tests/fixtures/models/mixtral.gguf", {ADD("blk.0.ffn_up_exps.outliers", F16, 4)}, "and experts cannot"},
        {"tests/fixtures/models/mixtral.gguf", {ADD("blk.0.ffn_up.1.outliers", F16, 4)}, "and experts cannot"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t size, changed_size, n = cases[i].edits[1].key ? 2 : 1;
        uint8_t *file = test_read_all(cases[i].path, &size);
        uint8_t *changed = test_edit_gguf(file, size, cases[i].edits, n, &changed_size);
        nb_error err = {0};
        nb_model *m = test_load(changed, changed_size, (double)changed_size, changed_size, &err);
        CHECK(cases[i].message ? !m && test_contains(err.message, cases[i].message) : m != NULL,
              "case %z: \"%s\", not \"...%s...\"", i, m ? "it was loaded" : err.message,
              cases[i].message ? cases[i].message : "(loaded)");
        nb_model_free(m);
        nb_free(changed);
        nb_free(file);
    }
}

void test_outliers(void) {
    for (int32_t threads = 1; threads <= 2; threads++)
        for (uint32_t precision = NB_PRECISION_EXACT; precision <= NB_PRECISION_FAST; precision++) {
            check_products(LLAMA, threads, precision);
            check_products(MERGED, threads, precision);
            check_products(SCALED, threads, precision);
        }
    check_weights(LLAMA);
    check_weights(SCALED);
    check_refusals();
}
