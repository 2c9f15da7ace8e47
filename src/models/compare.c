/* Compares two models: their logits for the same tokens, and their weights. Each model lives in an instance of its own,
 * so the base's numbers are handed over some rows at a time. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../kernels/ops.h"
#include "../types/types.h"
#include "compare.h"
#include "family.h"
#include "outliers.h"
#include "session.h"

#include <math.h>

/* ---- logits ---------------------------------------------------------------------------------------------------- */

int32_t nb_session_project(nb_session *s, int32_t first, int32_t rows, nb_error *err) {
    s->logits_rows = 0;
    if (first < 0 || rows < 1 || (uint32_t)first < s->scored_first || (uint32_t)rows > s->scored_rows ||
        (uint32_t)first - s->scored_first > s->scored_rows - (uint32_t)rows)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "tokens [%d, %d + %d) are not among the %u from %u on that nb_session_score evaluated last",
                       first, first, rows, s->scored_rows, s->scored_first);
    uint32_t some = NB_MIN((uint32_t)rows, s->logits_capacity);
    nb_forbid_allocation(true);
    int32_t code = nb_session_compute_logits(s, (uint32_t)first - s->scored_first, some, err);
    nb_forbid_allocation(false);
    return code < 0 ? code : (int32_t)some;
}

typedef struct pairing {
    const float *base, *other; /* [rows, vocabulary]: logits */
    const int32_t *next;       /* [rows] */
    double *out;               /* [rows, NB_COMPARED_NUMBERS] */
    uint32_t vocabulary, rows;
} pairing;

/* ln of the sum of exponentials. In F64, unlike nb_log_sum_exp: a small divergence is the difference of large
 * numbers. */
static double log_sum(const float *x, uint32_t n, double most) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += nb_exp((double)x[i] - most);
    return most + nb_log(sum);
}

/* Of one row. With p = softmax(base) and q = softmax(other):
 *   KL(p || q) = sum_i p_i (ln p_i - ln q_i) = sum_i p_i (base_i - other_i) - lse(base) + lse(other)
 * (Kullback and Leibler 1951; llama.cpp's tools/perplexity --kl-divergence). */
static void compare_row(const pairing *p, uint32_t row) {
    const float *base = p->base + (size_t)row * p->vocabulary, *other = p->other + (size_t)row * p->vocabulary;
    uint32_t best = nb_argmax(base, p->vocabulary), best_of_other = nb_argmax(other, p->vocabulary);
    double of_base = log_sum(base, p->vocabulary, (double)base[best]),
           of_other = log_sum(other, p->vocabulary, (double)other[best_of_other]), sum = 0;
    for (uint32_t i = 0; i < p->vocabulary; i++)
        sum += nb_exp((double)base[i] - of_base) * ((double)base[i] - (double)other[i]);
    double *out = p->out + (size_t)row * NB_COMPARED_NUMBERS;
    out[NB_COMPARED_BASE] = of_base - (double)base[p->next[row]];
    out[NB_COMPARED_OTHER] = of_other - (double)other[p->next[row]];
    out[NB_COMPARED_DIVERGENCE] = NB_MAX(0.0, sum - of_base + of_other); /* rounding may leave less than zero */
    out[NB_COMPARED_SAME_TOP] = best == best_of_other;
}

static void compare_rows(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)thread;
    const pairing *p = context;
    uint32_t end = nb_share(p->rows, index + 1, count);
    for (uint32_t row = nb_share(p->rows, index, count); row < end; row++)
        compare_row(p, row);
}

void nb_compare_logits(nb_session *s, uint32_t rows, const float *base, const int32_t *next, double *out) {
    pairing p = {base, s->logits, next, out, s->model->shape.vocabulary, rows};
    nb_parallel(s->pool, p.rows, false, compare_rows, &p);
    s->logits_rows = 0;
}

int32_t nb_session_compare(nb_session *s, int32_t first, int32_t rows, const float *base, const int32_t *next,
                           double *out, nb_error *err) {
    if (rows < 1 || (uint32_t)rows > s->logits_capacity)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%d rows of logits are not 1 to %u", rows, s->logits_capacity);
    NB_TRY(nb_session_check_tokens(s, next, 0, (uint32_t)rows, err));
    int32_t code = nb_session_project(s, first, rows, err);
    NB_TRY(code);
    nb_compare_logits(s, (uint32_t)rows, base, next, out);
    return code;
}

/* ---- weights --------------------------------------------------------------------------------------------------- */

/* A matrix, and where it belongs. */
typedef struct place {
    const nb_matrix *w; /* NULL: there are no more */
    const nb_slot *slot;
    int32_t layer; /* -1: of the model */
} place;

/* Whether the matrix is there, and is not part of another one or stored under another name. */
static bool stands_alone(const nb_model *m, const nb_layer *layer, const nb_matrix *w) {
    if (!w->data || (w == &m->output && w->data == m->embedding.data))
        return false;
    return !layer || !((w == &layer->qkv && layer->q.rows) || (w == &layer->gate_up && layer->gate.rows));
}

static place place_of(const nb_model *m, uint32_t number) {
    for (const nb_slot *slot = m->family ? m->family->slots : NULL; slot && slot->name; slot++)
        for (uint32_t i = 0; slot->is_matrix && i < (slot->in_layer ? m->shape.layers : 1); i++) {
            const nb_layer *layer = slot->in_layer ? &m->layers[i] : NULL;
            const uint8_t *owner = slot->in_layer ? (const uint8_t *)layer : (const uint8_t *)m;
            const nb_matrix *w = (const nb_matrix *)(const void *)(owner + slot->at);
            if (stands_alone(m, layer, w) && number-- == 0)
                return (place){w, slot, layer ? (int32_t)i : -1};
        }
    return (place){0};
}

int32_t nb_model_matrices(const nb_model *m) {
    uint32_t n = 0;
    while (m->layers && place_of(m, n).w)
        n++;
    return (int32_t)n;
}

static int32_t find(const nb_model *m, int32_t i, place *found, nb_error *err) {
    if (i >= 0 && m->layers)
        *found = place_of(m, (uint32_t)i);
    if (!found->w)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "the model has no matrix of number %d", i);
    return NB_OK;
}

int32_t nb_model_matrix(const nb_model *m, int32_t i, nb_matrix_facts *facts, nb_error *err) {
    place p = {0};
    NB_TRY(find(m, i, &p, err));
    *facts = (nb_matrix_facts){.type = p.w->type, .rows = p.w->rows, .columns = p.w->columns, .layer = p.layer};
    nb_writer w = nb_writer_over(facts->kind, sizeof facts->kind);
    nb_write(&w, "%s", p.slot->name);
    return NB_OK;
}

/* In GGUF the rows of Llama's queries and keys are permuted, so that RoPE's pairs are neighbours. In folders they are
 * (e, e + pairs). Rows are counted as in folders here: this maps them to rows of the file. */
static uint32_t row_of(const nb_model *m, const place *p, uint32_t row) {
    const nb_rope *rope = &m->shape.ropes[0];
    const nb_layer *layer = p->layer < 0 ? NULL : &m->layers[p->layer];
    if (!layer || !rope->interleaved || (p->w != &layer->q && p->w != &layer->k))
        return row;
    uint32_t e = row % m->shape.head_size;
    if (e >= 2 * rope->pairs)
        return row;
    return row - e + (e < rope->pairs ? 2 * e : 2 * (e - rope->pairs) + 1);
}

/* One row, with everything applied that a product applies to it. scratch, out: [columns]. */
static void read_row(const nb_model *m, const place *p, uint32_t row, float *scratch, float *out) {
    const nb_matrix *w = p->w;
    row = row_of(m, p, row);
    float *to = w->order ? scratch : out;
    nb_matrix_row(w, row, to);
    if (w->n_scales)
        nb_scale(to, w->scales[row / (w->rows / w->n_scales)], w->columns);
    for (uint32_t i = 0; w->order && i < w->columns; i++)
        out[w->order[i]] = scratch[i];
    if (w->outliers)
        nb_outliers_put_row(w, row, scratch, out);
}

static int32_t check_rows(const place *p, int32_t row, int32_t rows, nb_error *err) {
    if (row < 0 || rows < 1 || (uint32_t)rows > p->w->rows || (uint32_t)row > p->w->rows - (uint32_t)rows)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "rows [%d, %d + %d) are not within a matrix of %u", row, row, rows,
                       p->w->rows);
    return NB_OK;
}

int32_t nb_model_weights(const nb_model *m, int32_t i, int32_t row, int32_t rows, float *out, nb_error *err) {
    place p = {0};
    NB_TRY(find(m, i, &p, err));
    NB_TRY(check_rows(&p, row, rows, err));
    float *scratch = nb_alloc_items(p.w->columns, sizeof *scratch);
    if (!scratch)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a row of weights");
    for (uint32_t r = 0; r < (uint32_t)rows; r++)
        read_row(m, &p, (uint32_t)row + r, scratch, out + (size_t)r * p.w->columns);
    nb_free(scratch);
    return NB_OK;
}

double nb_model_matrix_rms(const nb_model *m, int32_t i) {
    place p = {0};
    float *row = NULL;
    double sum = 0;
    if (find(m, i, &p, NULL) == NB_OK)
        row = nb_alloc_items(2 * (uint64_t)p.w->columns, sizeof *row);
    for (uint32_t r = 0; row && r < p.w->rows; r++) {
        read_row(m, &p, r, row + p.w->columns, row);
        for (uint32_t c = 0; c < p.w->columns; c++)
            sum += (double)row[c] * (double)row[c];
    }
    nb_free(row);
    return row ? sqrt(sum / ((double)p.w->rows * p.w->columns)) : 0;
}

/* The bin of a weight: NB_WEIGHT_BINS of equal width from -NB_WEIGHT_RANGE to NB_WEIGHT_RANGE units; what lies outside
 * is in the first or the last. */
static uint32_t bin_of(float x, float per_unit) {
    float at = (x * per_unit / NB_WEIGHT_RANGE + 1) * (NB_WEIGHT_BINS / 2);
    return at >= NB_WEIGHT_BINS - 1 ? NB_WEIGHT_BINS - 1 : at > 0 ? (uint32_t)at : 0;
}

int32_t nb_model_weights_compare(const nb_model *m, int32_t i, int32_t row, int32_t rows, const float *base, float unit,
                                 double *squares, uint32_t *bins, nb_error *err) {
    place p = {0};
    NB_TRY(find(m, i, &p, err));
    NB_TRY(check_rows(&p, row, rows, err));
    uint32_t columns = p.w->columns;
    float *mine = nb_alloc_items(2 * (uint64_t)columns, sizeof *mine), per_unit = unit > 0 ? 1 / unit : 0;
    if (!mine)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a row of weights");
    for (uint32_t r = 0; r < (uint32_t)rows; r++, base += columns) {
        read_row(m, &p, (uint32_t)row + r, mine + columns, mine);
        for (uint32_t c = 0; c < columns; c++) {
            double difference = (double)mine[c] - (double)base[c];
            squares[0] += difference * difference;
            squares[1] += (double)base[c] * (double)base[c];
            bins[bin_of(base[c], per_unit)]++;
            bins[NB_WEIGHT_BINS + bin_of(mine[c], per_unit)]++;
        }
    }
    nb_free(mine);
    return NB_OK;
}
