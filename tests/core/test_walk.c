/* Walks: a model that is given to nb_walk in parts, one layer at a time, computes what a session computes with the whole
 * model, bit for bit; what is observed is the sum over what its matrices are multiplied with, and observing changes
 * nothing; replaced weights count as if they had been loaded. (tests/js/walk.test.js compares what is observed with
 * transformers' numbers.) */
#include "../../src/calibrate/walk.h"
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/kernels/gram.h"
#include "../../src/types/types.h"
#include "check.h"
#include "edit.h"
#include "load.h"
#include "drain.h"

#include <math.h>

enum { WINDOWS = 2, WINDOW = 20, TOKENS = WINDOWS * WINDOW, MOST_TENSORS = 256, MOST_COLUMNS = 256 };

static const char *const paths[] = {
    "tests/fixtures/models/biases.gguf",
    "tests/fixtures/models/deepseek.gguf",
    "tests/fixtures/models/falcon.gguf",
    "tests/fixtures/models/falcon-40b.gguf",
    "tests/fixtures/models/gemma.gguf",
    "tests/fixtures/models/gemma2.gguf",
    "tests/fixtures/models/gemma3.gguf",
    "tests/fixtures/models/gpt2.gguf",
    "tests/fixtures/models/gptneox.gguf",
    "tests/fixtures/models/granite.gguf",
    "tests/fixtures/models/head-size-merged.gguf",
    "tests/fixtures/models/head-size-10.gguf",
    "tests/fixtures/models/mixtral.gguf",
    "tests/fixtures/models/nvfp4-scales.gguf",
    "tests/fixtures/models/odd-sizes.gguf",
    "tests/fixtures/models/olmo2.gguf",
    "tests/fixtures/models/phi2.gguf",
    "tests/fixtures/models/phi3.gguf",
    "tests/fixtures/models/phi3-long.gguf",
    "tests/fixtures/models/qwen2.gguf",
    "tests/fixtures/models/qwen2moe.gguf",
    "tests/fixtures/models/qwen3.gguf",
    "tests/fixtures/models/qwen3moe.gguf",
    "tests/fixtures/models/rope-llama3.gguf",
    "tests/fixtures/models/separate-output.gguf",
    "tests/fixtures/models/sliding-window.gguf",
    "tests/fixtures/models/smollm3.gguf",
    "tests/fixtures/models/stablelm.gguf",
    "tests/fixtures/models/stablelm-12b.gguf",
    "tests/fixtures/models/type-q4_k.gguf",
    "tests/fixtures/encoders/bert.gguf",
    "tests/fixtures/encoders/nomic-bert.gguf",
    "tests/fixtures/encoders/gemma-embedding.gguf",
};

/* ---- models and their parts -------------------------------------------------------------------------------------- */

typedef struct whole {
    const char *path;
    uint8_t *file;
    size_t size;
    nb_model *model;
    int32_t tokens[TOKENS];
} whole;

static bool open_whole(whole *all, const char *path) {
    nb_error err = {0};
    *all = (whole){.path = path};
    all->file = test_read_all(path, &all->size);
    all->model = test_load(all->file, all->size, (double)all->size, 0, &err);
    if (!CHECK(all->model && all->model->checkpoint.n_tensors <= MOST_TENSORS, "%s: %s", path, err.message))
        return false;
    for (int32_t i = 0; i < TOKENS; i++)
        all->tokens[i] = 2 + i * 7 % (nb_model_vocabulary(all->model) - 2);
    return true;
}

static void close_whole(whole *all) {
    nb_model_free(all->model);
    nb_free(all->file);
}

static nb_text name_of(const nb_model *m, uint64_t tensor) {
    return nb_checkpoint_tensor_name(&m->checkpoint, &m->checkpoint.tensors[tensor]);
}

static nb_model *load_part(const uint8_t *file, size_t size, nb_error *err) {
    return test_load_as(NB_LOAD_PART, file, size, (double)size, 0, err);
}

/* Of the file the tensors of one layer, and the factors of RoPE; layer < 0: those outside the layers. without: one more
 * tensor that is left out. */
static nb_model *part_of(const whole *all, int32_t layer, const char *without, nb_error *err) {
    static char names[MOST_TENSORS][96];
    test_edit edits[MOST_TENSORS];
    size_t n = 0, size;
    for (uint64_t i = 0; i < all->model->checkpoint.n_tensors; i++) {
        nb_text name = name_of(all->model, i), rest = name;
        uint32_t number;
        bool in_layer = nb_text_take(&rest, "blk.") && nb_text_take_number(&rest, &number);
        bool wanted = in_layer ? (int32_t)number == layer : layer < 0 || nb_text_take(&rest, "rope_");
        if (wanted && !(without && nb_text_is(name, without)))
            continue;
        nb_writer w = nb_writer_over(names[n], sizeof names[n]);
        nb_write(&w, "%t", name);
        edits[n] = (test_edit){.what = TEST_OMIT, .key = names[n]};
        n++;
    }
    uint8_t *part = test_edit_gguf(all->file, all->size, edits, n, &size);
    nb_model *m = load_part(part, size, err);
    nb_free(part);
    return m;
}

/* ---- what a session computes ------------------------------------------------------------------------------------- */

/* Sums in F64 over what a tensor's matrices, of one expert, are multiplied with. */
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

/* The residual streams behind all layers. seen: an observer, or NULL. */
static void evaluate(const whole *all, nb_pool *pool, expected *seen, float *streams) {
    nb_error err = {0};
    nb_session *s = nb_session_new(all->model, pool, WINDOW, 0, NB_TYPE_F32, NB_PRECISION_EXACT, &err);
    if (!CHECK(s, "%s: %s", all->path, err.message))
        return;
    size_t floats = (size_t)WINDOW * all->model->shape.width;
    if (seen)
        s->observer = (nb_observer){sum_up, seen};
    for (uint32_t i = 0; i < WINDOWS; i++) {
        CHECK(nb_session_evaluate(s, all->tokens + i * WINDOW, 0, WINDOW, &err) == NB_OK, "%s", err.message);
        if (streams)
            memcpy(streams + i * floats, s->x, floats * sizeof *streams);
    }
    nb_session_free(s);
}

static void check_sums(const whole *all, const nb_walk *walk, uint32_t group, uint32_t expert, uint64_t tensor) {
    uint32_t sides[3];
    char name[96];
    nb_walk_matrix(walk, group, 0, sides, name, sizeof name);
    uint32_t columns = sides[0];
    static double products[MOST_COLUMNS * MOST_COLUMNS], magnitudes[MOST_COLUMNS], largest[MOST_COLUMNS];
    expected e = {(uint32_t)tensor, expert, columns, 0, sides[2] > 1, products, magnitudes, largest};
    memset(products, 0, sizeof products);
    memset(magnitudes, 0, sizeof magnitudes);
    memset(largest, 0, sizeof largest);
    evaluate(all, NULL, &e, NULL);
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

static int32_t observe(nb_walk *walk, int32_t group, uint32_t what, nb_error *err) {
    int32_t done = 0;
    do
        done = nb_walk_observe(walk, group, what, done, err);
    while (done > 0 && (uint32_t)done < nb_walk_tokens(walk));
    return done;
}

static int32_t pass(nb_walk *walk, nb_error *err) {
    int32_t done = 0;
    do
        done = nb_walk_pass(walk, done, err);
    while (done > 0 && (uint32_t)done < nb_walk_tokens(walk));
    return done;
}

static bool same(const float *a, const float *b, size_t n) {
    return nb_compare(a, b, n * sizeof *a) == 0;
}

/* What is observed of one group alone is what is observed of it among all, where no product is left out. */
static void check_groups(const whole *all, nb_walk *walk, uint32_t n_groups, bool with_sums) {
    nb_error err = {0};
    size_t floats = (size_t)TOKENS * all->model->shape.width;
    float *before = nb_alloc(floats * sizeof *before), *hessians[NB_MOST_GROUPS] = {0};
    memcpy(before, nb_walk_streams(walk), floats * sizeof *before);
    CHECK(observe(walk, NB_WALK_ALL, NB_WALK_HESSIANS, &err) == TOKENS, "%s: %s", all->path, err.message);
    for (uint32_t g = 0; g < n_groups; g++) {
        uint32_t sides[3];
        char name[96];
        CHECK(nb_walk_matrix(walk, g, 0, sides, name, sizeof name) > 0, "%s: group %u", all->path, g);
        size_t square = (size_t)sides[0] * sides[0];
        hessians[g] = nb_alloc(square * sides[2] * sizeof **hessians);
        uint64_t tensor = 0;
        while (tensor < all->model->checkpoint.n_tensors && !nb_text_is(name_of(all->model, tensor), name))
            tensor++;
        CHECK(tensor < all->model->checkpoint.n_tensors, "%s: there is no %s", all->path, name);
        for (uint32_t e = 0; e < sides[2]; e++) {
            memcpy(hessians[g] + e * square, nb_walk_hessian(walk, g, e), square * sizeof **hessians);
            if (with_sums)
                check_sums(all, walk, g, e, tensor);
        }
    }
    for (uint32_t g = 0; g < n_groups; g++) {
        uint32_t sides[3];
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

/* All tensors of a layer become those of a file, which may be another one. */
static void replace_all(nb_walk *walk, const whole *by, uint32_t layer, nb_error *err) {
    char start[32];
    nb_writer w = nb_writer_over(start, sizeof start);
    nb_write(&w, "blk.%u.", layer);
    for (uint64_t i = 0; i < by->model->checkpoint.n_tensors; i++) {
        const nb_tensor_info *info = &by->model->checkpoint.tensors[i];
        nb_text name = name_of(by->model, i), rest = name;
        if (nb_text_take(&rest, start) && !nb_text_ends(name, "scale"))
            CHECK(nb_walk_replace(walk, name.data, name.size, info->type, by->file + info->at, (size_t)info->bytes,
                                  err) == NB_OK,
                  "%s: %s", by->path, err->message);
    }
}

static void check_walk(const whole *all, nb_pool *pool, bool observes) {
    nb_error err = {0};
    size_t floats = (size_t)TOKENS * all->model->shape.width;
    float *streams = nb_alloc(floats * sizeof *streams);
    evaluate(all, pool, NULL, streams);
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
        replace_all(walk, all, i, &err);
        CHECK(pass(walk, &err) == TOKENS, "%s, layer %u: %s", all->path, i, err.message);
        nb_model_free(part);
    }
    CHECK(same(streams, nb_walk_streams(walk), floats), "%s: the streams are others than a session's", all->path);
    nb_free(streams);
    nb_walk_free(walk);
}

static void check_gram(void) {
    enum { COLUMNS = 37, N = 1000, TIMES = 100 };
    static float x[N * COLUMNS];
    static double right[COLUMNS * COLUMNS];
    uint32_t seed = 3;
    for (uint32_t i = 0; i < N * COLUMNS; i++) /* most of them alike, so that errors do not cancel each other */
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
    check_gram();
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) {
        whole all;
        if (open_whole(&all, paths[i]))
            check_walk(&all, NULL, true);
        close_whole(&all);
    }
}
