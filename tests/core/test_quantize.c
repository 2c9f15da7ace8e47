/* Every encoder against the bytes of libgguf and bitsandbytes (tests/oracles/quantize_vectors.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/quant/quantize.h"
#include "../../src/types/traits.h"

static const char VECTORS[] = "tests/fixtures/formats/quantize.bin";

enum { COLUMNS = 256, INT8 = 256 }; /* INT8: added to the type of its blocks */

static uint32_t hash_of(const void *data, size_t n) { /* FNV-1a */
    const uint8_t *bytes = data;
    uint32_t hash = 0x811c9dc5;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 0x01000193;
    return hash;
}

/* Rows to be quantized, and the expected blocks. */
typedef struct vectors {
    const float *rows, *importance; /* importance [matrices][columns]: row i uses matrix i modulo their number */
    uint32_t n_rows, columns, matrices;
    bool shows_last; /* the file has the bytes of the last rows; else of the first */
} vectors;

static void check_row(const char *name, uint32_t row, const uint8_t *got, const uint8_t *want, uint32_t n) {
    for (uint32_t i = 0; i < n; i++)
        CHECK(got[i] == want[i], "%s: row %u, byte %u is %u, not %u", name, row, i, got[i], want[i]);
}

static nb_neighbours *neighbours[NB_TYPE_LIMIT]; /* of the types that were used */

static nb_quantize *quantizer_of(uint32_t type) {
    nb_quantize *plain = nb_quantizer_of(type), *grid = nb_grid_quantizer_of(type);
    CHECK(!plain || !grid, "type %u is in both lists", type);
    CHECK((grid != NULL) == (nb_neighbours_bytes(type) > 0), "type %u: neighbours", type);
    return plain ? plain : grid;
}

static nb_encoding encoding_of(uint32_t type, const float *importance) {
    size_t bytes = nb_neighbours_bytes(type);
    if (bytes && !neighbours[type]) {
        neighbours[type] = nb_alloc(bytes);
        nb_neighbours_fill(neighbours[type], type);
    }
    return (nb_encoding){.importance = importance, .neighbours = neighbours[type]};
}

/* A row. For types with a grid it is zeros if its squares overflow, as llama.cpp fails then. */
static const float *row_for(uint32_t type, const float *row, uint32_t n) {
    static const float zeros[2 * COLUMNS];
    bool is_large = false;
    for (uint32_t i = 0; i < n; i++)
        is_large |= __builtin_fabsf(row[i]) > 1e9f;
    return is_large && nb_neighbours_bytes(type) ? zeros : row;
}

/* Tests one type's blocks. False at the end of the vectors, or if they are damaged. */
static bool test_type(nb_cursor *in, const vectors *v) {
    uint32_t kind = nb_cursor_u32(in), row_bytes = nb_cursor_u32(in), shown = nb_cursor_u32(in);
    const uint8_t *expected = nb_cursor_bytes(in, NB_ROUND_UP((uint64_t)shown * row_bytes, 4u));
    uint32_t hash = nb_cursor_u32(in), first = v->shows_last ? v->n_rows - shown : 0;
    const nb_traits *traits = nb_traits_of(kind % INT8);
    if (!CHECK(!in->is_short && traits, "%s, type %u", VECTORS, kind))
        return false;
    nb_quantize *quantize = kind < INT8 ? quantizer_of(kind) : nb_quantize_int8;
    const char *name = kind < INT8 ? traits->name : "int8";
    if (!CHECK(quantize && v->columns / traits->block_weights * traits->block_bytes == row_bytes, "%s", name))
        return false;
    uint8_t *out = nb_alloc((size_t)v->n_rows * row_bytes);
    for (uint32_t row = 0; row < v->n_rows; row++) {
        const float *importance = v->matrices ? v->importance + row % v->matrices * (size_t)v->columns : NULL;
        const float *weights = row_for(kind % INT8, v->rows + (size_t)row * v->columns, v->columns);
        nb_encoding how = encoding_of(kind % INT8, importance);
        uint8_t *blocks = nb_alloc(row_bytes); /* no more, so that a sanitizer sees a write past it */
        memset(blocks, 0xa5, row_bytes);
        quantize(&how, weights, blocks, v->columns);
        memcpy(out + (size_t)row * row_bytes, blocks, row_bytes);
        if (row >= first && row < first + shown)
            check_row(name, row, blocks, expected + (row - first) * row_bytes, row_bytes);
        nb_free(blocks);
    }
    CHECK(hash_of(out, (size_t)v->n_rows * row_bytes) == hash, "%s: the hash of %u rows, %u matrices", name, v->n_rows,
          v->matrices);
    if (kind == NB_TYPE_NF4 || kind == NB_TYPE_FP4) {
        float *weights = nb_alloc((size_t)v->n_rows * v->columns * 4);
        traits->dequantize(out, weights, (size_t)v->n_rows * v->columns);
        for (size_t i = 0; i < (size_t)v->n_rows * v->columns; i++)
            weights[i] += 0.0f; /* the sign of FP4's zero depends on the processor */
        CHECK(hash_of(weights, (size_t)v->n_rows * v->columns * 4) == nb_cursor_u32(in), "%s: what it stands for",
              name);
        nb_free(weights);
    }
    nb_free(out);
    return true;
}

/* The same rows, two of them as one, with importance matrices. */
static void test_importance(nb_cursor *in, const float *rows, uint32_t n_rows) {
    uint32_t matrices = nb_cursor_u32(in), types = nb_cursor_u32(in), columns = 2 * COLUMNS;
    const float *importance = (const float *)nb_cursor_bytes(in, (uint64_t)matrices * columns * 4);
    vectors v = {rows, importance, n_rows / 2, columns, matrices, true};
    if (CHECK(!in->is_short && types > 0, "%s: %u types with importance", VECTORS, types))
        for (uint32_t i = 0; i < types && test_type(in, &v); i++)
            ;
}

/* NaN and infinities, as weights or as importances, do no harm: the sanitizers watch. */
static void test_not_finite(void) {
    static const uint32_t bits[] = {0x7f800000, 0xff800000, 0x7fc00000, 0xffc12345, 0x7f7fffff, 0x3f800000, 0};
    float row[COLUMNS], plain[COLUMNS];
    for (uint32_t i = 0; i < COLUMNS; i++)
        plain[i] = (float)(i % 17) - 8;
    for (uint32_t step = 1; step < COLUMNS; step *= 4) {
        for (uint32_t i = 0; i < COLUMNS; i++)
            row[i] = i % step ? (float)i : nb_float_of(bits[i / step % 7]);
        for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++) {
            _Alignas(4) uint8_t blocks[COLUMNS * 4];
            nb_quantize *quantize = quantizer_of(type);
            if (!quantize)
                continue;
            nb_encoding without = encoding_of(type, NULL), with = encoding_of(type, row);
            quantize(&without, row, blocks, COLUMNS);
            quantize(&with, row, blocks, COLUMNS);
            quantize(&with, plain, blocks, COLUMNS);
            without.best = with.best = true;
            quantize(&without, row, blocks, COLUMNS);
            quantize(&with, row, blocks, COLUMNS);
            quantize(&with, plain, blocks, COLUMNS);
        }
        nb_block_q8_0 blocks[COLUMNS / NB_BLOCK];
        nb_quantize_int8(&(nb_encoding){0}, row, blocks, COLUMNS);
        nb_block_nf4 scales[COLUMNS];
        for (uint32_t i = 0; i < COLUMNS; i++)
            scales[i].d = row[i];
        nb_quantize_scales(scales, NULL, COLUMNS);
    }
}

/* For types that llama.cpp only encodes with importance, no importance is the same as equal ones. */
static void test_without_importance(const float *rows, uint32_t n_rows) {
    static const uint32_t types[] = {NB_TYPE_IQ2_XXS, NB_TYPE_IQ2_XS, NB_TYPE_IQ1_S};
    float ones[COLUMNS];
    for (int i = 0; i < COLUMNS; i++)
        ones[i] = 1;
    for (size_t t = 0; t < sizeof types / sizeof *types; t++)
        for (uint32_t row = 0; row < n_rows; row++) {
            _Alignas(4) uint8_t got[COLUMNS], want[COLUMNS];
            uint32_t bytes = nb_traits_of(types[t])->block_bytes;
            nb_encoding without = encoding_of(types[t], NULL), with = encoding_of(types[t], ones);
            nb_grid_quantizer_of(types[t])(&without, rows + (size_t)row * COLUMNS, got, COLUMNS);
            nb_grid_quantizer_of(types[t])(&with, rows + (size_t)row * COLUMNS, want, COLUMNS);
            CHECK(hash_of(got, bytes) == hash_of(want, bytes), "type %u, row %u", types[t], row);
        }
}

static void test_importance_check(void) {
    static const struct {
        uint32_t bits;
        const char *words;
    } cases[] = {{0x7fc00000, "column 2 is nan"}, {0x7f800000, "column 2 is inf"}, {0xbf800000, "column 2 is -1"}};
    float importance[4] = {1, 0, 0, 2};
    nb_error err;
    CHECK(nb_importance_check(importance, 4, &err) == NB_OK, "some are 0");
    CHECK(nb_importance_check(importance + 1, 2, &err) == NB_ERR_FORMAT &&
              test_contains(err.message, "all 2 columns is 0"),
          "%s", err.message);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        importance[2] = nb_float_of(cases[i].bits);
        int32_t code = nb_importance_check(importance, 4, &err);
        CHECK(code == NB_ERR_FORMAT && test_contains(err.message, cases[i].words), "%s", err.message);
    }
}

static void test_scales(nb_cursor *in) {
    uint32_t n = nb_cursor_u32(in);
    const uint8_t *absmax = nb_cursor_bytes(in, (uint64_t)n * 4), *codes = nb_cursor_bytes(in, n);
    const uint8_t *twice = nb_cursor_bytes(in, (uint64_t)n * 4);
    if (!CHECK(!in->is_short && n > 512, "%s: %u scales", VECTORS, n))
        return;
    nb_block_nf4 *blocks = nb_alloc(n * sizeof *blocks);
    uint8_t *out = nb_alloc(n);
    for (uint32_t i = 0; i < n; i++)
        memcpy(&blocks[i].d, absmax + 4 * i, 4);
    nb_quantize_scales(blocks, out, n);
    for (uint32_t i = 0; i < n; i++) {
        float want;
        memcpy(&want, twice + 4 * i, 4);
        CHECK(out[i] == codes[i] && nb_bits_of(blocks[i].d) == nb_bits_of(want), "scale %u: %u, %g; not %u, %g", i,
              out[i], (double)blocks[i].d, codes[i], (double)want);
    }
    for (uint32_t i = 0; i < n; i++)
        blocks[i].d = 0.75f;
    nb_quantize_scales(blocks, NULL, n);
    CHECK(blocks[0].d == 0.75f && blocks[n - 1].d == 0.75f, "scales that are all one number stay");
    nb_free(out);
    nb_free(blocks);
}

void test_quantize(void) {
    test_not_finite();
    CHECK(!quantizer_of(NB_TYPE_Q8_1) && !quantizer_of(UINT32_MAX), "a type that is not written");
    size_t size;
    uint8_t *data = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(data, size, 0);
    uint32_t n_rows = nb_cursor_u32(&in), types = nb_cursor_u32(&in);
    const float *rows = (const float *)nb_cursor_bytes(&in, (uint64_t)n_rows * COLUMNS * 4);
    vectors v = {.rows = rows, .n_rows = n_rows, .columns = COLUMNS};
    if (CHECK(!in.is_short && n_rows > 0, "%s is cut off", VECTORS))
        for (uint32_t i = 0; i < types && test_type(&in, &v); i++)
            ;
    test_scales(&in);
    test_importance(&in, rows, n_rows);
    test_without_importance(rows, n_rows);
    test_importance_check();
    CHECK(in.at == in.size, "%s goes on", VECTORS);
    nb_free(data);
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        nb_free(neighbours[type]);
}
