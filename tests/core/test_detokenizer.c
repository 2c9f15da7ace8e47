/* The streaming detokenizer over every split of a text, and with too little room. */
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
        nb_detokenizer_free(d);
    }
    test_vocabulary_close(&f);
}

void test_detokenizer(void) {
    for (size_t i = 0; i < sizeof sequences / sizeof *sequences; i++)
        check_splits(&sequences[i]);
    check_room();
}
