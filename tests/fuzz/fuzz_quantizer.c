/* libFuzzer target of nb_quantizer: with any observations, weights and settings a call succeeds, or returns an error
 * with a message, and writes nothing beyond its outputs. The input is that of choices.h. */
#include "choices.h"

#include "../../src/nibble_quantize.h"
#include "../../src/quant/quantize.h"

enum { MOST_COLUMNS = 256, MOST_STEPS = 1000 };

/* Fills in the observations. Most Hessians of random bytes are refused, so others are sums of x x^T with one number
 * overwritten. */
static void observe(const input *in, nb_quantizer *q) {
    size_t n = in->columns;
    float *h = nb_quantizer_hessian(q), x[MOST_COLUMNS];
    fill(in, nb_quantizer_mean(q), n * sizeof *h);
    fill(in, nb_quantizer_largest(q), n * sizeof *h);
    for (size_t i = 0; i < n && choice(in, 2) & 128; i++)
        nb_quantizer_mean(q)[i] = nb_quantizer_largest(q)[i] = (float)(i % 7);
    if (!h)
        return;
    if (choice(in, 0) & 128) {
        fill(in, h, n * n * sizeof *h);
        return;
    }
    float scale = choice(in, 0) & 64 ? 1e17f : 1;
    for (uint32_t t = 0; t < 4; t++) {
        for (size_t i = 0; i < n; i++)
            x[i] = in->size ? scale * (float)(int8_t)in->data[(t * n + i) * 7 % in->size] : 0;
        for (size_t i = 0; i < n * n; i++)
            h[i] += x[i / n] * x[i % n];
    }
    if (choice(in, 1) & 128)
        fill(in, h + choice(in, 2) % n * (n + 1), sizeof *h);
}

static void factor(input *in, nb_quantizer *q, uint32_t order, uint32_t group) {
    nb_gptq_settings settings = {0, order, group};
    fill(in, &settings.damping, sizeof settings.damping);
    if (choice(in, 3) & 128)
        settings.damping = 0.01f;
    if (!done(in, nb_quantizer_prepare(q, &settings, &in->err)))
        return;
    int32_t left = 1, steps = 0;
    while (left > 0) {
        left = nb_quantizer_factor(q, &in->err);
        demand(++steps < MOST_STEPS);
    }
    done(in, left);
    demand(nb_quantizer_damping(q) >= 0);
}

/* Making the grids of IQ types takes too long here; fuzz_grids makes them once. */
static bool has_grid(uint32_t type) {
    return nb_neighbours_bytes(type) != 0;
}

static void quantize(input *in, nb_quantizer *q) {
    uint32_t type = choice(in, 4) % 64, source = choice(in, 5) % 64, block = nb_quantizer_block(type);
    void *weights = has_grid(type) ? NULL : rows_of(in, source);
    if (!weights)
        return;
    size_t bytes = block ? (size_t)in->columns / block * nb_quantizer_block_bytes(type) * in->rows : 0;
    void *out = fuzz_memory(bytes);
    float *floats = fuzz_memory((size_t)in->rows * in->columns * sizeof *floats);
    if (done(in, nb_quantizer_floats(q, source, weights, 0, in->rows, floats, &in->err)))
        demand_numbers(floats, (size_t)in->rows * in->columns);
    if (done(in, nb_quantizer_rows(q, type, choice(in, 6) % 4, source, weights, 0, in->rows, out, &in->err)))
        done(in, nb_quantizer_error(q, source, weights, type, out, in->rows, &in->err));
    free(floats);
    free(out);
    free(weights);
}

static void pack(input *in, const nb_code_format *format, const uint8_t *codes, const void *scales,
                 const uint8_t *zeros) {
    const void *parts[] = {codes, zeros, scales, codes};
    for (uint32_t part = 0; part < 4; part++) {
        size_t bytes = (size_t)nb_quantizer_part_bytes(format, part, in->rows, in->columns);
        void *out = fuzz_memory(bytes);
        if (bytes)
            demand(done(in, nb_quantizer_pack(format, part, parts[part], in->rows, in->columns, out, &in->err)));
        free(out);
    }
}

static void code(input *in, nb_quantizer *q) {
    nb_code_format format = {choice(in, 7) % 8, choice(in, 8) % 16, choice(in, 9) * 32, choice(in, 10) & 1, 0, 0};
    fill(in, &format.search, sizeof format.search);
    format.search = choice(in, 10) & 2 ? format.search : 2.4f;
    format.scale_type = choice(in, 10) & 4 ? NB_TYPE_F16 : NB_TYPE_F32;
    uint32_t groups = in->columns / 32;
    size_t n = (size_t)in->rows * in->columns;
    float *weights = rows_of(in, NB_TYPE_F32), *dequantized = fuzz_memory(n * sizeof *dequantized);
    uint8_t *codes = fuzz_memory(n), *zeros = fuzz_memory((size_t)in->rows * groups);
    void *scales = fuzz_memory((size_t)in->rows * groups * sizeof(float));
    int32_t *of = fuzz_memory(in->columns * sizeof *of);
    if (done(in,
             nb_quantizer_codes(q, &format, choice(in, 10) & 8 ? NB_ROWS_NEAREST : 0, NB_TYPE_F32, weights, 0, in->rows,
                                codes, scales, zeros, choice(in, 10) & 16 ? dequantized : NULL, &in->err))) {
        for (size_t i = 0; i < n; i++)
            demand(codes[i] < 1u << format.bits);
        done(in, nb_quantizer_groups(q, &format, of, &in->err));
        pack(in, &format, codes, scales, zeros);
    }
    free(of);
    free(scales);
    free(zeros);
    free(codes);
    free(dequantized);
    free(weights);
}

static void fold(input *in, nb_quantizer *q, uint32_t heads, uint32_t kv_heads, float *weights, float *scales) {
    nb_quantizer_fold_columns(q, weights, in->rows, scales);
    float *vector = fuzz_memory(in->columns * sizeof *vector), less;
    fill(in, vector, in->columns * sizeof *vector);
    fill(in, &less, sizeof less);
    done(in, nb_quantizer_fold_rows(q, vector, 0, 1, heads, kv_heads, scales, &in->err));
    if (done(in, nb_quantizer_fit_scales(choice(in, 5) % 64, less, vector, in->columns, scales, &in->err)))
        demand_scales(scales, in->columns);
    uint8_t *narrow = fuzz_memory(in->columns * sizeof(float));
    done(in, nb_quantizer_narrow(choice(in, 5) % 64, less, vector, in->columns, narrow, &in->err));
    free(narrow);
    free(vector);
}

static void scale(input *in, nb_quantizer *q) {
    nb_awq_settings settings = {.type = choice(in, 4) % 64,
                                .flags = choice(in, 6) % 4,
                                .bits = choice(in, 8) & 16 ? choice(in, 8) % 16 : 0,
                                .group = choice(in, 9) * 32,
                                .symmetric = choice(in, 10) & 1,
                                .plain = choice(in, 10) & 2,
                                .heads = choice(in, 11) % 16,
                                .kv_heads = choice(in, 12) % 16};
    if (!settings.bits && has_grid(settings.type))
        return;
    float *weights = rows_of(in, NB_TYPE_F32), scales[MOST_COLUMNS], alpha;
    nb_awq_found found;
    for (uint32_t step = 0; step < NB_AWQ_STEPS; step += 10) {
        if (!done(in, nb_quantizer_awq(q, &settings, weights, in->rows, step, scales, &found, &in->err)))
            break;
        demand_scales(scales, in->columns);
        demand(__builtin_isfinite(found.error) && __builtin_isfinite(found.plain) && found.error <= found.plain);
    }
    if (done(in, nb_quantizer_clip(q, &settings, NULL, weights, in->rows, &in->err)))
        demand_numbers(weights, (size_t)in->rows * in->columns);
    fill(in, &alpha, sizeof alpha);
    if (done(in, nb_quantizer_smooth(q, choice(in, 13) & 1 ? 0.5f : alpha, settings.heads, settings.kv_heads, weights,
                                     in->rows, scales, &in->err))) {
        demand_scales(scales, in->columns);
        fold(in, q, settings.heads, settings.kv_heads, weights, scales);
    }
    free(weights);
}

static void split(input *in, nb_quantizer *q) {
    uint32_t source = choice(in, 5) % 64, *list = fuzz_memory(in->columns * sizeof *list);
    void *weights = rows_of(in, source);
    float threshold;
    fill(in, &threshold, sizeof threshold);
    int32_t n = nb_quantizer_outliers(q, threshold, list, &in->err);
    if (done(in, n) && weights) {
        demand(n <= (int32_t)in->columns);
        size_t block = nb_quantizer_block(NB_TYPE_Q8_0), floats = (size_t)in->rows * in->columns;
        void *blocks = fuzz_memory(floats / block * nb_quantizer_block_bytes(NB_TYPE_Q8_0));
        uint16_t *kept = fuzz_memory((size_t)in->rows * (size_t)n * sizeof *kept);
        float *values = fuzz_memory((size_t)in->rows * in->columns * sizeof *values);
        if (done(in, nb_quantizer_split(q, source, weights, 0, in->rows, list, (uint32_t)n, blocks, kept, values,
                                        &in->err)))
            demand_numbers(values, (size_t)in->rows * in->columns);
        free(values);
        free(kept);
        free(blocks);
    }
    free(list);
    free(weights);
}

/* Asks for the folding rule of a tensor whose name is any bytes. */
static void name(const input *in) {
    nb_fold_rule rule;
    char *bytes = fuzz_memory(in->size);
    fill(in, bytes, in->size);
    int32_t is_there = nb_quantizer_fold(bytes, in->size, choice(in, 13) & 2, &rule);
    demand(is_there ? rule.absorber_bytes > 0 && rule.absorber_bytes < sizeof rule.absorber : !rule.absorber_bytes);
    free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in;
    if (!read_input(data, size, &in))
        return 0;
    name(&in);
    fuzz_refuse(data[size - 1] % 32);
    nb_quantizer *q = nb_quantizer_new(NULL, in.columns, &in.err);
    if (done(&in, q ? 0 : -1)) {
        observe(&in, q);
        scale(&in, q);
        split(&in, q);
        factor(&in, q, choice(&in, 3) % 8, choice(&in, 9) * 32 % (in.columns + 1));
        quantize(&in, q);
        code(&in, q);
    }
    nb_quantizer_free(q);
    fuzz_refuse(0);
    return 0;
}
