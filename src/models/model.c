#include "model.h"

#include "../base/numbers.h"
#include "../kernels/kv_cache.h"
#include "../sampling/sampler.h"
#include "../text/detokenizer.h"
#include "weights.h"

uint64_t nb_model_kv_token_bytes(const nb_model *model, uint32_t kv_type) {
    const nb_shape *s = &model->shape;
    return (uint64_t)s->layers * s->kv_heads *
           (nb_cache_of(kv_type, s->head_size, s->value_size).tile_bytes / NB_CACHE_TILE);
}

void nb_model_free(nb_model *model) {
    if (!model)
        return;
    nb_tokenizer_free(model->tokenizer);
    nb_checkpoint_free(&model->checkpoint);
    nb_arena_free(&model->vectors);
    nb_arena_free(&model->matrices);
    nb_replacements_free(model);
    nb_free(model->layers);
    nb_free(model->outliers);
    nb_free(model);
}

int32_t nb_model_vocabulary(const nb_model *model) {
    return model->family    ? (int32_t)model->shape.vocabulary
         : model->tokenizer ? nb_tokenizer_size(model->tokenizer)
                            : 0;
}

int32_t nb_model_context(const nb_model *model) {
    return (int32_t)model->shape.context;
}

int32_t nb_model_width(const nb_model *model) {
    return (int32_t)model->shape.width;
}

int32_t nb_model_embedding_size(const nb_model *model) {
    return (int32_t)model->embedding_steps.size;
}

int32_t nb_model_is_end(const nb_model *model, int32_t token) {
    return model->tokenizer && nb_tokenizer_is_end(model->tokenizer, token);
}

int32_t nb_model_token_type(const nb_model *model, int32_t token) {
    return model->tokenizer ? nb_tokenizer_type(model->tokenizer, token) : 0;
}

/* ---- what text/ does, for a model ---- */

int32_t nb_tokenize(const nb_model *model, const char *text, size_t text_bytes, uint32_t flags, int32_t *tokens,
                    int32_t capacity, nb_error *err) {
    return nb_tokenize_quoted(model, text, text_bytes, flags, NULL, 0, NULL, 0, tokens, capacity, err);
}

int32_t nb_tokenize_quoted(const nb_model *model, const char *text, size_t text_bytes, uint32_t flags,
                           const nb_quote *quotes, size_t n_quotes, const nb_plain *plain, size_t n_plain,
                           int32_t *tokens, int32_t capacity, nb_error *err) {
    if (!model->tokenizer)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "this model file has no vocabulary, so it cannot tokenize; pass token ids instead of text");
    return nb_tokenizer_encode_quoted(model->tokenizer, text, text_bytes, flags, quotes, n_quotes, plain, n_plain,
                                      tokens, capacity, err);
}

nb_detokenizer *nb_detokenizer_new(const nb_model *model, uint32_t flags, nb_error *err) {
    if (!model->tokenizer)
        return NB_FAIL_NULL(err, NB_ERR_UNSUPPORTED,
                            "this model file has no vocabulary, so its tokens have no text; use the token ids");
    return nb_detokenizer_over(model->tokenizer, flags, err);
}

nb_sampler *nb_sampler_new(const nb_model *model, const nb_sampler_params *params, const nb_bias *biases,
                           int32_t n_biases, nb_error *err) {
    return nb_sampler_for(nb_model_vocabulary(model), params, biases, n_biases, err);
}

int32_t nb_sampler_break(nb_sampler *sampler, const nb_model *model, const char *text, size_t text_bytes,
                         nb_error *err) {
    if (!model->tokenizer)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "this model file has no vocabulary, so that no text ends a repetition");
    return nb_sampler_break_at(sampler, model->tokenizer, (nb_text){text, text_bytes}, err);
}
