#include "product.h"

#include "../base/simd.h"

enum { ROWS = 4, COLUMNS = 8, CHUNK_COLUMNS = 128 }; /* of a tile; columns that a thread claims at a time */

/* A block of B, packed, and all blocks of A for the same k. */
typedef struct block {
    const nb_product *product;
    float *scratch, *packed; /* of all threads; panels of B, [k, 8] each */
    uint32_t first_j, n, first_k, k;
} block;

/* Packs four rows of a factor: out[k * step + r] = factor(first + r, first_k + k), r = 0 ... 3, k < n. Rows beyond
 * `rows` are 0. */
static void pack(const nb_factor *f, uint32_t first, uint32_t rows, uint32_t first_k, uint32_t n, float *out,
                 size_t step) {
    const float *at = f->at + first * f->row + first_k * f->column;
    uint32_t k = 0;
    if (rows >= 4 && f->row == 1)
        for (; k < n; k++)
            wasm_v128_store(out + k * step, wasm_v128_load(at + k * f->column));
    if (rows >= 4 && f->column == 1)
        for (; k + 4 <= n; k += 4) {
            v128_t a = wasm_v128_load(at + k), b = wasm_v128_load(at + f->row + k),
                   c = wasm_v128_load(at + 2 * f->row + k), d = wasm_v128_load(at + 3 * f->row + k);
            v128_t ab = wasm_i32x4_shuffle(a, b, 0, 4, 1, 5), cd = wasm_i32x4_shuffle(c, d, 0, 4, 1, 5);
            wasm_v128_store(out + k * step, wasm_i64x2_shuffle(ab, cd, 0, 2));
            wasm_v128_store(out + (k + 1) * step, wasm_i64x2_shuffle(ab, cd, 1, 3));
            ab = wasm_i32x4_shuffle(a, b, 2, 6, 3, 7), cd = wasm_i32x4_shuffle(c, d, 2, 6, 3, 7);
            wasm_v128_store(out + (k + 2) * step, wasm_i64x2_shuffle(ab, cd, 0, 2));
            wasm_v128_store(out + (k + 3) * step, wasm_i64x2_shuffle(ab, cd, 1, 3));
        }
    for (; k < n; k++)
        for (uint32_t r = 0; r < 4; r++)
            out[k * step + r] = r < rows ? at[r * f->row + k * f->column] : 0;
}

static void pack_panel(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const block *b = context;
    uint32_t j = (uint32_t)index * COLUMNS;
    float *out = b->packed + (size_t)index * b->k * COLUMNS;
    for (uint32_t half = 0; half < COLUMNS; half += 4) {
        uint32_t rows = b->n - NB_MIN(b->n, j + half);
        pack(&b->product->b, rows ? b->first_j + j + half : 0, rows, b->first_k, b->k, out + half, COLUMNS);
    }
}

/* Four rows and eight columns of the result: a [k, 4], b [k, 8]. */
static void run_tile(const block *block, const float *a, const float *b, uint32_t i, uint32_t j) {
    const nb_product *p = block->product;
    v128_t sums[ROWS][2];
    for (uint32_t r = 0; r < ROWS; r++)
        sums[r][0] = sums[r][1] = wasm_f32x4_splat(0);
    NB_LOOP
    for (uint32_t k = block->k; k; k--, a += ROWS, b += COLUMNS) {
        v128_t x = wasm_v128_load(a), y[2] = {wasm_v128_load(b), wasm_v128_load(b + 4)};
        v128_t lanes[ROWS] = {nb_lane_splat(x, 0), nb_lane_splat(x, 1), nb_lane_splat(x, 2), nb_lane_splat(x, 3)};
        for (uint32_t r = 0; r < ROWS; r++)
            for (uint32_t w = 0; w < 2; w++)
                sums[r][w] = nb_madd(lanes[r], y[w], sums[r][w]);
    }
    bool adds = p->adds || block->first_k;
    uint32_t rows = NB_MIN(p->m - i, ROWS), columns = NB_MIN(p->n - j, COLUMNS);
    for (uint32_t r = 0; r < rows; r++) {
        float *out = p->out + (size_t)(i + r) * p->stride + j, edge[COLUMNS];
        float *to = columns < COLUMNS ? edge : out;
        if (to == edge)
            memcpy(edge, out, columns * sizeof *edge);
        for (uint32_t w = 0; w < 2; w++)
            wasm_v128_store(to + 4 * w, adds ? wasm_f32x4_add(wasm_v128_load(to + 4 * w), sums[r][w]) : sums[r][w]);
        if (to == edge)
            memcpy(out, edge, columns * sizeof *edge);
    }
}

/* Multiplies a block of A with some columns of B's block. */
static void multiply_chunk(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    const block *b = context;
    const nb_product *p = b->product;
    uint32_t chunks = (b->n + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS;
    uint32_t first = (uint32_t)(index / chunks) * NB_PRODUCT_M, rows = NB_MIN(p->m - first, NB_PRODUCT_M);
    uint32_t j = (uint32_t)(index % chunks) * CHUNK_COLUMNS, end = NB_MIN(j + CHUNK_COLUMNS, b->n);
    float *a = b->scratch + (size_t)thread * NB_PRODUCT_SCRATCH;
    for (uint32_t i = 0; i < rows; i += ROWS)
        pack(&p->a, first + i, rows - i, b->first_k, b->k, a + (size_t)i * b->k, ROWS);
    for (; j < end; j += COLUMNS)
        for (uint32_t i = 0; i < rows; i += ROWS)
            run_tile(b, a + (size_t)i * b->k, b->packed + (size_t)j * b->k, first + i, b->first_j + j);
}

void nb_product_run(nb_pool *pool, const nb_product *p, float *scratch) {
    block b = {.product = p, .scratch = scratch, .packed = scratch + NB_PRODUCT_M * NB_PRODUCT_K};
    for (b.first_j = 0; b.first_j < p->n; b.first_j += b.n) {
        b.n = NB_MIN(p->n - b.first_j, NB_PRODUCT_N);
        for (b.first_k = 0; b.first_k < p->k; b.first_k += b.k) {
            b.k = NB_MIN(p->k - b.first_k, NB_PRODUCT_K);
            uint64_t blocks = (p->m + NB_PRODUCT_M - 1) / NB_PRODUCT_M;
            nb_parallel(pool, (b.n + COLUMNS - 1) / COLUMNS, false, pack_panel, &b);
            nb_parallel(pool, blocks * ((b.n + CHUNK_COLUMNS - 1) / CHUNK_COLUMNS), false, multiply_chunk, &b);
        }
    }
}
