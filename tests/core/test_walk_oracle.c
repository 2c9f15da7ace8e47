/* A walk's observations against the inputs of transformers' modules (tests/oracles/walk_vectors.py). */
#include "../../src/base/text.h"
#include "../../src/formats/gguf.h"
#include "walks.h"

#include <math.h>

typedef struct vectors {
    uint8_t *file;
    size_t size;
    nb_checkpoint c;
} vectors;

static bool open_vectors(vectors *v, const char *path) {
    nb_error err = {0};
    *v = (vectors){0};
    v->file = test_read_all(path, &v->size);
    nb_gguf g = {.file_bytes = v->size};
    return CHECK(nb_gguf_parse(&g, &v->c, v->file, v->size, &err) == NB_GGUF_DONE &&
                     nb_checkpoint_keep_header(&v->c, v->file, g.at, &err) == NB_OK,
                 "%s: %s", path, err.message);
}

/* The numbers of a tensor, 32 bits each; NULL: there is no such tensor. */
static const void *find(const vectors *v, const char *name, const char *what, const nb_tensor_info **info) {
    char text[128];
    nb_writer w = nb_writer_over(text, sizeof text);
    nb_write(&w, "%s%s", name, what);
    *info = nb_checkpoint_find_tensor(&v->c, text);
    return *info ? v->file + (*info)->at : NULL;
}

/* Both compute in F32, but in a different order. */
static void check_near(const float *found, const float *right, size_t n, const char *name, const char *what) {
    float largest = 0, off = 0;
    for (size_t i = 0; i < n; i++) {
        largest = NB_MAX(largest, fabsf(right[i]));
        off = NB_MAX(off, fabsf(found[i] - right[i]));
    }
    CHECK(off <= 1e-5f * largest, "%s, %s: off by %g of %g", name, what, (double)off, (double)largest);
}

/* ends: minimum and maximum, and their moving averages. */
static void check_range(const nb_walk *walk, uint32_t group, uint32_t expert, uint64_t count, const float *ends,
                        const char *name) {
    const nb_range_observer *o = nb_walk_range(walk, group, expert);
    if (!CHECK(o && o->count == count, "%s: a range of other numbers", name) || !count)
        return;
    float found[4] = {o->low, o->high, o->moving_low, o->moving_high};
    check_near(found, ends, 4, name, "ends");
    uint64_t in_bins = 0;
    for (int i = 0; i < NB_RANGE_BINS; i++)
        in_bins += o->above[i] + o->below[i];
    CHECK(in_bins == count, "%s: not all numbers are in bins", name);
}

static void check_group(const vectors *v, const nb_walk *walk, uint32_t group) {
    uint32_t sides[4], found = 0;
    char name[96];
    for (uint32_t i = 0; nb_walk_matrix(walk, group, i, sides, name, sizeof name); i++) {
        const nb_tensor_info *info;
        const float *products = find(v, name, ".products", &info);
        if (!products)
            continue;
        size_t square = (size_t)sides[0] * sides[0];
        if (!CHECK(info->bytes == square * sides[2] * sizeof(float), "%s has other sides", name))
            return;
        const float *mean = find(v, name, ".mean", &info), *largest = find(v, name, ".largest", &info);
        const int32_t *count = find(v, name, ".count", &info);
        const float *ends = find(v, name, ".ends", &info);
        for (uint32_t e = 0; e < sides[2]; e++) {
            CHECK(nb_walk_count(walk, group, e) == count[e], "%s, expert %u: %d vectors, not %d", name, e,
                  nb_walk_count(walk, group, e), count[e]);
            check_near(nb_walk_hessian(walk, group, e), products + e * square, square, name, "products");
            check_near(nb_walk_mean(walk, group, e), mean + (size_t)e * sides[0], sides[0], name, "mean");
            check_near(nb_walk_largest(walk, group, e), largest + (size_t)e * sides[0], sides[0], name, "largest");
            check_range(walk, group, e, (uint64_t)count[e] * sides[0], ends + (size_t)e * 4, name);
        }
        found++;
    }
    CHECK(found == 1, "group %u has %u entries", group, found);
}

static void check_model(const char *vectors_path, const char *model_path, int32_t groups) {
    enum { LAYER = 1 };
    nb_error err = {0};
    vectors v;
    whole all;
    const nb_tensor_info *info = NULL;
    if (!open_vectors(&v, vectors_path) || !open_whole(&all, model_path))
        return;
    const int32_t *tokens = find(&v, "tokens", "", &info);
    uint32_t n = (uint32_t)(info->shape[0] * info->shape[1]);
    nb_walk *walk = nb_walk_new(NULL, tokens, (uint32_t)info->shape[1], (uint32_t)info->shape[0], &err);
    int32_t code = nb_walk_begin(walk, all.model, &err);
    for (uint32_t i = 0; i <= LAYER && code >= 0; i++) {
        CHECK(nb_walk_layer(walk, all.model, i, &err) == groups, "%s", err.message);
        code = i < LAYER ? pass(walk, &err) : observe(walk, NB_WALK_ALL, NB_WALK_HESSIANS | NB_WALK_RANGES, &err);
    }
    if (CHECK(code == (int32_t)n, "%s: %s", model_path, err.message))
        for (int32_t g = 0; g < groups; g++)
            check_group(&v, walk, (uint32_t)g);
    nb_walk_free(walk);
    close_whole(&all);
    nb_checkpoint_free(&v.c);
    nb_free(v.file);
}

void test_walk_oracle(void) {
    check_model("tests/fixtures/walk/type-f16.gguf", "tests/fixtures/models/type-f16.gguf", 4);
    check_model("tests/fixtures/walk/mixtral.gguf", "tests/fixtures/models/mixtral.gguf", 5);
    check_model("tests/fixtures/walk/gpt2.gguf", "tests/fixtures/models/gpt2.gguf", 4);
    /* its attention is bidirectional */
    check_model("tests/fixtures/walk/bert.gguf", "tests/fixtures/encoders/bert.gguf", 4);
    check_model("tests/fixtures/walk/nomic-bert.gguf", "tests/fixtures/encoders/nomic-bert.gguf", 4);
    check_model("tests/fixtures/walk/gemma-embedding.gguf", "tests/fixtures/encoders/gemma-embedding.gguf", 4);
}
