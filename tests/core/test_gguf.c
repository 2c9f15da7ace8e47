/* GGUF files, good and broken. A small writer builds a good file; then it is cut, fed in pieces, and contradicted in
 * every way the parser names. The layout comes from the format's description (ggml-org/ggml, docs/gguf.md). */
#include "check.h"

#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/formats/gguf.h"
#include "../../src/types/traits.h"

/* ---- a writer ----------------------------------------------------------------------------------------------- */

typedef struct file {
    uint8_t *data;
    size_t size, capacity;
} file;

static file file_new(void) {
    size_t capacity = 1 << 20;
    return (file){nb_alloc(capacity), 0, capacity};
}

static void put(file *f, const void *bytes, size_t n) {
    if (n && f->size + n <= f->capacity)
        memcpy(f->data + f->size, bytes, n);
    f->size += n;
}

static void put_u32(file *f, uint32_t x) { put(f, &x, 4); }
static void put_u64(file *f, uint64_t x) { put(f, &x, 8); }

static void put_text(file *f, const char *s) {
    put_u64(f, nb_length(s));
    put(f, s, nb_length(s));
}

static void put_start(file *f, uint64_t n_tensors, uint64_t n_values) {
    f->size = 0;
    put(f, "GGUF", 4);
    put_u32(f, 3);
    put_u64(f, n_tensors);
    put_u64(f, n_values);
}

static void put_value(file *f, const char *key, uint32_t type, const void *payload, size_t n) {
    put_text(f, key);
    put_u32(f, type);
    put(f, payload, n);
}

static void put_array(file *f, const char *key, uint32_t item_type, uint64_t count) {
    put_value(f, key, NB_VALUE_ARRAY, &item_type, 4);
    put_u64(f, count);
}

static void put_tensor(file *f, const char *name, uint32_t type, uint64_t offset, uint32_t n_dimensions,
                       const uint64_t *shape) {
    put_text(f, name);
    put_u32(f, n_dimensions);
    for (uint32_t i = 0; i < n_dimensions; i++)
        put_u64(f, shape[i]);
    put_u32(f, type);
    put_u64(f, offset);
}

static void put_data(file *f, size_t alignment, size_t bytes) {
    static const uint8_t zeros[64];
    while (f->size % alignment)
        put(f, zeros, 1);
    for (; bytes; bytes -= NB_MIN(bytes, sizeof zeros))
        put(f, zeros, NB_MIN(bytes, sizeof zeros));
}

static const uint64_t FLAT[] = {64}, MATRIX[] = {64, 3}, DEEP[] = {256, 2, 1, 2};

/* A file with a value of every type and tensors that are not in the order of their data. Returns its header's size. */
static size_t put_good(file *f) {
    put_start(f, 3, 19);
    put_value(f, "u8", NB_VALUE_U8, &(uint8_t){200}, 1);
    put_value(f, "i8", NB_VALUE_I8, &(int8_t){-100}, 1);
    put_value(f, "u16", NB_VALUE_U16, &(uint16_t){60000}, 2);
    put_value(f, "i16", NB_VALUE_I16, &(int16_t){-30000}, 2);
    put_value(f, "u32", NB_VALUE_U32, &(uint32_t){4000000000u}, 4);
    put_value(f, "i32", NB_VALUE_I32, &(int32_t){-2000000000}, 4);
    put_value(f, "f32", NB_VALUE_F32, &(float){-1.5f}, 4);
    put_value(f, "bool", NB_VALUE_BOOL, &(uint8_t){1}, 1);
    put_value(f, "string", NB_VALUE_STRING, NULL, 0);
    put_text(f, "gr\xc3\xbc\xc3\x9f");
    put_value(f, "empty", NB_VALUE_STRING, NULL, 0);
    put_text(f, "");
    put_value(f, "u64", NB_VALUE_U64, &(uint64_t){1ull << 40}, 8);
    put_value(f, "i64", NB_VALUE_I64, &(int64_t){-(1ll << 40)}, 8);
    put_value(f, "f64", NB_VALUE_F64, &(double){0.1}, 8);
    put_value(f, "general.alignment", NB_VALUE_U32, &(uint32_t){64}, 4);
    put_array(f, "strings", NB_VALUE_STRING, 4);
    put_text(f, "one"), put_text(f, ""), put_text(f, "three"), put_text(f, "\xff");
    put_array(f, "floats", NB_VALUE_F32, 3);
    put(f, (float[]){1, -2, 0.5f}, 12);
    put_array(f, "bools", NB_VALUE_BOOL, 2);
    put(f, (uint8_t[]){0, 1}, 2);
    put_array(f, "nothing", NB_VALUE_I16, 0);
    put_array(f, "no.strings", NB_VALUE_STRING, 0);
    put_tensor(f, "last", NB_TYPE_Q6_K, 384, 4, DEEP);    /* 4 blocks of 210: 840 bytes */
    put_tensor(f, "first", NB_TYPE_Q8_0, 0, 1, FLAT);     /* 2 blocks of 34: 68 bytes */
    put_tensor(f, "middle", NB_TYPE_Q4_0, 128, 2, MATRIX); /* 6 blocks of 18: 108 bytes */
    size_t header = f->size;
    put_data(f, 64, 384 + 840);
    return header;
}

/* ---- parsing ------------------------------------------------------------------------------------------------ */

/* Feeds the first `size` bytes in pieces. Each piece comes in a block of its own that ends where the bytes end, so that
 * a sanitizer sees any read past them, and so that an address kept from an earlier piece is noticed. On NB_GGUF_DONE
 * *c owns the last block. */
static int32_t parse(const uint8_t *data, size_t size, size_t piece, uint64_t file_bytes, nb_checkpoint *c,
                     nb_error *err) {
    nb_gguf g = {.file_bytes = file_bytes};
    *c = (nb_checkpoint){0};
    *err = (nb_error){0};
    for (size_t n = NB_MIN(piece, size);; n = NB_MIN(n + piece, size)) {
        uint8_t *block = nb_alloc(n);
        if (n)
            memcpy(block, data, n);
        int32_t code = nb_gguf_parse(&g, c, block, n, err);
        if (code != NB_GGUF_MORE || n == size) {
            CHECK(code != NB_GGUF_DONE || g.at <= n, "the parser claims %u of %u bytes", (unsigned)g.at, (unsigned)n);
            c->header = block;
            c->header_size = code == NB_GGUF_DONE ? g.at : n;
            return code;
        }
        nb_free(block);
    }
}

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

/* ---- good files --------------------------------------------------------------------------------------------- */

static void check_ranges(const nb_checkpoint *c, const char *what) {
    nb_error err = {0};
    double value = 7;
    CHECK(nb_checkpoint_read(c, "absent", (nb_range){0, 1}, &value, &err) == 0 && value == 7, "%s: absent", what);
    CHECK(nb_checkpoint_read(c, "f32", (nb_range){-2, 0}, &value, &err) == 1 && value == -1.5, "%s: f32", what);
    CHECK(nb_checkpoint_read(c, "f32", (nb_range){-1, 0}, &value, &err) == NB_ERR_FORMAT &&
          test_contains(err.message, "f32 is"), "%s", what);
    CHECK(nb_checkpoint_read(c, "string", (nb_range){0, 1}, &value, &err) == NB_ERR_FORMAT && value == -1.5, "%s: string",
          what);
    CHECK(nb_checkpoint_read(c, "floats", (nb_range){0, 1}, &value, &err) == NB_ERR_FORMAT, "%s: an array", what);
    const nb_value *floats = nb_checkpoint_find(c, "floats");
    CHECK(nb_checkpoint_check_items(c, floats, (nb_range){-2, 1}, &err) == NB_OK, "%s: floats", what);
    CHECK(nb_checkpoint_check_items(c, floats, (nb_range){-1, 1}, &err) == NB_ERR_FORMAT &&
          test_contains(err.message, "number 1"), "%s", what);
    CHECK(nb_checkpoint_check_items(c, nb_checkpoint_find(c, "u8"), (nb_range){0, 255}, &err) == NB_ERR_FORMAT, "%s", what);
    CHECK(nb_checkpoint_check_items(c, nb_checkpoint_find(c, "strings"), (nb_range){0, 1}, &err) == NB_ERR_FORMAT, "%s", what);
}

static void check_good(const nb_checkpoint *c, size_t header, const char *what) {
    static const struct { const char *key; double number; } numbers[] = {
        {"u8", 200}, {"i8", -100}, {"u16", 60000}, {"i16", -30000}, {"u32", 4000000000.0}, {"i32", -2000000000.0},
        {"f32", -1.5}, {"bool", 1}, {"u64", 1099511627776.0}, {"i64", -1099511627776.0}, {"f64", 0.1},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        CHECK(nb_checkpoint_number(c, numbers[i].key, 7) == numbers[i].number, "%s: %s", what, numbers[i].key);
    CHECK(nb_checkpoint_number(c, "absent", 7) == 7, "%s: a key that is absent", what);
    check_ranges(c, what);
    CHECK(nb_checkpoint_number(c, "string", 7) == 7, "%s: a string is no number", what);
    CHECK(nb_text_is(nb_checkpoint_string(c, "string"), "gr\xc3\xbc\xc3\x9f"), "%s: string", what);
    nb_text empty = nb_checkpoint_string(c, "empty");
    CHECK(empty.data && empty.size == 0, "%s: an empty string is not an absent one", what);
    CHECK(!nb_checkpoint_string(c, "absent").data && !nb_checkpoint_string(c, "u8").data, "%s: no string", what);

    const nb_value *strings = nb_checkpoint_find(c, "strings");
    static const char *const items[] = {"one", "", "three", "\xff"};
    CHECK(strings && strings->item_type == NB_VALUE_STRING && strings->count == 4, "%s: strings", what);
    if (strings) {
        uint64_t at = strings->at;
        for (size_t i = 0; i < 4; i++)
            CHECK(nb_text_is(nb_checkpoint_next_string(c, &at), items[i]), "%s: strings[%d]", what, (int)i);
        CHECK(at == strings->at + strings->size, "%s: the strings' end", what);
    }
    const nb_value *floats = nb_checkpoint_find(c, "floats"), *bools = nb_checkpoint_find(c, "bools");
    CHECK(floats && floats->count == 3 && nb_checkpoint_item(c, floats, 1) == -2 &&
          nb_checkpoint_item(c, floats, 2) == 0.5, "%s: floats", what);
    CHECK(bools && bools->count == 2 && nb_checkpoint_item(c, bools, 0) == 0 && nb_checkpoint_item(c, bools, 1) == 1,
          "%s: bools", what);
    const nb_value *nothing = nb_checkpoint_find(c, "nothing"), *none = nb_checkpoint_find(c, "no.strings");
    CHECK(nothing && nothing->count == 0 && nothing->size == 0, "%s: nothing", what);
    CHECK(none && none->count == 0 && none->size == 0, "%s: no.strings", what);

    static const struct { const char *name; uint32_t type, n; uint64_t at, bytes; } tensors[] = {
        {"first", NB_TYPE_Q8_0, 1, 0, 68}, {"middle", NB_TYPE_Q4_0, 2, 128, 108}, {"last", NB_TYPE_Q6_K, 4, 384, 840},
    };
    CHECK(c->n_tensors == 3 && c->n_values == 19 && c->version == 3, "%s: counts", what);
    CHECK(nb_text_is(nb_text_of(c->format), "GGUF"), "%s: format", what);
    CHECK(c->header_size == header && c->data_at == NB_ROUND_UP(header, 64u), "%s: data_at", what);
    CHECK(c->total_bytes == c->data_at + 384 + 840, "%s: total_bytes", what);
    for (uint32_t i = 0; i < 3 && c->n_tensors == 3; i++) {
        const nb_tensor_info *t = &c->tensors[i];
        CHECK(nb_text_is(nb_checkpoint_tensor_name(c, t), tensors[i].name), "%s: tensor %d", what, (int)i);
        CHECK(nb_checkpoint_find_tensor(c, tensors[i].name) == t, "%s: finds tensor %d", what, (int)i);
        CHECK(t->type == tensors[i].type && t->n_dimensions == tensors[i].n && t->bytes == tensors[i].bytes &&
              t->at == c->data_at + tensors[i].at, "%s: tensor %d is wrong", what, (int)i);
    }
    const nb_tensor_info *last = nb_checkpoint_find_tensor(c, "last"), *first = nb_checkpoint_find_tensor(c, "first");
    CHECK(last && nb_compare(last->shape, DEEP, sizeof DEEP) == 0, "%s: shape of four dimensions", what);
    CHECK(first && first->shape[0] == 64 && first->shape[1] == 1 && first->shape[3] == 1, "%s: flat shape", what);
    CHECK(!nb_checkpoint_find_tensor(c, "absent") && !nb_checkpoint_find(c, "absent"), "%s: absent", what);
}

static void test_good(file *f) {
    size_t header = put_good(f);
    static const size_t pieces[] = {1, 2, 7, 8, 64, 100, 1 << 20};
    nb_checkpoint whole, c;
    nb_error err;
    CHECK(parse(f->data, f->size, f->size, f->size, &whole, &err) == NB_GGUF_DONE, "a good file: %s", err.message);
    check_good(&whole, header, "whole");
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        int32_t code = parse(f->data, f->size, pieces[i], i % 2 ? f->size : 0, &c, &err);
        CHECK(code == NB_GGUF_DONE, "in pieces of %d: %s", (int)pieces[i], err.message);
        check_good(&c, header, "in pieces");
        CHECK(c.n_values == whole.n_values && c.n_tensors == whole.n_tensors &&
              nb_compare(c.values, whole.values, (size_t)whole.n_values * sizeof *c.values) == 0 &&
              nb_compare(c.tensors, whole.tensors, (size_t)whole.n_tensors * sizeof *c.tensors) == 0,
              "pieces of %d give another checkpoint", (int)pieces[i]);
        nb_checkpoint_free(&c);
    }
    nb_checkpoint_free(&whole);

    memcpy(f->data + 4, &(uint32_t){2}, 4);
    CHECK(parse(f->data, f->size, f->size, 0, &c, &err) == NB_GGUF_DONE && c.version == 2, "version 2: %s",
          err.message);
    nb_checkpoint_free(&c);

    put_start(f, 0, 0);
    CHECK(parse(f->data, f->size, f->size, f->size, &c, &err) == NB_GGUF_DONE, "an empty file: %s", err.message);
    CHECK(c.total_bytes == 24 && c.data_at == 24, "an empty file has no data and no padding");
    nb_checkpoint_free(&c);

    put_start(f, 1, 0);
    put_tensor(f, "t", NB_TYPE_F16, 0, 1, FLAT);
    CHECK(parse(f->data, f->size, f->size, 0, &c, &err) == NB_GGUF_DONE, "no alignment: %s", err.message);
    CHECK(c.data_at == NB_ROUND_UP(f->size, 32u) && c.tensors[0].bytes == 128, "the default alignment is 32");
    nb_checkpoint_free(&c);

    static const uint32_t alignments[] = {1, 8, 4096, NB_GGUF_MAX_ALIGNMENT};
    for (size_t i = 0; i < sizeof alignments / sizeof *alignments; i++) {
        put_start(f, 1, 1);
        put_value(f, "general.alignment", NB_VALUE_U32, &alignments[i], 4);
        put_tensor(f, "t", NB_TYPE_F16, 0, 1, FLAT);
        CHECK(parse(f->data, f->size, 9, 0, &c, &err) == NB_GGUF_DONE, "alignment %u: %s", alignments[i], err.message);
        CHECK(c.data_at == NB_ROUND_UP(f->size, alignments[i]), "alignment %u: data at %l", alignments[i], c.data_at);
        nb_checkpoint_free(&c);
    }
}

/* ---- cut-off files ------------------------------------------------------------------------------------------ */

static void test_truncated(file *f) {
    size_t header = put_good(f);
    nb_checkpoint c;
    nb_error err;
    for (size_t n = 0; n < header; n++) {
        int32_t code = parse(f->data, n, 1 << 20, 0, &c, &err);
        CHECK(code == NB_GGUF_MORE, "the first %d bytes, more to come: code %d (%s)", (int)n, (int)code, err.message);
        nb_checkpoint_free(&c);
        code = parse(f->data, n, 1 << 20, f->size, &c, &err);
        CHECK(code == NB_GGUF_MORE, "the first %d bytes of a known size: code %d (%s)", (int)n, (int)code, err.message);
        nb_checkpoint_free(&c);
        if (!n)
            continue;
        code = parse(f->data, n, 5, n, &c, &err);
        CHECK(code == NB_ERR_TRUNCATED && test_contains(err.message, "byte"), "the first %d bytes alone: code %d (%s)",
              (int)n, (int)code, err.message);
        nb_checkpoint_free(&c);
        /* the size becomes known at the end */
        nb_gguf g = {0};
        c = (nb_checkpoint){0};
        CHECK(nb_gguf_parse(&g, &c, f->data, n, &err) == NB_GGUF_MORE, "%d bytes", (int)n);
        g.file_bytes = n;
        code = nb_gguf_parse(&g, &c, f->data, n, &err);
        CHECK(code == NB_ERR_TRUNCATED, "the end after %d bytes: code %d", (int)n, (int)code);
        nb_checkpoint_free(&c);
    }
    for (size_t n = header; n <= f->size; n++) {
        int32_t code = parse(f->data, header, header, n, &c, &err);
        CHECK(code == (n < f->size ? NB_ERR_TRUNCATED : NB_GGUF_DONE), "data cut at %d: code %d", (int)n, (int)code);
        CHECK(code == NB_GGUF_DONE || test_contains(err.message, "tensor "), "data cut at %d: %s", (int)n, err.message);
        nb_checkpoint_free(&c);
    }
    CHECK(parse(f->data, header, header, 0, &c, &err) == NB_GGUF_DONE, "a header alone: %s", err.message);
    nb_checkpoint_free(&c);
}

/* ---- files that are something else, or contradict themselves ------------------------------------------------ */

static void test_start(file *f) {
    static const struct { const char *bytes; size_t size; const char *words; } others[] = {
        {"PK\3\4aaaaaaaaaaaaaaaa", 20, "zip"},
        {"<!DOCTYPE html><html>", 21, "HTML"},
        {"version https://git-lfs.github.com/spec/v1", 42, "git lfs pull"},
        {"\x50\0\0\0\0\0\0\0{\"__metadata__\":{}}", 26, "safetensors"},
        {"FUGG\0\0\0\3\0\0\0\0\0\0\0\1", 16, "big-endian"},
        {"tjggaaaaaaaaaaaaaaaa", 20, "older than GGUF"},
        {"\x1f\x8b\x08 aaaaaaaaaaaaaaa", 18, "gzip"},
        {"GGUG0123456789abcdef", 20, "not a GGUF file: at byte 0 stand 47 47 55 47"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        f->size = 0;
        put(f, others[i].bytes, others[i].size);
        expect_refused(f, NB_ERR_FORMAT, others[i].words, others[i].words);
    }
    f->size = 0;
    put(f, "hm", 2);
    expect_error(f, true, NB_ERR_FORMAT, "not a GGUF file", "two bytes of something else");

    static const struct { uint32_t version; const char *words; } versions[] = {
        {0, "version 0"}, {1, "GGUF version 1 "}, {4, "version 4"}, {0x03000000, "big-endian"}, {99, "version 99"},
    };
    for (size_t i = 0; i < sizeof versions / sizeof *versions; i++) {
        put_start(f, 0, 0);
        memcpy(f->data + 4, &versions[i].version, 4);
        expect_refused(f, NB_ERR_UNSUPPORTED, versions[i].words, versions[i].words);
    }
    put_start(f, UINT64_MAX, 0);
    expect_refused(f, NB_ERR_FORMAT, "18446744073709551615 tensors (at byte 8)", "a huge number of tensors");
    put_start(f, 0, 1ull << 32);
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

    static const uint64_t lengths[] = {UINT64_MAX, 1ull << 63, UINT64_MAX - 45, 1ull << 32, NB_GGUF_MAX_HEADER};
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
    static const uint64_t many[] = {1, 1, 1, 1, 1}, none[] = {64, 0}, huge[] = {1ull << 32, 1ull << 32},
                          large[] = {1ull << 32, 1ull << 31}, bytes[] = {1ull << 62}, odd[] = {48},
                          half[] = {128, 2};
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
        {"t", NB_TYPE_F32, 1ull << 63, 1, FLAT, NB_ERR_FORMAT, "larger than any file"},
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

/* ---- many items --------------------------------------------------------------------------------------------- */

static void test_many(file *f) {
    enum { TENSORS = 500, STRINGS = 20000, PIECE = 4096 };
    put_start(f, TENSORS, 1);
    put_array(f, "words", NB_VALUE_STRING, STRINGS);
    for (uint32_t i = 0; i < STRINGS; i++)
        put_text(f, &"internationalization"[i % 20]);
    for (uint32_t i = 0; i < TENSORS; i++) {
        char name[] = {'t', (char)('a' + i / 26 / 26), (char)('a' + i / 26 % 26), (char)('a' + i % 26), 0};
        put_tensor(f, name, NB_TYPE_F32, 256ull * (i * 191 % TENSORS), 1, FLAT); /* 191 and 500 share no factor */
    }
    CHECK(f->size <= f->capacity, "the test's own buffer is too small");
    nb_gguf g = {0};
    nb_checkpoint c = {0};
    nb_error err = {0};
    int32_t code = NB_GGUF_MORE;
    for (size_t n = PIECE; code == NB_GGUF_MORE; n += PIECE) {
        size_t size = NB_MIN(n, f->size);
        code = nb_gguf_parse(&g, &c, f->data, size, &err);
        CHECK(size - g.at < 64, "%d of %d bytes are to be read again", (int)(size - g.at), (int)size);
    }
    CHECK(code == NB_GGUF_DONE, "many items: %s", err.message);
    CHECK(c.n_tensors == TENSORS, "%d tensors", (int)c.n_tensors);
    for (uint64_t i = 0; i < c.n_tensors && code == NB_GGUF_DONE; i++)
        CHECK(c.tensors[i].at == c.data_at + i * 256, "tensor %d is not in its place", (int)i);
    nb_checkpoint_free(&c);
}

/* ---- damage ------------------------------------------------------------------------------------------------- */

static uint32_t random_below(uint32_t *state, uint32_t n) { /* xorshift32: Marsaglia 2003 */
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % n;
}

/* Whatever was accepted holds what checkpoint.h promises. */
static void check_promises(const nb_checkpoint *c, uint64_t file_bytes) {
    uint64_t end = c->data_at;
    for (uint64_t i = 0; i < c->n_values; i++) {
        const nb_value *v = &c->values[i];
        CHECK(v->at + v->size <= c->header_size, "a value lies outside the header");
        uint64_t at = v->at;
        if (v->type == NB_VALUE_ARRAY && v->item_type == NB_VALUE_STRING) {
            for (uint64_t k = 0; k < v->count; k++)
                nb_checkpoint_next_string(c, &at);
            CHECK(at == v->at + v->size, "the strings do not fill their array");
        } else if (v->type == NB_VALUE_ARRAY) {
            CHECK(v->size == v->count * nb_value_bytes(v->item_type), "an array's size");
        }
    }
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_tensor_info *t = &c->tensors[i];
        CHECK(nb_traits_of(t->type) && t->at >= end && t->bytes > 0, "a tensor that should have been refused");
        end = t->at + t->bytes;
    }
    CHECK(end == c->total_bytes && (!file_bytes || end <= file_bytes), "the tensors' end");
}

static void test_damage(file *f) {
    size_t header = put_good(f);
    uint8_t *copy = nb_alloc(f->size);
    uint32_t state = 20240229, accepted = 0;
    for (int round = 0; round < 20000; round++) {
        memcpy(copy, f->data, f->size);
        for (uint32_t i = 0; i <= random_below(&state, 4); i++)
            copy[random_below(&state, (uint32_t)header)] ^= (uint8_t)(1u << random_below(&state, 8));
        uint64_t file_bytes = random_below(&state, 2) ? f->size : 0;
        size_t piece = random_below(&state, 8) ? f->size : 100;
        nb_checkpoint c;
        nb_error err;
        int32_t code = parse(copy, f->size, piece, file_bytes, &c, &err);
        if (code == NB_GGUF_DONE) {
            accepted++;
            check_promises(&c, file_bytes);
        } else if (code != NB_GGUF_MORE) {
            CHECK(code < 0 && err.code == code && err.message[0], "an error without words: %d", (int)code);
        }
        nb_checkpoint_free(&c);
    }
    CHECK(accepted > 1000 && accepted < 19000, "of 20000 damaged files %d were accepted", (int)accepted);
    nb_free(copy);
}

void test_gguf(void) {
    file f = file_new();
    test_good(&f);
    test_truncated(&f);
    test_start(&f);
    test_values(&f);
    test_tensors(&f);
    test_many(&f);
    test_damage(&f);
    nb_free(f.data);
}
