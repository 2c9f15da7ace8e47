#include "losses.h"

#include "../kernels/ops.h"

#include <math.h>

enum { F32_TERMS = 256 }; /* numbers that are added up in F32; these sums are added in F64 */

double nb_softmax(float *x, uint32_t n, float scale) {
    const nb_exp_constants c = nb_exp_held();
    float most = x[nb_argmax(x, n)];
    double sum = 0;
    for (uint32_t from = 0; from < n; from += F32_TERMS) {
        uint32_t end = NB_MIN(n, from + F32_TERMS);
        v128_t lanes = wasm_f32x4_splat(0);
        for (uint32_t i = from; i < end; i += 4) {
            float four[4] = {-INFINITY, -INFINITY, -INFINITY,
                             -INFINITY}; /* e^-infinity past the end, which is at most 1.2e-38 */
            size_t bytes = NB_MIN(end - i, 4) * sizeof *four;
            memcpy(four, x + i, bytes);
            v128_t power = wasm_f32x4_sub(wasm_v128_load(four), wasm_f32x4_splat(most));
            power = nb_exp_f32x4(wasm_f32x4_mul(power, wasm_f32x4_splat(scale)), &c);
            lanes = wasm_f32x4_add(lanes, power);
            wasm_v128_store(four, power);
            memcpy(x + i, four, bytes);
        }
        sum += (double)nb_sum_f32x4(lanes);
    }
    nb_scale(x, (float)(1 / sum), n);
    return (double)most * (double)scale + log(sum);
}

typedef struct job {
    const nb_pass *pass;
    const nb_train_loss *loss;
    float *logits, *scratch;
    const int32_t *targets;
    const float *teacher;
    double *losses;
} job;

/* The loss. z becomes the gradient, softmax(z) minus 1 at the target. */
static double cross_entropy(float *z, uint32_t n, int32_t target) {
    double of_target = (double)z[target], loss = nb_softmax(z, n, 1) - of_target;
    z[target] -= 1;
    return loss;
}

/* T^2 KL(p || q) = T^2 sum of p (ln p - ln q), with p = softmax(t / T) and q = softmax(z / T), where ln p = t / T -
 * ln(sum of e^(t / T)). The gradient is T (q - p); times the share it is added to `gradient`. p, q: scratch [n]. */
static double distillation(const float *z, const float *t, uint32_t n, float temperature, float share, float *p,
                           float *q, float *gradient) {
    memcpy(p, t, n * sizeof *p);
    memcpy(q, z, n * sizeof *q);
    double loss = nb_softmax(q, n, 1 / temperature) - nb_softmax(p, n, 1 / temperature);
    for (uint32_t i = 0; i < n; i++)
        loss += (double)p[i] * ((double)t[i] - (double)z[i]) / (double)temperature;
    for (uint32_t i = 0; i < n; i++)
        gradient[i] += share * temperature * (q[i] - p[i]);
    return loss * (double)temperature * (double)temperature;
}

/* The loss of one token. Its logits become the gradient. scratch: [3, vocabulary]. */
static void compute_loss(const job *j, uint32_t t, float *scratch) {
    uint32_t n = j->pass->shape.vocabulary;
    float *z = j->logits + (size_t)t * n, share = j->loss->share;
    float *p = scratch, *q = scratch + n, *gradient = q + n;
    j->losses[t] = 0;
    if (j->targets[t] < 0) {
        memset(z, 0, n * sizeof *z);
        return;
    }
    if (share == 0) {
        j->losses[t] = cross_entropy(z, n, j->targets[t]);
        return;
    }
    const float *teacher = j->teacher + (size_t)t * n;
    memcpy(gradient, z, n * sizeof *z);
    double first = cross_entropy(gradient, n, j->targets[t]);
    nb_scale(gradient, 1 - share, n);
    double second = distillation(z, teacher, n, j->loss->temperature, share, p, q, gradient);
    memcpy(z, gradient, n * sizeof *z);
    j->losses[t] = (1 - (double)share) * first + (double)share * second;
}

static void compute_losses(void *context, uint64_t index, uint64_t count, int32_t thread) {
    (void)count;
    const job *j = context;
    float *scratch = j->scratch + (size_t)thread * 3 * j->pass->shape.vocabulary;
    for (uint32_t t = (uint32_t)index * NB_TOKENS; t < NB_MIN(j->pass->n, (index + 1) * NB_TOKENS); t++)
        compute_loss(j, t, scratch);
}

void nb_losses(const nb_pass *pass, const nb_train_loss *loss, float *logits, const int32_t *targets,
               const float *teacher, float *scratch, double *losses) {
    job j = {pass, loss, logits, scratch, targets, teacher, losses};
    nb_parallel(pass->pool, nb_pieces(pass->n, NB_TOKENS), false, compute_losses, &j);
}
