/* Every kernel of every instruction set against the definition, over the edges of its tiles: rows and tokens around
 * multiples of four, columns from one block on. The definition is double arithmetic on the file's own blocks
 * (dequantized by traits.c, which test_dequantize.c checks against an oracle) and on activations quantized here by
 * the formula in kernels/activations.h; so packing, quantizing and multiplying are checked together. */
#include "../../src/base/numbers.h"
#include "../../src/kernels/matmul.h"
#include "../../src/types/traits.h"
#include "check.h"
#include "random.h"

#include <math.h>

enum { MAX_COLUMNS = 768, MAX_TOKENS = 9 };

/* x -> the numbers that its quantized form stands for. */
static void quantized(const float *x, double *out, uint32_t columns, float most) {
    for (uint32_t b = 0; b < columns; b += 32) {
        float max = 0;
        for (uint32_t i = b; i < b + 32; i++)
            max = NB_MAX(max, fabsf(x[i]));
        float d = max < 0x1p-100f ? 0 : max / most, inverse = d > 0 ? most / max : 0;
        for (uint32_t i = b; i < b + 32; i++) {
            double scaled = (double)(x[i] * inverse), whole = floor(scaled);
            if (scaled - whole > 0.5 || (scaled - whole == 0.5 && fmod(whole, 2) != 0))
                whole++;
            out[i] = (double)d * whole;
        }
    }
}

/* A random binary16 number within -size ... size. */
static uint16_t random_half(float size, uint32_t *seed) {
    return nb_f32_to_f16(size * test_random_float(seed));
}

/* The offset of a block's binary16 scale. */
static size_t half_at(uint32_t type) {
    switch (type) {
    case NB_TYPE_Q2_K: return offsetof(nb_block_q2_k, d);
    case NB_TYPE_Q3_K: return offsetof(nb_block_q3_k, d);
    case NB_TYPE_Q6_K: return offsetof(nb_block_q6_k, d);
    case NB_TYPE_TQ1_0: return offsetof(nb_block_tq1_0, d);
    case NB_TYPE_TQ2_0: return offsetof(nb_block_tq2_0, d);
    default: return 0;
    }
}

/* One random block, as a file holds it. huge: its scale is about the largest number of binary16. */
static void fill_block(uint8_t *block, uint32_t type, bool huge, uint32_t *seed) {
    for (size_t i = 0; i < nb_traits_of(type)->block_bytes; i++)
        block[i] = (uint8_t)test_random(seed);
    float value = huge ? -65504 : test_random_float(seed);
    double wide = (double)value;
    uint16_t half = random_half(type == NB_TYPE_F16 ? 1 : 0.02f, seed), minimum = random_half(0.2f, seed);
    if (huge)
        half = minimum = nb_f32_to_f16(value);
    switch (type) {
    case NB_TYPE_F64: memcpy(block, &wide, 8); break;
    case NB_TYPE_F32:
    case NB_TYPE_NF4:
    case NB_TYPE_FP4:
    case NB_TYPE_Q8_K: memcpy(block, &value, 4); break;
    case NB_TYPE_BF16: memcpy(block, (uint8_t *)&value + 2, 2); break;
    case NB_TYPE_I8:
    case NB_TYPE_I16:
    case NB_TYPE_I32:
    case NB_TYPE_I64:
    case NB_TYPE_U8:
    case NB_TYPE_BOOL: break;
    case NB_TYPE_F8_E4M3:
    case NB_TYPE_F8_E5M2: block[0] &= 0xbf; break;                               /* no infinity, no NaN */
    case NB_TYPE_MXFP4: block[0] = (uint8_t)(112 + block[0] % 10); break;        /* 2^-16 ... 2^-7 */
    case NB_TYPE_NVFP4: break;                                                   /* none of its scales is large */
    case NB_TYPE_IQ1_M: block[55] = (uint8_t)(0x20 | (block[55] & 0x8f)); break; /* 2^-7 ... 2^-4 */
    default:
        memcpy(block + half_at(type), &half, 2);
        if (nb_layout_of(type).minimum)
            memcpy(block + half_at(type) + 2, &minimum, 2);
    }
}

static void fill_rows(uint8_t *file, uint32_t type, size_t bytes, uint32_t *seed) {
    for (size_t i = 0; i < bytes; i += nb_traits_of(type)->block_bytes)
        fill_block(file + i, type, false, seed);
}

/* Four rows as pruned and damaged models have them: zeros; zeros but one block; the same block repeated; huge. */
static void fill_odd_rows(uint8_t *file, uint32_t type, size_t row_bytes, uint32_t *seed) {
    size_t block = nb_traits_of(type)->block_bytes;
    memset(file, 0, 2 * row_bytes);
    fill_block(file + row_bytes + row_bytes / block / 2 * block, type, false, seed);
    for (size_t at = 0; at < row_bytes; at += block) {
        if (at == 0)
            fill_block(file + 2 * row_bytes, type, false, seed);
        memcpy(file + 2 * row_bytes + at, file + 2 * row_bytes, block);
        fill_block(file + 3 * row_bytes + at, type, true, seed);
    }
}

/* Odd tokens: the same number in all columns (0, usual, huge, subnormal); one number among zeros; huge numbers whose
 * signs alternate. */
static void fill_odd_tokens(float *x, uint32_t columns, uint32_t tokens) {
    static const float fills[] = {0, 1.5f, 1e12f, 1e-42f}, lone[] = {1, -1e12f};
    for (uint32_t t = 2; t < tokens; t++)
        for (uint32_t i = 0; i < columns; i++)
            x[t * columns + i] = t % 2 == 0       ? fills[t / 2 - 1]
                               : t == 5           ? (i % 2 ? 1e12f : -1e12f)
                               : i == columns / 2 ? lone[t / 7]
                                                  : 0;
}

/* NaN or infinity makes all results of its token not finite, whatever the weights are, and does not affect others. */
static void check_not_finite(const nb_matmul_kernel *kernel, nb_matmul_task task, const float *x, uint32_t *seed) {
    uint32_t columns = task.w->columns, rows = task.w->rows, tokens = task.x->n, odd = test_random(seed) % tokens;
    const float kinds[] = {NAN, INFINITY, -INFINITY};
    float *changed = nb_alloc(tokens * columns * sizeof *changed), *out = nb_alloc(tokens * rows * sizeof *out);
    nb_activations activations = *task.x;
    memcpy(changed, x, tokens * columns * sizeof *changed);
    changed[odd * columns + test_random(seed) % columns] = kinds[test_random(seed) % 3];
    nb_activations_set(&activations, changed, tokens, columns);
    nb_activations_quantize(&activations, kernel->form, NULL);
    float *whole = task.out;
    task.x = &activations;
    task.out = out;
    task.first = 0;
    task.groups = nb_section_groups(task.w);
    kernel->run(&task);
    for (uint32_t t = 0; t < tokens; t++)
        for (uint32_t r = 0; r < rows; r++) {
            uint32_t i = t * rows + r;
            CHECK(t == odd ? !isfinite(out[i]) : nb_compare(&out[i], &whole[i], sizeof(float)) == 0,
                  "%s, token %u is not finite: row %u of token %u is %g, was %g", kernel->name, odd, r, t,
                  (double)out[i], (double)whole[i]);
        }
    nb_free(changed);
    nb_free(out);
}

/* A token has the same results alone as in a batch, bit for bit. */
static void check_alone(const nb_matmul_kernel *kernel, nb_matmul_task task, const float *x) {
    uint32_t columns = task.w->columns, rows = task.w->rows, tokens = task.x->n;
    float *out = nb_alloc(rows * sizeof *out), *together = task.out;
    nb_activations alone = *task.x;
    task.x = &alone;
    task.out = out;
    task.first = 0;
    task.groups = nb_section_groups(task.w);
    for (uint32_t t = 0; t < tokens; t++) {
        nb_activations_set(&alone, x + t * columns, 1, columns);
        nb_activations_quantize(&alone, kernel->form, NULL);
        kernel->run(&task);
        CHECK(nb_compare(out, together + t * rows, rows * sizeof *out) == 0, "%s, token %u of %u: it differs alone",
              kernel->name, t, tokens);
    }
    nb_free(out);
}

static nb_matrix packed(uint32_t type, const uint8_t *file, uint32_t rows, uint32_t columns) {
    nb_matrix m = {
        .type = type,
        .rows = rows,
        .columns = columns,
        .group_bytes = (size_t)nb_group_bytes(type, columns),
        .data = nb_alloc((size_t)nb_matrix_bytes(type, rows, columns)),
    };
    size_t row_bytes = columns / nb_traits_of(type)->block_weights * nb_traits_of(type)->block_bytes;
    for (uint32_t row = 0; row < rows; row += nb_group_rows(type))
        nb_matrix_pack(&m, row, file + row * row_bytes);
    return m;
}

static void check_kernel(const nb_matmul_kernel *kernel, uint32_t type, uint32_t rows, uint32_t columns,
                         uint32_t tokens, uint32_t *seed) {
    static float x[MAX_TOKENS * MAX_COLUMNS];
    static double meant[MAX_TOKENS * MAX_COLUMNS];
    const nb_traits *traits = nb_traits_of(type);
    size_t bytes = (size_t)rows * columns / traits->block_weights * traits->block_bytes;
    uint8_t *file = nb_alloc(bytes), *form = nb_alloc(tokens * nb_form_token_bytes(kernel->form, columns));
    /* exactly as large, so that the sanitizer sees an overrun */
    float *out = nb_alloc(tokens * rows * sizeof *out),
          *scratch = nb_alloc(NB_MATMUL_SCRATCH * columns * sizeof *scratch);
    float *weights = nb_alloc(rows * columns * sizeof *weights);
    fill_rows(file, type, bytes, seed);
    if (rows > 8)
        fill_odd_rows(file, type, bytes / rows, seed);
    for (uint32_t r = 0; r < rows; r++)
        traits->dequantize(file + bytes / rows * r, weights + (size_t)r * columns, columns);
    for (uint32_t i = 0; i < tokens * columns; i++)
        x[i] = test_random_float(seed) * (i % 37 ? 1.0f : 20.0f);
    for (uint32_t i = 0; i < 32 && tokens > 1; i++)
        x[columns + i] = 0; /* a block of zeros */
    fill_odd_tokens(x, columns, tokens);
    for (uint32_t t = 0; t < tokens; t++)
        if (kernel->form == NB_FORM_F32)
            for (uint32_t i = 0; i < columns; i++)
                meant[t * columns + i] = (double)x[t * columns + i];
        else
            quantized(x + t * columns, meant + t * columns, columns, kernel->form == NB_FORM_Q8 ? 127 : 32639);
    nb_matrix w = packed(type, file, rows, columns);
    nb_activations activations = {0};
    activations.forms[kernel->form] = form;
    nb_activations_set(&activations, x, tokens, columns);
    nb_activations_quantize(&activations, kernel->form, NULL);
    memset(out, 0x7f, tokens * rows * sizeof *out);
    /* in two tasks, as threads would */
    uint32_t groups = nb_section_groups(&w), middle = groups / 2;
    nb_matmul_task task = {.w = &w, .groups = middle, .x = &activations, .out = out, .scratch = scratch};
    if (middle)
        kernel->run(&task);
    task.first = middle;
    task.groups = groups - middle;
    kernel->run(&task);
    for (uint32_t t = 0; t < tokens; t++)
        for (uint32_t r = 0; r < rows; r++) {
            double sum = 0, size = 0, rounding = 0; /* rounding: of the codebooks of NF4 and FP4 */
            for (uint32_t i = 0; i < columns; i++) {
                double w = (double)weights[r * columns + i], largest = fabs(w), v = meant[t * columns + i];
                sum += w * v;
                /* Kernels add w = ds code + m in two parts, each of which may be larger than their sum; in 16 random
                 * codes neither is more than a few times the largest |w|. */
                for (uint32_t k = i / 16 * 16; k < i / 16 * 16 + 16 && nb_layout_of(type).bits; k++)
                    largest = NB_MAX(largest, 4 * fabs((double)weights[r * columns + k]));
                size += largest * fabs(v);
                if (nb_layout_of(type).float_codebook && kernel->type != NB_TYPE_ANY) {
                    const nb_block_nf4 *block = (const nb_block_nf4 *)file + (r * columns + i) / NB_BLOCK_NF4;
                    rounding += 0.5 / NB_NUMBER_UNITS * fabs((double)block->d) * fabs(v);
                }
            }
            /* Higham 2002, section 4.2: n eps Σ|w x|, here eps = 2^-24 and n sums and products */
            double bound = ((double)columns + 8) * 0x1p-24 * size + rounding + 1e-30;
            double got = (double)out[(size_t)t * rows + r];
            if (!CHECK(fabs(got - sum) <= bound,
                       "%s, %s, %u rows x %u columns x %u tokens, row %u token %u: %g, not %g", kernel->name,
                       traits->name, rows, columns, tokens, r, t, got, sum))
                t = tokens, r = rows;
        }
    if (rows > 8 && tokens % 3 == 0) /* three are the fewest that are not multiplied one by one */
        check_alone(kernel, task, x);
    if (rows > 8)
        check_not_finite(kernel, task, x, seed);
    nb_free(w.data);
    nb_free(out);
    nb_free(scratch);
    nb_free(form);
    nb_free(weights);
    nb_free(file);
}

/* After packing, nb_matrix_row gives bit for bit what the type's dequantizer gives. */
static void check_packing(uint32_t type, uint32_t *seed) {
    enum { ROWS = 6, COLUMNS = 512 };
    static float meant[COLUMNS], got[COLUMNS];
    const nb_traits *traits = nb_traits_of(type);
    size_t row_bytes = COLUMNS / traits->block_weights * traits->block_bytes;
    uint8_t *file = nb_alloc(ROWS * row_bytes);
    fill_rows(file, type, ROWS * row_bytes, seed);
    fill_odd_rows(file, type, row_bytes, seed);
    nb_matrix m = packed(type, file, ROWS, COLUMNS);
    for (uint32_t r = 0; r < ROWS; r++) {
        traits->dequantize(file + r * row_bytes, meant, COLUMNS);
        nb_matrix_row(&m, r, got);
        CHECK(nb_compare(meant, got, sizeof got) == 0, "%s: row %u is not itself after packing", traits->name, r);
    }
    nb_free(m.data);
    nb_free(file);
}

void test_packing(void) {
    uint32_t seed = 77, packed_types = 0;
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        if (nb_layout_of(type).bits) {
            packed_types++;
            for (int i = 0; i < 20; i++)
                check_packing(type, &seed);
        }
    CHECK(packed_types >= 12, "only %u types are packed", packed_types);
}

/* A kernel over the edges of its tiles. */
static void check_edges(const nb_matmul_kernel *k, uint32_t type, uint32_t *seed) {
    static const uint32_t rows[] = {1, 4, 5, 8, 9, 13, 45};
    uint32_t block = nb_traits_of(type)->block_weights;
    const uint32_t columns[] = {block, 2 * block, 3 * block, block == 1 ? 13 : 768};
    for (size_t c = 0; c < 4; c++)
        for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
            for (uint32_t tokens = 1; tokens <= MAX_TOKENS; tokens++)
                check_kernel(k, type, rows[r], columns[c], tokens, seed);
}

/* Activations whose sum is more than a float holds. NF4 and FP4 do not need that sum, and their products with small
 * weights are finite, alone and in a batch. */
static void check_large(const nb_matmul_kernel *kernel, uint32_t type, uint32_t *seed) {
    enum { ROWS = 8, COLUMNS = 128, TOKENS = 4, BLOCKS = ROWS * COLUMNS / 64 };
    static float x[TOKENS * COLUMNS], out[TOKENS * ROWS], weights[ROWS * COLUMNS], scratch[NB_MATMUL_SCRATCH * COLUMNS];
    static double meant[TOKENS * COLUMNS];
    static nb_block_nf4 file[BLOCKS];
    for (uint32_t i = 0; i < BLOCKS; i++) {
        fill_block((uint8_t *)&file[i], type, false, seed);
        file[i].d = 1e-3f;
    }
    nb_traits_of(type)->dequantize((const uint8_t *)file, weights, ROWS * COLUMNS);
    for (uint32_t i = 0; i < TOKENS * COLUMNS; i++)
        x[i] = 3e37f + 1e37f * test_random_float(seed);
    nb_matrix w = packed(type, (const uint8_t *)file, ROWS, COLUMNS);
    for (uint32_t tokens = 1; tokens <= TOKENS; tokens++) {
        nb_activations a = {0};
        a.forms[kernel->form] = nb_alloc(tokens * nb_form_token_bytes(kernel->form, COLUMNS));
        nb_activations_set(&a, x, tokens, COLUMNS);
        nb_activations_quantize(&a, kernel->form, NULL);
        quantized(x, meant, tokens * COLUMNS, 32639);
        kernel->run(
            &(nb_matmul_task){.w = &w, .groups = nb_section_groups(&w), .x = &a, .out = out, .scratch = scratch});
        for (uint32_t i = 0; i < tokens * ROWS; i++) {
            double sum = 0, bound = 0;
            for (uint32_t c = 0; c < COLUMNS; c++) {
                double weight = (double)weights[i % ROWS * COLUMNS + c], v = meant[i / ROWS * COLUMNS + c];
                sum += weight * v;
                bound += (fabs(weight) * (COLUMNS + 8) * 0x1p-24 + 0.5e-3 / NB_NUMBER_UNITS) * v;
            }
            CHECK(fabs((double)out[i] - sum) <= bound, "%s, %s, %u tokens of large numbers: %g, not %g", kernel->name,
                  nb_traits_of(type)->name, tokens, (double)out[i], sum);
        }
        nb_free(a.forms[kernel->form]);
    }
    nb_free(w.data);
}

void test_kernels(void) {
    static const uint32_t any[] = {NB_TYPE_F32, NB_TYPE_F16, NB_TYPE_BF16, NB_TYPE_Q6_K, NB_TYPE_Q4_1};
    uint32_t seed = 20240229, kernels = 0;
    for (const nb_matmul_kernel *k = nb_matmul_kernels; k->name; k++, kernels++) {
        if (k->type != NB_TYPE_ANY) {
            for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
                if (nb_kernel_type(type) == k->type) {
                    check_edges(k, type, &seed);
                    if (nb_layout_of(type).float_codebook)
                        check_large(k, type, &seed);
                }
            continue;
        }
        for (size_t i = 0; i < sizeof any / sizeof *any; i++)
            check_edges(k, any[i], &seed);
        for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
            for (uint32_t tokens = 1; tokens <= 5 && nb_traits_of(type); tokens += 4)
                check_kernel(k, type, 5, 512, tokens, &seed);
    }
    CHECK(kernels >= 10, "only %u kernels are listed", kernels);
}

/* The driver: several matrices at once, with and without threads. The largest is enough work for four threads to share
 * a single token. */
void test_matmul(void) {
    enum { COLUMNS = 64, TOKENS = 6 };
    static const uint32_t rows[] = {5, 40, 1, 2050};
    static float x[TOKENS * COLUMNS], scratch[8 * NB_MATMUL_SCRATCH * COLUMNS];
    uint32_t seed = 7;
    for (uint32_t i = 0; i < TOKENS * COLUMNS; i++)
        x[i] = test_random_float(&seed);
    for (int32_t threads = 1; threads <= 4; threads++) {
        nb_pool *pool = test_pool_new(threads);
        for (uint32_t tokens = 1; tokens <= TOKENS; tokens += 5) {
            nb_matrix w[4];
            nb_matmul_job jobs[4], alone[4];
            static const uint32_t types[] = {NB_TYPE_Q4_1, NB_TYPE_Q8_0, NB_TYPE_F16, NB_TYPE_Q4_0};
            nb_activations a = {0};
            for (uint32_t f = NB_FORM_Q8; f < NB_FORM_COUNT; f++)
                a.forms[f] = nb_alloc(TOKENS * nb_form_token_bytes((nb_form)f, COLUMNS));
            for (int i = 0; i < 4; i++) {
                const nb_traits *traits = nb_traits_of(types[i]);
                size_t bytes = (size_t)rows[i] * COLUMNS / traits->block_weights * traits->block_bytes;
                uint8_t *file = nb_alloc(bytes);
                fill_rows(file, types[i], bytes, &seed);
                w[i] = packed(types[i], file, rows[i], COLUMNS);
                nb_free(file);
                jobs[i] = (nb_matmul_job){&w[i], nb_alloc(tokens * rows[i] * sizeof(float))};
                alone[i] = (nb_matmul_job){&w[i], nb_alloc(tokens * rows[i] * sizeof(float))};
                nb_activations_set(&a, x, tokens, COLUMNS);
                nb_matmul(NULL, &a, &alone[i], 1, scratch);
            }
            nb_activations_set(&a, x, tokens, COLUMNS);
            nb_matmul(pool, &a, jobs, 4, scratch);
            for (int i = 0; i < 4; i++) {
                CHECK(nb_compare(jobs[i].out, alone[i].out, tokens * rows[i] * sizeof(float)) == 0,
                      "matrix %d, %u tokens, %d threads: the cut changes the result", (int32_t)i, tokens, threads);
                nb_free(jobs[i].out);
                nb_free(alone[i].out);
                nb_free(w[i].data);
            }
            for (uint32_t f = NB_FORM_Q8; f < NB_FORM_COUNT; f++)
                nb_free(a.forms[f]);
        }
        test_pool_free(pool);
    }
}
