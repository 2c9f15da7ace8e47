/* Training a tokenizer against the library tokenizers (tests/oracles/bpe_vectors.py), with text in pieces of any size;
 * and what is refused. */
#include "check.h"
#include "random.h"

#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/nibble_train.h"
#include "../../src/text/unicode.h"

enum { TEXTS, ALL, JOINED, RANDOM }; /* the sources of bpe.bin */

/* A text for the trainer: of texts.bin, or random. */
typedef struct source {
    uint32_t kind, by_lines;
    const uint8_t *texts;
    size_t texts_size;
    uint8_t *random;
    size_t random_size;
} source;

static bool is_utf8(const uint8_t *text, size_t size) {
    int whole = 1;
    for (size_t at = 0; at < size && whole;)
        at += nb_utf8_prefix(text + at, size - at, &whole);
    return whole;
}

/* piece: 0: random sizes. */
static int32_t add_in_pieces(nb_bpe_trainer *t, const uint8_t *text, size_t size, size_t piece, nb_error *err) {
    static uint32_t seed = 3;
    int32_t code = NB_OK;
    for (size_t at = 0, n; at < size && code == NB_OK; at += n) {
        size_t wanted = piece ? piece : 1 + test_random(&seed) % 300;
        n = NB_MIN(size - at, wanted);
        code = nb_bpe_trainer_add(t, text + at, n, err);
    }
    return code;
}

static int32_t give(nb_bpe_trainer *t, const source *s, size_t piece, nb_error *err) {
    if (s->kind == RANDOM)
        return add_in_pieces(t, s->random, s->random_size, piece, err);
    nb_cursor in = nb_cursor_over(s->texts, s->texts_size, 0);
    int32_t code = NB_OK;
    for (uint32_t n = nb_cursor_u32(&in); n && code == NB_OK; n--) {
        size_t size = nb_cursor_u32(&in);
        const uint8_t *text = nb_cursor_bytes(&in, size);
        if (s->kind != ALL && !is_utf8(text, size))
            continue;
        code = add_in_pieces(t, text, size, piece, err);
        if (code == NB_OK && s->kind != JOINED)
            code = nb_bpe_trainer_end_text(t, err);
    }
    return code;
}

/* The library's answer lies at `in`. */
static void check_tokens(const nb_bpe_trainer *t, nb_cursor *in, uint32_t index, size_t piece) {
    uint32_t n = nb_cursor_u32(in);
    CHECK(nb_bpe_trainer_tokens(t) == n, "case %u in pieces of %z: %u tokens instead of %u", index, piece,
          nb_bpe_trainer_tokens(t), n);
    bool right = true; /* only the first wrong token is reported */
    for (uint32_t i = 0; i < n; i++) {
        char name[2048];
        size_t size = nb_cursor_u16(in);
        nb_text wanted = {(const char *)nb_cursor_bytes(in, size), size};
        int32_t got = nb_bpe_trainer_token(t, i, name, sizeof name);
        nb_text token = {name, (size_t)NB_MAX(0, NB_MIN(got, (int32_t)sizeof name))};
        right =
            right && CHECK(wanted.data && nb_text_equal(token, wanted),
                           "case %u in pieces of %z: token %u is '%t' instead of '%t'", index, piece, i, token, wanted);
    }
}

static void check_merges(const nb_bpe_trainer *t, nb_cursor *in, uint32_t index, size_t piece) {
    uint32_t n = nb_cursor_u32(in);
    const uint32_t *pairs = nb_bpe_trainer_pairs(t);
    bool right = CHECK(nb_bpe_trainer_merges(t) == n, "case %u in pieces of %z: %u merges instead of %u", index, piece,
                       nb_bpe_trainer_merges(t), n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t left = nb_cursor_u16(in), second = nb_cursor_u16(in);
        right = right && CHECK(pairs[2 * i] == left && pairs[2 * i + 1] == second,
                               "case %u in pieces of %z: merge %u is %u + %u instead of %u + %u", index, piece, i,
                               pairs[2 * i], pairs[2 * i + 1], left, second);
    }
}

static void check_facts(const nb_bpe_trainer *t, nb_cursor *in, uint32_t index, size_t piece) {
    nb_bpe_facts facts;
    nb_bpe_trainer_facts(t, &facts);
    double words = nb_cursor_u32(in), distinct = nb_cursor_u32(in), broken = nb_cursor_u32(in);
    CHECK(facts.words == words && facts.distinct == distinct && facts.broken == broken,
          "case %u in pieces of %z: %g words, %g different, %g broken bytes instead of %g, %g and %g", index, piece,
          facts.words, facts.distinct, facts.broken, words, distinct, broken);
}

/* A case of the file: the texts, and how to train. */
typedef struct bpe_case {
    source source;
    uint32_t pattern, vocabulary, least;
    nb_text special[4];
    uint32_t n_special;
} bpe_case;

static bpe_case read_case(nb_cursor *in, const uint8_t *texts, size_t texts_size) {
    bpe_case c = {.source = {.texts = texts, .texts_size = texts_size}};
    c.source.kind = nb_cursor_u32(in);
    c.pattern = nb_cursor_u32(in);
    c.source.by_lines = nb_cursor_u32(in);
    c.vocabulary = nb_cursor_u32(in);
    c.least = nb_cursor_u32(in);
    if (c.source.kind == RANDOM) {
        uint32_t seed = nb_cursor_u32(in), size = nb_cursor_u32(in), n = nb_cursor_u8(in);
        const uint8_t *characters = nb_cursor_bytes(in, n);
        c.source.random = nb_alloc(size);
        c.source.random_size = size;
        for (uint32_t i = 0; i < size && characters && n; i++)
            c.source.random[i] = characters[test_random(&seed) % n];
    }
    c.n_special = nb_cursor_u8(in);
    for (uint32_t i = 0; i < c.n_special; i++) {
        size_t size = nb_cursor_u8(in);
        c.special[i] = (nb_text){(const char *)nb_cursor_bytes(in, size), size};
    }
    return c;
}

/* NULL, with *err, if it fails. */
static nb_bpe_trainer *train(const bpe_case *c, size_t piece, nb_error *err) {
    nb_bpe_trainer *t = nb_bpe_trainer_new(c->pattern, c->source.by_lines, err);
    int32_t code = t ? NB_OK : err->code;
    for (uint32_t i = 0; i < c->n_special && code == NB_OK; i++)
        code = nb_bpe_trainer_add_special(t, c->special[i].data, c->special[i].size, err);
    if (code == NB_OK)
        code = give(t, &c->source, piece, err);
    if (code == NB_OK)
        code = nb_bpe_trainer_begin(t, c->vocabulary, c->least, err);
    for (int32_t n = 7; code >= 0 && n == 7; code = n)
        n = nb_bpe_trainer_merge(t, 7, err);
    if (code >= 0)
        return t;
    nb_bpe_trainer_free(t);
    return NULL;
}

static void check_case(const bpe_case *c, nb_cursor *in, uint32_t index) {
    static const size_t pieces[] = {1, 13, 0, 1 << 20};
    nb_cursor from = *in;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        nb_error err = {0};
        nb_bpe_trainer *t = train(c, pieces[i], &err);
        *in = from;
        if (!CHECK(t, "case %u in pieces of %z: %s", index, pieces[i], err.message))
            continue;
        check_facts(t, in, index, pieces[i]);
        check_tokens(t, in, index, pieces[i]);
        check_merges(t, in, index, pieces[i]);
        nb_bpe_trainer_free(t);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void check_refusals(void) {
    nb_error err = {0};
    CHECK(!nb_bpe_trainer_new(2, 0, &err) && err.code == NB_ERR_ARGUMENT, "%s", err.message);
    nb_bpe_trainer *t = nb_bpe_trainer_new(NB_SPLIT_GPT2, 0, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    CHECK(nb_bpe_trainer_add_special(t, "", 0, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_bpe_trainer_add_special(t, "\xff", 1, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_bpe_trainer_add_special(t, "<s>", 3, &err) == NB_OK, "%s", err.message);
    CHECK(nb_bpe_trainer_merge(t, 1, &err) == NB_ERR_STATE, "%s", err.message);
    CHECK(nb_bpe_trainer_begin(t, 256, 0, &err) == NB_ERR_ARGUMENT && test_contains(err.message, "take 257"), "%s",
          err.message);
    CHECK(nb_bpe_trainer_begin(t, 1 << 21, 0, &err) < 0, "%s", err.message);
    CHECK(nb_bpe_trainer_add(t, (const uint8_t *)"a", 1, &err) == NB_ERR_STATE, "%s", err.message);
    CHECK(nb_bpe_trainer_token(t, 257, NULL, 0) == NB_ERR_ARGUMENT, "there is a token 257");
    nb_bpe_trainer_free(t);
    nb_bpe_trainer_free(NULL);
}

#ifdef NB_NATIVE
/* Each allocation fails once: that is an error, and the sanitizers find nothing. */
static void check_memory(const bpe_case *c) {
    uint64_t nth = 1;
    for (bool reached = true; reached; nth++) {
        nb_error err = {0};
        nb_refuse_allocation(nth);
        nb_bpe_trainer *t = train(c, 0, &err);
        reached = nb_refuse_allocation(0) == 0;
        CHECK(reached ? !t && err.code == NB_ERR_MEMORY : t != NULL, "allocation %u: %d, %s", (uint32_t)nth, err.code,
              err.message);
        nb_bpe_trainer_free(t);
    }
    CHECK(nth > 30, "only %u allocations", (uint32_t)nth);
}

/* A piece that did not fit into memory can be given again. After a failure while words were counted, nothing can. */
static void check_retries(void) {
    nb_error err = {0};
    static const uint8_t text[] = "words of a text, of which some are in it twice: words of a text";
    nb_bpe_trainer *t = nb_bpe_trainer_new(NB_SPLIT_GPT2, 0, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    nb_refuse_allocation(1);
    CHECK(nb_bpe_trainer_add(t, text, sizeof text, &err) == NB_ERR_MEMORY, "%s", err.message);
    nb_refuse_allocation(0);
    CHECK(nb_bpe_trainer_add(t, text, sizeof text, &err) == NB_OK, "%s", err.message);
    nb_bpe_trainer_free(t);
    t = nb_bpe_trainer_new(NB_SPLIT_GPT2, 0, &err);
    nb_refuse_allocation(2);
    CHECK(nb_bpe_trainer_add(t, text, sizeof text, &err) == NB_ERR_MEMORY, "%s", err.message);
    nb_refuse_allocation(0);
    CHECK(nb_bpe_trainer_add(t, text, sizeof text, &err) == NB_ERR_STATE && test_contains(err.message, "new trainer"),
          "%s", err.message);
    CHECK(nb_bpe_trainer_begin(t, 300, 0, &err) == NB_ERR_STATE, "%s", err.message);
    nb_bpe_trainer_free(t);
}
#endif

/* A text of one word, in small pieces: the time may not grow with the square of its length. */
static void check_long_word(void) {
    enum { BYTES = 1 << 20, PIECE = 1 << 6 };
    static uint8_t piece[PIECE];
    memset(piece, 'a', PIECE);
    nb_error err = {0};
    nb_bpe_trainer *t = nb_bpe_trainer_new(NB_SPLIT_LLAMA3, 0, &err);
    int32_t code = t ? NB_OK : err.code;
    for (size_t at = 0; at < BYTES && code == NB_OK; at += PIECE)
        code = nb_bpe_trainer_add(t, piece, PIECE, &err);
    if (code == NB_OK)
        code = nb_bpe_trainer_begin(t, 1000, 0, &err);
    if (code == NB_OK)
        code = nb_bpe_trainer_merge(t, 1000, &err);
    CHECK(code == 20, "a word of 2^20 letters: %d merges, %s", code, err.message);
    nb_bpe_trainer_free(t);
}

void test_bpe_trainer(void) {
    size_t size, texts_size;
    uint8_t *file = test_read_all("tests/fixtures/train/bpe.bin", &size);
    uint8_t *texts = test_read_all("tests/fixtures/text/texts.bin", &texts_size);
    nb_cursor in = nb_cursor_over(file, size, 0);
    uint32_t n = nb_cursor_u32(&in);
    CHECK(n == 17, "%u cases", n);
    for (uint32_t i = 0; i < n && !in.is_short; i++) {
        bpe_case c = read_case(&in, texts, texts_size);
        check_case(&c, &in, i);
#ifdef NB_NATIVE
        if (i == 9)
            check_memory(&c);
#endif
        nb_free(c.source.random);
    }
    CHECK(!in.is_short && in.at == size, "the file ends elsewhere");
    check_refusals();
#ifdef NB_NATIVE
    check_retries();
#endif
    check_long_word();
    nb_free(texts);
    nb_free(file);
}
