/* bitsandbytes' codes and scales, as its folders store them, against the library (bitsandbytes_vectors.py). */
#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/nibble_quantize.h"
#include "../../src/types/types.h"
#include "check.h"

#include <math.h>

#define VECTORS "tests/fixtures/formats/bitsandbytes.bin"

enum { MOST = 4096, MOST_ROWS = 16 };

/* Compares with the next n bytes of the file, and skips to a multiple of 4. */
static void check_next(nb_cursor *in, const void *got, size_t n, const char *what, uint32_t matrix) {
    const uint8_t *want = nb_cursor_bytes(in, NB_ROUND_UP((uint64_t)n, 4u)), *bytes = got;
    size_t i = 0;
    while (want && i < n && want[i] == bytes[i])
        i++;
    CHECK(want && i == n, "%s of matrix %u: byte %u of %u differs", what, matrix, (unsigned)i, (unsigned)n);
}

/* The offset, codes and nested absmax of n scales, and the scales that these mean. */
static void check_scales(nb_cursor *in, const float *absmax, uint32_t n, uint32_t matrix) {
    static uint8_t codes[MOST];
    static float again[MOST], nested[MOST / 256], map[256];
    float offset = 0;
    nb_error err;
    check_next(in, absmax, 4 * (size_t)n, "absmax", matrix);
    CHECK(nb_bnb_nested(absmax, n, codes, nested, &offset, &err) == 0, "%s", err.message);
    CHECK(nb_bnb_map(NB_TYPE_I8, map, &err) == 256, "%s", err.message);
    for (uint32_t i = 0; i < n; i++)
        again[i] = map[codes[i]] * nested[i / 256] + offset;
    check_next(in, &offset, 4, "offset", matrix);
    check_next(in, codes, n, "nested codes", matrix);
    check_next(in, nested, 4 * (((size_t)n + 255) / 256), "nested absmax", matrix);
    check_next(in, again, 4 * (size_t)n, "the absmax that nested codes stand for", matrix);
}

static void check_int8(nb_cursor *in, const float *w, uint32_t rows, uint32_t columns, bool fits, uint32_t matrix) {
    static int8_t codes[MOST];
    float largest[MOST_ROWS];
    nb_error err;
    /* codes of weights that were not converted to binary16, which are not used here */
    nb_cursor_bytes(in, 4ull * rows + NB_ROUND_UP((uint64_t)rows * columns, 4u));
    int32_t code = nb_bnb_rows(NB_TYPE_F32, w, 0, rows, columns, codes, largest, &err);
    if (!fits) {
        CHECK(code == NB_ERR_UNSUPPORTED && test_contains(err.message, "binary16"), "%s", err.message);
        return;
    }
    CHECK(code == 0, "%s", err.message);
    check_next(in, largest, 4 * (size_t)rows, "SCB", matrix);
    check_next(in, codes, (size_t)rows * columns, "codes of int8", matrix);
}

/* In slices, as in web/worker. */
static void check_codes(nb_cursor *in, uint32_t type, uint32_t block, const float *w, uint32_t n, float *absmax,
                        uint32_t matrix) {
    static uint8_t codes[MOST / 2 + 1];
    nb_error err;
    uint32_t slice = n > block ? NB_ROUND_UP(n / 2, block) : n;
    for (uint32_t at = 0; at < n; at += slice) {
        int32_t code = nb_bnb_blocks(type, block, NB_TYPE_F32, w + at, at, NB_MIN(slice, n - at), codes + at / 2,
                                     absmax + at / block, &err);
        CHECK(code == 0, "%s", err.message);
    }
    if (in)
        check_next(in, codes, (n + 1) / 2, type == NB_TYPE_NF4 ? "codes of NF4" : "codes of FP4", matrix);
}

static const float *check_matrix(nb_cursor *in, uint32_t matrix, uint32_t *n) {
    static float absmax[MOST];
    uint32_t rows = nb_cursor_u32(in), columns = nb_cursor_u32(in), fits = nb_cursor_u32(in);
    *n = rows * columns;
    const float *w = (const float *)nb_cursor_bytes(in, 4ull * *n);
    if (!CHECK(w && rows <= MOST_ROWS && *n <= MOST, "%s is cut off", VECTORS))
        return NULL;
    check_codes(NULL, NB_TYPE_NF4, 64, w, *n, absmax, matrix);
    check_scales(in, absmax, (*n + 63) / 64, matrix);
    check_codes(in, NB_TYPE_NF4, 64, w, *n, absmax, matrix);
    check_codes(in, NB_TYPE_FP4, 64, w, *n, absmax, matrix);
    check_int8(in, w, rows, columns, fits, matrix);
    return w;
}

static void check_blocks(nb_cursor *in, const float *const *matrices, const uint32_t *sizes) {
    static const uint32_t types[] = {NB_TYPE_NF4, NB_TYPE_FP4}, which[] = {0, 3};
    static float absmax[MOST / 32];
    for (uint32_t k = 0, sorts = nb_cursor_u32(in); k < sorts && !in->is_short; k++) {
        uint32_t block = nb_cursor_u32(in);
        if (!CHECK(block > 0, "%s", VECTORS))
            return;
        for (uint32_t i = 0; i < 4; i++) {
            uint32_t m = which[i / 2], n = sizes[m];
            check_codes(in, types[i % 2], block, matrices[m], n, absmax, m);
            check_next(in, absmax, 4 * (size_t)((n + block - 1) / block), "absmax of another block", m);
        }
    }
}

static void check_refusals(void) {
    float x[64] = {1}, most;
    uint8_t codes[64];
    nb_error err;
    CHECK(nb_bnb_blocks(NB_TYPE_Q4_0, 64, NB_TYPE_F32, x, 0, 64, codes, &most, &err) == NB_ERR_ARGUMENT, "a type");
    CHECK(nb_bnb_blocks(NB_TYPE_NF4, 48, NB_TYPE_F32, x, 0, 64, codes, &most, &err) == NB_ERR_ARGUMENT, "a block");
    CHECK(nb_bnb_blocks(NB_TYPE_NF4, 64, NB_TYPE_Q8_0, x, 0, 64, codes, &most, &err) == NB_ERR_UNSUPPORTED, "a source");
    x[7] = NAN;
    CHECK(nb_bnb_blocks(NB_TYPE_NF4, 64, NB_TYPE_F32, x, 640, 64, codes, &most, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "weight 647 is nan"),
          "%s", err.message);
    CHECK(nb_bnb_rows(NB_TYPE_F32, x, 0, 1, 64, (int8_t *)codes, &most, &err) == NB_ERR_FORMAT, "%s", err.message);
    CHECK(nb_bnb_nested(x, 64, codes, &most, &most, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_bnb_nested(x, 0, codes, &most, &most, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_bnb_map(NB_TYPE_F32, x, &err) == NB_ERR_ARGUMENT, "%s", err.message);
    CHECK(nb_bnb_map(NB_TYPE_NF4, x, &err) == 16 && x[0] == -1 && x[15] == 1, "NF4");
}

void test_bnb(void) {
    enum { MATRICES = 7 };
    const float *matrices[MATRICES] = {NULL};
    uint32_t sizes[MATRICES] = {0};
    size_t size;
    nb_error err;
    float map[256];
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    CHECK(nb_bnb_map(NB_TYPE_I8, map, &err) == 256, "%s", err.message);
    check_next(&in, map, sizeof map, "the map", 0);
    uint32_t n = nb_cursor_u32(&in);
    if (CHECK(n == MATRICES, "%s has %u matrices", VECTORS, n))
        for (uint32_t i = 0; i < n && !in.is_short; i++)
            matrices[i] = check_matrix(&in, i, &sizes[i]);
    n = nb_cursor_u32(&in);
    const float *absmax = (const float *)nb_cursor_bytes(&in, 0);
    if (CHECK(absmax && n > 512 && n <= MOST, "%s: %u scales", VECTORS, n))
        check_scales(&in, absmax, n, MATRICES);
    if (CHECK(matrices[0] && matrices[3], "%s", VECTORS))
        check_blocks(&in, matrices, sizes);
    CHECK(!in.is_short && in.at == size, "%s is cut off, or goes on", VECTORS);
    check_refusals();
    nb_free(bytes);
}
