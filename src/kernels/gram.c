#include "gram.h"

#include "../base/simd.h"
#include "ops.h"

/* PANEL: columns of a panel. TILE: panels on a tile's side; those of both sides fit an L1 cache. */
enum { PANEL = 4, TILE = 16 };

typedef struct gram {
    float *sums, *rests;
    uint32_t columns, panels; /* of 4 columns each, the last one padded with zeros */
    const float *x;           /* [n, columns] */
    float *packed;            /* [panels, n, 4] */
    uint32_t n;
} gram;

static uint64_t panels_of(uint64_t columns) {
    return (columns + PANEL - 1) / PANEL;
}

uint64_t nb_gram_floats(uint64_t columns) {
    uint64_t padded = panels_of(columns) * PANEL;
    return nb_plus(nb_times(padded, padded), padded * PANEL);
}

uint64_t nb_gram_scratch(uint64_t columns) {
    return panels_of(columns) * PANEL * NB_GRAM_BLOCK;
}

static gram gram_of(float *sums, uint32_t columns) {
    uint32_t panels = (uint32_t)panels_of(columns);
    size_t padded = (size_t)panels * PANEL;
    return (gram){.sums = sums, .rests = sums + padded * padded, .columns = columns, .panels = panels};
}

static void pack_panel(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)thread;
    (void)count;
    const gram *g = context;
    uint32_t first = (uint32_t)index * PANEL, width = NB_MIN(g->columns - first, PANEL);
    float *out = g->packed + (size_t)index * g->n * PANEL;
    for (uint32_t t = 0; t < g->n; t++, out += PANEL)
        for (uint32_t i = 0; i < PANEL; i++)
            out[i] = i < width ? g->x[(size_t)t * g->columns + first + i] : 0;
}

/* (sum, rest) += x. */
static inline void add_exactly(float *sum, float *rest, v128_t x) {
    v128_t a = wasm_v128_load(sum), s = wasm_f32x4_add(a, x), part = wasm_f32x4_sub(s, a);
    v128_t error = wasm_f32x4_add(wasm_f32x4_sub(a, wasm_f32x4_sub(s, part)), wasm_f32x4_sub(x, part));
    wasm_v128_store(sum, s);
    wasm_v128_store(rest, wasm_f32x4_add(wasm_v128_load(rest), error));
}

/* Adds a block of vectors to the squares (i, j) and, if W = 2, (i, j + 1). */
INLINE void add_squares(const gram *g, uint32_t i, uint32_t j, const uint32_t W) {
    const float *a = g->packed + (size_t)i * g->n * PANEL, *b = g->packed + (size_t)j * g->n * PANEL;
    const float *b1 = b + (size_t)(W - 1) * g->n * PANEL;
    v128_t sums[2][PANEL];
    for (uint32_t w = 0; w < W; w++)
        for (uint32_t r = 0; r < PANEL; r++)
            sums[w][r] = wasm_f32x4_splat(0);
    NB_LOOP
    for (uint32_t t = 0; t < g->n; t++, a += PANEL, b += PANEL, b1 += PANEL) {
        v128_t y[2] = {wasm_v128_load(b), wasm_v128_load(b1)};
        for (uint32_t r = 0; r < PANEL; r++) {
            v128_t x = wasm_v128_load32_splat(a + r); /* from memory: shuffles and products share an execution port */
            for (uint32_t w = 0; w < W; w++)
                sums[w][r] = nb_madd(x, y[w], sums[w][r]);
        }
    }
    size_t stride = (size_t)g->panels * PANEL;
    for (uint32_t w = 0; w < W; w++, j++) {
        float *at = g->sums + i * PANEL * stride + j * PANEL, *rest = g->sums + j * PANEL * stride + i * PANEL;
        size_t rest_stride = stride;
        if (i == j) {
            rest = g->rests + (size_t)i * PANEL * PANEL;
            rest_stride = PANEL;
        }
        for (uint32_t r = 0; r < PANEL; r++)
            add_exactly(at + r * stride, rest + r * rest_stride, sums[w][r]);
    }
}

/* Tile `index` of the upper triangle, counted row by row. */
static void add_tile(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)thread;
    (void)count;
    const gram *g = context;
    uint32_t tiles = (g->panels + TILE - 1) / TILE, row = 0;
    for (; index >= tiles - row; row++)
        index -= tiles - row;
    uint32_t first_i = row * TILE, first_j = (row + (uint32_t)index) * TILE;
    uint32_t end_i = NB_MIN(first_i + TILE, g->panels), end_j = NB_MIN(first_j + TILE, g->panels);
    for (uint32_t j = first_j; j < end_j; j += 2)
        for (uint32_t i = first_i; i < end_i && i <= j + 1; i++)
            if (i > j && j + 1 < end_j)
                add_squares(g, i, j + 1, 1);
            else if (i <= j && j + 1 < end_j)
                add_squares(g, i, j, 2);
            else if (i <= j)
                add_squares(g, i, j, 1);
}

void nb_gram_add(nb_pool *pool, float *sums, uint32_t columns, const float *x, uint32_t n, float *scratch) {
    gram g = gram_of(sums, columns);
    uint64_t tiles = (g.panels + TILE - 1) / TILE;
    g.packed = scratch;
    for (uint32_t t = 0; t < n; t += g.n) {
        g.x = x + (size_t)t * columns;
        g.n = NB_MIN(n - t, NB_GRAM_BLOCK);
        nb_parallel(pool, g.panels, false, pack_panel, &g);
        nb_parallel(pool, tiles * (tiles + 1) / 2, false, add_tile, &g);
    }
}

/* Finishes the squares (i, j) and (j, i) of all j >= i, where i is `index`. */
static void finish_row(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)thread;
    (void)count;
    const gram *g = context;
    size_t stride = (size_t)g->panels * PANEL, first = (size_t)index * PANEL;
    for (uint32_t r = 0; r < PANEL; r++) {
        float *row = g->sums + (first + r) * stride + first;
        nb_add_to(row, g->rests + (first + r) * PANEL, PANEL);
    }
    for (size_t j = first + PANEL; j < stride; j += PANEL) {
        float square[PANEL][PANEL];
        for (uint32_t r = 0; r < PANEL; r++) {
            float *row = g->sums + (first + r) * stride + j;
            nb_add_to(row, g->sums + (j + r) * stride + first, PANEL);
            memcpy(square[r], row, sizeof square[r]);
        }
        for (uint32_t r = 0; r < PANEL; r++)
            for (uint32_t k = 0; k < PANEL; k++)
                g->sums[(j + r) * stride + first + k] = square[k][r];
    }
}

void nb_gram_finish(nb_pool *pool, float *sums, uint32_t columns) {
    gram g = gram_of(sums, columns);
    size_t stride = (size_t)g.panels * PANEL;
    nb_parallel(pool, g.panels, false, finish_row, &g);
    for (size_t r = 1; r < columns && stride != columns; r++)
        memmove(sums + r * columns, sums + r * stride, columns * sizeof *sums);
}
