#include "lloyd_max.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/sort.h"
#include "uniform.h"

#pragma STDC FP_CONTRACT OFF

enum { ROUNDS = 300, MOST_INTERVALS = 2048 };

/* The numbers in ascending order, and prefix sums over them: element i is the sum over the first i. */
typedef struct sorted {
    size_t n;
    uint32_t *order;
    float *x;
    double *weight, *weighted, *squares; /* prefix sums of w, w x, w x^2, each [n + 1] */
} sorted;

typedef struct entries {
    uint32_t n;
    double at[NB_MOST_ENTRIES];
    size_t ends[NB_MOST_ENTRIES]; /* entry i has the sorted numbers from ends[i - 1], or 0, to ends[i] */
} entries;

static int compare(const void *table, uint32_t a, uint32_t b) {
    const float *x = table;
    return x[a] < x[b] ? -1 : x[a] > x[b];
}

/* How many of the sorted numbers are at most `bound`. */
static size_t count_to(const sorted *s, double bound) {
    size_t low = 0, high = s->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->x[middle] <= bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* ---- the start --------------------------------------------------------------------------------------------------- */

/* Dynamic programming: least[j] is the error of the best codebook with the entries so far for the first j intervals,
 * and cuts[entry][j] is the first interval of the last entry of that codebook. */
typedef struct search {
    uint32_t intervals;
    double *least, *next; /* [MOST_INTERVALS + 1] */
    uint16_t *cuts;       /* [entries][MOST_INTERVALS + 1] */
} search;

/* Where interval i begins among the sorted numbers. */
static size_t begin_of(const sorted *s, const search *d, uint32_t i) {
    return (size_t)((uint64_t)s->n * i / d->intervals);
}

/* The error of one entry for the intervals i ... j - 1. */
static double cost(const sorted *s, const search *d, uint32_t i, uint32_t j) {
    size_t from = begin_of(s, d, i), to = begin_of(s, d, j);
    double weight = s->weight[to] - s->weight[from], sum = s->weighted[to] - s->weighted[from];
    return weight > 0 ? s->squares[to] - s->squares[from] - sum * sum / weight : 0;
}

/* Adds an entry. cuts[j] ascends with j, so it is found by bisection: for every j in the middle between two known ones
 * it lies between their cuts. */
static void add_entry(const sorted *s, search *d, uint16_t *cuts) {
    uint32_t half = 1;
    while (half <= d->intervals)
        half *= 2;
    d->next[0] = 0;
    cuts[0] = 0;
    for (; half; half /= 2)
        for (uint32_t j = half; j <= d->intervals; j += 2 * half) {
            uint32_t first = cuts[j - half], last = j + half <= d->intervals ? NB_MIN(j, cuts[j + half]) : j;
            d->next[j] = d->least[first] + cost(s, d, first, j);
            cuts[j] = (uint16_t)first;
            for (uint32_t i = first + 1; i <= last; i++) {
                double error = d->least[i] + cost(s, d, i, j);
                if (error < d->next[j]) {
                    d->next[j] = error;
                    cuts[j] = (uint16_t)i;
                }
            }
        }
    double *swap = d->least;
    d->least = d->next;
    d->next = swap;
}

static void start_entries(const sorted *s, search *d, entries *e) {
    uint32_t line = MOST_INTERVALS + 1, end = d->intervals;
    for (uint32_t j = 0; j <= d->intervals; j++) {
        d->least[j] = cost(s, d, 0, j);
        d->cuts[j] = 0;
    }
    for (uint32_t k = 1; k < e->n; k++)
        add_entry(s, d, d->cuts + (size_t)k * line);
    for (uint32_t k = e->n; k-- > 0;) {
        uint32_t begin = d->cuts[(size_t)k * line + end];
        size_t from = begin_of(s, d, begin), to = begin_of(s, d, end);
        double weight = s->weight[to] - s->weight[from];
        e->at[k] = weight > 0 ? (s->weighted[to] - s->weighted[from]) / weight : s->x[NB_MIN(from, s->n - 1)];
        end = begin;
    }
}

/* ---- Lloyd's iterations ------------------------------------------------------------------------------------------ */

static void improve(const sorted *s, entries *e) {
    bool changes = true;
    for (uint32_t i = 0; i < e->n; i++)
        e->ends[i] = 0;
    for (int round = 0; round < ROUNDS && changes; round++) {
        changes = false;
        for (uint32_t i = 0; i < e->n; i++) {
            size_t end = i + 1 < e->n ? count_to(s, (e->at[i] + e->at[i + 1]) / 2) : s->n;
            changes |= end != e->ends[i];
            e->ends[i] = end;
        }
        for (uint32_t i = 0; i < e->n; i++) { /* an entry without numbers stays where it is */
            size_t from = i ? e->ends[i - 1] : 0, to = e->ends[i];
            double weight = s->weight[to] - s->weight[from];
            if (to > from && weight > 0)
                e->at[i] = (s->weighted[to] - s->weighted[from]) / weight;
        }
    }
}

static int32_t check(const float *x, const float *importance, size_t n, uint32_t count, nb_error *err) {
    if (count < 1 || count > NB_MOST_ENTRIES)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a codebook has 1 to 256 entries, not %u", count);
    if (!n || n > UINT32_MAX)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a codebook cannot be fitted to %z numbers", n);
    NB_TRY(nb_matrix_check("the numbers to be quantized", x, 1, n, err));
    for (size_t i = 0; importance && i < n; i++)
        if (!(importance[i] >= 0 && importance[i] <= 0x1.fffffep127f))
            return NB_FAIL(err, NB_ERR_ARGUMENT,
                           "the importance of number %z is %g; it must be finite and not negative", i,
                           (double)importance[i]);
    return NB_OK;
}

/* If all importances are 0, all numbers count alike. */
static void fill(sorted *s, const float *x, const float *importance) {
    bool counts = false;
    nb_sort(s->order, (uint32_t)s->n, compare, x);
    for (size_t i = 0; importance && i < s->n; i++)
        counts |= importance[i] > 0;
    s->weight[0] = s->weighted[0] = s->squares[0] = 0;
    for (size_t i = 0; i < s->n; i++) {
        double value = x[s->order[i]], weight = counts ? importance[s->order[i]] : 1;
        s->x[i] = x[s->order[i]];
        s->weight[i + 1] = s->weight[i] + weight;
        s->weighted[i + 1] = s->weighted[i] + weight * value;
        s->squares[i + 1] = s->squares[i] + weight * value * value;
    }
}

static void place_buffers(nb_arena *arena, sorted *s, search *d, uint32_t count) {
    s->weight = nb_arena_take(arena, s->n + 1, sizeof(double));
    s->weighted = nb_arena_take(arena, s->n + 1, sizeof(double));
    s->squares = nb_arena_take(arena, s->n + 1, sizeof(double));
    s->order = nb_arena_take(arena, s->n, sizeof *s->order);
    s->x = nb_arena_take(arena, s->n, sizeof *s->x);
    d->least = nb_arena_take(arena, MOST_INTERVALS + 1, sizeof(double));
    d->next = nb_arena_take(arena, MOST_INTERVALS + 1, sizeof(double));
    d->cuts = nb_arena_take(arena, (uint64_t)count * (MOST_INTERVALS + 1), sizeof *d->cuts);
}

void nb_codebook_codes(const float *x, size_t n, const float *codebook, uint32_t count, uint8_t *codes) {
    for (size_t i = 0; i < n; i++) {
        uint32_t low = 0, high = count - 1;
        while (low < high) {
            uint32_t middle = (low + high) / 2;
            if (((double)codebook[middle] + (double)codebook[middle + 1]) / 2 < x[i])
                low = middle + 1;
            else
                high = middle;
        }
        codes[i] = (uint8_t)low;
    }
}

static int32_t fit(const float *x, const float *importance, size_t n, uint32_t count, bool is_started, float *codebook,
                   uint8_t *codes, nb_error *err) {
    NB_TRY(check(x, importance, n, count, err));
    sorted s = {.n = n};
    search d = {.intervals = (uint32_t)NB_MIN(n, (size_t)MOST_INTERVALS)};
    nb_arena arena = {0};
    place_buffers(&arena, &s, &d, count);
    NB_TRY(nb_arena_reserve(&arena, "the numbers of a codebook", err));
    place_buffers(&arena, &s, &d, count);
    fill(&s, x, importance);
    entries e = {.n = count};
    for (uint32_t k = 0; k < count && is_started; k++)
        e.at[k] = codebook[k];
    if (!is_started)
        start_entries(&s, &d, &e);
    improve(&s, &e);
    for (uint32_t k = 0; k < count; k++)
        codebook[k] = (float)e.at[k];
    nb_arena_free(&arena);
    nb_codebook_codes(x, n, codebook, count, codes);
    return NB_OK;
}

int32_t nb_lloyd_max(const float *x, const float *importance, size_t n, uint32_t count, float *codebook, uint8_t *codes,
                     nb_error *err) {
    return fit(x, importance, n, count, false, codebook, codes, err);
}

int32_t nb_lloyd_max_from(const float *x, const float *importance, size_t n, uint32_t count, float *codebook,
                          uint8_t *codes, nb_error *err) {
    for (uint32_t k = 0; k < count && k < NB_MOST_ENTRIES; k++)
        if (!(__builtin_fabsf(codebook[k]) <= 0x1.fffffep127f) || (k && codebook[k] < codebook[k - 1]))
            return NB_FAIL(err, NB_ERR_ARGUMENT, "entry %u of the codebook to start from is %g: they must ascend", k,
                           (double)codebook[k]);
    return fit(x, importance, n, count, true, codebook, codes, err);
}
