/* Training against PyTorch (tests/oracles/train.py), and general properties of training. */
#include "train_inputs.h"

#include "../../src/base/numbers.h"

static const char VECTORS[] = "tests/fixtures/train/llama.bin";

enum { STEPS = 10 };

/* A model of the file, and torch's results. */
typedef struct model {
    nb_train_shape shape;
    nb_train_loss loss;
    nb_train_optimizer optimizer;
    uint32_t sequences, length, seed, counted;
    const int32_t *tokens, *targets;
    float *teacher; /* [sequences, length, vocabulary] */
    double first_loss;
    const double *losses, *norms, *rates; /* [STEPS] */
    const float *gradients, *trained;     /* of all tensors, without gaps */
} model;

static uint32_t numbers_in(const nb_train_shape *s) {
    uint32_t q = s->heads * s->head_size, k = s->kv_heads * s->head_size;
    uint32_t layer = 2 * s->width + s->width * (2 * q + 2 * k) + 3 * s->width * s->hidden;
    return s->layers * layer + s->width + s->vocabulary * s->width * (s->is_tied ? 1 : 2);
}

static model read_model(nb_cursor *in, uint32_t seed) {
    model m = {.seed = seed};
    test_read_shape(in, &m.shape, &m.loss);
    m.sequences = nb_cursor_u32(in);
    m.length = nb_cursor_u32(in);
    uint32_t n = m.sequences * m.length, all = numbers_in(&m.shape);
    m.tokens = test_numbers(in, n * sizeof *m.tokens);
    m.targets = test_numbers(in, n * sizeof *m.targets);
    for (uint32_t i = 0; i < n; i++)
        m.counted += m.targets[i] >= 0;
    m.first_loss = nb_cursor_f64(in);
    m.gradients = test_numbers(in, all * sizeof(float));
    test_read_optimizer(in, &m.optimizer);
    m.losses = test_numbers(in, STEPS * sizeof(double));
    m.norms = test_numbers(in, STEPS * sizeof(double));
    m.rates = test_numbers(in, STEPS * sizeof(double));
    m.trained = test_numbers(in, all * sizeof(float));
    m.teacher = nb_alloc_items((uint64_t)n * m.shape.vocabulary, sizeof *m.teacher);
    return m;
}

static void free_model(model *m) {
    const void *all[] = {m->tokens, m->targets, m->gradients, m->losses, m->norms, m->rates, m->trained, m->teacher};
    for (int i = 0; i < 8; i++)
        nb_free((void *)all[i]);
}

/* The oracle's weights, and then its teacher's logits. */
static void fill(nb_trainer *t, const model *m) {
    uint32_t seed = m->seed;
    test_fill_weights_of(t, &seed);
    for (uint32_t i = 0; i < m->sequences * m->length * m->shape.vocabulary; i++)
        m->teacher[i] = 3 * test_random_float(&seed);
}

static nb_trainer *new_trainer(nb_pool *pool, const model *m) {
    nb_error err = {0};
    nb_trainer *t = nb_trainer_new(pool, &m->shape, m->sequences, m->length, 1, &err);
    if (!CHECK(t, "%s", err.message))
        return NULL;
    CHECK(nb_trainer_set_loss(t, &m->loss, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_set_optimizer(t, &m->optimizer, &err) == NB_OK, "%s", err.message);
    fill(t, m);
    return t;
}

/* The sum of losses of sequences [first, first + n). */
static double accumulate(nb_trainer *t, const model *m, uint32_t first, uint32_t n) {
    nb_error err = {0};
    double loss = 0;
    uint32_t at = first * m->length;
    CHECK(nb_trainer_accumulate(t, m->tokens + at, m->targets + at, m->teacher + (size_t)at * m->shape.vocabulary, n,
                                m->length, &loss, &err) > 0,
          "%s", err.message);
    return loss;
}

static double evaluate(nb_trainer *t, const model *m) {
    nb_error err = {0};
    double loss = 0;
    int32_t n = nb_trainer_evaluate(t, m->tokens, m->targets, m->teacher, m->sequences, m->length, &loss, &err);
    CHECK(n == (int32_t)m->counted, "%s", err.message);
    return loss / m->counted;
}

/* ---- against torch ----------------------------------------------------------------------------------------------- */

/* Each tensor's gradient of the mean loss. No number may differ by more than 1e-4 of the tensor's root mean square. */
static void check_gradients(nb_trainer *t, const model *m) {
    const float *want = m->gradients;
    for (uint32_t i = 0; i < nb_trainer_tensors(t); i++) {
        nb_train_tensor tensor;
        nb_trainer_tensor(t, i, &tensor);
        const float *have = nb_trainer_gradients(t) + tensor.first;
        uint32_t n = tensor.rows * tensor.columns;
        double rms = test_norm_of(want, NULL, n) / sqrt(n), worst = 0;
        for (uint32_t k = 0; k < n; k++)
            worst = NB_MAX(worst, fabs((double)have[k] / m->counted - (double)want[k]));
        CHECK(rms > 0 && worst <= 1e-4 * rms, "%s: the gradient differs by %g, its root mean square is %g", tensor.name,
              worst, rms);
        want += n;
    }
}

/* The change of each tensor by ten steps. */
static void check_weights(nb_trainer *t, nb_trainer *before, const model *m) {
    const float *want = m->trained;
    for (uint32_t i = 0; i < nb_trainer_tensors(t); i++) {
        nb_train_tensor tensor;
        nb_trainer_tensor(t, i, &tensor);
        uint32_t n = tensor.rows * tensor.columns;
        double change = test_norm_of(want, nb_trainer_weights(before) + tensor.first, n);
        double error = test_norm_of(want, nb_trainer_weights(t) + tensor.first, n);
        CHECK(change > 0 && error <= 1e-3 * change, "%s: changed by %g, with an error of %g", tensor.name, change,
              error);
        want += n;
    }
}

static void check_torch(nb_pool *pool, const model *m) {
    nb_trainer *t = new_trainer(pool, m), *before = new_trainer(NULL, m);
    if (!t || !before || !m->losses || !m->norms)
        return;
    nb_error err = {0};
    CHECK(fabs(evaluate(t, m) / m->first_loss - 1) < 1e-6, "the loss is %g, not %g", evaluate(t, m), m->first_loss);
    for (uint32_t step = 0; step < STEPS; step++) {
        /* in two micro-batches, except in the first step */
        double loss = step ? accumulate(t, m, 0, 1) + accumulate(t, m, 1, 1) : accumulate(t, m, 0, 2), norm = 0;
        if (step == 0)
            check_gradients(t, m);
        CHECK(fabs(loss / m->counted / m->losses[step] - 1) < 1e-4, "step %u: the loss is %g, not %g", step,
              loss / m->counted, m->losses[step]);
        CHECK(nb_trainer_step(t, &norm, &err) == NB_OK, "%s", err.message);
        CHECK(fabs(norm / m->norms[step] - 1) < 1e-3, "step %u: the norm is %g, not %g", step, norm, m->norms[step]);
        CHECK(fabs(nb_train_rate(&m->optimizer, step) / m->rates[step] - 1) < 1e-6, "step %u: the rate is %g, not %g",
              step, nb_train_rate(&m->optimizer, step), m->rates[step]);
    }
    check_weights(t, before, m);
    nb_trainer_free(t);
    nb_trainer_free(before);
}

/* ---- against itself ---------------------------------------------------------------------------------------------- */

/* The slope of the loss along `direction` [n] from the weights `old`, by central differences. */
static double difference(nb_trainer *t, const model *m, float *w, const float *old, const float *direction, uint32_t n,
                         float h) {
    double losses[2];
    for (int side = 0; side < 2; side++) {
        for (uint32_t k = 0; k < n; k++)
            w[k] = old[k] + (side ? h : -h) * direction[k];
        losses[side] = evaluate(t, m);
    }
    memcpy(w, old, n * sizeof *w);
    return (losses[1] - losses[0]) / (2 * (double)h);
}

/* Each tensor's gradient against the slope along a random direction near it. Differences over h and 2 h are combined,
 * so that there is no error of the order h^2 (Richardson 1911). */
static void check_differences(const model *m) {
    nb_trainer *t = new_trainer(NULL, m);
    if (!t)
        return;
    accumulate(t, m, 0, m->sequences);
    uint32_t seed = 7;
    float *old = nb_alloc_items(nb_trainer_floats(t), sizeof *old), *direction = nb_alloc_items(1 << 16, sizeof *old);
    for (uint32_t i = 0; i < nb_trainer_tensors(t); i++) {
        nb_train_tensor tensor;
        nb_trainer_tensor(t, i, &tensor);
        float *w = nb_trainer_weights(t) + tensor.first;
        const float *g = nb_trainer_gradients(t) + tensor.first;
        uint32_t n = tensor.rows * tensor.columns;
        double length = test_norm_of(g, NULL, n) / m->counted, slope = 0;
        for (uint32_t k = 0; k < n; k++) {
            direction[k] = g[k] / (float)m->counted + (float)(0.5 * length / sqrt(n)) * test_random_float(&seed);
            slope += (double)direction[k] * (double)g[k] / m->counted;
        }
        memcpy(old, w, n * sizeof *w);
        float h = (float)(0.002 / (length * length)); /* so that the loss changes by about 0.002 */
        double near = difference(t, m, w, old, direction, n, h), far = difference(t, m, w, old, direction, n, 2 * h);
        double found = (4 * near - far) / 3;
        CHECK(fabs(found / slope - 1) < 1e-3, "%s: the slope is %g, by differences %g", tensor.name, slope, found);
    }
    nb_free(old);
    nb_free(direction);
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

/* The same bits with one thread, with three, and after stopping and resuming. */
static void check_bits(nb_pool *pool, const model *m) {
    nb_trainer *alone = new_trainer(NULL, m), *many = new_trainer(pool, m), *resumed = new_trainer(NULL, m);
    if (!alone || !many || !resumed)
        return;
    nb_error err = {0};
    steps(alone, m, 2);
    steps(many, m, 2);
    CHECK(test_same_arrays(alone, many), "results depend on the number of threads");
    test_copy_arrays(resumed, alone);
    accumulate(resumed, m, 0, 1); /* which resuming discards */
    CHECK(nb_trainer_resume(resumed, nb_trainer_steps(alone), &err) == NB_OK, "%s", err.message);
    steps(alone, m, 2);
    steps(resumed, m, 2);
    CHECK(nb_trainer_steps(resumed) == 4 && test_same_arrays(alone, resumed), "a resumed training differs");
    nb_trainer_free(alone);
    nb_trainer_free(many);
    nb_trainer_free(resumed);
}

/* RoPE of adjacent pairs gives the same model if the rows of q and k are permuted, as converters to GGUF do. A trainer
 * that only evaluates has the same logits. */
static void check_pairs(const model *m) {
    model other = *m;
    other.shape.is_interleaved = 1;
    nb_error err = {0};
    nb_trainer *a = new_trainer(NULL, m), *b = nb_trainer_new(NULL, &other.shape, m->sequences, m->length, 0, &err);
    if (!a || !CHECK(b, "%s", err.message))
        return;
    fill(b, &other);
    uint32_t size = m->shape.head_size, pairs = size / 2, columns = m->shape.width;
    for (uint32_t i = 0; i < nb_trainer_tensors(a); i++) {
        nb_train_tensor tensor;
        nb_trainer_tensor(a, i, &tensor);
        if (!test_contains(tensor.name, "attn_q") && !test_contains(tensor.name, "attn_k"))
            continue;
        for (uint32_t row = 0; row < tensor.rows; row++) {
            uint32_t k = row % size, to = row - k + 2 * (k % pairs) + k / pairs;
            memcpy(nb_trainer_weights(b) + tensor.first + (size_t)to * columns,
                   nb_trainer_weights(a) + tensor.first + (size_t)row * columns, columns * sizeof(float));
        }
    }
    uint32_t n = m->sequences * m->length * m->shape.vocabulary;
    float *logits = nb_alloc_items(2 * (uint64_t)n, sizeof *logits);
    CHECK(nb_trainer_logits(a, m->tokens, m->sequences, m->length, logits, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_logits(b, m->tokens, m->sequences, m->length, logits + n, &err) == NB_OK, "%s", err.message);
    CHECK(test_norm_of(logits, logits + n, n) < 1e-5 * test_norm_of(logits, NULL, n), "the logits differ");
    /* a model whose teacher is itself can only learn from the targets */
    nb_train_loss all = {.share = 1, .temperature = 3};
    double loss = 1;
    CHECK(nb_trainer_set_loss(b, &all, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_evaluate(b, m->tokens, m->targets, logits, m->sequences, m->length, &loss, &err) > 0 &&
              fabs(loss) < 1e-4,
          "%s: the loss is %g", err.message, loss);
    CHECK(nb_trainer_accumulate(b, m->tokens, m->targets, logits, m->sequences, m->length, &loss, &err) == NB_ERR_STATE,
          "%s", err.message);
    nb_free(logits);
    nb_trainer_free(a);
    nb_trainer_free(b);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void refuse_shape(nb_train_shape shape, uint32_t sequences, uint32_t length, int32_t code, const char *part) {
    nb_error err = {0};
    nb_trainer *t = nb_trainer_new(NULL, &shape, sequences, length, 1, &err);
    CHECK(!t && err.code == code && test_contains(err.message, part), "%d, %s: expected '%s'", err.code, err.message,
          part);
    nb_trainer_free(t);
}

static void check_shapes(const model *m) {
    nb_train_shape s;
#define CHANGED(change) ((s = m->shape), (change), s)
    refuse_shape(CHANGED(s.vocabulary = 0), 1, 8, NB_ERR_ARGUMENT, "vocabulary");
    refuse_shape(CHANGED(s.width = 1u << 31), 1, 8, NB_ERR_ARGUMENT, "width");
    refuse_shape(CHANGED((s.heads = 1u << 31, s.head_size = 1u << 31)), 1, 8, NB_ERR_ARGUMENT, "heads times");
    refuse_shape(CHANGED(s.kv_heads = 0), 1, 8, NB_ERR_ARGUMENT, "heads times");
    refuse_shape(CHANGED(s.kv_heads = 3), 1, 8, NB_ERR_ARGUMENT, "evenly");
    refuse_shape(CHANGED(s.head_size = 5), 1, 8, NB_ERR_ARGUMENT, "even size");
    refuse_shape(CHANGED(s.layers = 0), 1, 8, NB_ERR_ARGUMENT, "layers");
    refuse_shape(CHANGED(s.layers = UINT32_MAX), 1, 8, NB_ERR_ARGUMENT, "layers");
    refuse_shape(CHANGED(s.rope_base = NAN), 1, 8, NB_ERR_ARGUMENT, "rotary");
    refuse_shape(CHANGED(s.epsilon = 0), 1, 8, NB_ERR_ARGUMENT, "epsilon");
    refuse_shape(m->shape, 0, 8, NB_ERR_ARGUMENT, "0 sequences");
    refuse_shape(m->shape, 1u << 31, 1u << 31, NB_ERR_ARGUMENT, "sequences of");
    refuse_shape(CHANGED((s.width = s.hidden = s.vocabulary = 1 << 24, s.layers = 4096)), 1, 8, NB_ERR_MEMORY,
                 "to be trained");
#undef CHANGED
}

static void check_optimizers(nb_trainer *t, const model *m) {
    nb_error err = {0};
    nb_train_optimizer o;
#define REFUSED(change)        \
    (o = m->optimizer, change, \
     CHECK(nb_trainer_set_optimizer(t, &o, &err) == NB_ERR_ARGUMENT, "%s was taken: %s", #change, err.message))
    REFUSED(o.rate = INFINITY);
    REFUSED(o.rate = 1.001e6f);
    REFUSED(o.last_rate = 1e38f);
    REFUSED(o.last_rate = -1e-9f);
    REFUSED(o.beta2 = 1);
    REFUSED(o.epsilon = 0);
    REFUSED(o.epsilon = 1e-30f);
    REFUSED(o.clip = NAN);
    REFUSED(o.decay = -0.1f);
    REFUSED(o.decay = 1e38f);
    REFUSED(o.steps = o.warmup);
#undef REFUSED
    o = m->optimizer;
    o.rate = o.decay = 1e6f;
    CHECK(nb_trainer_set_optimizer(t, &o, &err) == NB_OK, "%s", err.message);
}

static void check_refusals(const model *m) {
    nb_trainer *t = new_trainer(NULL, m);
    if (!t)
        return;
    nb_error err = {0};
    double loss, norm;
    int32_t tokens[4] = {0, 1, 2, (int32_t)m->shape.vocabulary}, targets[4] = {1, 2, 3, -1};
    nb_train_loss plain = {.share = 0, .temperature = 1}, taught = {.share = 0.5f, .temperature = 1};
    CHECK(nb_trainer_set_loss(t, &plain, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_step(t, &norm, &err) == NB_ERR_STATE, "%s", err.message);
    CHECK(nb_trainer_accumulate(t, tokens, targets, NULL, 1, 4, &loss, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "position 3: token 42"),
          "%s", err.message);
    tokens[3] = -1;
    CHECK(nb_trainer_accumulate(t, tokens, targets, NULL, 1, 4, &loss, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    tokens[3] = 0;
    targets[2] = (int32_t)m->shape.vocabulary;
    CHECK(nb_trainer_evaluate(t, tokens, targets, NULL, 2, 2, &loss, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "sequence 1, position 0: the target 42"),
          "%s", err.message);
    targets[2] = 3;
    CHECK(nb_trainer_evaluate(t, tokens, targets, NULL, 1, m->length + 1, &loss, &err) == NB_ERR_ARGUMENT, "%s",
          err.message);
    CHECK(nb_trainer_evaluate(t, tokens, targets, NULL, 1u << 31, 2, &loss, &err) == NB_ERR_ARGUMENT, "%s",
          err.message);
    CHECK(nb_trainer_set_loss(t, &taught, &err) == NB_OK, "%s", err.message);
    CHECK(nb_trainer_evaluate(t, tokens, targets, NULL, 1, 4, &loss, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "teacher"),
          "%s", err.message);
    taught.share = NAN;
    CHECK(nb_trainer_set_loss(t, &taught, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    check_optimizers(t, m);
    CHECK(nb_trainer_resume(t, UINT32_MAX, &err) == NB_ERR_ARGUMENT && test_contains(err.message, "4294967295 steps"),
          "%s", err.message);
    CHECK(nb_trainer_resume(t, INT32_MAX - 1, &err) == NB_OK, "%s", err.message);
    nb_train_tensor tensor;
    CHECK(nb_trainer_tensor(t, nb_trainer_tensors(t), &tensor) == NB_ERR_ARGUMENT, "there is no such tensor");
    nb_trainer_free(t);
}

#ifdef NB_NATIVE
/* Each allocation fails once. */
static void check_memory(const model *m) {
    for (uint64_t nth = 1; nth <= 5; nth++) {
        nb_error err = {0};
        nb_refuse_allocation(nth);
        nb_trainer *t = nb_trainer_new(NULL, &m->shape, 1, 8, 1, &err);
        bool was_refused = nb_refuse_allocation(0) == 0;
        CHECK(was_refused == (nth < 5) && (t ? !was_refused : err.code == NB_ERR_MEMORY), "allocation %u: %s",
              (uint32_t)nth, err.message);
        nb_trainer_free(t);
    }
}
#else
static void check_memory(const model *m) {
    (void)m;
}
#endif

/* A teacher's logit that is not finite is reported as such, not as damaged weights. Ignored positions may have any. */
static void check_teacher(const model *m) {
    nb_trainer *t = new_trainer(NULL, m);
    size_t n = (size_t)m->shape.vocabulary * 4;
    float *teacher = nb_alloc_items(n, sizeof *teacher);
    if (!CHECK(t && teacher, "no memory"))
        return;
    nb_error err = {0};
    double loss;
    const int32_t tokens[] = {0, 1, 2, 3}, targets[] = {1, -1, 3, 4};
    nb_train_loss taught = {.share = 0.5f, .temperature = 2};
    CHECK(nb_trainer_set_loss(t, &taught, &err) == NB_OK, "%s", err.message);
    memset(teacher, 0, n * sizeof *teacher);
    teacher[m->shape.vocabulary + 5] = NAN; /* of position 1 */
    CHECK(nb_trainer_accumulate(t, tokens, targets, teacher, 2, 2, &loss, &err) == 3, "%s", err.message);
    const float bad[] = {-INFINITY, INFINITY, NAN};
    for (int i = 0; i < 3; i++) {
        teacher[2 * m->shape.vocabulary + 5] = bad[i];
        CHECK(nb_trainer_accumulate(t, tokens, targets, teacher, 2, 2, &loss, &err) == NB_ERR_ARGUMENT &&
                  test_contains(err.message, "sequence 1, position 0: the teacher's logit of token 5"),
              "%s", err.message);
    }
    nb_free(teacher);
    nb_trainer_free(t);
}

/* After a loss that is not finite, weights and steps are unchanged, and gradients are 0. */
static void check_divergence(const model *m) {
    nb_trainer *t = new_trainer(NULL, m), *same = new_trainer(NULL, m);
    if (!t || !same)
        return;
    nb_error err = {0};
    double loss, norm;
    steps(t, m, 1);
    steps(same, m, 1);
    float *w = nb_trainer_weights(t), kept = w[0];
    w[m->tokens[0] * (int32_t)m->shape.width] = NAN;
    CHECK(nb_trainer_accumulate(t, m->tokens, m->targets, m->teacher, 1, m->length, &loss, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "after 1 steps"),
          "%s", err.message);
    CHECK(nb_trainer_step(t, &norm, &err) == NB_ERR_STATE, "%s", err.message);
    memcpy(w, nb_trainer_weights(same), nb_trainer_floats(t) * sizeof *w);
    CHECK(w[0] == kept || m->tokens[0] == 0, "weights changed");
    steps(t, m, 1);
    steps(same, m, 1);
    CHECK(test_same_arrays(t, same), "a loss that was not finite left something");
    accumulate(t, m, 0, 1);
    nb_trainer_gradients(t)[3] = INFINITY;
    CHECK(nb_trainer_step(t, &norm, &err) == NB_ERR_FORMAT && test_same_arrays(t, same) && nb_trainer_steps(t) == 2,
          "%s", err.message);
    nb_trainer_free(t);
    nb_trainer_free(same);
}

void test_train(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    nb_pool *pool = test_pool_new(3);
    uint32_t models = nb_cursor_u32(&in);
    for (uint32_t i = 0; i < models; i++) {
        model m = read_model(&in, 1 + i);
        if (CHECK(!in.is_short && m.losses && m.norms && m.rates, "%s is cut off", VECTORS)) {
            check_torch(pool, &m);
            check_differences(&m);
            check_bits(pool, &m);
            check_pairs(&m);
            check_shapes(&m);
            check_refusals(&m);
            check_teacher(&m);
            check_divergence(&m);
            check_memory(&m);
        }
        free_model(&m);
    }
    CHECK(models == 2 && in.at == size, "%s has more than it says", VECTORS);
    test_pool_free(pool);
    nb_free(bytes);
}
