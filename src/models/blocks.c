#include "blocks.h"

#include "../base/numbers.h"
#include "../kernels/attention.h"
#include "../kernels/matmul.h"
#include "../kernels/ops.h"
#include "../kernels/types.h"

nb_step nb_step_of(nb_session *s, uint32_t i, uint32_t first, uint32_t n) {
    const nb_shape *m = &s->model->shape;
    return (nb_step){
        .s = s, .layer = &s->model->layers[i], .k = s->k + i * s->k_layer_bytes, .v = s->v + i * s->v_layer_bytes,
        .rotation = &s->rotations[0], .window = m->window_period && (i + 1) % m->window_period == 0 ? 0 : m->window,
        .first = first, .n = n,
    };
}

/* Runs f for each token of the batch: here if they are few, else shared among the threads. What f needs beyond the step
 * stands in the loop. */
typedef struct token_loop token_loop;
struct token_loop {
    const nb_step *p;
    void (*f)(const token_loop *loop, uint32_t t);
    const float *bias, *norm;
    nb_gate_multiply gate_multiply;
};

static void run_tokens(void *context, int32_t index, int32_t count, int32_t thread) {
    (void)thread;
    const token_loop *loop = context;
    uint32_t n = loop->p->n;
    for (uint32_t t = n * (uint32_t)index / (uint32_t)count; t < n * ((uint32_t)index + 1) / (uint32_t)count; t++)
        loop->f(loop, t);
}

static void for_tokens(token_loop loop) {
    uint32_t n = loop.p->n;
    nb_parallel(loop.p->s->pool, n < 8 ? 1 : (int32_t)(n / 4), run_tokens, &loop);
}

static void matmul(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *jobs,
                   uint32_t n_jobs) {
    nb_activations_set(&s->activations, x, n, columns);
    nb_matmul(s->pool, &s->activations, jobs, n_jobs, s->matmul_scratch);
}

static void add_bias(float *row, const float *bias, uint32_t n) {
    if (bias)
        nb_add_to(row, bias, n);
}

static void norm_token(const token_loop *loop, uint32_t t) {
    nb_session *s = loop->p->s;
    const nb_shape *m = &s->model->shape;
    nb_rms_norm(s->normed + (size_t)t * m->width, s->x + (size_t)t * m->width, loop->norm, m->width, m->norm_epsilon);
}

void nb_norm_block(const nb_step *p, const float *weight) {
    for_tokens((token_loop){.p = p, .f = norm_token, .norm = weight});
}

static void add_token(const token_loop *loop, uint32_t t) {
    nb_session *s = loop->p->s;
    const nb_shape *m = &s->model->shape;
    float *y = s->y + (size_t)t * m->width;
    add_bias(y, loop->bias, m->width);
    if (loop->norm)
        nb_rms_norm(y, y, loop->norm, m->width, m->norm_epsilon);
    nb_add_to(s->x + (size_t)t * m->width, y, m->width);
}

void nb_add_block(const nb_step *p, const float *bias, const float *norm) {
    for_tokens((token_loop){.p = p, .f = add_token, .bias = bias, .norm = norm});
}

/* One head's new vector -> its position in the cache. */
static void cache(const nb_session *s, uint8_t *layer, const float *head, uint32_t kv, uint32_t position,
                  uint32_t size) {
    nb_cache_store(s->kv_type, layer + ((size_t)kv * s->context + position) * nb_cache_bytes(s->kv_type, size), head, size);
}

/* A query or key head: its norm, if the layer has one (Henry et al. 2020), and its rotation. */
static void turn(const nb_step *p, float *head, const float *norm, uint32_t t) {
    const nb_shape *m = &p->s->model->shape;
    const nb_rope *r = p->rotation->rope;
    if (norm)
        nb_rms_norm(head, head, norm, m->head_size, m->norm_epsilon);
    nb_rotate(head, p->rotation->cosines + (size_t)t * r->pairs, p->rotation->sines + (size_t)t * r->pairs, r->pairs,
              r->interleaved);
}

/* From projections to queries, and to keys and values in the cache. */
static void place_token(const token_loop *loop, uint32_t t) {
    const nb_step *p = loop->p;
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    float *q = s->q + (size_t)t * m->heads * m->head_size;
    float *k = s->new_k + (size_t)t * m->kv_heads * m->head_size;
    float *v = s->new_v + (size_t)t * m->kv_heads * m->value_size;
    add_bias(q, p->layer->q_bias, m->heads * m->head_size);
    add_bias(k, p->layer->k_bias, m->kv_heads * m->head_size);
    add_bias(v, p->layer->v_bias, m->kv_heads * m->value_size);
    for (uint32_t h = 0; h < m->heads; h++)
        turn(p, q + h * m->head_size, p->layer->q_norm, t);
    for (uint32_t h = 0; h < m->kv_heads; h++) {
        turn(p, k + h * m->head_size, p->layer->k_norm, t);
        cache(s, p->k, k + h * m->head_size, h, p->first + t, m->head_size);
        cache(s, p->v, v + h * m->value_size, h, p->first + t, m->value_size);
    }
}

void nb_attention_block(const nb_step *p) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    const nb_matmul_job qkv[] = {{&p->layer->q, s->q}, {&p->layer->k, s->new_k}, {&p->layer->v, s->new_v}};
    matmul(s, s->normed, p->n, m->width, qkv, 3); /* [n, heads * head_size], [n, kv_heads * ...] x 2 */
    for_tokens((token_loop){.p = p, .f = place_token});
    nb_attention attention = {
        .q = s->q, .out = s->mixed, .k = p->k, .v = p->v, .type = s->kv_type,
        .n = p->n, .first = p->first, .heads = m->heads, .kv_heads = m->kv_heads,
        .head_size = m->head_size, .value_size = m->value_size, .context = s->context, .window = p->window,
        .scale = m->attention_scale, .scratch = s->attention_scratch,
    };
    nb_attend(s->pool, &attention); /* [n, heads * value_size] */
    matmul(s, s->mixed, p->n, m->heads * m->value_size, &(nb_matmul_job){&p->layer->o, s->y}, 1); /* [n, width] */
}

static void gate_token(const token_loop *loop, uint32_t t) {
    const nb_step *p = loop->p;
    uint32_t n = p->s->model->shape.feed_forward;
    float *gate = p->s->gate + (size_t)t * n, *up = p->s->up + (size_t)t * n;
    add_bias(gate, p->layer->gate_bias, n);
    add_bias(up, p->layer->up_bias, n);
    loop->gate_multiply(gate, up, n);
}

void nb_feed_forward_block(const nb_step *p, nb_gate_multiply gate_multiply) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    const nb_matmul_job gate_up[] = {{&p->layer->gate, s->gate}, {&p->layer->up, s->up}};
    matmul(s, s->normed, p->n, m->width, gate_up, 2); /* [n, feed_forward] x 2 */
    for_tokens((token_loop){.p = p, .f = gate_token, .gate_multiply = gate_multiply});
    matmul(s, s->gate, p->n, m->feed_forward, &(nb_matmul_job){&p->layer->down, s->y}, 1); /* [n, width] */
}
