/* Whole model files through the loader and sessions: a Llama, damaged copies of it, other families. greedy.test.js and
 * logits.test.js compare the numbers with oracles. Here they must not depend on how the bytes arrived, on batches,
 * threads, or what the cache held before; and damage must not crash anything. */
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/models/rope.h"
#include "../../src/models/session.h"
#include "check.h"
#include "load.h"
#include "random.h"

#include <math.h>

enum { TOKENS = 40, CONTEXT = 64 };

static uint8_t *file;
static size_t file_size;

/* Logits of the last of n tokens -> out [vocabulary]. */
static void evaluate(nb_session *s, const int32_t *tokens, int32_t n, float *out, int32_t vocabulary) {
    nb_error err;
    int32_t held, rows;
    do
        held = nb_session_advance(s, tokens, n, NB_LOGITS_LAST, &err);
    while (held >= 0 && held < n);
    if (!CHECK(held == n, "%s", err.message))
        return;
    float *logits = nb_session_logits(s, &rows);
    CHECK(rows == 1, "%d rows of logits", rows);
    memcpy(out, logits, (size_t)vocabulary * sizeof(float));
}

static void check_same(const float *a, const float *b, int32_t n, const char *what) {
    int32_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    CHECK(i == n, "%s: logit %d is %g, not %g", what, i, (double)b[i], (double)a[i]);
}

static void check_sessions(const nb_model *m, const float *expected, const int32_t *tokens, int32_t vocabulary) {
    static const uint32_t batches[] = {1, 2, 3, 7, 40};
    nb_error err;
    float *got = nb_alloc((size_t)vocabulary * sizeof(float));
    for (int32_t threads = 1; threads <= 3; threads++) {
        nb_pool *pool = test_pool_new(threads);
        for (size_t b = 0; b < sizeof batches / sizeof *batches; b++) {
            nb_session *s = nb_session_new(m, pool, CONTEXT, batches[b], NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
            if (!CHECK(s, "%s", err.message))
                continue;
            evaluate(s, tokens, TOKENS, got, vocabulary);
            check_same(expected, got, vocabulary, "another batch or thread count");
            evaluate(s, tokens, TOKENS, got, vocabulary); /* all of it is held */
            check_same(expected, got, vocabulary, "the same prefix again");
            int32_t other[TOKENS];
            memcpy(other, tokens, sizeof other);
            other[TOKENS / 2] ^= 1; /* rewinds to the middle */
            evaluate(s, other, TOKENS - 3, got, vocabulary);
            evaluate(s, tokens, TOKENS, got, vocabulary);
            check_same(expected, got, vocabulary, "after a detour");
            nb_session_free(s);
        }
        test_pool_free(pool);
    }
    nb_free(got);
}

static void check_all_logits(const nb_model *m, const int32_t *tokens, const float *expected, int32_t vocabulary) {
    nb_error err;
    nb_pool *pool = test_pool_new(1);
    nb_session *s = nb_session_new(m, pool, CONTEXT, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    int32_t held = 0, rows = 0, all = 0;
    float *logits = NULL;
    while (held < TOKENS) {
        held = nb_session_advance(s, tokens, TOKENS, NB_LOGITS_ALL, &err);
        if (!CHECK(held > 0, "%s", err.message))
            break;
        logits = nb_session_logits(s, &rows);
        all += rows;
    }
    if (CHECK(all == TOKENS && rows > 0 && logits, "%d rows of logits for %d tokens", all, (int32_t)TOKENS))
        check_same(expected, logits + (size_t)(rows - 1) * (size_t)vocabulary, vocabulary, "all logits");
    nb_session_free(s);
    test_pool_free(pool);
}

static void check_misuse(const nb_model *m, const int32_t *tokens) {
    nb_error err = {0};
    nb_pool *pool = test_pool_new(1);
    CHECK(!nb_session_new(m, pool, 16, 0, NB_TYPE_Q4_1, NB_PRECISION_EXACT, 1, &err) && err.code == NB_ERR_ARGUMENT,
          "a Q4_1 cache");
    CHECK(!nb_session_new(m, pool, 16, 0, NB_TYPE_F16, 7, 1, &err) && err.code == NB_ERR_ARGUMENT, "precision 7");
    nb_session *s = nb_session_new(m, pool, 16, 0, NB_TYPE_F16, NB_PRECISION_FAST, 1, &err);
    const int32_t wrong[] = {1, -1}, beyond[] = {1, nb_model_vocabulary(m)};
    CHECK(nb_session_advance(s, tokens, 0, 0, &err) == NB_ERR_ARGUMENT, "no tokens");
    CHECK(nb_session_advance(s, tokens, 17, 0, &err) == NB_ERR_CONTEXT, "more than the context");
    CHECK(nb_session_advance(s, wrong, 2, 0, &err) == NB_ERR_ARGUMENT, "a negative token");
    CHECK(nb_session_advance(s, beyond, 2, 0, &err) == NB_ERR_ARGUMENT, "a token past the vocabulary");
    CHECK(nb_session_advance(s, tokens, 16, 0, &err) == 16, "works after errors, up to the brim");
    nb_session_free(s);
    test_pool_free(pool);
}

enum { PROMPT = 8, MADE = 25, ROOM = PROMPT + MADE - 1 };

static const nb_sampler_params sampling = {
    .temperature = 2,
    .top_k = 40,
    .top_p = 1,
    .repeat_penalty = 1.5f,
    .penalty_last = -1,
    .dry_base = 1,
    .steps = NB_STEPS_DEFAULT,
    .seed = 3,
};

/* Advances and samples one by one: MADE tokens after the PROMPT. */
static void sample_one_by_one(nb_session *s, const nb_model *m, int32_t *tokens) {
    nb_error err;
    nb_sampler *sampler = nb_sampler_new(m, &sampling, NULL, 0, &err);
    for (int32_t n = PROMPT, rows; n < PROMPT + MADE; n++) {
        for (int32_t held = 0; held < n;)
            held = nb_session_advance(s, tokens, n, NB_LOGITS_LAST, &err);
        tokens[n] = nb_sampler_next(sampler, nb_session_logits(s, &rows), tokens, n);
    }
    nb_sampler_free(sampler);
}

static int32_t end_token(const nb_model *m) {
    int32_t end = 0;
    while (!nb_model_is_end(m, end))
        end++;
    return end;
}

/* nb_session_generate after a prompt, some tokens a call: the same tokens as advancing and sampling one by one. */
static void check_generation(const nb_model *m, const int32_t *prompt) {
    static const int32_t counts[] = {1, 3, MADE};
    nb_error err = {0};
    nb_pool *pool = test_pool_new(2);
    int32_t expected[PROMPT + MADE], tokens[PROMPT + MADE], end = end_token(m);
    memcpy(expected, prompt, PROMPT * sizeof *prompt);
    nb_session *s = nb_session_new(m, pool, ROOM, 3, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    sample_one_by_one(s, m, expected);
    nb_sampler *sampler;
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        memcpy(tokens, prompt, PROMPT * sizeof *prompt);
        sampler = nb_sampler_new(m, &sampling, NULL, 0, &err);
        for (int32_t n = PROMPT, made = 1; made > 0 && n < PROMPT + MADE; n += made) {
            made = nb_session_generate(s, sampler, tokens, n, NB_MIN(counts[i], PROMPT + MADE - n), 1, &err);
            CHECK(made == NB_MIN(counts[i], PROMPT + MADE - n), "%d made of %d: %s", made, counts[i], err.message);
        }
        for (int32_t n = PROMPT; n < PROMPT + MADE; n++)
            CHECK(tokens[n] == expected[n], "%d a call: token %d is %d, not %d", counts[i], n, tokens[n], expected[n]);
        nb_sampler_free(sampler);
    }

    nb_bias bias = {end, 1e30f};
    sampler = nb_sampler_new(m, &sampling, &bias, 1, &err);
    CHECK(nb_session_generate(s, sampler, tokens, PROMPT, 5, 0, &err) == 1 && tokens[PROMPT] == end, "the end is last");
    CHECK(nb_session_generate(s, sampler, tokens, PROMPT, 5, 1, &err) == 5 && tokens[PROMPT + 4] == end,
          "past the end");
    CHECK(nb_session_generate(s, sampler, tokens, 0, 1, 0, &err) == NB_ERR_ARGUMENT, "no tokens");
    CHECK(nb_session_generate(s, sampler, tokens, PROMPT, MADE + 1, 1, &err) == NB_ERR_CONTEXT,
          "more than the context");
    nb_sampler_free(sampler);
    nb_session_free(s);
    test_pool_free(pool);
}

/* Guesses, of which the first `right` are right and the others wrong, change no token; each call makes right + 1. */
static void check_guesses(nb_session *s, const nb_model *m, const int32_t *expected, int32_t guesses, int32_t right) {
    nb_error err = {0};
    int32_t tokens[PROMPT + MADE];
    memcpy(tokens, expected, PROMPT * sizeof *tokens);
    nb_sampler *sampler = nb_sampler_new(m, &sampling, NULL, 0, &err);
    for (int32_t held = 0; held < PROMPT;)
        held = nb_session_advance(s, tokens, PROMPT, NB_LOGITS_LAST, &err);
    int32_t n = PROMPT;
    while (n + guesses + 1 <= PROMPT + MADE) {
        for (int32_t i = 0; i < guesses; i++)
            tokens[n + i] = i < right ? expected[n + i] : expected[n + i] ^ 1;
        int32_t made = nb_session_speculate(s, sampler, tokens, n, guesses, 1, &err);
        if (!CHECK(made == right + 1, "%d of %d right: %d made, %s", right, guesses, made, err.message))
            break;
        n += made;
        CHECK(nb_session_holds(s, tokens, n) == n - 1, "it holds all but the last");
    }
    while (n < PROMPT + MADE && nb_session_generate(s, sampler, tokens, n, 1, 1, &err) == 1)
        n++;
    for (int32_t i = PROMPT; i < n; i++)
        CHECK(tokens[i] == expected[i], "%d of %d: token %d is %d, not %d", right, guesses, i, tokens[i], expected[i]);
    CHECK(n == PROMPT + MADE, "%d of %d right: %d tokens", right, guesses, n);
    nb_sampler_free(sampler);
}

static void check_speculation(const nb_model *m, const int32_t *prompt) {
    nb_error err = {0};
    nb_pool *pool = test_pool_new(2);
    int32_t expected[PROMPT + MADE], end = end_token(m);
    memcpy(expected, prompt, PROMPT * sizeof *prompt);
    for (uint32_t precision = NB_PRECISION_EXACT; precision <= NB_PRECISION_FAST; precision++) {
        nb_session *s = nb_session_new(m, pool, ROOM, 0, NB_TYPE_I16, precision, 1, &err);
        sample_one_by_one(s, m, expected);
        for (int32_t guesses = 0; guesses <= NB_MAX_GUESSES; guesses++)
            for (int32_t right = 0; right <= guesses; right++)
                check_guesses(s, m, expected, guesses, right);
        nb_session_free(s);
    }
    nb_session *s = nb_session_new(m, pool, ROOM, 3, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    nb_bias bias = {end, 1e30f};
    nb_sampler *sampler = nb_sampler_new(m, &sampling, &bias, 1, &err);
    CHECK(nb_session_speculate(s, sampler, expected, PROMPT, 2, 0, &err) == NB_ERR_STATE, "nothing is held");
    sample_one_by_one(s, m, expected);
    CHECK(nb_session_speculate(s, sampler, expected, PROMPT, 3, 0, &err) == NB_ERR_ARGUMENT, "more than the batch");
    CHECK(nb_session_speculate(s, sampler, expected, PROMPT, -1, 0, &err) == NB_ERR_ARGUMENT, "-1 guesses");
    CHECK(nb_session_speculate(s, sampler, expected, 0, 1, 0, &err) == NB_ERR_STATE, "no prefix");
    CHECK(nb_session_speculate(s, sampler, expected, ROOM, 1, 0, &err) == NB_ERR_CONTEXT, "more than the context");
    expected[PROMPT] = expected[PROMPT + 1] = end;
    CHECK(nb_session_speculate(s, sampler, expected, PROMPT, 2, 0, &err) == 1, "the end is the last");
    CHECK(nb_session_speculate(s, sampler, expected, PROMPT, 2, 1, &err) == 3, "past the end");
    expected[PROMPT] = -1;
    CHECK(nb_session_speculate(s, sampler, expected, PROMPT, 1, 0, &err) == NB_ERR_ARGUMENT, "a guess of no token");
    nb_sampler_free(sampler);
    nb_session_free(s);
    test_pool_free(pool);
}

static void check_cut(void) {
    uint32_t seed = 77;
    /* every kilobyte or so, and the last bytes; with the size announced or not */
    for (size_t size = 0, step; size < file_size; size += step) {
        step = size > file_size - 8 ? 1 : NB_MIN(1 + test_random(&seed) % 2000, file_size - 7 - size);
        nb_error err = {0};
        nb_model *m = test_load(file, size, size & 1 ? (double)size : 0, 4096, &err);
        CHECK(!m && (err.code == NB_ERR_TRUNCATED || err.code == NB_ERR_FORMAT) && err.message[0],
              "cut after %z bytes: code %d, \"%s\"", size, err.code, err.message);
        nb_model_free(m);
        if (size >= file_size - 1)
            break;
    }
}

/* Finds a text in the header and writes another of the same length over it. */
static bool replace(uint8_t *bytes, const char *from, const char *to) {
    size_t n = nb_length(from);
    for (size_t i = 0; i + n < file_size; i++)
        if (nb_compare(bytes + i, from, n) == 0) {
            memcpy(bytes + i, to, n);
            return true;
        }
    return false;
}

typedef struct contradiction {
    const char *from, *to, *message;
} contradiction;

static void check_contradictions(const contradiction *cases, size_t n) {
    uint8_t *copy = nb_alloc(file_size);
    for (size_t i = 0; i < n; i++) {
        nb_error err = {0};
        memcpy(copy, file, file_size);
        if (!CHECK(replace(copy, cases[i].from, cases[i].to), "%s is not in the file", cases[i].from))
            continue;
        nb_model *m = test_load(copy, file_size, 0, 100000, &err);
        bool said = false;
        for (size_t k = 0; k + nb_length(cases[i].message) < sizeof err.message && !said; k++)
            said = nb_compare(err.message + k, cases[i].message, nb_length(cases[i].message)) == 0;
        CHECK(!m && said, "%s: \"%s\"", cases[i].to, err.message);
        nb_model_free(m);
    }
    nb_free(copy);
}

/* Random damage in the header: an error, or a model that computes something, but never a crash. */
static void check_harm(size_t header, int rounds) {
    uint8_t *copy = nb_alloc(file_size);
    uint32_t seed = 31, refused = 0;
    nb_pool *pool = test_pool_new(1);
    for (int round = 0; round < rounds; round++) {
        nb_error err = {0};
        memcpy(copy, file, file_size);
        for (int k = 0; k < 3; k++)
            copy[test_random(&seed) % header] = (uint8_t)test_random(&seed);
        nb_model *m = test_load(copy, file_size, (double)file_size, 65536, &err);
        refused += !m;
        nb_session *s = m ? nb_session_new(m, pool, 8, 0, NB_TYPE_F16, NB_PRECISION_EXACT, 1, &err) : NULL;
        float *embedding = m ? nb_alloc((size_t)nb_model_embedding_size(m) * sizeof(float)) : NULL;
        if (s)
            nb_session_embed(s, (const int32_t[]){0, 1, 2}, 3, 0, 0, 0, NB_POOLING_FILE, embedding, &err);
        nb_free(embedding);
        nb_session_free(s);
        nb_model_free(m);
    }
    CHECK(refused > 0, "no harm was noticed");
    test_pool_free(pool);
    nb_free(copy);
}

static void open_file(const char *path) {
    nb_free(file);
    file_size = test_read(path, NULL, 0);
    file = nb_alloc(file_size);
    test_read(path, file, file_size);
}

/* The results depend neither on batches nor on threads, and contradictions in the file are refused. */
static void check_family(const char *path, const contradiction *cases, size_t n_cases) {
    nb_error err = {0};
    open_file(path);
    nb_model *m = test_load(file, file_size, 0, 0, &err);
    if (!CHECK(m, "%s: %s", path, err.message))
        return;
    int32_t tokens[TOKENS], vocabulary = nb_model_vocabulary(m);
    test_tokens(tokens, TOKENS, m, 12);
    float *expected = nb_alloc((size_t)vocabulary * sizeof(float));
    nb_pool *pool = test_pool_new(1);
    nb_session *s = nb_session_new(m, pool, CONTEXT, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    evaluate(s, tokens, TOKENS, expected, vocabulary);
    nb_session_free(s);
    test_pool_free(pool);
    check_sessions(m, expected, tokens, vocabulary);
    check_contradictions(cases, n_cases);
    check_harm(3000, 60);
    nb_free(expected);
    nb_model_free(m);
}

/* Cosine and sine, also of large positions, to half a unit in the last place. */
static void check_angles(void) {
    const float frequencies[] = {1, 0.7f, 0.31f, 1e-3f, 2.5f};
    static const uint32_t positions[] = {0, 1, 2, 3, 5, 100, 4095, 131071, 1000003, 16777216};
    for (size_t i = 0; i < sizeof positions / sizeof *positions; i++) {
        float cosines[15], sines[15];
        nb_rope_angles(frequencies, 1, 5, positions[i], 3, cosines, sines);
        for (uint32_t k = 0; k < 15; k++) {
            uint32_t position = positions[i] + k / 5;
            double angle = (double)((float)position * frequencies[k % 5]);
            CHECK(fabs((double)cosines[k] - cos(angle)) <= 3.1e-8 && fabs((double)sines[k] - sin(angle)) <= 3.1e-8,
                  "angle %g: cosine %g, sine %g", angle, (double)cosines[k], (double)sines[k]);
        }
    }
    float cosine, sine;
    nb_rope_angles(&(float){1e30f}, 1, 1, 7, 1, &cosine, &sine);
    CHECK(cosine == 1 && sine == 0, "an angle of no meaning: %g, %g", (double)cosine, (double)sine);
}

/* A context cannot be longer than the learned positions. */
static void check_positions(void) {
    nb_error err = {0};
    open_file("tests/fixtures/models/gpt2.gguf");
    nb_model *m = test_load(file, file_size, 0, 0, &err);
    nb_pool *pool = test_pool_new(1);
    CHECK(!nb_session_new(m, pool, 65, 0, NB_TYPE_F16, NB_PRECISION_EXACT, 1, &err) && err.code == NB_ERR_ARGUMENT,
          "65 of 64 positions");
    nb_session *s = nb_session_new(m, pool, 0, 0, NB_TYPE_F16, NB_PRECISION_EXACT, 1, &err);
    int32_t tokens[64] = {0};
    CHECK(nb_session_advance(s, tokens, 64, 0, &err) == 64, "all positions: %s", err.message);
    nb_session_free(s);
    test_pool_free(pool);
    nb_model_free(m);
}

static void check_families(void) {
    static const contradiction gemma3[] = {
        {"blk.1.post_ffw_norm.weight", "blk.1.post_fxw_norm.weight", "post_fxw_norm.weight is not part"},
        {"gemma3.attention.layer_norm_rms_epsilon", "gemma3.attention.sliding_window_pattern",
         "layer_norm_rms_epsilon is missing"},
    };
    check_family("tests/fixtures/models/gemma3.gguf", gemma3, 2);
    check_family("tests/fixtures/models/gemma2.gguf", NULL, 0);
    static const contradiction gpt2[] = {
        {"position_embd.weight", "positixn_embd.weight", "positixn_embd.weight is not part"},
        {"gpt2.context_length", "gpt2.cxntext_length", "context_length is missing"},
        {"blk.1.attn_qkv.bias", "blk.1.ffn_down.biax", "ffn_down.biax is not part"},
    };
    check_family("tests/fixtures/models/gpt2.gguf", gpt2, 3);
    static const contradiction mixture[] = {
        {"qwen2moe.expert_used_count", "qwen2moe.expert_xsed_count", "expert_used_count is missing"},
        {"qwen2moe.expert_count", "qwen2moe.expert_cxunt", "ask for [32, 0, 1]"},
        {"blk.1.ffn_gate_inp.weight", "blk.9.ffn_gate_inp.weight", "is not part"},
    };
    check_family("tests/fixtures/models/qwen2moe.gguf", mixture, 3);
    check_positions();
    check_family("tests/fixtures/models/falcon-40b.gguf", NULL, 0);
    check_family("tests/fixtures/models/phi3-long.gguf", NULL, 0);
    open_file("tests/fixtures/encoders/bert.gguf");
    check_harm(3000, 60);
}

void test_model(void) {
    static const contradiction cases[] = {
        {"blk.0.attn_q.weight", "blk.0.attn_p.weight", "attn_p.weight is not part"},
        {"blk.1.attn_norm.weight", "blk.9.attn_norm.weight", "is not part"},
        {"llama.block_count", "llama.block_cxunt", "block_count is missing"},
        {"llama.embedding_length", "llama.embedding_lxngth", "embedding_length is missing"},
        {"token_embd.weight", "token_embx.weight", "token_embd.weight is missing"},
        {"output_norm.weight", "outputznorm.weight", "is not part"},
        {"general.architecture", "general.architexture", "does not name its architecture"},
    };
    open_file("tests/fixtures/tiny.gguf");
    nb_error err = {0};
    nb_model *m = test_load(file, file_size, (double)file_size, file_size, &err);
    if (!CHECK(m, "%s", err.message))
        return;
    int32_t tokens[TOKENS], vocabulary = nb_model_vocabulary(m);
    test_tokens(tokens, TOKENS, m, 11);
    float *expected = nb_alloc((size_t)vocabulary * sizeof(float)), *got = nb_alloc((size_t)vocabulary * sizeof(float));
    nb_pool *pool = test_pool_new(1);
    nb_session *s = nb_session_new(m, pool, CONTEXT, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    evaluate(s, tokens, TOKENS, expected, vocabulary);
    nb_session_free(s);
    static const size_t pieces[] = {1, 997, 65536, 0};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        nb_model *other = test_load(file, file_size, 0, pieces[i], &err);
        if (!CHECK(other, "pieces of %z: %s", pieces[i], err.message))
            continue;
        s = nb_session_new(other, pool, CONTEXT, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
        evaluate(s, tokens, TOKENS, got, vocabulary);
        check_same(expected, got, vocabulary, "other pieces");
        nb_session_free(s);
        nb_model_free(other);
    }
    test_pool_free(pool);
    check_sessions(m, expected, tokens, vocabulary);
    check_all_logits(m, tokens, expected, vocabulary);
    check_misuse(m, tokens);
    check_generation(m, tokens);
    check_speculation(m, tokens);
    size_t length = nb_model_describe(m, NULL, 0);
    char *text = nb_alloc(length + 1);
    CHECK(nb_model_describe(m, text, length + 1) == length && text[0] == '{' && text[length - 1] == '}' &&
              !text[length],
          "the description has another length when written");
    nb_free(text);
    check_cut();
    check_contradictions(cases, sizeof cases / sizeof *cases);
    check_harm(20000, 150);
    nb_free(got);
    nb_free(expected);
    nb_model_free(m);
    check_angles();
    check_families();
    nb_free(file);
    file = NULL;
}
