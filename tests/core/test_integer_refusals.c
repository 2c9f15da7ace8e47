/* Refused files: models that cannot become integers, and damaged models of integers. Nothing is read beyond a file's
 * end. */
#include "../../src/formats/gguf.h"
#include "../../src/types/types.h"
#include "check.h"
#include "edit.h"
#include "integers.h"

#define SOURCE "tests/fixtures/models/odd-sizes.gguf"
#define SEPARATE "tests/fixtures/models/separate-output.gguf"

static void expect(const nb_error *err, const void *made, int32_t code, const char *words) {
    CHECK(!made && err->code == code && test_contains(err->message, words), "\"%s\" (code %d) does not say \"%s\"",
          err->message, err->code, words);
}

/* Models that cannot become integers. */
static void test_sources(const uint8_t *file, size_t size) {
    static const struct {
        test_edit edit;
        int32_t code;
        const char *words;
    } cases[] = {
        {SET_TEXT("general.architecture", "gpt2"), NB_ERR_UNSUPPORTED, "architecture llama"},
        {SET("llama.block_count", U32, 0), NB_ERR_FORMAT, "llama.block_count"},
        {SET("llama.embedding_length", F32, 1e9), NB_ERR_FORMAT, "llama.embedding_length"},
        {SET("llama.attention.layer_norm_rms_epsilon", F32, 0.5), NB_ERR_FORMAT, "epsilon"},
        {SET("llama.attention.key_length", U32, 11), NB_ERR_UNSUPPORTED, "even size"},
        {SET("llama.attention.head_count_kv", U32, 4), NB_ERR_UNSUPPORTED, "even size"},
        {SET("llama.rope.dimension_count", U32, 6), NB_ERR_UNSUPPORTED, "all of which RoPE rotates"},
        {SET_TEXT("llama.rope.scaling.type", "yarn"), NB_ERR_UNSUPPORTED, "yarn"},
        {SET("llama.rope.scaling.factor", F32, 1e-9), NB_ERR_FORMAT, "too small"},
        {SET("llama.rope.scaling.attn_factor", F32, 1.5), NB_ERR_UNSUPPORTED, "attn_factor, which is 1.5"},
        {SET("llama.rope.interleaved", U32, 0), NB_ERR_UNSUPPORTED, "llama.rope.interleaved"},
        {SET("llama.attention.sliding_window", U32, 8), NB_ERR_UNSUPPORTED, "sliding window"},
        {SET("llama.attention.causal", U32, 0), NB_ERR_UNSUPPORTED, "llama.attention.causal"},
        {SET("llama.feed_forward_length", U32, 49), NB_ERR_FORMAT, "ffn"},
        {SET("llama.block_count", U32, 1), NB_OK, ""},
        {RENAME("blk.0.attn_q.weight", "blk.0.attn_q.bias"), NB_ERR_UNSUPPORTED, "attn_q.bias"},
        {RENAME("blk.0.attn_q.weight", "blk.7.attn_q.weight"), NB_ERR_UNSUPPORTED, "blk.7.attn_q.weight"},
        {OMIT("token_embd.weight"), NB_ERR_FORMAT, "token embedding"},
    };
    nb_error err;
    size_t edited_size, made_size;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint8_t *edited = test_edit_gguf(file, size, &cases[i].edit, 1, &edited_size);
        err = (nb_error){0};
        uint8_t *made = test_integers_of(edited, edited_size, &made_size, &err);
        if (cases[i].code)
            expect(&err, made, cases[i].code, cases[i].words);
        else
            CHECK(made, "%s", err.message);
        nb_free(made);
        nb_free(edited);
    }
    uint8_t *made = test_integers_of(file, size - 64, &made_size, &err);
    expect(&err, made, NB_ERR_TRUNCATED, "ends");
}

static nb_integer_model *edited_model(const uint8_t *file, size_t size, const test_edit *edit, uint8_t **edited,
                                      nb_error *err) {
    size_t edited_size;
    *err = (nb_error){0};
    *edited = test_edit_gguf(file, size, edit, 1, &edited_size);
    return nb_integer_model_new(*edited, edited_size, err);
}

/* Damaged values and tensors in a file of integers. */
static void test_files(const uint8_t *file, size_t size) {
    static const struct {
        test_edit edit;
        const char *words;
    } cases[] = {
        {DROP("integer.version"), "integer.version"},
        {SET("integer.version", U32, 2), "integer.version is 2, not 1 to 1"},
        {SET("integer.vocabulary", U32, 0), "integer.vocabulary"},
        {SET("integer.vocabulary", U32, 262), "token_embd.weight"},
        {SET("integer.width", U32, 70000), "integer.width"},
        {SET("integer.width", F32, 42), "no value integer.width of the type U32"},
        {SET("integer.layers", U32, 2), "blk.1.attn_q.weight is missing"},
        {SET("integer.heads", U32, 0), "integer.heads"},
        {SET("integer.kv_heads", U32, 7), "integer.kv_heads"},
        {SET("integer.kv_heads", U32, 4), "do not fit"},
        {SET("integer.head_size", U32, 11), "do not fit"},
        {SET("integer.head_size", U32, 10), "rope.steps"},
        {SET("integer.context", U32, 1 << 21), "integer.context"},
        {SET("integer.epsilon", U32, 1 << 20), "integer.epsilon"},
        {SET("integer.score.multiplier", U32, 5), "integer.score.multiplier"},
        {SET("integer.score.shift", U32, 63), "integer.score.shift"},
        {RENAME("blk.0.ffn_up.weight", "blk.0.ffn_up.bias"), "blk.0.ffn_up.weight is missing"},
        {RESHAPE("blk.0.ffn_up.weight", I8, 50), "blk.0.ffn_up.weight is not of the type"},
        {RESHAPE("blk.0.attn_norm.scales", I8, 43), "blk.0.attn_norm.scales is not of the type"},
        {RESHAPE("blk.0.attn_norm.scales", I32, 43, -2147483648.0), "number 0 of tensor blk.0.attn_norm.scales"},
        {RESHAPE("blk.0.ffn_up.multipliers", I32, 51, 1, 1, 0), "number 2 of tensor blk.0.ffn_up.multipliers is 0"},
        {OMIT("rope.steps"), "rope.steps is missing"},
    };
    uint8_t *edited;
    nb_error err;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nb_integer_model *m = edited_model(file, size, &cases[i].edit, &edited, &err);
        expect(&err, m, NB_ERR_FORMAT, cases[i].words);
        nb_integer_model_free(m);
        nb_free(edited);
    }
    nb_integer_model *m =
        edited_model(file, size, &(test_edit)SET_TEXT("general.architecture", "llama"), &edited, &err);
    expect(&err, m, NB_ERR_UNSUPPORTED, "--method integer");
    nb_free(edited);
    m = nb_integer_model_new(file, size - 30, &err);
    expect(&err, m, NB_ERR_TRUNCATED, "");
    m = nb_integer_model_new(file, 40, &err);
    expect(&err, m, NB_ERR_TRUNCATED, "");
}

/* Wrong shifts, which follow a tensor's numbers. */
static void test_shifts(uint8_t *file, size_t size) {
    nb_checkpoint c = {0};
    nb_gguf g = {.file_bytes = size};
    nb_error err;
    CHECK(nb_gguf_parse(&g, &c, file, size, &err) == NB_GGUF_DONE, "%s", err.message);
    for (uint64_t i = 0; i < c.n_tensors; i++) {
        const nb_tensor_info *t = &c.tensors[i];
        nb_text name = {(const char *)file + t->name_at, (size_t)t->name_size};
        if (!nb_text_ends(name, ".multipliers") && !nb_text_ends(name, ".scales"))
            continue;
        static const int32_t shifts[] = {-1, 63, INT32_MIN};
        uint8_t *at = file + t->at + t->bytes - sizeof(int32_t), before[sizeof(int32_t)];
        memcpy(before, at, sizeof before);
        for (size_t k = 0; k < 3; k++) {
            memcpy(at, &shifts[k], sizeof shifts[k]);
            nb_integer_model *m = nb_integer_model_new(file, size, &err);
            expect(&err, m, NB_ERR_FORMAT, "has the shift");
        }
        memcpy(at, before, sizeof before);
    }
    nb_checkpoint_free(&c);
}

static void test_sessions(const uint8_t *file, size_t size) {
    nb_error err = {0};
    nb_integer_model *m = nb_integer_model_new(file, size, &err);
    if (!CHECK(m, "%s", err.message))
        return;
    nb_integer_session *s = nb_integer_session_new(m, NULL, 4, &err);
    CHECK(s && nb_integer_session_bytes(m, NULL, 4) > 0, "%s", err.message);
    CHECK(!nb_integer_session_new(m, NULL, 0, &err) && err.code == NB_ERR_ARGUMENT, "a context of 0");
    CHECK(!nb_integer_session_new(m, NULL, 1 << 20, &err) && test_contains(err.message, "this model has"),
          "a large context");
    CHECK(nb_integer_session_choose(s, &err) == NB_ERR_STATE, "no logits");
    const int32_t tokens[] = {1, 2, 3, 4, 5}, wrong[] = {1, -1}, large[] = {1 << 20};
    CHECK(nb_integer_session_advance(s, tokens, 0, 0, &err) == NB_ERR_ARGUMENT, "no tokens");
    CHECK(nb_integer_session_advance(s, tokens, 5, 0, &err) == NB_ERR_CONTEXT, "five tokens");
    CHECK(nb_integer_session_advance(s, wrong, 2, 0, &err) == NB_ERR_ARGUMENT, "a negative token");
    CHECK(nb_integer_session_advance(s, large, 1, 0, &err) == NB_ERR_ARGUMENT, "a large token");
    CHECK(nb_integer_session_advance(s, tokens, 1, 2, &err) == NB_ERR_ARGUMENT, "unknown flags");
    CHECK(nb_integer_session_advance(s, tokens, 4, NB_LOGITS_LAST, &err) == 4, "%s", err.message);
    CHECK(nb_integer_session_holds(s, tokens, 5) == 4 && nb_integer_session_holds(s, wrong, 2) == 1, "held tokens");
    CHECK(nb_integer_session_choose(s, &err) >= 0, "%s", err.message);
    nb_integer_session_free(s);
    nb_integer_session_free(NULL);
    nb_integer_model_free(m);
    nb_integer_model_free(NULL);
}

void test_integer_refusals(void) {
    size_t size, made_size;
    nb_error err = {0};
    uint8_t *file = test_read_all(SOURCE, &size);
    test_sources(file, size);
    uint8_t *made = test_integers_of(file, size, &made_size, &err);
    if (CHECK(made, "%s", err.message)) {
        test_files(made, made_size);
        test_shifts(made, made_size);
        test_sessions(made, made_size);
    }
    nb_free(made);
    nb_free(file);
}
