/* Good GGUF files, whole and in pieces; files that are cut off; and files with damage anywhere. */
#include "../../src/types/traits.h"
#include "check.h"
#include "gguf_files.h"
#include "random.h"

static const uint64_t MATRIX[] = {64, 3}, DEEP[] = {256, 2, 1, 2};

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
    put_value(f, "u64", NB_VALUE_U64, &(uint64_t){1ULL << 40}, 8);
    put_value(f, "i64", NB_VALUE_I64, &(int64_t){-(1LL << 40)}, 8);
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
    put_tensor(f, "last", NB_TYPE_Q6_K, 384, 4, DEEP);     /* 4 blocks of 210: 840 bytes */
    put_tensor(f, "first", NB_TYPE_Q8_0, 0, 1, FLAT);      /* 2 blocks of 34: 68 bytes */
    put_tensor(f, "middle", NB_TYPE_Q4_0, 128, 2, MATRIX); /* 6 blocks of 18: 108 bytes */
    size_t header = f->size;
    put_data(f, 64, 384 + 840);
    return header;
}

/* ---- good files ------------------------------------------------------------------------------------------------ */

static void check_ranges(const nb_checkpoint *c, const char *what) {
    nb_error err = {0};
    double value = 7;
    CHECK(nb_checkpoint_read(c, "absent", (nb_limits){0, 1}, &value, &err) == 0 && value == 7, "%s: absent", what);
    CHECK(nb_checkpoint_read(c, "f32", (nb_limits){-2, 0}, &value, &err) == 1 && value == -1.5, "%s: f32", what);
    CHECK(nb_checkpoint_read(c, "f32", (nb_limits){-1, 0}, &value, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "f32 is"),
          "%s", what);
    CHECK(nb_checkpoint_read(c, "string", (nb_limits){0, 1}, &value, &err) == NB_ERR_FORMAT && value == -1.5,
          "%s: string", what);
    CHECK(nb_checkpoint_read(c, "floats", (nb_limits){0, 1}, &value, &err) == NB_ERR_FORMAT, "%s: an array", what);
    const nb_value *floats = nb_checkpoint_find(c, "floats");
    CHECK(nb_checkpoint_check_items(c, floats, (nb_limits){-2, 1}, &err) == NB_OK, "%s: floats", what);
    CHECK(nb_checkpoint_check_items(c, floats, (nb_limits){-1, 1}, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "number 1"),
          "%s", what);
    CHECK(nb_checkpoint_check_items(c, nb_checkpoint_find(c, "u8"), (nb_limits){0, 255}, &err) == NB_ERR_FORMAT, "%s",
          what);
    CHECK(nb_checkpoint_check_items(c, nb_checkpoint_find(c, "strings"), (nb_limits){0, 1}, &err) == NB_ERR_FORMAT,
          "%s", what);
}

static void check_good(const nb_checkpoint *c, size_t header, const char *what) {
    static const struct {
        const char *key;
        double number;
    } numbers[] = {
        {"u8", 200},
        {"i8", -100},
        {"u16", 60000},
        {"i16", -30000},
        {"u32", 4000000000.0},
        {"i32", -2000000000.0},
        {"f32", -1.5},
        {"bool", 1},
        {"u64", 1099511627776.0},
        {"i64", -1099511627776.0},
        {"f64", 0.1},
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
              nb_checkpoint_item(c, floats, 2) == 0.5,
          "%s: floats", what);
    CHECK(bools && bools->count == 2 && nb_checkpoint_item(c, bools, 0) == 0 && nb_checkpoint_item(c, bools, 1) == 1,
          "%s: bools", what);
    const nb_value *nothing = nb_checkpoint_find(c, "nothing"), *none = nb_checkpoint_find(c, "no.strings");
    CHECK(nothing && nothing->count == 0 && nothing->size == 0, "%s: nothing", what);
    CHECK(none && none->count == 0 && none->size == 0, "%s: no.strings", what);

    static const struct {
        const char *name;
        uint32_t type, n;
        uint64_t at, bytes;
    } tensors[] = {
        {"first", NB_TYPE_Q8_0, 1, 0, 68},
        {"middle", NB_TYPE_Q4_0, 2, 128, 108},
        {"last", NB_TYPE_Q6_K, 4, 384, 840},
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
                  t->at == c->data_at + tensors[i].at,
              "%s: tensor %d is wrong", what, (int)i);
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

/* ---- cut-off files --------------------------------------------------------------------------------------------- */

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

/* ---- many items ------------------------------------------------------------------------------------------------ */

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

/* ---- damage ---------------------------------------------------------------------------------------------------- */

/* A checkpoint that was accepted has the properties that checkpoint.h promises. */
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
        for (uint32_t i = 0; i <= test_random(&state) % 4; i++)
            copy[test_random(&state) % header] ^= (uint8_t)(1u << test_random(&state) % 8);
        uint64_t file_bytes = test_random(&state) % 2 ? f->size : 0;
        size_t piece = test_random(&state) % 8 ? f->size : 100;
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
    test_many(&f);
    test_damage(&f);
    nb_free(f.data);
}
