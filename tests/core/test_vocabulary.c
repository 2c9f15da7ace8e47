/* Vocabularies and texts as broken or malicious files may have them. They are refused, or handled correctly and within
 * moments. */
#include "check.h"

#include "../../src/base/hash.h"
#include "../../src/base/memory.h"
#include "../../src/text/detokenizer.h"
#include "../../src/text/names.h"
#include "../../src/text/tokenizer.h"

enum { MOST = 16 };

typedef struct made {
    const char *names[MOST];
    float scores[MOST];
    uint8_t types[MOST], flags[MOST];
    nb_pipeline steps;
    nb_text charsmap;
} made;

static void next_token(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_token_entry *out) {
    const made *m = source->file;
    *out = (nb_token_entry){
        .name = {(const char *)source->bytes + *at, nb_length(m->names[i])},
        .score = m->scores[i],
        .type = m->types[i],
        .flags = m->flags[i],
    };
    *at += out->name.size;
}

static nb_tokenizer *build(const made *m, nb_vocabulary_kind kind, char *bytes, nb_error *err) {
    nb_vocabulary_source source = {
        .kind = kind,
        .bytes = (const uint8_t *)bytes,
        .file = m,
        .token = next_token,
        .begin = -1,
        .end = -1,
        .unknown = 7,
        .closing = -1,
        .steps = m->steps,
        .charsmap = m->charsmap,
    };
    for (int i = 0; i < NB_MAX_END_TOKENS; i++)
        source.ends[i] = -1;
    for (; source.n_tokens < MOST && m->names[source.n_tokens]; source.n_tokens++) {
        size_t size = nb_length(m->names[source.n_tokens]);
        memcpy(bytes + source.n_bytes, m->names[source.n_tokens], size);
        source.n_bytes += size;
    }
    return nb_tokenizer_build(&source, err);
}

/* Whatever the scores are, encoding comes to an end, and gives tokens of the vocabulary. */
static void check_scores(nb_vocabulary_kind kind, float a, float b) {
    static const char text[] = "ab\xc3\xa9zabba\xe2\x96\x81"
                               "bab";
    made m = {
        .names = {"<unk>", "a", "b", "ab", "\xc3\xa9", "ba", "\xe2\x96\x81", "abba"},
        .scores = {a, a, b, a, b, b, a, b},
        .types = {2, 1, 1, 1, 1, 1, 1, 4},
    };
    char bytes[64];
    int32_t tokens[64];
    nb_error err = {0};
    nb_tokenizer *t = build(&m, kind, bytes, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    int32_t n = nb_tokenizer_encode(t, text, sizeof text - 1, 0, tokens, 64, &err);
    CHECK(n > 0 && n < 32, "%d tokens", n);
    for (int32_t i = 0; i < n && i < 64; i++)
        /* never 0: what has no token becomes 7 (build) */
        CHECK(tokens[i] > 0 && tokens[i] < nb_tokenizer_size(t), "token %d is %d", i, tokens[i]);
    nb_tokenizer_free(t);
}

enum { COLLIDING = 512, NAME = 8 };

// NOLINTNEXTLINE(readability-non-const-parameter): it is a nb_vocabulary_source.token
static void next_colliding(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_token_entry *out) {
    (void)at;
    *out = (nb_token_entry){.name = {(const char *)source->bytes + NAME * i, NAME}, .type = NB_TOKEN_NORMAL};
}

/* All names hash to the same slot. So the table is filled anew with another seed, and each name is found. */
static void check_collisions(void) {
    static char bytes[COLLIDING * NAME];
    uint32_t start = (uint32_t)(nb_hash_seed(0) >> 32), mask = 2 * COLLIDING - 1, number = 0;
    for (int n = 0; n < COLLIDING;) {
        char name[NAME];
        for (int i = 0; i < NAME; i++)
            name[i] = (char)('a' + (number >> 4 * i & 15));
        number++;
        if ((nb_hash(start, name, NAME) & mask) == 0)
            memcpy(bytes + NAME * n++, name, NAME);
    }
    nb_vocabulary_source source = {
        .kind = NB_KIND_SPM,
        .bytes = (const uint8_t *)bytes,
        .n_bytes = sizeof bytes,
        .n_tokens = COLLIDING,
        .token = next_colliding,
        .begin = -1,
        .end = -1,
        .unknown = -1,
        .closing = -1,
    };
    for (int i = 0; i < NB_MAX_END_TOKENS; i++)
        source.ends[i] = -1;
    nb_error err = {0};
    nb_tokenizer *t = nb_tokenizer_build(&source, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    CHECK(t->hash_seed != start, "the first seed was kept");
    for (int32_t i = 0; i < COLLIDING; i++)
        CHECK(nb_vocabulary_find(t, (nb_text){bytes + NAME * i, NAME}, (nb_text){0}) == i, "token %d is not found", i);
    nb_tokenizer_free(t);
}

/* A name that is searched for at each place of a text must not be too long; others may have any length. */
static void check_long_names(void) {
    static char name[NB_LONGEST_NEEDLE + 2], bytes[sizeof name + 8];
    memset(name, 'x', sizeof name - 1);
    for (int type = NB_TOKEN_NORMAL; type <= NB_TOKEN_USER_DEFINED; type++)
        for (int kind = NB_KIND_SPM; kind <= NB_KIND_UNIGRAM; kind++) {
            made m = {.names = {"<unk>", name}, .types = {NB_TOKEN_UNKNOWN, (uint8_t)type}};
            nb_error err = {0};
            nb_tokenizer *t = build(&m, (nb_vocabulary_kind)kind, bytes, &err);
            bool looked_for = type != NB_TOKEN_NORMAL || kind == NB_KIND_UNIGRAM;
            CHECK(!t == looked_for && (t || err.code == NB_ERR_UNSUPPORTED), "kind %d, type %d: %s", kind, type,
                  err.message);
            nb_tokenizer_free(t);
        }
}

/* In WordPiece, the name of a token that is both a word and an added token begins with ▁ (nb_token_spelled). In a
 * broken file the ▁ may be missing. */
static void check_missing_metaspace(void) {
    made m = {
        .names = {"<unk>", "x"},
        .types = {NB_TOKEN_UNKNOWN, NB_TOKEN_USER_DEFINED},
        .flags = {0, NB_OWN},
        .steps.from_json = true,
    };
    char bytes[16], out[16];
    nb_error err = {0};
    nb_tokenizer *t = build(&m, NB_KIND_WORDPIECE, bytes, &err);
    nb_detokenizer *d = t ? nb_detokenizer_over(t, NB_DETOKENIZE_TEXT, &err) : NULL;
    if (CHECK(d, "%s", err.message)) {
        int32_t n = nb_detokenizer_push(d, 1, out, sizeof out, &err);
        CHECK(n == 1 && out[0] == 'x', "%d bytes", n);
    }
    nb_detokenizer_free(d);
    nb_tokenizer_free(t);
}

/* A charsmap with a circular trie: the node of "a" is its own child. To follow it from each place of a text to the
 * text's end would take minutes. */
static void check_circular_rules(void) {
    enum { LONG = 1 << 18 };
    static struct {
        uint32_t size, units[128];
        char texts[2];
    } map = {.size = sizeof map.units, .texts = "x"};
    char *text = nb_alloc(LONG);
    int32_t *tokens = nb_alloc(LONG * sizeof *tokens);
    map.units['a'] = 'a' << 10 | 'a'; /* offset | label: the child "a" is at index ^ offset ^ label = 'a' */
    memset(text, 'a', LONG);
    made m = {
        .names = {"<unk>", "a"},
        .types = {NB_TOKEN_UNKNOWN, NB_TOKEN_NORMAL},
        .charsmap = {(const char *)&map, sizeof map.size + sizeof map.units + sizeof map.texts},
    };
    char bytes[16];
    nb_error err = {0};
    nb_tokenizer *t = build(&m, NB_KIND_UNIGRAM, bytes, &err);
    if (CHECK(t, "%s", err.message)) {
        int32_t n = nb_tokenizer_encode(t, text, LONG, 0, tokens, LONG, &err);
        CHECK(n == LONG && tokens[0] == 1 && tokens[LONG - 1] == 1, "%d tokens", n);
    }
    nb_free(text);
    nb_free(tokens);
    nb_tokenizer_free(t);
}

/* Many quotes, and tokens between them. To search all quotes for each stretch of text would take a minute. */
static void check_many_quotes(void) {
    enum { QUOTES = 1 << 18 };
    char *text = nb_alloc(4 * QUOTES);
    int32_t *tokens = nb_alloc(QUOTES * sizeof *tokens);
    nb_quote *quotes = nb_alloc(QUOTES * sizeof *quotes);
    for (uint32_t i = 0; i < QUOTES; i++) {
        memcpy(text + 4 * i, "sa b", 4);
        quotes[i] = (nb_quote){4 * i + 2, 4 * i + 3, 0};
    }
    made m = {
        .names = {"<unk>", "a", "b", "s", "n"},
        .types = {2, 1, 1, 3, 3},
        .flags = {0, NB_OWN, NB_OWN, NB_ADDED, NB_ADDED | NB_NORMALIZED},
        .steps.from_json = true,
    };
    char bytes[16];
    nb_error err = {0};
    nb_tokenizer *t = build(&m, NB_KIND_WORDPIECE, bytes, &err);
    if (CHECK(t, "%s", err.message)) {
        int32_t n = nb_tokenizer_encode_quoted(t, text, 4 * QUOTES, NB_TOKENIZE_PARSE_SPECIAL, quotes, QUOTES, NULL, 0,
                                               tokens, QUOTES, &err);
        CHECK(n == QUOTES, "%d tokens: %s", n, err.message); /* the words between the "s" give no tokens */
    }
    nb_free(text);
    nb_free(tokens);
    nb_free(quotes);
    nb_tokenizer_free(t);
}

void test_vocabulary(void) {
    check_missing_metaspace();
    check_circular_rules();
    check_many_quotes();
    check_collisions();
    check_long_names();
    static const float scores[] =
        {0, -1, -1e38f, 3e38f, -3e38f, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
    for (size_t a = 0; a < sizeof scores / sizeof *scores; a++)
        for (size_t b = 0; b < sizeof scores / sizeof *scores; b++) {
            check_scores(NB_KIND_UNIGRAM, scores[a], scores[b]);
            check_scores(NB_KIND_SPM, scores[a], scores[b]);
            check_scores(NB_KIND_WORDPIECE, scores[a], scores[b]);
        }
}
