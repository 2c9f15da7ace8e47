/* The order of the columns, and the factorization of the Hessian (hessian.h has the formulas). */
#include "hessian.h"

#include "../base/numbers.h"
#include "../base/sort.h"

#pragma STDC FP_CONTRACT OFF

/* ---- order ------------------------------------------------------------------------------------------------------ */

/* Descending; columns of equal diagonal stay in order. */
static int by_diagonal(const void *table, uint32_t a, uint32_t b) {
    const float *diagonal = table;
    return diagonal[a] > diagonal[b] ? -1 : diagonal[a] < diagonal[b] ? 1 : a < b ? -1 : 1;
}

/* Gafni et al. 2025, as in GPTQModel: groups by descending largest diagonal, and within them columns by descending
 * diagonal. */
static void order_groups(nb_quantizer *q, uint32_t group) {
    uint32_t groups = q->columns / group, *sorted = (uint32_t *)q->panel;
    float *largest = q->panel + q->columns;
    for (uint32_t g = 0; g < groups; g++) {
        largest[g] = q->importance[g * group];
        for (uint32_t i = 1; i < group; i++)
            largest[g] = NB_MAX(largest[g], q->importance[g * group + i]);
    }
    nb_sort(sorted, groups, by_diagonal, largest);
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t *order = q->order + (size_t)g * group, first = sorted[g] * group;
        nb_sort(order, group, by_diagonal, q->importance + first);
        for (uint32_t i = 0; i < group; i++)
            order[i] += first;
    }
}

static void choose_order(nb_quantizer *q) {
    switch (q->settings.order) {
    case NB_ORDER_ACTIVATION:
    case NB_ORDER_STATIC: nb_sort(q->order, q->columns, by_diagonal, q->importance); break;
    case NB_ORDER_GROUP_AWARE: order_groups(q, q->settings.group); break;
    default:
        for (uint32_t i = 0; i < q->columns; i++)
            q->order[i] = i;
    }
}

/* ---- the Hessian ------------------------------------------------------------------------------------------------ */

static int32_t check_settings(const nb_quantizer *q, const nb_gptq_settings *s, nb_error *err) {
    if (!(s->damping >= 0 && s->damping <= 1))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "damping is %g; take a number from 0 to 1, such as 0.05",
                       (double)s->damping);
    if (s->order > NB_ORDER_GROUP_AWARE)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there is no order of columns with the number %u", s->order);
    if (s->order == NB_ORDER_GROUP_AWARE && (!s->group || q->columns % s->group))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "groups of %u columns do not divide rows of %u", s->group, q->columns);
    return NB_OK;
}

static int32_t check_hessian(nb_quantizer *q, nb_error *err) {
    double sum = 0;
    for (uint32_t i = 0; q->hessian && i < q->columns; i++) {
        const float *row = q->hessian + (size_t)i * q->columns;
        for (uint32_t j = 0; j <= i; j++)
            if (!(__builtin_fabsf(row[j]) <= 0x1.fffffep127f))
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "the Hessian is not finite at columns %u and %u: the model's activations overflow on "
                               "the "
                               "calibration text",
                               i, j);
        if (row[i] < 0)
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "the Hessian's diagonal is %g at column %u, but sums of squares are not negative",
                           (double)row[i], i);
        sum += (double)row[i];
    }
    q->mean_diagonal = sum > 0 ? (float)(sum / q->columns) : 1;
    if (q->mean_diagonal == 0) /* it underflowed */
        q->mean_diagonal = 0x1p-126f;
    return NB_OK;
}

/* A column whose inputs were always 0 has a diagonal of 0 without damping. It still needs a positive number: H must
 * have a factor, and a block of only such columns must be rounded. The number is so small that it disappears in F32
 * when it is added to another diagonal. */
static void damp(nb_quantizer *q) {
    float more = q->settings.damping * q->mean_diagonal, least = NB_MAX(0x1p-24f * q->mean_diagonal, 0x1p-126f);
    for (uint32_t i = 0; i < q->columns; i++) {
        float diagonal = (q->hessian ? q->hessian[(size_t)i * q->columns + i] : 0) + more;
        q->importance[i] = diagonal > 0 ? diagonal : least;
    }
}

int32_t nb_quantizer_prepare(nb_quantizer *q, const nb_gptq_settings *settings, nb_error *err) {
    q->is_ready = false;
    q->mean_diagonal = 0; /* it stays 0 after an error */
    NB_TRY(check_settings(q, settings, err));
    NB_TRY(check_hessian(q, err));
    q->settings = *settings;
    q->steps = 0;
    damp(q);
    choose_order(q);
    return NB_OK;
}

float nb_quantizer_damping(const nb_quantizer *q) {
    return q->settings.damping;
}

int32_t nb_hessian_check_ready(const nb_quantizer *q, uint32_t flags, nb_error *err) {
    if (flags & NB_ROWS_NEAREST)
        return q->mean_diagonal > 0
                 ? NB_OK
                 : NB_FAIL(err, NB_ERR_STATE, "the importance of columns is not known: call nb_quantizer_prepare");
    return q->is_ready
             ? NB_OK
             : NB_FAIL(err, NB_ERR_STATE,
                       "the Hessian is not factored: call nb_quantizer_prepare, and nb_quantizer_factor until "
                       "it returns 0");
}

/* ---- H = R R^T -------------------------------------------------------------------------------------------------- */

/* The damped H of the columns that are number i and j in the order. A column whose inputs were always 0 counts as
 * independent of all others. */
static float damped(const nb_quantizer *q, uint32_t i, uint32_t j) {
    uint32_t a = q->order[i], b = q->order[j];
    if (a == b)
        return q->importance[a];
    bool both_used = nb_hessian_at(q, a, a) > 0 && nb_hessian_at(q, b, b) > 0;
    return both_used ? nb_hessian_at(q, a, b) : 0;
}

static float *tile_at(const nb_quantizer *q, uint32_t row, uint32_t column) {
    return q->hessian + ((size_t)row * q->columns + column) * NB_TILE;
}

typedef double tile64[NB_TILE][NB_TILE];

/* The upper triangle of a tile on the diagonal: H minus the products of R's rows over the columns to the right. */
static void sum_tile(const nb_quantizer *q, uint32_t k, tile64 a) {
    size_t n = q->columns, right = n - (size_t)(k + 1) * NB_TILE;
    for (uint32_t r = 0; r < NB_TILE; r++)
        for (uint32_t c = r; c < NB_TILE; c++) {
            const float *x = tile_at(q, k, k + 1) + r * n, *y = tile_at(q, k, k + 1) + c * n;
            double sums[4] = {0};
            for (size_t j = 0; j < right; j += 4)
                for (int s = 0; s < 4; s++)
                    sums[s] += (double)x[j + (size_t)s] * (double)y[j + (size_t)s];
            a[r][c] = (double)damped(q, k * NB_TILE + r, k * NB_TILE + c) - (sums[0] + sums[1] + sums[2] + sums[3]);
        }
}

/* Factors a = R R^T in place, R upper triangular. False: a is not positive definite, to the precision of F32. */
static bool factor_tile(const nb_quantizer *q, uint32_t k, tile64 a) {
    for (int c = NB_TILE - 1; c >= 0; c--) {
        uint32_t column = k * NB_TILE + (uint32_t)c;
        if (!(a[c][c] > 1e-7 * (double)damped(q, column, column)))
            return false;
        a[c][c] = __builtin_sqrt(a[c][c]);
        for (int r = 0; r < c; r++)
            a[r][c] /= a[c][c];
        for (int r = 0; r < c; r++)
            for (int s = r; s < c; s++)
                a[r][s] -= a[r][c] * a[s][c];
    }
    return true;
}

static void invert_tile(tile64 r, float *out) {
    tile64 u = {{0}};
    for (int c = 0; c < NB_TILE; c++) {
        u[c][c] = 1 / r[c][c];
        for (int i = c - 1; i >= 0; i--) {
            double sum = 0;
            for (int j = i + 1; j <= c; j++)
                sum += r[i][j] * u[j][c];
            u[i][c] = -sum / r[i][i];
        }
    }
    for (int i = 0; i < NB_TILE_NUMBERS; i++)
        out[i] = (float)u[i / NB_TILE][i % NB_TILE];
}

typedef struct tile_job {
    nb_quantizer *q;
    uint32_t tile;
} tile_job;

/* Tile (i, k) of R, i < k: H minus the products of R's rows, times R_kk^-T = U_kk^T. */
static void factor_above(void *context, uint64_t i, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    tile_job *s = context;
    nb_quantizer *q = s->q;
    uint32_t row = (uint32_t)i, k = s->tile;
    size_t n = q->columns;
    float *out = tile_at(q, row, k), negative[NB_TILE_NUMBERS];
    for (uint32_t r = 0; r < NB_TILE; r++)
        for (uint32_t c = 0; c < NB_TILE; c++)
            out[r * n + c] = damped(q, row * NB_TILE + r, k * NB_TILE + c);
    nb_tile_subtract_dots(out, n, tile_at(q, row, k + 1), n, tile_at(q, k, k + 1), n, n - (size_t)(k + 1) * NB_TILE);
    for (uint32_t r = 0; r < NB_TILE; r++)
        for (uint32_t c = 0; c < NB_TILE; c++) {
            negative[r * NB_TILE + c] = -out[r * n + c];
            out[r * n + c] = 0;
        }
    nb_tile_subtract_dots(out, n, negative, NB_TILE, q->diagonal + (size_t)k * NB_TILE_NUMBERS, NB_TILE, NB_TILE);
}

static bool factor_column(nb_quantizer *q, uint32_t k) {
    tile64 a;
    sum_tile(q, k, a);
    if (!factor_tile(q, k, a))
        return false;
    invert_tile(a, q->diagonal + (size_t)k * NB_TILE_NUMBERS);
    tile_job s = {q, k};
    nb_parallel(q->pool, k, false, factor_above, &s);
    return true;
}

/* ---- U = R^-1 --------------------------------------------------------------------------------------------------- */

void nb_hessian_panel(const nb_quantizer *q, uint32_t from, uint32_t to, uint32_t tile, float *out) {
    for (uint32_t t = from; t < to; t++)
        if (t == tile) {
            memcpy(out, q->diagonal + (size_t)t * NB_TILE_NUMBERS, NB_TILE_NUMBERS * sizeof *out);
            out += NB_TILE_NUMBERS;
        } else
            for (uint32_t r = 0; r < NB_TILE; r++, out += NB_TILE)
                memcpy(out, tile_at(q, t, tile) + (size_t)r * q->columns, NB_TILE * sizeof *out);
}

/* Tile (i, k) of U, i < k: -U_ii times the sum over i < j <= k of R_ij U_jk. */
static void invert_above(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    tile_job *s = context;
    nb_quantizer *q = s->q;
    uint32_t i = s->tile, k = i + 1 + (uint32_t)index;
    size_t n = q->columns;
    float *panel = q->scratch + (size_t)thread * n * NB_TILE, sum[NB_TILE_NUMBERS] = {0};
    nb_hessian_panel(q, i + 1, k + 1, k, panel);
    nb_tile_subtract(sum, NB_TILE, q->panel + (size_t)(i + 1) * NB_TILE, n, panel, (size_t)(k - i) * NB_TILE);
    for (int j = 0; j < NB_TILE_NUMBERS; j++)
        sum[j] = -sum[j];
    float *out = tile_at(q, i, k);
    for (uint32_t r = 0; r < NB_TILE; r++)
        memset(out + r * n, 0, NB_TILE * sizeof *out);
    nb_tile_subtract(out, n, q->diagonal + (size_t)i * NB_TILE_NUMBERS, NB_TILE, sum, NB_TILE);
}

static void invert_row(nb_quantizer *q, uint32_t i) {
    tile_job s = {q, i};
    memcpy(q->panel, tile_at(q, i, 0), (size_t)q->columns * NB_TILE * sizeof(float));
    nb_parallel(q->pool, q->tiles - 1 - i, false, invert_above, &s);
}

/* ---- steps ------------------------------------------------------------------------------------------------------ */

static int32_t damp_more(nb_quantizer *q, nb_error *err) {
    q->settings.damping = NB_MAX(10 * q->settings.damping, 1e-4f);
    if (!(q->settings.damping <= 10))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the Hessian is not positive definite even with %g of its mean diagonal added: it is damaged",
                       (double)q->settings.damping / 10);
    damp(q);
    q->steps = 0;
    return (int32_t)(2 * q->tiles);
}

int32_t nb_quantizer_factor(nb_quantizer *q, nb_error *err) {
    if (!q->mean_diagonal) /* nb_quantizer_prepare sets it */
        return NB_FAIL(err, NB_ERR_STATE, "there is nothing to factor: call nb_quantizer_prepare first");
    NB_TRY(nb_hessian_check_given(q, err));
    if (q->is_ready)
        return 0;
    if (q->steps < q->tiles) {
        if (!factor_column(q, q->tiles - 1 - q->steps))
            return damp_more(q, err);
    } else {
        invert_row(q, 2 * q->tiles - 1 - q->steps);
    }
    q->steps++;
    q->is_ready = q->steps == 2 * q->tiles;
    return (int32_t)(2 * q->tiles - q->steps);
}
