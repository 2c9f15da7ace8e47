/* What a walk refuses: partial models that lack tensors, calls in a wrong order, weights that do not fit, and numbers
 * that are not finite. Each allocation may fail: the walk then says so, and can be freed. */
#include "../../src/base/memory.h"
#include "../../src/base/text.h"
#include "walks.h"

static const char LLAMA3[] = "tests/fixtures/models/rope-llama3.gguf";

static void expect(int32_t code, int32_t wanted, const nb_error *err, const char *part) {
    CHECK(code == wanted && test_contains(err->message, part), "%d, not %d with \"%s\": %s", code, wanted, part,
          err->message);
}

static nb_walk *begun(const whole *all, nb_error *err) {
    nb_walk *walk = nb_walk_new(NULL, all->tokens, WINDOWS, WINDOW, err);
    CHECK(walk && nb_walk_begin(walk, all->model, err) == NB_OK, "%s", err->message);
    return walk;
}

static void check_parts(const whole *all) {
    nb_error err = {0};
    nb_model *part = part_of(all, 0, NULL, &err);
    nb_session *s = nb_session_new(part, NULL, 16, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    expect(s ? 0 : err.code, NB_ERR_UNSUPPORTED, &err, "only nb_walk");
    CHECK(nb_session_bytes(part, 16, 0, NB_TYPE_F32, 1) == 0, "a part has sessions");
    nb_walk *walk = nb_walk_new(NULL, all->tokens, WINDOWS, WINDOW, &err);
    expect(nb_walk_begin(walk, part, &err), NB_ERR_FORMAT, &err, "token_embd.weight is missing");
    nb_model_free(part);
    part = part_of(all, -1, "output_norm.weight", &err);
    expect(nb_walk_begin(walk, part, &err), NB_ERR_FORMAT, &err, "output_norm.weight is missing");
    nb_model_free(part);
    nb_walk_free(walk);
    walk = begun(all, &err);
    static const struct missing {
        const char *without, *message;
        int32_t layer;
    } cases[] = {
        {"blk.0.ffn_down.weight", "tensor blk.0.ffn_down.weight is missing", 0},
        {"blk.0.attn_norm.weight", "tensor blk.0.attn_norm.weight is missing", 0},
        {"rope_freqs.weight", "tensor rope_freqs.weight is missing", 0},
        {NULL, "tensor blk.0.attn_norm.weight is missing", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        part = part_of(all, cases[i].layer, cases[i].without, &err);
        expect(nb_walk_layer(walk, part, 0, &err), NB_ERR_FORMAT, &err, cases[i].message);
        nb_model_free(part);
    }
    whole other;
    if (open_whole(&other, "tests/fixtures/models/gpt2.gguf"))
        expect(nb_walk_layer(walk, other.model, 0, &err), NB_ERR_ARGUMENT, &err, "another model");
    close_whole(&other);
    nb_walk_free(walk);
}

static int32_t replace(nb_walk *walk, const char *name, uint32_t type, const void *bytes, size_t size, nb_error *err) {
    return nb_walk_replace(walk, name, nb_length(name), type, bytes, size, err);
}

/* While an observation is under way, nothing may change the layer's weights or the KV cache. */
static void check_half_observed(nb_walk *walk) {
    nb_error err = {0};
    const float one = 1;
    CHECK(!nb_walk_mean(walk, 0, 0) && !nb_walk_count(walk, 0, 0), "results before the end");
    expect(nb_walk_note(walk, &err), NB_ERR_STATE, &err, "token 20 comes next");
    expect((int32_t)nb_walk_change(walk, &err), NB_ERR_STATE, &err, "token 20 comes next");
    expect(replace(walk, "blk.0.attn_norm.weight", NB_TYPE_F32, &one, sizeof one, &err), NB_ERR_STATE, &err,
           "token 20 comes next");
}

static void check_order(const whole *all) {
    nb_error err = {0};
    CHECK(!nb_walk_new(NULL, all->tokens, 0, 5, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(!nb_walk_new(NULL, all->tokens, 1u << 31, 2, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    nb_walk *walk = nb_walk_new(NULL, all->tokens, WINDOWS, WINDOW, &err);
    expect(nb_walk_layer(walk, all->model, 0, &err), NB_ERR_STATE, &err, "it has not begun");
    CHECK(nb_walk_begin(walk, all->model, &err) == NB_OK, "%s", err.message);
    expect(nb_walk_begin(walk, all->model, &err), NB_ERR_STATE, &err, "has begun before");
    expect(nb_walk_observe(walk, 0, 0, 0, &err), NB_ERR_STATE, &err, "nb_walk_layer comes first");
    expect(nb_walk_pass(walk, 0, &err), NB_ERR_STATE, &err, "nb_walk_layer comes first");
    expect(nb_walk_layer(walk, all->model, 1, &err), NB_ERR_STATE, &err, "not the next one");
    int32_t n = nb_walk_layer(walk, all->model, 0, &err);
    CHECK(n == 4, "%d groups", n);
    expect(nb_walk_observe(walk, n, NB_WALK_MEANS, 0, &err), NB_ERR_ARGUMENT, &err, "4 groups");
    expect(nb_walk_observe(walk, -2, NB_WALK_MEANS, 0, &err), NB_ERR_ARGUMENT, &err, "4 groups");
    expect(nb_walk_observe(walk, 0, 4, 0, &err), NB_ERR_ARGUMENT, &err, "kind 4");
    expect(nb_walk_observe(walk, 0, NB_WALK_MEANS, 5, &err), NB_ERR_STATE, &err, "token 5");
    expect((int32_t)nb_walk_change(walk, &err), NB_ERR_STATE, &err, "nb_walk_note");
    CHECK(nb_walk_note(walk, &err) == NB_OK && nb_walk_change(walk, &err) == 0, "%s", err.message);
    CHECK(nb_walk_observe(walk, 0, NB_WALK_MEANS, 0, &err) == WINDOW, "%s", err.message);
    check_half_observed(walk);
    CHECK(nb_walk_observe(walk, 0, NB_WALK_MEANS, WINDOW, &err) == TOKENS, "%s", err.message);
    CHECK(nb_walk_mean(walk, 0, 0) && !nb_walk_hessian(walk, 0, 0) && nb_walk_count(walk, 0, 0) == TOKENS, "means");
    CHECK(!nb_walk_mean(walk, 1, 0) && !nb_walk_mean(walk, 0, 1) && !nb_walk_mean(walk, 99, 0), "others' means");
    expect(nb_walk_observe(walk, 0, NB_WALK_MEANS, TOKENS, &err), NB_ERR_STATE, &err, "token 40");
    CHECK(nb_walk_pass(walk, 0, &err) == WINDOW, "%s", err.message);
    expect(nb_walk_pass(walk, 0, &err), NB_ERR_STATE, &err, "another number");
    expect(nb_walk_observe(walk, 0, NB_WALK_MEANS, 0, &err), NB_ERR_STATE, &err, "have passed through it");
    expect(nb_walk_layer(walk, all->model, 0, &err), NB_ERR_STATE, &err, "the layer before is not finished");
    CHECK(nb_walk_pass(walk, WINDOW, &err) == TOKENS, "%s", err.message);
    expect(nb_walk_pass(walk, TOKENS, &err), NB_ERR_STATE, &err, "nb_walk_layer comes first");
    nb_walk_free(walk);
    int32_t tokens[] = {1, 2, nb_model_vocabulary(all->model)};
    walk = nb_walk_new(NULL, tokens, 1, 3, &err);
    expect(nb_walk_begin(walk, all->model, &err), NB_ERR_ARGUMENT, &err, "vocabulary");
    nb_walk_free(walk);
}

/* A layer's two parts, one after the other. */
static void check_two_parts(const whole *all) {
    nb_error err = {0};
    nb_walk *walk = begun(all, &err);
    CHECK(nb_walk_layer(walk, all->model, 0, &err) == 4, "%s", err.message);
    CHECK(nb_walk_pass_part(walk, 0, &err) == WINDOW, "%s", err.message);
    expect(nb_walk_pass(walk, WINDOW, &err), NB_ERR_STATE, &err, "cannot use both");
    CHECK(nb_walk_pass_part(walk, WINDOW, &err) == TOKENS, "%s", err.message);
    expect(observe(walk, 1, NB_WALK_MEANS, &err), NB_ERR_STATE, &err, "have passed the part of layer 0 with group 1");
    expect(observe(walk, NB_WALK_ALL, NB_WALK_MEANS, &err), NB_ERR_STATE, &err, "have passed the part of layer 0");
    expect(nb_walk_note(walk, &err), NB_ERR_STATE, &err, "compare outputs before");
    expect(nb_walk_layer(walk, all->model, 0, &err), NB_ERR_STATE, &err, "the layer before is not finished");
    expect(nb_walk_layer(walk, all->model, 1, &err), NB_ERR_STATE, &err, "the layer before is not finished");
    CHECK(observe(walk, 2, NB_WALK_MEANS, &err) == TOKENS, "%s", err.message);
    CHECK(nb_walk_pass(walk, 0, &err) == WINDOW, "%s", err.message);
    CHECK(nb_walk_pass(walk, WINDOW, &err) == TOKENS, "%s", err.message);
    expect(nb_walk_pass_part(walk, 0, &err), NB_ERR_STATE, &err, "nb_walk_layer comes first");
    CHECK(nb_walk_layer(walk, all->model, 1, &err) == 4, "%s", err.message);
    nb_walk_free(walk);
}

/* Replaces weights of a partial model: by wrong names, types and sizes, and by numbers that are not finite or become so
 * in the layer. */
static void check_weights(const whole *all) {
    nb_error err = {0};
    nb_model *part = part_of(all, 0, NULL, &err);
    nb_walk *walk = begun(all, &err);
    uint32_t width = all->model->shape.width;
    float *ones = nb_alloc_items((uint64_t)width * width, sizeof *ones);
    for (uint32_t i = 0; i < width * width; i++)
        ones[i] = 1;
    size_t row = width * sizeof *ones;
    CHECK(nb_walk_layer(walk, part, 0, &err) > 0, "%s", err.message);
    expect(replace(walk, "blk.1.attn_norm.weight", NB_TYPE_F32, ones, row, &err), NB_ERR_ARGUMENT, &err, "no tensor");
    expect(replace(walk, "output_norm.weight", NB_TYPE_F32, ones, row, &err), NB_ERR_ARGUMENT, &err, "no tensor");
    expect(replace(walk, "blk.0.attn_qkv.weight", NB_TYPE_F32, ones, row, &err), NB_ERR_ARGUMENT, &err, "no tensor");
    expect(replace(walk, "blk.0.attn_norm.weight", NB_TYPE_F32, ones, row - 1, &err), NB_ERR_ARGUMENT, &err, "bytes");
    expect(replace(walk, "blk.0.attn_q.weight", NB_TYPE_F16, ones, row * width, &err), NB_ERR_ARGUMENT, &err, "bytes");
    expect(replace(walk, "blk.0.attn_q.weight", 9999, ones, row, &err), NB_ERR_ARGUMENT, &err, "type 9999");
    expect(replace(walk, "blk.0.attn_q.weight", NB_TYPE_Q4_K, ones, row, &err), NB_ERR_ARGUMENT, &err, "cannot be");
    ones[3] = __builtin_nanf("");
    expect(replace(walk, "blk.0.attn_norm.weight", NB_TYPE_F32, ones, row, &err), NB_ERR_FORMAT, &err, "NaN");
    for (uint32_t i = 0; i < width; i++)
        ones[i] = 3e38f; /* numbers above 1.14 become infinite, and the squares of others in the Hessian */
    CHECK(replace(walk, "blk.0.ffn_norm.weight", NB_TYPE_F32, ones, row, &err) == NB_OK, "%s", err.message);
    expect(observe(walk, 2, NB_WALK_HESSIANS, &err), NB_ERR_FORMAT, &err, "blk.0.ffn_");
    CHECK(!nb_walk_hessian(walk, 2, 0), "a Hessian all the same");
    CHECK(observe(walk, 1, NB_WALK_HESSIANS, &err) == TOKENS, "%s", err.message); /* it comes before ffn_norm */
    expect(pass(walk, &err), NB_ERR_FORMAT, &err, "layer 0");
    expect(pass(walk, &err), NB_ERR_STATE, &err, "failed before");
    expect(nb_walk_layer(walk, part, 0, &err), NB_ERR_STATE, &err, "failed before");
    nb_free(ones);
    nb_walk_free(walk);
    nb_model_free(part);
}

#ifdef NB_NATIVE
/* Walks through layer 0, whose weights are replaced by those of `by`. Returns TOKENS or the first error. */
static int32_t walk_all(const whole *all, nb_model *part, const whole *by, nb_error *err) {
    nb_walk *walk = nb_walk_new(NULL, all->tokens, WINDOWS, WINDOW, err);
    int32_t code = walk ? nb_walk_begin(walk, all->model, err) : NB_ERR_MEMORY;
    code = code < 0 ? code : nb_walk_layer(walk, part, 0, err);
    code = code < 0 ? code : observe(walk, NB_WALK_ALL, NB_WALK_HESSIANS, err);
    for (uint64_t i = 0; i < by->model->checkpoint.n_tensors && code >= 0; i++) {
        const nb_tensor_info *info = &by->model->checkpoint.tensors[i];
        nb_text name = name_of(by->model, i);
        if (nb_text_ends(name, ".weight") && name.data[0] == 'b' && name.data[4] == '0')
            code =
                nb_walk_replace(walk, name.data, name.size, info->type, by->file + info->at, (size_t)info->bytes, err);
    }
    code = code < 0 ? code : pass(walk, err);
    nb_walk_free(walk);
    return code;
}

/* Each allocation fails once. */
static void check_memory(void) {
    whole all, by;
    uint64_t nth = 0, left = 0;
    if (!open_whole(&all, "tests/fixtures/models/type-q4_0.gguf") ||
        !open_whole(&by, "tests/fixtures/models/type-q8_0.gguf"))
        return;
    do {
        nb_error err = {0};
        nb_model *part = part_of(&all, 0, NULL, &err);
        nb_refuse_allocation(nth);
        int32_t code = walk_all(&all, part, &by, &err);
        left = nb_refuse_allocation(0);
        nb_model_free(part);
        CHECK(nth ? code == NB_ERR_MEMORY || left : code == TOKENS, "allocation %l: %d, %s", nth, code, err.message);
    } while (nth++ < 1000 && !left);
    CHECK(left && nth > 20, "%l allocations", nth);
    close_whole(&all);
    close_whole(&by);
}
#endif

void test_walk_refusals(void) {
    whole all;
    if (open_whole(&all, LLAMA3)) {
        check_parts(&all);
        check_order(&all);
        check_two_parts(&all);
        check_weights(&all);
    }
    close_whole(&all);
#ifdef NB_NATIVE
    check_memory();
#endif
}
