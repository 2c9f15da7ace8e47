/* Files that are not GGUF, or violate the format, in every way for which the parser has a message. */
#include "../../src/types/types.h"
#include "check.h"
#include "gguf_files.h"

/* The file is refused with this code and these words, whole and in pieces, whether its size is known or not. */
static void expect_error(const file *f, bool size_known, int32_t code, const char *words, const char *what) {
    static const size_t pieces[] = {1, 13, 1 << 20};
    for (size_t i = 0; i < 3; i++) {
        nb_checkpoint c;
        nb_error err;
        int32_t got = parse(f->data, f->size, pieces[i], size_known ? f->size : 0, &c, &err);
        CHECK(got == code, "%s: code %d, not %d (%s)", what, (int)got, (int)code, err.message);
        CHECK(got >= 0 || err.code == got, "%s: the error says %d, the function %d", what, (int)err.code, (int)got);
        CHECK(test_contains(err.message, words), "%s: \"%s\" does not say \"%s\"", what, err.message, words);
        nb_checkpoint_free(&c);
    }
}

static void expect_refused(const file *f, int32_t code, const char *words, const char *what) {
    expect_error(f, false, code, words, what);
    expect_error(f, true, code, words, what);
}

static void test_start(file *f) {
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } others[] = {
        {"PK\3\4aaaaaaaaaaaaaaaa", 20, "zip"},
        {"<!DOCTYPE html><html>", 21, "HTML"},
        {"version https://git-lfs.github.com/spec/v1", 42, "git lfs pull"},
        {"\x50\0\0\0\0\0\0\0{\"__metadata__\":{}}", 26, "safetensors"},
        {"FUGG\0\0\0\3\0\0\0\0\0\0\0\1", 16, "big-endian"},
        {"tjggaaaaaaaaaaaaaaaa", 20, "older than GGUF"},
        {"\x1f\x8b\x08 aaaaaaaaaaaaaaa", 18, "gzip"},
        {"GGUG0123456789abcdef", 20, "not a GGUF file: it begins with 47 47 55 47"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        f->size = 0;
        put(f, others[i].bytes, others[i].size);
        expect_refused(f, NB_ERR_FORMAT, others[i].words, others[i].words);
    }
    f->size = 0;
    put(f, "hm", 2);
    expect_error(f, true, NB_ERR_FORMAT, "not a GGUF file", "two bytes of something else");

    static const struct {
        uint32_t version;
        const char *words;
    } versions[] = {
        {0, "version 0"}, {1, "GGUF version 1 "}, {4, "version 4"}, {0x03000000, "big-endian"}, {99, "version 99"},
    };
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        put_start(f, 0, 0);
        memcpy(f->data + 4, &versions[i].version, 4);
        expect_refused(f, NB_ERR_UNSUPPORTED, versions[i].words, versions[i].words);
    }
    put_start(f, UINT64_MAX, 0);
    expect_refused(f, NB_ERR_FORMAT, "18446744073709551615 tensors (at byte 8)", "a huge number of tensors");
    put_start(f, 0, 1ULL << 32);
    expect_refused(f, NB_ERR_FORMAT, "4294967296 metadata values (at byte 16)", "a huge number of values");
    put_start(f, 0, NB_GGUF_MAX_VALUES);
    expect_error(f, true, NB_ERR_TRUNCATED, "the list of metadata values", "more values than the file can hold");
    expect_error(f, false, NB_GGUF_MORE, "", "as many values as are allowed, and more bytes to come");
    put_start(f, NB_GGUF_MAX_TENSORS, 0);
    expect_error(f, true, NB_ERR_TRUNCATED, "the list of tensors", "more tensors than the file can hold");
}

static void test_values(file *f) {
    put_start(f, 0, 1);
    put_u64(f, 0);
    put_data(f, 1, 100);
    expect_refused(f, NB_ERR_FORMAT, "the key at byte 24 is 0 bytes", "an empty key");
    put_start(f, 0, 1);
    put_u64(f, NB_GGUF_MAX_NAME + 1);
    put_data(f, 1, NB_GGUF_MAX_NAME + 100);
    expect_refused(f, NB_ERR_FORMAT, "the key at byte 24 is 65536 bytes", "a key of 64 KB");

    put_start(f, 0, 1);
    put_value(f, "k", 13, NULL, 0);
    put_data(f, 1, 20);
    expect_refused(f, NB_ERR_FORMAT, "unknown value type 13 at byte 33", "an unknown value type");
    put_start(f, 0, 1);
    put_array(f, "k", 13, 1);
    put_data(f, 1, 20);
    expect_refused(f, NB_ERR_FORMAT, "unknown item type 13 at byte 37", "an unknown item type");
    put_start(f, 0, 1);
    put_array(f, "k", NB_VALUE_ARRAY, 1);
    put_data(f, 1, 20);
    expect_refused(f, NB_ERR_UNSUPPORTED, "array of arrays at byte 37", "a nested array");

    static const uint64_t lengths[] = {UINT64_MAX, 1ULL << 63, UINT64_MAX - 45, 1ULL << 32, NB_GGUF_MAX_HEADER};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        put_start(f, 0, 1);
        put_u64(f, lengths[i]);
        put_data(f, 1, 20);
        expect_error(f, true, NB_ERR_TRUNCATED, "the key at byte 32 announces", "a key past the end");
        expect_error(f, false, NB_ERR_FORMAT, "the key at byte 32 announces", "an endless key");
        put_start(f, 0, 1);
        put_value(f, "k", NB_VALUE_STRING, &lengths[i], 8);
        put_data(f, 1, 20);
        expect_error(f, true, NB_ERR_TRUNCATED, "the string at byte 45 announces", "a string past the end");
        expect_error(f, false, NB_ERR_FORMAT, "the string at byte 45 announces", "an endless string");
        for (uint32_t type = 0; type < NB_VALUE_COUNT; type++) {
            if (type == NB_VALUE_ARRAY)
                continue;
            put_start(f, 0, 1);
            put_array(f, "k", type, lengths[i]);
            put_data(f, 1, 20);
            expect_error(f, true, NB_ERR_TRUNCATED, "the array at byte 49 announces", "an array past the end");
            expect_error(f, false, NB_ERR_FORMAT, "the array at byte 49 announces", "an endless array");
        }
        put_start(f, 0, 1);
        put_array(f, "k", NB_VALUE_STRING, 2);
        put_text(f, "fine");
        put_u64(f, lengths[i]);
        put_data(f, 1, 20);
        expect_error(f, true, NB_ERR_TRUNCATED, "the string at byte 69 announces", "an item past the end");
        expect_error(f, false, NB_ERR_FORMAT, "the string at byte 69 announces", "an endless item");
    }
    put_start(f, 0, 1);
    put_value(f, "k", NB_VALUE_STRING, &(uint64_t){21}, 8);
    put_data(f, 1, 20);
    expect_error(f, true, NB_ERR_TRUNCATED, "announces 21 bytes, past the end", "a string one byte past the end");

    put_start(f, 0, 1);
    put_value(f, "k", NB_VALUE_BOOL, &(uint8_t){2}, 1);
    expect_refused(f, NB_ERR_FORMAT, "boolean at byte 37 is 2", "a boolean of 2");
    put_start(f, 0, 1);
    put_array(f, "k", NB_VALUE_BOOL, 3);
    put(f, (uint8_t[]){1, 0, 255}, 3);
    expect_refused(f, NB_ERR_FORMAT, "boolean at byte 51 is 255", "an array with a boolean of 255");

    put_start(f, 0, 3);
    put_value(f, "aa", NB_VALUE_U8, "\1", 1);
    put_value(f, "ab", NB_VALUE_U8, "\1", 1);
    put_value(f, "aa", NB_VALUE_U8, "\1", 1);
    expect_refused(f, NB_ERR_FORMAT, "the key aa is there twice, the second time at byte 62", "a key twice");

    static const uint32_t alignments[] = {0, 3, 33, 48, UINT32_MAX, NB_GGUF_MAX_ALIGNMENT * 2};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        put_start(f, 0, 1);
        put_value(f, "general.alignment", NB_VALUE_U32, &alignments[i], 4);
        expect_refused(f, NB_ERR_FORMAT, "general.alignment (at byte 53) is", "a bad alignment");
    }
    put_start(f, 0, 1);
    put_value(f, "general.alignment", NB_VALUE_U64, &(uint64_t){32}, 8);
    expect_refused(f, NB_ERR_FORMAT, "general.alignment (at byte 32) has value type 10", "an alignment of 64 bits");
    put_start(f, 0, 1);
    put_value(f, "general.alignment", NB_VALUE_STRING, NULL, 0);
    put_text(f, "32");
    expect_refused(f, NB_ERR_FORMAT, "general.alignment (at byte 32) has value type 8", "an alignment in letters");
}

static void test_tensors(file *f) {
    static const uint64_t many[] = {1, 1, 1, 1, 1}, none[] = {64, 0}, huge[] = {1ULL << 32, 1ULL << 32},
                          large[] = {1ULL << 32, 1ULL << 31}, bytes[] = {1ULL << 62}, odd[] = {48}, half[] = {128, 2};
    static const struct {
        const char *name;
        uint32_t type;
        uint64_t offset;
        uint32_t n_dimensions;
        const uint64_t *shape;
        int32_t code;
        const char *words;
    } cases[] = {
        {"", NB_TYPE_F32, 0, 1, FLAT, NB_ERR_FORMAT, "the tensor name at byte 24 is 0 bytes"},
        {"t", NB_TYPE_F32, 0, 0, NULL, NB_ERR_FORMAT, "tensor t has 0 dimensions (at byte 33)"},
        {"t", NB_TYPE_F32, 0, 5, many, NB_ERR_FORMAT, "tensor t has 5 dimensions (at byte 33)"},
        {"t", NB_TYPE_F32, 0, 2, none, NB_ERR_FORMAT, "impossible shape [64, 0, 1, 1] (at byte 37)"},
        {"t", NB_TYPE_F32, 0, 2, huge, NB_ERR_FORMAT, "impossible shape [4294967296, 4294967296"},
        {"t", NB_TYPE_F32, 0, 2, large, NB_ERR_FORMAT, "impossible shape [4294967296, 2147483648"},
        {"t", NB_TYPE_F32, 0, 1, bytes, NB_ERR_FORMAT, "larger than any file"},
        {"t", NB_TYPE_F32, ~31ull, 1, FLAT, NB_ERR_FORMAT, "larger than any file"},
        {"t", NB_TYPE_F32, 1ULL << 63, 1, FLAT, NB_ERR_FORMAT, "larger than any file"},
        {"t", NB_TYPE_Q4_0, 0, 1, odd, NB_ERR_FORMAT, "rows of 48 weights (at byte 37), not a multiple of Q4_0's"},
        {"t", NB_TYPE_Q4_K, 0, 2, half, NB_ERR_FORMAT, "rows of 128 weights (at byte 37), not a multiple of Q4_K's"},
        {"t", NB_TYPE_F32, 16, 1, FLAT, NB_ERR_FORMAT, "data offset 16 (at byte 49), not a multiple of the alignment"},
        {"t", 4, 0, 1, FLAT, NB_ERR_UNSUPPORTED, "type Q4_2 (4, at byte 45), which is not supported; supported: F"},
        {"t", 31, 0, 1, FLAT, NB_ERR_UNSUPPORTED, "type Q4_0_4_4 (31, at byte 45), which is not supported"},
        {"t", 38, 0, 1, FLAT, NB_ERR_UNSUPPORTED, "type IQ4_NL_8_8 (38"},
        {"t", 5, 0, 1, FLAT, NB_ERR_UNSUPPORTED, "MXFP4, NVFP4, Q1_0, Q2_0. Get the model in one of these"},
        {"t", 43, 0, 1, FLAT, NB_ERR_FORMAT, "unknown type 43 at byte 45; supported: F32, F16, Q4_0"},
        {"t", UINT32_MAX, 0, 1, FLAT, NB_ERR_FORMAT, "unknown type 4294967295"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_start(f, 1, 0);
        put_tensor(f, cases[i].name, cases[i].type, cases[i].offset, cases[i].n_dimensions, cases[i].shape);
        put_data(f, 32, 256);
        expect_refused(f, cases[i].code, cases[i].words, cases[i].words);
    }
    put_start(f, 1, 0);
    put_u64(f, NB_GGUF_MAX_NAME + 1);
    put_data(f, 1, NB_GGUF_MAX_NAME + 100);
    expect_refused(f, NB_ERR_FORMAT, "the tensor name at byte 24 is 65536 bytes", "a tensor's name of 64 KB");

    put_start(f, 3, 0);
    put_tensor(f, "aa", NB_TYPE_F32, 0, 1, FLAT);
    put_tensor(f, "ab", NB_TYPE_F32, 256, 1, FLAT);
    put_tensor(f, "aa", NB_TYPE_F32, 512, 1, FLAT);
    put_data(f, 32, 768);
    expect_refused(f, NB_ERR_FORMAT, "tensor aa is there twice, the second time at byte 100", "a tensor twice");
    put_start(f, 2, 0);
    put_tensor(f, "b", NB_TYPE_F32, 224, 1, FLAT); /* starts within a, which has 256 bytes */
    put_tensor(f, "a", NB_TYPE_F32, 0, 1, FLAT);
    put_data(f, 32, 512);
    expect_refused(f, NB_ERR_FORMAT, "the data of tensors a and b overlap at byte 320", "tensors that overlap");
    put_start(f, 2, 1);
    put_value(f, "general.alignment", NB_VALUE_U32, &(uint32_t){1}, 4);
    put_tensor(f, "a", NB_TYPE_F32, 0, 1, FLAT);
    put_tensor(f, "b", NB_TYPE_F32, 255, 1, FLAT);
    put_data(f, 1, 511);
    expect_refused(f, NB_ERR_FORMAT, "overlap", "tensors that overlap by one byte");
    put_start(f, 2, 0);
    put_tensor(f, "b", NB_TYPE_F32, 0, 1, FLAT);
    put_tensor(f, "a", NB_TYPE_F32, 0, 1, FLAT);
    put_data(f, 32, 512);
    expect_refused(f, NB_ERR_FORMAT, "overlap", "tensors in one place");
    put_start(f, 2, 0);
    put_tensor(f, "a", NB_TYPE_F32, 0, 1, FLAT);
    put_tensor(f, "b", NB_TYPE_F32, 256, 1, FLAT);
    put_data(f, 32, 511);
    expect_error(f, true, NB_ERR_TRUNCATED, "the data of tensor b ends at byte 608, but the file has only 607",
                 "short data");
    expect_error(f, false, NB_GGUF_DONE, "", "data that may still come");
}

void test_gguf_refusals(void) {
    file f = file_new();
    test_start(&f);
    test_values(&f);
    test_tensors(&f);
    nb_free(f.data);
}
