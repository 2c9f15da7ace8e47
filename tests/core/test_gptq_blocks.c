/* GPTQ for GGUF's types: the layout of codes, less output error than rounding to nearest for each type, the same bytes
 * for any number of threads, and difficult inputs. */
#include "check.h"
#include "gptq_inputs.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/types/code_layout.h"
#include "../../src/quant/hessian.h"
#include "../../src/types/traits.h"

enum { ROWS = TEST_ROWS, COLUMNS = TEST_COLUMNS, MOST_BYTES = ROWS * COLUMNS * 4 };

static float weights[ROWS * COLUMNS], values[ROWS * COLUMNS];
static _Alignas(64) uint8_t blocks[MOST_BYTES], others[MOST_BYTES];

static nb_quantizer *quantizer_of(nb_pool *pool, uint32_t dead) {
    uint32_t seed = TEST_SEED;
    nb_error err;
    nb_quantizer *q = nb_quantizer_new(pool, COLUMNS, &err);
    CHECK(q, "%s", err.message);
    test_fill_weights(&seed, weights);
    test_fill_hessian(&seed, dead, nb_quantizer_hessian(q));
    return q;
}

/* ---- layouts ---------------------------------------------------------------------------------------------------- */

/* The number that a code means. */
static float number_of(const nb_code_layout *l, int32_t code) {
    return l->codebook ? (float)l->codebook[code] : l->float_codebook ? l->float_codebook[code] : (float)code;
}

/* Puts every code at every place. The dequantizer must find it there, and nowhere else. */
static void test_layout(uint32_t type, const nb_code_layout *l) {
    const nb_traits *traits = nb_traits_of(type);
    _Alignas(8) uint8_t block[512];
    float before[NB_SUPERBLOCK], after[NB_SUPERBLOCK], first[NB_SUPERBLOCK];
    uint32_t wrong = 0, n = traits->block_weights;
    nb_quantizer_of(type)(&(nb_encoding){0}, weights, block, n);
    for (uint32_t i = 0; i < n; i++)
        for (int32_t code = l->least; code <= l->most; code++) {
            traits->dequantize(block, before, n);
            nb_put_code(l, i, (uint32_t)code, block);
            traits->dequantize(block, after, n);
            for (uint32_t k = 0; k < n; k++)
                wrong += k != i && before[k] != after[k];
            if (code == l->least)
                first[i] = after[i];
            nb_put_code(l, i, (uint32_t)l->most, block);
            traits->dequantize(block, before, n);
            nb_put_code(l, i, (uint32_t)code, block);
            wrong += nb_code_at(l, i, block) != (uint32_t)code;
            /* on the line through the first and the last number, up to rounding errors */
            float part =
                (number_of(l, code) - number_of(l, l->least)) / (number_of(l, l->most) - number_of(l, l->least));
            float want = first[i] + part * (before[i] - first[i]);
            wrong += !(__builtin_fabsf(after[i] - want) <=
                       1e-5f * (__builtin_fabsf(first[i]) + __builtin_fabsf(before[i] - first[i])));
        }
    CHECK(wrong == 0, "%s: %u codes are not where they should be", traits->name, wrong);
}

/* ---- less error ------------------------------------------------------------------------------------------------- */

static double error_with(nb_quantizer *q, uint32_t type, uint32_t flags, uint32_t order) {
    nb_error err = {0};
    nb_gptq_settings settings = {0.05f, order, order ? nb_quantizer_block(type) : 0};
    if (!test_factor(q, &settings))
        return 0;
    int32_t code = nb_quantizer_rows(q, type, flags, NB_TYPE_F32, weights, 0, ROWS, blocks, &err);
    CHECK(code == NB_OK, "%s", err.message);
    return nb_quantizer_error(q, NB_TYPE_F32, weights, type, blocks, ROWS, &err);
}

static void test_type(nb_quantizer *q, uint32_t type) {
    const char *name = nb_traits_of(type)->name;
    double nearest = error_with(q, type, NB_ROWS_NEAREST, NB_ORDER_NATURAL);
    double fed = error_with(q, type, NB_ROWS_PLAINLY, NB_ORDER_NATURAL);
    double grouped = error_with(q, type, NB_ROWS_PLAINLY, NB_ORDER_GROUP_AWARE);
    double best = error_with(q, type, NB_ROWS_BEST, NB_ORDER_GROUP_AWARE);
    double nearest_best = error_with(q, type, NB_ROWS_BEST | NB_ROWS_NEAREST, NB_ORDER_NATURAL);
    CHECK(fed > 0 && fed < nearest && grouped < nearest && best < nearest_best,
          "%s: %g, group-aware %g, with the better search %g; rounded to nearest %g, with the better search %g", name,
          fed, grouped, best, nearest, nearest_best);
}

/* Types of vector codebooks are encoded with the diagonal as importance. */
static void test_without_feedback(nb_quantizer *q) {
    nb_error err;
    nb_gptq_settings settings = {0.05f, NB_ORDER_NATURAL, 0};
    uint32_t type = NB_TYPE_IQ2_XS;
    size_t row_bytes = nb_traits_of(type)->block_bytes;
    void *memory = nb_alloc(nb_neighbours_bytes(type));
    if (!test_factor(q, &settings))
        return;
    nb_encoding how = {.importance = q->importance, .neighbours = nb_neighbours_fill(memory, type)};
    CHECK(!nb_quantizer_feeds(type) && nb_quantizer_feeds(NB_TYPE_Q4_K), "which types are fed");
    CHECK(nb_quantizer_rows(q, type, 0, NB_TYPE_F32, weights, 0, ROWS, blocks, &err) == NB_OK, "%s", err.message);
    for (uint32_t row = 0; row < ROWS; row++) {
        nb_grid_quantizer_of(type)(&how, weights + row * COLUMNS, others, COLUMNS);
        uint32_t wrong = 0;
        for (size_t i = 0; i < row_bytes; i++)
            wrong += others[i] != blocks[row * row_bytes + i];
        CHECK(wrong == 0, "row %u: %u bytes differ", row, wrong);
    }
    nb_free(memory);
}

/* ---- threads ------------------------------------------------------------------------------ */

static void test_threads_agree(void) {
    nb_error err;
    for (int32_t threads = 1; threads <= 3; threads++) {
        nb_pool *pool = test_pool_new(threads);
        nb_quantizer *q = quantizer_of(pool, 0);
        nb_gptq_settings settings = {0.01f, NB_ORDER_GROUP_AWARE, NB_SUPERBLOCK};
        if (test_factor(q, &settings)) {
            memset(blocks, 0, sizeof blocks);
            int32_t code = nb_quantizer_rows(q, NB_TYPE_Q4_K, 0, NB_TYPE_F32, weights, 0, 5, blocks, &err);
            size_t five = 5 * sizeof(nb_block_q4_k); /* slices give the same bytes as the whole */
            code = code ? code
                        : nb_quantizer_rows(q, NB_TYPE_Q4_K, 0, NB_TYPE_F32, weights + 5 * COLUMNS, 5, ROWS - 5,
                                            blocks + five, &err);
            CHECK(code == NB_OK, "%s", err.message);
        }
        uint32_t wrong = 0;
        for (size_t i = 0; i < sizeof blocks && threads > 1; i++)
            wrong += blocks[i] != others[i];
        memcpy(others, blocks, sizeof others);
        CHECK(wrong == 0, "%d threads: %u bytes differ", threads, wrong);
        nb_quantizer_free(q);
        test_pool_free(pool);
    }
}

/* ---- the factorization ------------------------------------------------------------------------------------------ */

/* U H U^T = 1 for the damped H, in the order of the columns. */
static void test_factorization(nb_quantizer *q, uint32_t order) {
    nb_gptq_settings settings = {0.01f, order, order == NB_ORDER_GROUP_AWARE ? 64 : 0};
    if (!test_factor(q, &settings))
        return;
    double worst = 0, *uh = nb_alloc(sizeof *uh * COLUMNS * COLUMNS);
    float *u = nb_alloc(sizeof *u * COLUMNS * COLUMNS);
    for (uint32_t i = 0; i < COLUMNS; i++)
        for (uint32_t j = 0; j < COLUMNS; j++)
            u[i * COLUMNS + j] = i / 32 > j / 32  ? 0
                               : i / 32 == j / 32 ? q->diagonal[i / 32 * 1024 + i % 32 * 32 + j % 32]
                                                  : q->hessian[i * COLUMNS + j];
    for (uint32_t i = 0; i < COLUMNS; i++)
        for (uint32_t j = 0; j < COLUMNS; j++) {
            double sum = 0;
            for (uint32_t k = i; k < COLUMNS; k++) {
                uint32_t a = q->order[k], b = q->order[j];
                sum += (double)u[i * COLUMNS + k] * (double)(a == b ? q->importance[a] : nb_hessian_at(q, a, b));
            }
            uh[i * COLUMNS + j] = sum;
        }
    for (uint32_t i = 0; i < COLUMNS; i++)
        for (uint32_t j = 0; j < COLUMNS; j++) {
            double sum = i == j ? -1 : 0;
            for (uint32_t k = j; k < COLUMNS; k++)
                sum += uh[i * COLUMNS + k] * (double)u[j * COLUMNS + k];
            worst = sum > worst ? sum : -sum > worst ? -sum : worst;
        }
    /* of F32, with a condition number of some thousands */
    CHECK(worst < 1e-3, "order %u: U H U^T is %g away from 1", order, worst);
    nb_free(uh);
    nb_free(u);
}

/* ---- difficult inputs and errors --------------------------------------------------------------------------------- */

static void expect_rows(nb_quantizer *q, uint32_t type, int32_t want, const char *words) {
    nb_error err = {0};
    int32_t code = nb_quantizer_rows(q, type, 0, NB_TYPE_F32, weights, 100, ROWS, blocks, &err);
    CHECK(code == want && test_contains(err.message, words), "%d: %s", code, err.message);
}

static void expect_prepare(nb_quantizer *q, nb_gptq_settings settings, int32_t want, const char *words) {
    nb_error err = {0};
    int32_t code = nb_quantizer_prepare(q, &settings, &err);
    CHECK(code == want && test_contains(err.message, words), "%d: %s", code, err.message);
}

/* Rounding to nearest needs no Hessian. Everything else is refused without one. */
static void test_without(void) {
    nb_error err = {0};
    nb_quantizer *q = nb_quantizer_new(NULL, COLUMNS, &err);
    expect_prepare(q, (nb_gptq_settings){0}, NB_OK, "");
    CHECK(nb_quantizer_rows(q, NB_TYPE_Q4_0, NB_ROWS_NEAREST, NB_TYPE_F32, weights, 0, 1, blocks, &err) == NB_OK, "%s",
          err.message);
    CHECK(nb_quantizer_error(q, NB_TYPE_F32, weights, NB_TYPE_Q4_0, blocks, 1, &err) == NB_ERR_STATE &&
              test_contains(err.message, "no Hessian"),
          "%s", err.message);
    CHECK(nb_quantizer_factor(q, &err) == NB_ERR_STATE && test_contains(err.message, "no Hessian"), "%s", err.message);
    nb_awq_found found;
    nb_awq_settings awq = {.type = NB_TYPE_Q4_0};
    CHECK(nb_quantizer_awq(q, &awq, weights, 1, 0, weights, &found, &err) == NB_ERR_STATE &&
              nb_quantizer_clip(q, &awq, NULL, weights, 1, &err) == NB_ERR_STATE &&
              test_contains(err.message, "no Hessian"),
          "%s", err.message);
    nb_quantizer_free(q);
}

/* After a failed nb_quantizer_prepare, the results of an earlier one are not used. */
static void test_failed_again(void) {
    nb_error err = {0};
    nb_quantizer *q = quantizer_of(NULL, 0);
    float *h = nb_quantizer_hessian(q);
    expect_prepare(q, (nb_gptq_settings){0.1f, 0, 0}, NB_OK, "");
    while (nb_quantizer_factor(q, &err) > 0)
        ;
    h[0] = -1;
    expect_prepare(q, (nb_gptq_settings){0.1f, 0, 0}, NB_ERR_FORMAT, "is -1 at column 0");
    expect_rows(q, NB_TYPE_Q4_0, NB_ERR_STATE, "not factored");
    nb_quantizer_free(q);
}

static void test_refusals(void) {
    nb_error err = {0};
    nb_quantizer *q = quantizer_of(NULL, 0);
    float *h = nb_quantizer_hessian(q);
    CHECK(!nb_quantizer_new(NULL, 40, &err) && test_contains(err.message, "these have 40"), "%s", err.message);
    CHECK(nb_quantizer_factor(q, &err) == NB_ERR_STATE, "%s", err.message);
    expect_rows(q, NB_TYPE_Q4_0, NB_ERR_STATE, "not factored");
    expect_prepare(q, (nb_gptq_settings){-1, 0, 0}, NB_ERR_ARGUMENT, "damping is -1");
    expect_prepare(q, (nb_gptq_settings){0.1f, 4, 0}, NB_ERR_ARGUMENT, "number 4");
    expect_prepare(q, (nb_gptq_settings){0.1f, NB_ORDER_GROUP_AWARE, 96}, NB_ERR_ARGUMENT, "groups of 96");
    float kept = h[7 * COLUMNS + 7];
    h[7 * COLUMNS + 7] = nb_float_of(0x7fc00000);
    expect_prepare(q, (nb_gptq_settings){0.1f, 0, 0}, NB_ERR_FORMAT, "not finite at columns 7 and 7");
    h[7 * COLUMNS + 7] = -1;
    expect_prepare(q, (nb_gptq_settings){0.1f, 0, 0}, NB_ERR_FORMAT, "is -1 at column 7");
    h[7 * COLUMNS + 7] = kept;
    nb_gptq_settings by_activation = {0.1f, NB_ORDER_ACTIVATION, 0}, natural = {0.1f, NB_ORDER_NATURAL, 0};
    if (test_factor(q, &by_activation))
        expect_rows(q, NB_TYPE_Q4_K, NB_ERR_ARGUMENT, "groups of 256");
    if (test_factor(q, &natural)) {
        expect_rows(q, NB_TYPE_Q8_1, NB_ERR_UNSUPPORTED, "type 9");
        weights[3 * COLUMNS + 5] = nb_float_of(0xff800000);
        weights[9 * COLUMNS + 1] = nb_float_of(0x7fc00000);
        expect_rows(q, NB_TYPE_Q4_K, NB_ERR_FORMAT, "row 103, column 5 is -infinity");
        expect_rows(q, NB_TYPE_IQ3_S, NB_ERR_FORMAT, "row 103, column 5 is -infinity");
        weights[3 * COLUMNS + 5] = 1e9f;
        weights[9 * COLUMNS + 1] = 0;
        expect_rows(q, NB_TYPE_Q4_0, NB_ERR_UNSUPPORTED, "row 103");
        expect_rows(q, NB_TYPE_NF4, NB_OK, ""); /* its scales are F32 */
    }
    nb_quantizer_free(q);
}

/* Columns whose inputs were always 0 are rounded to nearest. Blocks of zeros stay zeros. A Hessian of zeros rounds
 * everything to nearest. */
static void test_empty(void) {
    nb_error err;
    nb_quantizer *q = quantizer_of(NULL, 1); /* every column is dead */
    nb_gptq_settings settings = {0.05f, NB_ORDER_NATURAL, 0};
    for (int i = 0; i < 64; i++)
        weights[i] = 0;
    if (test_factor(q, &settings)) {
        CHECK(nb_quantizer_rows(q, NB_TYPE_Q5_1, 0, NB_TYPE_F32, weights, 0, ROWS, blocks, &err) == NB_OK, "%s",
              err.message);
        CHECK(nb_quantizer_rows(q, NB_TYPE_Q5_1, NB_ROWS_NEAREST, NB_TYPE_F32, weights, 0, ROWS, others, &err) == NB_OK,
              "%s", err.message);
        nb_traits_of(NB_TYPE_Q5_1)->dequantize(blocks, values, ROWS * COLUMNS);
        double sum = 0, nearest = 0;
        for (int i = 0; i < 64; i++)
            CHECK(values[i] == 0, "weight %d of a block of zeros is %g", i, (double)values[i]);
        for (int i = 0; i < ROWS * COLUMNS; i++)
            sum += (double)(values[i] - weights[i]) * (double)(values[i] - weights[i]);
        nb_traits_of(NB_TYPE_Q5_1)->dequantize(others, values, ROWS * COLUMNS);
        for (int i = 0; i < ROWS * COLUMNS; i++)
            nearest += (double)(values[i] - weights[i]) * (double)(values[i] - weights[i]);
        CHECK(sum <= 1.001 * nearest, "unseen columns: %g, rounded to nearest %g", sum, nearest);
    }
    nb_quantizer_free(q);
}

/* tr(E H E^T) of the weights as Q4_0. The inputs of columns 3, 7, ... are 0. */
static double error_of(nb_quantizer *q, uint32_t flags) {
    nb_error err;
    CHECK(nb_quantizer_rows(q, NB_TYPE_Q4_0, flags, NB_TYPE_F32, weights, 0, ROWS, blocks, &err) == NB_OK, "%s",
          err.message);
    return nb_quantizer_error(q, NB_TYPE_F32, weights, NB_TYPE_Q4_0, blocks, ROWS, &err);
}

/* Without damping, a block's scale does not depend on large weights in columns whose inputs are 0. (This uses the wider
 * search. llama.cpp's search tries scales near the one for the largest weight, even if that weight does not count.) */
static void test_unseen(void) {
    nb_quantizer *q = quantizer_of(NULL, 4);
    nb_gptq_settings settings = {0, NB_ORDER_NATURAL, 0};
    double errors[2][2];
    for (int large = 0; large < 2; large++) {
        for (int i = 3; i < ROWS * COLUMNS; i += 4)
            weights[i] = large ? 2 * weights[i - 1] : 0;
        if (test_factor(q, &settings))
            for (uint32_t i = 0; i < 2; i++)
                errors[large][i] = error_of(q, NB_ROWS_BEST | (i ? NB_ROWS_NEAREST : 0));
    }
    for (int i = 0; i < 2; i++)
        CHECK(errors[1][i] <= 1.02 * errors[0][i], "%s: %g with large weights that were never seen, %g without",
              i ? "to nearest" : "by GPTQ", errors[1][i], errors[0][i]);
    nb_quantizer_free(q);
}

/* With 10 inputs of 256 columns H is singular, and damping is added. A matrix that is not a sum of x x^T is an
 * error. */
static void test_singular(void) {
    nb_error err = {0};
    nb_quantizer *q = quantizer_of(NULL, 0);
    float *h = nb_quantizer_hessian(q);
    uint32_t seed = 5;
    memset(h, 0, sizeof *h * COLUMNS * COLUMNS);
    for (int t = 0; t < 10; t++) {
        float x[COLUMNS];
        for (int i = 0; i < COLUMNS; i++)
            x[i] = test_random_float(&seed);
        for (int i = 0; i < COLUMNS * COLUMNS; i++)
            h[i] += x[i / COLUMNS] * x[i % COLUMNS];
    }
    nb_gptq_settings settings = {0, NB_ORDER_NATURAL, 0};
    if (test_factor(q, &settings)) {
        CHECK(nb_quantizer_damping(q) > 0 && nb_quantizer_damping(q) < 0.05f, "damping %g",
              (double)nb_quantizer_damping(q));
        expect_rows(q, NB_TYPE_Q4_K, NB_OK, "");
    }
    for (int i = 0; i < COLUMNS * COLUMNS; i++)
        h[i] = i / COLUMNS == i % COLUMNS ? 1 : 100;
    int32_t left = nb_quantizer_prepare(q, &settings, &err);
    do
        left = left < 0 ? left : nb_quantizer_factor(q, &err);
    while (left > 0);
    CHECK(left == NB_ERR_FORMAT && test_contains(err.message, "not positive definite"), "%d: %s", left, err.message);
    nb_quantizer_free(q);
}

#ifdef NB_NATIVE
/* Each allocation fails once: that is an error, and nothing leaks. */
static void test_no_memory_left(void) {
    for (uint64_t nth = 1; nth < 12; nth++) {
        nb_error err = {0};
        nb_gptq_settings settings = {0.05f, NB_ORDER_NATURAL, 0};
        nb_refuse_allocation(nth);
        nb_quantizer *q = nb_quantizer_new(NULL, COLUMNS, &err);
        bool has = q && nb_quantizer_hessian(q);
        int32_t left = has ? nb_quantizer_prepare(q, &settings, &err) : NB_ERR_MEMORY;
        do
            left = left < 0 ? left : nb_quantizer_factor(q, &err);
        while (left > 0);
        if (left == 0)
            left = nb_quantizer_rows(q, NB_TYPE_Q4_K, 0, NB_TYPE_F32, weights, 0, 1, blocks, &err);
        if (left == 0)
            left = nb_quantizer_rows(q, NB_TYPE_IQ2_S, 0, NB_TYPE_F32, weights, 0, 1, blocks, &err);
        if (left == 0)
            left = nb_quantizer_error(q, NB_TYPE_F32, weights, NB_TYPE_IQ2_S, blocks, 1, &err) < 0 ? err.code : 0;
        bool was_refused = nb_refuse_allocation(0) == 0;
        CHECK(was_refused == (left == NB_ERR_MEMORY), "allocation %u: %d: %s", (uint32_t)nth, left, err.message);
        CHECK(was_refused == (nth <= 6), "allocation %u of 6", (uint32_t)nth);
        nb_quantizer_free(q);
    }
}
#endif

void test_gptq_blocks(void) {
    nb_quantizer *q = quantizer_of(NULL, 0);
    uint32_t types = 0;
    for (uint32_t order = NB_ORDER_NATURAL; order <= NB_ORDER_GROUP_AWARE; order++)
        test_factorization(q, order);
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++) {
        const nb_code_layout *layout = nb_code_layout_of(type);
        if (!layout)
            continue;
        test_layout(type, layout);
        test_type(q, type);
        types++;
    }
    CHECK(types >= 16, "%u types", types);
    test_without_feedback(q);
    nb_quantizer_free(q);
    test_threads_agree();
    test_refusals();
    test_without();
    test_failed_again();
    test_empty();
    test_unseen();
    test_singular();
#ifdef NB_NATIVE
    test_no_memory_left();
#endif
}
