/* Attention of one head and one token over a cache of 8-bit keys and values. */
#include "integer_session.h"

enum {
    WEIGHT_BITS = 15, /* of the weights by which values are added up */
    BLOCK = 512       /* values that a sum of 32 bits holds: 512 * 2^15 * 2^7 = 2^31 */
};

/* The scores of n tokens, log2 of their weights, in units of 2^-16; returns the largest. */
static int64_t score(const nb_integer_session *s, size_t place, uint32_t n, const int16_t *q, nb_dyadic q_scale,
                     int64_t *scores) {
    uint32_t size = s->model->head_size;
    const int8_t *keys = s->keys + place * size;
    int64_t most = INT64_MIN;
    for (uint32_t t = 0; t < n; t++) {
        nb_dyadic scale = nb_dyadic_times(nb_dyadic_times(q_scale, s->key_scales[place + t]), s->model->score);
        scores[t] = nb_scaled(nb_integer_dot(keys + (size_t)t * size, q, size), scale);
        most = NB_MAX(most, scores[t]);
    }
    return most;
}

/* What values are multiplied with: weights, times the values' own scales, in units of 2^exponent. */
typedef struct weighting {
    uint64_t total; /* of the weights alone, times 2^30 */
    uint64_t most;
    int32_t exponent;
} weighting;

/* Scores become such weights. */
static weighting weigh(const nb_dyadic *scales, uint32_t n, int64_t most, int64_t *scores) {
    weighting w = {.exponent = INT32_MIN};
    for (uint32_t t = 0; t < n; t++)
        if (scales[t].m)
            w.exponent = NB_MAX(w.exponent, scales[t].e);
    for (uint32_t t = 0; t < n; t++) {
        uint64_t e = nb_integer_power((uint64_t)(most - scores[t]));
        uint64_t weight = scales[t].m ? e * scales[t].m >> NB_MIN(w.exponent - scales[t].e, 63) : 0;
        w.total += e;
        w.most = NB_MAX(w.most, weight);
        scores[t] = (int64_t)weight;
    }
    return w;
}

void nb_integer_attend(nb_integer_session *s, uint32_t layer, uint32_t row, uint32_t head, int64_t *wide) {
    const nb_integer_model *m = s->model;
    uint32_t size = m->head_size, n = s->first + row + 1;
    size_t place = nb_integer_place(s, layer, head / (m->heads / m->kv_heads)), of_q = (size_t)row * m->heads + head;
    int64_t most = score(s, place, n, s->q_codes + of_q * size, s->q_scales[of_q], wide);
    weighting w = weigh(s->value_scales + place, n, most, wide);
    int32_t cut = NB_MAX(nb_bit_length(w.most) - WEIGHT_BITS, 0);
    int64_t sums[NB_INTEGER_MOST_HEAD] = {0};
    for (uint32_t from = 0; from < n; from += BLOCK) {
        int32_t block[NB_INTEGER_MOST_HEAD] = {0};
        for (uint32_t t = from; t < NB_MIN(from + BLOCK, n); t++) {
            const int8_t *value = s->values + (place + t) * size;
            int32_t weight = (int32_t)NB_MIN(nb_round_shift(wide[t], cut), (1 << WEIGHT_BITS) - 1);
            for (uint32_t i = 0; i < size; i++)
                block[i] += weight * value[i];
        }
        for (uint32_t i = 0; i < size; i++)
            sums[i] += block[i];
    }
    int32_t *out = s->q + of_q * size;
    if (!w.most) {
        memset(out, 0, size * sizeof *out);
        return;
    }
    /* Sums of long contexts lose bits, so that they have 31. */
    int32_t spare = NB_MAX(nb_bit_length(n) - 9, 0);
    nb_dyadic share = nb_dyadic_of(((uint64_t)1 << 62) / w.total, -62);
    for (uint32_t i = 0; i < size; i++)
        out[i] = nb_shift(nb_round_shift(sums[i], spare) * (int64_t)share.m, -(share.e + cut + w.exponent + spare));
}
