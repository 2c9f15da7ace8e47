/* Text: tokenizers against llama.cpp's tokens (tests/oracles/text_fixtures.py), vocabularies that are wrong, the
 * streaming detokenizer over every split. Samplers are in test_sampler.c. */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/base/writer.h"
#include "../../src/formats/gguf.h"
#include "../../src/text/detokenizer.h"
#include "../../src/text/gguf_vocabulary.h"
#include "../../src/text/normalize.h"
#include "../../src/text/tokenizer.h"

static const char *const names[] = {"smollm", "gpt-2", "llama-bpe", "qwen2", "default", "spm", "spm-spans",
                                    "unigram", "unigram-spaces", "wordpiece"};
enum { N_NAMES = sizeof names / sizeof *names, BYTE_LEVEL = 5, SPM = 5, SPM_SPANS = 6, UNIGRAM = 7, WORDPIECE = 9 };

/* ---- files --------------------------------------------------------------------------------------------------- */

static uint8_t *read_file(const char *name, const char *end, size_t *size) {
    char path[80];
    nb_writer w = nb_writer_over(path, sizeof path);
    nb_write(&w, "tests/fixtures/text/%s%s", name, end);
    return test_read_all(path, size);
}

typedef struct fixture {
    nb_checkpoint checkpoint;
    nb_tokenizer *tokenizer;
} fixture;

static bool open_fixture(fixture *f, const char *name) {
    *f = (fixture){0};
    nb_gguf gguf = {0};
    nb_error err = {0};
    size_t size;
    f->checkpoint.header = read_file(name, ".gguf", &size);
    gguf.file_bytes = size;
    int32_t code = nb_gguf_parse(&gguf, &f->checkpoint, f->checkpoint.header, size, &err);
    f->checkpoint.header_size = size;
    if (CHECK(code == NB_GGUF_DONE, "%s: %s", name, err.message))
        f->tokenizer = nb_tokenizer_new(&f->checkpoint, &err);
    return CHECK(f->tokenizer, "%s: %s", name, err.message);
}

static void close_fixture(fixture *f) {
    nb_tokenizer_free(f->tokenizer);
    nb_checkpoint_free(&f->checkpoint);
}

/* ---- llama.cpp's tokens ------------------------------------------------------------------------------------------ */

enum { MAX_TOKENS = 4096, MAX_BYTES = 16384 };

typedef struct texts {
    uint8_t *file;
    nb_text items[1024];
    uint32_t count;
} texts;

static bool open_texts(texts *t) {
    size_t size;
    t->file = read_file("texts", ".bin", &size);
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

static bool is_utf8(const char *text, size_t size) {
    for (size_t at = 0, length; at < size; at += length) {
        int whole;
        length = nb_utf8_prefix((const uint8_t *)text + at, size - at, &whole);
        if (!whole)
            return false;
    }
    return true;
}

/* Whether the tokenizer would compose the text, as llama.cpp does not. */
static bool is_composed_first(const nb_tokenizer *t, nb_text text) {
    if (!nb_tokenizer_composes(t))
        return false;
    nb_bytes out = {0};
    nb_error err = {0};
    int32_t code = nb_nfc_text(t->foldings, (const uint8_t *)text.data, text.size, &out, &err);
    bool other = CHECK(code >= 0, "%s", err.message) && !nb_text_equal(text, (nb_text){(const char *)out.data, out.used});
    nb_free(out.data);
    return other;
}

/* Streams tokens into out[MAX_BYTES], checking that every piece is whole UTF-8; returns the bytes. */
static size_t stream(const nb_tokenizer *t, uint32_t flags, const int32_t *tokens, int32_t n, char *out) {
    nb_error err = {0};
    nb_detokenizer *d = nb_detokenizer_over(t, flags, &err);
    size_t size = 0;
    if (!CHECK(d, "%s", err.message))
        return 0;
    for (int32_t i = 0; i <= n; i++) {
        int32_t room = (int32_t)(MAX_BYTES - size);
        int32_t got = i < n ? nb_detokenizer_push(d, tokens[i], out + size, room, &err)
                            : nb_detokenizer_flush(d, out + size, room);
        if (!CHECK(got >= 0 && got <= room, "token %d: %d bytes, %s", i < n ? tokens[i] : -1, got, err.message))
            break;
        CHECK(is_utf8(out + size, (size_t)got), "token %d gives broken UTF-8", i < n ? tokens[i] : -1);
        size += (size_t)got;
    }
    nb_detokenizer_free(d);
    return size;
}

static void check_pieces(const char *name, const nb_tokenizer *t, nb_cursor *in) {
    static char out[MAX_BYTES];
    CHECK((int32_t)nb_cursor_u32(in) == nb_tokenizer_size(t), "%s: %d tokens", name, nb_tokenizer_size(t));
    for (int32_t i = 0; i < nb_tokenizer_size(t); i++) {
        bool is_end = nb_cursor_u8(in);
        CHECK(nb_tokenizer_is_end(t, i) == is_end, "%s: token %d", name, i);
        for (uint32_t flags = NB_DETOKENIZE_TEXT; flags <= NB_DETOKENIZE_SPECIAL; flags++) {
            size_t bytes = nb_cursor_u8(in), got = stream(t, flags, &i, 1, out);
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
    /* with less room the count is the same and nothing lies past the room */
    int32_t room = want / 2, last = tokens[0];
    tokens[room] = -77;
    CHECK(nb_tokenizer_encode(t, text.data, text.size, flags, tokens, room, &err) == got, "room for %d", room);
    CHECK(tokens[room] == -77 && (room == 0 || tokens[0] == last), "%s: wrote past the room", name);
}

/* After a long text a tokenizer remembers words: what it says stays the same. */
static void show_long_text(const nb_tokenizer *t) {
    static char text[1 << 14];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = " the of a"[i % 9];
    nb_tokenizer_encode(t, text, sizeof text, 0, NULL, 0, NULL);
}

static void check_fixture(int which, const texts *all, bool remembering) {
    static int32_t tokens[MAX_TOKENS];
    static char out[MAX_BYTES];
    const char *name = names[which];
    fixture f;
    size_t size;
    uint8_t *expected = read_file(name, ".expected", &size);
    nb_cursor in = nb_cursor_over(expected, size, 0);
    if (open_fixture(&f, name)) {
        if (remembering)
            show_long_text(f.tokenizer);
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
        for (uint32_t i = 0; i < all->count && which < BYTE_LEVEL; i++) { /* bytes come back as they were */
            nb_text text = all->items[i], back = {out, 0};
            if (is_composed_first(f.tokenizer, text))
                continue;
            int32_t n = nb_tokenizer_encode(f.tokenizer, text.data, text.size, 0, tokens, MAX_TOKENS, NULL);
            back.size = stream(f.tokenizer, 0, tokens, n, out);
            CHECK(nb_text_equal(text, back), "%s: '%t' came back as '%t'", name, text, back);
        }
    }
    close_fixture(&f);
    nb_free(expected);
}

static uint32_t random_state = 1;

static uint32_t random_below(uint32_t n) { /* Numerical Recipes' generator */
    random_state = random_state * 1664525 + 1013904223;
    return (uint32_t)((uint64_t)random_state * n >> 32);
}

/* Bytes that are no UTF-8 are encoded as they are, by both kinds. */
static void check_random_bytes(int which) {
    enum { MOST = 60 };
    char text[MOST], back[8 * MOST];
    int32_t tokens[8 * MOST];
    fixture f;
    if (open_fixture(&f, names[which]))
        for (int round = 0; round < 2000; round++) {
            size_t n = random_below(MOST), size = 0;
            for (size_t i = 0; i < n; i++)
                text[i] = (char)(random_below(2) ? 0x80 + random_below(0x80) : 'a' + random_below(26));
            if (is_composed_first(f.tokenizer, (nb_text){text, n}))
                continue;
            int32_t n_tokens = nb_tokenizer_encode(f.tokenizer, text, n, 0, tokens, 8 * MOST, NULL);
            for (int32_t i = 0; i < n_tokens; i++)
                size += (size_t)nb_tokenizer_bytes(f.tokenizer, tokens[i], 0, back + size,
                                                   (int32_t)(sizeof back - size));
            CHECK(n == size && nb_compare(text, back, n) == 0, "%s: %z random bytes came back as %z", names[which], n,
                  size);
        }
    close_fixture(&f);
}

/* A megabyte of this, over and over: anything worse than n log n would not come to an end. Where tokens are not what
 * the text was they make it longer at most. */
static void check_long(int which, const char *repeated) {
    enum { BYTES = 1 << 20 };
    fixture f;
    size_t size = nb_length(repeated), total = 0;
    char *text = nb_alloc(BYTES);
    int32_t *tokens = nb_alloc(BYTES * sizeof *tokens);
    if (open_fixture(&f, names[which]) && CHECK(text && tokens, "no memory")) {
        for (size_t i = 0; i < BYTES; i++)
            text[i] = repeated[i % size];
        int32_t n = nb_tokenizer_encode(f.tokenizer, text, BYTES, NB_TOKENIZE_PARSE_SPECIAL, tokens, BYTES, NULL);
        for (int32_t i = 0; i < n && i < BYTES; i++)
            total += (size_t)nb_tokenizer_bytes(f.tokenizer, tokens[i], NB_DETOKENIZE_SPECIAL, NULL, 0);
        CHECK(which < UNIGRAM ? total == BYTES : n > 0, "%s: a megabyte of '%s' gives %d tokens of %z bytes", names[which],
              repeated, n, total);
    }
    nb_free(text);
    nb_free(tokens);
    close_fixture(&f);
}

/* ---- the detokenizer --------------------------------------------------------------------------------------------- */

typedef struct sequence {
    const char *bytes, *text;
} sequence;

#define FFFD "\xef\xbf\xbd"
/* The broken ones are tables 3-8 to 3-11 of The Unicode Standard, section 3.9. */
static const sequence sequences[] = {
    {"h\xc3\xa9!", "h\xc3\xa9!"},
    {"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9", "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9"},
    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", FFFD FFFD FFFD FFFD "A"},
    {"a\xf0\x9f\x98", "a" FFFD}, /* the end of the stream within a character */
    {"\xe2\x82", FFFD},
    {"\xc3", FFFD},
};

/* A vocabulary of one's own: values written into a header as a reader of files would have found them. */
typedef struct maker {
    uint8_t header[4096];
    size_t size;
    nb_value values[16];
    nb_checkpoint checkpoint;
} maker;

static nb_value *add_value(maker *m, const char *key, uint32_t type) {
    nb_value *v = &m->values[m->checkpoint.n_values++];
    *v = (nb_value){.key_at = m->size, .key_size = nb_length(key), .type = type};
    memcpy(m->header + m->size, key, nb_length(key));
    m->size += nb_length(key);
    v->at = m->size;
    return v;
}

static void add_string(maker *m, const char *key, const char *text) {
    nb_value *v = add_value(m, key, NB_VALUE_STRING);
    v->count = v->size = nb_length(text);
    memcpy(m->header + m->size, text, (size_t)v->size);
    m->size += v->size;
}

static void add_bytes(nb_value *v, maker *m, const void *bytes, size_t size) {
    memcpy(m->header + m->size, bytes, size);
    m->size += size;
    v->size += size;
}

static void add_item(nb_value *v, maker *m, const char *text, size_t size) {
    uint64_t length = size;
    add_bytes(v, m, &length, sizeof length);
    add_bytes(v, m, text, size);
    v->count++;
}

/* An array of strings, a space between each two; a '+' stands for a space within one. */
static void add_strings(maker *m, const char *key, const char *items) {
    nb_value *v = add_value(m, key, NB_VALUE_ARRAY);
    v->item_type = NB_VALUE_STRING;
    while (*items) {
        char item[64];
        size_t n = 0;
        for (; *items && *items != ' '; items++)
            item[n++] = *items == '+' ? ' ' : *items;
        add_item(v, m, item, n);
        items += *items == ' ';
    }
}

static void add_number(maker *m, const char *key, uint32_t number) {
    add_bytes(add_value(m, key, NB_VALUE_U32), m, &number, sizeof number);
}

static void add_numbers(maker *m, const char *key, uint32_t type, const void *items, uint64_t count) {
    nb_value *v = add_value(m, key, NB_VALUE_ARRAY);
    v->item_type = type;
    v->count = count;
    add_bytes(v, m, items, (size_t)count * 4);
}

static nb_tokenizer *make(maker *m, nb_error *err) {
    m->checkpoint.header = m->header;
    m->checkpoint.header_size = m->size;
    m->checkpoint.values = m->values;
    return nb_tokenizer_new(&m->checkpoint, err);
}

/* Each sequence cut into two or three tokens at every place: the tokens are the pieces themselves. */
static void check_splits(const sequence *s) {
    size_t n = nb_length(s->bytes);
    static maker m;
    static char out[MAX_BYTES];
    for (size_t first = 0; first <= n; first++)
        for (size_t second = first; second <= n; second++) {
            size_t cuts[4] = {0, first, second, n};
            int32_t tokens[3] = {0, 1, 2}, types[3] = {4, 4, 4}; /* user-defined: bytes as they are */
            m.size = 0;
            m.checkpoint = (nb_checkpoint){0};
            add_string(&m, "tokenizer.ggml.model", "llama");
            nb_value *v = add_value(&m, "tokenizer.ggml.tokens", NB_VALUE_ARRAY);
            v->item_type = NB_VALUE_STRING;
            for (int i = 0; i < 3; i++)
                add_item(v, &m, s->bytes + cuts[i], cuts[i + 1] - cuts[i]);
            add_numbers(&m, "tokenizer.ggml.token_type", NB_VALUE_I32, types, 3);
            nb_error err = {0};
            nb_tokenizer *t = make(&m, &err);
            if (!CHECK(t, "%s", err.message))
                return;
            nb_text want = nb_text_of(s->text), have = {out, stream(t, 0, tokens, 3, out)};
            CHECK(nb_text_equal(want, have), "'%t' cut at %z and %z gives '%t'", want, first, second, have);
            nb_tokenizer_free(t);
        }
}

/* Too little room consumes nothing. */
static void check_room(void) {
    fixture f;
    nb_error err = {0};
    if (open_fixture(&f, names[SPM])) {
        char out[16];
        nb_detokenizer *d = nb_detokenizer_over(f.tokenizer, 0, &err);
        int32_t first = 3 + 0xc3, second = 3 + 0xa9; /* byte tokens follow <unk> <s> </s> */
        CHECK(nb_detokenizer_push(d, first, out, 0, &err) == 0, "half a character has no text");
        CHECK(nb_detokenizer_push(d, second, out, 1, &err) == 2, "it needs 2 bytes");
        CHECK(nb_detokenizer_push(d, second, out, 2, &err) == 2 && nb_compare(out, "\xc3\xa9", 2) == 0, "\xc3\xa9");
        CHECK(nb_detokenizer_flush(d, out, 16) == 0, "nothing is left");
        nb_detokenizer_push(d, first, out, 16, &err);
        CHECK(nb_detokenizer_flush(d, out, 2) == 3, "U+FFFD needs 3 bytes");
        CHECK(nb_detokenizer_flush(d, out, 3) == 3 && nb_compare(out, FFFD, 3) == 0, "U+FFFD");
        CHECK(nb_detokenizer_flush(d, out, 3) == 0, "once");
        int32_t beyond = nb_tokenizer_size(f.tokenizer);
        CHECK(nb_detokenizer_push(d, beyond, out, 16, &err) == 0, "a token beyond the vocabulary has no text");
        CHECK(nb_detokenizer_push(d, -1, out, 16, &err) == NB_ERR_ARGUMENT, "no such token");
        nb_detokenizer_free(d);
    }
    close_fixture(&f);
}

/* ---- vocabularies that are wrong --------------------------------------------------------------------------------- */

/* What is wrong with a vocabulary, and the code that this gives (NB_OK: it is tolerated). */
typedef struct wrong {
    const char *what, *model, *pre, *tokens, *merges;
    uint32_t n_scores, n_types, scores_type, number;
    bool lower;
    int32_t code;
    const char *text, *ids; /* if it is tolerated: what a text gives, a letter a token */
} wrong;

static const wrong wrongs[] = {
    {.what = "right", .model = "gpt2", .pre = "gpt-2", .tokens = "a b ab c", .merges = "a+b", .text = "abc",
     .ids = "cd"},
    {.what = "no pre-tokenizer", .model = "gpt2", .tokens = "a b ab c", .merges = "a+b", .text = "abc", .ids = "cd"},
    {.what = "unknown kind", .model = "wordpiece", .tokens = "a b", .code = NB_ERR_UNSUPPORTED},
    {.what = "no kind", .tokens = "a b", .code = NB_ERR_UNSUPPORTED},
    {.what = "unknown pre-tokenizer", .model = "gpt2", .pre = "gpt", .tokens = "a b", .merges = "a+b",
     .code = NB_ERR_UNSUPPORTED},
    {.what = "two names as one", .model = "gpt2", .pre = "gpt-2 phi-2", .tokens = "a b", .merges = "a+b",
     .code = NB_ERR_UNSUPPORTED},
    {.what = "lower case of BPE", .model = "whitespace", .tokens = "a b", .merges = "a+b", .lower = true,
     .code = NB_ERR_UNSUPPORTED},
    {.what = "words that white space parts", .model = "whitespace", .tokens = "a b ab", .merges = "a+b",
     .text = " ab\na  b", .ids = "cab"},
    {.what = "no tokens", .model = "gpt2", .pre = "gpt-2", .merges = "a+b", .code = NB_ERR_FORMAT},
    {.what = "zero tokens", .model = "llama", .tokens = "", .code = NB_ERR_FORMAT},
    {.what = "no merges", .model = "gpt2", .pre = "gpt-2", .tokens = "a b", .code = NB_ERR_FORMAT},
    {.what = "merges of nothing known", .model = "gpt2", .pre = "gpt-2", .tokens = "a b ab",
     .merges = "x+y a+y b+a + a+ +b ab a+b+c a+b", .text = "abba", .ids = "cba"},
    {.what = "the same token twice", .model = "gpt2", .pre = "gpt-2", .tokens = "a b ab ab a", .merges = "a+b a+b",
     .text = "aab", .ids = "ed"},
    {.what = "the same merge twice", .model = "gpt2", .pre = "gpt-2", .tokens = "a b c ab bc", .merges = "a+b b+c a+b",
     .text = "abc", .ids = "dc"},
    {.what = "empty names", .model = "gpt2", .pre = "gpt-2", .tokens = "a  b  ab", .merges = "a+b", .text = "abb",
     .ids = "ec"},
    {.what = "few scores", .model = "llama", .tokens = "a b ab", .n_scores = 2, .code = NB_ERR_FORMAT},
    {.what = "few types", .model = "llama", .tokens = "a b ab", .n_types = 2, .code = NB_ERR_FORMAT},
    {.what = "many scores", .model = "llama", .tokens = "<unk> <s> </s> a b ab", .n_scores = 9, .text = "ab",
     .ids = "aaaf"},
    {.what = "scores as strings", .model = "llama", .tokens = "a b ab", .n_scores = 3,
     .scores_type = NB_VALUE_STRING, .code = NB_ERR_FORMAT},
    {.what = "no byte tokens", .model = "llama", .tokens = "<unk> <s> </s> a", .text = "ab", .ids = "aaada"},
    {.what = "ids out of range", .model = "gpt2", .pre = "llama-bpe", .tokens = "a b ab c", .merges = "a+b",
     .number = 1u << 31, .text = "abc", .ids = "cd"},
    {.what = "fewer tokens than the usual ids", .model = "llama", .tokens = "a", .text = "", .ids = ""},
};

static nb_tokenizer *make_wrong(const wrong *w, maker *m, nb_error *err) {
    static const uint32_t zeros[16];
    m->size = 0;
    m->checkpoint = (nb_checkpoint){0};
    if (w->model)
        add_string(m, "tokenizer.ggml.model", w->model);
    if (w->pre)
        add_string(m, "tokenizer.ggml.pre", w->pre);
    if (w->tokens)
        add_strings(m, "tokenizer.ggml.tokens", w->tokens);
    if (w->merges)
        add_strings(m, "tokenizer.ggml.merges", w->merges);
    if (w->n_scores)
        add_numbers(m, "tokenizer.ggml.scores", w->scores_type ? w->scores_type : NB_VALUE_F32, zeros, w->n_scores);
    if (w->n_types)
        add_numbers(m, "tokenizer.ggml.token_type", NB_VALUE_I32, zeros, w->n_types);
    if (w->lower)
        add_number(m, "tokenizer.ggml.normalizer.lowercase", 1);
    if (w->number) {
        add_number(m, "tokenizer.ggml.bos_token_id", w->number);
        add_number(m, "tokenizer.ggml.eos_token_id", w->number);
        add_number(m, "tokenizer.ggml.eot_token_id", w->number);
    }
    return make(m, err);
}

static void check_wrong(const wrong *w) {
    static maker m;
    nb_error err = {0};
    nb_tokenizer *t = make_wrong(w, &m, &err);
    if (w->code) {
        CHECK(!t && err.code == w->code && nb_length(err.message) > 20, "%s: code %d, '%s'", w->what, err.code,
              err.message);
    } else if (CHECK(t, "%s: %s", w->what, err.message)) {
        int32_t tokens[16], want = (int32_t)nb_length(w->ids);
        int32_t n = nb_tokenizer_encode(t, w->text, nb_length(w->text), 0, tokens, 16, &err);
        CHECK(n == want, "%s: %d tokens, not %d", w->what, n, want);
        for (int32_t i = 0; i < n && i < want; i++)
            CHECK(tokens[i] == w->ids[i] - 'a', "%s: token %d is %d", w->what, i, tokens[i]);
        int32_t size = nb_tokenizer_size(t);
        CHECK(nb_tokenizer_begin(t) < size && nb_tokenizer_end(t) < size, "%s", w->what);
        for (int32_t i = -2; i < nb_tokenizer_size(t) + 2; i++) /* no token crashes */
            nb_tokenizer_bytes(t, i, 1, NULL, 0), nb_tokenizer_is_end(t, i), nb_tokenizer_name(t, i);
    }
    nb_tokenizer_free(t);
}

/* A score that is not finite is refused: it would choose pieces by chance. */
static void check_score_refusal(void) {
    static const uint32_t bits[] = {0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000};
    static const char *const models[] = {"llama", "t5", "bert"};
    for (int k = 0; k < 12; k++) {
        static maker m;
        const wrong w = {.what = "scores", .model = models[k % 3], .tokens = "<unk> <s> a"};
        uint32_t scores[3] = {0, bits[k / 3], 0};
        nb_error err = {0};
        nb_tokenizer *t = make_wrong(&w, &m, &err);
        CHECK(t, "%s", err.message);
        nb_tokenizer_free(t);
        add_numbers(&m, "tokenizer.ggml.scores", NB_VALUE_F32, scores, 3);
        t = make(&m, &err);
        CHECK(!t && err.code == NB_ERR_FORMAT, "%s, score %x: %s", models[k % 3], scores[1], err.message);
        nb_tokenizer_free(t);
    }
}

/* No vocabulary is no error: weights can be used by themselves. */
static void check_none(void) {
    static maker m;
    nb_error err = {.code = 1};
    static const wrong nothing = {.what = "nothing"}, none = {.what = "none", .model = "none"};
    CHECK(!make_wrong(&nothing, &m, &err) && err.code == NB_OK, "code %d", err.code);
    CHECK(!make_wrong(&none, &m, &err) && err.code == NB_OK, "code %d", err.code);
}

/* Special tokens that take white space with them: which, llama.cpp tells from the model's name (llama-vocab.cpp). */
static void check_strips(const char *name, const char *architecture, const char *text, const char *ids) {
    static maker m;
    static const int32_t types[] = {2, 3, 3, 3, 3, 1, 1, 1, 1};
    m.size = 0;
    m.checkpoint = (nb_checkpoint){0};
    add_string(&m, "tokenizer.ggml.model", "llama");
    add_string(&m, "general.name", name);
    add_string(&m, "general.architecture", architecture);
    add_strings(&m, "tokenizer.ggml.tokens", "<unk> <s> </s> <|end|> <mask> a b \xe2\x96\x81 \n");
    add_numbers(&m, "tokenizer.ggml.token_type", NB_VALUE_I32, types, 9);
    add_number(&m, "tokenizer.ggml.add_space_prefix", 0);
    nb_error err = {0};
    nb_tokenizer *t = make(&m, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    int32_t tokens[32], want = (int32_t)nb_length(ids);
    int32_t n = nb_tokenizer_encode(t, text, nb_length(text), NB_TOKENIZE_PARSE_SPECIAL, tokens, 32, &err);
    CHECK(n == want, "%s, '%s': %d tokens, not %d", name, text, n, want);
    for (int32_t i = 0; i < n && i < want; i++)
        CHECK(tokens[i] == ids[i] - '0', "%s, '%s': token %d is %d", name, text, i, tokens[i]);
    nb_tokenizer_free(t);
}

/* Quotes: names of control tokens that one touches are text, those of user-defined tokens where the call says so. */
static void check_quotes(void) {
    static maker m;
    static const int32_t types[] = {2, 3, 4, 1, 1, 1, 1, 1};
    static const struct {
        const char *text;
        nb_quote quotes[2];
        size_t n;
        const char *ids; /* a digit each */
    } cases[] = {
        {"<e>a<t>", {{0}}, 0, "142"},
        {"<e>a<t>", {{3, 4, 0}}, 1, "142"},       /* beside the names */
        {"<e>a<t>", {{2, 3, 0}}, 1, "356" "42"},  /* one byte is enough */
        {"<e>a<t>", {{0, 7, 0}}, 1, "356" "42"},  /* user-defined: found in any text ... */
        {"<e>a<t>", {{0, 7, 3}}, 1, "356" "4376"}, /* ... unless nb_plain names it for this kind of quote */
        {"<e><e><e>", {{3, 6, 0}}, 1, "1" "356" "1"},
        {"<e><t><t>", {{1, 2, 3}, {4, 5, 3}}, 2, "356" "376" "2"},
        {"<<e>>", {{0, 1, 0}, {4, 5, 0}}, 2, "316"},
    };
    m.size = 0;
    m.checkpoint = (nb_checkpoint){0};
    add_string(&m, "tokenizer.ggml.model", "llama");
    add_strings(&m, "tokenizer.ggml.tokens", "<unk> <e> <t> < a e > t");
    add_numbers(&m, "tokenizer.ggml.token_type", NB_VALUE_I32, types, 8);
    add_number(&m, "tokenizer.ggml.add_space_prefix", 0);
    nb_error err = {0};
    nb_tokenizer *t = make(&m, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    static const nb_plain plain[] = {{1, 0}, {2, 1 << 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int32_t tokens[32], want = (int32_t)nb_length(cases[i].ids);
        int32_t n = nb_tokenizer_encode_quoted(t, cases[i].text, nb_length(cases[i].text), NB_TOKENIZE_PARSE_SPECIAL,
                                               cases[i].quotes, cases[i].n, plain, 2, tokens, 32, &err);
        CHECK(n == want, "case %z: %d tokens, not %d", i, n, want);
        for (int32_t j = 0; j < n && j < want; j++)
            CHECK(tokens[j] == cases[i].ids[j] - '0', "case %z: token %d is %d", i, j, tokens[j]);
    }
    static const nb_quote wrong[][2] = {{{0, 1, 0}, {0, 2, 0}}, {{2, 2, 0}, {3, 4, 0}}, {{0, 1, 0}, {3, 9, 0}}};
    for (size_t i = 0; i < 3; i++) {
        int32_t code = nb_tokenizer_encode_quoted(t, "<e>a<t>", 7, NB_TOKENIZE_PARSE_SPECIAL, wrong[i], 2, NULL, 0, NULL, 0,
                                                  &err);
        CHECK(code == NB_ERR_ARGUMENT, "wrong quotes %z: code %d", i, code);
    }
    nb_tokenizer_free(t);
}

/* SentencePiece's normalization rules, cut off and scrambled: an error, or some tokens. */
static void check_charsmap(void) {
    fixture f;
    nb_error err = {0};
    if (open_fixture(&f, names[UNIGRAM])) {
        nb_value *map = (nb_value *)nb_checkpoint_find(&f.checkpoint, "tokenizer.ggml.precompiled_charsmap");
        uint8_t *bytes = f.checkpoint.header + map->at;
        uint64_t count = map->count;
        nb_tokenizer_free(f.tokenizer);
        for (map->count = 1; map->count < count; map->count += 1 + map->count / 8) {
            f.tokenizer = nb_tokenizer_new(&f.checkpoint, &err);
            CHECK(f.tokenizer || err.code == NB_ERR_FORMAT, "%l bytes: code %d", map->count, err.code);
            nb_tokenizer_free(f.tokenizer);
        }
        map->count = count;
        for (int round = 0; round < 200; round++) {
            for (int i = 0; i < 8; i++)
                bytes[4 + random_below((uint32_t)count - 5)] = (uint8_t)random_below(256);
            int32_t tokens[64];
            f.tokenizer = nb_tokenizer_new(&f.checkpoint, &err);
            static const char text[] = "e\xcc\x81 \xef\xac\x81 1\xc2\xb2 ...";
            if (CHECK(f.tokenizer, "%s", err.message))
                nb_tokenizer_encode(f.tokenizer, text, sizeof text - 1, 0, tokens, 64, &err);
            nb_tokenizer_free(f.tokenizer);
        }
        f.tokenizer = NULL;
    }
    close_fixture(&f);
}

/* A rule that would make much of one character is refused. */
static void check_long_replacement(void) {
    static maker m;
    static uint8_t map[4 + 4 + 300];
    for (int size = 200; size <= 300; size += 100) {
        m.size = 0;
        m.checkpoint = (nb_checkpoint){0};
        add_string(&m, "tokenizer.ggml.model", "t5");
        add_strings(&m, "tokenizer.ggml.tokens", "<unk> a b");
        memset(map, 'x', sizeof map);
        memcpy(map, "\4\0\0\0\0\0\0\0", 8);
        map[8 + size - 1] = 0;
        nb_value *v = add_value(&m, "tokenizer.ggml.precompiled_charsmap", NB_VALUE_ARRAY);
        v->item_type = NB_VALUE_U8;
        v->count = 8 + (uint64_t)size;
        add_bytes(v, &m, map, 8 + (size_t)size);
        nb_error err = {0};
        nb_tokenizer *t = make(&m, &err);
        CHECK(size == 200 ? t != NULL : !t && err.code == NB_ERR_FORMAT, "%d bytes: %s", size, err.message);
        nb_tokenizer_free(t);
    }
}

void test_text(void) {
    static texts all;
    if (open_texts(&all))
        for (int i = 0; i < N_NAMES; i++)
            for (int remembering = 0; remembering < 2; remembering++)
                check_fixture(i, &all, remembering);
    nb_free(all.file);
    for (int i = 0; i < UNIGRAM; i++)
        check_random_bytes(i == SPM ? SPM_SPANS : i); /* "spm" puts a space first */
    check_long(0, "a");
    check_long(0, "ab, x");
    check_long(0, "[[[[<");
    check_long(2, " \n");
    check_long(3, "\xe4\xba\xba");
    check_long(SPM_SPANS, "ab");
    check_long(SPM_SPANS, " ");
    check_long(UNIGRAM, "a");
    check_long(UNIGRAM, "\x80");
    check_long(WORDPIECE, "a");
    check_long(WORDPIECE, "a\xcc\x81 ");
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        check_splits(&sequences[i]);
    check_room();
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++)
        check_wrong(&wrongs[i]);
    check_score_refusal();
    check_none();
    check_strips("Phi-3 mini", "phi3", "a <|end|> \n b<s> b</s> b", "573617626");
    check_strips("Llama", "llama", "a <|end|> \nb", "573786");
    check_strips("XLM", "nomic-bert-moe", "a \n<mask> b", "5476");
    check_quotes();
    check_charsmap();
    check_long_replacement();
}
