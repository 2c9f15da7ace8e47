/* The streaming detokenizer over every split of a text, with too little room; the bytes of single tokens. */
#include "../../src/text/detokenizer.h"
#include "../../src/text/vocabulary.h"
#include "check.h"
#include "vocabularies.h"

typedef struct sequence {
    const char *bytes, *text;
} sequence;

#define FFFD "\xef\xbf\xbd"
static const sequence sequences[] = {
    {"h\xc3\xa9!", "h\xc3\xa9!"},
    {"\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9", "\xf0\x9f\x91\xa8\xe2\x80\x8d\xf0\x9f\x91\xa9"},
    /* broken UTF-8: tables 3-8 to 3-11 of The Unicode Standard, section 3.9 */
    {"\xc0\xaf\xe0\x80\xbf\xf0\x81\x82\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
    {"\xed\xa0\x80\xed\xbf\xbf\xed\xaf\x41", FFFD FFFD FFFD FFFD FFFD FFFD FFFD FFFD "A"},
    {"\xf4\x91\x92\x93\xff\x41\x80\xbf\x42", FFFD FFFD FFFD FFFD FFFD "A" FFFD FFFD "B"},
    {"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41", FFFD FFFD FFFD FFFD "A"},
    /* the stream ends within a character */
    {"a\xf0\x9f\x98", "a" FFFD},
    {"\xe2\x82", FFFD},
    {"\xc3", FFFD},
};

/* Each sequence in three tokens, cut at every two places. A token's name is its piece, which may be empty. */
static void check_splits(const sequence *s) {
    size_t n = nb_length(s->bytes);
    static test_values m;
    static char out[64];
    for (size_t first = 0; first <= n; first++)
        for (size_t second = first; second <= n; second++) {
            size_t cuts[4] = {0, first, second, n};
            int32_t tokens[3] = {0, 1, 2}, types[3] = {0};
            test_values_begin(&m, "llama");
            nb_value *list = test_add_list(&m, "tokenizer.ggml.tokens");
            for (int i = 0; i < 3; i++) {
                test_add_item(&m, list, s->bytes + cuts[i], cuts[i + 1] - cuts[i]);
                types[i] = NB_TOKEN_USER_DEFINED; /* its bytes stay as they are */
            }
            test_add_numbers(&m, "tokenizer.ggml.token_type", NB_VALUE_I32, types, 3, sizeof types);
            nb_error err = {0};
            nb_tokenizer *t = test_values_tokenizer(&m, &err);
            if (!CHECK(t, "%s", err.message))
                return;
            nb_text want = nb_text_of(s->text), have = {out, test_detokenize(t, 0, tokens, 3, out, sizeof out)};
            CHECK(nb_text_equal(want, have), "'%t' cut at %z and %z gives '%t'", want, first, second, have);
            nb_tokenizer_free(t);
        }
}

/* Too little room consumes nothing. */
static void check_room(void) {
    test_vocabulary f;
    nb_error err = {0};
    if (test_vocabulary_open(&f, TEST_SPM)) {
        char out[16];
        nb_detokenizer *d = nb_detokenizer_over(f.tokenizer, 0, &err);
        int32_t first = 3 + 0xc3, second = 3 + 0xa9; /* byte tokens follow <unk> <s> </s> */
        CHECK(nb_detokenizer_push(d, first, out, 0, &err) == 0, "half a character has no text");
        CHECK(nb_detokenizer_push(d, second, out, 1, &err) == 2, "it needs 2 bytes");
        CHECK(nb_detokenizer_push(d, second, out, 2, &err) == 2 && nb_compare(out, "\xc3\xa9", 2) == 0,
              "the second byte completes the character");
        CHECK(nb_detokenizer_flush(d, out, 16) == 0, "nothing is left");
        nb_detokenizer_push(d, first, out, 16, &err);
        CHECK(nb_detokenizer_flush(d, out, 2) == 3, "U+FFFD needs 3 bytes");
        CHECK(nb_detokenizer_flush(d, out, 3) == 3 && nb_compare(out, FFFD, 3) == 0, "U+FFFD");
        CHECK(nb_detokenizer_flush(d, out, 3) == 0, "U+FFFD is given once");
        int32_t beyond = nb_tokenizer_size(f.tokenizer);
        CHECK(nb_detokenizer_push(d, beyond, out, 16, &err) == 0, "a token beyond the vocabulary has no text");
        CHECK(nb_detokenizer_push(d, -1, out, 16, &err) == NB_ERR_ARGUMENT, "no such token");
        CHECK(nb_detokenizer_bytes(d, first, out, 0, &err) == 1, "a byte token needs 1 byte");
        CHECK(nb_detokenizer_bytes(d, first, out, 1, &err) == 1 && (uint8_t)out[0] == 0xc3, "it is its byte");
        CHECK(nb_detokenizer_bytes(d, beyond, out, 16, &err) == 0, "a token beyond the vocabulary has no bytes");
        CHECK(nb_detokenizer_bytes(d, -1, out, 16, &err) == 0, "nor has one that does not exist");
        CHECK(nb_detokenizer_bytes(d, 1, out, 16, &err) == 0, "a control token has none");
        CHECK(nb_detokenizer_push(d, second, out, 16, &err) == 3, "nothing of these was consumed");
        nb_detokenizer_free(d);
        d = nb_detokenizer_over(f.tokenizer, NB_DETOKENIZE_SPECIAL, &err);
        CHECK(nb_detokenizer_bytes(d, 1, out, 16, &err) == 3 && nb_compare(out, "<s>", 3) == 0, "or its name");
        nb_detokenizer_free(d);
    }
    test_vocabulary_close(&f);
}

/* The bytes of tokens that end within characters; together they are the text. */
static void check_bytes(const sequence *s) {
    size_t n = nb_length(s->bytes);
    static test_values m;
    for (size_t cut = 0; cut <= n; cut++) {
        test_values_begin(&m, "llama");
        nb_value *list = test_add_list(&m, "tokenizer.ggml.tokens");
        test_add_item(&m, list, s->bytes, cut);
        test_add_item(&m, list, s->bytes + cut, n - cut);
        int32_t types[2] = {NB_TOKEN_USER_DEFINED, NB_TOKEN_USER_DEFINED};
        test_add_numbers(&m, "tokenizer.ggml.token_type", NB_VALUE_I32, types, 2, sizeof types);
        nb_error err = {0};
        nb_tokenizer *t = test_values_tokenizer(&m, &err);
        nb_detokenizer *d = t ? nb_detokenizer_over(t, 0, &err) : NULL;
        if (!CHECK(d, "%s", err.message))
            return;
        char out[64];
        int32_t got = nb_detokenizer_bytes(d, 0, out, sizeof out, &err);
        got += nb_detokenizer_bytes(d, 1, out + got, (int32_t)(sizeof out) - got, &err);
        CHECK((size_t)got == n && nb_compare(out, s->bytes, n) == 0, "'%s' cut at %z", s->text, cut);
        nb_detokenizer_free(d);
        nb_tokenizer_free(t);
    }
}

void test_detokenizer(void) {
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++) {
        check_splits(&sequences[i]);
        check_bytes(&sequences[i]);
    }
    check_room();
}
