#include "causal.h"

#include "losses.h"

#include <math.h>

typedef struct attention {
    const nb_pass *pass;
    const float *q, *k, *v, *d_out;
    float *out;
} attention;

/* One block of queries of one head. */
typedef struct query_block {
    const attention *a;
    size_t query,
        key; /* where its queries begin in [n, heads * head_size], and its keys in [n, kv_heads * head_size] */
    uint32_t first, rows; /* queries first ... first + rows - 1 of the sequence */
    uint32_t columns;     /* keys that at least one of them sees */
    float *p, *d_s;       /* [rows, columns] */
    float *products;
} query_block;

static query_block query_block_of(const attention *a, uint32_t sequence, uint32_t head, uint32_t first,
                                  int32_t thread) {
    const nb_pass *pass = a->pass;
    const nb_train_shape *s = &pass->shape;
    uint32_t rows = NB_MIN(pass->length - first, NB_QUERY_BLOCK);
    size_t start = (size_t)sequence * pass->length, block = (size_t)NB_QUERY_BLOCK * pass->length;
    float *p = pass->scores + (size_t)thread * 2 * block;
    return (query_block){
        .a = a,
        .query = (start + first) * nb_query_width(pass) + (size_t)head * s->head_size,
        .key = start * nb_key_width(pass) + (size_t)(head / (s->heads / s->kv_heads)) * s->head_size,
        .first = first,
        .rows = rows,
        .columns = first + rows,
        .p = p,
        .d_s = p + block,
        .products = pass->products + (size_t)thread * NB_PRODUCT_SCRATCH,
    };
}

/* out [rows, columns] = x y^T. x lies as queries do, y as keys. */
static void times_keys(const query_block *b, const float *x, const float *y, float *out) {
    const nb_pass *pass = b->a->pass;
    nb_product p = {
        .a = nb_factor_of(x + b->query, nb_query_width(pass)),
        .b = nb_factor_of(y + b->key, nb_key_width(pass)),
        .out = out,
        .stride = b->columns,
        .m = b->rows,
        .n = b->columns,
        .k = pass->shape.head_size,
    };
    nb_product_run(NULL, &p, b->products);
}

/* out [rows, head_size] = s [rows, columns] y. out lies as queries do, y as keys. */
static void sum_of_keys(const query_block *b, const float *s, const float *y, float *out) {
    const nb_pass *pass = b->a->pass;
    nb_product p = {
        .a = nb_factor_of(s, b->columns),
        .b = nb_factor_transposed(y + b->key, nb_key_width(pass)),
        .out = out + b->query,
        .stride = nb_query_width(pass),
        .m = b->rows,
        .n = pass->shape.head_size,
        .k = b->columns,
    };
    nb_product_run(NULL, &p, b->products);
}

/* out [columns, head_size] += s^T x. out lies as keys do, x as queries. */
static void add_to_keys(const query_block *b, const float *s, const float *x, float *out) {
    const nb_pass *pass = b->a->pass;
    nb_product p = {
        .a = nb_factor_transposed(s, b->columns),
        .b = nb_factor_transposed(x + b->query, nb_query_width(pass)),
        .out = out + b->key,
        .stride = nb_key_width(pass),
        .m = b->columns,
        .n = pass->shape.head_size,
        .k = b->rows,
        .adds = true,
    };
    nb_product_run(NULL, &p, b->products);
}

static float scale_of(const nb_pass *pass) {
    return 1 / sqrtf((float)pass->shape.head_size);
}

static void compute_p(const query_block *b) {
    times_keys(b, b->a->q, b->a->k, b->p);
    for (uint32_t i = 0; i < b->rows; i++) {
        float *row = b->p + (size_t)i * b->columns;
        uint32_t seen = b->first + i + 1;
        nb_softmax(row, seen, scale_of(b->a->pass));
        memset(row + seen, 0, (b->columns - seen) * sizeof *row);
    }
}

static void compute_d_s(const query_block *b) {
    const nb_pass *pass = b->a->pass;
    times_keys(b, b->a->d_out, b->a->v, b->d_s); /* dP */
    for (uint32_t i = 0; i < b->rows; i++) {
        const float *p = b->p + (size_t)i * b->columns;
        const float *d = b->a->d_out + b->query + (size_t)i * nb_query_width(pass);
        const float *out = b->a->out + b->query + (size_t)i * nb_query_width(pass);
        float *d_s = b->d_s + (size_t)i * b->columns, sum = 0, scale = scale_of(pass);
        for (uint32_t k = 0; k < pass->shape.head_size; k++)
            sum += d[k] * out[k];
        for (uint32_t k = 0; k < b->columns; k++)
            d_s[k] = p[k] * (d_s[k] - sum) * scale;
    }
}

static void attend_head(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    const attention *a = context;
    uint32_t heads = a->pass->shape.heads, sequence = (uint32_t)(index / heads), head = (uint32_t)(index % heads);
    for (uint32_t i = 0; i < a->pass->length; i += NB_QUERY_BLOCK) {
        query_block b = query_block_of(a, sequence, head, i, thread);
        compute_p(&b);
        sum_of_keys(&b, b.p, a->v, a->out);
    }
}

void nb_attend_forward(const nb_pass *pass, const float *q, const float *k, const float *v, float *out) {
    attention a = {.pass = pass, .q = q, .k = k, .v = v, .out = out};
    nb_parallel(pass->pool, (uint64_t)(pass->n / pass->length) * pass->shape.heads, false, attend_head, &a);
}

/* Query heads that share a head of keys run one after the other, as they add to the same gradients. */
static void attend_back_heads(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    const attention *a = context;
    const nb_pass *pass = a->pass;
    uint32_t kv_heads = pass->shape.kv_heads, sharing = pass->shape.heads / kv_heads;
    uint32_t sequence = (uint32_t)(index / kv_heads), first = (uint32_t)(index % kv_heads) * sharing;
    for (uint32_t head = first; head < first + sharing; head++)
        for (uint32_t i = 0; i < pass->length; i += NB_QUERY_BLOCK) {
            query_block b = query_block_of(a, sequence, head, i, thread);
            compute_p(&b);
            compute_d_s(&b);
            sum_of_keys(&b, b.d_s, a->k, pass->d_q);
            add_to_keys(&b, b.d_s, a->q, pass->d_k);
            add_to_keys(&b, b.p, a->d_out, pass->d_v);
        }
}

void nb_attend_backward(const nb_pass *pass, const float *q, const float *k, const float *v, const float *out,
                        const float *d_out) {
    attention a = {.pass = pass, .q = q, .k = k, .v = v, .d_out = d_out, .out = (float *)out};
    size_t bytes = (size_t)pass->n * nb_key_width(pass) * sizeof(float);
    memset(pass->d_k, 0, bytes);
    memset(pass->d_v, 0, bytes);
    nb_parallel(pass->pool, (uint64_t)(pass->n / pass->length) * pass->shape.kv_heads, false, attend_back_heads, &a);
}
