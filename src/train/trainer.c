/* Passes through the whole model, and the optimizer's steps. */
#include "trainer.h"

#include "adamw.h"
#include "../base/random_bits.h"
#include "losses.h"

#include <math.h>

enum { MOST_STEPS = INT32_MAX };

/* ---- passes ------------------------------------------------------------------------------------------------------ */

static int32_t check_tokens(const nb_trainer *t, const int32_t *tokens, uint32_t sequences, uint32_t length,
                            nb_error *err) {
    if (sequences == 0 || sequences > t->sequences || length == 0 || length > t->length)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%u sequences of %u tokens; this trainer takes 1 to %u of 1 to %u",
                       sequences, length, t->sequences, t->length);
    for (uint32_t i = 0; i < sequences * length; i++)
        if (tokens[i] < 0 || (uint32_t)tokens[i] >= t->shape.vocabulary)
            return NB_FAIL(err, NB_ERR_ARGUMENT,
                           "sequence %u, position %u: token %d is not of the %u in the vocabulary", i / length,
                           i % length, tokens[i], t->shape.vocabulary);
    return NB_OK;
}

/* Returns the number of positions that count. */
static int32_t check_targets(const nb_trainer *t, const int32_t *targets, const float *teacher, uint32_t sequences,
                             uint32_t length, nb_error *err) {
    int32_t counted = 0;
    for (uint32_t i = 0; i < sequences * length; i++) {
        if (targets[i] >= 0 && (uint32_t)targets[i] >= t->shape.vocabulary)
            return NB_FAIL(err, NB_ERR_ARGUMENT,
                           "sequence %u, position %u: the target %d is not of the %u tokens in the vocabulary",
                           i / length, i % length, targets[i], t->shape.vocabulary);
        counted += targets[i] >= 0;
    }
    if (t->loss.share > 0 && !teacher)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "distillation needs a teacher's logits; or set the loss's share to 0");
    return counted;
}

static void derive_weights(nb_trainer *t) {
    for (uint32_t i = 0; i < t->n_tensors; i++)
        if (t->derivations[i].kind)
            t->derivations[i].kind->forward(&t->derivations[i], t->pass.pool);
}

/* Turns the gradients of derived weights into those of parameters, and clears them. */
static void derive_back(nb_trainer *t) {
    for (uint32_t i = 0; i < t->n_tensors; i++)
        if (t->derivations[i].kind)
            t->derivations[i].kind->backward(&t->derivations[i], t->pass.pool);
    memset(t->derived_gradients, 0, (size_t)t->derived * sizeof *t->derived_gradients);
}

/* From tokens to the input of the output matrix, in pass.normed. */
static void run_layers(nb_trainer *t, const int32_t *tokens, uint32_t sequences, uint32_t length) {
    nb_pass *p = &t->pass;
    uint32_t layers = t->shape.layers;
    p->n = sequences * length;
    p->length = length;
    derive_weights(t);
    nb_embed_forward(p, t->embedding.weights, tokens, t->traces[0].x); /* [n, width] */
    for (uint32_t l = 0; l < layers; l++)
        nb_layer_forward(p, &t->layers[l], &t->traces[l], l + 1 < layers ? t->traces[l + 1].x : t->stream);
    nb_norm_forward(p, &t->output_norm, t->stream, p->normed);
}

/* Losses of all tokens, and with `learns` the gradients of the output matrix and of its input (d_normed). */
static void run_head(nb_trainer *t, const int32_t *targets, const float *teacher, bool learns) {
    nb_pass part = t->pass;
    size_t width = t->shape.width, vocabulary = t->shape.vocabulary;
    for (uint32_t first = 0; first < t->pass.n; first += part.n) {
        const float *x = part.normed + first * width;
        part.n = NB_MIN(t->pass.n - first, NB_HEAD_TOKENS);
        nb_linear_forward(&part, &t->output, x, t->logits, false); /* [part.n, vocabulary] */
        nb_losses(&part, &t->loss, t->logits, targets + first, teacher ? teacher + first * vocabulary : NULL,
                  t->loss_scratch, t->losses + first);
        if (learns)
            nb_linear_backward(&part, &t->output, x, t->logits, part.d_normed + first * width, false);
    }
}

static void run_back(nb_trainer *t, const int32_t *tokens) {
    const nb_pass *p = &t->pass;
    memset(t->d, 0, (size_t)p->n * t->shape.width * sizeof *t->d);
    nb_norm_backward(p, &t->output_norm, t->stream, p->d_normed, t->d);
    for (uint32_t l = t->shape.layers; l-- > 0;)
        nb_layer_backward(p, &t->layers[l], &t->traces[l], t->d);
    if (t->embedding.gradient)
        nb_embed_backward(p, tokens, t->d, t->embedding.gradient);
    derive_back(t);
}

static void clear_gradients(nb_trainer *t) {
    memset(t->gradients, 0, (size_t)t->floats * sizeof *t->gradients);
    memset(t->derived_gradients, 0, (size_t)t->derived * sizeof *t->derived_gradients);
    t->counted = 0;
    t->micro_batches = 0;
}

/* The error for a loss that is not finite. It names the teacher's logit that is not finite, or blames the weights. */
static int32_t refuse_loss(const nb_trainer *t, const int32_t *targets, const float *teacher, uint32_t length,
                           nb_error *err) {
    uint32_t vocabulary = t->shape.vocabulary;
    for (uint32_t i = 0; i < t->pass.n && t->loss.share > 0; i++)
        for (uint32_t token = 0; token < vocabulary && targets[i] >= 0; token++) {
            float logit = teacher[(size_t)i * vocabulary + token];
            if (!isfinite(logit))
                return NB_FAIL(err, NB_ERR_ARGUMENT,
                               "sequence %u, position %u: the teacher's logit of token %u is %g; give finite logits, "
                               "such as -10000 for a token that never follows",
                               i / length, i % length, token, (double)logit);
        }
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "the loss is not finite after %u steps: the weights are no longer of use. Go back to a "
                   "checkpoint, and take a lower learning rate",
                   t->steps);
}

/* Sets what a pass may change of the inputs' ranges, and the key of its random numbers. */
static void set_signals(nb_trainer *t, bool learns) {
    nb_signals *s = &t->signals;
    uint32_t frozen = s->settings.frozen;
    s->observes = learns && (!frozen || t->steps < frozen);
    s->key = nb_random_bits(nb_random_bits(s->settings.seed, t->steps), t->micro_batches);
    t->micro_batches += learns;
    uint32_t first, n = nb_trainer_inputs_of(t, &first);
    if (learns && n)
        memcpy(s->inputs_before, t->weights + first, n * sizeof *s->inputs_before);
}

/* Undoes what the current micro-batch has changed: gradients, and the inputs' ranges. */
static void undo_micro_batch(nb_trainer *t) {
    uint32_t first, n = nb_trainer_inputs_of(t, &first);
    if (n)
        memcpy(t->weights + first, t->signals.inputs_before, n * sizeof *t->weights);
    clear_gradients(t);
}

static int32_t compute_loss(nb_trainer *t, const int32_t *tokens, const int32_t *targets, const float *teacher,
                            uint32_t sequences, uint32_t length, bool learns, double *loss, nb_error *err) {
    NB_TRY(check_tokens(t, tokens, sequences, length, err));
    int32_t counted = check_targets(t, targets, teacher, sequences, length, err);
    NB_TRY(counted);
    set_signals(t, learns);
    run_layers(t, tokens, sequences, length);
    run_head(t, targets, teacher, learns);
    *loss = 0;
    for (uint32_t i = 0; i < t->pass.n; i++)
        *loss += t->losses[i];
    if (!isfinite(*loss)) {
        if (learns)
            undo_micro_batch(t);
        return refuse_loss(t, targets, teacher, length, err);
    }
    if (learns)
        run_back(t, tokens);
    return counted;
}

int32_t nb_trainer_evaluate(nb_trainer *t, const int32_t *tokens, const int32_t *targets, const float *teacher,
                            uint32_t sequences, uint32_t length, double *loss, nb_error *err) {
    return compute_loss(t, tokens, targets, teacher, sequences, length, false, loss, err);
}

static int32_t check_learns(const nb_trainer *t, nb_error *err) {
    return t->learns ? NB_OK : NB_FAIL(err, NB_ERR_STATE, "this trainer was made without gradients, for evaluation");
}

int32_t nb_trainer_accumulate(nb_trainer *t, const int32_t *tokens, const int32_t *targets, const float *teacher,
                              uint32_t sequences, uint32_t length, double *loss, nb_error *err) {
    NB_TRY(check_learns(t, err));
    int32_t counted = compute_loss(t, tokens, targets, teacher, sequences, length, true, loss, err);
    NB_TRY(counted);
    t->counted += (uint64_t)counted;
    return counted;
}

int32_t nb_trainer_logits(nb_trainer *t, const int32_t *tokens, uint32_t sequences, uint32_t length, float *out,
                          nb_error *err) {
    NB_TRY(check_tokens(t, tokens, sequences, length, err));
    set_signals(t, false);
    run_layers(t, tokens, sequences, length);
    nb_linear_forward(&t->pass, &t->output, t->pass.normed, out, false);
    return NB_OK;
}

/* ---- settings, steps --------------------------------------------------------------------------------------------- */

int32_t nb_trainer_set_loss(nb_trainer *t, const nb_train_loss *loss, nb_error *err) {
    if (!(loss->share >= 0 && loss->share <= 1) || !(loss->temperature >= 0.01f && loss->temperature <= 100))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "distillation's share is %g and its temperature %g; take 0 to 1, and 0.01 to 100",
                       (double)loss->share, (double)loss->temperature);
    t->loss = *loss;
    return NB_OK;
}

int32_t nb_trainer_set_optimizer(nb_trainer *t, const nb_train_optimizer *optimizer, nb_error *err) {
    NB_TRY(check_learns(t, err));
    NB_TRY(nb_optimizer_check(optimizer, err));
    t->optimizer = *optimizer;
    return NB_OK;
}

/* The factor of gradients: they are sums, so they are divided by the number of positions, and they may be clipped. */
static float scale_of(const nb_trainer *t, double norm) {
    double clip = (double)t->optimizer.clip, mean = 1 / (double)t->counted;
    return (float)(clip > 0 && norm > clip ? mean * clip / (norm + 1e-6) : mean);
}

static int32_t check_steps(uint32_t steps, nb_error *err) {
    return steps < MOST_STEPS ? NB_OK
                              : NB_FAIL(err, NB_ERR_ARGUMENT, "after %u steps there are no more: the most are %u",
                                        steps, (uint32_t)MOST_STEPS);
}

static void step_group(nb_trainer *t, const nb_parameter_group *group, float scale) {
    nb_train_optimizer optimizer = t->optimizer;
    optimizer.rate *= group->rate;
    optimizer.last_rate *= group->rate;
    nb_parameters p = {
        .weights = t->weights + group->first,
        .gradients = t->gradients + group->first,
        .moments = nb_moments_at(t->moments + group->moments, group->n, group->in_8_bits ? &t->maps : NULL),
        .n = group->n,
        .decays = group->decays,
    };
    nb_adamw_step(t->pass.pool, &optimizer, t->steps, scale, &p);
}

/* Clears the gradients of parameters whose rate is 0. They would count in the gradient's norm, and clipping would
 * shorten the steps of all others. PyTorch computes no gradient of such parameters (requires_grad=False). */
static void clear_fixed(nb_trainer *t) {
    for (uint32_t i = 0; i < t->n_groups; i++)
        if (t->groups[i].rate == 0)
            memset(t->gradients + t->groups[i].first, 0, (size_t)t->groups[i].n * sizeof *t->gradients);
}

int32_t nb_trainer_step(nb_trainer *t, double *norm, nb_error *err) {
    NB_TRY(check_learns(t, err));
    NB_TRY(check_steps(t->steps, err));
    if (t->optimizer.epsilon == 0 || t->counted == 0)
        return NB_FAIL(err, NB_ERR_STATE,
                       "a step needs an optimizer (nb_trainer_set_optimizer) and gradients of at least one position "
                       "(nb_trainer_accumulate)");
    clear_fixed(t);
    *norm = nb_l2_norm(t->pass.pool, t->gradients, t->floats, t->partial) / (double)t->counted;
    if (!isfinite(*norm)) {
        clear_gradients(t);
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "gradients are not finite after %u steps: the weights are as they were. Take a lower learning "
                       "rate, or go back to a checkpoint",
                       t->steps);
    }
    float scale = scale_of(t, *norm);
    for (uint32_t i = 0; i < t->n_groups; i++)
        step_group(t, &t->groups[i], scale);
    t->steps++;
    t->counted = 0;
    t->micro_batches = 0;
    return NB_OK;
}

uint32_t nb_trainer_steps(const nb_trainer *t) {
    return t->steps;
}

int32_t nb_trainer_resume(nb_trainer *t, uint32_t steps, nb_error *err) {
    NB_TRY(check_learns(t, err));
    NB_TRY(check_steps(steps, err));
    t->steps = steps;
    clear_gradients(t);
    return NB_OK;
}
