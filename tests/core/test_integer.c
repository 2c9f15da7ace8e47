/* Integer inference against its specification in NumPy (tests/oracles/integer_vectors.py): converted weights and every
 * logit, bit for bit, in every build and for any number of threads. */
#include "../../src/base/hash.h"
#include "../../src/base/writer.h"
#include "../../src/formats/gguf.h"
#include "../../src/integer/integer_model.h"
#include "../../src/types/types.h"
#include "check.h"
#include "edit.h"
#include "integers.h"

enum { FNV = (int32_t)0x811c9dc5, CONTEXT = 640 };

typedef struct vectors {
    uint32_t n, vocabulary, tensors;
    const int32_t *tokens;  /* [n] */
    const uint32_t *made;   /* [tensors]: hashes */
    const uint32_t *logits; /* [n]: hashes */
    const int32_t *last;    /* [vocabulary] */
} vectors;

static vectors vectors_of(const uint8_t *bytes) {
    const uint32_t *words = (const uint32_t *)(const void *)bytes;
    vectors v = {.n = words[0], .vocabulary = words[1], .tensors = words[2]};
    v.tokens = (const int32_t *)words + 3;
    v.made = words + 3 + v.n;
    v.logits = v.made + v.tensors;
    v.last = (const int32_t *)v.logits + v.n;
    return v;
}

static void check_tensors(const char *name, const vectors *v, uint8_t *file, size_t size) {
    nb_checkpoint c = {0};
    nb_gguf g = {.file_bytes = size};
    nb_error err;
    if (!CHECK(nb_gguf_parse(&g, &c, file, size, &err) == NB_GGUF_DONE, "%s: %s", name, err.message))
        return;
    CHECK(c.n_tensors == v->tensors, "%s: %u tensors, not %u", name, (uint32_t)c.n_tensors, v->tensors);
    c.header = file;
    for (uint32_t i = 0; i < v->tensors && c.n_tensors == v->tensors; i++)
        CHECK(nb_hash((uint32_t)FNV, file + c.tensors[i].at, (size_t)c.tensors[i].bytes) == v->made[i],
              "%s: tensor %t is not the reference's", name, nb_checkpoint_tensor_name(&c, &c.tensors[i]));
    c.header = NULL;
    nb_checkpoint_free(&c);
}

static void check_row(const char *name, const vectors *v, uint32_t i, const int32_t *logits) {
    CHECK(nb_hash((uint32_t)FNV, logits, v->vocabulary * sizeof *logits) == v->logits[i],
          "%s: logits of token %u are not the reference's", name, i);
}

/* All logits, then only those of the last token, for a prompt at once and for single tokens. */
static void check_logits(const char *name, const vectors *v, const nb_integer_model *m, nb_pool *pool) {
    nb_error err;
    int32_t rows, held = 0, n = (int32_t)v->n;
    nb_integer_session *s = nb_integer_session_new(m, pool, v->n, &err);
    if (!CHECK(s, "%s: %s", name, err.message))
        return;
    CHECK(nb_integer_model_vocabulary(m) == (int32_t)v->vocabulary, "%s: the vocabulary", name);
    while (held < n) {
        int32_t before = held;
        held = nb_integer_session_advance(s, v->tokens, n, NB_LOGITS_ALL, &err);
        const int32_t *logits = nb_integer_session_logits(s, &rows);
        if (!CHECK(held > before && rows == held - before, "%s: %d tokens, %d rows", name, held, rows))
            break;
        for (int32_t i = 0; i < rows; i++)
            check_row(name, v, (uint32_t)(before + i), logits + (size_t)i * v->vocabulary);
    }
    CHECK(nb_integer_session_holds(s, v->tokens, n) == n, "%s: the cache holds the tokens", name);
    nb_integer_session_free(s);
    s = nb_integer_session_new(m, pool, v->n, &err);
    for (held = 0; s && held >= 0 && held < n - 3;)
        held = nb_integer_session_advance(s, v->tokens, n - 3, NB_LOGITS_LAST, &err);
    for (int32_t i = n - 3; s && i <= n; i++) {
        CHECK(nb_integer_session_advance(s, v->tokens, i, NB_LOGITS_LAST, &err) == i, "%s: %s", name, err.message);
        check_row(name, v, (uint32_t)i - 1, nb_integer_session_logits(s, &rows));
    }
    int32_t best = 0, chosen = s ? nb_integer_session_choose(s, &err) : -1;
    for (uint32_t i = 1; i < v->vocabulary; i++)
        best = v->last[i] > v->last[best] ? (int32_t)i : best;
    CHECK(chosen == best, "%s: %d is chosen, not %d", name, chosen, best);
    nb_integer_session_free(s);
}

static void test_model(const char *name, nb_pool *pool) {
    static const test_edit longer[] = {SET("llama.context_length", U32, CONTEXT)};
    char path[128];
    size_t size, edited_size, vectors_size, made_size;
    nb_error err;
    nb_writer w = nb_writer_over(path, sizeof path);
    nb_write(&w, "tests/fixtures/models/%s.gguf", name);
    uint8_t *file = test_read_all(path, &size);
    w = nb_writer_over(path, sizeof path);
    nb_write(&w, "tests/fixtures/integer/%s.bin", name);
    uint8_t *reference = test_read_all(path, &vectors_size);
    if (file && reference && size && vectors_size) {
        uint8_t *edited = test_edit_gguf(file, size, longer, 1, &edited_size);
        vectors v = vectors_of(reference);
        uint8_t *made = test_integers_of(edited, edited_size, &made_size, &err);
        if (CHECK(made, "%s: %s", name, err.message)) {
            check_tensors(name, &v, made, made_size);
            nb_integer_model *m = nb_integer_model_new(made, made_size, &err);
            if (CHECK(m, "%s: %s", name, err.message)) {
                check_logits(name, &v, m, NULL);
                check_logits(name, &v, m, pool);
            }
            nb_integer_model_free(m);
        }
        nb_free(made);
        nb_free(edited);
    }
    nb_free(file);
    nb_free(reference);
}

/* Each operation against its definition. */
static void test_operations(void) {
    for (uint32_t i = 0; i < 70000; i += 7) {
        uint64_t v = (uint64_t)i * i * i * 131, root = nb_integer_root(v);
        CHECK(root * root <= v && (root + 1) * (root + 1) > v, "%l is not the root of %l", root, v);
    }
    CHECK(nb_integer_power(0) == 1 << 30 && nb_integer_power(1 << 16) == 1 << 29 && nb_integer_power(31 << 16) == 0,
          "powers of two");
    CHECK(nb_shift(5, 1) == 3 && nb_shift(-5, 1) == -3 && nb_shift(4, 1) == 2 && nb_shift(1, 63) == 0, "halves");
    CHECK(nb_shift(1 << 20, -20) == INT32_MAX && nb_shift(-1, -40) == -INT32_MAX && nb_shift(3, -2) == 12, "limits");
    CHECK(nb_shift((int64_t)1 << 40, 2) == INT32_MAX && nb_shift(0, -99) == 0, "limits");
    nb_integer_sines sines;
    nb_integer_sines_fill(&sines);
    CHECK(nb_integer_sine(&sines, 0) == 0 && nb_integer_sine(&sines, 1u << 30) == 1 << 15, "sines of quarters");
    CHECK(nb_integer_sine(&sines, 3u << 30) == -(1 << 15) && nb_integer_sine(&sines, 1u << 31) == 0,
          "sines of quarters");
    CHECK(nb_integer_sine(&sines, 357913941) == 1 << 14, "the sine of 30 degrees is %d",
          nb_integer_sine(&sines, 357913941));
}

/* Sums and norms of the largest numbers in the longest rows do not overflow. */
static void test_longest_rows(void) {
    static const uint32_t lengths[] = {1, 8192, 8193, NB_INTEGER_MOST_WIDTH};
    uint32_t most = NB_INTEGER_MOST_WIDTH;
    int8_t *w = nb_alloc(most);
    int16_t *codes = nb_alloc_items(most, sizeof *codes);
    int32_t *x = nb_alloc_items(most, sizeof *x), *gains = nb_alloc_items(most, sizeof *gains);
    int64_t *wide = nb_alloc_items(most, sizeof *wide);
    for (uint32_t i = 0; i < most; i++) {
        w[i] = -128;
        x[i] = INT32_MAX;
        gains[i] = i % 2 ? INT32_MAX : -INT32_MAX;
    }
    for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
        uint32_t n = lengths[k], levels = nb_wide_levels(n);
        for (uint32_t i = 0; i < n; i++)
            codes[i] = (int16_t)levels;
        CHECK(nb_integer_dot(w, codes, n) == -128 * (int64_t)levels * n, "a sum of %u products", n);
        nb_dyadic scale = nb_integer_norm(x, (nb_integer_gain){gains, 31}, n, (1 << 20) - 1, levels, wide, codes);
        CHECK(codes[0] == -(int32_t)levels && (n == 1 || codes[1] == (int32_t)levels), "codes of %u", n);
        /* all numbers are equal, so the result is the gain, 1 - 2^-31 */
        int64_t one = nb_scaled((int64_t)levels, scale);
        CHECK(one >= 65500 && one <= 65536, "a norm of %u gives %l / 2^16, not 1", n, (uint64_t)one);
    }
    nb_free(w);
    nb_free(codes);
    nb_free(x);
    nb_free(gains);
    nb_free(wide);
}

/* A file with the largest numbers that the reader accepts. Nothing overflows (UBSan watches), and a prompt at once
 * gives the same as its tokens one by one. */
static void test_largest_numbers(const uint8_t *source, size_t size, int32_t shift) {
    nb_checkpoint c = {0};
    nb_gguf g = {.file_bytes = size};
    nb_error err;
    int32_t rows, tokens[] = {1, 2, 3, 2};
    uint8_t *file = nb_alloc(size);
    memcpy(file, source, size);
    CHECK(nb_gguf_parse(&g, &c, file, size, &err) == NB_GGUF_DONE, "%s", err.message);
    for (uint64_t i = 0; i + 1 < c.n_tensors; i++) { /* the last tensor has the steps of RoPE */
        const nb_tensor_info *t = &c.tensors[i];
        int32_t *numbers = (int32_t *)(void *)(file + t->at);
        uint64_t n = t->bytes / sizeof *numbers;
        if (t->type == NB_TYPE_I8)
            for (uint64_t k = 0; k < t->bytes; k++)
                file[t->at + k] = k % 3 ? 0x80 : 0x7f;
        else
            for (uint64_t k = 0; k < n; k++)
                numbers[k] = k + 1 == n ? shift : INT32_MAX;
    }
    nb_checkpoint_free(&c);
    nb_integer_model *m = nb_integer_model_new(file, size, &err);
    int32_t logits[2] = {0};
    for (int32_t way = 0; CHECK(m, "%s", err.message) && way < 2; way++) {
        nb_integer_session *s = nb_integer_session_new(m, NULL, 4, &err);
        for (int32_t n = way ? 4 : 1; n <= 4; n++)
            CHECK(nb_integer_session_advance(s, tokens, n, NB_LOGITS_LAST, &err) == n, "%s", err.message);
        logits[way] = nb_integer_session_logits(s, &rows)[7];
        nb_integer_session_free(s);
    }
    CHECK(logits[0] == logits[1], "%d at once, %d one by one", logits[1], logits[0]);
    nb_integer_model_free(m);
    nb_free(file);
}

static uint8_t *integers_of_edited(const char *path, const test_edit *edits, size_t n, size_t *out_size) {
    size_t size, edited_size;
    nb_error err = {0};
    uint8_t *file = test_read_all(path, &size);
    if (!file)
        return NULL;
    uint8_t *edited = test_edit_gguf(file, size, edits, n, &edited_size),
            *made = test_integers_of(edited, edited_size, out_size, &err);
    CHECK(made, "%s: %s", path, err.message);
    nb_free(edited);
    nb_free(file);
    return made;
}

/* The last tensor, RoPE's angles per position. */
static const uint32_t *steps_of(const uint8_t *file, size_t size, uint64_t *n) {
    nb_checkpoint c = {0};
    nb_gguf g = {.file_bytes = size};
    nb_error err;
    const uint32_t *steps = NULL;
    if (CHECK(nb_gguf_parse(&g, &c, file, size, &err) == NB_GGUF_DONE, "%s", err.message)) {
        const nb_tensor_info *t = &c.tensors[c.n_tensors - 1];
        steps = (const uint32_t *)(const void *)(file + t->at);
        *n = t->shape[0];
    }
    nb_checkpoint_free(&c);
    return steps;
}

static void test_limits(void) {
    static const int32_t shifts[] = {0, 16, 31, 62};
    size_t size;
    uint8_t *made = integers_of_edited("tests/fixtures/models/odd-sizes.gguf", NULL, 0, &size);
    test_longest_rows();
    for (size_t i = 0; made && i < sizeof shifts / sizeof *shifts; i++)
        test_largest_numbers(made, size, shifts[i]);
    nb_free(made);
}

/* Every way to scale RoPE counts: a factor without a type, a factor under its older key, as in llama.cpp, and a factor
 * in addition to those of rope_freqs. The "integer." keys of a source file are ignored. */
static void test_rope_scaling(void) {
    static const char linear[] = "tests/fixtures/models/rope-linear.gguf",
                      pairs[] = "tests/fixtures/models/rope-llama3.gguf";
    static const test_edit untyped[] = {DROP("llama.rope.scaling.type")},
                           none[] = {SET_TEXT("llama.rope.scaling.type", "none")},
                           older[] = {DROP("llama.rope.scaling.type"), DROP("llama.rope.scaling.factor"),
                                      SET("llama.rope.scale_linear", F32, 4), SET("integer.version", U32, 7)},
                           halved[] = {SET("llama.rope.scaling.factor", F32, 2)};
    size_t size, other_size;
    uint64_t n = 0;
    nb_error err;
    uint8_t *made = integers_of_edited(linear, untyped, 0, &size);
    for (int32_t i = 0; i < 2; i++) {
        uint8_t *other = integers_of_edited(linear, i ? older : untyped, i ? 4 : 1, &other_size);
        CHECK(made && other && size == other_size && !nb_compare(made, other, size), "a linear factor, way %d", i);
        nb_integer_model *m = other ? nb_integer_model_new(other, other_size, &err) : NULL;
        CHECK(m, "way %d: %s", i, err.message);
        nb_integer_model_free(m);
        nb_free(other);
    }
    uint8_t *plain = integers_of_edited(linear, none, 1, &other_size);
    CHECK(made && plain && nb_compare(made, plain, size), "a factor that does not count");
    nb_free(plain);
    nb_free(made);
    made = integers_of_edited(pairs, halved, 0, &size);
    uint8_t *half = integers_of_edited(pairs, halved, 1, &other_size);
    const uint32_t *whole_steps = made ? steps_of(made, size, &n) : NULL,
                   *half_steps = half ? steps_of(half, other_size, &n) : NULL;
    for (uint64_t i = 0; whole_steps && half_steps && i < n; i++)
        CHECK(2 * half_steps[i] - whole_steps[i] + 1 <= 2, "step %l is %u, and half of it %u", i, whole_steps[i],
              half_steps[i]);
    nb_free(half);
    nb_free(made);
}

void test_integer(void) {
    static const char *const names[] = {"odd-sizes",   "separate-output", "head-size", "one-kv-head",
                                        "rope-linear", "type-q8_0",       "type-f16"};
    test_operations();
    test_limits();
    test_rope_scaling();
    nb_pool *pool = test_pool_new(2);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        test_model(names[i], pool);
    test_pool_free(pool);
}
