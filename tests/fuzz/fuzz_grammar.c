/* libFuzzer target of grammars: the first line that is "---" ends a grammar, behind which a text stands. Any grammar is
 * compiled, or gives an error; a text that is taken byte by byte is taken whole, too; and the bits of a mask are what
 * trying each token says. The tokens are pieces of the text. */
#include "fuzz.h"

#include "../../src/base/text.h"
#include "../../src/nibble_grammar.h"

enum { MOST_TOKENS = 64, WORDS = MOST_TOKENS / 32, MOST_STEPS = 40 };

/* Token i has 1 + i % 5 bytes of the text from byte i on, around its end. Token 0 ends, and token 1 has no bytes. */
static nb_lexicon *lexicon_of(const uint8_t *text, size_t size, nb_error *err) {
    uint8_t bytes[MOST_TOKENS * 5];
    uint32_t lengths[MOST_TOKENS], end = 0, n = 0;
    for (uint32_t i = 0; i < MOST_TOKENS; i++) {
        lengths[i] = i == 1 ? 0 : 1 + i % 5;
        for (uint32_t k = 0; k < lengths[i]; k++)
            bytes[n++] = text[(i + k) % size];
    }
    return nb_lexicon_new(bytes, n, lengths, MOST_TOKENS, &end, 1, err);
}

static void check_mask(nb_matcher *m) {
    nb_error err = {0};
    uint32_t mask[WORDS];
    int32_t n = nb_matcher_mask(m, mask, 1, &err), counted = 0;
    for (uint32_t token = 0; n >= 0 && token < MOST_TOKENS; token++) {
        nb_matcher *copy = nb_matcher_clone(m, &err);
        if (!copy)
            return;
        int32_t bit = (int32_t)(mask[token / 32] >> token % 32 & 1), took = nb_matcher_accept(copy, token, &err);
        demand(took == bit || took < 0);
        counted += bit;
        nb_matcher_free(copy);
    }
    demand(n < 0 || n == counted);
}

static void match(nb_grammar *grammar, const uint8_t *text, size_t size) {
    nb_error err = {0};
    nb_matcher *m = nb_matcher_new(grammar, &err), *whole = m ? nb_matcher_clone(m, &err) : NULL;
    size_t at = 0;
    int32_t took = 1;
    for (; whole && took == 1 && at < size; at++) {
        if (at < MOST_STEPS)
            check_mask(m);
        took = nb_matcher_take(m, text + at, 1, &err);
    }
    if (whole && took >= 0) {
        int32_t all = nb_matcher_take(whole, text, size, &err);
        demand(all == took || all < 0);
        demand(all != 1 || nb_matcher_end(whole) == nb_matcher_end(m));
    }
    nb_matcher_free(whole);
    nb_matcher_free(m);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    nb_error err = {0};
    size_t end = 0;
    while (end + 5 <= size && nb_compare(data + end, "\n---\n", 5))
        end++;
    bool divided = end + 5 <= size;
    const uint8_t *text = divided ? data + end + 5 : data;
    size_t text_size = divided ? size - end - 5 : size;
    char *copy = fuzz_memory(divided ? end : size); /* so that reading beyond the end is found */
    if (divided ? end : size)
        memcpy(copy, data, divided ? end : size);
    nb_lexicon *lexicon = text_size ? lexicon_of(text, text_size, &err) : NULL;
    nb_grammar *grammar = lexicon ? nb_grammar_new(copy, divided ? end : size, lexicon, &err) : NULL;
    demand(grammar || !lexicon || (err.code < 0 && err.message[0]));
    if (grammar)
        match(grammar, text, text_size);
    nb_grammar_free(grammar);
    nb_lexicon_free(lexicon);
    free(copy);
    return 0;
}
