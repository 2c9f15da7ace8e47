#include "blocks.h"

#include "../base/numbers.h"
#include "../kernels/attention.h"
#include "../kernels/ops.h"
#include "../types/finite.h"
#include "../types/types.h"
#include "family.h"

#include <math.h>

bool nb_layer_is_parallel(const nb_model *model, uint32_t layer) {
    const nb_layer *l = &model->layers[layer];
    return model->shape.parallel || !(l->feed_forward_norm.weight || l->attention_post_norm.weight);
}

/* Whether layer i is the last of a period; period 0: never. */
static bool is_last_of(uint32_t period, uint32_t i) {
    return period && (i + 1) % period == 0;
}

nb_step nb_step_of(nb_session *s, uint32_t i) {
    const nb_shape *m = &s->model->shape;
    uint32_t window = is_last_of(m->window_period, i) ? 0 : m->window;
    bool second_rope = (window && m->window_has_rope) || is_last_of(m->unrotated_period, i);
    return (nb_step){
        .s = s,
        .layer = &s->model->layers[i],
        .tiles = s->tiles + i * s->layer_bytes,
        .rotation = &s->rotations[second_rope],
        .window = window,
        .after = !m->bidirectional ? 0
               : window            ? m->window_after
                                   : UINT32_MAX,
        .n = s->rows,
    };
}

/* A feed-forward network, and the tokens that it gets. */
typedef struct network {
    const float *in; /* [n, width] */
    float *out;      /* [n, width] */
    uint32_t n;
    nb_matrix gate, up, down; /* gate may be absent */
    const float *gate_bias, *up_bias;
    nb_gate_multiply gate_multiply; /* with a gate */
    nb_activate activate;           /* without one */
} network;

/* Runs f for each token of the batch; many tokens are shared among the threads. The other fields are what f needs. */
typedef struct token_loop token_loop;
struct token_loop {
    const nb_step *p;
    void (*f)(const token_loop *loop, uint32_t t);
    const float *bias;
    const nb_norm *norm;
    const network *network;
};

static uint32_t tokens_of(const token_loop *loop) {
    return loop->network ? loop->network->n : loop->p->n;
}

static void run_tokens(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)thread;
    const token_loop *loop = context;
    uint32_t n = tokens_of(loop), end = nb_share(n, index + 1, count);
    for (uint32_t t = nb_share(n, index, count); t < end; t++)
        loop->f(loop, t);
}

static void for_tokens(token_loop loop) {
    uint32_t n = tokens_of(&loop);
    nb_parallel(loop.p->s->pool, n < 8 ? 1 : n / 4, false, run_tokens, &loop);
}

static void add_bias(float *row, const float *bias, uint32_t n) {
    if (bias)
        nb_add_to(row, bias, n);
}

void nb_norm_row(const nb_shape *m, float *out, const float *x, const nb_norm *norm, uint32_t n) {
    if (m->layer_norm)
        nb_layer_norm(out, x, norm->weight, norm->bias, n, m->norm_epsilon);
    else
        nb_rms_norm(out, x, norm->weight, n, m->norm_epsilon);
}

static void norm_token(const token_loop *loop, uint32_t t) {
    nb_session *s = loop->p->s;
    const nb_shape *m = &s->model->shape;
    float *out = s->normed + (size_t)t * m->width, *x = s->x + (size_t)t * m->width;
    if (loop->norm)
        nb_norm_row(m, out, x, loop->norm, m->width);
    else
        memcpy(out, x, m->width * sizeof(float));
}

void nb_norm_block(const nb_step *p, const nb_norm *norm) {
    for_tokens((token_loop){.p = p, .f = norm_token, .norm = norm});
}

void nb_renorm_block(const nb_step *p, const nb_norm *norm) {
    nb_norm_block(p, norm);
    memcpy(p->s->x, p->s->normed, (size_t)p->n * p->s->model->shape.width * sizeof(float));
}

void nb_project_embeddings(nb_session *s, uint32_t n) {
    const nb_matrix *in = &s->model->project_in;
    if (!in->rows)
        return;
    for (uint32_t t = 0; t < n; t++)
        memcpy(s->normed + (size_t)t * in->columns, s->x + (size_t)t * in->rows, in->columns * sizeof(float));
    nb_session_multiply(s, s->normed, n, in->columns, &(nb_matmul_job){in, s->x}, 1); /* [n, width] */
}

/* x[t] += rows[row] */
static void add_row(nb_session *s, const nb_matrix *rows, uint32_t row, uint32_t t) {
    uint32_t width = s->model->shape.width;
    nb_matrix_row(rows, row, s->y);
    nb_add_to(s->x + (size_t)t * width, s->y, width);
}

/* The run of the batch that row t belongs to. */
static const nb_run *run_of(const nb_session *s, uint32_t t) {
    const nb_run *r = s->runs;
    while (t >= r->row + r->n)
        r++;
    return r;
}

static uint32_t position_of(const nb_run *r, uint32_t t) {
    return r->first + t - r->row;
}

void nb_add_positions(nb_session *s, uint32_t n) {
    for (uint32_t t = 0; t < n; t++)
        add_row(s, &s->model->positions, position_of(run_of(s, t), t), t);
}

void nb_add_token_types(nb_session *s, uint32_t n) {
    uint32_t types = s->model->token_types.rows;
    for (uint32_t t = 0; t < n && types; t++)
        add_row(s, &s->model->token_types, types > 1 && s->second && t >= s->second, t);
}

void nb_scale_embeddings(nb_session *s, uint32_t n, float scale) {
    nb_scale(s->x, scale, (size_t)n * s->model->shape.width);
}

static void add_token(const token_loop *loop, uint32_t t) {
    nb_session *s = loop->p->s;
    const nb_shape *m = &s->model->shape;
    float *y = s->y + (size_t)t * m->width;
    add_bias(y, loop->bias, m->width);
    if (loop->norm && loop->norm->weight)
        nb_norm_row(m, y, y, loop->norm, m->width);
    if (m->residual_scale != 1)
        nb_scale(y, m->residual_scale, m->width);
    nb_add_to(s->x + (size_t)t * m->width, y, m->width);
}

void nb_add_block(const nb_step *p, const float *bias, const nb_norm *norm) {
    for_tokens((token_loop){.p = p, .f = add_token, .bias = bias, .norm = norm});
}

/* Norms a token's query or key heads, if the layer has weights for that (Henry et al. 2020). */
static void norm_heads(const nb_shape *m, float *heads, uint32_t n, float *weight) {
    uint32_t size = m->head_size;
    if (weight && m->head_norms == NB_HEAD_NORMS_WHOLE)
        nb_norm_row(m, heads, heads, &(nb_norm){weight, NULL}, n * size);
    else if (weight)
        for (uint32_t h = 0; h < n; h++) {
            float *own = weight + (m->head_norms == NB_HEAD_NORMS_OWN ? h * size : 0);
            nb_norm_row(m, heads + h * size, heads + h * size, &(nb_norm){own, NULL}, size);
        }
}

static void rotate(const nb_step *p, float *head, uint32_t t) {
    const nb_rope *r = p->rotation->rope;
    nb_rotate(head, p->rotation->cosines + (size_t)t * r->pairs, p->rotation->sines + (size_t)t * r->pairs, r->pairs,
              r->interleaved);
}

/* Copies n heads to another head size: padded with zeros, or cut. */
static void resize_heads(float *to, uint32_t to_size, const float *from, uint32_t from_size, uint32_t n) {
    uint32_t both = NB_MIN(to_size, from_size);
    for (; n; n--, to += to_size, from += from_size) {
        memcpy(to, from, both * sizeof(float));
        memset(to + both, 0, (to_size - both) * sizeof(float));
    }
}

/* Copies a token's q, k and v out of the product with the merged matrix. */
static void split_merged_qkv(nb_session *s, uint32_t t, float *q, float *k, float *v) {
    const nb_shape *m = &s->model->shape;
    uint32_t queries = m->heads * m->head_size, keys = m->kv_heads * m->head_size, values = m->kv_heads * m->value_size;
    const float *all = s->merged + (size_t)t * (queries + keys + values);
    memcpy(q, all, queries * sizeof(float));
    memcpy(k, all + queries, keys * sizeof(float));
    memcpy(v, all + queries + keys, values * sizeof(float));
}

static void store(const nb_session *s, uint8_t *tile, uint32_t at, float *k, float *v) {
    float key[NB_MAX_HEAD_SIZE], value[NB_MAX_HEAD_SIZE];
    if (!s->padded) {
        nb_cache_store(&s->cache, tile, at, k, v);
        return;
    }
    resize_heads(key, s->cache.keys.size, k, s->model->shape.head_size, 1);
    resize_heads(value, s->cache.values.size, v, s->model->shape.value_size, 1);
    nb_cache_store(&s->cache, tile, at, key, value);
}

/* Adds the biases to a token's q, k and v, norms and rotates q and k, and puts k and v into the KV cache. */
static void place_token(const token_loop *loop, uint32_t t) {
    const nb_step *p = loop->p;
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    float *q = s->q + (size_t)t * m->heads * m->head_size;
    float *k = s->new_k + (size_t)t * m->kv_heads * m->head_size;
    float *v = s->new_v + (size_t)t * m->kv_heads * m->value_size;
    if (p->layer->qkv_whole)
        split_merged_qkv(s, t, q, k, v);
    add_bias(q, p->layer->q_bias, m->heads * m->head_size);
    add_bias(k, p->layer->k_bias, m->kv_heads * m->head_size);
    add_bias(v, p->layer->v_bias, m->kv_heads * m->value_size);
    norm_heads(m, q, m->heads, p->layer->q_norm);
    norm_heads(m, k, m->kv_heads, p->layer->k_norm);
    for (uint32_t h = 0; h < m->heads; h++)
        rotate(p, q + h * m->head_size, t);
    for (uint32_t h = 0; h < m->kv_heads; h++)
        rotate(p, k + h * m->head_size, t);
    if (!nb_are_finite(q, m->heads * m->head_size) || !nb_are_finite(k, m->kv_heads * m->head_size) ||
        !nb_are_finite(v, m->kv_heads * m->value_size)) /* integers or F16 in the cache would hide it */
        nb_session_break(s, (uint32_t)(p->layer - s->model->layers));
    if (s->padded)
        resize_heads(s->padded_q + (size_t)t * m->heads * s->cache.keys.size, s->cache.keys.size, q, m->head_size,
                     m->heads);
    const nb_run *run = run_of(s, t);
    uint32_t position = position_of(run, t), page = run->pages[position / NB_CACHE_TILE];
    for (uint32_t h = 0; h < m->kv_heads; h++) {
        uint8_t *tile = p->tiles + nb_cache_tile_at(&s->cache, s->n_pages, h, page);
        store(s, tile, position % NB_CACHE_TILE, k + h * m->head_size, v + h * m->value_size);
    }
}

/* attended = attention(q, k, v). */
static void attend(const nb_step *p) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    for_tokens((token_loop){.p = p, .f = place_token});
    nb_attention attention = {
        .q = s->padded ? s->padded_q : s->q,
        .out = s->padded ? s->padded_attended : s->attended,
        .cache = &s->cache,
        .tiles = p->tiles,
        .pages = s->n_pages,
        .runs = s->runs,
        .n_runs = s->n_runs,
        .heads = m->heads,
        .kv_heads = m->kv_heads,
        .context = s->context,
        .window = p->window,
        .after = p->after,
        .scale = m->attention_scale,
        .cap = m->attention_cap,
        .scratch = s->attention_scratch,
    };
    nb_attend(s->pool, &attention); /* [n, heads * value_size] */
    if (s->padded)
        resize_heads(s->attended, m->value_size, s->padded_attended, s->cache.values.size, p->n * m->heads);
}

void nb_attention_block(const nb_step *p) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    const nb_matmul_job qkv[] = {{&p->layer->q, s->q}, {&p->layer->k, s->new_k}, {&p->layer->v, s->new_v}};
    const nb_matmul_job whole = {&p->layer->qkv, s->merged};
    bool merged = p->layer->qkv_whole;
    if (nb_session_multiply(s, s->normed, p->n, m->width, merged ? &whole : qkv, merged ? 1 : 3))
        attend(p);
    else /* an observer needs no products */
        memset(s->attended, 0, (size_t)p->n * m->heads * m->value_size * sizeof *s->attended);
    /* [n, width] */
    nb_session_multiply(s, s->attended, p->n, m->heads * m->value_size, &(nb_matmul_job){&p->layer->o, s->y}, 1);
}

/* ---- feed-forward networks ---------------------------------------------------------------------------------- */

static void activate_token(const token_loop *loop, uint32_t t) {
    const network *f = loop->network;
    nb_session *s = loop->p->s;
    uint32_t n = f->up.rows;
    float *gate = s->gate + (size_t)t * n, *up = s->up + (size_t)t * n;
    add_bias(up, f->up_bias, n);
    if (!f->gate.rows) {
        f->activate(up, n);
        return;
    }
    add_bias(gate, f->gate_bias, n);
    f->gate_multiply(gate, up, n);
}

static void run_network(const nb_step *p, const network *f) {
    nb_session *s = p->s;
    const nb_matmul_job up_gate[] = {{&f->up, s->up}, {&f->gate, s->gate}};
    nb_session_multiply(s, f->in, f->n, f->up.columns, up_gate, f->gate.rows ? 2 : 1); /* [n, feed_forward] x 2 */
    for_tokens((token_loop){.p = p, .f = activate_token, .network = f});
    /* [n, width] */
    nb_session_multiply(s, f->gate.rows ? s->gate : s->up, f->n, f->up.rows, &(nb_matmul_job){&f->down, f->out}, 1);
}

static network network_of(const nb_step *p) {
    const nb_layer *l = p->layer;
    return (network){
        .in = p->s->normed,
        .out = p->s->y,
        .n = p->n,
        .gate = l->gate,
        .up = l->up,
        .down = l->down,
        .gate_bias = l->gate_bias,
        .up_bias = l->up_bias,
    };
}

void nb_feed_forward_block(const nb_step *p, nb_gate_multiply gate_multiply) {
    network f = network_of(p);
    f.gate_multiply = gate_multiply;
    run_network(p, &f);
}

void nb_plain_feed_forward_block(const nb_step *p, nb_activate activate) {
    network f = network_of(p);
    f.activate = activate;
    run_network(p, &f);
}

/* scores -> softmax; the best experts become the token's choices, each once at most, whatever the scores are. If a
 * score is NaN, all weights are, so that the logits show it. */
static void choose(const nb_step *p, uint32_t t) {
    const float USED = -1; /* less than any power of e */
    const nb_shape *m = &p->s->model->shape;
    float *scores = p->s->scores + (size_t)t * m->experts, most = scores[0], sum = 0, chosen = 0;
    nb_choice *choices = p->s->choices + (size_t)t * m->experts_used;
    for (uint32_t e = 1; e < m->experts; e++)
        most = NB_MAX(most, scores[e]);
    for (uint32_t e = 0; e < m->experts; e++)
        sum += scores[e] = expf(scores[e] - most);
    for (uint32_t i = 0; i < m->experts_used; i++) {
        uint32_t best = 0;
        while (scores[best] == USED)
            best++;
        for (uint32_t e = best + 1; e < m->experts; e++)
            best = scores[e] > scores[best] ? e : best;
        choices[i] = (nb_choice){best, scores[best] / sum};
        chosen += choices[i].weight;
        scores[best] = USED;
    }
    for (uint32_t i = 0; i < m->experts_used && m->experts_sum_to_1; i++)
        choices[i].weight /= chosen;
}

/* Adds weight * row, an expert's output for one token, to that token's row of y. */
static void scatter(nb_session *s, const nb_choice *to, const float *row) {
    uint32_t width = s->model->shape.width;
    float *y = s->y + (size_t)to->index * width;
    for (uint32_t i = 0; i < width; i++)
        y[i] += to->weight * row[i];
}

/* Token t's choice of expert e; NULL if it did not choose it. */
static const nb_choice *choice_of(const nb_session *s, uint32_t t, uint32_t e) {
    const nb_choice *own = s->choices + (size_t)t * s->model->shape.experts_used;
    for (uint32_t i = 0; i < s->model->shape.experts_used; i++)
        if (own[i].index == e)
            return &own[i];
    return NULL;
}

/* Runs expert e on the tokens that chose it. */
static void run_expert(const nb_step *p, uint32_t e, nb_gate_multiply gate_multiply) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    const nb_layer *l = p->layer;
    uint32_t n = 0;
    for (uint32_t t = 0; t < p->n; t++) { /* each token at most once, so expert_in has room */
        const nb_choice *choice = choice_of(s, t, e);
        if (choice) {
            memcpy(s->expert_in + (size_t)n * m->width, s->normed + (size_t)t * m->width, m->width * sizeof(float));
            s->members[n++] = (nb_choice){t, choice->weight};
        }
    }
    if (!n)
        return;
    run_network(p, &(network){
                       .in = s->expert_in,
                       .out = s->expert_out,
                       .n = n,
                       .gate_multiply = gate_multiply,
                       .gate = nb_matrix_view(&l->expert_gate, e * m->expert_width, m->expert_width),
                       .up = nb_matrix_view(&l->expert_up, e * m->expert_width, m->expert_width),
                       .down = nb_matrix_view(&l->expert_down, e * m->width, m->width),
                   });
    for (uint32_t i = 0; i < n; i++)
        scatter(s, &s->members[i], s->expert_out + (size_t)i * m->width);
}

/* The shared experts, which all tokens go through. A router of their own may weight them, by a sigmoid. */
static void run_shared(const nb_step *p, nb_gate_multiply gate_multiply) {
    nb_session *s = p->s;
    const nb_layer *l = p->layer;
    uint32_t width = s->model->shape.width;
    run_network(p, &(network){
                       .in = s->normed,
                       .out = s->expert_out,
                       .n = p->n,
                       .gate_multiply = gate_multiply,
                       .gate = l->shared_gate,
                       .up = l->shared_up,
                       .down = l->shared_down,
                   });
    for (uint32_t t = 0; t < p->n; t++) {
        nb_choice to = {t, 1};
        float score = 0;
        for (uint32_t i = 0; l->shared_router && i < width; i++)
            score += l->shared_router[i] * s->normed[(size_t)t * width + i];
        if (l->shared_router)
            to.weight = 1 / (1 + expf(-score));
        scatter(s, &to, s->expert_out + (size_t)t * width);
    }
}

void nb_experts_block(const nb_step *p, nb_gate_multiply gate_multiply) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    /* [n, experts] */
    nb_session_multiply(s, s->normed, p->n, m->width, &(nb_matmul_job){&p->layer->router, s->scores}, 1);
    for (uint32_t t = 0; t < p->n; t++)
        choose(p, t);
    memset(s->y, 0, (size_t)p->n * m->width * sizeof(float));
    for (uint32_t e = 0; e < m->experts; e++)
        run_expert(p, e, gate_multiply);
    if (p->layer->shared_up.rows)
        run_shared(p, gate_multiply);
}

/* ---- layers ------------------------------------------------------------------------------------------------- */

void nb_usual_attention(nb_step *p) {
    nb_norm_block(p, &p->layer->attention_norm);
    nb_attention_block(p);
    nb_add_block(p, p->layer->o_bias, NULL);
}

void nb_usual_feed_forward(const nb_step *p, void (*feed_forward)(const nb_step *p)) {
    nb_norm_block(p, &p->layer->feed_forward_norm);
    feed_forward(p);
    nb_add_block(p, p->layer->down_bias, NULL);
}
