/* Walks. A model that is given to nb_walk one layer at a time computes what a session computes with the whole model,
 * bit for bit. Observations are sums over the inputs of its matrices, and observing changes nothing. Replaced weights
 * have the same effect as if they had been loaded. (test_walk_oracle.c compares observations with transformers.) */
#include "../../src/base/text.h"
#include "../../src/kernels/gram.h"
#include "../../src/models/weights.h"
#include "walks.h"

#include <math.h>

enum { MOST_COLUMNS = 256 };

static const char *const paths[] = {
    "tests/fixtures/models/biases.gguf",         "tests/fixtures/models/deepseek.gguf",
    "tests/fixtures/models/falcon.gguf",         "tests/fixtures/models/falcon-40b.gguf",
    "tests/fixtures/models/gemma.gguf",          "tests/fixtures/models/gemma2.gguf",
    "tests/fixtures/models/gemma3.gguf",         "tests/fixtures/models/gpt2.gguf",
    "tests/fixtures/models/gptneox.gguf",        "tests/fixtures/models/gptneox-sequential.gguf",
    "tests/fixtures/models/granite.gguf",        "tests/fixtures/models/head-size-merged.gguf",
    "tests/fixtures/models/head-size-10.gguf",   "tests/fixtures/models/mixtral.gguf",
    "tests/fixtures/models/nvfp4-scales.gguf",   "tests/fixtures/models/odd-sizes.gguf",
    "tests/fixtures/models/olmo2.gguf",          "tests/fixtures/models/phi2.gguf",
    "tests/fixtures/models/phi3.gguf",           "tests/fixtures/models/phi3-long.gguf",
    "tests/fixtures/models/qwen2.gguf",          "tests/fixtures/models/qwen2moe.gguf",
    "tests/fixtures/models/qwen3.gguf",          "tests/fixtures/models/qwen3moe.gguf",
    "tests/fixtures/models/rope-llama3.gguf",    "tests/fixtures/models/separate-output.gguf",
    "tests/fixtures/models/sliding-window.gguf", "tests/fixtures/models/smollm3.gguf",
    "tests/fixtures/models/stablelm.gguf",       "tests/fixtures/models/stablelm-12b.gguf",
    "tests/fixtures/models/olmo3.gguf",          "tests/fixtures/models/ernie4_5.gguf",
    "tests/fixtures/models/type-q4_k.gguf",      "tests/fixtures/encoders/bert.gguf",
    "tests/fixtures/encoders/nomic-bert.gguf",   "tests/fixtures/encoders/gemma-embedding.gguf",
};

/* The models among them with parallel layers, whose attention and feed-forward network have the same inputs
 * (config.json's parallel_attn and use_parallel_residual, or always). */
static const char *const parallel[] = {
    "tests/fixtures/models/falcon.gguf",       "tests/fixtures/models/falcon-40b.gguf",
    "tests/fixtures/models/gptneox.gguf",      "tests/fixtures/models/phi2.gguf",
    "tests/fixtures/models/stablelm-12b.gguf",
};

static bool is_parallel(const char *path) {
    bool found = false;
    for (size_t i = 0; i < sizeof parallel / sizeof *parallel; i++)
        found |= nb_text_is(nb_text_of(path), parallel[i]);
    return found;
}

/* ---- a session's results ------------------------------------------------------------------------------------- */

/* Sums in F64 over the inputs of a tensor's matrices, for one expert. */
typedef struct expected {
    uint32_t tensor, expert, columns, n;
    bool by_expert;
    double *products, *magnitudes, *largest;
} expected;

static bool sum_up(void *context, const nb_matmul_job *jobs, uint32_t n_jobs, const float *x, uint32_t n) {
    expected *e = context;
    const nb_matrix *w = jobs[0].w;
    (void)n_jobs;
    if (w->tensor != e->tensor || (e->by_expert && w->first / w->rows != e->expert))
        return true;
    e->n += n;
    for (uint32_t t = 0; t < n; t++, x += e->columns)
        for (uint32_t i = 0; i < e->columns; i++) {
            double magnitude = fabs((double)x[i]);
            e->magnitudes[i] += magnitude;
            e->largest[i] = NB_MAX(e->largest[i], magnitude);
            for (uint32_t j = 0; j < e->columns; j++)
                e->products[i * e->columns + j] += (double)x[i] * (double)x[j];
        }
    return true;
}

static void check_sums(const whole *all, const nb_walk *walk, uint32_t group, uint32_t expert, uint64_t tensor) {
    uint32_t sides[4];
    char name[96];
    nb_walk_matrix(walk, group, 0, sides, name, sizeof name);
    uint32_t columns = sides[0];
    static double products[MOST_COLUMNS * MOST_COLUMNS], magnitudes[MOST_COLUMNS], largest[MOST_COLUMNS];
    expected e = {(uint32_t)tensor, expert, columns, 0, sides[2] > 1, products, magnitudes, largest};
    memset(products, 0, sizeof products);
    memset(magnitudes, 0, sizeof magnitudes);
    memset(largest, 0, sizeof largest);
    evaluate(all, NULL, (nb_observer){.see = sum_up, .context = &e}, NULL);
    CHECK((uint32_t)nb_walk_count(walk, group, expert) == e.n, "%s, %s: %d vectors, not %u", all->path, name,
          nb_walk_count(walk, group, expert), e.n);
    const float *hessian = nb_walk_hessian(walk, group, expert), *mean = nb_walk_mean(walk, group, expert),
                *most = nb_walk_largest(walk, group, expert);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < columns; i++) {
        double right = e.n ? magnitudes[i] / e.n : 0;
        wrong += !(fabs((double)mean[i] - right) <= 1e-7 * right) || (double)most[i] != largest[i];
        for (uint32_t j = 0; j < columns; j++) {
            double bound = e.n * 0x1p-24 * sqrt(products[i * columns + i] * products[j * columns + j]);
            wrong += !(fabs((double)hessian[i * columns + j] - products[i * columns + j]) <= bound) ||
                     hessian[i * columns + j] != hessian[j * columns + i];
        }
    }
    CHECK(wrong == 0, "%s, %s, expert %u: %u wrong numbers", all->path, name, expert, wrong);
}

/* ---- walking ----------------------------------------------------------------------------------------------------- */

/* A group that is observed alone, when unneeded products are skipped, gives the same as when all groups are
 * observed. */
static void check_groups(const whole *all, nb_walk *walk, uint32_t n_groups, bool with_sums) {
    nb_error err = {0};
    size_t floats = (size_t)TOKENS * all->model->shape.width;
    float *before = nb_alloc(floats * sizeof *before), *hessians[NB_MOST_GROUPS] = {0};
    memcpy(before, nb_walk_streams(walk), floats * sizeof *before);
    CHECK(observe(walk, NB_WALK_ALL, NB_WALK_HESSIANS, &err) == TOKENS, "%s: %s", all->path, err.message);
    for (uint32_t g = 0; g < n_groups; g++) {
        uint32_t sides[4];
        char name[96];
        CHECK(nb_walk_matrix(walk, g, 0, sides, name, sizeof name) > 0, "%s: group %u", all->path, g);
        size_t square = (size_t)sides[0] * sides[0];
        hessians[g] = nb_alloc(square * sides[2] * sizeof **hessians);
        nb_text in_file = name_of(walk->model, walk->groups[g].tensor);
        CHECK(nb_text_is(in_file, name) || nb_text_ends(nb_text_of(name), "_exps.weight"), "%s is %t", name, in_file);
        uint64_t tensor = 0;
        while (!nb_text_equal(name_of(all->model, tensor), in_file))
            tensor++;
        for (uint32_t e = 0; e < sides[2]; e++) {
            memcpy(hessians[g] + e * square, nb_walk_hessian(walk, g, e), square * sizeof **hessians);
            if (with_sums)
                check_sums(all, walk, g, e, tensor);
        }
    }
    for (uint32_t g = 0; g < n_groups; g++) {
        uint32_t sides[4];
        char name[96];
        nb_walk_matrix(walk, g, 0, sides, name, sizeof name);
        size_t square = (size_t)sides[0] * sides[0];
        CHECK(observe(walk, (int32_t)g, NB_WALK_HESSIANS, &err) == TOKENS, "%s: %s", all->path, err.message);
        for (uint32_t e = 0; e < sides[2]; e++)
            CHECK(same(nb_walk_hessian(walk, g, e), hessians[g] + e * square, square), "%s: %s alone", all->path, name);
        nb_free(hessians[g]);
    }
    CHECK(same(before, nb_walk_streams(walk), floats), "%s: the streams have changed", all->path);
    nb_free(before);
}

/* After the layer's first part was passed, the last group has the same observations as before, and the first group can
 * no longer be observed. A parallel layer cannot be passed in parts. */
static void check_parts(const whole *all, nb_walk *walk, uint32_t n_groups) {
    nb_error err = {0};
    uint32_t sides[4], last = n_groups - 1;
    char name[96];
    nb_walk_matrix(walk, last, 0, sides, name, sizeof name);
    size_t square = (size_t)sides[0] * sides[0];
    CHECK(observe(walk, (int32_t)last, NB_WALK_HESSIANS, &err) == TOKENS, "%s: %s", all->path, err.message);
    float *seen = nb_alloc(square * sizeof *seen);
    memcpy(seen, nb_walk_hessian(walk, last, 0), square * sizeof *seen);
    CHECK(sides[3] == !is_parallel(all->path), "%s: %s is in part %u", all->path, name, sides[3]);
    if (!sides[3]) {
        CHECK(nb_walk_pass_part(walk, 0, &err) == NB_ERR_STATE, "%s: half a layer was passed", all->path);
        nb_free(seen);
        return;
    }
    CHECK(pass_by(nb_walk_pass_part, walk, &err) == TOKENS, "%s: %s", all->path, err.message);
    CHECK(nb_walk_observe(walk, 0, NB_WALK_MEANS, 0, &err) == NB_ERR_STATE, "%s: group 0 was observed", all->path);
    CHECK(nb_walk_observe(walk, NB_WALK_ALL, NB_WALK_MEANS, 0, &err) == NB_ERR_STATE, "%s: all groups", all->path);
    CHECK(nb_walk_note(walk, &err) == NB_ERR_STATE, "%s: outputs were noted", all->path);
    CHECK(nb_walk_layer(walk, walk->model, walk->layer, &err) == NB_ERR_STATE, "%s: the layer again", all->path);
    CHECK(observe(walk, (int32_t)last, NB_WALK_HESSIANS, &err) == TOKENS, "%s: %s", all->path, err.message);
    CHECK(same(nb_walk_hessian(walk, last, 0), seen, square), "%s: %s after attention", all->path, name);
    nb_free(seen);
}

static void check_walk(const whole *all, nb_pool *pool, bool observes) {
    nb_error err = {0};
    size_t floats = (size_t)TOKENS * all->model->shape.width;
    float *streams = nb_alloc(floats * sizeof *streams);
    evaluate(all, pool, (nb_observer){0}, streams);
    nb_walk *walk = nb_walk_new(pool, all->tokens, WINDOWS, WINDOW, &err);
    nb_model *ends = part_of(all, -1, NULL, &err);
    if (!CHECK(walk && ends && nb_walk_begin(walk, ends, &err) == NB_OK, "%s: %s", all->path, err.message))
        return;
    nb_model_free(ends);
    for (uint32_t i = 0; i < all->model->shape.layers; i++) {
        nb_model *part = part_of(all, (int32_t)i, NULL, &err);
        int32_t n = part ? nb_walk_layer(walk, part, i, &err) : -1;
        if (!CHECK(n >= 3, "%s: %s", all->path, err.message))
            return;
        if (observes)
            check_groups(all, walk, (uint32_t)n, i == 1);
        replace_all(walk, all, i);
        if (i == 0)
            check_parts(all, walk, (uint32_t)n);
        CHECK(pass(walk, &err) == TOKENS, "%s, layer %u: %s", all->path, i, err.message);
        nb_model_free(part);
    }
    CHECK(same(streams, nb_walk_streams(walk), floats), "%s: the streams are others than a session's", all->path);
    nb_free(streams);
    nb_walk_free(walk);
}

/* Replaces the weights of `to`, layer by layer, by those of `from`. The streams must be those of `from`. */
static void check_replaced(whole *from, whole *to) {
    nb_error err = {0};
    size_t floats = (size_t)TOKENS * to->model->shape.width;
    float *streams = nb_alloc(floats * sizeof *streams);
    evaluate(to, NULL, (nb_observer){0}, streams);
    nb_walk *walk = nb_walk_new(NULL, to->tokens, WINDOWS, WINDOW, &err);
    CHECK(nb_walk_begin(walk, to->model, &err) == NB_OK, "%s: %s", to->path, err.message);
    for (uint32_t i = 0; i < to->model->shape.layers; i++) {
        nb_model *part = part_of(from, (int32_t)i, NULL, &err);
        CHECK(part && nb_walk_layer(walk, part, i, &err) > 0, "%s: %s", to->path, err.message);
        replace_all(walk, to, i);
        replace_all(walk, from, i);
        replace_all(walk, to, i); /* again, in memory of replaced weights */
        CHECK(pass(walk, &err) == TOKENS, "%s: %s", to->path, err.message);
        nb_model_free(part);
    }
    CHECK(same(streams, nb_walk_streams(walk), floats), "%s by %s: other streams", from->path, to->path);
    nb_walk_free(walk);
    nb_free(streams);
    close_whole(from);
    close_whole(to);
}

static void check_replacements(void) {
    static const char *const folders[] = {
        "tests/fixtures/safetensors/llama-f32", "tests/fixtures/safetensors/phi3",  "tests/fixtures/safetensors/gpt2",
        "tests/fixtures/safetensors/qwen2-moe", "tests/fixtures/safetensors/olmo2",
    };
    whole a, b;
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        if (open_folder(&a, folders[i], NULL) && open_folder(&b, folders[i], "q8_0"))
            check_replaced(&a, &b);
        if (open_folder(&a, folders[i], "nf4") && open_folder(&b, folders[i], NULL))
            check_replaced(&a, &b);
    }
    if (open_whole(&a, "tests/fixtures/models/type-q4_0.gguf") &&
        open_whole(&b, "tests/fixtures/models/type-q8_0.gguf"))
        check_replaced(&a, &b);
}

/* The number of query rows is not a multiple of a packed group of rows. So q, k and v can be parts of a merged F32
 * matrix, but not of the quantized one that replaces it. */
static void check_merged(void) {
    nb_error err = {0};
    whole all;
    if (!open_whole(&all, "tests/fixtures/models/head-size-merged.gguf"))
        return;
    size_t floats = (size_t)TOKENS * all.model->shape.width;
    float *streams = nb_alloc(floats * sizeof *streams);
    evaluate(&all, NULL, (nb_observer){0}, streams);
    nb_walk *walk = nb_walk_new(NULL, all.tokens, WINDOWS, WINDOW, &err);
    CHECK(nb_walk_begin(walk, all.model, &err) == NB_OK && all.model->qkv_whole, "%s", err.message);
    for (uint32_t i = 0; i < all.model->shape.layers; i++) {
        nb_model *part = part_of(&all, (int32_t)i, NULL, &err);
        const nb_matrix *qkv = &part->layers[i].qkv;
        float *plain = nb_alloc_items((uint64_t)qkv->rows * qkv->columns, sizeof *plain);
        for (uint32_t row = 0; row < qkv->rows; row++)
            nb_matrix_row(qkv, row, plain + (size_t)row * qkv->columns);
        CHECK(nb_model_replace(part, i, name_of(part, qkv->tensor), NB_TYPE_F32, (const uint8_t *)plain,
                               (size_t)qkv->rows * qkv->columns * sizeof *plain, &err) == NB_OK &&
                  !part->layers[i].qkv_whole,
              "%s", err.message);
        part->qkv_whole = false; /* as after loading */
        CHECK(nb_walk_layer(walk, part, i, &err) > 0, "%s", err.message);
        replace_all(walk, &all, i);
        CHECK(pass(walk, &err) == TOKENS && part->qkv_whole, "%s", err.message);
        nb_free(plain);
        nb_model_free(part);
    }
    CHECK(same(streams, nb_walk_streams(walk), floats), "other streams");
    nb_walk_free(walk);
    nb_free(streams);
    close_whole(&all);
}

/* Windows longer than a batch, and threads. */
static void check_long_windows(void) {
    enum { LONG = 150 };
    nb_error err = {0};
    whole all;
    if (!open_whole(&all, "tests/fixtures/models/mixtral.gguf"))
        return;
    int32_t tokens[2 * LONG];
    for (int32_t i = 0; i < 2 * LONG; i++)
        tokens[i] = 2 + i * 11 % (nb_model_vocabulary(all.model) - 2);
    size_t floats = (size_t)LONG * all.model->shape.width;
    float *streams = nb_alloc(2 * floats * sizeof *streams), *first = NULL;
    nb_session *s = nb_session_new(all.model, NULL, LONG, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    CHECK(s && s->batch < LONG, "%s", err.message);
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t at = 0, rows; at < LONG; at += rows) {
            rows = NB_MIN(LONG - at, s->batch);
            CHECK(nb_session_evaluate(s, tokens + i * LONG, at, rows, &err) == NB_OK, "%s", err.message);
            memcpy(streams + i * floats + (size_t)at * all.model->shape.width, s->x,
                   (size_t)rows * all.model->shape.width * sizeof *streams);
        }
    nb_session_free(s);
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        nb_pool *pool = test_pool_new(threads);
        nb_walk *walk = nb_walk_new(pool, tokens, 2, LONG, &err);
        CHECK(nb_walk_begin(walk, all.model, &err) == NB_OK, "%s", err.message);
        for (uint32_t i = 0; i < all.model->shape.layers; i++) {
            int32_t n = nb_walk_layer(walk, all.model, i, &err);
            CHECK(n > 0 && observe(walk, n - 1, NB_WALK_HESSIANS, &err) == 2 * LONG, "%s", err.message);
            uint32_t sides[4] = {0};
            char name[64];
            nb_walk_matrix(walk, (uint32_t)n - 1, 0, sides, name, sizeof name);
            size_t square = (size_t)sides[0] * sides[0];
            const float *hessian = nb_walk_hessian(walk, (uint32_t)n - 1, 0);
            if (threads == 1 && !i) {
                first = nb_alloc(square * sizeof *first);
                memcpy(first, hessian, square * sizeof *first);
            }
            CHECK(i || same(first, hessian, square), "another number of threads gives another Hessian");
            CHECK(pass(walk, &err) == 2 * LONG, "%s", err.message);
        }
        CHECK(same(streams, nb_walk_streams(walk), 2 * floats), "%d threads: other streams", threads);
        nb_walk_free(walk);
        test_pool_free(pool);
    }
    nb_free(first);
    nb_free(streams);
    close_whole(&all);
}

/* Multiplies a matrix [columns, columns] by a factor. */
static void multiply(nb_walk *walk, const nb_matrix *m, const char *name, float factor) {
    nb_error err = {0};
    size_t n = (size_t)m->rows * m->columns;
    float *weights = nb_alloc(n * sizeof *weights);
    for (uint32_t row = 0; row < m->rows; row++)
        nb_matrix_row(m, row, weights + (size_t)row * m->columns);
    for (size_t i = 0; i < n; i++)
        weights[i] *= factor;
    CHECK(nb_walk_replace(walk, name, nb_length(name), NB_TYPE_F32, (const uint8_t *)weights, n * sizeof *weights,
                          &err) == NB_OK,
          "%s", err.message);
    nb_free(weights);
}

/* In a parallel layer, observing the feed-forward network does not compute attention, so queries that overflow do no
 * harm. */
static void check_parallel(const char *path) {
    nb_error err = {0};
    whole all;
    if (!open_whole(&all, path))
        return;
    nb_model *part = part_of(&all, 0, NULL, &err);
    nb_walk *walk = nb_walk_new(NULL, all.tokens, WINDOWS, WINDOW, &err);
    CHECK(nb_walk_begin(walk, all.model, &err) == NB_OK, "%s", err.message);
    int32_t n = nb_walk_layer(walk, part, 0, &err);
    uint32_t sides[4], last = (uint32_t)n - 1;
    char name[96];
    if (!CHECK(n >= 4 && nb_walk_matrix(walk, last, 0, sides, name, sizeof name), "%s: %s", path, err.message))
        return;
    size_t square = (size_t)sides[0] * sides[0];
    CHECK(observe(walk, (int32_t)last, NB_WALK_HESSIANS, &err) == TOKENS, "%s: %s", path, err.message);
    float *seen = nb_alloc(square * sizeof *seen);
    memcpy(seen, nb_walk_hessian(walk, last, 0), square * sizeof *seen);
    nb_walk_matrix(walk, 0, 0, sides, name, sizeof name);
    const nb_layer *layer = &part->layers[0];
    multiply(walk, layer->qkv.rows ? &layer->qkv : &layer->q, name, 1e38f);
    CHECK(observe(walk, 1, NB_WALK_HESSIANS, &err) == NB_ERR_FORMAT, "%s: the queries are finite", path);
    if (CHECK(observe(walk, (int32_t)last, NB_WALK_HESSIANS, &err) == TOKENS, "%s: %s", path, err.message))
        CHECK(same(nb_walk_hessian(walk, last, 0), seen, square), "%s: it depends on attention", path);
    nb_free(seen);
    nb_walk_free(walk);
    nb_model_free(part);
    close_whole(&all);
}

/* Outlier columns are observed as inputs of 0, and all others are not. */
static void check_outliers(void) {
    nb_error err = {0};
    whole all;
    if (!open_whole(&all, "tests/fixtures/models/outliers.gguf"))
        return;
    nb_walk *walk = nb_walk_new(NULL, all.tokens, WINDOWS, WINDOW, &err);
    CHECK(nb_walk_begin(walk, all.model, &err) == NB_OK, "%s", err.message);
    int32_t n = nb_walk_layer(walk, all.model, 0, &err);
    uint32_t kept_apart = 0;
    CHECK(observe(walk, NB_WALK_ALL, NB_WALK_HESSIANS, &err) == TOKENS, "%s", err.message);
    for (uint32_t g = 0; n > 0 && g < (uint32_t)n; g++) {
        const uint8_t *layer = (const uint8_t *)&all.model->layers[0];
        const nb_matrix *m = (const nb_matrix *)(const void *)(layer + walk->groups[g].slots[0]->at);
        uint32_t next = 0, wrong = 0, zeros = m->outliers ? m->outliers->columns : 0;
        for (uint32_t i = 0; i < m->columns; i++) {
            bool is_apart = next < zeros && (uint32_t)m->outliers->order[next] == i;
            next += is_apart;
            wrong += (nb_walk_mean(walk, g, 0)[i] == 0) != is_apart;
            for (uint32_t k = 0; is_apart && k < m->columns; k++)
                wrong += nb_walk_hessian(walk, g, 0)[i * m->columns + k] != 0;
        }
        kept_apart += zeros;
        CHECK(wrong == 0, "group %u: %u wrong numbers", g, wrong);
    }
    CHECK(kept_apart > 0, "no column is kept apart");
    nb_walk_free(walk);
    close_whole(&all);
}

/* v three times as large and o a third as large compute the same; v alone does not. */
static void check_change(void) {
    nb_error err = {0};
    whole all;
    if (!open_whole(&all, "tests/fixtures/models/type-f16.gguf"))
        return;
    nb_model *part = part_of(&all, 0, NULL, &err);
    nb_walk *walk = nb_walk_new(NULL, all.tokens, WINDOWS, WINDOW, &err);
    CHECK(nb_walk_note(walk, &err) == NB_ERR_STATE, "noted without a layer");
    CHECK(nb_walk_begin(walk, all.model, &err) == NB_OK && nb_walk_layer(walk, part, 0, &err) > 0, "%s", err.message);
    CHECK(nb_walk_change(walk, &err) == NB_ERR_STATE, "%s", err.message);
    CHECK(nb_walk_note(walk, &err) == NB_OK && nb_walk_change(walk, &err) == 0, "%s", err.message);
    const nb_layer *layer = &part->layers[0];
    multiply(walk, &layer->v, "blk.0.attn_v.weight", 3);
    double wrong = nb_walk_change(walk, &err);
    CHECK(wrong > 0.1, "a change of %g", wrong);
    multiply(walk, &layer->o, "blk.0.attn_output.weight", 1.0f / 3);
    double right = nb_walk_change(walk, &err);
    CHECK(right > 0 && right < 1e-6, "a change of %g", right);
    multiply(walk, &layer->o, "blk.0.attn_output.weight", 1e38f);
    multiply(walk, &layer->v, "blk.0.attn_v.weight", 1e10f);
    wrong = nb_walk_change(walk, &err);
    CHECK(!(wrong < 1e30), "a change of %g", wrong);
    CHECK(pass(walk, &err) < 0, "the streams are finite");
    nb_walk_free(walk);
    nb_model_free(part);
    close_whole(&all);
}

static void check_gram(void) {
    enum { COLUMNS = 37, N = 1000, TIMES = 100 };
    static float x[N * COLUMNS];
    static double right[COLUMNS * COLUMNS];
    uint32_t seed = 3;
    for (uint32_t i = 0; i < N * COLUMNS; i++) /* mostly of one sign, so that errors do not cancel each other */
        x[i] = i % COLUMNS < 20 ? 1.1f : (float)(test_random(&seed) % 2000) / 1000 - 1;
    for (uint32_t t = 0; t < N; t++)
        for (uint32_t i = 0; i < COLUMNS; i++)
            for (uint32_t j = 0; j < COLUMNS; j++)
                right[i * COLUMNS + j] += (double)x[t * COLUMNS + i] * (double)x[t * COLUMNS + j];
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        nb_pool *pool = test_pool_new(threads);
        float *sums = nb_alloc_items(nb_gram_floats(COLUMNS), sizeof *sums);
        float *scratch = nb_alloc_items(nb_gram_scratch(COLUMNS), sizeof *scratch);
        memset(sums, 0, (size_t)nb_gram_floats(COLUMNS) * sizeof *sums);
        for (uint32_t i = 0; i < TIMES; i++)
            nb_gram_add(pool, sums, COLUMNS, x, N, scratch);
        nb_gram_finish(pool, sums, COLUMNS);
        double most = 0;
        for (uint32_t i = 0; i < COLUMNS; i++)
            for (uint32_t j = 0; j < COLUMNS; j++) {
                double found = (double)sums[i * COLUMNS + j], all = TIMES * right[i * COLUMNS + j];
                double scale = TIMES * sqrt(right[i * COLUMNS + i] * right[j * COLUMNS + j]);
                most = NB_MAX(most, fabs(found - all) / scale);
                CHECK(sums[i * COLUMNS + j] == sums[j * COLUMNS + i], "%u, %u", i, j);
            }
        CHECK(most <= 0x1p-20, "an error of %g in sums over %u vectors", most, (uint32_t)(N * TIMES));
        nb_free(sums);
        nb_free(scratch);
        test_pool_free(pool);
    }
}

void test_walk(void) {
    static const char *const folders[] = {
        "tests/fixtures/safetensors/opt",
        "tests/fixtures/safetensors/opt-350m",
        "tests/fixtures/safetensors/gptq-desc-act",
        "tests/fixtures/safetensors/gptq-mixtral",
    };
    check_gram();
    check_change();
    check_replacements();
    check_merged();
    check_long_windows();
    check_outliers();
    for (size_t i = 0; i < sizeof parallel / sizeof *parallel; i++)
        check_parallel(parallel[i]);
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        whole all;
        if (open_folder(&all, folders[i], NULL))
            check_walk(&all, NULL, true);
        close_whole(&all);
    }
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        whole all;
        if (open_whole(&all, paths[i]))
            check_walk(&all, NULL, true);
        close_whole(&all);
    }
}
