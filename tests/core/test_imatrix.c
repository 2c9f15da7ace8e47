/* Importance matrices are read in both formats. Files that are cut off, damaged or of another kind are refused. */
#include "../../src/base/numbers.h"
#include "../../src/quant/imatrix.h"
#include "check.h"

#include <math.h>

static const char *const names[] = {"tiny", "mixtral", "gpt2"};

static uint8_t *file;
static size_t file_size;

static void open_file(const char *name, const char *ending) {
    char path[64] = "tests/fixtures/imatrix/";
    size_t at = nb_length(path);
    memcpy(path + at, name, nb_length(name));
    memcpy(path + at + nb_length(name), ending, nb_length(ending) + 1);
    nb_free(file);
    file = test_read_all(path, &file_size);
}

static void check_same(const nb_imatrix *a, const nb_imatrix *b, const char *name) {
    CHECK(a->n_entries == b->n_entries && a->chunks == b->chunks && nb_text_is(a->data_set, "text.txt") &&
              nb_text_is(b->data_set, "text.txt"),
          "%s: %u and %u entries, %u and %u chunks", name, a->n_entries, b->n_entries, a->chunks, b->chunks);
    for (uint32_t i = 0; i < a->n_entries; i++) {
        const nb_imatrix_entry *x = &a->entries[i], *y = &b->entries[i];
        CHECK(nb_text_equal(x->name, y->name) && x->n == y->n, "%s: entry %u is %t", name, i, x->name);
        for (uint64_t k = 0; k < x->n; k++)
            CHECK(fabsf(x->importance[k] - y->importance[k]) <= 1e-6f * x->importance[k], "%s, %t: number %l is %g, %g",
                  name, x->name, k, (double)x->importance[k], (double)y->importance[k]);
    }
}

static void check_files(void) {
    nb_error err = {0};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        open_file(names[i], ".gguf");
        nb_imatrix *a, *b;
        nb_imatrix_read(file, file_size, &a, &err);
        open_file(names[i], ".dat");
        nb_imatrix_read(file, file_size, &b, &err);
        if (CHECK(a && b, "%s: %s", names[i], err.message))
            check_same(a, b, names[i]);
        nb_imatrix_free(a);
        nb_imatrix_free(b);
    }
}

/* numpy reads from tests/fixtures/imatrix/mixtral.gguf the sums 162.46631, 285.12592 and 200.09344 of 192 tokens. */
static void check_find(void) {
    nb_error err = {0};
    open_file("mixtral", ".gguf");
    nb_imatrix *m;
    const float *importance = NULL;
    if (!CHECK(nb_imatrix_read(file, file_size, &m, &err) == NB_OK, "%s", err.message))
        return;
    CHECK(m->chunks == 6, "%u chunks", m->chunks);
    CHECK(nb_imatrix_find(m, nb_text_of("blk.0.attn_k.weight"), 32, 1, &importance, &err) == 1, "%s", err.message);
    static const float sums[] = {162.46631f, 285.12592f, 200.09344f};
    for (uint32_t i = 0; importance && i < 3; i++)
        CHECK(fabsf(importance[i] * 192 / sums[i] - 1) < 1e-6f, "column %u: %g", i, (double)importance[i]);
    CHECK(nb_imatrix_find(m, nb_text_of("blk.1.ffn_down_exps.weight"), 48, 5, &importance, &err) == 1, "%s",
          err.message);
    CHECK(nb_imatrix_find(m, nb_text_of("blk.1.ffn_down_exps.weight"), 48, 4, &importance, &err) == NB_ERR_ARGUMENT &&
              test_contains(err.message, "another model"),
          "%s", err.message);
    CHECK(nb_imatrix_find(m, nb_text_of("output.weight"), 32, 1, &importance, &err) == 0, "it is not there");
    nb_imatrix_free(m);
}

/* A file with `size` other bytes at `at` is refused with these words. */
static void check_harm(const char *name, const char *ending, size_t at, const void *bytes, size_t size,
                       const char *words) {
    nb_error err = {0};
    open_file(name, ending);
    memcpy(file + at, bytes, size);
    nb_imatrix *m;
    int32_t code = nb_imatrix_read(file, file_size, &m, &err);
    CHECK(!m && code < 0 && err.code == code && test_contains(err.message, words), "%s%s at %z: \"%s\" without \"%s\"",
          name, ending, at, err.message, words);
    nb_imatrix_free(m);
}

/* Where this text, which must occur, begins in the file. */
static size_t place_of(const char *name, const char *ending, const char *text) {
    open_file(name, ending);
    size_t n = nb_length(text), at = 0;
    while (at + n < file_size && nb_compare(file + at, text, n) != 0)
        at++;
    return at;
}

static void check_harms(void) {
    static const float not_a_number = NAN, infinite = INFINITY, negative = -1;
    static const uint32_t huge = 0x7fffffff, none = 0, all = 0xffffffff;
    size_t first = 4, name = nb_length("blk.0.attn_k.weight"), calls = first + 4 + name, numbers = calls + 8;
    check_harm("tiny", ".dat", 0, &huge, 4, "is not an importance matrix");
    check_harm("tiny", ".dat", 0, &none, 4, "is not an importance matrix");
    check_harm("tiny", ".dat", first, &huge, 4, "ends at byte");
    check_harm("tiny", ".dat", first, &none, 4, "the name of entry 0 has 0 bytes");
    check_harm("tiny", ".dat", calls, &all, 4, "of -1 calls");
    check_harm("tiny", ".dat", calls + 4, &none, 4, "0 numbers");
    check_harm("tiny", ".dat", calls + 4, &huge, 4, "ends at byte");
    check_harm("tiny", ".dat", numbers + 8, &not_a_number, 4, "number 2 of blk.0.attn_k.weight");
    check_harm("tiny", ".dat", numbers, &infinite, 4, "number 0 of blk.0.attn_k.weight");
    check_harm("tiny", ".dat", numbers, &negative, 4, "number 0 of blk.0.attn_k.weight is -1");
    check_harm("tiny", ".dat", place_of("tiny", ".dat", "blk.0.attn_q"), "blk.0.attn_k", 12, "twice");
    check_harm("tiny", ".gguf", place_of("tiny", ".gguf", "imatrix\x10"), "imatroid", 7, "general.type");
    check_harm("tiny", ".gguf", place_of("tiny", ".gguf", "blk.0.attn_q.weight.counts"), "blk.0.attn_z", 12,
               "for 0 sums");
    check_harm("tiny", ".gguf", place_of("tiny", ".gguf", ".weight.counts"), ".weight.county", 14, "counts of 13");
    nb_error err = {0};
    open_file("tiny", ".gguf"); /* its last tensor is a count */
    size_t last = file_size - 4;
    while (last && *(const uint32_t *)(const void *)(file + last) == 0)
        last -= 4;
    check_harm("tiny", ".gguf", last, &negative, 4, "is -1");
    check_harm("tiny", ".gguf", last, &not_a_number, 4, "count 0 of");
    uint8_t *model = test_read_all("tests/fixtures/models/gpt2.gguf", &file_size);
    nb_imatrix *m;
    CHECK(nb_imatrix_read(model, file_size, &m, &err) == NB_ERR_FORMAT && test_contains(err.message, "general.type"),
          "%s", err.message);
    nb_free(model);
}

/* A file cut off at any length is refused. may_be_read: lengths that may be read, as a legacy file may end after its
 * entries, and a GGUF has padding. */
static void check_lengths(const char *ending, uint32_t may_be_read) {
    open_file("gpt2", ending);
    uint8_t *whole = file;
    file = NULL;
    uint32_t read = 0;
    for (size_t size = 0; size < file_size; size++) {
        nb_error err = {0};
        uint8_t *part = nb_alloc(size + 1);
        memcpy(part, whole, size);
        nb_imatrix *m, *unasked;
        int32_t code = nb_imatrix_read(part, size, &m, &err);
        CHECK(code == NB_OK ? m != NULL : !m && err.code == code && err.message[0], "%z bytes of %s", size, ending);
        CHECK(nb_imatrix_read(part, size, &unasked, NULL) == code, "%z bytes of %s, unasked", size, ending);
        read += m != NULL;
        nb_imatrix_free(m);
        nb_imatrix_free(unasked);
        nb_free(part);
    }
    CHECK(read <= may_be_read, "%u of the cut files were read", read);
    nb_free(whole);
}

void test_imatrix(void) {
    check_files();
    check_find();
    check_harms();
    check_lengths(".dat", 2);
    check_lengths(".gguf", 28);
    nb_free(file);
    file = NULL;
}
