/* Tokenizers against llama.cpp's tokens (tests/oracles/text_fixtures.py), with broken UTF-8, and with long texts. */
#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/text/normalize.h"
#include "../../src/text/tokenizer_internal.h"
#include "check.h"
#include "random.h"
#include "vocabularies.h"

enum { MAX_TOKENS = 4096, MAX_BYTES = 16384 };

typedef struct texts {
    uint8_t *file;
    nb_text items[1024];
    uint32_t count;
} texts;

static bool open_texts(texts *t) {
    size_t size;
    t->file = test_read_text("texts", ".bin", &size);
    nb_cursor in = nb_cursor_over(t->file, size, 0);
    t->count = nb_cursor_u32(&in);
    if (!CHECK(t->count > 400 && t->count <= 1024, "%u texts", t->count))
        return false;
    for (uint32_t i = 0; i < t->count; i++) {
        size_t bytes = nb_cursor_u32(&in);
        t->items[i] = (nb_text){(const char *)nb_cursor_bytes(&in, bytes), bytes};
    }
    return CHECK(!in.is_short && in.at == size, "texts.bin has %z bytes, %z were read", size, in.at);
}

/* Whether the tokenizer composes (NFC) the text to another one, which llama.cpp does not do. */
static bool is_composed_first(const nb_tokenizer *t, nb_text text) {
    if (!nb_tokenizer_composes(t))
        return false;
    nb_bytes out = {0};
    nb_error err = {0};
    int32_t code = nb_nfc_text(t->mappings, (const uint8_t *)text.data, text.size, &out, &err);
    nb_text composed = {(const char *)out.data, out.used};
    bool other = CHECK(code >= 0, "%s", err.message) && !nb_text_equal(text, composed);
    nb_free(out.data);
    return other;
}

static void check_pieces(const char *name, const nb_tokenizer *t, nb_cursor *in) {
    static char out[MAX_BYTES];
    CHECK((int32_t)nb_cursor_u32(in) == nb_tokenizer_size(t), "%s: %d tokens", name, nb_tokenizer_size(t));
    for (int32_t i = 0; i < nb_tokenizer_size(t); i++) {
        bool is_end = nb_cursor_u8(in);
        CHECK(nb_tokenizer_is_end(t, i) == is_end, "%s: token %d", name, i);
        for (uint32_t flags = NB_DETOKENIZE_TEXT; flags <= NB_DETOKENIZE_SPECIAL; flags++) {
            size_t bytes = nb_cursor_u8(in), got = test_detokenize(t, flags, &i, 1, out, sizeof out);
            nb_text want = {(const char *)nb_cursor_bytes(in, bytes), bytes}, have = {out, got};
            CHECK(nb_text_equal(want, have), "%s: token %d is '%t', not '%t'", name, i, want, have);
        }
    }
}

static void check_encoding(const char *name, const nb_tokenizer *t, nb_text text, uint32_t flags, nb_cursor *in) {
    static int32_t tokens[MAX_TOKENS + 1];
    nb_error err = {0};
    int32_t want = nb_cursor_u16(in);
    int32_t got = nb_tokenizer_encode(t, text.data, text.size, flags, tokens, MAX_TOKENS, &err);
    CHECK(got == want, "%s, flags %u, '%t': %d tokens, not %d %s", name, flags, text, got, want, err.message);
    for (int32_t i = 0; i < want; i++) {
        int32_t token = nb_cursor_u16(in);
        if (i < got && !CHECK(tokens[i] == token, "%s, flags %u, '%t': token %d is %d, not %d", name, flags, text, i,
                              tokens[i], token)) {
            nb_cursor_bytes(in, 2 * (uint64_t)(want - i - 1));
            break;
        }
    }
    /* with less room the count is the same, and nothing is written past the room */
    int32_t room = want / 2, last = tokens[0];
    tokens[room] = -77;
    CHECK(nb_tokenizer_encode(t, text.data, text.size, flags, tokens, room, &err) == got, "room for %d", room);
    CHECK(tokens[room] == -77 && (room == 0 || tokens[0] == last), "%s: wrote past the room", name);
}

/* A long text fills the tokenizer's cache of words. The cache must not change any tokens. */
static void fill_cache(const nb_tokenizer *t) {
    static char text[1 << 14];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = " the of a"[i % 9];
    nb_tokenizer_encode(t, text, sizeof text, 0, NULL, 0, NULL);
}

static void check_fixture(int which, const texts *all, bool remembering) {
    static int32_t tokens[MAX_TOKENS];
    static char out[MAX_BYTES];
    const char *name = test_vocabulary_names[which];
    test_vocabulary f;
    size_t size;
    uint8_t *expected = test_read_text(name, ".expected", &size);
    nb_cursor in = nb_cursor_over(expected, size, 0);
    if (test_vocabulary_open(&f, which)) {
        if (remembering)
            fill_cache(f.tokenizer);
        check_pieces(name, f.tokenizer, &in);
        for (uint32_t n = nb_cursor_u32(&in); n > 0 && !in.is_short; n--) {
            uint32_t text = nb_cursor_u16(&in), flags = nb_cursor_u16(&in);
            if (!CHECK(text < all->count, "text %u", text))
                break;
            if (is_composed_first(f.tokenizer, all->items[text]))
                nb_cursor_bytes(&in, 2 * (uint64_t)nb_cursor_u16(&in));
            else
                check_encoding(name, f.tokenizer, all->items[text], flags, &in);
        }
        CHECK(!in.is_short && in.at == size, "%s: %z bytes, %z were read", name, size, in.at);
        for (uint32_t i = 0; i < all->count && which < TEST_BYTE_LEVEL; i++) { /* bytes come back as they were */
            nb_text text = all->items[i], back = {out, 0};
            if (is_composed_first(f.tokenizer, text))
                continue;
            int32_t n = nb_tokenizer_encode(f.tokenizer, text.data, text.size, 0, tokens, MAX_TOKENS, NULL);
            back.size = test_detokenize(f.tokenizer, 0, tokens, n, out, sizeof out);
            CHECK(nb_text_equal(text, back), "%s: '%t' came back as '%t'", name, text, back);
        }
    }
    test_vocabulary_close(&f);
    nb_free(expected);
}

/* Both kinds of BPE encode broken UTF-8 as it is. */
static void check_random_bytes(int which) {
    enum { MOST = 60 };
    char text[MOST], back[8 * MOST];
    int32_t tokens[8 * MOST];
    uint32_t seed = 1;
    test_vocabulary f;
    if (test_vocabulary_open(&f, which))
        for (int round = 0; round < 2000; round++) {
            size_t n = test_random(&seed) % MOST, size = 0;
            for (size_t i = 0; i < n; i++)
                text[i] =
                    (char)(test_random(&seed) % 2 ? 0x80 + test_random(&seed) % 0x80 : 'a' + test_random(&seed) % 26);
            if (is_composed_first(f.tokenizer, (nb_text){text, n}))
                continue;
            int32_t n_tokens = nb_tokenizer_encode(f.tokenizer, text, n, 0, tokens, 8 * MOST, NULL);
            for (int32_t i = 0; i < n_tokens; i++)
                size +=
                    (size_t)nb_tokenizer_bytes(f.tokenizer, tokens[i], 0, back + size, (int32_t)(sizeof back - size));
            CHECK(n == size && nb_compare(text, back, n) == 0, "%s: %z random bytes came back as %z",
                  test_vocabulary_names[which], n, size);
        }
    test_vocabulary_close(&f);
}

/* A megabyte of a repeated text: anything worse than n log n would take hours. BPE must give each byte back. */
static void check_long(int which, const char *repeated) {
    enum { BYTES = 1 << 20 };
    test_vocabulary f;
    size_t size = nb_length(repeated), total = 0;
    char *text = nb_alloc(BYTES);
    int32_t *tokens = nb_alloc(BYTES * sizeof *tokens);
    if (test_vocabulary_open(&f, which) && CHECK(text && tokens && size, "no memory, or no text")) {
        for (size_t i = 0; i < BYTES; i++)
            text[i] = repeated[i % size];
        int32_t n = nb_tokenizer_encode(f.tokenizer, text, BYTES, NB_TOKENIZE_PARSE_SPECIAL, tokens, BYTES, NULL);
        for (int32_t i = 0; i < n && i < BYTES; i++)
            total += (size_t)nb_tokenizer_bytes(f.tokenizer, tokens[i], NB_DETOKENIZE_SPECIAL, NULL, 0);
        CHECK(which < TEST_UNIGRAM ? total == BYTES : n > 0, "%s: a megabyte of '%s' gives %d tokens of %z bytes",
              test_vocabulary_names[which], repeated, n, total);
    }
    nb_free(text);
    nb_free(tokens);
    test_vocabulary_close(&f);
}

void test_tokenizer(void) {
    static texts all;
    if (open_texts(&all))
        for (int i = 0; i < TEST_VOCABULARIES; i++)
            for (int remembering = 0; remembering < 2; remembering++)
                check_fixture(i, &all, remembering);
    nb_free(all.file);
    for (int i = 0; i < TEST_UNIGRAM; i++)
        check_random_bytes(i == TEST_SPM ? TEST_SPM_SPANS : i); /* TEST_SPM puts a space before the text */
    check_long(TEST_SMOLLM, "a");
    check_long(TEST_SMOLLM, "ab, x");
    check_long(TEST_SMOLLM, "[[[[<");
    check_long(TEST_LLAMA_BPE, " \n");
    check_long(TEST_QWEN2, "\xe4\xba\xba");
    check_long(TEST_SPM_SPANS, "ab");
    check_long(TEST_SPM_SPANS, " ");
    check_long(TEST_UNIGRAM, "a");
    check_long(TEST_UNIGRAM, "\x80");
    check_long(TEST_WORDPIECE, "a");
    check_long(TEST_WORDPIECE, "a\xcc\x81 ");
}
