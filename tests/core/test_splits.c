/* Where each pre-tokenizer cuts texts, against Python's regex module (tests/oracles/split_vectors.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/text/pretokenize.h"

/* The pieces of text[size] against the bits from `at` on; reports the first that differs. */
static void check_text(const nb_pretokenizer *pre, const nb_split_ascii *splits, const nb_unicode *unicode,
                       nb_text name, const uint8_t *text, size_t size, const uint8_t *bits, size_t at) {
    nb_words words = nb_words_of(pre, splits, unicode, text, size);
    size_t end = 0;
    for (size_t start; nb_words_next(&words, &start); end = words.at) {
        bool right = start == end && words.at > start;
        for (size_t i = start; i < words.at; i++)
            right = right && (bits[(at + i) >> 3] >> ((at + i) & 7) & 1) == (i == start);
        nb_text shown = {(const char *)text, size};
        if (!CHECK(right, "%t cuts %z ... %z from '%t'", name, start, words.at, shown))
            return;
    }
    CHECK(end == size, "%t stops at %z of %z", name, end, size);
}

/* Long runs: anything worse than n log n would take hours. */
static void check_long(const nb_pretokenizer *pre, const nb_split_ascii *splits, const nb_unicode *unicode,
                       nb_text name) {
    enum { BYTES = 1 << 17 };
    static const char *const repeated[] = {
        " ",        "\n",           "1",  "a",   "A",           "!",    "'", "\xe3\x80\x80",
        "\xcc\x81", "\xe4\xba\xba", "a ", " \n", "<sentinel:1", "\x80",
    };
    static uint8_t text[BYTES];
    for (size_t i = 0; i < sizeof repeated / sizeof *repeated; i++) {
        size_t n = nb_length(repeated[i]), end = 0;
        for (size_t at = 0; at < BYTES - 1; at++)
            text[at] = (uint8_t)repeated[i][at % n];
        text[BYTES - 1] = 'x';
        nb_words words = nb_words_of(pre, splits, unicode, text, BYTES);
        for (size_t start; nb_words_next(&words, &start) && start == end;)
            end = words.at;
        CHECK(end == BYTES, "%t, a long run of '%s': stops at %z", name, repeated[i], end);
    }
}

void test_splits(void) {
    size_t size, texts_size;
    uint8_t *splits = test_read_all("tests/fixtures/text/splits.bin", &size);
    uint8_t *texts = test_read_all("tests/fixtures/text/texts.bin", &texts_size);
    nb_unicode *unicode = nb_alloc(nb_unicode_bytes());
    memset(unicode, 0, nb_unicode_bytes());
    nb_unicode_expand(unicode);
    nb_cursor in = nb_cursor_over(splits, size, 0);
    uint32_t names = 0;
    while (in.at < size && !in.is_short) {
        size_t name_size = nb_cursor_u8(&in), at = 0;
        nb_text name = {(const char *)nb_cursor_bytes(&in, name_size), name_size};
        nb_cursor from = nb_cursor_over(texts, texts_size, 0);
        uint32_t n = nb_cursor_u32(&from);
        const uint8_t *bits = nb_cursor_bytes(&in, (texts_size - 4 - 4 * (size_t)n + 7) / 8);
        const nb_pretokenizer *pre = nb_pretokenizer_find(name);
        nb_split_ascii splits[NB_MAX_SPLITS] = {0};
        if (!CHECK(pre && bits, "%t", name))
            break;
        nb_pretokenizer_prepare(pre, unicode, splits);
        for (; n; n--) {
            size_t bytes = nb_cursor_u32(&from);
            check_text(pre, splits, unicode, name, nb_cursor_bytes(&from, bytes), bytes, bits, at);
            at += bytes;
        }
        check_long(pre, splits, unicode, name);
        names++;
    }
    char known[2048];
    nb_pretokenizer_names(known, sizeof known);
    uint32_t commas = 0;
    for (const char *p = known; *p; p++)
        commas += *p == ',';
    CHECK(names > commas, "%u of %u pre-tokenizers are tested", names, commas + 1);
    nb_free(unicode);
    nb_free(texts);
    nb_free(splits);
}
