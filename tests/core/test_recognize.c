/* Files that are not models, by their first bytes. tests/js/other-files.test.js has files of other libraries. */
#include "check.h"

#include "../../src/formats/recognize.h"

enum { ALL = 7, WEIGHTS = 1 << NB_EXPECT_WEIGHTS, JSON = 1 << NB_EXPECT_JSON, TEXT = 1 << NB_EXPECT_TEXT };

/* refused: if one of these is expected; words: what the error says. */
static const struct {
    const char *start;
    size_t size;
    int32_t refused;
    const char *words;
} files[] = {
    {"version https://git-lfs.github.com/spec/v1\n", 43, ALL, "git lfs pull"},
    {"\x1f\x8b\x08", 3, ALL, "gzip"},
    {"<!DOCTYPE html>", 15, WEIGHTS | JSON, "web page"},
    {"\xef\xbb\xbf\r\n \t<Html lang", 18, WEIGHTS | JSON, "web page"},
    {"<?xml version", 13, WEIGHTS | JSON, "web page"},
    {"{\"error\": \"gated\"}", 18, WEIGHTS, "JSON, not a model file; it begins {\"error\": \"gated\"}"},
    {"\n[1]", 4, WEIGHTS, "it begins [1]"},
    {"{\"truncation\": 0}", 17, WEIGHTS, "(a tokenizer.json: load the whole folder"},
    {"NBRESUM2", 8, ALL, "--resume"},
    {"\1\0\0\0\x13\0\0\0blk.0.attn_k.w", 23, WEIGHTS, "importance matrix"},
    {"\n\0\0\0\x13\0\0\0blk.", 12, WEIGHTS, "importance matrix"}, /* its count looks like the end of a line */
    {"\1\0\0\0\x0d\0\0\0output.weight", 21, WEIGHTS, "importance matrix"},
    /* what may stand there */
    {"\1\0\0\0\x13\0\0\0some.0.attn", 19, 0, ""}, /* no matrix of a model */
    {"\0\0\0\0\x13\0\0\0blk.0.attn_k", 20, 0, ""},
    {"\1\0\0\0\0\2\0\0blk.0.attn_k", 20, 0, ""},
    {"GGUF\3\0\0\0", 8, 0, ""},
    {"<|im_start|>{{ x }}", 19, 0, ""},
    {"{%- for m in messages %}", 24, WEIGHTS, "JSON"}, /* as good a guess as any: it is no model */
    {"\n\x0e\n\5<unk>\x15\0", 11, 0, ""},              /* tokenizer.model */
    {"", 0, 0, ""},
    {"<", 1, 0, ""},
    {"PK", 2, 0, ""},
    {"version http", 12, 0, ""},
    /* headers of safetensors files, whose lengths look like something else */
    {"\x1f\x8b\0\0\0\0\0\0{\"a\"", 12, JSON | TEXT, "gzip"},
    {"{\0\0\0\0\0\0\0{\"__metadata__\"", 23, 0, ""},
    {"<?\0\0\0\0\0\0{ \"a\"", 13, 0, ""},
    {"PK\3\4\0\0\0\0{\"a\"", 12, JSON | TEXT, "zip"},
};

void test_recognize(void) {
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        for (int32_t expected = NB_EXPECT_WEIGHTS; expected <= NB_EXPECT_TEXT; expected++) {
            nb_error err = {0};
            int32_t code = nb_refuse_others((const uint8_t *)files[i].start, files[i].size, expected, &err);
            bool refused = files[i].refused >> expected & 1;
            CHECK(code == (refused ? NB_ERR_FORMAT : NB_OK), "file %z, expected %d: %d", i, expected, code);
            CHECK(!refused || test_contains(err.message, files[i].words), "file %z: %s", i, err.message);
        }
}
