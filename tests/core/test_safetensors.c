/* safetensors files and folders: the 8-bit types, wrong headers, and the converter with pieces of any size and calls in
 * any order. tests/js/folder.test.js compares the numbers with oracles. */
#include "../../src/base/error.h"
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/base/writer.h"
#include "../../src/convert/safetensors.h"
#include "../../src/types/traits.h"
#include "check.h"
#include "drain.h"
#include "random.h"

#include <math.h>

/* Against torch's: tests/oracles/safetensors_models.py. */
static void test_float8(void) {
    float expected[2][256], got[256];
    uint8_t codes[256];
    if (!CHECK(test_read("tests/fixtures/safetensors/float8.bin", expected, sizeof expected) == sizeof expected,
               "float8.bin"))
        return;
    for (int i = 0; i < 256; i++)
        codes[i] = (uint8_t)i;
    for (int k = 0; k < 2; k++) {
        nb_traits_of(k ? NB_TYPE_F8_E5M2 : NB_TYPE_F8_E4M3)->dequantize(codes, got, 256);
        for (int i = 0; i < 256; i++) {
            bool nan = isnan(expected[k][i]);
            CHECK(nan ? isnan(got[i]) : nb_bits_of(got[i]) == nb_bits_of(expected[k][i]),
                  "type %d, code %d: %g, not %g", k, i, (double)got[i], (double)expected[k][i]);
        }
    }
}

static int32_t parse(const char *json, uint64_t data_bytes, nb_checkpoint *c, nb_error *err) {
    size_t n = nb_length(json);
    uint8_t *file = nb_alloc(8 + n);
    uint64_t size = n, end = 0;
    memcpy(file, &size, 8);
    memcpy(file + 8, json, n);
    *c = (nb_checkpoint){0};
    nb_composer x = {.c = c, .err = err};
    uint64_t bytes = 0;
    int32_t code = nb_safetensors_begin(file, data_bytes ? 8 + n + data_bytes : 0, &bytes, err);
    if (code == NB_OK)
        code = nb_safetensors_parse(&x, 3, (nb_text){0}, file, (size_t)bytes, data_bytes ? 8 + n + data_bytes : 0, &end,
                                    err);
    if (code == NB_OK)
        code = nb_checkpoint_sort(c, err);
    CHECK(code < 0 || end >= 8 + n, "the end, %l", end);
    nb_free(file);
    return code;
}

static void test_headers(void) {
#define TENSOR(name, dtype, shape, from, to) \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #from "," #to "]}"
    static const struct {
        const char *json;
        uint64_t data;
        int32_t code;
        const char *word;
    } bad[] = {
        {"[]", 0, NB_ERR_FORMAT, "object"},
        {"{\"a\":{}}", 0, NB_ERR_FORMAT, "tensor a has no dtype"},
        {"{\"a\":", 0, NB_ERR_TRUNCATED, "JSON"},
        {"{" TENSOR("a", "F32", "2", 0, 7) "}", 0, NB_ERR_FORMAT, "data_offsets"},
        {"{" TENSOR("a", "F32", "2", 8, 0) "}", 0, NB_ERR_FORMAT, "data_offsets"},
        {"{" TENSOR("a", "F32", "-2", 0, 8) "}", 0, NB_ERR_FORMAT, "shape"},
        {"{" TENSOR("a", "F32", "1.5", 0, 6) "}", 0, NB_ERR_FORMAT, "shape"},
        {"{" TENSOR("a", "F32", "true", 0, 4) "}", 0, NB_ERR_FORMAT, "shape"},
        {"{" TENSOR("a", "F32", "4294967296,4294967296,4294967296", 0, 4) "}", 0, NB_ERR_FORMAT, "shape"},
        {"{" TENSOR("a", "F32", "1,1,1,1,1", 0, 4) "}", 0, NB_ERR_UNSUPPORTED, "dimensions"},
        {"{" TENSOR("a", "F4", "2", 0, 1) "}", 0, NB_ERR_UNSUPPORTED, "F4"},
        {"{" TENSOR("a", "F32", "2", 0, 8) "}", 7, NB_ERR_TRUNCATED, "tensor a ends at byte"},
        {"{" TENSOR("a", "F32", "2", 0, 8) "," TENSOR("b", "F32", "2", 4, 12) "}", 0, NB_ERR_FORMAT, "a and b overlap"},
        {"{" TENSOR("a", "F32", "2", 0, 8) "," TENSOR("a", "F32", "2", 8, 16) "}", 0, NB_ERR_FORMAT,
         "a is there twice"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", 0, NB_ERR_FORMAT, "data_offsets"},
    };
    nb_checkpoint c;
    nb_error err;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int32_t code = parse(bad[i].json, bad[i].data, &c, &err);
        size_t at = 0, n = nb_length(bad[i].word);
        while (code < 0 && err.message[at] && nb_compare(err.message + at, bad[i].word, n))
            at++;
        CHECK(code == bad[i].code && err.message[at], "%s: code %d, %s", bad[i].json, code,
              code < 0 ? err.message : "");
        nb_checkpoint_free(&c);
    }
    const char *good =
        "{\"__metadata__\":{\"format\":\"pt\"}," TENSOR("b.\\u0041", "BF16", "3,5", 8,
                                                        38) "," TENSOR("s", "F16", "", 38,
                                                                       40) "," TENSOR("none", "I64", "0,4", 40,
                                                                                      40) "," TENSOR("a", "F32", "2", 0,
                                                                                                     8) "}";
    if (!CHECK(parse(good, 40, &c, &err) == NB_OK, "%s", err.message))
        return;
    CHECK(c.n_tensors == 3, "%l tensors", c.n_tensors);
    const nb_tensor_info *t = &c.tensors[1];
    CHECK(nb_text_is(nb_checkpoint_tensor_name(&c, t), "b.A") && t->type == NB_TYPE_BF16 && t->file == 3, "the second");
    CHECK(t->shape[0] == 5 && t->shape[1] == 3 && t->shape[2] == 1 && t->n_dimensions == 2 && t->bytes == 30,
          "its shape");
    CHECK(c.tensors[0].at + 8 == t->at && c.tensors[2].shape[0] == 1, "the others");
    nb_checkpoint_free(&c);
}

/* ---- the converter ---- */

static const char FOLDER[] = "tests/fixtures/safetensors/llama-sharded/";
static const char *const NAMES[] = {
    "tokenizer.json",         "model-00001-of-00004.safetensors", "model-00002-of-00004.safetensors", "config.json",
    "generation_config.json", "model-00003-of-00004.safetensors", "model-00004-of-00004.safetensors",
};
enum { FILES = sizeof NAMES / sizeof *NAMES };
static uint8_t *contents[FILES];
static size_t sizes[FILES];

static bool read_folder(void) {
    for (int i = 0; i < FILES; i++) {
        char path[128];
        nb_writer w = nb_writer_over(path, sizeof path);
        nb_write(&w, "%s%s", FOLDER, NAMES[i]);
        static const char ends[] = "{\"eos_token_id\":[7,9]}";
        sizes[i] = NAMES[i][0] == 'g' ? nb_length(ends) : test_read(path, NULL, 0);
        if (!CHECK(sizes[i], "%s is absent", path))
            return false;
        contents[i] = nb_alloc(sizes[i]);
        if (NAMES[i][0] == 'g')
            memcpy(contents[i], ends, sizes[i]);
        else
            test_read(path, contents[i], sizes[i]);
    }
    return true;
}

/* Gives bytes [from, size) until no more are needed, or they end. */
static int32_t give(nb_converter *x, nb_loader *l, const uint8_t *bytes, size_t from, size_t size, size_t piece,
                    uint32_t *seed, nb_error *err) {
    while (from < size) {
        size_t capacity, n = piece ? piece : 1 + test_random(seed) % 9000;
        uint8_t *space = nb_converter_space(x, &capacity);
        if (!capacity)
            break;
        n = NB_MIN(NB_MIN(n, capacity), size - from);
        memcpy(space, bytes + from, n);
        from += n;
        NB_TRY(nb_converter_commit(x, n, err));
        NB_TRY(test_drain(x, l, err));
    }
    return NB_OK;
}

typedef struct damage { /* to a file of the folder */
    int32_t file;
    bool absent;        /* the file is missing */
    size_t size;        /* > 0: the file is cut off here */
    int32_t wrong_byte; /* > 0: this byte becomes '!' */
} damage;

static nb_model *load(uint32_t flags, damage d, size_t piece, nb_error *err) {
    uint32_t seed = 7;
    nb_converter *x = nb_converter_new(flags & NB_LOAD_HEADER ? NB_CONVERT_HEADER : NB_CONVERT_ALL, err);
    nb_loader *l = nb_loader_new(0, flags, err);
    int32_t code = NB_OK, weights[FILES + 1], n = 0;
    for (int i = 0; i < FILES && code >= 0; i++) {
        bool damaged = i == d.file;
        if (damaged && d.absent)
            continue;
        if (NAMES[i][0] == 'm')
            weights[++n] = i;
        uint8_t kept = contents[i][d.wrong_byte];
        if (damaged && d.wrong_byte)
            contents[i][d.wrong_byte] = '!';
        code = nb_converter_begin(x, NAMES[i], nb_length(NAMES[i]), damaged && d.size ? 0 : (double)sizes[i], err);
        if (code >= 0)
            code = give(x, l, contents[i], 0, damaged && d.size ? d.size : sizes[i], piece, &seed, err);
        if (code >= 0)
            code = nb_converter_end(x, err);
        contents[i][d.wrong_byte] = kept;
    }
    double offset;
    while (code >= 0 && (code = nb_converter_next(x, &offset, err)) >= 0) {
        int32_t i = weights[code], of = code;
        code = test_drain(x, l, err);
        if (code < 0 || of == 0)
            break;
        code = give(x, l, contents[i], (size_t)offset, i == d.file && d.size ? d.size : sizes[i], piece, &seed, err);
    }
    nb_model *m = code >= 0 ? nb_loader_finish(l, err) : NULL;
    nb_loader_free(l);
    nb_converter_free(x);
    return m;
}

/* The logits of the last token. */
static void evaluate(const nb_model *m, float *out) {
    int32_t tokens[20], rows;
    for (int i = 0; i < 20; i++)
        tokens[i] = 5 + 11 * i;
    nb_error err;
    nb_pool *pool = test_pool_new(1);
    nb_session *s = nb_session_new(m, pool, 64, 0, NB_TYPE_F32, NB_PRECISION_EXACT, 1, &err);
    CHECK(s && nb_session_advance(s, tokens, 20, NB_LOGITS_LAST, &err) == 20, "%s", err.message);
    memcpy(out, nb_session_logits(s, &rows), (size_t)nb_model_vocabulary(m) * sizeof(float));
    nb_session_free(s);
    test_pool_free(pool);
}

static bool has_word(const char *message, const char *word) {
    size_t n = nb_length(word);
    while (*message && nb_compare(message, word, NB_MIN(n, nb_length(message))))
        message++;
    return nb_length(message) >= n;
}

static void test_pieces(void) {
    nb_error err;
    float expected[300], got[300];
    nb_model *m = load(NB_LOAD_ALL, (damage){.file = -1}, 1 << 20, &err);
    if (!CHECK(m, "%s", err.message))
        return;
    CHECK(nb_model_vocabulary(m) == 263 && nb_model_context(m) == 128, "its sizes");
    CHECK(nb_model_is_end(m, 7) && nb_model_is_end(m, 9) && nb_model_is_end(m, 1) && !nb_model_is_end(m, 8),
          "its ends");
    evaluate(m, expected);
    nb_model_free(m);
    static const size_t pieces[] = {0, 1, 777};
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        m = load(NB_LOAD_ALL, (damage){.file = -1}, pieces[i], &err);
        if (!CHECK(m, "%s", err.message))
            continue;
        evaluate(m, got);
        CHECK(nb_compare(expected, got, 263 * sizeof(float)) == 0, "pieces of %z bytes change the logits", pieces[i]);
        nb_model_free(m);
    }
    m = load(NB_LOAD_HEADER, (damage){.file = -1}, 0, &err);
    CHECK(m && nb_model_vocabulary(m) == 263, "headers alone");
    nb_model_free(m);
}

static void test_damage(void) {
    static const struct {
        damage d;
        int32_t code;
        const char *word;
    } cases[] = {
        {{.file = 3, .absent = true}, NB_ERR_FORMAT, "config.json is missing"},
        {{.file = 2, .absent = true}, NB_ERR_FORMAT, "is missing"},
        {{.file = 0, .size = 1000}, NB_ERR_TRUNCATED, "tokenizer.json"},
        {{.file = 3, .size = 100}, NB_ERR_TRUNCATED, "config.json"},
        {{.file = 3, .wrong_byte = 1}, NB_ERR_FORMAT, "config.json"},
        {{.file = 1, .size = 5}, NB_ERR_TRUNCATED, "model-00001-of-00004.safetensors: the file is empty or ends"},
        {{.file = 1, .size = 100}, NB_ERR_TRUNCATED, "model-00001-of-00004.safetensors: the file is empty or ends"},
        {{.file = 6, .size = 9000}, NB_ERR_TRUNCATED, "the file ends after 9000 bytes"},
        {{.file = 5, .wrong_byte = 8}, NB_ERR_FORMAT, "model-00003-of-00004.safetensors: the header"},
        {{.file = 5, .wrong_byte = 5}, NB_ERR_FORMAT, "model-00003-of-00004.safetensors: this is neither"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        nb_error err = {0};
        nb_model *m = load(NB_LOAD_ALL, cases[i].d, 0, &err);
        CHECK(!m && err.code == cases[i].code && has_word(err.message, cases[i].word), "case %z: %d, %s", i, err.code,
              err.message);
        nb_model_free(m);
    }
}

static void test_calls(void) {
    nb_error err;
    double offset;
    size_t capacity;
    const uint8_t *bytes;
    nb_converter *x = nb_converter_new(NB_CONVERT_ALL, &err);
    CHECK(nb_converter_end(x, &err) == NB_ERR_STATE, "an end without a beginning");
    CHECK(nb_converter_begin(x, "a", 1, -1, &err) == NB_ERR_ARGUMENT, "a file of -1 bytes");
    CHECK(nb_converter_begin(x, "config.json", 11, 0, &err) == NB_OK, "%s", err.message);
    CHECK(nb_converter_begin(x, "config.json", 11, 0, &err) == NB_ERR_STATE, "two at once");
    CHECK(nb_converter_next(x, &offset, &err) == NB_ERR_STATE, "weights, and a file has not ended");
    CHECK(nb_converter_take(x, &bytes, &err) == 0, "bytes of nothing");
    CHECK(nb_converter_end(x, &err) == NB_OK, "%s", err.message);
    nb_converter_space(x, &capacity);
    CHECK(capacity == 0, "room for %z bytes of no file", capacity);
    CHECK(nb_converter_commit(x, 1, &err) == NB_ERR_STATE, "bytes of no file");
    CHECK(nb_converter_begin(x, "config.json", 11, 0, &err) == NB_ERR_ARGUMENT, "twice the same");
    nb_converter_free(x);
    x = nb_converter_new(NB_CONVERT_ALL, &err);
    CHECK(nb_converter_next(x, &offset, &err) == NB_ERR_FORMAT, "no weights");
    CHECK(nb_converter_next(x, &offset, &err) == NB_ERR_STATE, "after a failure");
    nb_converter_free(x);
}

void test_safetensors(void) {
    test_float8();
    test_headers();
    if (read_folder()) {
        test_pieces();
        test_damage();
        test_calls();
    }
    for (int i = 0; i < FILES; i++) {
        nb_free(contents[i]);
        contents[i] = NULL;
    }
}
