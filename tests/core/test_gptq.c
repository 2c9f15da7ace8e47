/* GPTQ against GPTQModel with the same weights and Hessians (tests/oracles/gptq_vectors.py). */
#include "check.h"
#include "gptq_inputs.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/types/types.h"

static const char VECTORS[] = "tests/fixtures/formats/gptq.bin";

/* ---- the oracle ------------------------------------------------------------------------------------------------- */

typedef struct oracle_case {
    uint32_t bits, group, symmetric, order, dead;
    float search;
    double error, plain_error; /* of GPTQModel with the script's changes, and without them */
    uint32_t groups;
    const uint8_t *codes, *scales, *zeros, *columns;
} oracle_case;

static bool read_case(nb_cursor *in, oracle_case *c) {
    *c = (oracle_case){nb_cursor_u32(in),
                       nb_cursor_u32(in),
                       nb_cursor_u32(in),
                       nb_cursor_u32(in),
                       nb_cursor_u32(in),
                       0,
                       0,
                       0,
                       0,
                       NULL,
                       NULL,
                       NULL,
                       NULL};
    const uint8_t *numbers = nb_cursor_bytes(in, 20);
    if (numbers) {
        memcpy(&c->search, numbers, 4);
        memcpy(&c->error, numbers + 4, 8);
        memcpy(&c->plain_error, numbers + 12, 8);
    }
    c->groups = c->group ? TEST_COLUMNS / c->group : 1;
    c->codes = nb_cursor_bytes(in, TEST_ROWS * TEST_COLUMNS);
    c->scales = nb_cursor_bytes(in, (uint64_t)TEST_ROWS * c->groups * 2);
    c->zeros = nb_cursor_bytes(in, (uint64_t)TEST_ROWS * c->groups);
    c->columns = nb_cursor_bytes(in, TEST_COLUMNS * 4);
    return CHECK(!in->is_short, "%s is cut off", VECTORS);
}

/* Clears the columns whose inputs were always 0. GPTQModel makes zeros of them, and nibble rounds them. */
static void clear_dead(float *w, uint32_t dead) {
    for (uint32_t i = 0; dead && i < TEST_ROWS * TEST_COLUMNS; i++)
        if (i % TEST_COLUMNS % dead == dead - 1)
            w[i] = 0;
}

/* The output error divided by that of unchanged GPTQModel; 0 if that is 0. */
static double check_case(const oracle_case *c, nb_quantizer *q, float *w) {
    static uint8_t codes[TEST_ROWS * TEST_COLUMNS], zeros[TEST_ROWS * TEST_COLUMNS / 32];
    static uint16_t scales[TEST_ROWS * TEST_COLUMNS / 32];
    static float values[TEST_ROWS * TEST_COLUMNS];
    static int32_t columns[TEST_COLUMNS];
    nb_error err;
    nb_code_format format = {NB_FORMAT_GPTQ_V2, c->bits, c->group, c->symmetric, c->search, 0};
    nb_gptq_settings settings = {0.05f, c->order, c->order == NB_ORDER_GROUP_AWARE ? c->group : 0};
    clear_dead(w, c->dead);
    if (!test_factor(q, &settings))
        return 0;
    int32_t code = nb_quantizer_codes(q, &format, 0, NB_TYPE_F32, w, 0, TEST_ROWS, codes, scales, zeros, values, &err);
    if (!CHECK(code == NB_OK, "%s", err.message))
        return 0;
    uint32_t other_codes = 0, other_scales = 0, other_columns = 0;
    for (uint32_t i = 0; i < TEST_ROWS * TEST_COLUMNS; i++)
        other_codes += codes[i] != c->codes[i];
    for (uint32_t i = 0; i < TEST_ROWS * c->groups; i++) {
        uint16_t scale;
        memcpy(&scale, c->scales + 2 * (size_t)i, 2);
        other_scales += scale != scales[i] || zeros[i] != c->zeros[i];
    }
    CHECK(nb_quantizer_groups(q, &format, columns, &err) == (c->order == NB_ORDER_ACTIVATION && c->group), "stored");
    for (uint32_t i = 0; i < TEST_COLUMNS; i++) {
        int32_t column;
        memcpy(&column, c->columns + 4 * (size_t)i, 4);
        other_columns += column != columns[i];
    }
    double error = nb_quantizer_error(q, NB_TYPE_F32, w, NB_TYPE_F32, values, TEST_ROWS, &err);
    CHECK(other_codes <= TEST_ROWS * TEST_COLUMNS / 100 && other_scales <= TEST_ROWS * c->groups / 50 &&
              other_columns == 0,
          "%u bits, group %u, order %u: %u codes, %u scales, %u columns differ", c->bits, c->group, c->order,
          other_codes, other_scales, other_columns);
    CHECK(error <= 1.005 * c->error, "%u bits, group %u, order %u: the error is %g, not %g", c->bits, c->group,
          c->order, error, c->error);
    return error / c->plain_error;
}

static void check_packing(nb_cursor *in) {
    uint32_t layout = nb_cursor_u32(in), bits = nb_cursor_u32(in), group = nb_cursor_u32(in);
    uint32_t rows = nb_cursor_u32(in), columns = nb_cursor_u32(in), groups = columns / NB_MAX(group, 1u);
    nb_code_format format = {layout, bits, group, 0, 0, 0};
    uint8_t *codes = nb_alloc((size_t)rows * columns), *zeros = nb_alloc((size_t)rows * groups);
    uint16_t *scales = nb_alloc((size_t)rows * groups * 2);
    for (uint32_t i = 0; i < rows * columns; i++)
        codes[i] = (uint8_t)(i * 7 % (1u << bits));
    for (uint32_t i = 0; i < rows * groups; i++) {
        zeros[i] = (uint8_t)(1 + (i / groups + i % groups) % ((1u << bits) - 1));
        scales[i] = nb_f32_to_f16(0x1p-4f * (1 + (float)(i % groups) / 16));
    }
    const void *parts[] = {codes, zeros, scales};
    for (uint32_t part = NB_PART_CODES; part <= NB_PART_SCALES; part++) {
        nb_error err;
        size_t bytes = (size_t)nb_quantizer_part_bytes(&format, part, rows, columns), wrong = 0;
        const uint8_t *want = nb_cursor_bytes(in, bytes);
        uint8_t *out = nb_alloc(bytes);
        int32_t code = nb_quantizer_pack(&format, part, parts[part], rows, columns, out, &err);
        for (size_t i = 0; want && i < bytes; i++)
            wrong += out[i] != want[i];
        CHECK(code == NB_OK && want && wrong == 0, "format %u, %u bits, part %u: %z of %z bytes differ", layout, bits,
              part, wrong, bytes);
        nb_free(out);
    }
    nb_free(codes);
    nb_free(zeros);
    nb_free(scales);
}

static void test_oracle(void) {
    size_t size;
    uint8_t *data = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(data, size, 0);
    nb_error err;
    nb_quantizer *q = nb_quantizer_new(NULL, TEST_COLUMNS, &err);
    float *w = nb_alloc(sizeof *w * TEST_ROWS * TEST_COLUMNS);
    double sum = 0;
    uint32_t cases = nb_cursor_u32(&in);
    CHECK(cases > 8, "%u cases", cases);
    for (uint32_t i = 0; i < cases; i++) {
        oracle_case c;
        uint32_t seed = TEST_SEED;
        if (!read_case(&in, &c))
            break;
        test_fill_weights(&seed, w);
        test_fill_hessian(&seed, c.dead, nb_quantizer_hessian(q));
        sum += check_case(&c, q, w);
    }
    /* the error of one matrix varies by some percent by chance, so the mean of many is compared */
    CHECK(sum > 0 && sum <= 1.005 * cases, "the errors are %g times GPTQModel's in the mean", sum / cases);
    for (uint32_t n = nb_cursor_u32(&in), i = 0; i < n; i++)
        check_packing(&in);
    CHECK(!in.is_short && in.at == in.size, "%s goes on", VECTORS);
    nb_quantizer_free(q);
    nb_free(w);
    nb_free(data);
}

void test_gptq(void) {
    test_oracle();
}
