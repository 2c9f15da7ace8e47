/* JSON: which texts are well-formed (RFC 8259), and what is read from them. */
#include "check.h"

#include "../../src/base/text.h"
#include "../../src/convert/json.h"

static int32_t check(const char *text, nb_node *root, nb_error *err) {
    size_t size = nb_length(text);
    uint8_t *copy = nb_alloc(size); /* of exactly this size, so that the sanitizer sees a read past it */
    memcpy(copy, text, size);
    nb_node of_copy;
    int32_t code = nb_json_check(copy, size, "x.json", &of_copy, err);
    if (code == NB_OK) /* walking stays within, too */
        for (nb_members w = nb_members_of(of_copy); nb_members_next(&w);)
            nb_node_number(w.value, 0);
    nb_free(copy);
    return nb_json_check((const uint8_t *)text, size, "x.json", root, err) == code ? code : NB_ERR_STATE;
}

static void test_forms(void) {
    static const char *const good[] = {
        "0",
        "-0",
        "10",
        "1.5e-3",
        "1E+2",
        "\"\"",
        "true",
        "null",
        "[]",
        "{}",
        " [ 1 , 2 ] ",
        "{\"a\":{\"b\":[[]]},\"c\":\"\\\"\"}",
        "\"\\u00e9\\ud83d\\ude00\\n\"",
        "NaN",
        "[-Infinity]",
        "\xef\xbb\xbf{}",
        "\"\x7f\xc3\xa9\"",
        "[\n\t\r1]",
    };
    static const struct {
        const char *text;
        int32_t code, at;
    } bad[] = {
        {"", NB_ERR_TRUNCATED, 0},         {" ", NB_ERR_TRUNCATED, 1},      {"[1,", NB_ERR_TRUNCATED, 3},
        {"[1,]", NB_ERR_FORMAT, 3},        {"{\"a\"", NB_ERR_TRUNCATED, 4}, {"{\"a\":", NB_ERR_TRUNCATED, 5},
        {"{\"a\":1,}", NB_ERR_FORMAT, 7},  {"{1:2}", NB_ERR_FORMAT, 1},     {"[1 2]", NB_ERR_FORMAT, 3},
        {"[1}", NB_ERR_FORMAT, 2},         {"{\"a\":1]", NB_ERR_FORMAT, 6}, {"01", NB_ERR_FORMAT, 0},
        {"1.", NB_ERR_FORMAT, 0},          {".5", NB_ERR_FORMAT, 0},        {"-", NB_ERR_FORMAT, 0},
        {"+1", NB_ERR_FORMAT, 0},          {"1e", NB_ERR_FORMAT, 0},        {"tru", NB_ERR_FORMAT, 0},
        {"\"a", NB_ERR_TRUNCATED, 2},      {"\"\\", NB_ERR_TRUNCATED, -1},  {"\"\\x\"", NB_ERR_FORMAT, 1},
        {"\"\\u12g4\"", NB_ERR_FORMAT, 1}, {"\"\n\"", NB_ERR_FORMAT, 1},    {"{} {}", NB_ERR_FORMAT, 3},
        {"]", NB_ERR_FORMAT, 0},           {"<html>", NB_ERR_FORMAT, 0},    {"'a'", NB_ERR_FORMAT, 0},
        {"[,]", NB_ERR_FORMAT, 1},
    };
    nb_error err;
    nb_node root;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        CHECK(check(good[i], &root, &err) == NB_OK, "%s: %s", good[i], err.message);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t code = check(bad[i].text, &root, &err);
        char where[64] = "x.json is not valid JSON at byte ";
        size_t n = nb_length(where);
        CHECK(code == NB_ERR_FORMAT || code == NB_ERR_TRUNCATED, "%s is accepted", bad[i].text);
        if (bad[i].at < 0)
            continue;
        CHECK(code == bad[i].code, "%s: code %d, %s", bad[i].text, code, err.message);
        CHECK(nb_compare(err.message, where, n) == 0 && err.message[n] == (char)('0' + bad[i].at), "%s: %s",
              bad[i].text, err.message);
    }
}

static void test_depth(void) {
    char text[2 * (NB_JSON_MAX_DEPTH + 1) + 1];
    nb_error err;
    nb_node root;
    for (size_t depth = NB_JSON_MAX_DEPTH; depth <= NB_JSON_MAX_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        text[2 * depth] = 0;
        CHECK((check(text, &root, &err) == NB_OK) == (depth == NB_JSON_MAX_DEPTH), "%z deep: %s", depth, err.message);
    }
}

static void test_numbers(void) {
    static const struct {
        const char *text;
        double value;
    } cases[] = {
        {"0", 0},
        {"-12", -12},
        {"1.5", 1.5},
        {"1e-5", 1e-5},
        {"1e-06", 1e-6},
        {"1000000.0", 1e6},
        {"9007199254740993", 9007199254740992.0},
        {"123456789012345678901234567890", 123456789012345678901234567890.0},
        {"0.000123", 0.000123},
        {"5e-1", 0.5},
        {"1E3", 1000},
        {"true", 1},
        {"false", 0},
        {"null", 77},
        {"NaN", 77},
        {"\"1\"", 77},
        {"0e99999999999", 0},
        {"0.1", 0.1},
        {"3.0e22", 3e22},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nb_node root;
        nb_error err;
        CHECK(check(cases[i].text, &root, &err) == NB_OK, "%s", cases[i].text);
        double got = nb_node_number(root, 77), wrong = got - cases[i].value, limit = cases[i].value * 1e-15;
        CHECK(wrong * wrong <= limit * limit, "%s is %g", cases[i].text, got);
    }
    nb_node root;
    CHECK(check("1e999", &root, NULL) == NB_OK && nb_node_number(root, 0) > 1e308, "more than a double holds");
    CHECK(check("1e-999", &root, NULL) == NB_OK && nb_node_number(root, 1) == 0, "less than a double holds");
}

static void check_decoded(const char *text, const char *wanted) {
    nb_node root;
    char out[64];
    if (!CHECK(check(text, &root, NULL) == NB_OK, "%s", text))
        return;
    size_t raw = nb_node_raw(root).size, size = nb_node_decode(root, out);
    CHECK(size <= raw && nb_text_is((nb_text){out, size}, wanted), "%s became %t", text, (nb_text){out, size});
}

static void test_strings(void) {
    check_decoded("\"\"", "");
    check_decoded("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\"", "a\"\\/\b\f\n\r\t");
    check_decoded("\"\\u0041\\u00e9\\u20AC\"", "A\xc3\xa9\xe2\x82\xac");
    check_decoded("\"\\ud83d\\ude00\"", "\xf0\x9f\x98\x80");
    check_decoded("\"\\ud83dx\\ude00\"", "\xef\xbf\xbdx\xef\xbf\xbd");
    check_decoded("\"\\ud83d\\u0041\"", "\xef\xbf\xbd"
                                        "A");
    check_decoded("\"\\ud83d\"", "\xef\xbf\xbd");
}

void test_json(void) {
    test_forms();
    test_depth();
    test_numbers();
    test_strings();

    nb_node root, none = {0};
    CHECK(check("{\"a\": [1, {\"x\": \"},]\"}, 3], \"b\" : {\"c\":{\"d\":5}}, \"a\":2, \"e\":\"f\"}", &root, NULL) ==
              NB_OK,
          "a text");
    CHECK(nb_node_number(nb_node_find(nb_node_find(nb_node_find(root, "b"), "c"), "d"), 0) == 5,
          "a member of a member of a member");
    CHECK(nb_node_is(nb_node_find(root, "e"), "f") && !nb_node_is(nb_node_find(root, "a"), "f"), "a string");
    CHECK(nb_node_first(nb_node_find(root, "a")) == '[', "the first of two members");
    CHECK(!nb_node_find(root, "d").at && !nb_node_find(nb_node_find(root, "e"), "x").at && !nb_node_find(none, "x").at,
          "what is not there");
    double sum = 0;
    int32_t items = 0;
    for (nb_members w = nb_members_of(nb_node_find(root, "a")); nb_members_next(&w); items++)
        sum += nb_node_number(w.value, 10);
    CHECK(items == 3 && sum == 14, "%d items, sum %g", items, sum);
    items = 0;
    for (nb_members w = nb_members_of(root); nb_members_next(&w);)
        items += nb_node_raw(w.key).size == 1;
    CHECK(items == 4, "%d members", items);
}
