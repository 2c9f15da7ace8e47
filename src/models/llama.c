#include "llama.h"

#include "../base/numbers.h"
#include "../kernels/attention.h"
#include "../kernels/matmul.h"
#include "../kernels/ops.h"
#include "../kernels/types.h"
#include "session.h"

#include <math.h>

#define MODEL_MATRIX(name, member, rows, columns, optional) \
    {name, false, true, optional, offsetof(nb_model, member), NB_EXTENT_##rows, NB_EXTENT_##columns}
#define MODEL_VECTOR(name, member, columns, optional) \
    {name, false, false, optional, offsetof(nb_model, member), NB_EXTENT_1, NB_EXTENT_##columns}
#define MATRIX(name, member, rows, columns) {name, true, true, false, offsetof(nb_layer, member), NB_EXTENT_##rows, NB_EXTENT_##columns}
#define VECTOR(name, member, columns, optional) \
    {name, true, false, optional, offsetof(nb_layer, member), NB_EXTENT_1, NB_EXTENT_##columns}

static const nb_slot SLOTS[] = {
    MODEL_MATRIX("token_embd.weight", embedding, VOCABULARY, WIDTH, false),
    MODEL_MATRIX("output.weight", output, VOCABULARY, WIDTH, true),
    MODEL_VECTOR("output_norm.weight", output_norm, WIDTH, false),
    MODEL_VECTOR("rope_freqs.weight", shape.rope.factors, PAIRS, true),
    VECTOR("attn_norm.weight", attention_norm, WIDTH, false),
    MATRIX("attn_q.weight", q, QUERIES, WIDTH),
    MATRIX("attn_k.weight", k, KEYS, WIDTH),
    MATRIX("attn_v.weight", v, VALUES, WIDTH),
    MATRIX("attn_output.weight", o, WIDTH, MIXED),
    VECTOR("attn_q.bias", q_bias, QUERIES, true),
    VECTOR("attn_k.bias", k_bias, KEYS, true),
    VECTOR("attn_v.bias", v_bias, VALUES, true),
    VECTOR("attn_output.bias", o_bias, WIDTH, true),
    VECTOR("ffn_norm.weight", feed_forward_norm, WIDTH, false),
    MATRIX("ffn_gate.weight", gate, FEED_FORWARD, WIDTH),
    MATRIX("ffn_up.weight", up, FEED_FORWARD, WIDTH),
    MATRIX("ffn_down.weight", down, WIDTH, FEED_FORWARD),
    VECTOR("ffn_gate.bias", gate_bias, FEED_FORWARD, true),
    VECTOR("ffn_up.bias", up_bias, FEED_FORWARD, true),
    VECTOR("ffn_down.bias", down_bias, WIDTH, true),
    {0},
};

static int32_t configure(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    model->shape.rope.interleaved = true; /* GGUF stores Q and K of this family permuted so */
    return NB_OK;
}

/* One batch at one layer: what the loops over tokens below need. */
typedef struct step {
    nb_session *s;
    const nb_layer *layer;
    uint8_t *k, *v;    /* the layer's cache */
    const float *norm; /* [width] */
    uint32_t first, n;
} step;

/* Runs f for each token of the batch: here if they are few, else shared among the threads. */
typedef void (*token_function)(const step *p, uint32_t t);
typedef struct token_loop {
    const step *p;
    token_function f;
} token_loop;

static void run_tokens(void *context, int32_t index, int32_t count, int32_t thread) {
    (void)thread;
    const token_loop *loop = context;
    uint32_t n = loop->p->n;
    for (uint32_t t = n * (uint32_t)index / (uint32_t)count; t < n * ((uint32_t)index + 1) / (uint32_t)count; t++)
        loop->f(loop->p, t);
}

static void for_tokens(const step *p, token_function f) {
    token_loop loop = {p, f};
    nb_parallel(p->s->pool, p->n < 8 ? 1 : (int32_t)(p->n / 4), run_tokens, &loop);
}

static void norm(const step *p, uint32_t t) {
    uint32_t width = p->s->model->shape.width;
    nb_rms_norm(p->s->normed + (size_t)t * width, p->s->x + (size_t)t * width, p->norm, width, p->s->model->shape.norm_epsilon);
}

static void add_bias(float *rows, const float *bias, uint32_t t, uint32_t n) {
    if (bias)
        nb_add_to(rows + (size_t)t * n, bias, n);
}

/* One head's new vector -> its position in the cache. */
static void cache(const nb_session *s, uint8_t *layer, const float *head, uint32_t kv, uint32_t position, uint32_t size) {
    size_t at = ((size_t)kv * s->context + position) * size;
    if (s->kv_type == NB_TYPE_F16)
        nb_to_f16((uint16_t *)layer + at, head, size);
    else
        memcpy((float *)layer + at, head, size * sizeof(float));
}

/* Biases, rotation of q and k, and k and v into the cache. */
static void rotate_and_cache(const step *p, uint32_t t) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    const nb_rope *r = &m->rope;
    const float *cosines = s->cosines + (size_t)t * r->pairs, *sines = s->sines + (size_t)t * r->pairs;
    add_bias(s->q, p->layer->q_bias, t, m->heads * m->head_size);
    add_bias(s->new_k, p->layer->k_bias, t, m->kv_heads * m->head_size);
    add_bias(s->new_v, p->layer->v_bias, t, m->kv_heads * m->value_size);
    for (uint32_t h = 0; h < m->heads; h++)
        nb_rotate(s->q + ((size_t)t * m->heads + h) * m->head_size, cosines, sines, r->pairs, r->interleaved);
    for (uint32_t h = 0; h < m->kv_heads; h++) {
        float *k = s->new_k + ((size_t)t * m->kv_heads + h) * m->head_size;
        nb_rotate(k, cosines, sines, r->pairs, r->interleaved);
        cache(s, p->k, k, h, p->first + t, m->head_size);
        cache(s, p->v, s->new_v + ((size_t)t * m->kv_heads + h) * m->value_size, h, p->first + t, m->value_size);
    }
}

static void add_attention(const step *p, uint32_t t) {
    uint32_t width = p->s->model->shape.width;
    nb_add_to(p->s->x + (size_t)t * width, p->s->y + (size_t)t * width, width);
    if (p->layer->o_bias)
        nb_add_to(p->s->x + (size_t)t * width, p->layer->o_bias, width);
}

static void add_feed_forward(const step *p, uint32_t t) {
    uint32_t width = p->s->model->shape.width;
    nb_add_to(p->s->x + (size_t)t * width, p->s->y + (size_t)t * width, width);
    if (p->layer->down_bias)
        nb_add_to(p->s->x + (size_t)t * width, p->layer->down_bias, width);
}

static void gate(const step *p, uint32_t t) {
    uint32_t n = p->s->model->shape.feed_forward;
    add_bias(p->s->gate, p->layer->gate_bias, t, n);
    add_bias(p->s->up, p->layer->up_bias, t, n);
    nb_silu_multiply(p->s->gate + (size_t)t * n, p->s->up + (size_t)t * n, n);
}

static void matmul(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *jobs, uint32_t n_jobs) {
    nb_activations_set(&s->activations, x, n, columns);
    nb_matmul(s->pool, &s->activations, jobs, n_jobs, s->matmul_scratch);
}

/* x += attention(norm(x)) */
static void attention_block(step *p) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    p->norm = p->layer->attention_norm;
    for_tokens(p, norm); /* [n, width] */
    const nb_matmul_job qkv[] = {{&p->layer->q, s->q}, {&p->layer->k, s->new_k}, {&p->layer->v, s->new_v}};
    matmul(s, s->normed, p->n, m->width, qkv, 3); /* [n, heads * head_size], [n, kv_heads * ...] x 2 */
    for_tokens(p, rotate_and_cache);
    nb_attention attention = {
        .q = s->q, .out = s->mixed, .k = p->k, .v = p->v, .half = s->kv_type == NB_TYPE_F16,
        .n = p->n, .first = p->first, .heads = m->heads, .kv_heads = m->kv_heads,
        .head_size = m->head_size, .value_size = m->value_size, .context = s->context, .window = m->window,
        .scale = 1 / sqrtf((float)m->head_size), .scratch = s->attention_scratch,
    };
    nb_attend(s->pool, &attention); /* [n, heads * value_size] */
    matmul(s, s->mixed, p->n, m->heads * m->value_size, &(nb_matmul_job){&p->layer->o, s->y}, 1);
    for_tokens(p, add_attention); /* [n, width] */
}

/* x += down(silu(gate(norm(x))) * up(norm(x))) */
static void feed_forward_block(step *p) {
    nb_session *s = p->s;
    const nb_shape *m = &s->model->shape;
    p->norm = p->layer->feed_forward_norm;
    for_tokens(p, norm); /* [n, width] */
    const nb_matmul_job gate_up[] = {{&p->layer->gate, s->gate}, {&p->layer->up, s->up}};
    matmul(s, s->normed, p->n, m->width, gate_up, 2); /* [n, feed_forward] x 2 */
    for_tokens(p, gate);
    matmul(s, s->gate, p->n, m->feed_forward, &(nb_matmul_job){&p->layer->down, s->y}, 1);
    for_tokens(p, add_feed_forward); /* [n, width] */
}

static void forward(nb_session *s, uint32_t first, uint32_t n) {
    for (uint32_t i = 0; i < s->model->shape.layers; i++) {
        step p = {s, &s->model->layers[i], s->k + i * s->k_layer_bytes, s->v + i * s->v_layer_bytes, NULL, first, n};
        attention_block(&p);
        feed_forward_block(&p);
    }
}

const nb_family nb_family_llama = {"llama", SLOTS, configure, forward};
