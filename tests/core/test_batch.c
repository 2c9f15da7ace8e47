/* Several sequences over one model: each row of a batch has the numbers that it has alone, bit for bit, whatever else
 * is in the batch, and sequences that share pages do not change each other. */
#include "../../src/base/numbers.h"
#include "../../src/base/writer.h"
#include "../../src/models/session.h"
#include "../../src/types/types.h"
#include "check.h"
#include "load.h"
#include "random.h"

enum { SEQUENCES = 4, PROMPT = 30, TOKENS = 38, CONTEXT = 48, BATCH = 24, MOST_TURNS = 400 };

typedef struct text {
    int32_t tokens[TOKENS];
    int32_t prompt; /* so many tokens come before the first logits */
    float *logits;  /* [TOKENS, vocabulary]: after each token from the prompt's last one on, computed alone */
} text;

static nb_session *open_session(const nb_model *m, nb_pool *pool, uint32_t type, uint32_t sequences) {
    nb_error err;
    nb_session *s =
        nb_session_new(m, pool, CONTEXT, sequences > 1 ? BATCH : 0, type, NB_PRECISION_EXACT, sequences, &err);
    CHECK(s, "%s", err.message);
    return s;
}

static void advance(nb_session *s, const int32_t *tokens, int32_t n) {
    nb_error err;
    int32_t held;
    do
        held = nb_session_advance(s, tokens, n, NB_LOGITS_LAST, &err);
    while (held >= 0 && held < n);
    CHECK(held == n, "%s", err.message);
}

static text make_text(const nb_model *m, nb_session *alone, int32_t prompt, uint32_t seed) {
    size_t vocabulary = (size_t)nb_model_vocabulary(m);
    text t = {.prompt = prompt, .logits = nb_alloc(TOKENS * vocabulary * sizeof *t.logits)};
    int32_t rows;
    test_tokens(t.tokens, TOKENS, m, seed);
    for (int32_t n = prompt; n <= TOKENS; n++) {
        advance(alone, t.tokens, n);
        memcpy(t.logits + (size_t)(n - 1) * vocabulary, nb_session_logits(alone, &rows), vocabulary * sizeof *t.logits);
    }
    return t;
}

static bool same_logits(const nb_model *m, const float *got, const text *t, int32_t n) {
    uint32_t vocabulary = (uint32_t)nb_model_vocabulary(m), i = 0;
    const float *expected = t->logits + (size_t)(n - 1) * vocabulary;
    while (i < vocabulary && got[i] == expected[i])
        i++;
    return i == vocabulary;
}

/* Evaluates all texts, each in the sequence of its number, in batches of random pieces: prompts among others'
 * tokens. */
static void check_together(const nb_model *m, nb_session *s, const text *texts, const char *what, uint32_t *seed) {
    int32_t n[SEQUENCES], turn_count = 0, rows;
    for (uint32_t i = 0; i < SEQUENCES; i++)
        n[i] = texts[i].prompt;
    for (;; turn_count++) {
        nb_turn turns[SEQUENCES];
        const int32_t *tokens[SEQUENCES];
        nb_error err;
        uint32_t n_turns = 0, first = test_random(seed) % SEQUENCES, left = 0;
        for (uint32_t k = 0; k < SEQUENCES; k++) {
            uint32_t i = (first + k) % SEQUENCES;
            left += n[i] <= TOKENS;
            if (n[i] > TOKENS || test_random(seed) % 4 == 0)
                continue;
            tokens[n_turns] = texts[i].tokens;
            turns[n_turns++] = (nb_turn){.sequence = i, .n = n[i], .most = 1 + test_random(seed) % 11};
        }
        if (!left || !CHECK(turn_count < MOST_TURNS, "%s: it does not end", what))
            return;
        if (!CHECK(nb_session_advance_all(s, turns, tokens, n_turns, &err) == NB_OK, "%s: %s", what, err.message))
            return;
        const float *logits = nb_session_logits(s, &rows);
        for (uint32_t k = 0; k < n_turns; k++) {
            uint32_t i = turns[k].sequence;
            CHECK((turns[k].held == n[i]) == (turns[k].row >= 0), "%s: row %d of %d held", what, turns[k].row,
                  turns[k].held);
            if (turns[k].row < 0)
                continue;
            CHECK(same_logits(m, logits + (size_t)turns[k].row * (size_t)nb_model_vocabulary(m), &texts[i], n[i]),
                  "%s: sequence %u differs after %d tokens from itself alone", what, i, n[i]);
            n[i]++;
        }
    }
}

static void check_model(const char *name, nb_pool *pool, uint32_t type) {
    nb_model *m = test_load_file(name);
    nb_session *alone = open_session(m, pool, type, 1), *s = open_session(m, pool, type, SEQUENCES);
    text texts[SEQUENCES];
    uint32_t seed = 77 + type;
    for (uint32_t i = 0; i < SEQUENCES; i++)
        texts[i] = make_text(m, alone, 1 + (int32_t)((i * 13 + 7) % PROMPT), 100 + i);
    check_together(m, s, texts, name, &seed);
    /* again, over what other texts have left there */
    text other = texts[0];
    texts[0] = texts[1];
    texts[1] = other;
    check_together(m, s, texts, name, &seed);
    for (uint32_t i = 0; i < SEQUENCES; i++)
        nb_free(texts[i].logits);
    nb_session_free(s);
    nb_session_free(alone);
    nb_model_free(m);
}

static uint32_t pages_in_use(const nb_session *s) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < s->n_pages; i++)
        n += s->page_users[i] > 0;
    return n;
}

/* Logits of a text's first n tokens, in a sequence, are those that it has alone. */
static void check_goes_on(const nb_model *m, nb_session *s, uint32_t sequence, const text *t, int32_t n,
                          const char *what) {
    nb_error err;
    int32_t rows;
    CHECK(nb_session_select(s, sequence, &err) == NB_OK, "%s", err.message);
    advance(s, t->tokens, n);
    CHECK(same_logits(m, nb_session_logits(s, &rows), t, n), "%s: after %d tokens", what, n);
}

/* Two texts with the same beginning, which is computed once and held once. */
static void check_forks(nb_pool *pool) {
    enum { SHARED = 34 }; /* a whole page, and a part of another */
    nb_error err;
    nb_model *m = test_load_file("tests/fixtures/models/gemma3.gguf");
    nb_session *alone = open_session(m, pool, NB_TYPE_I16, 1), *s = open_session(m, pool, NB_TYPE_I16, 3);
    text a = make_text(m, alone, 1, 5), b = {.prompt = 1};
    test_tokens(b.tokens, TOKENS, m, 6);
    memcpy(b.tokens, a.tokens, SHARED * sizeof *a.tokens);
    b.logits = nb_alloc(TOKENS * (size_t)nb_model_vocabulary(m) * sizeof *b.logits);
    for (int32_t n = 1, rows; n <= TOKENS; n++) {
        advance(alone, b.tokens, n);
        memcpy(b.logits + (n - 1) * nb_model_vocabulary(m), nb_session_logits(alone, &rows),
               (size_t)nb_model_vocabulary(m) * sizeof *b.logits);
    }
    check_goes_on(m, s, 0, &a, TOKENS, "the first");
    CHECK(nb_session_select(s, 2, &err) == NB_OK && nb_session_fork(s, 0, SHARED, &err) == NB_OK, "%s", err.message);
    CHECK(nb_session_holds(s, b.tokens, TOKENS) == SHARED && pages_in_use(s) == 2, "%u pages", pages_in_use(s));
    check_goes_on(m, s, 2, &b, SHARED + 1, "a fork");
    CHECK(pages_in_use(s) == 3, "a begun page is copied when it is written: %u pages", pages_in_use(s));
    check_goes_on(m, s, 0, &a, TOKENS, "what was forked from");
    CHECK(nb_session_fork(s, 0, SHARED - 1, &err) == NB_OK && nb_session_holds(s, a.tokens, TOKENS) == SHARED - 1,
          "rewound: %s", err.message);
    check_goes_on(m, s, 0, &a, SHARED, "rewound");
    check_goes_on(m, s, 2, &b, TOKENS, "the fork still");

    /* shifting a fork leaves the origin as it was */
    CHECK(nb_session_select(s, 1, &err) == NB_OK && nb_session_fork(s, 2, TOKENS, &err) == NB_OK &&
              nb_session_shift(s, 3, 8, &err) == NB_OK,
          "%s", err.message);
    CHECK(nb_session_holds(s, b.tokens, TOKENS) == 3, "it was shifted");
    check_goes_on(m, s, 2, &b, TOKENS, "the origin of what was shifted");
    CHECK(nb_session_select(s, 1, &err) == NB_OK && nb_session_fork(s, 1, 0, &err) == NB_OK &&
              nb_session_select(s, 0, &err) == NB_OK && nb_session_fork(s, 0, 0, &err) == NB_OK && pages_in_use(s) == 2,
          "pages come back: %u", pages_in_use(s));

    CHECK(nb_session_select(s, 3, &err) == NB_ERR_ARGUMENT && nb_session_fork(s, 3, 0, &err) == NB_ERR_ARGUMENT,
          "sequence 3 of 3");
    CHECK(nb_session_fork(s, 2, TOKENS + 1, &err) == NB_ERR_ARGUMENT &&
              nb_session_fork(s, 2, -1, &err) == NB_ERR_ARGUMENT,
          "more tokens than it holds");
    nb_free(a.logits);
    nb_free(b.logits);
    nb_session_free(s);
    nb_session_free(alone);
    nb_model_free(m);
}

static void check_refusals(void) {
    nb_error err = {0};
    nb_model *m = test_load_file("tests/fixtures/tiny.gguf"),
             *bert = test_load_file("tests/fixtures/encoders/bert.gguf");
    nb_session *s = open_session(m, NULL, NB_TYPE_F32, 2), *encoder = open_session(bert, NULL, NB_TYPE_F32, 2);
    int32_t good[] = {1, 2, 3}, bad[] = {1, nb_model_vocabulary(m), 3};
    const int32_t *tokens[] = {good, good}, *others[] = {good, bad};
    nb_turn turns[] = {{.sequence = 0, .n = 3, .most = 8}, {.sequence = 1, .n = 3, .most = 8}}, sick[2];
    CHECK(nb_session_advance_all(s, turns, tokens, 2, &err) == NB_OK && turns[1].row == 1, "%s", err.message);
    CHECK(nb_session_advance_all(s, turns, tokens, 0, &err) == NB_OK, "no turns: %s", err.message);
    CHECK(nb_session_advance_all(s, turns, others, 2, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "at position 1") && nb_session_holds(s, good, 3) == 0,
          "a token outside the vocabulary: %s", err.message);
#define REFUSED(change, code, what)                                              \
    do {                                                                         \
        memcpy(sick, turns, sizeof sick);                                        \
        change;                                                                  \
        CHECK(nb_session_advance_all(s, sick, tokens, 2, &err) == (code), what); \
    } while (0)
    REFUSED(sick[1].sequence = 2, NB_ERR_ARGUMENT, "sequence 2 of 2");
    REFUSED(sick[1].sequence = UINT32_MAX, NB_ERR_ARGUMENT, "the last number");
    REFUSED(sick[1].sequence = 0, NB_ERR_ARGUMENT, "two turns of one sequence");
    REFUSED(sick[0].most = 0, NB_ERR_ARGUMENT, "no rows");
    REFUSED(sick[1].n = 0, NB_ERR_ARGUMENT, "no tokens");
    REFUSED(sick[1].n = CONTEXT + 1, NB_ERR_CONTEXT, "more than the context");
    CHECK(nb_session_advance_all(s, turns, tokens, 2, &err) == NB_OK, "it works after all this: %s", err.message);
    CHECK(nb_session_advance_all(encoder, turns, tokens, 1, &err) == NB_ERR_UNSUPPORTED, "an encoder");
    CHECK(!nb_session_new(m, NULL, 8, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 0, &err) &&
              !nb_session_new(m, NULL, 8, 0, NB_TYPE_F32, NB_PRECISION_EXACT, NB_MAX_SEQUENCES + 1, &err),
          "0 or too many sequences");
    nb_session *most = nb_session_new(m, NULL, 8, 0, NB_TYPE_F32, NB_PRECISION_EXACT, NB_MAX_SEQUENCES, &err);
    CHECK(most && nb_session_bytes(m, 8, 0, NB_TYPE_F32, NB_MAX_SEQUENCES) == (double)most->arena.size, "%s",
          err.message);
    nb_session_free(most);
    nb_session_free(s);
    nb_session_free(encoder);
    nb_model_free(m);
    nb_model_free(bert);
}

void test_batch(void) {
    /* windows, learned positions, merged matrices, experts, heads with padding, layers without rotation */
    static const char *const names[] = {"gemma3", "gpt2", "phi2", "mixtral", "qwen2moe", "head-size-10", "smollm3"};
    static const uint32_t types[] = {NB_TYPE_I16,  NB_TYPE_F32,  NB_TYPE_F16,
                                     NB_TYPE_Q8_0, NB_TYPE_Q4_0, NB_CACHE_Q8_0_Q4_0};
    char path[64];
    for (int32_t threads = 1; threads <= 2; threads++) {
        nb_pool *pool = test_pool_new(threads);
        for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
            nb_writer w = nb_writer_over(path, sizeof path);
            nb_write(&w, "tests/fixtures/models/%s.gguf", names[i]);
            check_model(path, pool, types[(i + (size_t)threads) % (sizeof types / sizeof *types)]);
        }
        check_forks(pool);
        test_pool_free(pool);
    }
    check_refusals();
}
