/* LoRA adapters (models/adapter.h): products follow the formula, a session forgets what other adapters computed,
 * guesses change no token, and bad files are refused. (tests/js/adapters.test.js has logits of a model, from
 * tests/oracles/adapters.py.) */
#include "../../src/models/adapter.h"
#include "../../src/models/family.h"
#include "../../src/types/types.h"
#include "check.h"
#include "gguf_files.h"
#include "load.h"

#include <math.h>

#define PLAIN "tests/fixtures/models/biases.gguf"
#define MERGED "tests/fixtures/models/outliers-merged.gguf"
#define MIXTURE "tests/fixtures/models/mixtral.gguf"

enum { MOST_SIDE = 512, MOST_RANK = 8, MOST_TOKENS = 5 };

static nb_pool *pool;

/* One tensor of an adapter: [rows, columns] of random numbers, or of these bytes. */
typedef struct part {
    const char *name;
    uint64_t columns, rows;
    uint32_t type;
} part;

typedef struct values {
    const char *type, *adapter, *architecture;
    float alpha;
    bool alora;
} values;

static const values USUAL = {"adapter", "lora", "llama", 6, false};

static void put_string(file *f, const char *key, const char *value) {
    put_value(f, key, NB_VALUE_STRING, NULL, 0);
    put_text(f, value);
}

static size_t bytes_of(const part *p) {
    size_t n = (size_t)(p->columns * p->rows);
    return p->type == NB_TYPE_F32 ? 4 * n : p->type == NB_TYPE_Q8_0 ? n / 32 * 34 : 2 * n;
}

/* The numbers of tensor i: multiples of 1/8, which F16 and BF16 have, too. */
static float number_of(uint32_t i, uint64_t at) {
    return (float)((int32_t)((i * 131 + at * 7 + at / 5) % 17) - 8) / 8;
}

static void put_adapter(file *f, values v, const part *parts, uint32_t n) {
    put_start(f, n, 4 + v.alora);
    put_string(f, "general.type", v.type);
    put_string(f, "adapter.type", v.adapter);
    put_string(f, "general.architecture", v.architecture);
    put_value(f, "adapter.lora.alpha", NB_VALUE_F32, &v.alpha, sizeof v.alpha);
    if (v.alora) {
        put_array(f, "adapter.alora.invocation_tokens", NB_VALUE_U32, 1);
        put_u32(f, 1);
    }
    uint64_t at = 0;
    for (uint32_t i = 0; i < n; i++) {
        put_tensor(f, parts[i].name, parts[i].type, at, 2, (const uint64_t[]){parts[i].columns, parts[i].rows});
        at += NB_ROUND_UP(bytes_of(&parts[i]), 32);
    }
    for (uint32_t i = 0; i < n; i++) {
        put_data(f, 32, 0);
        for (uint64_t k = 0; k < parts[i].columns * parts[i].rows && parts[i].type == NB_TYPE_F32; k++) {
            float number = number_of(i, k);
            put(f, &number, sizeof number);
        }
        if (parts[i].type != NB_TYPE_F32)
            put_data(f, 1, bytes_of(&parts[i]));
    }
}

static nb_session *open_session(const nb_model *m) {
    nb_error err;
    nb_session *s = nb_session_new(m, pool, 32, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    CHECK(s, "%s", err.message);
    return s;
}

/* ---- products -------------------------------------------------------------------------------------------------- */

/* y - x W^T of a matrix, which begins at row `first` of those that the adapter has, is the formula's. */
static void check_product(nb_session *s, const nb_matrix *w, const nb_adapter *const *adapters, const float *scales,
                          const uint32_t *ranks, uint32_t n_adapters, uint32_t n, const char *what) {
    static float x[MOST_TOKENS * MOST_SIDE], plain[MOST_TOKENS * MOST_SIDE], y[MOST_TOKENS * MOST_SIDE];
    nb_error err;
    uint32_t seed = 3;
    for (uint32_t i = 0; i < n * w->columns; i++)
        x[i] = (float)(test_random(&seed) % 2001) / 1000 - 1;
    CHECK(nb_session_adapt(s, NULL, NULL, 0, &err) == NB_OK, "%s", err.message);
    nb_session_multiply(s, x, n, w->columns, &(nb_matmul_job){w, plain}, 1);
    CHECK(nb_session_adapt(s, adapters, scales, n_adapters, &err) == NB_OK, "%s", err.message);
    nb_session_multiply(s, x, n, w->columns, &(nb_matmul_job){w, y}, 1);
    for (uint32_t t = 0; t < n; t++)
        for (uint32_t r = 0; r < w->rows; r++) {
            double sum = 0;
            for (uint32_t i = 0; i < n_adapters; i++)
                for (uint32_t k = 0; k < ranks[i]; k++) {
                    double low = 0;
                    for (uint32_t c = 0; c < w->columns; c++)
                        low += (double)x[t * w->columns + c] * number_of(0, (uint64_t)k * w->columns + c);
                    sum += (double)scales[i] * USUAL.alpha / ranks[i] * low *
                           number_of(1, (uint64_t)(w->first + r) * ranks[i] + k);
                }
            double far = (double)y[t * w->rows + r] - plain[t * w->rows + r] - sum;
            if (!CHECK(fabs(far) < 1e-3, "%s: token %u, row %u is %g from the formula", what, t, r, far))
                return;
        }
}

static nb_adapter *adapter_of(const nb_model *m, const part *parts, uint32_t n) {
    nb_error err;
    file f = file_new();
    values v = USUAL;
    v.architecture = m->family->name;
    put_adapter(&f, v, parts, n);
    nb_adapter *a = nb_adapter_new(m, f.data, f.size, &err);
    CHECK(a, "%s", err.message);
    nb_free(f.data);
    return a;
}

static void check_products(void) {
    nb_model *m = test_load_file(PLAIN), *merged = test_load_file(MERGED);
    nb_session *s = open_session(m), *of_merged = open_session(merged);
    const nb_matrix *w = &m->layers[1].q;
    const nb_adapter *both[2];
    uint32_t ranks[] = {4, 3};
    for (uint32_t i = 0; i < 2; i++)
        both[i] = adapter_of(m,
                             (const part[]){{"blk.1.attn_q.weight.lora_a", w->columns, ranks[i], NB_TYPE_F32},
                                            {"blk.1.attn_q.weight.lora_b", ranks[i], w->rows, NB_TYPE_F32}},
                             2);
    for (uint32_t n = 1; n <= MOST_TOKENS; n++) {
        check_product(s, w, both, (const float[]){1}, ranks, 1, n, "one");
        check_product(s, w, both, (const float[]){0.5f, -2}, ranks, 2, n, "two");
    }
    CHECK(nb_adapter_bytes(both[0]) >= 4.0 * 4 * (w->columns + w->rows), "it has %g bytes", nb_adapter_bytes(both[0]));
    check_product(s, &m->layers[0].q, both, (const float[]){1}, (const uint32_t[]){0}, 1, 2, "another layer");
    /* q, k and v of a merged tensor are rows of what the adapter has for it */
    const nb_matrix *qkv = &merged->layers[0].qkv;
    const nb_adapter *one = adapter_of(merged,
                                       (const part[]){{"blk.0.attn_qkv.weight.lora_a", qkv->columns, 4, NB_TYPE_F32},
                                                      {"blk.0.attn_qkv.weight.lora_b", 4, qkv->rows, NB_TYPE_F32}},
                                       2);
    check_product(of_merged, &merged->layers[0].q, &one, (const float[]){1}, ranks, 1, 2, "q of merged");
    check_product(of_merged, &merged->layers[0].v, &one, (const float[]){1}, ranks, 1, 2, "v of merged");
    nb_session_free(s);
    nb_session_free(of_merged);
    for (uint32_t i = 0; i < 2; i++)
        nb_adapter_free((nb_adapter *)both[i]);
    nb_adapter_free((nb_adapter *)one);
    nb_model_free(m);
    nb_model_free(merged);
}

/* ---- what a session holds -------------------------------------------------------------------------------------- */

static void check_sessions(void) {
    const int32_t tokens[] = {3, 1, 4, 1, 5};
    uint8_t *head = nb_alloc(NB_SAVED_HEAD);
    nb_error err;
    nb_model *m = test_load_file(PLAIN);
    nb_session *s = open_session(m);
    const nb_matrix *w = &m->layers[0].v;
    const nb_adapter *a = adapter_of(m,
                                     (const part[]){{"blk.0.attn_v.weight.lora_a", w->columns, 2, NB_TYPE_F32},
                                                    {"blk.0.attn_v.weight.lora_b", 2, w->rows, NB_TYPE_F32}},
                                     2);
    CHECK(nb_session_advance(s, tokens, 5, NB_LOGITS_LAST, &err) == 5, "%s", err.message);
    CHECK(nb_session_save(s, 0, head, &err) == NB_SAVED_HEAD, "%s", err.message);
    CHECK(nb_session_restore(s, 0, head, NB_SAVED_HEAD, &err) > 0, "%s", err.message);
    CHECK(nb_session_advance(s, tokens, 5, NB_LOGITS_LAST, &err) == 5, "%s", err.message);
    CHECK(nb_session_adapt(s, &a, (const float[]){1}, 1, &err) == NB_OK, "%s", err.message);
    int32_t rows;
    nb_session_logits(s, &rows);
    CHECK(nb_session_holds(s, tokens, 5) == 0 && rows == 0, "it holds what another adapter computed");
    CHECK(nb_session_restore(s, 0, head, NB_SAVED_HEAD, &err) == NB_ERR_ARGUMENT, "it restores what was saved without");
    CHECK(nb_session_advance(s, tokens, 5, NB_LOGITS_LAST, &err) == 5, "%s", err.message);
    CHECK(nb_session_save(s, 0, head, &err) == NB_SAVED_HEAD, "%s", err.message);
    CHECK(nb_session_adapt(s, &a, (const float[]){2}, 1, &err) == NB_OK, "%s", err.message);
    CHECK(nb_session_restore(s, 0, head, NB_SAVED_HEAD, &err) == NB_ERR_ARGUMENT, "it restores another scale's");
    CHECK(nb_session_adapt(s, &a, (const float[]){1}, 1, &err) == NB_OK, "%s", err.message);
    CHECK(nb_session_restore(s, 0, head, NB_SAVED_HEAD, &err) > 0, "%s", err.message);
    CHECK(nb_session_adapt(s, &a, (const float[]){2}, 1, &err) == NB_OK, "%s", err.message);
    CHECK(nb_session_restore(s, 1, head, NB_SAVED_HEAD, &err) == NB_ERR_STATE && test_contains(err.message, "piece 1 "),
          "it goes on restoring: %s", err.message);
    const nb_adapter *many[NB_MAX_ADAPTERS + 1];
    const float scales[NB_MAX_ADAPTERS + 1] = {0};
    for (uint32_t i = 0; i <= NB_MAX_ADAPTERS; i++)
        many[i] = a;
    CHECK(nb_session_adapt(s, many, scales, NB_MAX_ADAPTERS, &err) == NB_OK, "%s", err.message);
    CHECK(nb_session_adapt(s, many, scales, NB_MAX_ADAPTERS + 1, &err) == NB_ERR_ARGUMENT, "too many are accepted");
    nb_session_free(s);
    nb_adapter_free((nb_adapter *)a);
    nb_model_free(m);
    nb_free(head);
}

/* ---- speculation ----------------------------------------------------------------------------------------------- */

/* With guesses, of which the first 0, 1 ... are right, an adapter gives the tokens that it gives without. */
static void check_guesses(void) {
    enum { PROMPT = 3, MADE = 8, GUESSES = 3, ALL = PROMPT + MADE };
    nb_error err = {0};
    nb_model *m = test_load_file(PLAIN);
    nb_session *s = open_session(m);
    const nb_matrix *q = &m->layers[0].q, *down = &m->layers[1].down;
    const nb_adapter *a = adapter_of(m,
                                     (const part[]){{"blk.0.attn_q.weight.lora_a", q->columns, 4, NB_TYPE_F32},
                                                    {"blk.0.attn_q.weight.lora_b", 4, q->rows, NB_TYPE_F32},
                                                    {"blk.1.ffn_down.weight.lora_a", down->columns, 2, NB_TYPE_F32},
                                                    {"blk.1.ffn_down.weight.lora_b", 2, down->rows, NB_TYPE_F32}},
                                     4);
    const nb_sampler_params greedy = {.top_p = 1,
                                      .typical_p = 1,
                                      .repeat_penalty = 1,
                                      .dry_base = 1,
                                      .steps = NB_STEPS_DEFAULT};
    nb_sampler *sampler = nb_sampler_new(m, &greedy, NULL, 0, &err);
    CHECK(sampler, "%s", err.message);
    int32_t expected[ALL + 1] = {3, 1, 4}, plain[ALL + 1] = {3, 1, 4};
    CHECK(nb_session_generate(s, sampler, plain, PROMPT, MADE, 1, &err) == MADE, "%s", err.message);
    CHECK(nb_session_adapt(s, &a, (const float[]){1}, 1, &err) == NB_OK, "%s", err.message);
    CHECK(nb_session_generate(s, sampler, expected, PROMPT, MADE, 1, &err) == MADE, "%s", err.message);
    CHECK(nb_compare(plain, expected, sizeof plain) != 0, "the adapter changes no token");
    for (int32_t right = 0; right <= GUESSES; right++) {
        int32_t tokens[ALL + 1] = {3, 1, 4}, n = PROMPT;
        CHECK(nb_session_advance(s, tokens, PROMPT, NB_LOGITS_LAST, &err) == PROMPT, "%s", err.message);
        while (n + GUESSES + 1 <= ALL) {
            for (int32_t i = 0; i < GUESSES; i++)
                tokens[n + i] = i < right ? expected[n + i] : expected[n + i] ^ 1;
            int32_t made = nb_session_speculate(s, sampler, tokens, n, GUESSES, 1, &err);
            if (!CHECK(made == right + 1, "%d right: %d made, %s", right, made, err.message))
                break;
            n += made;
        }
        for (int32_t i = PROMPT; i < n; i++)
            CHECK(tokens[i] == expected[i], "%d right: token %d is %d, not %d", right, i, tokens[i], expected[i]);
    }
    nb_sampler_free(sampler);
    nb_session_free(s);
    nb_adapter_free((nb_adapter *)a);
    nb_model_free(m);
}

/* ---- refusals -------------------------------------------------------------------------------------------------- */

static void refuse(const nb_model *m, values v, const part *parts, uint32_t n, int32_t code, const char *words) {
    nb_error err = {0};
    file f = file_new();
    put_adapter(&f, v, parts, n);
    nb_adapter *a = nb_adapter_new(m, f.data, f.size, &err);
    CHECK(!a && err.code == code && test_contains(err.message, words), "not \"%s\" (%d), but \"%s\" (%d)", words, code,
          err.message, err.code);
    nb_adapter_free(a);
    nb_free(f.data);
}

#define A "blk.0.attn_q.weight.lora_a"
#define B "blk.0.attn_q.weight.lora_b"

static void check_refusals(void) {
    nb_model *m = test_load_file(PLAIN), *merged = test_load_file(MERGED), *mixture = test_load_file(MIXTURE);
    const nb_matrix *w = &m->layers[0].q;
    uint64_t in = w->columns, out = w->rows;
    const part good[] = {{A, in, 4, NB_TYPE_F32}, {B, 4, out, NB_TYPE_F32}};
    const struct {
        part parts[2];
        uint32_t n;
        int32_t code;
        const char *words;
    } cases[] = {
        {{{A, in + 4, 4, NB_TYPE_F32}, {B, 4, out, NB_TYPE_F32}}, 2, NB_ERR_FORMAT, A " has shape ["},
        {{{A, in, 4, NB_TYPE_F32}, {B, 4, out + 1, NB_TYPE_F32}}, 2, NB_ERR_FORMAT, B " has shape [4, "},
        {{{A, in, 4, NB_TYPE_F32}, {B, 5, out, NB_TYPE_F32}}, 2, NB_ERR_FORMAT, "of rank 4 and a .lora_b of rank 5"},
        {{{A, in, in + 1, NB_TYPE_F32}, {B, in + 1, out, NB_TYPE_F32}}, 2, NB_ERR_FORMAT, "with a rank of "},
        {{{A, in, 0, NB_TYPE_F32}, {B, 0, out, NB_TYPE_F32}}, 2, NB_ERR_FORMAT, "impossible shape"},
        {{{A, in, 4, NB_TYPE_F32}}, 1, NB_ERR_FORMAT, "of rank 4 and a .lora_b of rank 0"},
        {{{B, 4, out, NB_TYPE_F32}}, 1, NB_ERR_FORMAT, "of rank 0 and a .lora_b of rank 4"},
        {{{A, in, 4, NB_TYPE_F32}, {A, in, 4, NB_TYPE_F32}}, 2, NB_ERR_FORMAT, "is there twice"},
        {{{"blk.0.attn_q.weight", in, 4, NB_TYPE_F32}}, 1, NB_ERR_UNSUPPORTED, "neither .lora_a nor .lora_b"},
        {{{"b", in, 4, NB_TYPE_F32}}, 1, NB_ERR_UNSUPPORTED, "neither .lora_a nor .lora_b"},
        {{{".lora_a", in, 4, NB_TYPE_F32}}, 1, NB_ERR_UNSUPPORTED, "it changes "},
        {{{"blk.99.attn_q.weight.lora_a", in, 4, NB_TYPE_F32}}, 1, NB_ERR_UNSUPPORTED, "blk.99.attn_q.weight"},
        {{{"token_embd.weight.lora_a", in, 4, NB_TYPE_F32}}, 1, NB_ERR_UNSUPPORTED, "token_embd.weight"},
        {{{"blk.0.attn_norm.weight.lora_a", in, 4, NB_TYPE_F32}}, 1, NB_ERR_UNSUPPORTED, "attn_norm"},
        {{{A, in, 4, NB_TYPE_LIMIT}}, 1, NB_ERR_FORMAT, "unknown type"},
    };
    for (uint32_t i = 0; i < sizeof cases / sizeof *cases; i++)
        refuse(m, USUAL, cases[i].parts, cases[i].n, cases[i].code, cases[i].words);
    refuse(m, USUAL, NULL, 0, NB_ERR_FORMAT, "no tensors");
    values v = USUAL;
    v.alpha = NAN;
    refuse(m, v, good, 2, NB_ERR_FORMAT, "adapter.lora.alpha");
    v = (values){"model", "lora", "llama", 6, false};
    refuse(m, v, good, 2, NB_ERR_UNSUPPORTED, "no LoRA adapter");
    v = (values){"adapter", "control_vector", "llama", 6, false};
    refuse(m, v, good, 2, NB_ERR_UNSUPPORTED, "no LoRA adapter");
    v = (values){"adapter", "lora", "qwen2", 6, false};
    refuse(m, v, good, 2, NB_ERR_UNSUPPORTED, "architecture qwen2");
    v = (values){"adapter", "lora", "llama", 6, true};
    refuse(m, v, good, 2, NB_ERR_UNSUPPORTED, "no LoRA adapter");
    v = USUAL;
    v.architecture = merged->family->name;
    refuse(merged, v,
           (const part[]){{"blk.0.attn_qkv.weight.lora_a", merged->layers[0].qkv.columns, 32, NB_TYPE_F32},
                          {"blk.0.attn_qkv.weight.lora_b", 32, merged->layers[0].qkv.rows, NB_TYPE_Q8_0}},
           2, NB_ERR_UNSUPPORTED, "of a merged matrix has type Q8_0");
    refuse(mixture, USUAL, (const part[]){{"blk.0.ffn_up_exps.weight.lora_a", in, 4, NB_TYPE_F32}}, 1,
           NB_ERR_UNSUPPORTED, "ffn_up_exps");
    /* numbers that are not finite; files that are cut off */
    nb_error err;
    file f = file_new();
    put_adapter(&f, USUAL, good, 2);
    for (size_t n = 0; n < f.size; n += 97)
        CHECK(!nb_adapter_new(m, f.data, n, &err) && err.code < 0, "%zu of %zu bytes are accepted", n, f.size);
    float infinity = INFINITY;
    memcpy(f.data + f.size - 4, &infinity, sizeof infinity);
    CHECK(!nb_adapter_new(m, f.data, f.size, &err) && test_contains(err.message, B " has infinities or NaN"), "%s",
          err.message);
    nb_free(f.data);
    nb_model_free(m);
    nb_model_free(merged);
    nb_model_free(mixture);
}

void test_adapter(void) {
    pool = test_pool_new(2);
    check_products();
    check_sessions();
    check_guesses();
    check_refusals();
    test_pool_free(pool);
}
