/* Reads the sizes, heads, norms and RoPE of a model from the keys that most families share (keys.h). Defaults are
 * llama.cpp's. */
#include "configure.h"

#include "../base/numbers.h"
#include "../base/writer.h"
#include "families/families.h"
#include "keys.h"

#include <math.h>

enum { MAX_SIDE = 1 << 24 }; /* sides beyond this are broken files; products of two still fit 64 bits easily */

/* ---- reading --------------------------------------------------------------------------------------------------- */

/* Returns 1 and the number, or 0 if the key is absent or to be ignored. */
static int32_t read(const nb_model *model, const char *suffix, nb_limits range, double *out, nb_error *err) {
    const nb_value *v = nb_model_value(model, suffix);
    const nb_key *line = nb_key_of(model->family->name, suffix);
    char key[128];
    nb_writer w = nb_writer_over(key, sizeof key);
    nb_write(&w, "%s.%s", model->family->name, suffix);
    if (!v || v->type != NB_VALUE_ARRAY || !line || line->rule != NB_KEY_BY_LAYER)
        return v ? nb_checkpoint_read(&model->checkpoint, key, range, out, err) : 0;
    NB_TRY(nb_checkpoint_check_items(&model->checkpoint, v, range, err));
    for (uint64_t i = 0; i < v->count; i++)
        if (nb_checkpoint_item(&model->checkpoint, v, i) != nb_checkpoint_item(&model->checkpoint, v, 0))
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "%s differs from layer to layer, which is not supported in %s models", key,
                           model->family->name);
    if (!v->count || v->count != model->shape.layers)
        return NB_FAIL(err, NB_ERR_FORMAT, "%s is a list of %l numbers, for %u layers; the file is broken", key,
                       v->count, model->shape.layers);
    *out = nb_checkpoint_item(&model->checkpoint, v, 0);
    return 1;
}

static int32_t refuse_missing(const nb_model *model, const char *suffix, nb_error *err) {
    return NB_FAIL(err, NB_ERR_FORMAT, "%s.%s is missing; the file is broken", model->family->name, suffix);
}

int32_t nb_model_float(const nb_model *model, const char *suffix, double fallback, double least, double most,
                       float *out, nb_error *err) {
    double value = fallback;
    int32_t found = read(model, suffix, (nb_limits){least, most}, &value, err);
    NB_TRY(found);
    if (!found && isnan(fallback))
        return refuse_missing(model, suffix, err);
    *out = (float)value;
    return NB_OK;
}

int32_t nb_model_size(const nb_model *model, const char *suffix, uint32_t *out, double fallback, uint32_t most,
                      nb_error *err) {
    double value = fallback;
    int32_t found = read(model, suffix, (nb_limits){1, most}, &value, err);
    NB_TRY(found);
    if (!found && fallback == 0)
        return refuse_missing(model, suffix, err);
    if (!(value >= 1 && value <= most) || value != (double)(uint32_t)value)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "%s.%s is out of range: it is %g, and should be a whole number from 1 to %u; the file is broken",
                       model->family->name, suffix, value, most);
    *out = (uint32_t)value;
    return NB_OK;
}

int32_t nb_model_flag(const nb_model *model, const char *suffix, bool fallback, bool *out, nb_error *err) {
    double value = fallback;
    NB_TRY(read(model, suffix, (nb_limits){0, 1}, &value, err));
    *out = value != 0;
    return NB_OK;
}

int32_t nb_model_require(const nb_model *model, const char *suffix, nb_error *err) {
    return nb_model_value(model, suffix) ? NB_OK : refuse_missing(model, suffix, err);
}

/* A size that llama.cpp uses for some layers or for the output. Here it must be the model's own. */
static int32_t require_same(const nb_model *model, const char *suffix, uint32_t size, nb_error *err) {
    double value = size;
    NB_TRY(read(model, suffix, (nb_limits){0, UINT32_MAX}, &value, err));
    if (value != size)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "%s.%s is %g; of this model only %u is supported", model->family->name,
                       suffix, value, size);
    return NB_OK;
}

/* ---- RoPE ------------------------------------------------------------------------------------------------------ */

/* What GGUF's converters write, and, in folders, "llama3", which is a tensor of factors in GGUF. */
static int32_t configure_scaling(nb_model *model, nb_error *err) {
    nb_rope *r = &model->shape.ropes[0];
    const nb_value *v = nb_model_value(model, "rope.scaling.type");
    nb_text kind =
        v && v->type == NB_VALUE_STRING ? nb_checkpoint_text_of(&model->checkpoint, v) : nb_text_of("linear");
    float low, high;
    NB_TRY(nb_model_float(model, "rope.scaling.low_freq_factor", 0, 0, 1e6, &low, err));
    NB_TRY(nb_model_float(model, "rope.scaling.high_freq_factor", 4, 0, 1e6, &high, err));
    if (nb_text_is(kind, "llama3") && low > 0) {
        if (!(high > low))
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "%s.rope.scaling.high_freq_factor is %g, which is not more than low_freq_factor, %g; the "
                           "file is broken",
                           model->family->name, (double)high, (double)low);
        r->scaling = NB_ROPE_LLAMA3;
        r->beta_fast = high;
        r->beta_slow = low;
    } else if (nb_text_is(kind, "none") || nb_text_is(kind, "llama3")) {
        r->scaling = NB_ROPE_NONE;
    } else if (nb_text_is(kind, "linear") || nb_text_is(kind, "longrope")) {
        r->scaling = r->factor == 1 ? NB_ROPE_NONE : NB_ROPE_LINEAR;
    } else if (nb_text_is(kind, "yarn")) {
        r->scaling = NB_ROPE_YARN;
    } else {
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "RoPE scaling \"%t\" is not supported; none, linear, llama3, longrope and yarn are", kind);
    }
    return NB_OK;
}

int32_t nb_model_base(const nb_model *model, const char *suffix, float fallback, float *out, nb_error *err) {
    return nb_model_float(model, suffix, (double)fallback, 1.0001, 1e15, out, err);
}

static int32_t configure_rope(nb_model *model, nb_error *err) {
    nb_shape *s = &model->shape;
    nb_rope *r = &s->ropes[0];
    const char *name = model->family->name;
    uint32_t rotated;
    NB_TRY(nb_model_size(model, "rope.dimension_count", &rotated, s->head_size, s->head_size, err));
    if (nb_key_of(name, "rope.dimension_count")->rule == NB_KEY_SAME && !nb_model_is_converted(model))
        NB_TRY(require_same(model, "rope.dimension_count", s->head_size, err));
    NB_TRY(require_same(model, "rope.dimension_count_swa", rotated, err));
    r->odd = rotated % 2;
    r->pairs = rotated / 2;
    float linear;
    NB_TRY(nb_model_base(model, "rope.global.freq_base", 10000, &r->base, err));
    NB_TRY(nb_model_base(model, "rope.freq_base", r->base, &r->base, err));
    NB_TRY(nb_model_float(model, "rope.scaling.original_context_length", s->context, 0, 0x1p31, &r->original_context,
                          err));
    r->original_context = r->original_context >= 1 ? r->original_context : (float)s->context;
    NB_TRY(nb_model_float(model, "rope.scaling.yarn_beta_fast", 32, 1e-6, 1e6, &r->beta_fast, err));
    NB_TRY(nb_model_float(model, "rope.scaling.yarn_beta_slow", 1, 1e-6, 1e6, &r->beta_slow, err));
    NB_TRY(nb_model_float(model, "rope.scaling.yarn_ramp_first", -1, -1, 1e6, &r->ramp_first, err));
    NB_TRY(nb_model_float(model, "rope.scaling.yarn_ramp_last", 0, -1e6, 1e6, &r->ramp_last, err));
    NB_TRY(nb_model_float(model, "rope.scaling.attn_factor", 1, 1e-6, 1e6, &r->attention_factor, err));
    NB_TRY(nb_model_float(model, "rope.scale_linear", 1, 0, 1e6, &linear, err));
    NB_TRY(nb_model_float(model, "rope.scaling.factor", (double)linear, 0, 1e6, &r->factor, err));
    if (r->factor == 0) /* to llama.cpp it means that there is none */
        r->factor = 1;
    if (r->factor < 1e-6f)
        return NB_FAIL(err, NB_ERR_FORMAT, "%s.rope.scaling.factor is %g, which scales nothing; the file is broken",
                       name, (double)r->factor);
    return configure_scaling(model, err);
}

/* ---- the rest -------------------------------------------------------------------------------------------------- */

/* Default widths are llama.cpp's. If they are wrong for a file, its tensors do not match. */
static int32_t configure_experts(nb_model *model, nb_error *err) {
    nb_shape *s = &model->shape;
    const char *name = model->family->name;
    double experts = 0;
    NB_TRY(read(model, "expert_count", (nb_limits){0, 1024}, &experts, err));
    if (experts == 0)
        return NB_OK;
    NB_TRY(nb_model_size(model, "expert_count", &s->experts, 0, 1024, err));
    NB_TRY(nb_model_size(model, "expert_used_count", &s->experts_used, 0, s->experts, err));
    bool narrow = nb_key_of(name, "expert_feed_forward_length"), counted = nb_key_of(name, "expert_shared_count");
    NB_TRY(nb_model_size(model, "expert_feed_forward_length", &s->expert_width,
                         narrow ? NB_MAX(s->feed_forward / s->experts_used, 1) : s->feed_forward, 1 << 20, err));
    uint32_t shared;
    NB_TRY(nb_model_size(model, "expert_shared_count", &shared, 1, 64, err));
    return nb_model_size(model, "expert_shared_feed_forward_length", &s->shared_width,
                         counted ? (double)shared * s->expert_width : NB_MAX(s->feed_forward, 1), 1 << 22, err);
}

static int32_t configure_sizes(nb_model *model, nb_error *err) {
    nb_shape *s = &model->shape;
    NB_TRY(nb_model_size(model, "block_count", &s->layers, 0, 1024, err));
    NB_TRY(nb_model_size(model, "embedding_length", &s->width, 0, 1 << 20, err));
    NB_TRY(nb_model_size(model, "context_length", &s->context, 0, NB_MAX_POSITIONS, err));
    bool experts_alone =
        nb_model_value(model, "expert_feed_forward_length") && !nb_model_value(model, "feed_forward_length");
    if (!experts_alone)
        NB_TRY(nb_model_size(model, "feed_forward_length", &s->feed_forward, 0, 1 << 22, err));
    NB_TRY(nb_model_size(model, "attention.head_count", &s->heads, 0, 4096, err));
    NB_TRY(nb_model_size(model, "attention.head_count_kv", &s->kv_heads, s->heads, s->heads, err));
    uint32_t usual = s->width / s->heads;
    NB_TRY(nb_model_size(model, "attention.key_length", &s->head_size, usual, NB_MAX_HEAD_SIZE, err));
    NB_TRY(nb_model_size(model, "attention.value_length", &s->value_size, usual, NB_MAX_HEAD_SIZE, err));
    NB_TRY(require_same(model, "attention.key_length_swa", s->head_size, err));
    NB_TRY(require_same(model, "attention.value_length_swa", s->value_size, err));
    if (s->heads % s->kv_heads)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "%u query heads over %u KV heads of %u and %u elements are not supported", s->heads, s->kv_heads,
                       s->head_size, s->value_size);
    double out = 0; /* the same as an absent key */
    NB_TRY(read(model, "embedding_length_out", (nb_limits){0, UINT32_MAX}, &out, err));
    return out == 0 ? NB_OK : require_same(model, "embedding_length_out", s->width, err);
}

static int32_t configure(nb_model *model, const char *epsilon, nb_error *err) {
    nb_shape *s = &model->shape;
    const nb_tensor_info *embedding = nb_checkpoint_find_tensor(&model->checkpoint, "token_embd.weight");
    if (!embedding && !model->is_partial)
        return NB_FAIL(err, NB_ERR_FORMAT, "tensor token_embd.weight is missing; the file is not a whole %s model",
                       model->family->name);
    NB_TRY(nb_model_check_keys(model, err));
    NB_TRY(configure_sizes(model, err));
    if (embedding && (embedding->n_dimensions > 2 || embedding->shape[1] > MAX_SIDE))
        return NB_FAIL(err, NB_ERR_FORMAT, "token_embd.weight has an impossible shape");
    s->vocabulary = embedding ? (uint32_t)embedding->shape[1] : 0;
    double window = 0, pooling = -1;
    NB_TRY(read(model, "attention.sliding_window", (nb_limits){0, UINT32_MAX}, &window, err));
    s->window = (uint32_t)NB_MIN(window, 1e9);
    NB_TRY(nb_model_float(model, epsilon, NB_REQUIRED, 0, 1, &s->norm_epsilon, err));
    NB_TRY(nb_model_float(model, "attention.scale", 0, 0, 1e6, &s->attention_scale, err));
    if (s->attention_scale == 0)
        s->attention_scale = (float)(1 / sqrt((double)s->head_size));
    NB_TRY(read(model, "pooling_type", (nb_limits){-1, NB_POOLING_RANK}, &pooling, err));
    s->pooling = pooling > 0 ? (uint32_t)pooling : NB_POOLING_FILE;
    s->embedding_scale = s->residual_scale = s->logit_scale = 1;
    s->dense_layers = UINT32_MAX;
    NB_TRY(configure_experts(model, err));
    return configure_rope(model, err);
}

int32_t nb_model_configure(nb_model *model, nb_error *err) {
    return configure(model, "attention.layer_norm_rms_epsilon", err);
}

int32_t nb_model_configure_layer_norm(nb_model *model, nb_error *err) {
    NB_TRY(configure(model, "attention.layer_norm_epsilon", err));
    model->shape.layer_norm = true;
    return NB_OK;
}

/* A list has a number for each layer, which is 0 if it has no window; layers past the list's end have none. *period:
 * window_period of nb_shape. false: the layers without a window are not periodic. */
static bool find_period(const nb_checkpoint *c, const nb_value *list, uint32_t layers, uint32_t *period) {
    uint32_t full = 0;
    while (full < layers && full < list->count && nb_checkpoint_item(c, list, full) != 0)
        full++;
    *period = full < layers ? full + 1 : 0;
    for (uint32_t i = 0; i < layers && *period; i++)
        if ((i < list->count && nb_checkpoint_item(c, list, i) != 0) == ((i + 1) % *period == 0))
            return false;
    return true;
}

int32_t nb_model_configure_pattern(nb_model *model, uint32_t fallback, nb_error *err) {
    nb_shape *s = &model->shape;
    const char *suffix = "attention.sliding_window_pattern";
    const nb_value *v = nb_model_value(model, suffix);
    double period = fallback;
    if (v && v->type == NB_VALUE_ARRAY) {
        NB_TRY(nb_checkpoint_check_items(&model->checkpoint, v, (nb_limits){0, 1}, err));
        if (!find_period(&model->checkpoint, v, s->layers, &s->window_period))
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "%s.%s lists layers without a window that do not follow at one distance; that is not "
                           "supported",
                           model->family->name, suffix);
        return NB_OK;
    }
    NB_TRY(read(model, suffix, (nb_limits){0, 1024}, &period, err));
    s->window_period = (uint32_t)period;
    return NB_OK;
}

int32_t nb_model_configure_window_rope(nb_model *model, float base, nb_error *err) {
    nb_shape *s = &model->shape;
    s->window_has_rope = true;
    s->ropes[1] = (nb_rope){.pairs = s->ropes[0].pairs, .attention_factor = 1};
    return nb_model_base(model, "rope.freq_base_swa", base, &s->ropes[1].base, err);
}

/* In a bidirectional model a window has two sides. In the converter's files its size is the largest distance on either
 * side. In llama.cpp's it limits only how far back a token sees. */
int32_t nb_model_configure_family(nb_model *model, nb_error *err) {
    nb_shape *s = &model->shape;
    NB_TRY(model->family->configure(model, err));
    bool causal, ours = nb_model_is_converted(model) || model->family == &nb_family_gemma_embedding;
    NB_TRY(nb_model_flag(model, "attention.causal", true, &causal, err));
    s->bidirectional |= !causal;
    s->window_after = ours ? s->window : UINT32_MAX;
    if (s->bidirectional && s->window && ours)
        s->window++; /* its own position counts */
    return NB_OK;
}
