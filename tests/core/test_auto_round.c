/* AutoRound against the library auto-round (tests/oracles/auto_round_vectors.py), and properties of its results. */
#include "train_inputs.h"

#include "../../src/base/numbers.h"
#include "../../src/quant/quantize.h"
#include "../../src/train/auto_round.h"
#include "../../src/types/traits.h"

static const char VECTORS[] = "tests/fixtures/train/auto_round.bin";

typedef struct layer {
    nb_train_shape shape;
    nb_auto_round_settings settings;
    uint32_t seed;
} layer;

/* The oracle's weights and streams. */
static void begin_layer(nb_auto_round *a, const layer *l) {
    nb_error err = {0};
    uint32_t seed = l->seed, n = l->settings.windows * l->settings.window * l->shape.width;
    nb_train_tensor tensor;
    float *w;
    for (uint32_t i = 0; (w = nb_auto_round_tensor(a, i, &tensor)); i++)
        for (uint32_t k = 0; k < tensor.rows * tensor.columns; k++)
            w[k] = (tensor.decays ? 0.0f : 1.0f) + test_random_float(&seed) / 4;
    for (uint32_t i = 0; i < n; i++)
        nb_auto_round_inputs(a)[i] = nb_auto_round_exact(a)[i] = test_random_float(&seed);
    for (uint32_t i = 0; i < n; i++)
        nb_auto_round_inputs(a)[i] += test_random_float(&seed) / 32;
    for (int32_t left = (int32_t)l->settings.windows; left > 0;) {
        int32_t now = nb_auto_round_pass(a, &err);
        CHECK(now == left - 1, "%s", err.message);
        left = now;
    }
}

static nb_auto_round *new_layer(nb_pool *pool, const layer *l) {
    nb_error err = {0};
    nb_auto_round *a = nb_auto_round_new(pool, &l->shape, &l->settings, &err);
    if (CHECK(a, "%s", err.message))
        begin_layer(a, l);
    return a;
}

static bool is_matrix(const nb_auto_round *a, uint32_t i) {
    return a->layer->tensors[1 + i].decays;
}

static void choose_all(nb_auto_round *a, const nb_auto_round_grid *grid) {
    nb_error err = {0};
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++)
        CHECK(!is_matrix(a, i) || nb_auto_round_choose(a, i, grid, NULL, &err) == NB_OK, "%s", err.message);
}

/* One step, of all windows. Returns its loss. */
static double step(nb_auto_round *a) {
    nb_error err = {0};
    for (uint32_t i = 0; i < a->settings.batch; i++)
        CHECK(nb_auto_round_step(a, &err) >= 0, "%s", err.message);
    return a->sum / ((double)a->settings.batch * a->settings.window * a->layer->shape.width);
}

/* ---- against the library ----------------------------------------------------------------------------------------- */

enum { UNKNOWN = 2 }; /* instead of a sign */

/* After so many steps, signs of gradients near zero may differ, and later results then differ a little. */
enum { SAME = 16 };

/* Compares the signs of a matrix's gradients, which show in how the first step moved the parameters. A and B were 1, so
 * they can only have moved down. */
static uint32_t count_other_signs(const nb_rounded_matrix *m, float rate, const int8_t *v, const int8_t *of_a,
                                  const int8_t *of_b) {
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < m->rows * m->columns; i++)
        wrong += v[i] != UNKNOWN && m->v[i] != -rate * (float)v[i];
    for (uint32_t i = 0; i < m->rows * m->groups; i++) {
        wrong += of_a[i] != UNKNOWN && m->ranges[i].a != (of_a[i] > 0 ? 1 - rate : 1);
        wrong += of_b[i] != UNKNOWN && m->ranges[i].b != (of_b[i] > 0 ? 1 - rate : 1);
    }
    return wrong;
}

/* The file's numbers for each matrix; NULL for a norm. */
typedef struct expected {
    const int8_t *signs[NB_LAYER_TENSORS];  /* with respect to V, A, B */
    const uint8_t *codes[NB_LAYER_TENSORS]; /* of the best step */
} expected;

static expected read_expected(const nb_auto_round *a, nb_cursor *in) {
    expected e = {0};
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++) {
        const nb_rounded_matrix *m = &a->matrices[i];
        uint32_t n = m->rows * m->columns, groups = m->rows * m->groups;
        e.signs[i] = n ? test_numbers(in, n + 2 * groups) : NULL;
        e.codes[i] = n ? test_numbers(in, n) : NULL;
    }
    return e;
}

static void free_expected(const expected *e) {
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++) {
        nb_free((void *)e->signs[i]);
        nb_free((void *)e->codes[i]);
    }
}

/* After the first step. */
static void check_signs(const nb_auto_round *a, const nb_auto_round_grid *grid, const expected *e) {
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++) {
        const nb_rounded_matrix *m = &a->matrices[i];
        uint32_t n = m->rows * m->columns, groups = m->rows * m->groups;
        const int8_t *at = e->signs[i];
        uint32_t wrong = n ? count_other_signs(m, 1 / (float)a->settings.steps, at, at + n, at + n + groups) : 0;
        CHECK(wrong == 0, "type %u, %u bits, matrix %u: %u of %u signs differ", grid->type, grid->bits, i, wrong,
              n + 2 * groups);
    }
}

static void check_codes(const nb_auto_round *a, const nb_auto_round_grid *grid, const expected *e) {
    uint32_t same = 0, all = 0;
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++)
        for (uint32_t k = 0; k < a->matrices[i].rows * a->matrices[i].columns; k++, all++)
            same += a->matrices[i].best_codes[k] == e->codes[i][k];
    CHECK(same > 0.98 * all, "type %u, %u bits: %u of %u codes are the library's", grid->type, grid->bits, same, all);
}

static void check_case(nb_pool *pool, nb_cursor *in, layer l) {
    nb_auto_round_grid grid = {0};
    uint32_t *fields[] = {&grid.type, &grid.bits, &grid.group, &grid.symmetric, &grid.least_zero};
    for (int i = 0; i < 5; i++)
        *fields[i] = nb_cursor_u32(in);
    const double *losses = test_numbers(in, l.settings.steps * sizeof *losses);
    nb_auto_round *a = new_layer(pool, &l);
    if (!a || !losses)
        return;
    choose_all(a, &grid);
    const expected e = read_expected(a, in);
    double first = step(a), least = losses[0];
    CHECK(fabs(first / losses[0] - 1) < 1e-5, "the loss is %g, not %g", first, losses[0]);
    check_signs(a, &grid, &e);
    for (uint32_t i = 1; i < l.settings.steps; i++) {
        double loss = step(a), off = i < SAME ? 1e-5 : 0.03;
        least = NB_MIN(least, losses[i]);
        CHECK(fabs(loss / losses[i] - 1) < off, "type %u, %u bits, step %u: the loss is %g, not %g", grid.type,
              grid.bits, i, loss, losses[i]);
    }
    CHECK(nb_auto_round_first_loss(a) == first && nb_auto_round_least_loss(a) < 1.03 * least, "the least loss is %g",
          nb_auto_round_least_loss(a));
    check_codes(a, &grid, &e);
    free_expected(&e);
    nb_free((void *)losses);
    nb_auto_round_free(a);
}

static layer check_library(nb_pool *pool) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    layer l = {.shape = {.layers = 1, .vocabulary = 1}};
    uint32_t *fields[] = {&l.shape.width, &l.shape.heads, &l.shape.kv_heads, &l.shape.head_size, &l.shape.hidden};
    for (int i = 0; i < 5; i++)
        *fields[i] = nb_cursor_u32(&in);
    l.shape.rope_base = nb_cursor_f32(&in);
    l.shape.epsilon = nb_cursor_f32(&in);
    uint32_t *settings[] = {&l.settings.windows, &l.settings.window, &l.settings.steps};
    for (int i = 0; i < 3; i++)
        *settings[i] = nb_cursor_u32(&in);
    l.settings.batch = l.settings.windows;
    uint32_t cases = nb_cursor_u32(&in);
    for (l.seed = 1; l.seed <= cases && l.seed < 100; l.seed++)
        check_case(pool, &in, l);
    CHECK(!in.is_short && in.at == in.size, "the file of vectors has another length");
    nb_free(bytes);
    l.seed = 1;
    return l;
}

/* ---- against itself ---------------------------------------------------------------------------------------------- */

/* The loss with these weights: the mean squared difference of outputs, for the rounded layer's inputs. */
static double loss_with(const layer *l, const nb_auto_round *a, float *const *weights) {
    nb_auto_round *other = new_layer(NULL, l);
    nb_train_tensor tensor;
    uint32_t n = l->settings.windows * l->settings.window * l->shape.width;
    if (!other)
        return NAN;
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++) {
        float *w = nb_auto_round_tensor(other, i, &tensor);
        if (weights[i])
            memcpy(w, weights[i], tensor.rows * tensor.columns * sizeof *w);
    }
    memcpy(other->exact, a->inputs, n * sizeof *a->inputs);
    while (nb_auto_round_pass(other, NULL) > 0)
        ;
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += pow((double)other->exact[i] - (double)a->exact[i], 2);
    nb_auto_round_free(other);
    return sum / n;
}

/* Blocks of a K type, rounded to nearest. */
static void *blocks_of(const nb_auto_round *a, uint32_t i, uint32_t type) {
    const nb_train_tensor *t = &a->layer->tensors[1 + i];
    const nb_traits *traits = nb_traits_of(type);
    size_t row = (size_t)(t->columns / traits->block_weights) * traits->block_bytes;
    uint8_t *blocks = nb_alloc(row * t->rows);
    nb_encoding how = {0};
    for (uint32_t r = 0; r < t->rows; r++)
        nb_encoder_of(type)(&how, a->layer->derivations[1 + i].weights + (size_t)r * t->columns, blocks + r * row,
                            t->columns);
    return blocks;
}

/* Reads codes of groups of 32. Returns the weights that they mean. */
static float *codes_of(const nb_auto_round *a, uint32_t i) {
    nb_error err = {0};
    const nb_rounded_matrix *m = &a->matrices[i];
    uint32_t n = m->rows * m->columns, groups = m->rows * m->groups;
    uint8_t *codes = nb_alloc(n + groups);
    uint16_t *scales = nb_alloc_items(groups, sizeof *scales);
    float *weights = nb_alloc_items(n, sizeof *weights);
    CHECK(nb_auto_round_codes(a, i, codes, scales, codes + n, weights, &err) == NB_OK, "%s", err.message);
    for (uint32_t k = 0; k < n; k++)
        CHECK(weights[k] == nb_f16_to_f32(scales[k / 32]) * (float)(codes[k] - codes[n + k / 32]), "%u", k);
    nb_free(codes);
    nb_free(scales);
    return weights;
}

/* Decodes blocks by levels and codes, and by the type's own decoder, whose result is returned. */
static float *decoded(const nb_auto_round *a, uint32_t i) {
    nb_error err = {0};
    const nb_rounded_matrix *m = &a->matrices[i];
    const nb_traits *traits = nb_traits_of(m->grid.type);
    uint32_t n = m->rows * m->columns;
    uint8_t *blocks = nb_alloc((size_t)n / traits->block_weights * traits->block_bytes);
    float *weights = nb_alloc_items(n, sizeof *weights);
    CHECK(nb_auto_round_blocks(a, i, blocks, &err) == NB_OK, "%s", err.message);
    traits->dequantize(blocks, weights, n);
    nb_free(blocks);
    for (uint32_t k = 0; k < n; k++) {
        const nb_round_levels *of = &m->best_levels[k / m->group];
        float w = of->s * (float)(m->best_codes[k] - of->z) + of->b;
        if (!CHECK(weights[k] == w, "%s: weight %u is %g, not %g", traits->name, k, (double)weights[k], (double)w))
            break;
    }
    return weights;
}

/* Blocks and codes mean the weights with the least loss. Some matrices are not rounded. */
static void check_results(nb_pool *pool, layer l, uint32_t type, uint32_t bits, uint32_t symmetric) {
    nb_error err = {0};
    nb_auto_round_grid grid = {type, bits, 32, symmetric, 0};
    float *weights[NB_LAYER_TENSORS] = {NULL};
    nb_auto_round *a = new_layer(pool, &l);
    if (!a)
        return;
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++) {
        void *blocks = is_matrix(a, i) && nb_auto_round_takes(type) == 2 ? blocks_of(a, i, type) : NULL;
        if (is_matrix(a, i) && i != 3)
            CHECK(nb_auto_round_choose(a, i, &grid, blocks, &err) == NB_OK, "%s", err.message);
        nb_free(blocks);
    }
    while (a->step < l.settings.steps)
        step(a);
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++)
        if (a->matrices[i].rows)
            weights[i] = type == NB_TYPE_F32 ? codes_of(a, i) : decoded(a, i);
    const char *name = nb_traits_of(type)->name;
    double first = nb_auto_round_first_loss(a), least = nb_auto_round_least_loss(a), found = loss_with(&l, a, weights);
    CHECK(fabs(found / least - 1) < 1e-7, "%s: the loss of the results is %g, and %g was the least", name, found,
          least);
    CHECK(least < 0.9 * first, "%s: the loss fell from %g to %g only", name, first, least);
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++)
        nb_free(weights[i]);
    nb_auto_round_free(a);
}

/* What is learned for a layer does not depend on the layers before it, so an interrupted run continues with the same
 * bits. The order of windows matters here, as batches have 3 of 4 windows. */
static void check_second_layer(layer l) {
    nb_auto_round_grid grid = {.type = NB_TYPE_Q4_0};
    double losses[64];
    l.settings.batch = 3;
    nb_auto_round *a = new_layer(NULL, &l);
    if (!a || !CHECK(l.settings.steps <= 64, "%u steps", l.settings.steps))
        return;
    choose_all(a, &grid);
    for (uint32_t i = 0; i < l.settings.steps; i++)
        losses[i] = step(a);
    begin_layer(a, &l);
    choose_all(a, &grid);
    for (uint32_t i = 0; i < l.settings.steps; i++)
        CHECK(step(a) == losses[i], "step %u has another loss after another layer", i);
    nb_auto_round_free(a);
}

/* The same bits with any number of threads, and with batches of some windows. */
static void check_threads(nb_pool *pool, layer l) {
    nb_auto_round_grid grid = {.type = NB_TYPE_Q4_0};
    l.settings.batch = 3;
    nb_auto_round *a = new_layer(pool, &l), *b = new_layer(NULL, &l);
    if (!a || !b)
        return;
    choose_all(a, &grid);
    choose_all(b, &grid);
    for (uint32_t i = 0; i < l.settings.steps; i++)
        CHECK(step(a) == step(b), "step %u has other losses with threads", i);
    uint32_t different = 0;
    for (uint32_t i = 0; i < NB_LAYER_TENSORS; i++)
        for (size_t k = 0; k < (size_t)a->matrices[i].rows * a->matrices[i].columns; k++)
            different += a->matrices[i].v[k] != b->matrices[i].v[k];
    CHECK(different == 0, "%u offsets are other ones with threads", different);
    nb_auto_round_free(a);
    nb_auto_round_free(b);
}

static bool says_failed(int32_t code, const nb_error *err) {
    return code == NB_ERR_STATE && test_contains(err->message, "begin with a new object");
}

/* The exact streams have passed the layer already, so they must not pass another time. */
static void check_failed(nb_auto_round *a, const nb_auto_round_grid *grid) {
    nb_error err = {0};
    nb_train_tensor tensor;
    float first = nb_auto_round_exact(a)[0];
    CHECK(says_failed(nb_auto_round_step(a, &err), &err), "a step after a failure: %s", err.message);
    CHECK(says_failed(nb_auto_round_pass(a, &err), &err), "a pass after a failure: %s", err.message);
    CHECK(says_failed(nb_auto_round_choose(a, 2, grid, NULL, &err), &err), "a grid after a failure: %s", err.message);
    nb_auto_round_tensor(a, 1, &tensor);
    CHECK(says_failed(nb_auto_round_pass(a, &err), &err), "another layer after a failure: %s", err.message);
    CHECK(nb_auto_round_exact(a)[0] == first, "the exact streams changed after a failure");
}

static void check_refusals(layer l) {
    nb_error err = {0};
    nb_auto_round_grid grid = {.type = NB_TYPE_Q4_0}, no_type = {.type = NB_TYPE_IQ2_XXS}, k = {.type = NB_TYPE_Q4_K};
    nb_auto_round_grid no_group = {.bits = 4, .group = 48}, no_bits = {.bits = 9};
    layer none = l;
    none.settings.steps = 0;
    CHECK(!nb_auto_round_new(NULL, &none.shape, &none.settings, &err), "no steps");
    none.settings.steps = 1;
    none.shape.kv_heads = 3;
    CHECK(!nb_auto_round_new(NULL, &none.shape, &none.settings, &err), "heads that cannot be shared");
    nb_auto_round *a = new_layer(NULL, &l);
    nb_train_tensor tensor;
    if (!a)
        return;
    CHECK(nb_auto_round_choose(a, 0, &grid, NULL, &err) == NB_ERR_ARGUMENT, "a norm is rounded");
    CHECK(nb_auto_round_choose(a, 1, &no_type, NULL, &err) == NB_ERR_UNSUPPORTED &&
              test_contains(err.message, "IQ2_XXS"),
          "%s", err.message);
    CHECK(nb_auto_round_choose(a, 1, &no_group, NULL, &err) == NB_ERR_ARGUMENT, "groups of 48");
    CHECK(nb_auto_round_choose(a, 1, &no_bits, NULL, &err) == NB_ERR_ARGUMENT, "9 bits");
    CHECK(nb_auto_round_choose(a, 1, &k, NULL, &err) == NB_ERR_ARGUMENT, "a K type without blocks");
    CHECK(nb_auto_round_blocks(a, 1, &err, &err) == NB_ERR_STATE, "blocks before a step");
    CHECK(nb_auto_round_pass(a, &err) == NB_ERR_STATE, "one more window than there are");
    float *w = nb_auto_round_tensor(a, 1, &tensor);
    CHECK(nb_auto_round_step(a, &err) == NB_ERR_STATE, "a step before the exact streams");
    w[70] = NAN;
    CHECK(nb_auto_round_pass(a, &err) == NB_ERR_FORMAT, "outputs that are not finite");
    w[70] = 1e7f;
    while (a->passed < l.settings.windows && nb_auto_round_pass(a, NULL) >= 0)
        ;
    CHECK(nb_auto_round_choose(a, 1, &grid, NULL, &err) == NB_ERR_FORMAT && test_contains(err.message, "row 2"), "%s",
          err.message);
    CHECK(nb_auto_round_choose(a, 2, &grid, NULL, &err) == NB_OK, "%s", err.message);
    a->inputs[0] = NAN;
    int32_t code = NB_OK;
    for (uint32_t i = 0; i < l.settings.batch && code >= 0; i++)
        code = nb_auto_round_step(a, &err);
    CHECK(code == NB_ERR_FORMAT && nb_auto_round_step(a, &err) == NB_ERR_STATE, "a loss that is not finite");
    check_failed(a, &grid);
    nb_auto_round_free(a);
}

#ifdef NB_NATIVE
/* Each allocation that fails is an error, and nothing leaks. */
static void check_memory(layer l) {
    nb_auto_round_grid grid = {.type = NB_TYPE_Q4_0};
    uint64_t nth = 0, left;
    do {
        nb_error err = {0};
        nb_refuse_allocation(++nth);
        nb_auto_round *a = nb_auto_round_new(NULL, &l.shape, &l.settings, &err);
        for (uint32_t i = 0; a && i < l.settings.windows; i++)
            nb_auto_round_pass(a, &err);
        if (a)
            nb_auto_round_choose(a, 1, &grid, NULL, &err);
        left = nb_refuse_allocation(0);
        CHECK(left || err.code == NB_ERR_MEMORY, "allocation %l: %d, %s", nth, err.code, err.message);
        nb_auto_round_free(a);
    } while (!left && nth < 100);
    CHECK(nth > 4, "%l allocations", nth);
}
#endif

void test_auto_round(void) {
    nb_pool *pool = test_pool_new(2);
    layer l = check_library(pool), wide = l;
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        if (nb_auto_round_takes(type) == 1)
            check_results(pool, l, type, 0, 0);
    check_results(pool, l, NB_TYPE_F32, 4, 1);
    check_results(pool, l, NB_TYPE_F32, 2, 0);
    wide.shape = (nb_train_shape){.width = 256,
                                  .heads = 4,
                                  .kv_heads = 1,
                                  .head_size = 64,
                                  .hidden = 256,
                                  .rope_base = 10000,
                                  .epsilon = 1e-5f};
    wide.settings = (nb_auto_round_settings){.windows = 1, .window = 16, .steps = 32, .batch = 1};
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        if (nb_auto_round_takes(type) == 2)
            check_results(pool, wide, type, 0, 0);
    check_threads(pool, l);
    check_second_layer(l);
    check_refusals(l);
#ifdef NB_NATIVE
    check_memory(l);
#endif
    test_pool_free(pool);
}
