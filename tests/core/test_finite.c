/* Numbers that are not finite, in weights or computed from finite weights, are errors, and nothing crashes. */
#include "../../src/base/text.h"
#include "../../src/types/finite.h"
#include "../../src/types/traits.h"
#include "../../src/types/types.h"
#include "../../src/models/session.h"
#include "check.h"
#include "load.h"

#include <math.h>

enum { TOKENS = 40, CONTEXT = 64 };

static uint8_t *file;
static size_t file_size;

static void open_file(const char *path) {
    nb_free(file);
    file = test_read_all(path, &file_size);
}

static nb_model *load(nb_error *err) {
    return test_load(file, file_size, (double)file_size, 100000, err);
}

/* Every element of a vector of F32 becomes x. */
static void fill_vector(const char *name, float x) {
    nb_error err;
    nb_model *m = load(&err);
    const nb_tensor_info *t = nb_checkpoint_find_tensor(&m->checkpoint, name);
    for (uint64_t i = 0; i < t->shape[0]; i++)
        memcpy(file + t->at + 4 * i, &x, 4);
    nb_model_free(m);
}

/* Experts' scores that overflow: sums and differences of infinities. */
static void check_experts(float norm) {
    nb_error err = {0};
    open_file("tests/fixtures/models/qwen2moe.gguf");
    fill_vector("blk.0.ffn_norm.weight", norm);
    fill_vector("blk.1.ffn_norm.weight", norm);
    nb_model *m = load(&err);
    if (!CHECK(m, "%s", err.message))
        return;
    int32_t tokens[TOKENS];
    for (int32_t i = 0; i < TOKENS; i++)
        tokens[i] = 2 + i;
    nb_pool *pool = test_pool_new(2);
    for (uint32_t batch = 1; batch <= TOKENS; batch += TOKENS - 1) {
        nb_session *s = nb_session_new(m, pool, CONTEXT, batch, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
        int32_t held = 0;
        do
            held = nb_session_advance(s, tokens, TOKENS, NB_LOGITS_LAST, &err);
        while (held >= 0 && held < TOKENS);
        CHECK(held == (norm == 0 ? TOKENS : NB_ERR_FORMAT), "norm %g: %d, %s", (double)norm, held, err.message);
        for (uint32_t t = 0; t < batch; t++)
            for (uint32_t i = 0; i < m->shape.experts_used; i++)
                for (uint32_t k = 0; k < i; k++)
                    CHECK(s->choices[t * m->shape.experts_used + i].index !=
                              s->choices[t * m->shape.experts_used + k].index,
                          "norm %g, token %u: choices %u and %u are one expert", (double)norm, t, k, i);
        nb_session_free(s);
    }
    test_pool_free(pool);
    nb_model_free(m);
}

/* Bytes that make a tensor's number not finite; at: from its end. */
typedef struct harm {
    const char *file, *tensor;
    size_t at, size;
    uint8_t bytes[4];
} harm;

static bool says(const nb_error *err, const char *part) {
    for (size_t k = 0; k + nb_length(part) < sizeof err->message; k++)
        if (nb_compare(err->message + k, part, nb_length(part)) == 0)
            return true;
    return false;
}

/* Damage is found while the file is loaded. */
static void check_harm(const harm *h) {
    nb_error err = {0};
    open_file(h->file);
    nb_model *m = load(&err);
    const nb_tensor_info *t = m ? nb_checkpoint_find_tensor(&m->checkpoint, h->tensor) : NULL;
    if (CHECK(t && t->bytes >= h->at + h->size, "%s: no %s", h->file, h->tensor))
        memcpy(file + t->at + t->bytes - h->at - h->size, h->bytes, h->size); /* counted from its end */
    nb_model_free(m);
    m = load(&err);
    CHECK(!m && err.code == NB_ERR_FORMAT && says(&err, h->tensor) && says(&err, "not finite"), "%s, %s: \"%s\"",
          h->file, h->tensor, err.message);
    nb_model_free(m);
}

/* The weights are finite, but what is computed with them is not: generation and embeddings are errors. */
static void check_overflow(const char *path, const char *tensor, uint32_t cache) {
    nb_error err = {0};
    open_file(path);
    fill_vector(tensor, 3e38f);
    nb_model *m = load(&err);
    if (!CHECK(m, "%s", err.message))
        return;
    int32_t tokens[TOKENS] = {2, 3, 4, 5, 6, 7, 8, 9};
    float *out = nb_alloc((size_t)nb_model_width(m) * sizeof *out);
    nb_session *s = nb_session_new(m, NULL, CONTEXT, 0, cache, NB_PRECISION_FAST, 1, &err);
    nb_sampler *sampler =
        nb_sampler_new(m, &(nb_sampler_params){.top_p = 1, .repeat_penalty = 1, .dry_base = 1}, NULL, 0, &err);
    for (int32_t again = 0; again < 2; again++) {
        err = (nb_error){0};
        CHECK(nb_session_generate(s, sampler, tokens, 8, 1, 1, &err) == NB_ERR_FORMAT && says(&err, "not finite"),
              "%s, %s: generates, \"%s\"", path, tensor, err.message);
        err = (nb_error){0};
        CHECK(nb_session_embed(s, tokens, 8, 0, 0, 0, NB_POOLING_MEAN, out, &err) == NB_ERR_FORMAT &&
                  says(&err, "not finite"),
              "%s, %s: embeds, \"%s\"", path, tensor, err.message);
    }
    nb_sampler_free(sampler);
    nb_session_free(s);
    nb_model_free(m);
    nb_free(out);
}

/* Every type whose blocks can hold infinities. */
static void check_blocks(void) {
    static const struct {
        uint32_t type, size;
        size_t at;
        uint8_t bytes[8];
    } cases[] = {
        {NB_TYPE_F32, 4, 0, {0, 0, 0x80, 0x7f}},
        {NB_TYPE_F32, 4, 0, {1, 0, 0x80, 0xff}},
        {NB_TYPE_F16, 2, 0, {0, 0x7c}},
        {NB_TYPE_F16, 2, 0, {0, 0xfe}},
        {NB_TYPE_BF16, 2, 0, {0x80, 0x7f}},
        {NB_TYPE_F64, 8, 0, {0, 0, 0, 0, 0, 0, 0xf8, 0x7f}},
        {NB_TYPE_F8_E4M3, 1, 0, {0xff}},
        {NB_TYPE_F8_E5M2, 1, 0, {0x7c}},
        {NB_TYPE_MXFP4, 1, 0, {0xff}},
        {NB_TYPE_NF4, 4, 0, {0, 0, 0xc0, 0x7f}},
        {NB_TYPE_FP4, 4, 0, {0, 0, 0x80, 0xff}},
        {NB_TYPE_Q8_K, 4, 0, {0, 0, 0xc0, 0x7f}},
        {NB_TYPE_Q4_0, 2, 0, {0, 0x7c}},
        {NB_TYPE_Q4_1, 2, 2, {0, 0xfc}},
        {NB_TYPE_Q5_0, 2, 0, {0, 0x7e}},
        {NB_TYPE_Q5_1, 2, 2, {0, 0x7c}},
        {NB_TYPE_Q8_0, 2, 0, {0, 0x7c}},
        {NB_TYPE_Q8_1, 2, 0, {0, 0x7c}},
        {NB_TYPE_Q2_K, 2, offsetof(nb_block_q2_k, d) + 2, {0, 0x7c}},
        {NB_TYPE_Q3_K, 2, offsetof(nb_block_q3_k, d), {0, 0x7c}},
        {NB_TYPE_Q4_K, 2, 2, {0, 0x7c}},
        {NB_TYPE_Q5_K, 2, 0, {0, 0x7c}},
        {NB_TYPE_Q6_K, 2, offsetof(nb_block_q6_k, d), {0, 0xfc}},
        {NB_TYPE_IQ4_NL, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ4_XS, 2, 0, {0, 0x7c}},
        {NB_TYPE_Q1_0, 2, 0, {0, 0x7c}},
        {NB_TYPE_Q2_0, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ2_XXS, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ2_XS, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ2_S, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ3_XXS, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ3_S, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ1_S, 2, 0, {0, 0x7c}},
        {NB_TYPE_IQ1_M, 8, 48, {0, 0, 0, 0, 0, 0xc0, 0, 0x70}},
        {NB_TYPE_TQ1_0, 2, offsetof(nb_block_tq1_0, d), {0, 0x7c}},
        {NB_TYPE_TQ2_0, 2, offsetof(nb_block_tq2_0, d), {0, 0x7c}},
    };
    enum { BLOCKS = 11 };
    uint32_t seed = 3;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const nb_traits *traits = nb_traits_of(cases[i].type);
        size_t block = traits->block_bytes;
        uint8_t *bytes = nb_alloc(1 + BLOCKS * block); /* at an odd address */
        for (uint32_t b = 0; b < BLOCKS; b++) {
            for (size_t k = 0; k < BLOCKS * block; k++) /* bits that make no number large */
                bytes[1 + k] = (uint8_t)(test_random(&seed) & 0x0f);
            CHECK(nb_blocks_are_finite(cases[i].type, bytes + 1, BLOCKS * block), "%s: finite", traits->name);
            memcpy(bytes + 1 + b * block + cases[i].at, cases[i].bytes, cases[i].size);
            CHECK(!nb_blocks_are_finite(cases[i].type, bytes + 1, BLOCKS * block), "%s: block %u is not finite",
                  traits->name, b);
            float out[256];
            bool finite = true;
            uint8_t *aligned = nb_alloc(block);
            memcpy(aligned, bytes + 1 + b * block, block);
            traits->dequantize(aligned, out, traits->block_weights);
            for (uint32_t k = 0; k < traits->block_weights; k++)
                finite &= isfinite(out[k]);
            CHECK(!finite || cases[i].type == NB_TYPE_MXFP4, "%s: block %u was finite indeed", traits->name, b);
            nb_free(aligned);
        }
        nb_free(bytes);
    }
}

void test_finite(void) {
    static const harm harms[] = {
        {"tests/fixtures/models/qwen2moe.gguf", "blk.1.ffn_norm.weight", 8, 4, {0, 0, 0x80, 0x7f}},
        {"tests/fixtures/models/qwen2moe.gguf", "blk.0.ffn_gate_inp.weight", 0, 4, {0, 0, 0xc0, 0x7f}},
        {"tests/fixtures/models/qwen2moe.gguf", "blk.1.ffn_up_exps.weight", 2, 2, {0, 0x7c}},
        {"tests/fixtures/models/gpt2.gguf", "blk.1.attn_qkv.weight", 10, 2, {0, 0xfe}},
        {"tests/fixtures/models/gpt2.gguf", "position_embd.weight", 0, 4, {0, 0, 0x80, 0xff}},
        {"tests/fixtures/encoders/bert.gguf", "blk.0.attn_q.bias", 0, 4, {1, 0, 0x80, 0x7f}},
    };
    for (size_t i = 0; i < sizeof harms / sizeof *harms; i++)
        check_harm(&harms[i]);
    check_blocks();
    static const uint32_t caches[] = {NB_TYPE_F32, NB_TYPE_F16, NB_TYPE_I16, NB_TYPE_Q8_0, NB_TYPE_Q4_0};
    for (size_t i = 0; i < sizeof caches / sizeof *caches; i++) {
        check_overflow("tests/fixtures/models/qwen2.gguf", "blk.0.attn_norm.weight", caches[i]); /* queries and keys */
        /* the last feed-forward network */
        check_overflow("tests/fixtures/models/qwen2.gguf", "blk.1.ffn_norm.weight", caches[i]);
        check_overflow("tests/fixtures/models/qwen2moe.gguf", "blk.1.ffn_norm.weight", caches[i]);
        check_overflow("tests/fixtures/models/gpt2.gguf", "blk.1.attn_norm.bias", caches[i]);
        /* here a cap of the logits follows */
        check_overflow("tests/fixtures/models/gemma2.gguf", "blk.3.ffn_norm.weight", caches[i]);
    }
    check_experts(0);
    check_experts(1e20f);
    check_experts(3e38f);
    check_experts(-3e38f);
    nb_free(file);
    file = NULL;
}
