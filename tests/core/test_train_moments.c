/* AdamW with moments in 8 bits against bitsandbytes (tests/oracles/moment_vectors.py), and trainers with such
 * moments. */
#include "train_inputs.h"

#include "../../src/base/numbers.h"
#include "../../src/train/adamw.h"

static const char VECTORS[] = "tests/fixtures/train/moments.bin";

enum { SEED = 5, MOST = 2048 };

/* ---- against bitsandbytes ---------------------------------------------------------------------------------------- */

/* The numbers that codes mean. The last bit may differ: bitsandbytes uses fused multiply-add for the ends of parts, and
 * F32 for products with powers of ten. */
static void check_map(nb_cursor *in, const char *which, const float *map) {
    const float *want = test_numbers(in, NB_MOMENT_CODES * sizeof *want);
    for (uint32_t i = 0; want && i < NB_MOMENT_CODES; i++)
        CHECK(fabsf(map[i] - want[i]) <= 2e-7f * fabsf(want[i]), "%s moments: number %u is %g, not %g", which, i,
              (double)map[i], (double)want[i]);
    nb_free((void *)want);
}

static uint32_t other_codes(const uint8_t *have, const uint8_t *want, uint32_t n) {
    uint32_t others = 0;
    for (uint32_t i = 0; i < n; i++)
        others += have[i] != want[i];
    return others;
}

/* Compares one step. The largest magnitudes of blocks, and weights, may differ by rounding errors of F32. So may a few
 * codes. */
static void check_step(nb_cursor *in, const nb_parameters *p, uint32_t step) {
    uint32_t n = (uint32_t)p->n, blocks = (n + NB_MOMENT_BLOCK - 1) / NB_MOMENT_BLOCK;
    const float *most[2], *have[2] = {p->moments.first_most, p->moments.second_most};
    for (int k = 0; k < 2; k++) {
        most[k] = test_numbers(in, blocks * sizeof(float));
        double error = test_norm_of(have[k], most[k], blocks), length = test_norm_of(most[k], NULL, blocks);
        CHECK(length > 0 && error <= 1e-5 * length, "step %u: magnitudes are off by %g of %g", step, error, length);
    }
    const uint8_t *first = test_numbers(in, n), *second = test_numbers(in, n);
    uint32_t others = other_codes(p->moments.first_codes, first, n) + other_codes(p->moments.second_codes, second, n);
    CHECK(others <= n / 500, "step %u: %u of %u codes differ", step, others, 2 * n);
    const float *w = test_numbers(in, n * sizeof *w);
    double error = test_norm_of(p->weights, w, n), length = test_norm_of(w, NULL, n);
    CHECK(length > 0 && error <= 1e-5 * length, "step %u: weights are off by %g of %g", step, error, length);
    const void *all[] = {most[0], most[1], first, second, w};
    for (int i = 0; i < 5; i++)
        nb_free((void *)all[i]);
}

/* The gradients of tests/oracles/moment_vectors.py. */
static void fill_gradients(float *g, uint32_t n, uint32_t *seed) {
    for (uint32_t i = 0; i < n; i++) {
        float r = test_random_float(seed);
        uint32_t k = test_random(seed) % 13;
        g[i] = k == 12 ? 0 : r / (float)(1u << k);
    }
}

static void check_steps(nb_cursor *in, nb_pool *pool, const nb_moment_maps *maps) {
    static float weights[MOST], gradients[MOST], moments[2 * MOST];
    uint32_t n = nb_cursor_u32(in), steps = nb_cursor_u32(in), seed = SEED;
    nb_train_optimizer o = {.steps = 0};
    float *fields[] = {&o.rate, &o.beta1, &o.beta2, &o.epsilon, &o.decay};
    for (int i = 0; i < 5; i++)
        *fields[i] = nb_cursor_f32(in);
    if (!CHECK(!in->is_short && n <= MOST && nb_moments_bytes(n, true) <= sizeof moments, "%s: %u numbers", VECTORS, n))
        return;
    memset(moments, 0, sizeof moments);
    nb_parameters p = {weights, gradients, nb_moments_at(moments, n, maps), n, true};
    for (uint32_t i = 0; i < n; i++)
        weights[i] = test_random_float(&seed) / 4;
    for (uint32_t step = 0; step < steps; step++) {
        fill_gradients(gradients, n, &seed);
        nb_adamw_step(pool, &o, step, 1, &p);
        if (step == 0 || step + 1 == steps)
            check_step(in, &p, step);
    }
}

/* ---- trainers ---------------------------------------------------------------------------------------------------- */

enum { SEQUENCES = 2, LENGTH = 16, TOKENS = SEQUENCES * LENGTH };

static const nb_train_shape shape = {.vocabulary = 96,
                                     .width = 64,
                                     .layers = 1,
                                     .heads = 4,
                                     .kv_heads = 2,
                                     .head_size = 16,
                                     .hidden = 96,
                                     .is_interleaved = 1,
                                     .rope_base = 10000,
                                     .epsilon = 1e-5f};
static const nb_train_optimizer adamw =
    {.rate = 0.01f, .last_rate = 0.01f, .beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-8f, .decay = 0.1f, .clip = 1};

static nb_trainer *new_trainer(nb_pool *pool, uint32_t learns) {
    nb_error err = {0};
    uint32_t seed = 3;
    nb_trainer *t = nb_trainer_new(pool, &shape, SEQUENCES, LENGTH, learns, &err);
    if (!CHECK(t, "%s", err.message))
        return NULL;
    CHECK(nb_trainer_set_optimizer(t, &adamw, &err) == NB_OK, "%s", err.message);
    test_fill_weights_of(t, &seed);
    return t;
}

/* Learns a text that repeats itself. Returns the mean loss of a token in the last step. */
static double learn(nb_trainer *t, uint32_t steps) {
    nb_error err = {0};
    int32_t tokens[TOKENS], targets[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++) {
        tokens[i] = i * i % 7;
        targets[i] = (i + 1) * (i + 1) % 7;
    }
    double loss = 0, norm;
    for (uint32_t i = 0; i < steps; i++) {
        CHECK(nb_trainer_accumulate(t, tokens, targets, NULL, SEQUENCES, LENGTH, &loss, &err) > 0, "%s", err.message);
        CHECK(nb_trainer_step(t, &norm, &err) == NB_OK, "%s", err.message);
    }
    return loss / TOKENS;
}

static void check_trainers(nb_pool *pool) {
    nb_error err = {0};
    nb_trainer *plain = new_trainer(NULL, NB_TRAIN_LEARNS), *small = new_trainer(NULL, NB_TRAIN_LEARNS_IN_8_BITS),
               *many = new_trainer(pool, NB_TRAIN_LEARNS_IN_8_BITS),
               *resumed = new_trainer(NULL, NB_TRAIN_LEARNS_IN_8_BITS);
    if (!plain || !small || !many || !resumed)
        return;
    /* q, o, the feed-forward matrices and the output matrix. Other tensors are too small, or the token embedding. */
    double in_8_bits = 2 * 4096 + 4 * 6144, saved = nb_trainer_moments_bytes(plain) - nb_trainer_moments_bytes(small);
    CHECK(saved == in_8_bits * (8 - 2) - in_8_bits / NB_MOMENT_BLOCK * 8, "moments in 8 bits save %g bytes", saved);
    double first = learn(small, 3);
    learn(many, 3);
    learn(plain, 3);
    CHECK(test_same_arrays(small, many), "results depend on the number of threads");
    test_copy_arrays(resumed, small);
    CHECK(nb_trainer_resume(resumed, 3, &err) == NB_OK, "%s", err.message);
    double last = learn(small, 4), exact = learn(plain, 4);
    learn(resumed, 4);
    CHECK(test_same_arrays(small, resumed), "a resumed training differs");
    CHECK(last < 0.7 * first && fabs(last - exact) < 0.01 * exact,
          "the loss was %g and is %g, and with moments in F32 %g", first, last, exact);
    nb_trainer *all[] = {plain, small, many, resumed};
    for (int i = 0; i < 4; i++)
        nb_trainer_free(all[i]);
    CHECK(!nb_trainer_new(NULL, &shape, 1, 8, 3, &err) && err.code == NB_ERR_ARGUMENT, "learns = 3 was not refused");
}

/* Small second moments stay above 0, so that no step is huge. Zeros stay 0, alone in a block or not. */
static void check_floor(const nb_moment_maps *maps) {
    float first[2] = {1, 0.001f}, second[2] = {1, 1e-9f}, room[64];
    nb_moments moments = nb_moments_at(room, 2, maps);
    nb_moments_write(&moments, 0, 2, first, second);
    nb_moments_read(&moments, 0, 2, first, second);
    CHECK(second[0] == 1 && second[1] > 0 && second[1] < 1e-6f, "1e-9 became %g", (double)second[1]);
    for (int k = 1; k >= 0; k--) {
        first[k] = second[k] = 0;
        nb_moments_write(&moments, 0, 2, first, second);
        nb_moments_read(&moments, 0, 2, first, second);
        for (int i = 0; i < 2; i++) {
            float want = i < k ? 1 : 0;
            CHECK(first[i] == want && second[i] == want, "number %d of %d that are not 0: %g and %g", i, k,
                  (double)first[i], (double)second[i]);
            /* the codes, too: any code means 0 in a block whose largest magnitude is 0 */
            float factors[] = {maps->first[moments.first_codes[i]], maps->second[moments.second_codes[i]]};
            CHECK(factors[0] == want && factors[1] == want, "the codes mean %g and %g", (double)factors[0],
                  (double)factors[1]);
        }
    }
}

void test_train_moments(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    nb_pool *pool = test_pool_new(3);
    nb_moment_maps maps;
    nb_moment_maps_fill(&maps);
    check_map(&in, "first", maps.first);
    check_map(&in, "second", maps.second);
    check_steps(&in, pool, &maps);
    CHECK(in.at == size, "%s has more than it says", VECTORS);
    check_floor(&maps);
    check_trainers(pool);
    test_pool_free(pool);
    nb_free(bytes);
}
