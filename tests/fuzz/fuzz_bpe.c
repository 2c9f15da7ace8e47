/* libFuzzer target of the tokenizer's trainer: any text gives a vocabulary in which each merge makes a token. It does
 * not depend on the pieces that the text comes in. Input: settings, and the text. */
#include "fuzz.h"

#include "../../src/base/text.h"
#include "../../src/nibble_train.h"

typedef struct settings {
    uint8_t pattern, by_lines, vocabulary, least, special, piece, merges, refused;
} settings;

static nb_bpe_trainer *train(const settings *s, const uint8_t *text, size_t size, size_t piece) {
    static const char *const special[] = {"<s>", "ab", "a", "\xc4\xa0t"};
    nb_error err = {0};
    nb_bpe_trainer *t = nb_bpe_trainer_new(s->pattern % 2, s->by_lines % 2, &err);
    int32_t code = t ? NB_OK : err.code;
    for (uint32_t i = 0; i < s->special % 5u && code == NB_OK; i++)
        code = nb_bpe_trainer_add_special(t, special[i], nb_length(special[i]), &err);
    for (size_t at = 0, n; at < size && code == NB_OK; at += n) {
        n = NB_MIN(size - at, piece);
        uint8_t *copy = fuzz_memory(n); /* so that reading beyond the piece is found */
        memcpy(copy, text + at, n);
        code = nb_bpe_trainer_add(t, copy, n, &err);
        free(copy);
    }
    if (code == NB_OK)
        code = nb_bpe_trainer_begin(t, 258u + s->vocabulary, s->least % 4, &err);
    for (int32_t most = 1 + s->merges % 9, n = most; code >= 0 && n == most; code = n)
        n = nb_bpe_trainer_merge(t, (uint32_t)most, &err);
    demand(code >= 0 || (err.code == code && err.message[0] && (code == NB_ERR_MEMORY ? fuzz_refused > 0 : true)));
    if (code >= 0)
        return t;
    nb_bpe_trainer_free(t);
    return NULL;
}

/* For each merge, the names of the pair, joined, must be the name of a token. */
static void check(const nb_bpe_trainer *t, uint32_t most) {
    enum { LONGEST = 1 << 13 };
    uint32_t n = nb_bpe_trainer_tokens(t), merges = nb_bpe_trainer_merges(t);
    const uint32_t *pairs = nb_bpe_trainer_pairs(t);
    char *left = fuzz_memory(3 * LONGEST), *right = left + LONGEST, *name = right + LONGEST;
    demand(n >= 256 && n <= most);
    for (uint32_t i = 0; i < merges; i++) {
        demand(pairs[2 * i] < n && pairs[2 * i + 1] < n);
        int32_t a = nb_bpe_trainer_token(t, pairs[2 * i], left, LONGEST);
        int32_t b = nb_bpe_trainer_token(t, pairs[2 * i + 1], right, LONGEST);
        demand(a > 0 && b > 0);
        if (a + b > LONGEST)
            continue;
        bool found = false;
        for (uint32_t token = 0; token < n && !found; token++)
            found = nb_bpe_trainer_token(t, token, name, LONGEST) == a + b && nb_compare(name, left, (size_t)a) == 0 &&
                    nb_compare(name + a, right, (size_t)b) == 0;
        demand(found);
    }
    free(left);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    settings s;
    if (size < sizeof s || size > 1 << 12)
        return 0;
    memcpy(&s, data, sizeof s);
    const uint8_t *text = data + sizeof s;
    size -= sizeof s;
    fuzz_refuse(s.refused);
    nb_bpe_trainer *t = train(&s, text, size, 1 + s.piece % 64u);
    fuzz_refuse(0);
    if (!t)
        return 0;
    check(t, 258u + s.vocabulary);
    nb_bpe_trainer *whole = train(&s, text, size, 1 << 12);
    demand(whole && nb_bpe_trainer_merges(whole) == nb_bpe_trainer_merges(t));
    for (uint32_t i = 0; i < 2 * nb_bpe_trainer_merges(t); i++)
        demand(nb_bpe_trainer_pairs(whole)[i] == nb_bpe_trainer_pairs(t)[i]);
    nb_bpe_trainer_free(whole);
    nb_bpe_trainer_free(t);
    return 0;
}
