/* 32 rows (a slab) are quantized together, so that U is read once for all of them. Corrections are lazy (Frantar et al.
 * 2023, section 3.3): a tile of 32 columns is corrected for the errors of all earlier columns just before its scales
 * are chosen or it is quantized. */
#include "gptq_feed.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/simd.h"

#pragma STDC FP_CONTRACT OFF

typedef struct slab {
    float *weights, *errors, *panel; /* [32][columns] x 2, in the order of quantization; [columns][32] */
    float *row;                      /* [columns], in the order of the matrix, as the two below */
    uint8_t *codes;                  /* [32][columns] */
    float *values;                   /* [32][columns]: the numbers that codes mean */
    nb_levels *levels;               /* [32][columns / granule] */
} slab;

typedef struct job {
    nb_feed *feed;
    slab *slabs; /* of each thread */
    uint32_t bad_row, large_row;
} job;

static void place_buffers(const nb_feed *f, nb_arena *arena, slab *s) {
    uint64_t n = f->q->columns, all = n * NB_TILE;
    s->weights = nb_arena_take(arena, all, sizeof(float));
    s->errors = nb_arena_take(arena, all, sizeof(float));
    s->panel = nb_arena_take(arena, all, sizeof(float));
    s->values = nb_arena_take(arena, all, sizeof(float));
    s->row = nb_arena_take(arena, n, sizeof(float));
    s->codes = nb_arena_take(arena, all, 1);
    s->levels = nb_arena_take(arena, all / f->granule, sizeof(nb_levels));
}

static slab *new_slabs(const nb_feed *f, void **memory, nb_error *err) {
    nb_arena arena = {0};
    uint32_t threads = (uint32_t)nb_pool_threads(f->q->pool);
    slab *slabs = NULL, measured;
    for (int pass = 0; pass < 2; pass++) {
        slabs = nb_arena_take(&arena, threads, sizeof *slabs);
        for (uint32_t i = 0; i < threads; i++)
            place_buffers(f, &arena, slabs ? &slabs[i] : &measured);
        if (pass == 0 && nb_arena_allocate(&arena, "rows of weights", err))
            return NULL;
    }
    *memory = arena.base;
    return slabs;
}

/* Corrects the weights of tile `tile` for the errors of tiles [from, to). */
static void correct(const nb_feed *f, slab *s, uint32_t from, uint32_t to, uint32_t tile) {
    size_t n = f->q->columns;
    if (from == to || f->is_nearest)
        return;
    nb_hessian_panel(f->q, from, to, tile, s->panel);
    nb_tile_subtract(s->weights + (size_t)tile * NB_TILE, n, s->errors + (size_t)from * NB_TILE, n, s->panel,
                     (size_t)(to - from) * NB_TILE);
}

/* The index of the span that begins at position `first` of the order. */
static uint32_t span_of(const nb_feed *f, uint32_t first) {
    return (f->follows_order ? first : f->q->order[first]) / f->span;
}

/* Chooses the levels of the span that begins at position `first` of the order, for each row. */
static void choose_span(job *j, slab *s, uint32_t first_row, uint32_t rows, uint32_t first) {
    const nb_feed *f = j->feed;
    uint32_t n = f->q->columns, span = span_of(f, first), granules = n / f->granule, per_span = f->span / f->granule;
    for (uint32_t r = 0; r < rows; r++) {
        const float *weights = s->weights + (size_t)r * n + first;
        for (uint32_t i = 0; i < f->span; i++)
            s->row[f->follows_order ? i : f->q->order[first + i] % f->span] = weights[i];
        if (!f->choose(f->context, first_row + r, span, s->row, s->levels + (size_t)r * granules + span * per_span))
            nb_mark_row(&j->large_row, first_row + r);
    }
}

/* The code of the codebook's number that is nearest to x. */
static int32_t nearest_entry(const float *codebook, float x) {
    int32_t best = 0;
    float least = __builtin_fabsf(x - codebook[0]);
    for (int32_t code = 1; code < NB_CODEBOOK; code++) {
        float distance = __builtin_fabsf(x - codebook[code]);
        best = distance < least ? code : best;
        least = distance < least ? distance : least;
    }
    return best;
}

/* The code whose number is nearest to x. If the step is 0, all codes mean the same number. */
static int32_t code_of(const nb_feed *f, const nb_levels *l, float x, float *value) {
    int32_t code = l->origin;
    if (f->codebook) {
        code = l->step != 0 ? nearest_entry(f->codebook, x / l->step) : 0;
        *value = l->step * f->codebook[code];
        return code;
    }
    if (l->step != 0)
        code += nb_steps_of(x - l->base, l->step);
    code = NB_MAX(f->least, NB_MIN(code, f->most));
    *value = l->base + l->step * (float)(code - l->origin);
    return code;
}

/* Quantizes the 32 columns of a tile, one after the other. Each one's error is fed to the columns to its right. */
static void quantize_tile(const nb_feed *f, slab *s, uint32_t row, uint32_t tile) {
    uint32_t n = f->q->columns, granules = n / f->granule;
    const float *u = f->q->diagonal + (size_t)tile * NB_TILE_NUMBERS;
    const nb_levels *levels = s->levels + (size_t)row * granules;
    float *x = s->weights + (size_t)row * n + tile * NB_TILE, *errors = s->errors + (size_t)row * n + tile * NB_TILE;
    for (uint32_t c = 0; c < NB_TILE; c++, u += NB_TILE) {
        uint32_t position = tile * NB_TILE + c, column = f->q->order[position];
        float value;
        int32_t code = code_of(f, &levels[(f->follows_order ? position : column) / f->granule], x[c], &value);
        s->codes[(size_t)row * n + column] = (uint8_t)code;
        s->values[(size_t)row * n + column] = value;
        if (f->is_nearest)
            continue;
        errors[c] = (x[c] - value) / u[c];
        v128_t error = wasm_f32x4_splat(errors[c]);
        for (uint32_t k = c / 4 * 4; k < NB_TILE; k += 4) /* u is 0 for columns that are done */
            wasm_v128_store(x + k, wasm_f32x4_sub(wasm_v128_load(x + k), wasm_f32x4_mul(error, wasm_v128_load(u + k))));
    }
}

static void quantize_slab(job *j, slab *s, uint32_t first_row, uint32_t rows) {
    const nb_feed *f = j->feed;
    uint32_t most = f->is_upfront ? 1 : NB_MAX(f->span, f->block) / NB_TILE;
    for (uint32_t start = 0, n; start < f->q->tiles; start += n) {
        n = NB_MIN(most, f->q->tiles - start);
        for (uint32_t t = 0; t < n; t++)
            correct(f, s, 0, start, start + t);
        for (uint32_t c = 0; !f->is_upfront && c < n * NB_TILE; c += f->span)
            choose_span(j, s, first_row, rows, start * NB_TILE + c);
        for (uint32_t t = 0; t < n; t++) {
            correct(f, s, start, start + t, start + t);
            for (uint32_t r = 0; r < rows; r++)
                quantize_tile(f, s, r, start + t);
        }
    }
}

/* Reads a slab's rows, and if is_upfront chooses all their levels. False: a row is not finite. */
static bool read_slab(job *j, slab *s, uint32_t first_row, uint32_t rows) {
    const nb_feed *f = j->feed;
    uint32_t n = f->q->columns, per_span = f->span / f->granule;
    for (uint32_t r = 0; r < rows; r++) {
        if (!nb_weights_row(f->q->columns, f->source_type, f->weights, first_row + r, s->row)) {
            nb_mark_row(&j->bad_row, first_row + r);
            return false;
        }
        for (uint32_t i = 0; i < n; i++)
            s->weights[(size_t)r * n + i] = s->row[f->q->order[i]];
        for (uint32_t span = 0; f->is_upfront && span < n / f->span; span++)
            if (!f->choose(f->context, first_row + r, span, s->row + (size_t)span * f->span,
                           s->levels + (size_t)r * (n / f->granule) + span * per_span))
                nb_mark_row(&j->large_row, first_row + r);
    }
    return true;
}

static void run_slab(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    job *j = context;
    nb_feed *f = j->feed;
    slab *s = &j->slabs[thread];
    uint32_t first = (uint32_t)index * NB_TILE, rows = NB_MIN(f->rows - first, (uint32_t)NB_TILE);
    size_t n = f->q->columns;
    if (!read_slab(j, s, first, rows))
        return;
    quantize_slab(j, s, first, rows);
    for (uint32_t r = 0; r < rows; r++)
        f->finish(f->context, first + r, s->codes + r * n, s->values + r * n);
}

int32_t nb_feed_rows(nb_feed *f, nb_error *err) {
    void *memory;
    job j = {f, new_slabs(f, &memory, err), NB_NO_ROW, NB_NO_ROW};
    if (!j.slabs)
        return NB_ERR_MEMORY;
    nb_parallel(f->q->pool, (f->rows + NB_TILE - 1) / NB_TILE, false, run_slab, &j);
    nb_free(memory);
    if (j.bad_row != NB_NO_ROW)
        return nb_weights_refuse(f->q->columns, f->source_type, f->weights, j.bad_row, f->first_row, f->q->panel, err);
    if (j.large_row != NB_NO_ROW)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "row %u has weights that are too large for a scale of half precision; keep this matrix in F32",
                       f->first_row + j.large_row);
    return NB_OK;
}
