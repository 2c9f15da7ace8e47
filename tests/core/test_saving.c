/* What a session saves: another session goes on from it exactly as the first one would have. Damage, other models and
 * other caches are refused, and bytes that a stranger made crash nothing. */
#include "../../src/base/hash.h"
#include "../../src/base/numbers.h"
#include "../../src/kernels/kv_cache.h"
#include "../../src/types/types.h"
#include "check.h"
#include "load.h"
#include "random.h"

enum { TOKENS = 40, MORE = 6, CONTEXT = 64, WIDER = 96, MOST_VOCABULARY = 4096 };

/* Where the head's numbers are (src/models/saving.c). */
enum { VERSION_AT = 8, TYPE_AT = 12, POSITIONS_AT = 16, TILE_AT = 24, MODEL_AT = 32 };

typedef struct saved {
    uint8_t *bytes;
    size_t sizes[512];
    int32_t pieces;
} saved;

static nb_pool *pool;
static nb_model *model;

static nb_session *open_session(const nb_model *m, uint32_t context, uint32_t type) {
    nb_error err;
    nb_session *s = nb_session_new(m, pool, context, 0, type, NB_PRECISION_EXACT, 1, &err);
    CHECK(s, "%s", err.message);
    return s;
}

/* Returns a negative code, or NB_OK and the logits of the last token in out, [vocabulary]. */
static int32_t evaluate(nb_session *s, const nb_model *m, const int32_t *tokens, int32_t n, float *out) {
    nb_error err;
    int32_t held, rows;
    do
        held = nb_session_advance(s, tokens, n, NB_LOGITS_LAST, &err);
    while (held >= 0 && held < n);
    if (held < 0)
        return held;
    float *logits = nb_session_logits(s, &rows);
    memcpy(out, logits, (size_t)nb_model_vocabulary(m) * sizeof *out);
    return NB_OK;
}

static saved save(nb_session *s) {
    nb_error err;
    saved all = {0};
    size_t total = 0;
    int32_t size;
    while ((size = nb_session_save(s, all.pieces, NULL, &err)) > 0 && CHECK(all.pieces < 512, "too many pieces"))
        total += all.sizes[all.pieces++] = (size_t)size;
    CHECK(size == 0, "%s", err.message);
    all.bytes = nb_alloc(total);
    size_t at = 0;
    for (int32_t i = 0; i < all.pieces; at += all.sizes[i++]) {
        uint8_t *piece = nb_alloc(all.sizes[i]); /* aligned */
        CHECK(nb_session_save(s, i, piece, &err) == (int32_t)all.sizes[i], "piece %d has another size", i);
        memcpy(all.bytes + at, piece, all.sizes[i]);
        nb_free(piece);
    }
    return all;
}

/* The size of the next piece after the last that was accepted: 0 if all were. A negative code: it was refused. */
static int32_t restore(nb_session *s, const saved *all, nb_error *err) {
    size_t at = 0;
    int32_t next = NB_SAVED_HEAD;
    for (int32_t i = 0; i < all->pieces; at += all->sizes[i++]) {
        if ((size_t)next != all->sizes[i])
            return NB_ERR_TRUNCATED;
        next = nb_session_restore(s, i, all->bytes + at, all->sizes[i], err);
        if (next < 0)
            return next;
    }
    return next;
}

static size_t total_of(const saved *all) {
    size_t total = 0;
    for (int32_t i = 0; i < all->pieces; i++)
        total += all->sizes[i];
    return total;
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t n) {
    size_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i == n;
}

/* Writes the sum of the piece that begins at `at` anew. */
static void sign(uint8_t *piece, size_t size) {
    uint64_t sum = nb_checksum(0, piece, size - sizeof sum);
    memcpy(piece + size - sizeof sum, &sum, sizeof sum);
}

static bool holds(const nb_session *s, const int32_t *tokens, int32_t n) {
    return nb_session_holds(s, tokens, n) == n;
}

static void check_going_on(const char *path, uint32_t type) {
    static float expected[MOST_VOCABULARY], got[MOST_VOCABULARY];
    nb_error err;
    nb_model *m = test_load_file(path);
    int32_t tokens[TOKENS + MORE], earlier[CONTEXT];
    test_tokens(tokens, TOKENS + MORE, m, 11);
    test_tokens(earlier, CONTEXT, m, 12);
    nb_session *first = open_session(m, CONTEXT, type), *second = open_session(m, WIDER, type);
    evaluate(first, m, tokens, TOKENS, got);
    saved all = save(first);
    CHECK(holds(first, tokens, TOKENS), "saving changes what the session holds");
    evaluate(first, m, tokens, TOKENS + MORE, expected);

    evaluate(second, m, earlier, CONTEXT, got);
    CHECK(restore(second, &all, &err) == 0, "%s, type %u: %s", path, type, err.message);
    CHECK(holds(second, tokens, TOKENS) && !holds(second, tokens, TOKENS + 1), "it holds something else");
    saved again = save(second);
    CHECK(total_of(&again) == total_of(&all) && same_bytes(again.bytes, all.bytes, total_of(&all)),
          "%s: saved again, the bytes differ", path);
    evaluate(second, m, tokens, TOKENS + MORE, got);
    int32_t i = 0, vocabulary = nb_model_vocabulary(m);
    while (i < vocabulary && expected[i] == got[i])
        i++;
    CHECK(i == vocabulary, "%s, type %u: logit %d is %g, not %g", path, type, i, (double)got[i], (double)expected[i]);

    /* what the session held before leaves no trace, also not in a tile that is only begun */
    nb_session_free(first);
    first = open_session(m, CONTEXT, type);
    evaluate(first, m, earlier, CONTEXT, got);
    evaluate(first, m, tokens, TOKENS, got);
    saved clean = save(first);
    CHECK(same_bytes(clean.bytes, all.bytes, total_of(&all)), "%s, type %u: the bytes tell of an earlier text", path,
          type);
    nb_free(clean.bytes);
    nb_free(again.bytes);
    nb_free(all.bytes);
    nb_session_free(first);
    nb_session_free(second);
    nb_model_free(m);
}

/* The session refuses the bytes, and its message contains `part`. */
static void check_refused(nb_session *s, const saved *all, int32_t code, const char *part, const char *what) {
    nb_error err = {0};
    int32_t got = restore(s, all, &err);
    CHECK(got == code && test_contains(err.message, part), "%s: code %d, \"%s\"", what, got, err.message);
}

static void put_u32(uint8_t *at, uint32_t value) {
    memcpy(at, &value, sizeof value);
}

static void check_heads(const saved *all) {
    static const struct {
        const char *what;
        uint32_t at, value;
        int32_t code;
        const char *part;
    } cases[] = {
        {"another mark", 0, 0, NB_ERR_FORMAT, "do not begin with nibbleKV"},
        {"another version", VERSION_AT, 2, NB_ERR_UNSUPPORTED, "format 2"},
        {"another cache", TYPE_AT, NB_TYPE_F16, NB_ERR_ARGUMENT, "F16 (1), and this one is F32"},
        {"a cache of two types", TYPE_AT, NB_CACHE_Q8_0_Q4_0, NB_ERR_ARGUMENT, "Q8_0/Q4_0 (520), and this one is F32"},
        {"an unknown cache", TYPE_AT, 63, NB_ERR_ARGUMENT, "unknown (63)"},
        {"a cache beyond all types", TYPE_AT, UINT32_MAX, NB_ERR_ARGUMENT, "unknown (4294967295)"},
        {"too many positions", POSITIONS_AT, CONTEXT + 1, NB_ERR_CONTEXT, "hold 65 tokens"},
        {"most positions", POSITIONS_AT, UINT32_MAX, NB_ERR_CONTEXT, "hold 4294967295 tokens"},
        {"other heads", POSITIONS_AT + 4, 1, NB_ERR_ARGUMENT, "another model"},
        {"another tile", TILE_AT, 1, NB_ERR_ARGUMENT, "another model"},
        {"another model", MODEL_AT, 1, NB_ERR_ARGUMENT, "another model"},
    };
    nb_session *s = open_session(model, CONTEXT, NB_TYPE_F32);
    uint8_t good[NB_SAVED_HEAD];
    memcpy(good, all->bytes, sizeof good);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_u32(all->bytes + cases[i].at, cases[i].value);
        sign(all->bytes, NB_SAVED_HEAD);
        check_refused(s, all, cases[i].code, cases[i].part, cases[i].what);
        memcpy(all->bytes, good, sizeof good);
    }
    nb_session_free(s);
}

static void check_damage(saved all, const int32_t *tokens) {
    nb_error err = {0};
    nb_session *s = open_session(model, CONTEXT, NB_TYPE_F32);
    size_t total = total_of(&all);
    for (size_t at = 0; at < total; at += at < 400 ? 1 : 97) {
        all.bytes[at] ^= 0x10;
        int32_t code = restore(s, &all, &err);
        CHECK(code < 0, "byte %z is damaged, and nobody saw it", at);
        all.bytes[at] ^= 0x10;
    }
    /* two changes of one lane's highest bits, which products alone would not tell from none */
    for (size_t at = NB_SAVED_HEAD + 7; at + 32 < NB_SAVED_HEAD + all.sizes[1] - sizeof(uint64_t); at += 8) {
        all.bytes[at] ^= 0x80;
        all.bytes[at + 32] ^= 0x80;
        CHECK(restore(s, &all, &err) == NB_ERR_FORMAT, "two flips at %z", at);
        all.bytes[at] ^= 0x80;
        all.bytes[at + 32] ^= 0x80;
    }
    CHECK(restore(s, &all, &err) == 0 && holds(s, tokens, TOKENS), "it works after all this: %s", err.message);
    for (int32_t i = 0; i < all.pieces; i++)
        for (size_t cut = 1; cut <= all.sizes[i]; cut += 1 + all.sizes[i] / 7) {
            size_t at = 0;
            for (int32_t k = 0; k < i; at += all.sizes[k++])
                nb_session_restore(s, k, all.bytes + at, all.sizes[k], &err);
            CHECK(nb_session_restore(s, i, all.bytes + at, all.sizes[i] - cut, &err) == NB_ERR_FORMAT,
                  "piece %d without %z bytes", i, cut);
        }
    CHECK(nb_session_restore(s, 2, all.bytes, 8, &err) == NB_ERR_STATE && test_contains(err.message, "piece 2"),
          "piece 2 alone");
    CHECK(nb_session_restore(s, -1, all.bytes, 8, &err) == NB_ERR_STATE, "piece -1");
    CHECK(nb_session_save(s, -1, NULL, &err) == 0 && nb_session_save(s, all.pieces, NULL, &err) == 0, "no such piece");

    /* other work in between ends the restoring */
    float logits[MOST_VOCABULARY];
    CHECK(nb_session_restore(s, 0, all.bytes, NB_SAVED_HEAD, &err) > 0 && !holds(s, tokens, 1), "%s", err.message);
    evaluate(s, model, tokens, 3, logits);
    CHECK(nb_session_restore(s, 1, all.bytes + NB_SAVED_HEAD, all.sizes[1], &err) == NB_ERR_STATE, "an old piece 1");
    CHECK(holds(s, tokens, 3), "what was evaluated in between is held");
    nb_session_free(s);
}

/* Bytes that a stranger made, with right sums. */
static void check_forged(saved all, const int32_t *tokens) {
    nb_error err = {0};
    static float logits[MOST_VOCABULARY];
    nb_session *s = open_session(model, CONTEXT, NB_TYPE_F32);
    uint8_t *token = all.bytes + NB_SAVED_HEAD + 7 * sizeof(int32_t), good[sizeof(int32_t)];
    memcpy(good, token, sizeof good);
    put_u32(token, (uint32_t)nb_model_vocabulary(model));
    sign(all.bytes + NB_SAVED_HEAD, all.sizes[1]);
    check_refused(s, &all, NB_ERR_ARGUMENT, "at position 7", "a token past the vocabulary");
    memcpy(token, good, sizeof good);
    sign(all.bytes + NB_SAVED_HEAD, all.sizes[1]);

    uint32_t seed = 3;
    for (int32_t turn = 0; turn < 20; turn++) {
        size_t at = all.sizes[0] + all.sizes[1];
        for (int32_t i = 2; i < all.pieces; at += all.sizes[i++]) {
            for (size_t k = 0; k < all.sizes[i]; k++)
                all.bytes[at + k] = (uint8_t)(turn == 0 ? 0xff : test_random(&seed)); /* 0xff: NaN */
            sign(all.bytes + at, all.sizes[i]);
        }
        CHECK(restore(s, &all, &err) == 0, "%s", err.message);
        int32_t code = evaluate(s, model, tokens, TOKENS + 1, logits);
        CHECK(code == NB_OK || code == NB_ERR_FORMAT, "code %d", code);
    }
    nb_session_free(s);
}

static void check_others(const saved *all) {
    nb_error err = {0};
    nb_model *other = test_load_file("tests/fixtures/models/qwen2.gguf"),
             *encoder = test_load_file("tests/fixtures/encoders/bert.gguf");
    nb_session *s = open_session(other, CONTEXT, NB_TYPE_F32), *none = open_session(encoder, CONTEXT, NB_TYPE_F32);
    check_refused(s, all, NB_ERR_ARGUMENT, "another model", "another model's bytes");
    CHECK(nb_session_save(none, 0, NULL, &err) == NB_ERR_UNSUPPORTED && test_contains(err.message, "bert"),
          "an encoder");
    CHECK(nb_session_restore(none, 0, all->bytes, NB_SAVED_HEAD, &err) == NB_ERR_UNSUPPORTED, "an encoder");
    nb_session_free(s);
    nb_session_free(none);
    nb_model_free(other);
    nb_model_free(encoder);
    s = open_session(model, TOKENS - 1, NB_TYPE_F32);
    check_refused(s, all, NB_ERR_CONTEXT, "do not fit the context of 39", "a smaller context");
    nb_session_free(s);
    s = open_session(model, CONTEXT, NB_TYPE_I16);
    check_refused(s, all, NB_ERR_ARGUMENT, "F32 (0), and this one is I16", "another cache");
    nb_session_free(s);
}

static void check_empty(void) {
    nb_error err = {0};
    const int32_t token = 1;
    nb_session *s = open_session(model, CONTEXT, NB_TYPE_F32);
    saved all = save(s);
    CHECK(restore(s, &all, &err) == 0 && !holds(s, &token, 1), "an empty session: %s", err.message);
    nb_free(all.bytes);
    nb_session_free(s);
}

void test_saving(void) {
    static const uint32_t types[] = {NB_TYPE_I16,        NB_TYPE_Q8_0, NB_TYPE_Q4_0,
                                     NB_CACHE_Q8_0_Q4_0, NB_TYPE_F16,  NB_TYPE_F32};
    static const char *const paths[] = {"tests/fixtures/tiny.gguf", "tests/fixtures/models/gemma3.gguf",
                                        "tests/fixtures/models/deepseek.gguf", "tests/fixtures/models/phi3-long.gguf"};
    pool = test_pool_new(1);
    for (size_t p = 0; p < sizeof paths / sizeof *paths; p++)
        for (size_t t = 0; t < sizeof types / sizeof *types; t++)
            check_going_on(paths[p], types[t]);
    model = test_load_file("tests/fixtures/tiny.gguf");
    int32_t tokens[TOKENS + 1];
    test_tokens(tokens, TOKENS + 1, model, 21);
    static float logits[MOST_VOCABULARY];
    nb_session *s = open_session(model, CONTEXT, NB_TYPE_F32);
    evaluate(s, model, tokens, TOKENS, logits);
    saved all = save(s);
    nb_session_free(s);
    check_heads(&all);
    check_damage(all, tokens);
    check_others(&all);
    check_empty();
    check_forged(all, tokens); /* changes the bytes */
    nb_free(all.bytes);
    nb_model_free(model);
    test_pool_free(pool);
}
