/* Attention of one head and one token over the cache of 8-bit keys and values. */
#include "integer_session.h"

enum {
    WEIGHT_BITS = 15, /* of attention weights */
    BLOCK = 512       /* weighted values that fit into a sum of 32 bits: 512 * 2^15 * 2^7 = 2^31 */
};

/* The scores of n tokens, log2 of their weights, in units of 2^-16. Returns the largest. */
static int64_t score(const nb_integer_session *s, size_t position, uint32_t n, const int16_t *q, nb_dyadic q_scale,
                     int64_t *scores) {
    uint32_t size = s->model->head_size;
    const int8_t *keys = s->keys + position * size;
    int64_t most = INT64_MIN;
    for (uint32_t t = 0; t < n; t++) {
        nb_dyadic scale = nb_dyadic_times(nb_dyadic_times(q_scale, s->key_scales[position + t]), s->model->score);
        scores[t] = nb_scaled(nb_integer_dot(keys + (size_t)t * size, q, size), scale);
        most = NB_MAX(most, scores[t]);
    }
    return most;
}

/* Factors of the values' codes: attention weights times the values' scales, in units of 2^exponent. */
typedef struct weighting {
    uint64_t total; /* sum of the attention weights alone, in units of 2^-30 */
    uint64_t most;  /* the largest factor */
    int32_t exponent;
} weighting;

/* Replaces scores by these factors. */
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

void nb_integer_attend(nb_integer_session *s, uint32_t layer, uint32_t row, uint32_t head, int64_t *scratch) {
    const nb_integer_model *m = s->model;
    uint32_t size = m->head_size, n = s->first + row + 1;
    size_t position = nb_integer_place(s, layer, head / (m->heads / m->kv_heads)),
           query = (size_t)row * m->heads + head;
    int64_t most = score(s, position, n, s->q_codes + query * size, s->q_scales[query], scratch);
    weighting w = weigh(s->value_scales + position, n, most, scratch);
    int32_t shift = NB_MAX(nb_bit_length(w.most) - WEIGHT_BITS, 0);
    int64_t sums[NB_INTEGER_MOST_HEAD] = {0};
    for (uint32_t from = 0; from < n; from += BLOCK) {
        int32_t block[NB_INTEGER_MOST_HEAD] = {0};
        for (uint32_t t = from; t < NB_MIN(from + BLOCK, n); t++) {
            const int8_t *value = s->values + (position + t) * size;
            int32_t weight = (int32_t)NB_MIN(nb_round_shift(scratch[t], shift), (1 << WEIGHT_BITS) - 1);
            for (uint32_t i = 0; i < size; i++)
                block[i] += weight * value[i];
        }
        for (uint32_t i = 0; i < size; i++)
            sums[i] += block[i];
    }
    int32_t *out = s->q + query * size;
    if (!w.most) {
        memset(out, 0, size * sizeof *out);
        return;
    }
    /* Sums over long contexts are shortened to 31 bits. */
    int32_t dropped = NB_MAX(nb_bit_length(n) - 9, 0);
    nb_dyadic share = nb_dyadic_of(((uint64_t)1 << 62) / w.total, -62);
    for (uint32_t i = 0; i < size; i++)
        out[i] =
            nb_shift(nb_round_shift(sums[i], dropped) * (int64_t)share.m, -(share.e + shift + w.exponent + dropped));
}
