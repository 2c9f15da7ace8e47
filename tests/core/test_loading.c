/* What a GGUF file may say and what must be refused: each case is a good file with one thing changed. Other tests
 * compare the accepted ones with oracles; here, the message must name what is wrong. */
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/formats/gguf.h"
#include "../../src/models/model.h"
#include "check.h"
#include "edit.h"
#include "load.h"

#include <math.h>

#define MODELS "tests/fixtures/models/"

typedef struct change {
    const char *path;
    test_edit edits[8];  /* ends with key = NULL */
    const char *message; /* a part of it; NULL: such a file is loaded */
} change;

/* Whether the error is about weights, so that a header alone cannot show it. */
static bool is_of_weights(const char *message) {
    return test_contains(message, "not finite") || test_contains(message, "no factor of RoPE") ||
           test_contains(message, "names column") || test_contains(message, "not all of it is zero");
}

/* From a header, `inspect` reports a model as unsupported if and only if loading refuses it. */
static void check_inspected(const change *c, const uint8_t *bytes, size_t size, bool loaded, const char *message) {
    nb_error err = {0};
    nb_model *m = test_load_as(NB_LOAD_HEADER, bytes, size, (double)size, size, &err);
    if (!m) { /* refused at once */
        CHECK(!loaded, "%s, %s: %s", c->path, c->edits[0].key, err.message);
        return;
    }
    size_t length = nb_model_describe(m, NULL, 0);
    char *text = nb_alloc(length + 1);
    nb_model_describe(m, text, length);
    text[length] = 0;
    bool refused = test_contains(text, "\"unsupported\":");
    CHECK(refused == (!loaded && !is_of_weights(message)), "%s, %s: inspect does %s refuse it, but loading %s", c->path,
          c->edits[0].key, refused ? "indeed" : "not", loaded ? "takes it" : message);
    nb_free(text);
    nb_model_free(m);
}

static void check_changes(const change *changes, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const change *c = &changes[i];
        size_t size, n_edits = 0, changed_size;
        uint8_t *file = test_read_all(c->path, &size);
        if (!size)
            continue;
        while (n_edits < sizeof c->edits / sizeof *c->edits && c->edits[n_edits].key)
            n_edits++;
        uint8_t *changed = test_edit_gguf(file, size, c->edits, n_edits, &changed_size);
        nb_error err = {0};
        nb_model *m = test_load(changed, changed_size, (double)changed_size, changed_size, &err);
        check_inspected(c, changed, changed_size, m, err.message);
        if (c->message)
            CHECK(!m && test_contains(err.message, c->message), "%s, %s: \"%s\", not \"...%s...\"", c->path,
                  c->edits[0].key, m ? "it was loaded" : err.message, c->message);
        else
            CHECK(m, "%s, %s: %s", c->path, c->edits[0].key, err.message);
        nb_model_free(m);
        nb_free(changed);
        nb_free(file);
    }
}

/* Tensors whose names mean the same place in the model. */
static void test_places(void) {
#define PARTS(layer, a, b, c, d, e)                                                                              \
    OMIT("blk.1.ffn_up_exps.weight"), PART("blk.1.ffn_up_exps.weight", 0, "blk." #layer ".ffn_up." a ".weight"), \
        PART("blk.1.ffn_up_exps.weight", 1, "blk." #layer ".ffn_up." b ".weight"),                               \
        PART("blk.1.ffn_up_exps.weight", 2, "blk." #layer ".ffn_up." c ".weight"),                               \
        PART("blk.1.ffn_up_exps.weight", 3, "blk." #layer ".ffn_up." d ".weight"),                               \
        PART("blk.1.ffn_up_exps.weight", 4, "blk." #layer ".ffn_up." e ".weight")
    static const change changes[] = {
        {MODELS "qwen2.gguf",
         {COPY("blk.0.attn_q.weight", "blk.00.attn_q.weight")},
         "blk.00.attn_q.weight is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.1.attn_q.bias", "blk.01.attn_q.bias")}, "blk.01.attn_q.bias is not part"},
        {MODELS "qwen2.gguf", {RENAME("blk.1.attn_norm.weight", "blk.01.attn_norm.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk.4294967296.attn_q.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk.18446744073709551616.attn_q.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk. 0.attn_q.weight")}, "is not part"},
        {MODELS "qwen2.gguf", {COPY("blk.0.attn_q.weight", "blk.+0.attn_q.weight")}, "is not part"},
        {"tests/fixtures/tiny.gguf",
         {COPY("output_norm.weight", "blk.0.attn_norm.weight"), OMIT("blk.0.attn_norm.weight")},
         NULL},
        {MODELS "mixtral.gguf", {PARTS(1, "0", "1", "2", "3", "4")}, NULL},
        {MODELS "mixtral.gguf", {PARTS(1, "4", "3", "2", "1", "0")}, NULL},
        {MODELS "mixtral.gguf", {PARTS(1, "0", "1", "2", "3", "03")}, "blk.1.ffn_up.03.weight is not part"},
        {MODELS "mixtral.gguf", {PARTS(1, "0", "1", "2", "3", "4294967300")}, "is not part"},
        {MODELS "mixtral.gguf", {PARTS(01, "0", "1", "2", "3", "4")}, "blk.01.ffn_up.0.weight is not part"},
        {MODELS "mixtral.gguf", {PART("blk.1.ffn_up_exps.weight", 2, "blk.1.ffn_up.2.weight")}, "are the same part"},
        {MODELS "mixtral.gguf",
         {PART("blk.1.ffn_up_exps.weight", 2, "blk.1.ffn_up.2.weight"), OMIT("blk.1.ffn_up_exps.weight")},
         "not have the tensors of 5 experts"},
        {MODELS "qwen2.gguf", {RESHAPE("blk.0.attn_norm.weight", F32, 3, 1, 2, 3)}, "has shape [3, 1, 1, 1]"},
    };
    check_changes(changes, sizeof changes / sizeof *changes);
}

/* Vectors that accompany a matrix. Each must have as many numbers as its matrix requires, also if it is not used. */
static void test_companions(void) {
    static const change changes[] = {
        {MODELS "qwen3.gguf", {ADD("blk.0.attn_output.bias", F32, 32)}, NULL},
        {MODELS "qwen3.gguf",
         {ADD("blk.0.attn_output.bias", F32, 31)},
         "blk.0.attn_output.bias has shape [31, 1, 1, 1]"},
        {MODELS "qwen3.gguf", {ADD("blk.0.attn_output.bias", F32, 1 << 12)}, "its matrix asks for [32]"},
        {MODELS "qwen3.gguf", {ADD("blk.0.attn_output.scale", F32, 1)}, NULL},
        {MODELS "qwen3.gguf", {ADD("blk.0.attn_output.scale", F32, 2)}, "its matrix asks for [1]"},
        {MODELS "qwen3.gguf", {ADD("blk.0.attn_output.input_scale", F32, 1)}, NULL},
        {MODELS "qwen3.gguf",
         {ADD("blk.0.attn_output.input_scale", F32, 2)},
         "blk.0.attn_output.input_scale has shape [2"},
        /* it is F32 */
        {MODELS "qwen3.gguf", {ADD("blk.0.attn_output.order", F32, 48)}, "blk.0.attn_output.order cannot be the order"},
        {MODELS "qwen3.gguf", {ADD("token_embd.scale", F32, 1)}, "token_embd.scale scales embeddings"},
    };
    check_changes(changes, sizeof changes / sizeof *changes);
}

/* Numbers that the model computes with: one that is not finite or makes no sense is refused, with its key's name. */
static void test_numbers(void) {
    static const struct {
        const char *path, *key;
        double good, bad;
    } keys[] = {
        {MODELS "qwen2.gguf", "qwen2.attention.layer_norm_rms_epsilon", 1e-5, -1e-5},
        {MODELS "qwen2.gguf", "qwen2.rope.freq_base", 500000, 1},
        {MODELS "qwen2.gguf", "qwen2.rope.freq_base", 2, -10000},
        {MODELS "qwen2.gguf", "qwen2.rope.scaling.factor", 8, -8},
        {MODELS "qwen2.gguf", "qwen2.rope.scaling.factor", 0, 1e-30},
        {MODELS "qwen2.gguf", "qwen2.rope.scale_linear", 2, 1e30},
        {MODELS "qwen2.gguf", "qwen2.rope.scaling.attn_factor", 2, 0},
        {MODELS "qwen2.gguf", "qwen2.rope.scaling.original_context_length", 64, -1},
        {MODELS "qwen2.gguf", "qwen2.attention.head_count_kv", 2, 2.5},
        {MODELS "qwen2.gguf", "qwen2.context_length", 100, 1e18},
        {MODELS "qwen2.gguf", "qwen2.pooling_type", 2, 4},
        {MODELS "gpt2.gguf", "gpt2.attention.layer_norm_epsilon", 0.1, 2},
        {MODELS "gemma2.gguf", "gemma2.attn_logit_softcapping", 20, -1},
        {MODELS "gemma2.gguf", "gemma2.final_logit_softcapping", 0, 1e7},
        {MODELS "gemma2.gguf", "gemma2.rope.freq_base_swa", 500, 0},
        {MODELS "gemma3.gguf", "gemma3.rope.freq_base_swa", 500, 0},
        {MODELS "gemma3.gguf", "gemma3.attention.sliding_window", 3, -3},
        {MODELS "gemma3.gguf", "gemma3.attention.sliding_window_pattern", 0, 1025},
        {MODELS "granite.gguf", "granite.logit_scale", 8, 0},
        {MODELS "granite.gguf", "granite.residual_scale", 0, -1},
        {MODELS "granite.gguf", "granite.embedding_scale", 0, 1e7},
        {MODELS "granite.gguf", "granite.attention.scale", 0, -1},
        {MODELS "granite.gguf", "granite.rope.scaling.finetuned", 0, 2},
        {MODELS "gptneox.gguf", "gptneox.use_parallel_residual", 0, 3},
        {MODELS "rope-yarn.gguf", "llama.rope.scaling.factor", 2, -1},
        {"tests/fixtures/encoders/bert.gguf", "tokenizer.ggml.token_type_count", 2, -1},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const double bad[] = {(double)NAN, (double)INFINITY, (double)-INFINITY, keys[i].bad, 1e300};
        change c = {keys[i].path, {SET(keys[i].key, F64, keys[i].good)}, NULL};
        check_changes(&c, 1);
        c.message = keys[i].key;
        for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
            c.edits[0].number = bad[k];
            check_changes(&c, 1);
        }
        c.edits[0] = (test_edit)SET_TEXT(keys[i].key, "1");
        check_changes(&c, 1);
        c.edits[0] = (test_edit)SET_ARRAY(keys[i].key, F32, 3, 1, 1, 1);
        check_changes(&c, 1);
    }
    static const change factors[] = {
        {MODELS "phi3-long.gguf", {RESHAPE("rope_factors_long.weight", F32, 4, 1, 2, 3, 4)}, NULL},
        {MODELS "phi3-long.gguf",
         {RESHAPE("rope_factors_long.weight", F32, 4, 1, 2, 0, 4)},
         "number 2 of tensor rope_factors_long"},
        {MODELS "phi3-long.gguf",
         {RESHAPE("rope_factors_short.weight", F32, 4, 1, -2, 1, 4)},
         "number 1 of tensor rope_factors_sh"},
        {MODELS "phi3-long.gguf",
         {RESHAPE("rope_factors_short.weight", F32, 4, NAN, 2, 1, 4)},
         "rope_factors_short.weight has infinities or NaN"},
        {MODELS "rope-llama3.gguf",
         {RESHAPE("rope_freqs.weight", F32, 4, 1, 2, 3, INFINITY)},
         "rope_freqs.weight has infinities or NaN"},
    };
    check_changes(factors, sizeof factors / sizeof *factors);
}

/* Lists of one number for each layer, keys that must have one value, and those that must be there. */
static void test_keys(void) {
    static const change changes[] = {
        {MODELS "qwen2.gguf", {SET_ARRAY("qwen2.attention.head_count", U32, 2, 4, 4)}, NULL},
        {MODELS "qwen2.gguf", {SET_ARRAY("qwen2.attention.head_count_kv", I32, 2, 2, 2)}, NULL},
        {MODELS "qwen2.gguf", {SET_ARRAY("qwen2.feed_forward_length", U64, 2, 48, 48)}, NULL},
        {MODELS "qwen2.gguf",
         {SET_ARRAY("qwen2.feed_forward_length", U32, 2, 48, 32)},
         "qwen2.feed_forward_length differs from layer"},
        {MODELS "qwen2.gguf",
         {SET_ARRAY("qwen2.attention.head_count_kv", U32, 3, 2, 2, 2)},
         "a list of 3 numbers, for 2 layers"},
        {MODELS "qwen2.gguf", {SET_ARRAY("qwen2.attention.head_count_kv", U32, 0, 0)}, "a list of 0 numbers"},
        {MODELS "qwen2.gguf",
         {SET_ARRAY("qwen2.attention.head_count", F32, 2, NAN, 4)},
         "qwen2.attention.head_count is out of range"},
        {MODELS "qwen2.gguf", {SET_ARRAY("qwen2.block_count", U32, 2, 2, 2)}, "qwen2.block_count is not a number"},
        {MODELS "mixtral.gguf", {SET_ARRAY("llama.expert_used_count", U32, 2, 2, 2)}, NULL},
        {MODELS "qwen2moe.gguf", {SET_ARRAY("qwen2moe.expert_feed_forward_length", U32, 2, 20, 20)}, NULL},
        {MODELS "gemma3.gguf",
         {SET_ARRAY("gemma3.attention.sliding_window_pattern", BOOL, 8, 1, 1, 1, 1, 1, 0, 1, 1)},
         NULL},
        {MODELS "gemma3.gguf",
         {SET_ARRAY("gemma3.attention.sliding_window_pattern", BOOL, 8, 1, 0, 0, 1, 1, 0, 1, 1)},
         "gemma3.attention.sliding_window_pattern lists"},
        {MODELS "qwen2.gguf", {SET("qwen2.embedding_length_out", U32, 32)}, NULL},
        {MODELS "qwen2.gguf", {SET("qwen2.embedding_length_out", U32, 16)}, "qwen2.embedding_length_out is 16"},
        {MODELS "qwen2.gguf",
         {SET("qwen2.nextn_predict_layers", U32, 1)},
         "qwen2.nextn_predict_layers is 1; of qwen2 models only 0"},
        {MODELS "qwen2.gguf",
         {SET_ARRAY("qwen2.nextn_predict_layers", U32, 2, 0, 1)},
         "qwen2.nextn_predict_layers is 1; of"},
        {MODELS "qwen2.gguf",
         {SET_TEXT("qwen2.nextn_predict_layers", "none")},
         "qwen2.nextn_predict_layers is no number; of"},
        {MODELS "qwen2.gguf", {SET("qwen2.nextn_predict_layers", U32, 0)}, NULL},
        {MODELS "mixtral.gguf", {SET("llama.expert_group_count", U32, 2)}, "llama.expert_group_count is 2"},
        {MODELS "mixtral.gguf", {SET("llama.expert_group_count", F32, NAN)}, "llama.expert_group_count is"},
        {MODELS "qwen2.gguf", {SET("qwen2.attention.key_length_swa", U32, 4)}, "qwen2.attention.key_length_swa is 4"},
        {MODELS "qwen2.gguf", {SET("qwen2.rope.dimension_count_swa", U32, 6)}, "qwen2.rope.dimension_count_swa is 6"},
        {MODELS "deepseek.gguf",
         {SET("deepseek.expert_weights_scale", F32, 2.5)},
         "deepseek.expert_weights_scale is 2.5"},
        {MODELS "granite.gguf",
         {SET_ARRAY("granite.deepstack_mapping", I32, 2, -1, 3)},
         "granite.deepstack_mapping is 3; of"},
        {MODELS "granite.gguf", {SET_ARRAY("granite.deepstack_mapping", I32, 2, -1, -1)}, NULL},
        {MODELS "qwen2.gguf", {SET_TEXT("qwen2.rope.scaling.type", "ntk")}, "RoPE scaling \"ntk\""},
        {MODELS "qwen2.gguf", {SET("qwen2.a.key.of.nobodys", F32, NAN)}, NULL},
        {MODELS "qwen2.gguf", {SET("qwen2.attention.layer_norm_epsilon", F32, NAN)}, NULL}, /* of others */
        {MODELS "qwen2.gguf",
         {DROP("qwen2.attention.layer_norm_rms_epsilon")},
         "qwen2.attention.layer_norm_rms_epsilon is missing"},
        {MODELS "gpt2.gguf",
         {DROP("gpt2.attention.layer_norm_epsilon")},
         "gpt2.attention.layer_norm_epsilon is missing"},
        {MODELS "granite.gguf", {DROP("granite.logit_scale")}, "granite.logit_scale is missing"},
        {MODELS "gptneox.gguf", {DROP("gptneox.use_parallel_residual")}, "gptneox.use_parallel_residual is missing"},
        {MODELS "deepseek.gguf", {DROP("deepseek.expert_shared_count")}, "deepseek.expert_shared_count is missing"},
        {MODELS "deepseek.gguf",
         {DROP("deepseek.expert_feed_forward_length")},
         "deepseek.expert_feed_forward_length is missing"},
    };
    check_changes(changes, sizeof changes / sizeof *changes);
}

/* Feeds bytes[0 ... to) in pieces, and checks nb_loader_tensor after each: the names come in the file's order. */
static size_t feed(nb_loader *l, const uint8_t *bytes, size_t to, const nb_checkpoint *c) {
    nb_error err;
    uint64_t at_hand = 0;
    size_t capacity, seen = 0;
    for (size_t at = 0; at < to;) {
        uint8_t *space = nb_loader_space(l, &capacity);
        size_t n = NB_MIN(NB_MIN(777, capacity), to - at);
        memcpy(space, bytes + at, n);
        at += n;
        CHECK(nb_loader_commit(l, n, &err) == NB_OK, "%s", err.message);
        char name[NB_GGUF_MAX_NAME + 1];
        size_t length = nb_loader_tensor(l, name, sizeof name);
        if (!length)
            continue;
        while (at_hand < c->n_tensors && !nb_text_is(nb_checkpoint_tensor_name(c, &c->tensors[at_hand]), name))
            at_hand++;
        CHECK(at_hand < c->n_tensors && length == nb_length(name), "%s is at hand after %z bytes", name, at);
        seen++;
    }
    return seen;
}

/* nb_loader_tensor: the tensor whose bytes come next. */
static void test_tensor_at_hand(void) {
    size_t size;
    nb_error err;
    uint8_t *bytes = test_read_all(MODELS "qwen2.gguf", &size);
    nb_model *whole = test_load(bytes, size, 0, size, &err);
    nb_loader *l = nb_loader_new(0, NB_LOAD_ALL, &err);
    char name[6];
    if (!CHECK(whole && l, "%s", err.message))
        return;
    const nb_checkpoint *c = &whole->checkpoint;
    nb_text last = nb_checkpoint_tensor_name(c, &c->tensors[c->n_tensors - 1]);
    CHECK(nb_loader_tensor(l, name, sizeof name) == 0 && !name[0], "there is none before the header");
    CHECK(feed(l, bytes, (size_t)c->total_bytes - 1, c) > 10, "some were at hand");
    CHECK(nb_loader_tensor(l, name, sizeof name) == last.size && nb_text_is((nb_text){last.data, 5}, name),
          "%t is last, not %s", last, name);
    CHECK(nb_loader_tensor(l, NULL, 0) == last.size, "its length alone");
    size_t capacity;
    *nb_loader_space(l, &capacity) = bytes[c->total_bytes - 1];
    CHECK(nb_loader_commit(l, 1, &err) == NB_OK, "%s", err.message);
    CHECK(nb_loader_tensor(l, name, sizeof name) == 0, "there is none at the end");
    nb_model_free(nb_loader_finish(l, &err));
    CHECK(nb_loader_tensor(l, name, sizeof name) == 0, "nor without a model");
    nb_loader_free(l);
    nb_model_free(whole);
    nb_free(bytes);
}

void test_loading(void) {
    test_tensor_at_hand();
    test_places();
    test_companions();
    test_numbers();
    test_keys();
}
