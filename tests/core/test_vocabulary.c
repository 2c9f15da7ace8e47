/* Vocabularies that no file format made: what the encoders do with any numbers in them. */
#include "check.h"

#include "../../src/base/memory.h"
#include "../../src/base/text.h"
#include "../../src/text/vocabulary.h"

enum { MOST = 16 };

typedef struct made {
    const char *names[MOST];
    float scores[MOST];
    uint8_t types[MOST];
} made;

static void next_token(const nb_vocabulary_source *source, uint64_t i, uint64_t *at, nb_token_entry *out) {
    const made *m = source->file;
    *out = (nb_token_entry){.name = {(const char *)source->bytes + *at, nb_length(m->names[i])}, .score = m->scores[i],
                            .type = m->types[i]};
    *at += out->name.size;
}

static nb_tokenizer *build(const made *m, nb_vocabulary_kind kind, char *bytes, nb_error *err) {
    nb_vocabulary_source source = {.kind = kind, .bytes = (const uint8_t *)bytes, .file = m, .token = next_token,
                                   .begin = -1, .end = -1, .unknown = 7, .closing = -1};
    for (int i = 0; i < NB_MAX_END_TOKENS; i++)
        source.ends[i] = -1;
    for (; source.n_tokens < MOST && m->names[source.n_tokens]; source.n_tokens++) {
        size_t size = nb_length(m->names[source.n_tokens]);
        memcpy(bytes + source.n_bytes, m->names[source.n_tokens], size);
        source.n_bytes += size;
    }
    return nb_tokenizer_build(&source, err);
}

/* Whatever the scores are, a text gets tokens of the vocabulary, and a finite number of them. */
static void check_scores(nb_vocabulary_kind kind, float a, float b) {
    static const char text[] = "ab\xc3\xa9zabba\xe2\x96\x81" "bab";
    made m = {.names = {"<unk>", "a", "b", "ab", "\xc3\xa9", "ba", "\xe2\x96\x81", "abba"},
              .scores = {a, a, b, a, b, b, a, b}, .types = {2, 1, 1, 1, 1, 1, 1, 4}};
    char bytes[64];
    int32_t tokens[64];
    nb_error err = {0};
    nb_tokenizer *t = build(&m, kind, bytes, &err);
    if (!CHECK(t, "%s", err.message))
        return;
    int32_t n = nb_tokenizer_encode(t, text, sizeof text - 1, 0, tokens, 64, &err);
    CHECK(n > 0 && n < 32, "%d tokens", n);
    for (int32_t i = 0; i < n && i < 64; i++)
        CHECK(tokens[i] > 0 && tokens[i] < nb_tokenizer_size(t), "token %d is %d", i, tokens[i]); /* 0 is not in it */
    nb_tokenizer_free(t);
}

void test_vocabulary(void) {
    static const float scores[] = {0, -1, -1e38f, 3e38f, -3e38f, __builtin_inff(), -__builtin_inff(), __builtin_nanf("")};
    for (size_t a = 0; a < sizeof scores / sizeof *scores; a++)
        for (size_t b = 0; b < sizeof scores / sizeof *scores; b++) {
            check_scores(NB_KIND_UNIGRAM, scores[a], scores[b]);
            check_scores(NB_KIND_SPM, scores[a], scores[b]);
            check_scores(NB_KIND_WORDPIECE, scores[a], scores[b]);
        }
}
