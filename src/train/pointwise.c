#include "pointwise.h"

#include "../kernels/ops.h"

#include <math.h>

enum { COLUMNS = 16 }; /* columns whose sums over all tokens a thread computes */

/* The arguments of any function below; unused ones are 0. */
typedef struct job {
    const nb_pass *pass;
    const nb_gain *gain;
    const float *x, *y, *d_out, *sines;
    float *out, *out_2;
    const int32_t *tokens;
    uint32_t heads;
} job;

/* For each token of chunk `index`. */
#define EACH_TOKEN(t, j, index) \
    for (uint32_t t = (uint32_t)(index) * NB_TOKENS; t < NB_MIN((j)->pass->n, ((index) + 1) * NB_TOKENS); t++)

static void each_tokens(const job *j, nb_chunk_function f) {
    nb_parallel(j->pass->pool, nb_pieces(j->pass->n, NB_TOKENS), false, f, (void *)j);
}

static void each_columns(const job *j, nb_chunk_function f) {
    nb_parallel(j->pass->pool, nb_pieces(j->pass->shape.width, COLUMNS), false, f, (void *)j);
}

static void each_hidden(const job *j, nb_chunk_function f) {
    nb_parallel(j->pass->pool, nb_pieces((uint64_t)j->pass->n * j->pass->shape.hidden, NB_PIECE), false, f, (void *)j);
}

/* ---- RMSNorm ---------------------------------------------------------------------------------------------------- */

static void norm_tokens(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const job *j = context;
    size_t width = j->pass->shape.width;
    EACH_TOKEN(t, j, index)
    nb_rms_norm(j->out + t * width, j->x + t * width, j->gain->weights, (uint32_t)width, j->pass->shape.epsilon);
}

void nb_norm_forward(const nb_pass *pass, const nb_gain *gain, const float *x, float *out) {
    each_tokens(&(job){.pass = pass, .gain = gain, .x = x, .out = out}, norm_tokens);
}

/* Computes d_x, and r for norm_back_columns. */
static void norm_back_tokens(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const job *j = context;
    uint32_t width = j->pass->shape.width;
    const float *w = j->gain->weights;
    EACH_TOKEN(t, j, index) {
        const float *x = j->x + (size_t)t * width, *d_out = j->d_out + (size_t)t * width;
        float *d_x = j->out + (size_t)t * width;
        double squares = 0, dots = 0;
        for (uint32_t i = 0; i < width; i++) {
            squares += (double)x[i] * (double)x[i];
            dots += (double)x[i] * (double)(w[i] * d_out[i]);
        }
        double r = 1 / sqrt(squares / width + (double)j->pass->shape.epsilon);
        float scale = (float)r, share = (float)(r * r * r * dots / width);
        j->pass->inverse[t] = scale;
        for (uint32_t i = 0; i < width; i++)
            d_x[i] += scale * (w[i] * d_out[i]) - share * x[i];
    }
}

static void norm_back_columns(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const job *j = context;
    uint32_t width = j->pass->shape.width, first = (uint32_t)index * COLUMNS, n = NB_MIN(width - first, COLUMNS);
    float sums[COLUMNS] = {0};
    for (uint32_t t = 0; t < j->pass->n; t++) {
        const float *x = j->x + (size_t)t * width + first, *d_out = j->d_out + (size_t)t * width + first;
        for (uint32_t i = 0; i < n; i++)
            sums[i] += j->pass->inverse[t] * x[i] * d_out[i];
    }
    nb_add_to(j->gain->gradient + first, sums, n);
}

void nb_norm_backward(const nb_pass *pass, const nb_gain *gain, const float *x, const float *d_out, float *d_x) {
    job j = {.pass = pass, .gain = gain, .x = x, .d_out = d_out, .out = d_x};
    each_tokens(&j, norm_back_tokens);
    if (gain->gradient)
        each_columns(&j, norm_back_columns);
}

/* ---- positions --------------------------------------------------------------------------------------------------- */

static void rotate_tokens(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const job *j = context;
    uint32_t size = j->pass->shape.head_size, pairs = size / 2;
    EACH_TOKEN(t, j, index) {
        size_t angles = (size_t)(t % j->pass->length) * pairs;
        for (uint32_t h = 0; h < j->heads; h++)
            nb_rotate(j->out + ((size_t)t * j->heads + h) * size, j->pass->cosines + angles, j->sines + angles, pairs,
                      j->pass->shape.is_interleaved);
    }
}

void nb_rope_forward(const nb_pass *pass, float *x, uint32_t heads) {
    each_tokens(&(job){.pass = pass, .sines = pass->sines, .out = x, .heads = heads}, rotate_tokens);
}

void nb_rope_backward(const nb_pass *pass, float *d_x, uint32_t heads) {
    each_tokens(&(job){.pass = pass, .sines = pass->minus_sines, .out = d_x, .heads = heads}, rotate_tokens);
}

/* ---- SwiGLU ------------------------------------------------------------------------------------------------------ */

/* Where piece `index` begins. *n: its size. */
static size_t piece_of(const job *j, uint64_t index, size_t *n) {
    uint64_t all = (uint64_t)j->pass->n * j->pass->shape.hidden, first = index * NB_PIECE;
    *n = (size_t)NB_MIN(all - first, (uint64_t)NB_PIECE);
    return (size_t)first;
}

static void swiglu_piece(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const job *j = context;
    size_t n, first = piece_of(j, index, &n);
    memcpy(j->out + first, j->x + first, n * sizeof(float));
    nb_silu_multiply(j->out + first, j->y + first, n);
}

void nb_swiglu_forward(const nb_pass *pass, const float *gate, const float *up, float *hidden) {
    each_hidden(&(job){.pass = pass, .x = gate, .y = up, .out = hidden}, swiglu_piece);
}

static void swiglu_back_piece(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const job *j = context;
    const nb_exp_constants c = nb_exp_held();
    size_t n, first = piece_of(j, index, &n);
    for (size_t i = 0; i < n; i += 4) {
        float in[3][4] = {{0}}, out[2][4];
        size_t bytes = NB_MIN(n - i, 4) * sizeof(float), at = first + i;
        memcpy(in[0], j->x + at, bytes);
        memcpy(in[1], j->y + at, bytes);
        memcpy(in[2], j->d_out + at, bytes);
        v128_t gate = wasm_v128_load(in[0]), up = wasm_v128_load(in[1]), d = wasm_v128_load(in[2]);
        v128_t s = wasm_f32x4_div(c.one, wasm_f32x4_add(c.one, nb_exp_f32x4(wasm_f32x4_neg(gate), &c)));
        v128_t slope = wasm_f32x4_mul(s, nb_madd(gate, wasm_f32x4_sub(c.one, s), c.one));
        wasm_v128_store(out[0], wasm_f32x4_mul(wasm_f32x4_mul(d, up), slope));
        wasm_v128_store(out[1], wasm_f32x4_mul(d, wasm_f32x4_mul(gate, s)));
        memcpy(j->out + at, out[0], bytes);
        memcpy(j->out_2 + at, out[1], bytes);
    }
}

void nb_swiglu_backward(const nb_pass *pass, const float *gate, const float *up, const float *d_hidden, float *d_gate,
                        float *d_up) {
    job j = {.pass = pass, .x = gate, .y = up, .d_out = d_hidden, .out = d_gate, .out_2 = d_up};
    each_hidden(&j, swiglu_back_piece);
}

/* ---- the token embedding ----------------------------------------------------------------------------------------- */

void nb_embed_forward(const nb_pass *pass, const float *table, const int32_t *tokens, float *out) {
    size_t width = pass->shape.width;
    for (uint32_t t = 0; t < pass->n; t++)
        memcpy(out + t * width, table + (size_t)tokens[t] * width, width * sizeof *out);
}

/* A thread has some columns of all tokens, as a token may occur more than once. */
static void embed_back_columns(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count, (void)thread;
    const job *j = context;
    size_t width = j->pass->shape.width, first = (size_t)index * COLUMNS, n = NB_MIN(width - first, COLUMNS);
    for (uint32_t t = 0; t < j->pass->n; t++)
        nb_add_to(j->out + (size_t)j->tokens[t] * width + first, j->d_out + t * width + first, n);
}

void nb_embed_backward(const nb_pass *pass, const int32_t *tokens, const float *d_out, float *gradient) {
    each_columns(&(job){.pass = pass, .tokens = tokens, .d_out = d_out, .out = gradient}, embed_back_columns);
}
