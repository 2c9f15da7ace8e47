/* Training with rounded weights against PyTorch (tests/oracles/train_rounding.py), and general properties of it. */
#include "train_inputs.h"

#include "../../src/base/numbers.h"
#include "../../src/train/signals.h"
#include "../../src/train/weight_rounding.h"
#include "../../src/types/traits.h"

static const char VECTORS[] = "tests/fixtures/train/rounding.bin";

enum { EVERY = 13, MOST_TENSORS = 12 };

/* ---- matrices ---------------------------------------------------------------------------------------------------- */

static void check_numbers(const char *what, uint32_t number, const float *have, const float *want, uint32_t n) {
    double error = test_norm_of(have, want, n), length = test_norm_of(want, NULL, n);
    CHECK(length > 0 && error <= 1e-5 * length, "grid %u: %s are off by %g of %g", number, what, error, length);
}

static nb_train_rounding read_rounding(nb_cursor *in) {
    nb_train_rounding r = {0};
    r.method = nb_cursor_u32(in);
    r.type = nb_cursor_u32(in);
    r.levels = nb_cursor_u32(in);
    r.has_minima = nb_cursor_u32(in);
    r.group = (int32_t)nb_cursor_u32(in);
    r.fit = NB_TRAIN_FIT_MEAN;
    return r;
}

static void fill(float *out, size_t n, double scale, double plus, uint32_t *seed) {
    for (size_t i = 0; i < n; i++)
        out[i] = (float)((plus + (double)test_random_float(seed)) / scale);
}

/* One matrix on one grid: W bit for bit from the oracle's steps and codes, and all gradients. */
static void check_matrix(nb_cursor *in, nb_pool *pool, uint32_t number) {
    nb_error err = {0};
    nb_train_rounding rounding = read_rounding(in);
    uint32_t rows = nb_cursor_u32(in), columns = nb_cursor_u32(in), steps = nb_cursor_u32(in), seed = 1 + number;
    nb_train_tensor tensor = {.rows = rows, .columns = columns, .decays = 1, .name = "matrix"};
    nb_weight_grid grid;
    if (!CHECK(nb_weight_grid_of(&rounding, &tensor, &grid, &err) == NB_OK && steps, "grid %u: %s", number,
               err.message))
        return;
    size_t n = (size_t)rows * columns;
    nb_derivation d = {.rows = rows, .columns = columns};
    nb_weight_rounding(&d, &grid, 1);
    uint32_t own = (uint32_t)d.own;
    if (!CHECK(steps && d.own == steps << grid.has_minima, "grid %u: %l steps, not %u", number, d.own, steps))
        return;
    float *all = nb_alloc_items(4 * n + 2 * own, sizeof *all);
    memset(all, 0, (4 * n + 2 * own) * sizeof *all);
    d.weights = all, d.gradient = all + n, d.master = all + 2 * n, d.d_master = all + 3 * n;
    d.own_at = all + 4 * n, d.d_own = d.own_at + own;
    double span = grid.most - grid.least + 1;
    fill(d.master, n, 4, 0, &seed);
    fill(d.own_at, steps, 2 * span, 1.1, &seed);
    fill(d.own_at + steps, own - steps, 8, 1, &seed);
    fill(d.gradient, n, 1, 0, &seed);
    d.kind->forward(&d, pool);
    d.kind->backward(&d, pool);

    const float *held = test_numbers(in, own * sizeof *held);
    const int8_t *codes = (const int8_t *)nb_cursor_bytes(in, n);
    const uint8_t *kept = nb_cursor_bytes(in, n);
    uint32_t wrong = 0, astray = 0, group = (uint32_t)n / steps;
    for (size_t i = 0; i < n; i++) {
        float z = grid.has_minima ? held[steps + i / group] : 0, w = (float)codes[i] * held[i / group] - z;
        wrong += nb_bits_of(d.weights[i]) != nb_bits_of(w);
        astray += d.d_master[i] != (kept[i] ? d.gradient[i] : 0);
    }
    /* grids in F32 use the oracle's steps, so rounding is the same to the bit there, too */
    CHECK(wrong == 0 && astray == 0, "grid %u: %u weights and %u gradients are wrong", number, wrong, astray);
    if (rounding.method == NB_TRAIN_LEARNED) {
        const float *want = test_numbers(in, own * sizeof *want);
        check_numbers("gradients of steps", number, d.d_own, want, steps);
        if (grid.has_minima)
            check_numbers("gradients of minima", number, d.d_own + steps, want + steps, steps);
        nb_free((void *)want);
    }
    nb_free((void *)held);
    nb_free(all);
}

/* ---- first steps ------------------------------------------------------------------------------------------------- */

/* The sum of squared errors of each group. */
static void find_errors(const nb_derivation *d, uint32_t group, double *errors) {
    d->kind->forward(d, NULL);
    for (uint32_t i = 0; group && i < d->rows * d->columns; i++)
        errors[i / group] = (i % group ? errors[i / group] : 0) + pow((double)d->weights[i] - (double)d->master[i], 2);
}

/* The first steps by error are the best of those that cover 6/20 to 24/20 of a group's range. */
static void check_fit(nb_pool *pool, nb_train_rounding rounding) {
    enum { ROWS = 4, COLUMNS = 32, WEIGHTS = ROWS * COLUMNS };
    static float numbers[4 * WEIGHTS];
    nb_train_tensor tensor = {.rows = ROWS, .columns = COLUMNS, .decays = 1, .name = "matrix"};
    nb_error err = {0};
    nb_weight_grid grid;
    uint32_t seed = 3;
    CHECK(nb_weight_grid_of(&rounding, &tensor, &grid, &err) == NB_OK, "%s", err.message);
    nb_derivation d = {.rows = ROWS, .columns = COLUMNS, .weights = numbers, .master = numbers + WEIGHTS};
    nb_weight_rounding(&d, &grid, 1);
    uint32_t steps = (uint32_t)d.own >> grid.has_minima, group = WEIGHTS / NB_MAX(steps, 1);
    if (!CHECK(steps > 0 && steps <= ROWS, "%u steps", steps))
        return;
    double best[ROWS], errors[ROWS];
    d.own_at = numbers + 2 * WEIGHTS;
    fill(d.master, WEIGHTS, 1, 0, &seed);
    nb_weight_rounding_fit(&d, pool);
    find_errors(&d, group, best);
    for (int part = 6; part <= 24; part++) {
        for (uint32_t i = 0; i < steps; i++) {
            float low = 0, high = 0;
            for (uint32_t k = i * group; k < (i + 1) * group; k++)
                low = NB_MIN(low, d.master[k]), high = NB_MAX(high, d.master[k]);
            low *= (float)part / 20, high *= (float)part / 20;
            d.own_at[i] = grid.has_minima ? (high - low) / (float)grid.most
                                          : NB_MAX(high / (float)grid.most, low / (float)grid.least);
            if (grid.has_minima)
                d.own_at[steps + i] = -low;
        }
        find_errors(&d, group, errors);
        for (uint32_t i = 0; i < steps; i++)
            CHECK(best[i] <= errors[i] * (1 + 1e-5),
                  "%u steps of %u numbers: %g is not the least error, %g of %d/20 is", steps, rounding.levels, best[i],
                  errors[i], (int32_t)part);
    }
}

static void check_fits(nb_pool *pool) {
    static const int32_t groups[] = {NB_TRAIN_GROUP_ROW, NB_TRAIN_GROUP_TENSOR};
    for (int i = 0; i < 2; i++)
        for (uint32_t minima = 0; minima < 2; minima++)
            check_fit(pool, (nb_train_rounding){.method = NB_TRAIN_LEARNED,
                                                .levels = 8,
                                                .has_minima = minima,
                                                .group = groups[i],
                                                .fit = NB_TRAIN_FIT_ERROR});
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

typedef struct model {
    uint32_t seed, sequences, length, counted, tensors;
    nb_train_shape shape;
    nb_train_loss loss;
    nb_train_optimizer optimizer;
    nb_train_rounding roundings[MOST_TENSORS];
    nb_train_signals signals;
    uint32_t own[MOST_TENSORS];
    const float *steps[MOST_TENSORS]; /* the first ones, by LSQ's rule */
    const int32_t *tokens, *targets;
    float *teacher;
} model;

static model read_model(nb_cursor *in) {
    model m = {.seed = nb_cursor_u32(in)};
    test_read_shape(in, &m.shape, &m.loss);
    m.sequences = nb_cursor_u32(in);
    m.length = nb_cursor_u32(in);
    uint32_t n = m.sequences * m.length;
    m.tokens = test_numbers(in, n * sizeof *m.tokens);
    m.targets = test_numbers(in, n * sizeof *m.targets);
    for (uint32_t i = 0; i < n; i++)
        m.counted += m.targets[i] >= 0;
    m.tensors = nb_cursor_u32(in);
    if (!CHECK(m.tensors <= MOST_TENSORS, "%u tensors", m.tensors))
        m.tensors = 0;
    for (uint32_t i = 0; i < m.tensors; i++) {
        m.roundings[i] = read_rounding(in);
        m.roundings[i].rate = nb_cursor_f32(in);
        m.own[i] = nb_cursor_u32(in);
        m.steps[i] = test_numbers(in, m.own[i] * sizeof(float));
    }
    nb_train_signals *s = &m.signals;
    s->inputs = nb_cursor_u32(in);
    s->input_levels = nb_cursor_u32(in);
    s->input_minima = nb_cursor_u32(in);
    s->frozen = nb_cursor_u32(in);
    s->average = nb_cursor_f32(in);
    s->rate = nb_cursor_f32(in);
    s->gradient_bits = nb_cursor_u32(in);
    s->seed = nb_cursor_u32(in);
    m.teacher = nb_alloc_items((uint64_t)n * m.shape.vocabulary, sizeof *m.teacher);
    return m;
}

static void free_model(model *m) {
    nb_free((void *)m->tokens);
    nb_free((void *)m->targets);
    nb_free(m->teacher);
    for (uint32_t i = 0; i < m->tensors; i++)
        nb_free((void *)m->steps[i]);
}

static nb_trainer *new_trainer(nb_pool *pool, const model *m) {
    nb_error err = {0};
    nb_trainer *t =
        nb_trainer_new_rounded(pool, &m->shape, m->roundings, &m->signals, m->sequences, m->length, 1, &err);
    if (!CHECK(t, "%s", err.message))
        return NULL;
    uint32_t seed = m->seed;
    CHECK(nb_trainer_set_loss(t, &m->loss, &err) == NB_OK, "%s", err.message);
    if (m->optimizer.epsilon > 0)
        CHECK(nb_trainer_set_optimizer(t, &m->optimizer, &err) == NB_OK, "%s", err.message);
    test_fill_weights_of(t, &seed);
    for (uint32_t i = 0; i < m->sequences * m->length * m->shape.vocabulary; i++)
        m->teacher[i] = 3 * test_random_float(&seed);
    CHECK(nb_trainer_fit_steps(t, &err) == NB_OK, "%s", err.message);
    return t;
}

static double accumulate(nb_trainer *t, const model *m, uint32_t first, uint32_t n) {
    nb_error err = {0};
    double loss = 0;
    uint32_t at = first * m->length;
    CHECK(nb_trainer_accumulate(t, m->tokens + at, m->targets + at, m->teacher + (size_t)at * m->shape.vocabulary, n,
                                m->length, &loss, &err) > 0,
          "%s", err.message);
    return loss;
}

/* Compares the first steps, and then sets the oracle's, so that later results do not depend on the rounding of a
 * mean. */
static void check_first_steps(nb_trainer *t, const model *m) {
    for (uint32_t i = 0; i < m->tensors; i++) {
        uint32_t first = 0, n = nb_trainer_own_of(t, i, &first);
        CHECK(n == m->own[i], "tensor %u: %u steps, not %u", i, n, m->own[i]);
        if (!n)
            continue;
        float *have = nb_trainer_weights(t) + first;
        for (uint32_t k = 0; k < n && m->roundings[i].has_minima; k++)
            have[k] *= 0.9f;
        CHECK(test_norm_of(have, m->steps[i], n) <= 1e-6 * test_norm_of(m->steps[i], NULL, n),
              "tensor %u: other first steps", i);
        memcpy(have, m->steps[i], n * sizeof *have);
    }
}

static void check_some(nb_cursor *in, const float *array, const float *before, uint32_t n, uint32_t every, double part,
                       double tolerance, const char *what) {
    double error = 0, length = 0;
    for (uint32_t k = 0; k < n; k += every) {
        double want = (double)nb_cursor_f32(in);
        error += pow((double)array[k] / part - want, 2);
        length += pow(want - (before ? (double)before[k] : 0), 2);
    }
    CHECK(length > 0 && error <= tolerance * tolerance * length, "%s are off by %g, of %g", what, sqrt(error),
          sqrt(length));
}

/* Compares every 13th number of each tensor, then learned steps, then steps or ranges of inputs. part: a divisor of the
 * array's numbers. */
static void check_array(nb_trainer *t, const model *m, nb_cursor *in, const float *array, const float *before,
                        double part, double tolerance) {
    uint32_t first = 0, n;
    for (uint32_t i = 0; i < m->tensors; i++) {
        nb_train_tensor tensor;
        nb_trainer_tensor(t, i, &tensor);
        check_some(in, array + tensor.first, before ? before + tensor.first : NULL, tensor.rows * tensor.columns, EVERY,
                   part, tolerance, tensor.name);
    }
    for (uint32_t i = 0; i < m->tensors; i++)
        if (m->roundings[i].method == NB_TRAIN_LEARNED && (n = nb_trainer_own_of(t, i, &first)) > 0)
            check_some(in, array + first, before && m->roundings[i].rate > 0 ? before + first : NULL, n, 1, part,
                       tolerance, "steps");
    bool is_learned = m->signals.inputs == NB_TRAIN_LEARNED;
    n = nb_trainer_inputs_of(t, &first);
    CHECK(n == (m->signals.inputs == NB_TRAIN_PLAIN ? 0 : 14 * m->shape.layers), "%u numbers of inputs", n);
    if (is_learned || (before && m->signals.inputs == NB_TRAIN_AVERAGE))
        check_some(in, array + first, is_learned && before && m->signals.rate > 0 ? before + first : NULL, n, 1, part,
                   tolerance, "of inputs");
}

static void check_torch(nb_pool *pool, model *m, nb_cursor *in) {
    nb_error err = {0};
    double first = nb_cursor_f64(in), norm = 0;
    nb_trainer *t = new_trainer(pool, m);
    if (!t)
        return;
    check_first_steps(t, m);
    double loss = accumulate(t, m, 0, m->sequences);
    CHECK(fabs(loss / m->counted / first - 1) < 1e-6, "the loss is %g, not %g", loss / m->counted, first);
    check_array(t, m, in, nb_trainer_gradients(t), NULL, m->counted, 1e-4);
    test_read_optimizer(in, &m->optimizer);
    CHECK(nb_trainer_set_optimizer(t, &m->optimizer, &err) == NB_OK, "%s", err.message);
    uint32_t n = nb_cursor_u32(in);
    const double *losses = test_numbers(in, n * sizeof *losses), *norms = test_numbers(in, n * sizeof *norms);
    size_t bytes = nb_trainer_floats(t) * sizeof(float);
    float *before = nb_alloc(bytes);
    memcpy(before, nb_trainer_weights(t), bytes);
    for (uint32_t step = 0; step < n; step++) {
        if (step && m->signals.inputs + m->signals.gradient_bits == 0)
            loss = accumulate(t, m, 0, 1) + accumulate(t, m, 1, 1); /* in two micro-batches */
        else if (step) /* each micro-batch has its own ranges and random numbers */
            loss = accumulate(t, m, 0, m->sequences);
        CHECK(fabs(loss / m->counted / losses[step] - 1) < 1e-4, "seed %u, step %u: the loss is %g, not %g", m->seed,
              step, loss / m->counted, losses[step]);
        CHECK(nb_trainer_step(t, &norm, &err) == NB_OK, "%s", err.message);
        CHECK(fabs(norm / norms[step] - 1) < 1e-3, "step %u: the norm is %g, not %g", step, norm, norms[step]);
    }
    check_array(t, m, in, nb_trainer_weights(t), before, 1, 1e-3);
    nb_free(before);
    nb_free((void *)losses);
    nb_free((void *)norms);
    nb_trainer_free(t);
}

static void steps(nb_trainer *t, const model *m, uint32_t n) {
    nb_error err = {0};
    double norm;
    for (uint32_t i = 0; i < n; i++) {
        accumulate(t, m, 0, m->sequences);
        CHECK(nb_trainer_step(t, &norm, &err) == NB_OK, "%s", err.message);
    }
}

/* The same bits with one thread, with three, and after stopping and resuming. A checkpoint has the steps, too. */
static void check_bits(nb_pool *pool, const model *m) {
    nb_error err = {0};
    nb_trainer *alone = new_trainer(NULL, m), *many = new_trainer(pool, m), *resumed = new_trainer(NULL, m);
    if (!alone || !many || !resumed)
        return;
    steps(alone, m, 2);
    steps(many, m, 2);
    CHECK(test_same_arrays(alone, many), "results depend on the number of threads");
    test_copy_arrays(resumed, alone);
    CHECK(nb_trainer_resume(resumed, nb_trainer_steps(alone), &err) == NB_OK, "%s", err.message);
    steps(alone, m, 2);
    steps(resumed, m, 2);
    CHECK(test_same_arrays(alone, resumed), "a resumed training differs");
    nb_trainer_free(alone);
    nb_trainer_free(many);
    nb_trainer_free(resumed);
}

/* A micro-batch whose loss is not finite, because of a weight, changes nothing. A step or range of inputs that is not
 * finite makes the loss not finite. */
static void check_divergence(const model *m) {
    nb_error err = {0};
    nb_trainer *t = new_trainer(NULL, m), *same = new_trainer(NULL, m);
    if (!t || !same)
        return;
    double loss;
    uint32_t first = 0;
    nb_train_tensor norm;
    for (int after = 0; after < 2; after++) { /* before and after the first ranges of inputs are known */
        nb_trainer_tensor(t, 1, &norm);
        float *w = nb_trainer_weights(t) + norm.first, kept = *w;
        *w = after ? NAN : INFINITY;
        CHECK(nb_trainer_accumulate(t, m->tokens, m->targets, m->teacher, 1, m->length, &loss, &err) == NB_ERR_FORMAT,
              "a loss of %g was taken", loss);
        *w = kept;
        CHECK(test_same_arrays(t, same), "seed %u: a loss that is not finite changed weights, or ranges", m->seed);
        steps(t, m, 1);
        steps(same, m, 1);
        CHECK(test_same_arrays(t, same), "seed %u: a loss that is not finite left something", m->seed);
    }
    uint32_t n = nb_trainer_inputs_of(t, &first);
    for (uint32_t i = 0; i < n; i += n - 2) {
        float *x = nb_trainer_weights(t) + first + i, kept = *x;
        *x = NAN;
        CHECK(nb_trainer_evaluate(t, m->tokens, m->targets, m->teacher, 1, m->length, &loss, &err) == NB_ERR_FORMAT,
              "seed %u: with a number of the inputs that is NaN the loss is %g", m->seed, loss);
        *x = kept;
    }
    nb_trainer_free(t);
    nb_trainer_free(same);
}

/* Ranges do not change from step `frozen` on, nor in evaluation. */
static void check_frozen(model m) {
    nb_error err = {0};
    m.signals.frozen = 2;
    nb_trainer *t = new_trainer(NULL, &m);
    if (!t)
        return;
    double loss;
    uint32_t first = 0, n = nb_trainer_inputs_of(t, &first);
    size_t bytes = n * sizeof(float);
    float *before = nb_alloc(bytes), *ranges = nb_trainer_weights(t) + first;
    for (uint32_t step = 0; step < 4; step++) {
        memcpy(before, ranges, bytes);
        CHECK(nb_trainer_evaluate(t, m.tokens, m.targets, m.teacher, 1, m.length, &loss, &err) > 0 &&
                  nb_compare(before, ranges, bytes) == 0,
              "step %u: evaluation moves ranges", step);
        steps(t, &m, 1);
        CHECK((nb_compare(before, ranges, bytes) == 0) == (step >= m.signals.frozen), "step %u: are ranges frozen?",
              step);
    }
    nb_free(before);
    nb_trainer_free(t);
}

/* Each micro-batch of a step has its own random numbers: the same micro-batch twice does not give twice the
 * gradient. */
static void check_parts(const model *m) {
    nb_trainer *t = new_trainer(NULL, m);
    if (!t)
        return;
    uint32_t n = nb_trainer_floats(t), twice = 0;
    float *once = nb_alloc_items(n, sizeof *once);
    accumulate(t, m, 0, m->sequences);
    memcpy(once, nb_trainer_gradients(t), n * sizeof *once);
    accumulate(t, m, 0, m->sequences);
    for (uint32_t i = 0; i < n; i++)
        twice += once[i] != 0 && nb_trainer_gradients(t)[i] == 2 * once[i];
    CHECK(twice < n / 10, "%u of %u gradients are twice those of the first part", twice, n);
    nb_free(once);
    nb_trainer_free(t);
}

/* ---- export ------------------------------------------------------------------------------------------------------ */

/* A model whose matrices have rows of whole superblocks. */
static const nb_train_shape wide = {.vocabulary = 24,
                                    .width = 256,
                                    .layers = 1,
                                    .heads = 4,
                                    .kv_heads = 2,
                                    .head_size = 64,
                                    .hidden = 256,
                                    .is_tied = 1,
                                    .rope_base = 1000,
                                    .epsilon = 1e-5f};

static void check_blocks(nb_trainer *t, uint32_t index, uint32_t type) {
    nb_error err = {0};
    nb_train_tensor tensor;
    CHECK(nb_trainer_tensor(t, index, &tensor) == NB_OK && nb_trainer_export_type(t, index) == type, "tensor %u",
          index);
    size_t n = (size_t)tensor.rows * tensor.columns, bytes = (size_t)nb_trainer_export_bytes(t, index);
    void *blocks = nb_alloc(bytes);
    float *values = nb_alloc_items(n, sizeof *values);
    CHECK(nb_trainer_export(t, index, blocks, &err) == NB_OK, "%s", err.message);
    nb_traits_of(type)->dequantize(blocks, values, n);
    const float *rounded = nb_trainer_rounded(t, index);
    uint32_t wrong = 0;
    for (size_t i = 0; i < n; i++)
        wrong += nb_bits_of(values[i]) != nb_bits_of(rounded[i]);
    CHECK(bytes == n / nb_traits_of(type)->block_weights * nb_traits_of(type)->block_bytes && wrong == 0,
          "%s as %s: %u weights of the blocks are not what was trained", tensor.name, nb_traits_of(type)->name, wrong);
    nb_free(blocks);
    nb_free(values);
}

/* After some steps of training, the engine's dequantizer reads from the exported blocks exactly the trained weights. */
static void check_export(nb_pool *pool, nb_train_rounding rounding) {
    static const nb_train_optimizer optimizer =
        {.rate = 0.02f, .last_rate = 0.02f, .beta1 = 0.9f, .beta2 = 0.95f, .epsilon = 1e-8f, .decay = 0.1f};
    nb_error err = {0};
    nb_train_rounding all[MOST_TENSORS] = {{0}};
    for (uint32_t i = 0; i < 10; i++)
        all[i] = i == 1 || i == 6 ? (nb_train_rounding){0} : rounding;
    int32_t tokens[8], targets[8];
    for (int i = 0; i < 8; i++)
        tokens[i] = 3 * i, targets[i] = (5 * i + 1) % 24;
    nb_trainer *t = nb_trainer_new_rounded(pool, &wide, all, NULL, 1, 8, 1, &err);
    if (!CHECK(t && nb_trainer_set_optimizer(t, &optimizer, &err) == NB_OK, "%s", err.message))
        return;
    uint32_t seed = 5;
    double loss, norm;
    test_fill_weights_of(t, &seed);
    CHECK(nb_trainer_fit_steps(t, &err) == NB_OK, "%s", err.message);
    for (int step = 0; step < 3; step++) {
        CHECK(nb_trainer_accumulate(t, tokens, targets, NULL, 1, 8, &loss, &err) == 8, "%s", err.message);
        CHECK(nb_trainer_step(t, &norm, &err) == NB_OK, "%s", err.message);
    }
    check_blocks(t, 0, rounding.type);
    check_blocks(t, 2, rounding.type);
    check_blocks(t, 9, rounding.type);
    CHECK(nb_trainer_export(t, 1, tokens, &err) == NB_ERR_STATE && nb_trainer_export_type(t, 1) == NB_TYPE_F32 &&
              nb_trainer_export_bytes(t, 1) == 256 * sizeof(float),
          "%s", err.message);
    uint32_t first;
    nb_trainer_own_of(t, 9, &first);
    nb_trainer_weights(t)[first] = INFINITY;
    CHECK(nb_trainer_export(t, 9, tokens, &err) == NB_ERR_FORMAT && test_contains(err.message, "scale 0"), "%s",
          err.message);
    nb_trainer_free(t);
}

static void check_exports(nb_pool *pool) {
    static const uint32_t types[] = {NB_TYPE_Q8_0, NB_TYPE_Q4_0,  NB_TYPE_Q4_1, NB_TYPE_Q5_0,
                                     NB_TYPE_Q5_1, NB_TYPE_TQ2_0, NB_TYPE_Q2_0, NB_TYPE_Q2_K,
                                     NB_TYPE_Q3_K, NB_TYPE_Q4_K,  NB_TYPE_Q5_K, NB_TYPE_Q6_K};
    for (uint32_t i = 0; i < sizeof types / sizeof *types; i++)
        check_export(pool, (nb_train_rounding){.method = NB_TRAIN_LEARNED, .type = types[i], .rate = 0.1f});
    check_export(pool, (nb_train_rounding){.method = NB_TRAIN_LEARNED,
                                           .type = NB_TYPE_Q8_0,
                                           .rate = 1,
                                           .group = NB_TRAIN_GROUP_ROW});
    check_export(pool, (nb_train_rounding){.method = NB_TRAIN_LEARNED, .type = NB_TYPE_Q4_1, .rate = 1, .group = 128});
    check_export(pool, (nb_train_rounding){.method = NB_TRAIN_ABSMEAN, .type = NB_TYPE_TQ2_0});
    check_export(pool,
                 (nb_train_rounding){.method = NB_TRAIN_ABSMEAN, .type = NB_TYPE_Q2_0, .group = NB_TRAIN_GROUP_TENSOR});
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void refuse(const model *m, uint32_t index, nb_train_rounding r, int32_t code, const char *part) {
    nb_error err = {0};
    nb_train_rounding all[MOST_TENSORS] = {{0}};
    all[index] = r;
    nb_trainer *t = nb_trainer_new_rounded(NULL, &m->shape, all, NULL, 1, 8, 1, &err);
    CHECK(!t && err.code == code && test_contains(err.message, part), "%d, %s: expected '%s'", err.code, err.message,
          part);
    nb_trainer_free(t);
}

static void refuse_signals(const model *m, nb_train_signals s, const char *part) {
    nb_error err = {0};
    nb_train_rounding all[MOST_TENSORS] = {{0}};
    nb_trainer *t = nb_trainer_new_rounded(NULL, &m->shape, all, &s, 1, 8, 1, &err);
    CHECK(!t && err.code == NB_ERR_ARGUMENT && test_contains(err.message, part), "%d, %s: expected '%s'", err.code,
          err.message, part);
    nb_trainer_free(t);
}

static void check_refusals(const model *m) {
    refuse_signals(m, (nb_train_signals){.inputs = NB_TRAIN_TOKENS, .input_levels = 2}, "3 to 256");
    refuse_signals(m, (nb_train_signals){.inputs = NB_TRAIN_ABSMEAN, .input_levels = 3}, "no such way");
    refuse_signals(m, (nb_train_signals){.average = 1}, "moving averages keep 1");
    refuse_signals(m, (nb_train_signals){.rate = NAN}, "learn");
    refuse_signals(m, (nb_train_signals){.gradient_bits = 9}, "gradients of 9 bits");
    nb_train_rounding q4 = {.method = NB_TRAIN_LEARNED, .type = NB_TYPE_Q4_0, .rate = 1}, r;
    nb_train_signals unused = {.input_levels = 1u << 31}; /* inputs are not rounded */
    nb_signals checked;
    CHECK(nb_signals_check(&unused, &checked, NULL) == NB_OK, "numbers of inputs that are not rounded are refused");
#define CHANGED(change) ((r = q4), (change), r)
    refuse(m, 1, q4, NB_ERR_ARGUMENT, "only matrices");
    refuse(m, 2, CHANGED(r.type = NB_TYPE_IQ4_NL), NB_ERR_UNSUPPORTED, "IQ4_NL");
    refuse(m, 2, CHANGED(r.type = 1000), NB_ERR_UNSUPPORTED, "that number");
    refuse(m, 2, CHANGED(r.type = NB_TYPE_Q4_K), NB_ERR_ARGUMENT, "whole blocks of Q4_K");
    refuse(m, 2, CHANGED(r.group = 48), NB_ERR_ARGUMENT, "groups of 48");
    refuse(m, 2, CHANGED(r.group = -3), NB_ERR_ARGUMENT, "groups of -3");
    refuse(m, 2, CHANGED(r.method = 3), NB_ERR_ARGUMENT, "no such way");
    refuse(m, 2, CHANGED(r.rate = NAN), NB_ERR_ARGUMENT, "no such way");
    refuse(m, 2, CHANGED(r.method = NB_TRAIN_ABSMEAN), NB_ERR_ARGUMENT, "ternary");
    refuse(m, 2, CHANGED((r.type = NB_TYPE_F32, r.levels = 2)), NB_ERR_ARGUMENT, "3 to 256");
    refuse(m, 2, CHANGED((r.type = NB_TYPE_F32, r.levels = 257)), NB_ERR_ARGUMENT, "3 to 256");
#undef CHANGED
    nb_error err = {0};
    nb_train_tensor tensor;
    nb_train_shape bad = m->shape;
    bad.heads = 0;
    CHECK(nb_train_tensors_of(&m->shape, &err) == m->tensors && nb_train_tensors_of(&bad, &err) == 0, "%s",
          err.message);
    CHECK(nb_train_tensor_of(&m->shape, m->tensors, &tensor, &err) == NB_ERR_ARGUMENT, "there is no such tensor");
    r = (nb_train_rounding){.method = NB_TRAIN_LEARNED, .levels = 4, .has_minima = 1, .group = 1};
    nb_weight_grid grid;
    nb_derivation large = {.rows = 1 << 23, .columns = 256};
    tensor = (nb_train_tensor){.rows = large.rows, .columns = large.columns, .decays = 1};
    CHECK(nb_weight_grid_of(&r, &tensor, &grid, &err) == NB_OK, "%s", err.message);
    nb_weight_rounding(&large, &grid, 1);
    CHECK(large.own == 1ull << 32, "%l steps and minima: the trainer cannot refuse what it does not see", large.own);
    nb_trainer *t = new_trainer(NULL, m);
    if (!t)
        return;
    uint32_t first = 7;
    CHECK(nb_trainer_own_of(t, m->tensors, &first) == 0 && !nb_trainer_rounded(t, m->tensors), "no such tensor");
    CHECK(nb_trainer_rounded(t, 1) != NULL && nb_trainer_own_of(t, 1, &first) == 0, "a norm is not rounded");
    CHECK(nb_trainer_tensor(t, 2, &tensor) == NB_OK, "tensor 2");
    nb_trainer_weights(t)[tensor.first + 65] = NAN;
    CHECK(nb_trainer_fit_steps(t, &err) == NB_ERR_FORMAT && test_contains(err.message, "row 1, column 1"), "%s",
          err.message);
    nb_trainer_free(t);
}

void test_train_rounding(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    nb_pool *pool = test_pool_new(3);
    uint32_t matrices = nb_cursor_u32(&in);
    for (uint32_t i = 0; i < matrices && !in.is_short; i++)
        check_matrix(&in, pool, i);
    uint32_t models = nb_cursor_u32(&in);
    for (uint32_t i = 0; i < models; i++) {
        model m = read_model(&in);
        if (!CHECK(!in.is_short, "%s is cut off", VECTORS))
            break;
        check_torch(pool, &m, &in);
        check_bits(pool, &m);
        if (m.signals.inputs == NB_TRAIN_LEARNED || m.signals.inputs == NB_TRAIN_AVERAGE)
            check_divergence(&m);
        if (m.signals.inputs == NB_TRAIN_AVERAGE)
            check_frozen(m);
        if (m.signals.gradient_bits)
            check_parts(&m);
        if (i == 0)
            check_refusals(&m);
        free_model(&m);
    }
    check_fits(pool);
    check_exports(pool);
    CHECK(models == 9 && in.at == size, "%s has more than it says", VECTORS);
    test_pool_free(pool);
    nb_free(bytes);
}
