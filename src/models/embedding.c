#include "embedding.h"

#include "../base/numbers.h"
#include "../base/writer.h"
#include "bind.h"
#include "configure.h"
#include "family.h"
#include "keys.h"

#include <math.h>

static const char *const pooling_names[NB_MAX_POOLINGS] = {
    "cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken",
};

/* PyTorch's, with their default parameters. */
enum { IDENTITY, TANH, RELU, GELU, SILU, SIGMOID, ELU, LEAKY_RELU, SOFTPLUS, MISH, ACTIVATIONS };
static const char *const activation_names[ACTIVATIONS] = {
    "identity", "tanh", "relu", "gelu", "silu", "sigmoid", "elu", "leakyrelu", "softplus", "mish",
};

static uint32_t find_name(const char *const *names, uint32_t n, nb_text name) {
    uint32_t i = 0;
    while (i < n && !nb_text_is(name, names[i]))
        i++;
    return i;
}

static float softplus(float x) {
    return x > 20 ? x : log1pf(expf(x));
}

static float activated(uint32_t activation, float x) {
    switch (activation) {
    case TANH: return tanhf(x);
    case RELU: return x > 0 ? x : 0;
    case GELU: return 0.5f * x * (1 + erff(x * 0.70710678f));
    case SILU: return x / (1 + expf(-x));
    case SIGMOID: return 1 / (1 + expf(-x));
    case ELU: return x > 0 ? x : expm1f(x);
    case LEAKY_RELU: return x > 0 ? x : 0.01f * x;
    case SOFTPLUS: return softplus(x);
    case MISH: return x * tanhf(softplus(x));
    default: return x; /* IDENTITY: nb_embedding_activate does not come here with it */
    }
}

void nb_embedding_activate(uint32_t activation, float *x, uint32_t n) {
    for (uint32_t i = 0; i < n && activation != IDENTITY; i++)
        x[i] = activated(activation, x[i]);
}

/* ---- the steps -------------------------------------------------------------------------------------------------- */

/* Step i's tensor: "embedding.<i>.<leaf>", or as llama.cpp calls it. NULL: the file has none. */
static const nb_tensor_info *tensor_of(const nb_model *model, uint32_t i, const char *leaf) {
    char name[64];
    nb_writer w = nb_writer_over(name, sizeof name);
    uint32_t head = model->embedding_steps.head;
    if (head)
        nb_write(&w, "%s.%s", head + i == 1 ? "cls" : "cls.output", leaf);
    else if (nb_checkpoint_string(&model->checkpoint, "nibble.embedding").data)
        nb_write(&w, "embedding.%u.%s", i, leaf);
    else
        nb_write(&w, "dense_%u.%s", i + 2, leaf);
    return nb_checkpoint_find_tensor(&model->checkpoint, name);
}

static int32_t add_step(nb_model *model, uint32_t kind, uint32_t activation, nb_error *err) {
    nb_embedding *e = &model->embedding_steps;
    if (e->n_steps == NB_MAX_STEPS)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "nibble.embedding has more than %u steps, which is not supported",
                       (uint32_t)NB_MAX_STEPS);
    nb_embedding_step *step = &e->steps[e->n_steps];
    *step = (nb_embedding_step){.kind = kind, .activation = activation, .columns = e->size, .rows = e->size};
    if (kind == NB_STEP_DENSE) {
        const nb_tensor_info *t = tensor_of(model, e->n_steps, "weight");
        if (!t || t->n_dimensions != 2 || t->shape[0] != e->size || t->shape[1] > 1 << 20)
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "step %u of the embedding needs a matrix of %u columns, which the file does not have",
                           e->n_steps, e->size);
        step->rows = (uint32_t)t->shape[1];
    }
    e->size = step->rows;
    e->widest = NB_MAX(e->widest, e->size);
    e->n_steps++;
    return NB_OK;
}

static int32_t add_word(nb_model *model, nb_text word, nb_error *err) {
    nb_embedding *e = &model->embedding_steps;
    uint32_t pooling = find_name(pooling_names, NB_MAX_POOLINGS, word);
    if (pooling < NB_MAX_POOLINGS && !e->n_steps && e->n_poolings < NB_MAX_POOLINGS) {
        e->poolings[e->n_poolings++] = (nb_pooling)pooling;
        e->size = e->widest = e->n_poolings * model->shape.width;
        return NB_OK;
    }
    if (nb_text_is(word, "normalize") && e->n_poolings)
        return add_step(model, NB_STEP_NORMALIZE, 0, err);
    if (nb_text_is(word, "layernorm") && e->n_poolings)
        return add_step(model, NB_STEP_LAYER_NORM, 0, err);
    const uint32_t skip = 6; /* "dense/" */
    uint32_t activation = word.size > skip && nb_compare(word.data, "dense/", skip) == 0
                            ? find_name(activation_names, ACTIVATIONS, (nb_text){word.data + skip, word.size - skip})
                            : ACTIVATIONS;
    if (activation == ACTIVATIONS || !e->n_poolings)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "nibble.embedding has the step \"%t\", which is not supported there",
                       word);
    return add_step(model, NB_STEP_DENSE, activation, err);
}

/* The steps of a reranker, if the file has a head. */
static int32_t configure_head(nb_model *model, nb_error *err) {
    nb_embedding *e = &model->embedding_steps;
    bool first = nb_checkpoint_find_tensor(&model->checkpoint, "cls.weight"),
         second = nb_checkpoint_find_tensor(&model->checkpoint, "cls.output.weight");
    bool ranks = model->shape.pooling == NB_POOLING_RANK || !nb_model_is_converted(model);
    if (!nb_text_is(nb_text_of(model->family->name), "bert") || !ranks || (!first && !second))
        return NB_OK;
    e->head = first ? 1 : 2;
    e->poolings[e->n_poolings++] = NB_POOL_CLS;
    e->size = e->widest = model->shape.width;
    if (first)
        NB_TRY(add_step(model, NB_STEP_DENSE, TANH, err));
    return second ? add_step(model, NB_STEP_DENSE, IDENTITY, err) : NB_OK;
}

/* For files without nibble.embedding: one pooling, and normalization to length 1. */
static int32_t configure_plain(nb_model *model, nb_error *err) {
    static const nb_pooling of_file[] = {
        [NB_POOLING_MEAN] = NB_POOL_MEAN,
        [NB_POOLING_CLS] = NB_POOL_CLS,
        [NB_POOLING_LAST] = NB_POOL_LAST,
    };
    nb_embedding *e = &model->embedding_steps;
    uint32_t pooling = model->shape.pooling;
    if (pooling == NB_POOLING_RANK)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "%s.pooling_type is 4, for rerankers, but there is no cls.weight or cls.output.weight of a bert "
                       "model",
                       model->family->name);
    if (pooling == NB_POOLING_FILE)
        pooling = model->shape.bidirectional ? NB_POOLING_MEAN : NB_POOLING_LAST;
    e->poolings[e->n_poolings++] = of_file[pooling];
    e->size = e->widest = model->shape.width;
    for (uint32_t i = 0;
         nb_text_is(nb_text_of(model->family->name), "gemma-embedding") && i < 2 && tensor_of(model, i, "weight"); i++)
        NB_TRY(add_step(model, NB_STEP_DENSE, IDENTITY, err));
    bool normalize;
    NB_TRY(nb_model_flag(model, "normalize_embeddings", true, &normalize, err));
    return normalize ? add_step(model, NB_STEP_NORMALIZE, 0, err) : NB_OK;
}

int32_t nb_embedding_configure(nb_model *model, nb_error *err) {
    nb_text words = nb_checkpoint_string(&model->checkpoint, "nibble.embedding");
    nb_embedding *e = &model->embedding_steps;
    *e = (nb_embedding){0};
    if (!words.data)
        NB_TRY(configure_head(model, err));
    if (!words.data && !e->head)
        NB_TRY(configure_plain(model, err));
    for (size_t at = 0, end; words.data && at < words.size; at = end + 1) {
        for (end = at; end < words.size && words.data[end] != ' ';)
            end++;
        NB_TRY(add_word(model, (nb_text){words.data + at, end - at}, err));
    }
    if (!e->n_poolings)
        return NB_FAIL(err, NB_ERR_FORMAT, "nibble.embedding names no pooling; the file is broken");
    double size = nb_checkpoint_number(&model->checkpoint, "nibble.embedding.truncate_dim", e->size);
    if (!(size >= 1))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "nibble.embedding.truncate_dim is %g, but must be at least 1; the file is broken", size);
    e->size = size < e->size ? (uint32_t)size : e->size;
    return NB_OK;
}

/* ---- their tensors ---------------------------------------------------------------------------------------------- */

int32_t nb_embedding_bind(nb_model *model, const nb_tensor_info *info, nb_text name, nb_destination *to, bool *found,
                          nb_error *err) {
    nb_embedding *e = &model->embedding_steps;
    *found = false;
    for (uint32_t i = 0; i < e->n_steps; i++) {
        nb_embedding_step *step = &e->steps[i];
        bool matrix = tensor_of(model, i, "weight") == info && step->kind == NB_STEP_DENSE;
        bool scale = tensor_of(model, i, "weight") == info && step->kind == NB_STEP_LAYER_NORM;
        bool bias = tensor_of(model, i, "bias") == info && step->kind != NB_STEP_NORMALIZE;
        if (!matrix && !scale && !bias)
            continue;
        *found = true;
        if (!matrix &&
            (info->shape[0] != step->rows || info->shape[1] != 1 || info->shape[2] != 1 || info->shape[3] != 1))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "tensor %t has %l numbers in rows of %l, but step %u of the embedding has %u", name,
                           info->shape[0] * info->shape[1], info->shape[0], i, step->rows);
        if (matrix)
            *to = (nb_destination){.matrix = &step->weight, .rows = step->rows};
        else
            to->vector = scale ? &step->scale : &step->bias;
        return NB_OK;
    }
    return NB_OK;
}

int32_t nb_embedding_check(const nb_model *model, nb_error *err) {
    const nb_embedding *e = &model->embedding_steps;
    for (uint32_t i = 0; i < e->n_steps; i++)
        if (e->steps[i].kind == NB_STEP_LAYER_NORM && (!e->steps[i].scale || !e->steps[i].bias))
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor embedding.%u.%s is missing; the file is not whole", i,
                           e->steps[i].scale ? "bias" : "weight");
    return NB_OK;
}
