/* Special tokens: white space beside them, and quotes. */
#include "check.h"
#include "vocabularies.h"

/* Special tokens that swallow white space. llama.cpp infers which from the model's name (llama-vocab.cpp). */
static void check_strips(const char *name, const char *architecture, const char *text, const char *ids) {
    static test_values m;
    static const int32_t types[] = {2, 3, 3, 3, 3, 1, 1, 1, 1};
    test_values_begin(&m, "llama");
    test_add_string(&m, "general.name", name);
    test_add_string(&m, "general.architecture", architecture);
    test_add_strings(&m, "tokenizer.ggml.tokens", "<unk> <s> </s> <|end|> <mask> a b \xe2\x96\x81 \n");
    test_add_numbers(&m, "tokenizer.ggml.token_type", NB_VALUE_I32, types, 9, sizeof types);
    test_add_number(&m, "tokenizer.ggml.add_space_prefix", 0);
    nb_error err = {0};
    nb_tokenizer *t = test_values_tokenizer(&m, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    int32_t tokens[32], want = (int32_t)nb_length(ids);
    int32_t n = nb_tokenizer_encode(t, text, nb_length(text), NB_TOKENIZE_PARSE_SPECIAL, tokens, 32, &err);
    CHECK(n == want, "%s, '%s': %d tokens, not %d", name, text, n, want);
    for (int32_t i = 0; i < n && i < want; i++)
        CHECK(tokens[i] == ids[i] - '0', "%s, '%s': token %d is %d", name, text, i, tokens[i]);
    nb_tokenizer_free(t);
}

/* A quote makes plain text of the names of control tokens that it touches, and of user-defined tokens only if the call
 * says so. */
static void check_quotes(void) {
    static test_values m;
    static const int32_t types[] = {2, 3, 4, 1, 1, 1, 1, 1};
    static const struct {
        const char *text;
        nb_quote quotes[2];
        size_t n;
        const char *ids; /* a digit each */
    } cases[] = {
        {"<e>a<t>", {{0}}, 0, "142"},
        {"<e>a<t>", {{3, 4, 0}}, 1, "142"}, /* beside the names */
        {"<e>a<t>",
         {{2, 3, 0}},
         1,
         "356"
         "42"}, /* one byte is enough */
        {"<e>a<t>",
         {{0, 7, 0}},
         1,
         "356"
         "42"}, /* user-defined: found in any text ... */
        {"<e>a<t>",
         {{0, 7, 3}},
         1,
         "356"
         "4376"}, /* ... unless nb_plain names it for this kind of quote */
        {"<e><e><e>",
         {{3, 6, 0}},
         1,
         "1"
         "356"
         "1"},
        {"<e><t><t>",
         {{1, 2, 3}, {4, 5, 3}},
         2,
         "356"
         "376"
         "2"},
        {"<<e>>", {{0, 1, 0}, {4, 5, 0}}, 2, "316"},
    };
    test_values_begin(&m, "llama");
    test_add_strings(&m, "tokenizer.ggml.tokens", "<unk> <e> <t> < a e > t");
    test_add_numbers(&m, "tokenizer.ggml.token_type", NB_VALUE_I32, types, 8, sizeof types);
    test_add_number(&m, "tokenizer.ggml.add_space_prefix", 0);
    nb_error err = {0};
    nb_tokenizer *t = test_values_tokenizer(&m, &err);
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
        int32_t code =
            nb_tokenizer_encode_quoted(t, "<e>a<t>", 7, NB_TOKENIZE_PARSE_SPECIAL, wrong[i], 2, NULL, 0, NULL, 0, &err);
        CHECK(code == NB_ERR_ARGUMENT, "wrong quotes %z: code %d", i, code);
    }
    nb_tokenizer_free(t);
}

void test_special(void) {
    check_strips("Phi-3 mini", "phi3", "a <|end|> \n b<s> b</s> b", "573617626");
    check_strips("Llama", "llama", "a <|end|> \nb", "573786");
    check_strips("XLM", "nomic-bert-moe", "a \n<mask> b", "5476");
    check_quotes();
}
