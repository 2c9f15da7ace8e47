/* Grammars: which texts follow them, masks of tokens against trying each token, and running out of memory. (What is
 * refused, and more texts: tests/js/grammar.test.js.) */
#include "check.h"
#include "random.h"

#include "../../src/base/memory.h"
#include "../../src/base/text.h"
#include "../../src/nibble_grammar.h"

static const char json[] =
    "root ::= object\n"
    "value ::= object | array | string | number | (\"true\" | \"false\" | \"null\") ws\n"
    "object ::= \"{\" ws (string \":\" ws value (\",\" ws string \":\" ws value)*)? \"}\" ws\n"
    "array ::= \"[\" ws (value (\",\" ws value)*)? \"]\" ws\n"
    "string ::= \"\\\"\" ([^\"\\\\\\x7F\\x00-\\x1F] | \"\\\\\" ([\"\\\\bfnrt] | \"u\" [0-9a-fA-F]{4}))* \"\\\"\" ws\n"
    "number ::= \"-\"? ([0-9] | [1-9] [0-9]{0,15}) (\".\" [0-9]+)? ([eE] [-+]? [0-9]+)? ws\n"
    "ws ::= | \" \" | \"\\n\" [ \\t]{0,20}\n";

/* A text that can be read in 2^n ways, and a list that calls itself last. */
static const char branching[] = "root ::= \"a\" root \"b\" | \"a\" root \"c\" | list\n"
                                "list ::= pair |\n  \"\"\n"
                                "pair ::= \"x\" list\n";

typedef struct text_case {
    const char *grammar, *text;
    int32_t end; /* NB_MATCHER_...; -1: the text does not follow the grammar */
} text_case;

static const text_case texts[] = {
    {json, "", NB_MATCHER_OPEN},
    {json, "{", NB_MATCHER_OPEN},
    {json, "{}", NB_MATCHER_MAY_END},
    {json, "{} ", NB_MATCHER_ENDS},
    {json, "{\"a\": [1, 2.5e+3, \"\xc3\xa9\\u00e9\"], \"b\":\n\t{\"c\": null}}", NB_MATCHER_MAY_END},
    {json, "{\"a\": [1, 2.5e+3, \"\xc3", NB_MATCHER_OPEN},
    {json, "{\"a\": \"\xc3\"", -1},
    {json, "{\"a\": \"\xed\xa0\x80\"", -1},
    {json, "{\"a\": 01}", -1},
    {json, "[]", -1},
    {branching, "", NB_MATCHER_MAY_END},
    {branching, "xxx", NB_MATCHER_MAY_END},
    {branching, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaxbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcbcb",
     NB_MATCHER_OPEN},
    {branching, "aaxbcb", -1},
    {branching, "aaxbc", NB_MATCHER_ENDS},
};

static nb_grammar *grammar_of(const char *text, const nb_lexicon *lexicon, nb_error *err) {
    nb_text t = nb_text_of(text);
    char *copy = nb_alloc(t.size); /* of exactly this size, so that the sanitizer sees a read past it */
    if (!copy)
        return NULL;
    memcpy(copy, t.data, t.size);
    nb_grammar *grammar = nb_grammar_new(copy, t.size, lexicon, err);
    nb_free(copy);
    return grammar;
}

static void test_texts(void) {
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        const text_case *c = &texts[i];
        nb_error err = {0};
        nb_grammar *grammar = grammar_of(c->grammar, NULL, &err);
        nb_matcher *m = grammar ? nb_matcher_new(grammar, &err) : NULL;
        if (!CHECK(m, "%s", err.message))
            return;
        nb_text text = nb_text_of(c->text);
        for (int round = 0; round < 2; round++) { /* byte by byte, and whole */
            int32_t took = 1;
            for (size_t at = 0; at < text.size && took == 1; at += round ? text.size : 1)
                took = nb_matcher_take(m, (const uint8_t *)text.data + at, round ? text.size : 1, &err);
            CHECK(took == (c->end >= 0), "%s: %d, %s", c->text, took, err.message);
            if (c->end >= 0)
                CHECK(nb_matcher_end(m) == c->end, "%s: %d", c->text, nb_matcher_end(m));
            CHECK(nb_matcher_reset(m, &err) == NB_OK, "%s", err.message);
        }
        nb_matcher_free(m);
        nb_grammar_free(grammar);
    }
}

/* ---- masks ---- */

enum { TOKENS = 700, WORDS = (TOKENS + 31) / 32, LONGEST = 9 };

/* Tokens of all kinds: bytes, pieces of JSON, and others at random. Tokens 0 to 3 have no bytes, and 4 ends. */
static nb_lexicon *random_lexicon(uint32_t seed, nb_error *err) {
    static const char alphabet[] = "{}[]\":, \n\tabxu\\e0123.-\xc3\xa9\xf0\x9f\x98\x80";
    uint8_t bytes[TOKENS * LONGEST];
    uint32_t lengths[TOKENS], n = 0, end = 4;
    uint32_t random = seed + 1;
    for (uint32_t t = 0; t < TOKENS; t++) {
        lengths[t] = t < 4 ? 0 : t < 260 ? 1 : 1 + test_random(&random) % LONGEST;
        for (uint32_t i = 0; i < lengths[t]; i++)
            bytes[n++] = t < 260 ? (uint8_t)(t - 4) : (uint8_t)alphabet[test_random(&random) % (sizeof alphabet - 1)];
    }
    return nb_lexicon_new(bytes, n, lengths, TOKENS, &end, 1, err);
}

/* Each bit is what a copy of the matcher says when it tries the token. Returns an allowed token that does not end, or
 * TOKENS if there is none. */
static uint32_t check_mask(nb_matcher *m, uint32_t with_ends, uint32_t start) {
    uint32_t mask[WORDS], chosen = TOKENS;
    nb_error err = {0};
    int32_t n = nb_matcher_mask(m, mask, with_ends, &err), counted = 0;
    for (uint32_t i = 0; i < TOKENS; i++) {
        uint32_t token = (start + i) % TOKENS;
        nb_matcher *copy = nb_matcher_clone(m, &err);
        if (!CHECK(copy, "%s", err.message))
            return TOKENS;
        bool bit = mask[token / 32] >> token % 32 & 1,
             allowed = nb_matcher_accept(copy, token, &err) == 1 && (token != 4 || with_ends);
        CHECK(bit == allowed, "token %u: %d instead of %d", token, bit, allowed);
        counted += bit;
        if (bit && token != 4 && chosen == TOKENS)
            chosen = token;
        nb_matcher_free(copy);
    }
    CHECK(n == counted, "%d instead of %d, %s", n, counted, err.message);
    return chosen;
}

static void test_masks(void) {
    static const char *const grammars[] = {json, branching, "root ::= [^\\n]{2,5} \"\\n\" (\"\xc3\xa9\" | .)* \"x\""};
    for (uint32_t g = 0; g < 3; g++) {
        nb_error err = {0};
        nb_lexicon *lexicon = random_lexicon(g, &err);
        nb_grammar *grammar = lexicon ? grammar_of(grammars[g], lexicon, &err) : NULL;
        nb_matcher *m = grammar ? nb_matcher_new(grammar, &err) : NULL;
        if (!CHECK(m, "%s", err.message))
            return;
        uint32_t random = 17 + g;
        for (int step = 0; step < 24; step++) {
            uint32_t token = check_mask(m, step % 2, test_random(&random) % TOKENS);
            if (token == TOKENS)
                break;
            CHECK(nb_matcher_accept(m, token, &err) == 1, "token %u: %s", token, err.message);
        }
        CHECK(nb_matcher_accept(m, TOKENS, &err) == NB_ERR_ARGUMENT, "there is no such token");
        nb_matcher_free(m);
        nb_grammar_free(grammar);
        nb_lexicon_free(lexicon);
    }
}

static void test_no_tokens(void) {
    nb_error err = {0};
    uint32_t mask[1], lengths[] = {3, 4}, end = 2;
    nb_grammar *grammar = grammar_of("root ::= \"a\"", NULL, &err);
    nb_matcher *m = grammar ? nb_matcher_new(grammar, &err) : NULL;
    if (!CHECK(m, "%s", err.message))
        return;
    CHECK(nb_matcher_mask(m, mask, 1, &err) == NB_ERR_STATE, "without a vocabulary");
    CHECK(nb_matcher_accept(m, 0, &err) == NB_ERR_ARGUMENT, "without a vocabulary");
    nb_matcher_free(m);
    nb_grammar_free(grammar);
    CHECK(!nb_lexicon_new((const uint8_t *)"abcdef", 6, lengths, 2, NULL, 0, &err) && err.code == NB_ERR_ARGUMENT,
          "lengths that do not fit");
    CHECK(!nb_lexicon_new((const uint8_t *)"abcdefg", 7, lengths, 2, &end, 1, &err) && err.code == NB_ERR_ARGUMENT,
          "an end that is no token");
}

/* Deeper and deeper: memory is freed in between, and the matcher still knows where it is. */
static void test_long_text(void) {
    enum { DEPTH = 60000 };
    nb_error err = {0};
    nb_grammar *grammar = grammar_of("root ::= \"(\" root \")\" | \"[\" root \"]\" | \"x\"", NULL, &err);
    nb_matcher *m = grammar ? nb_matcher_new(grammar, &err) : NULL;
    if (!CHECK(m, "%s", err.message))
        return;
    for (int round = 0; round < 3; round++) {
        int32_t took = 1;
        CHECK(nb_matcher_reset(m, &err) == NB_OK, "%s", err.message);
        for (uint32_t i = 0; i < DEPTH && took == 1; i++)
            took = nb_matcher_take(m, (const uint8_t *)((i * i + (uint32_t)round) % 3 ? "(" : "["), 1, &err);
        took = took == 1 ? nb_matcher_take(m, (const uint8_t *)"x", 1, &err) : took;
        for (uint32_t i = DEPTH; i-- > 0 && took == 1;)
            took = nb_matcher_take(m, (const uint8_t *)((i * i + (uint32_t)round) % 3 ? ")" : "]"), 1, &err);
        CHECK(took == 1 && nb_matcher_end(m) == NB_MATCHER_ENDS, "%d, %s", took, err.message);
    }
    nb_matcher_free(m);
    nb_grammar_free(grammar);
}

#ifdef NB_NATIVE
/* Each allocation fails once. */
static void test_little_memory(void) {
    uint32_t mask[WORDS];
    bool done = false;
    for (uint64_t nth = 1; !done && nth < 1000; nth++) {
        nb_error err = {0};
        nb_refuse_allocation(nth);
        nb_lexicon *lexicon = random_lexicon(1, &err);
        nb_grammar *grammar = lexicon ? grammar_of(json, lexicon, &err) : NULL;
        nb_matcher *m = grammar ? nb_matcher_new(grammar, &err) : NULL;
        int32_t code = m ? nb_matcher_take(m, (const uint8_t *)"{\"a\": [1", 8, &err) : -1;
        code = code < 0 ? code : nb_matcher_mask(m, mask, 1, &err);
        done = nb_refuse_allocation(0) > 0;
        CHECK(done == (code > 0), "allocation %l: %d, %s", nth, code, err.message);
        nb_matcher_free(m);
        nb_grammar_free(grammar);
        nb_lexicon_free(lexicon);
    }
    CHECK(done, "it never needs less memory");
}
#endif

void test_grammar(void) {
    test_texts();
    test_masks();
    test_no_tokens();
    test_long_text();
#ifdef NB_NATIVE
    test_little_memory();
#endif
}
