/* The functions that kernels.js times: single matrix products, attention, and the products of training. JavaScript
 * calls them often enough that the optimizing compiler gets to them. */
#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/kernels/attention.h"
#include "../../src/kernels/gram.h"
#include "../../src/kernels/matmul.h"
#include "../../src/base/simd.h"
#include "../../src/train/product.h"
#include "../../src/types/traits.h"

#define EXPORT __attribute__((visibility("default")))

static nb_matrix w;
static nb_activations x;
static const nb_matmul_kernel *kernel;
static float *out, *scratch;

EXPORT const char *bench_name(int32_t i) {
    return nb_matmul_kernels[i].name; /* NULL after the last kernel */
}

/* Makes operands for kernel i. Returns the name of the matrix's type, which is `any` for kernels that take any type. */
EXPORT const char *bench_prepare(int32_t i, uint32_t any, uint32_t rows, uint32_t columns, uint32_t tokens) {
    kernel = &nb_matmul_kernels[i];
    uint32_t type = kernel->type == NB_TYPE_ANY ? any : kernel->type;
    w = (nb_matrix){
        .type = type,
        .rows = rows,
        .columns = columns,
        .group_bytes = (size_t)nb_group_bytes(type, columns),
        .data = nb_alloc_items(nb_matrix_bytes(type, rows, columns), 1),
    };
    /* any byte may be part of a scale; with these none is subnormal, which would be slow */
    for (size_t b = 0; b < nb_matrix_bytes(type, rows, columns); b++)
        w.data[b] = (uint8_t)((b * 2654435761u >> 24 & 0x33) | 0x44);
    float *in = nb_alloc(sizeof(float) * columns * tokens);
    for (size_t k = 0; k < (size_t)columns * tokens; k++)
        in[k] = (float)((int32_t)(k * 7919 % 255) - 127) / 127;
    for (nb_form f = NB_FORM_Q8; f < NB_FORM_COUNT; f++)
        x.forms[f] = nb_alloc(tokens * nb_form_token_bytes(f, columns));
    nb_activations_set(&x, in, tokens, columns);
    nb_activations_quantize(&x, kernel->form, NULL);
    out = nb_alloc(sizeof(float) * rows * tokens);
    scratch = nb_alloc(sizeof(float) * NB_MATMUL_SCRATCH * columns);
    return nb_traits_of(type)->name;
}

EXPORT uint32_t bench_bytes(void) {
    return (uint32_t)nb_matrix_bytes(w.type, w.rows, w.columns);
}

/* Groups of every section of the matrix: nb_section_groups in all, bench_groups. */
EXPORT uint32_t bench_groups(void) {
    return nb_section_groups(&w);
}

EXPORT void bench_run(uint32_t first, uint32_t groups) {
    nb_matmul_task task = {.w = &w, .first = first, .groups = groups, .x = &x, .out = out, .scratch = scratch};
    kernel->run(&task);
}

/* Only reads the matrix's bytes, in as many streams as kernels do. */
EXPORT int32_t bench_read(void) {
    size_t part = (size_t)nb_matrix_bytes(w.type, w.rows, w.columns) / NB_SECTIONS / 16 * 16;
    v128_t sum[NB_SECTIONS] = {wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0), wasm_i32x4_splat(0)};
    for (size_t b = 0; b < part; b += 16)
        for (size_t s = 0; s < NB_SECTIONS; s++)
            sum[s] = wasm_v128_xor(sum[s], wasm_v128_load(w.data + s * part + b));
    return wasm_i32x4_extract_lane(wasm_v128_xor(wasm_v128_xor(sum[0], sum[1]), wasm_v128_xor(sum[2], sum[3])), 0);
}

EXPORT void bench_release(void) {
    nb_free(w.data);
    nb_free((void *)x.x);
    for (nb_form f = NB_FORM_Q8; f < NB_FORM_COUNT; f++)
        nb_free(x.forms[f]);
    nb_free(out);
    nb_free(scratch);
}

/* ---- attention ---------------------------------------------------------------------------------------------- */

static nb_cache cache;
static nb_attention attention;
static nb_run run;
static uint32_t layers;

/* Attention for the last n of so many positions, in n_layers layers with random keys and values. */
EXPORT void bench_prepare_attention(uint32_t type, uint32_t heads, uint32_t kv_heads, uint32_t size, uint32_t positions,
                                    uint32_t n, uint32_t n_layers) {
    cache = nb_cache_of(type, size, size);
    layers = n_layers;
    uint32_t tiles = kv_heads * nb_cache_tiles(positions) * layers, width = heads * size;
    uint8_t *bytes = nb_alloc(tiles * cache.tile_bytes);
    float *q = nb_alloc(sizeof(float) * n * width), *k = nb_alloc(sizeof(float) * (size + 256));
    for (uint32_t i = 0; i < n * width; i++)
        q[i] = (float)((int32_t)(i * 7919 % 255) - 127) / 127;
    for (uint32_t i = 0; i < size + 256; i++)
        k[i] = (float)((int32_t)(i * 7919 % 255) - 127) / 127;
    for (uint32_t t = 0; t < tiles * NB_CACHE_TILE; t++)
        nb_cache_store(&cache, bytes + t / NB_CACHE_TILE * cache.tile_bytes, t % NB_CACHE_TILE, k + t * 4 % 256,
                       k + t * 12 % 256);
    nb_free(k);
    uint32_t *pages = nb_alloc(sizeof *pages * nb_cache_tiles(positions));
    for (uint32_t i = 0; i < nb_cache_tiles(positions); i++)
        pages[i] = i;
    run = (nb_run){0, n, positions - n, pages};
    attention = (nb_attention){
        .q = q,
        .out = nb_alloc(sizeof(float) * n * width),
        .cache = &cache,
        .tiles = bytes,
        .pages = nb_cache_tiles(positions),
        .runs = &run,
        .n_runs = 1,
        .heads = heads,
        .kv_heads = kv_heads,
        .context = positions,
        .scale = 0.125f,
        .scratch = nb_alloc_items(nb_attention_scratch(&cache, heads, kv_heads, positions, 1), sizeof(float)),
    };
}

/* Runs attention layer after layer, as for a token. */
EXPORT void bench_attend(void) {
    nb_attention a = attention;
    for (uint32_t i = 0; i < layers; i++, a.tiles += a.kv_heads * nb_cache_tiles(a.context) * cache.tile_bytes)
        nb_attend(NULL, &a);
}

EXPORT uint32_t bench_attention_bytes(void) {
    return (uint32_t)(layers * attention.kv_heads * nb_cache_tiles(attention.context) * cache.tile_bytes);
}

EXPORT void bench_release_attention(void) {
    nb_free((void *)attention.tiles);
    nb_free((void *)attention.q);
    nb_free(attention.out);
    nb_free(attention.scratch);
}

/* ---- sums of x x^T ------------------------------------------------------------------------------------------- */

static float *sums, *vectors;

EXPORT void bench_prepare_gram(uint32_t columns, uint32_t n) {
    sums = nb_alloc_items(nb_gram_floats(columns), sizeof(float));
    scratch = nb_alloc_items(nb_gram_scratch(columns), sizeof(float));
    vectors = nb_alloc(sizeof(float) * columns * n);
    memset(sums, 0, (size_t)nb_gram_floats(columns) * sizeof(float));
    for (uint32_t k = 0; k < columns * n; k++)
        vectors[k] = (float)((int32_t)(k * 7919 % 255) - 127) / 127;
}

EXPORT void bench_gram(uint32_t columns, uint32_t n) {
    nb_gram_add(NULL, sums, columns, vectors, n, scratch);
}

EXPORT void bench_release_gram(void) {
    nb_free(sums);
    nb_free(scratch);
    nb_free(vectors);
}

/* ---- products of training ------------------------------------------------------------------------------------- */

static nb_product product;

/* out [m, n] = A B, summed over k. transposed: bit 0 if A is stored as its transpose, bit 1 if B is. */
EXPORT void bench_prepare_product(uint32_t m, uint32_t n, uint32_t k, uint32_t transposed) {
    float *a = nb_alloc_items((uint64_t)m * k, sizeof *a), *b = nb_alloc_items((uint64_t)n * k, sizeof *b);
    for (size_t i = 0; i < (size_t)m * k; i++)
        a[i] = (float)((int32_t)(i * 7919 % 255) - 127) / 127;
    for (size_t i = 0; i < (size_t)n * k; i++)
        b[i] = (float)((int32_t)(i * 7919 % 253) - 126) / 127;
    product = (nb_product){
        .a = transposed & 1 ? nb_factor_transposed(a, m) : nb_factor_of(a, k),
        .b = transposed & 2 ? nb_factor_transposed(b, n) : nb_factor_of(b, k),
        .out = nb_alloc_items((uint64_t)m * n, sizeof(float)),
        .stride = n,
        .m = m,
        .n = n,
        .k = k,
    };
    scratch = nb_alloc_items(NB_PRODUCT_SCRATCH, sizeof *scratch);
}

EXPORT void bench_product(void) {
    nb_product_run(NULL, &product, scratch);
}

EXPORT void bench_release_product(void) {
    nb_free((void *)product.a.at);
    nb_free((void *)product.b.at);
    nb_free(product.out);
    nb_free(scratch);
}
