#include "keys.h"

#include "../base/writer.h"
#include "family.h"

#define RMS_NORMED                                                                                                 \
    "llama qwen2 qwen3 phi3 gemma gemma2 gemma3 gemma-embedding smollm3 olmo2 granite qwen2moe qwen3moe deepseek " \
    "ernie4_5"
#define LAYER_NORMED "gpt2 stablelm phi2 gptneox falcon bert nomic-bert"

/* The first line that matches counts. */
const nb_key nb_gguf_keys[] = {
    /* keys of some architectures, or with another rule there */
    {"granite", "rope.scaling.finetuned", NB_KEY_HEEDED, 0, 0}, /* false: nothing is rotated */
    {"granite", "logit_scale", NB_KEY_HEEDED, 0, 0},
    {"granite", "residual_scale", NB_KEY_HEEDED, 0, 0},
    {"granite", "embedding_scale", NB_KEY_HEEDED, 0, 0},
    {"granite", "attention.scale", NB_KEY_HEEDED, 0, 0},
    {"granite", "deepstack_mapping", NB_KEY_LIMITED, -1, -1},                /* of pictures; -1: none for this layer */
    {"granite", "expert_shared_feed_forward_length", NB_KEY_HARMLESS, 0, 0}, /* of experts whose tensors are refused */
    {"gptneox", "use_parallel_residual", NB_KEY_HEEDED, 0, 0},
    {"deepseek", "leading_dense_block_count", NB_KEY_HEEDED, 0, 0},
    {"deepseek", "expert_shared_count", NB_KEY_HEEDED, 0, 0},
    {"deepseek", "expert_weights_scale", NB_KEY_LIMITED, 0, 1}, /* to llama.cpp 0 means 1 */
    {"qwen2moe qwen3moe deepseek", "expert_feed_forward_length", NB_KEY_BY_LAYER, 0, 0},
    {"qwen2moe", "expert_shared_feed_forward_length", NB_KEY_HEEDED, 0, 0},
    {"gemma2 gemma3 gemma-embedding olmo2", "attention.sliding_window", NB_KEY_HEEDED, 0, 0},
    {"gemma2 gemma3 gemma-embedding olmo2", "attention.sliding_window_pattern", NB_KEY_HEEDED, 0, 0},
    {"gemma2 gemma3 gemma-embedding", "rope.freq_base_swa", NB_KEY_HEEDED, 0, 0},
    {"olmo2", "rope.freq_base_swa", NB_KEY_HARMLESS, 0, 0},         /* llama.cpp rotates all layers by rope.freq_base */
    {"ernie4_5", "rope.dimension_sections", NB_KEY_HARMLESS, 0, 0}, /* of PaddleOCR, which shares the code */
    {"gemma2", "attn_logit_softcapping", NB_KEY_HEEDED, 0, 0},
    {"gemma2 gemma3", "final_logit_softcapping", NB_KEY_HEEDED, 0, 0},
    {"gemma-embedding", "dense_2_feat_in", NB_KEY_HARMLESS, 0, 0}, /* the tensors' shapes say it too */
    {"gemma-embedding", "dense_2_feat_out", NB_KEY_HARMLESS, 0, 0},
    {"gemma-embedding", "dense_3_feat_in", NB_KEY_HARMLESS, 0, 0},
    {"gemma-embedding", "dense_3_feat_out", NB_KEY_HARMLESS, 0, 0},
    /* What Ollama's converters write (ollama/ollama, convert/), and its loader heeds (llama/compat/). The first two
     * count where the usual ones are absent; the names of YaRN's numbers have been read in two ways. */
    {"gemma3", "rope.global.freq_base", NB_KEY_OURS, 0, 0},
    {"gemma3", "rope.local.freq_base", NB_KEY_OURS, 0, 0},
    {"gemma3", "rope.scaling.beta_fast", NB_KEY_OURS_LIMITED, 32, 32},
    {"gemma3", "rope.scaling.beta_slow", NB_KEY_OURS_LIMITED, 1, 1},
    {"gemma3 olmo2", "rope.scaling.extrapolation_factor", NB_KEY_OURS_LIMITED, 1, 1},
    {"qwen3moe", "norm_top_k_prob", NB_KEY_OURS_LIMITED, 1, 1},
    /* nibble 0.x wrote it into GGUFs of folders, whose rows of q and k were not permuted */
    {"llama smollm3 granite deepseek", "rope.interleaved", NB_KEY_OURS_LIMITED, 1, 1},
    {"bert nomic-bert", "normalize_embeddings", NB_KEY_OURS, 0, 0},
    /* transformers has windows for these. llama.cpp has none, and says of Phi 3's that it leaves them out. */
    {"llama", "attention.sliding_window", NB_KEY_OURS, 0, 0},
    {"phi3", "attention.sliding_window", NB_KEY_HEEDED, 0, 0},
    /* llama.cpp has no such architecture */
    {"opt", "do_layer_norm_before", NB_KEY_OURS, 0, 0},
    {"opt", "attention.layer_norm_epsilon", NB_KEY_OURS, 0, 0},
    {"llama", "vocab_size", NB_KEY_HARMLESS, 0, 0}, /* names the model's size */

    {RMS_NORMED, "attention.layer_norm_rms_epsilon", NB_KEY_HEEDED, 0, 0},
    {LAYER_NORMED, "attention.layer_norm_epsilon", NB_KEY_HEEDED, 0, 0},

    /* what all have */
    {NULL, "context_length", NB_KEY_HEEDED, 0, 0},
    {NULL, "embedding_length", NB_KEY_HEEDED, 0, 0},
    {NULL, "embedding_length_out", NB_KEY_SAME, 0, 0},
    {NULL, "block_count", NB_KEY_HEEDED, 0, 0},
    {NULL, "nextn_predict_layers", NB_KEY_LIMITED, 0, 0}, /* layers that predict tokens after the next */
    {NULL, "feed_forward_length", NB_KEY_BY_LAYER, 0, 0},
    {NULL, "attention.head_count", NB_KEY_BY_LAYER, 0, 0},
    {NULL, "attention.head_count_kv", NB_KEY_BY_LAYER, 0, 0},
    {NULL, "attention.key_length", NB_KEY_HEEDED, 0, 0},
    {NULL, "attention.value_length", NB_KEY_HEEDED, 0, 0},
    {NULL, "attention.key_length_swa", NB_KEY_SAME, 0, 0},
    {NULL, "attention.value_length_swa", NB_KEY_SAME, 0, 0},
    {NULL, "attention.causal", NB_KEY_HEEDED, 0, 0},
    {NULL, "pooling_type", NB_KEY_HEEDED, 0, 0},
    {NULL, "classifier.pooling_type", NB_KEY_HARMLESS, 0, 0}, /* llama.cpp does not read it of a bert model */
    {NULL, "classifier.output_labels", NB_KEY_HARMLESS, 0, 0},
    {NULL, "expert_count", NB_KEY_HEEDED, 0, 0},
    {NULL, "expert_used_count", NB_KEY_BY_LAYER, 0, 0},
    {NULL, "expert_group_count", NB_KEY_LIMITED, 0, 1},
    {NULL, "expert_group_used_count", NB_KEY_HARMLESS, 0, 0}, /* of several groups */
    {"phi2 phi3 gptneox stablelm gemma gemma2 gemma3 gemma-embedding gpt2 bert nomic-bert opt", "rope.dimension_count",
     NB_KEY_HEEDED, 0, 0},
    {NULL, "rope.dimension_count", NB_KEY_SAME, 0, 0}, /* as the head's size */
    {NULL, "rope.dimension_count_swa", NB_KEY_SAME, 0, 0},
    {NULL, "rope.freq_base", NB_KEY_HEEDED, 0, 0},
    {NULL, "rope.scale_linear", NB_KEY_HEEDED, 0, 0},
    {NULL, "rope.scaling.type", NB_KEY_HEEDED, 0, 0},
    {NULL, "rope.scaling.factor", NB_KEY_HEEDED, 0, 0},
    {NULL, "rope.scaling.alpha", NB_KEY_HARMLESS, 0, 0}, /* Hunyuan's */
    {NULL, "rope.scaling.attn_factor", NB_KEY_HEEDED, 0, 0},
    {NULL, "rope.scaling.original_context_length", NB_KEY_HEEDED, 0, 0},
    {NULL, "rope.scaling.finetuned", NB_KEY_HARMLESS, 0, 0}, /* llama.cpp only prints it */
    {0},
};

bool nb_key_is_of(const nb_key *key, const char *architecture) {
    size_t n = nb_length(architecture);
    for (const char *at = key->architectures; at && *at; at += *at == ' ') {
        const char *start = at;
        while (*at && *at != ' ')
            at++;
        if ((size_t)(at - start) == n && nb_compare(start, architecture, n) == 0)
            return true;
    }
    return !key->architectures;
}

const nb_key *nb_key_of(const char *architecture, const char *suffix) {
    for (const nb_key *key = nb_gguf_keys; key->suffix; key++)
        if (nb_text_is(nb_text_of(suffix), key->suffix) && nb_key_is_of(key, architecture))
            return key;
    return NULL;
}

bool nb_model_is_converted(const nb_model *model) {
    return nb_checkpoint_number(&model->checkpoint, "nibble.converted", 0) != 0;
}

const nb_value *nb_model_value(const nb_model *model, const char *suffix) {
    const nb_checkpoint *c = &model->checkpoint;
    const nb_key *line = nb_key_of(model->family->name, suffix);
    if (!nb_model_is_converted(model) && (!line || line->rule == NB_KEY_HARMLESS))
        return NULL;
    char key[128];
    nb_writer w = nb_writer_over(key, sizeof key);
    nb_write(&w, "%s.%s", model->family->name, suffix);
    return nb_checkpoint_find(c, key);
}

static int32_t refuse_value(const char *architecture, const nb_key *key, const char *value, nb_error *err) {
    return NB_FAIL(err, NB_ERR_UNSUPPORTED, "%s.%s is %s; of %s models only %s%d is supported", architecture,
                   key->suffix, value, architecture, key->least < key->most ? "up to " : "", (int32_t)key->most);
}

/* Every number of the value must be an integer from least to most. */
static int32_t check_limits(const nb_model *model, const nb_value *v, const nb_key *key, nb_error *err) {
    const nb_checkpoint *c = &model->checkpoint;
    bool is_list = v->type == NB_VALUE_ARRAY;
    if (!nb_value_bytes(is_list ? v->item_type : v->type))
        return refuse_value(model->family->name, key, "no number", err);
    for (uint64_t i = 0; i < v->count; i++) {
        double x = is_list ? nb_checkpoint_item(c, v, i) : nb_checkpoint_number_of(c, v);
        char value[32];
        nb_writer w = nb_writer_over(value, sizeof value);
        nb_write(&w, "%g", x);
        if (!(x >= key->least && x <= key->most) || x != (double)(int32_t)x)
            return refuse_value(model->family->name, key, value, err);
    }
    return NB_OK;
}

int32_t nb_model_check_keys(const nb_model *model, nb_error *err) {
    const char *name = model->family->name;
    for (const nb_key *key = nb_gguf_keys; key->suffix; key++) {
        bool limited = key->rule == NB_KEY_LIMITED || key->rule == NB_KEY_OURS_LIMITED;
        bool counts = limited && nb_key_of(name, key->suffix) == key;
        const nb_value *v = counts ? nb_model_value(model, key->suffix) : NULL;
        if (v)
            NB_TRY(check_limits(model, v, key, err));
    }
    return NB_OK;
}
