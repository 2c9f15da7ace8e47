/* Wrong vocabularies in GGUF files: which are refused, and which are tolerated. */
#include "check.h"
#include "vocabularies.h"

/* What is wrong with a vocabulary, and the error that is expected (NB_OK: it is tolerated). */
typedef struct wrong {
    const char *what, *model, *pre, *tokens, *merges;
    uint32_t n_scores, n_types, scores_type, number;
    bool lower;
    int32_t code;
    const char *text, *ids; /* if it is tolerated: a text and its tokens, a letter each */
} wrong;

static const wrong wrongs[] = {
    {
        .what = "right",
        .model = "gpt2",
        .pre = "gpt-2",
        .tokens = "a b ab c",
        .merges = "a+b",
        .text = "abc",
        .ids = "cd",
    },
    {.what = "no pre-tokenizer", .model = "gpt2", .tokens = "a b ab c", .merges = "a+b", .text = "abc", .ids = "cd"},
    {.what = "unknown kind", .model = "wordpiece", .tokens = "a b", .code = NB_ERR_UNSUPPORTED},
    {.what = "no kind", .tokens = "a b", .code = NB_ERR_UNSUPPORTED},
    {
        .what = "unknown pre-tokenizer",
        .model = "gpt2",
        .pre = "gpt",
        .tokens = "a b",
        .merges = "a+b",
        .code = NB_ERR_UNSUPPORTED,
    },
    {
        .what = "two names as one",
        .model = "gpt2",
        .pre = "gpt-2 phi-2",
        .tokens = "a b",
        .merges = "a+b",
        .code = NB_ERR_UNSUPPORTED,
    },
    {
        .what = "lower case of BPE",
        .model = "whitespace",
        .tokens = "a b",
        .merges = "a+b",
        .lower = true,
        .code = NB_ERR_UNSUPPORTED,
    },
    {
        .what = "words between white space",
        .model = "whitespace",
        .tokens = "a b ab",
        .merges = "a+b",
        .text = " ab\na  b",
        .ids = "cab",
    },
    {.what = "no tokens", .model = "gpt2", .pre = "gpt-2", .merges = "a+b", .code = NB_ERR_FORMAT},
    {.what = "zero tokens", .model = "llama", .tokens = "", .code = NB_ERR_FORMAT},
    {.what = "no merges", .model = "gpt2", .pre = "gpt-2", .tokens = "a b", .code = NB_ERR_FORMAT},
    {
        .what = "merges of unknown tokens",
        .model = "gpt2",
        .pre = "gpt-2",
        .tokens = "a b ab",
        .merges = "x+y a+y b+a + a+ +b ab a+b+c a+b",
        .text = "abba",
        .ids = "cba",
    },
    {
        .what = "the same token twice",
        .model = "gpt2",
        .pre = "gpt-2",
        .tokens = "a b ab ab a",
        .merges = "a+b a+b",
        .text = "aab",
        .ids = "ed",
    },
    {
        .what = "the same merge twice",
        .model = "gpt2",
        .pre = "gpt-2",
        .tokens = "a b c ab bc",
        .merges = "a+b b+c a+b",
        .text = "abc",
        .ids = "dc",
    },
    {
        .what = "empty names",
        .model = "gpt2",
        .pre = "gpt-2",
        .tokens = "a  b  ab",
        .merges = "a+b",
        .text = "abb",
        .ids = "ec",
    },
    {.what = "few scores", .model = "llama", .tokens = "a b ab", .n_scores = 2, .code = NB_ERR_FORMAT},
    {.what = "few types", .model = "llama", .tokens = "a b ab", .n_types = 2, .code = NB_ERR_FORMAT},
    {
        .what = "many scores",
        .model = "llama",
        .tokens = "<unk> <s> </s> a b ab",
        .n_scores = 9,
        .text = "ab",
        .ids = "aaaf",
    },
    {
        .what = "scores as strings",
        .model = "llama",
        .tokens = "a b ab",
        .n_scores = 3,
        .scores_type = NB_VALUE_STRING,
        .code = NB_ERR_FORMAT,
    },
    {.what = "no byte tokens", .model = "llama", .tokens = "<unk> <s> </s> a", .text = "ab", .ids = "aaada"},
    {
        .what = "ids out of range",
        .model = "gpt2",
        .pre = "llama-bpe",
        .tokens = "a b ab c",
        .merges = "a+b",
        .number = 1u << 31,
        .text = "abc",
        .ids = "cd",
    },
    {.what = "fewer tokens than the usual ids", .model = "llama", .tokens = "a", .text = "", .ids = ""},
};

static nb_tokenizer *make_wrong(const wrong *w, test_values *m, nb_error *err) {
    static const uint32_t zeros[16];
    test_values_begin(m, w->model);
    if (w->pre)
        test_add_string(m, "tokenizer.ggml.pre", w->pre);
    if (w->tokens)
        test_add_strings(m, "tokenizer.ggml.tokens", w->tokens);
    if (w->merges)
        test_add_strings(m, "tokenizer.ggml.merges", w->merges);
    if (w->n_scores)
        test_add_numbers(m, "tokenizer.ggml.scores", w->scores_type ? w->scores_type : NB_VALUE_F32, zeros, w->n_scores,
                         4 * w->n_scores);
    if (w->n_types)
        test_add_numbers(m, "tokenizer.ggml.token_type", NB_VALUE_I32, zeros, w->n_types, 4 * w->n_types);
    if (w->lower)
        test_add_number(m, "tokenizer.ggml.normalizer.lowercase", 1);
    if (w->number) {
        test_add_number(m, "tokenizer.ggml.bos_token_id", w->number);
        test_add_number(m, "tokenizer.ggml.eos_token_id", w->number);
        test_add_number(m, "tokenizer.ggml.eot_token_id", w->number);
    }
    return test_values_tokenizer(m, err);
}

static void check_wrong(const wrong *w) {
    static test_values m;
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

/* A score that is not finite is refused: with it, the choice of tokens would be arbitrary. */
static void check_score_refusal(void) {
    static const uint32_t bits[] = {0x7fc00000, 0xffc00001, 0x7f800000, 0xff800000};
    static const char *const models[] = {"llama", "t5", "bert"};
    for (int k = 0; k < 12; k++) {
        static test_values m;
        const wrong w = {.what = "scores", .model = models[k % 3], .tokens = "<unk> <s> a"};
        uint32_t scores[3] = {0, bits[k / 3], 0};
        nb_error err = {0};
        nb_tokenizer *t = make_wrong(&w, &m, &err);
        CHECK(t, "%s", err.message);
        nb_tokenizer_free(t);
        test_add_numbers(&m, "tokenizer.ggml.scores", NB_VALUE_F32, scores, 3, sizeof scores);
        t = test_values_tokenizer(&m, &err);
        CHECK(!t && err.code == NB_ERR_FORMAT, "%s, score %x: %s", models[k % 3], scores[1], err.message);
        nb_tokenizer_free(t);
    }
}

/* A file without a vocabulary is not refused: its weights can be used alone. */
static void check_none(void) {
    static test_values m;
    nb_error err = {.code = 1};
    static const wrong nothing = {.what = "nothing"}, none = {.what = "none", .model = "none"};
    CHECK(!make_wrong(&nothing, &m, &err) && err.code == NB_OK, "code %d", err.code);
    CHECK(!make_wrong(&none, &m, &err) && err.code == NB_OK, "code %d", err.code);
}

void test_gguf_vocabulary(void) {
    for (size_t i = 0; i < sizeof wrongs / sizeof *wrongs; i++)
        check_wrong(&wrongs[i]);
    check_score_refusal();
    check_none();
}
