/* Types under a budget: the choice against exhaustive search, and the losses that a rounder reports. */
#include "check.h"
#include "random.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/base/writer.h"
#include "../../src/nibble_quantize.h"
#include "../../src/quant/quantize.h"
#include "../../src/types/traits.h"

#include <math.h>

/* ---- the choice -------------------------------------------------------------------------------------------------- */

enum { TENSORS = 5, KINDS = 4, WAYS = 1 << (2 * TENSORS) };

typedef struct problem {
    double bytes[TENSORS * KINDS], losses[TENSORS * KINDS], budget;
} problem;

static void sum_up(const problem *p, const uint32_t *choice, double *bytes, double *loss) {
    *bytes = *loss = 0;
    for (uint32_t i = 0; i < TENSORS; i++) {
        *bytes += p->bytes[i * KINDS + choice[i]];
        *loss += p->losses[i * KINDS + choice[i]];
    }
}

/* The least loss of all choices that fit; infinity if none does. */
static double search(const problem *p) {
    double best = INFINITY, bytes, loss;
    for (uint32_t way = 0; way < WAYS; way++) {
        uint32_t choice[TENSORS];
        for (uint32_t i = 0; i < TENSORS; i++)
            choice[i] = way >> (2 * i) & 3;
        sum_up(p, choice, &bytes, &loss);
        best = bytes <= p->budget && loss < best ? loss : best;
    }
    return best;
}

/* Matrices of different sizes and sensitivities, and types of 2 to 8 bits, where each bit divides the loss by about
 * four. One type in eight is not possible. */
static void fill(problem *p, uint32_t *seed) {
    static const double bits[KINDS] = {2.06, 3.44, 4.5, 8.5};
    double least = 0, most = 0;
    for (uint32_t i = 0; i < TENSORS; i++) {
        double size = 256.0 * (1 + test_random(seed) % 20), loss = exp(4 * (double)test_random_float(seed));
        for (uint32_t k = 0; k < KINDS; k++) {
            p->bytes[i * KINDS + k] = floor(size * bits[k] / 8);
            loss *= 0.25 + 0.15 * (double)test_random_float(seed);
            p->losses[i * KINDS + k] = k && test_random(seed) % 8 == 0 ? INFINITY : loss;
        }
        least += p->bytes[i * KINDS];
        most += p->bytes[i * KINDS + KINDS - 1];
    }
    p->budget = least + (most - least) * (double)(test_random(seed) % 100) / 100;
}

static void check_choices(void) {
    enum { PROBLEMS = 300 };
    uint32_t seed = 7, best = 0;
    double excess = 0;
    for (uint32_t i = 0; i < PROBLEMS; i++) {
        problem p;
        uint32_t choice[TENSORS];
        nb_error err;
        double bytes, loss;
        fill(&p, &seed);
        int32_t code = nb_mix_choose(TENSORS, KINDS, p.bytes, p.losses, p.budget, choice, &err);
        if (!CHECK(code == NB_OK, "%s", err.message))
            return;
        sum_up(&p, choice, &bytes, &loss);
        double least = search(&p);
        CHECK(bytes <= p.budget, "problem %u: %g bytes of %g", i, bytes, p.budget);
        CHECK(isfinite(loss) && loss >= least * (1 - 1e-12), "problem %u: a loss of %g, less than %g", i, loss, least);
        best += loss <= least * (1 + 1e-12);
        excess += loss / least - 1;
    }
    CHECK(best >= PROBLEMS * 9 / 10, "only %u of %u choices are the best", best, (uint32_t)PROBLEMS);
    CHECK(excess < 0.01 * PROBLEMS, "losses are %g of the least above it, on average", excess / PROBLEMS);
}

static void check_choice_refusals(void) {
    double bytes[4] = {100, 200, 50, 90}, losses[4] = {3, 1, INFINITY, 2};
    uint32_t choice[2];
    nb_error err;
    CHECK(nb_mix_choose(2, 2, bytes, losses, 190, choice, &err) == NB_OK && choice[0] == 0 && choice[1] == 1,
          "%u and %u: %s", choice[0], choice[1], err.message);
    CHECK(nb_mix_choose(2, 2, bytes, losses, 189, choice, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "take 190 bytes"),
          "%s", err.message);
    CHECK(nb_mix_choose(2, 2, bytes, losses, (double)NAN, choice, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    losses[3] = (double)NAN;
    CHECK(nb_mix_choose(2, 2, bytes, losses, 1000, choice, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "matrix 1"),
          "%s", err.message);
    CHECK(nb_mix_choose(0, 2, bytes, losses, 0, choice, &err) == NB_OK, "%s", err.message);
}

/* ---- the rounder ------------------------------------------------------------------------------------------------- */

enum { COLUMNS = 256, ROWS = 8, MATRICES = 2 };
static const char NAME[] = "blk.0.ffn_up_exps.weight";
static float weights[MATRICES * ROWS * COLUMNS], importance[MATRICES * COLUMNS];

/* An importance matrix in llama.cpp's older format (quant/imatrix.h). */
static size_t write_imatrix(uint8_t *out) {
    int32_t numbers[] = {1, (int32_t)sizeof NAME - 1}, counts[] = {1, MATRICES * COLUMNS};
    size_t n = 0;
    memcpy(out, numbers, sizeof numbers), n += sizeof numbers;
    memcpy(out + n, NAME, sizeof NAME - 1), n += sizeof NAME - 1;
    memcpy(out + n, counts, sizeof counts), n += sizeof counts;
    memcpy(out + n, importance, sizeof importance);
    return n + sizeof importance;
}

static nb_rounder *rounder_of(nb_pool *pool, bool with_importance) {
    static uint8_t file[sizeof importance + 64];
    nb_error err;
    uint32_t seed = 5;
    for (uint32_t i = 0; i < MATRICES * ROWS * COLUMNS; i++)
        weights[i] = test_random_float(&seed) * test_random_float(&seed);
    for (uint32_t i = 0; i < MATRICES * COLUMNS; i++)
        importance[i] = 1 + test_random_float(&seed);
    nb_rounder *r = nb_rounder_new(pool, &err);
    CHECK(r, "%s", err.message);
    CHECK(!with_importance || nb_rounder_importance(r, file, write_imatrix(file), &err) == NB_OK, "%s", err.message);
    int32_t found = nb_rounder_tensor(r, NAME, sizeof NAME - 1, COLUMNS, MATRICES, &err);
    CHECK(found == with_importance, "%d: %s", found, err.message);
    return r;
}

/* The blocks are the encoder's, and the loss is the sum of importance (w - q)^2, whether blocks are wanted or not. */
static void check_type(nb_rounder *r, uint32_t type, bool with_importance) {
    static _Alignas(64) uint8_t blocks[ROWS * COLUMNS * 4], alone[COLUMNS * 4];
    static float values[ROWS * COLUMNS];
    const nb_traits *t = nb_traits_of(type);
    const float *w = weights + ROWS * COLUMNS, *weight = importance + COLUMNS; /* matrix 1 */
    nb_error err;
    double loss = 1000, again = 0, want = 0;
    int32_t code = nb_rounder_rows(r, 1, type, NB_ROWS_PLAINLY, NB_TYPE_F32, w, 0, ROWS, blocks, &loss, &err);
    if (!CHECK(code == NB_OK, "%s: %s", t->name, err.message))
        return;
    nb_rounder_rows(r, 1, type, NB_ROWS_PLAINLY, NB_TYPE_F32, w, 0, ROWS, NULL, &again, &err);
    t->dequantize(blocks, values, ROWS * COLUMNS);
    for (uint32_t i = 0; i < ROWS * COLUMNS; i++)
        want += (with_importance ? (double)weight[i % COLUMNS] : 1) * ((double)w[i] - (double)values[i]) *
                ((double)w[i] - (double)values[i]);
    CHECK(fabs(loss - 1000 - want) < 1e-9 * (1000 + want), "%s loses %g, not %g", t->name, loss - 1000, want);
    CHECK(fabs(again - want) < 1e-9 * (1 + want), "%s loses %g, not %g", t->name, again, want);
    if (nb_quantizer_of(type)) {
        size_t bytes = COLUMNS / t->block_weights * t->block_bytes;
        nb_encoding how = {.importance = with_importance ? weight : NULL};
        nb_quantizer_of(type)(&how, w + 3 * COLUMNS, alone, COLUMNS);
        CHECK(nb_compare(alone, blocks + 3 * bytes, bytes) == 0, "%s: the blocks are not the encoder's", t->name);
    }
}

static void check_rounding(nb_pool *pool) {
    static const uint32_t types[] = {NB_TYPE_IQ2_XS, NB_TYPE_Q2_K, NB_TYPE_IQ3_S, NB_TYPE_Q4_K,
                                     NB_TYPE_IQ4_NL, NB_TYPE_Q8_0, NB_TYPE_F16};
    for (int with = 0; with < 2; with++) {
        nb_rounder *r = rounder_of(pool, with);
        for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
            bool takes = with || types[i] != NB_TYPE_IQ2_XS;
            CHECK(nb_rounder_takes(r, types[i]) == takes, "type %u", types[i]);
            if (takes)
                check_type(r, types[i], with);
        }
        nb_rounder_free(r);
    }
}

static void check_rounder_refusals(void) {
    nb_error err;
    double loss = 0;
    nb_rounder *r = rounder_of(NULL, true);
    CHECK(nb_rounder_rows(r, MATRICES, NB_TYPE_Q4_K, 0, NB_TYPE_F32, weights, 0, 1, NULL, &loss, &err) ==
              NB_ERR_ARGUMENT,
          "%s", err.message);
    CHECK(nb_rounder_rows(r, 0, NB_TYPE_LIMIT, 0, NB_TYPE_F32, weights, 0, 1, NULL, &loss, &err) == NB_ERR_ARGUMENT,
          "%s", err.message);
    CHECK(nb_rounder_rows(r, 0, NB_TYPE_Q4_K, 0, NB_TYPE_LIMIT, weights, 0, 1, NULL, &loss, &err) == NB_ERR_ARGUMENT,
          "%s", err.message);
    weights[COLUMNS + 9] = (float)NAN;
    CHECK(nb_rounder_rows(r, 0, NB_TYPE_Q4_K, 0, NB_TYPE_F32, weights, 40, 2, NULL, &loss, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "row 41"),
          "%s", err.message);
    CHECK(nb_rounder_tensor(r, NAME, sizeof NAME - 1, COLUMNS * 2, MATRICES, &err) == NB_ERR_ARGUMENT, "%s",
          err.message);
    CHECK(!nb_rounder_takes(r, NB_TYPE_Q8_0), "no tensor is at hand");
    CHECK(nb_rounder_tensor(r, "output.weight", 13, 32, 1, &err) == 0, "%s", err.message);
    CHECK(!nb_rounder_takes(r, NB_TYPE_Q4_K) && nb_rounder_takes(r, NB_TYPE_Q8_0), "rows of 32");
    CHECK(nb_rounder_tensor(r, "output.weight", 13, COLUMNS, 1, &err) == 0 && nb_rounder_takes(r, NB_TYPE_IQ2_XS),
          "the output does without importance");
    CHECK(nb_rounder_tensor(r, NAME, sizeof NAME - 1, 0, MATRICES, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_rounder_importance(r, (const uint8_t *)NAME, 4, &err) == NB_ERR_FORMAT, "%s", err.message);
    nb_rounder_free(r);
    nb_rounder_free(NULL);
}

void test_mix(void) {
    check_choices();
    check_choice_refusals();
    check_rounding(NULL);
    nb_pool *pool = test_pool_new(3);
    check_rounding(pool);
    test_pool_free(pool);
    check_rounder_refusals();
}
