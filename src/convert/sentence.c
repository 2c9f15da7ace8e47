#include "sentence.h"

#include "../base/writer.h"
#include "known_keys.h"

/* ---- keys ------------------------------------------------------------------------------------------------------- */

static const nb_known_key transformer_keys[] = {
    {"transformer_task", "\"feature-extraction\""},
    {"modality_config", NULL}, /* check_modality */
    {"module_output_name", "\"token_embeddings\""},
    {"processing_kwargs", "{}"},
    {"max_seq_length", NULL}, /* used */
    {"do_lower_case", NULL},  /* check_lower_case */
    {"tokenizer_name_or_path", "null"},
    {"model_name_or_path", "null"},
    {"backend", NULL},          /* overwritten by the library */
    {"processor_kwargs", NULL}, /* processor_keys */
    {"tokenizer_args", NULL},
    {"model_kwargs", NULL}, /* model_keys */
    {"model_args", NULL},
    {"config_kwargs", "{}"},
    {"config_args", "{}"},
    {"unpad_inputs", NULL}, /* changes no number */
    {"query_length", NULL}, /* only for encode_query and encode_document */
    {"document_length", NULL},
    {"query_expansion", NULL},
    {0},
};
static const nb_known_key processor_keys[] = {
    {"model_max_length", NULL}, /* used */
    {"truncation_side", NULL},  /* used */
    {"padding_side", NULL},     {"use_fast", NULL}, {"trust_remote_code", NULL}, {0},
};
static const nb_known_key model_keys[] = {
    {"dtype", NULL},
    {"torch_dtype", NULL},
    {"attn_implementation", NULL},
    {"trust_remote_code", NULL},
    {"use_safetensors", NULL},
    {"low_cpu_mem_usage", NULL},
    {"device_map", NULL},
    {"add_pooling_layer", NULL},
    {0},
};
static const nb_known_key pooling_keys[] = {
    {"pooling_mode", NULL}, /* used */
    {"pooling_mode_cls_token", NULL},
    {"pooling_mode_max_tokens", NULL},
    {"pooling_mode_mean_tokens", NULL},
    {"pooling_mode_mean_sqrt_len_tokens", NULL},
    {"pooling_mode_weightedmean_tokens", NULL},
    {"pooling_mode_lasttoken", NULL},
    {"include_prompt", NULL},
    {"embedding_dimension", NULL}, /* the tensors say so */
    {"word_embedding_dimension", NULL},
    {0},
};
static const nb_known_key dense_keys[] = {
    {"in_features", NULL}, /* the tensors say so */
    {"out_features", NULL},
    {"bias", NULL},
    {"activation_function", NULL}, /* used */
    {"module_input_name", "\"sentence_embedding\""},
    {"module_output_name", "\"sentence_embedding\""},
    {"use_residual", "false"},
    {"init_weight", "null"},
    {"init_bias", "null"},
    {0},
};
static const nb_known_key normalize_keys[] = {
    {"module_input_name", "\"sentence_embedding\""},
    {"module_output_name", "\"sentence_embedding\""},
    {0},
};
static const nb_known_key layer_norm_keys[] = {{"dimension", NULL}, /* the tensors say so */ {0}};
static const nb_known_key dropout_keys[] = {{"dropout", NULL}, /* of training */ {0}};
static const nb_known_key module_list_keys[] = {
    {"path", NULL}, /* used */
    {"type", NULL},
    {"name", NULL},
    {"idx", NULL},
    {"kwargs", NULL}, /* options of encode() for the module, of which nibble has none */
    {0},
};
static const nb_known_key model_config_keys[] = {
    {"prompts", NULL}, /* used */
    {"default_prompt_name", NULL},
    {"truncate_dim", NULL},
    {"model_type", "\"SentenceTransformer\""},
    {"similarity_fn_name", NULL}, /* how callers compare embeddings */
    {"requirements", NULL},
    {"__version__", NULL},
    {0},
};

/* ---- modules ---------------------------------------------------------------------------------------------------- */

typedef struct sentence {
    const nb_hf_model *p;
    const nb_folder *folder;
    nb_sentence *out;
    nb_writer steps; /* the value of nibble.embedding */
    bool pooled;
} sentence;

static void add_word(sentence *s, const char *word) {
    nb_write(&s->steps, s->steps.length ? " %s" : "%s", word);
}

static const char *const modes[] = {"cls", "max", "mean", "mean_sqrt_len_tokens", "weightedmean", "lasttoken"};

static int32_t add_mode(sentence *s, nb_node mode, nb_text file) {
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (nb_node_is(mode, modes[i])) {
            add_word(s, modes[i]);
            return NB_OK;
        }
    return NB_FAIL(s->p->err, NB_ERR_UNSUPPORTED,
                   "%t: the pooling_mode %t is not supported; cls, max, mean, mean_sqrt_len_tokens, weightedmean and "
                   "lasttoken are",
                   file, nb_node_raw(mode));
}

static int32_t add_pooling(sentence *s, nb_node config, nb_text file) {
    static const char *const flags[] = {
        "pooling_mode_cls_token",           "pooling_mode_max_tokens",
        "pooling_mode_mean_tokens",         "pooling_mode_mean_sqrt_len_tokens",
        "pooling_mode_weightedmean_tokens", "pooling_mode_lasttoken",
    };
    NB_TRY(nb_keys_check(pooling_keys, config, file, true, s->p->err));
    nb_node mode = nb_node_find(config, "pooling_mode");
    size_t before = s->steps.length;
    if (nb_node_first(mode) == '[')
        for (nb_members w = nb_members_of(mode); nb_members_next(&w);)
            NB_TRY(add_mode(s, w.value, file));
    else if (mode.at)
        NB_TRY(add_mode(s, mode, file));
    for (size_t i = 0; i < sizeof flags / sizeof *flags && !mode.at; i++)
        if (nb_node_number(nb_node_find(config, flags[i]), 0) != 0)
            add_word(s, modes[i]);
    if (s->steps.length == before)
        add_word(s, "mean");
    if (nb_node_number(nb_node_find(config, "include_prompt"), 1) == 0)
        nb_compose_flag(s->p->composer, "nibble.embedding.include_prompt", false);
    s->pooled = true;
    return NB_OK;
}

/* The activations are classes of PyTorch with default parameters: a file cannot have others. The default is Tanh. */
static int32_t add_dense(sentence *s, nb_node config, nb_text file) {
    static const nb_hf_pair activations[] = {
        {"torch.nn.modules.linear.Identity", "dense/identity"},
        {"torch.nn.modules.activation.Tanh", "dense/tanh"},
        {"torch.nn.modules.activation.ReLU", "dense/relu"},
        {"torch.nn.modules.activation.GELU", "dense/gelu"},
        {"torch.nn.modules.activation.SiLU", "dense/silu"},
        {"torch.nn.modules.activation.Sigmoid", "dense/sigmoid"},
        {"torch.nn.modules.activation.ELU", "dense/elu"},
        {"torch.nn.modules.activation.LeakyReLU", "dense/leakyrelu"},
        {"torch.nn.modules.activation.Softplus", "dense/softplus"},
        {"torch.nn.modules.activation.Mish", "dense/mish"},
        {"torch.nn.Identity", "dense/identity"},
        {"torch.nn.Tanh", "dense/tanh"},
        {"torch.nn.ReLU", "dense/relu"},
        {"torch.nn.GELU", "dense/gelu"},
        {0},
    };
    NB_TRY(nb_keys_check(dense_keys, config, file, false, s->p->err));
    nb_node named = nb_node_find(config, "activation_function");
    const char *word = named.at ? NULL : "dense/tanh";
    for (const nb_hf_pair *a = activations; a->theirs && !word; a++)
        word = nb_node_is(named, a->theirs) ? a->ours : NULL;
    if (!word)
        return NB_FAIL(s->p->err, NB_ERR_UNSUPPORTED,
                       "%t: the activation_function %t is not supported; PyTorch's Identity, Tanh, ReLU, GELU, SiLU, "
                       "Sigmoid, ELU, LeakyReLU, Softplus and Mish are",
                       file, nb_node_raw(named));
    add_word(s, word);
    return NB_OK;
}

/* Only text is supported, and only its last hidden state. */
static int32_t check_modality(nb_node modality, nb_text file, nb_error *err) {
    nb_node text = nb_node_find(modality, "text");
    if (!nb_node_find(modality, "message").at &&
        (!modality.at || (nb_node_is(nb_node_find(text, "method"), "forward") &&
                          nb_node_is(nb_node_find(text, "method_output_name"), "last_hidden_state"))))
        return NB_OK;
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "%t: modality_config must be of a text's last_hidden_state, without messages, here; other values of "
                   "it are not supported",
                   file);
}

/* Whether the normalizer lower-cases texts. The depth of JSON is limited (nb_json_check), so this may recurse.
 * NOLINTNEXTLINE(misc-no-recursion) */
static bool lowers(nb_node normalizer) {
    for (nb_members w = nb_members_of(nb_node_find(normalizer, "normalizers")); nb_members_next(&w);)
        if (lowers(w.value))
            return true;
    return nb_node_is(nb_node_find(normalizer, "type"), "Lowercase") ||
           (nb_node_is(nb_node_find(normalizer, "type"), "BertNormalizer") &&
            nb_node_is_set(normalizer, "lowercase", false));
}

/* The library lower-cases texts before the tokenizer. nibble does not: the tokenizer must do it. */
static int32_t check_lower_case(const sentence *s, nb_node asked, nb_text file) {
    if (nb_node_number(asked, 0) != 0 && !lowers(nb_node_find(s->folder->tokenizer, "normalizer")))
        return NB_FAIL(s->p->err, NB_ERR_UNSUPPORTED,
                       "%t: do_lower_case is true, but the normalizer of tokenizer.json does not lower-case; that is "
                       "not supported",
                       file);
    return NB_OK;
}

/* Writes the length to which texts are cut: the first number in the order in which the library looks for one. */
static int32_t add_transformer(sentence *s, nb_node config, nb_text file) {
    const nb_hf_model *p = s->p;
    nb_node processor = nb_node_find(config, "processor_kwargs"), given = nb_node_find(config, "model_kwargs");
    processor = processor.at ? processor : nb_node_find(config, "tokenizer_args");
    given = given.at ? given : nb_node_find(config, "model_args");
    NB_TRY(nb_keys_check(transformer_keys, config, file, true, p->err));
    NB_TRY(nb_keys_check(processor_keys, processor, file, true, p->err));
    NB_TRY(nb_keys_check(model_keys, given, file, true, p->err));
    NB_TRY(check_lower_case(s, nb_node_find(config, "do_lower_case"), file));
    NB_TRY(check_modality(nb_node_find(config, "modality_config"), file, p->err));
    nb_node tokenizer = s->folder->tokenizer_config, own = nb_node_find(processor, "model_max_length");
    own = nb_node_is_null(own) ? nb_node_find(config, "max_seq_length") : own;
    double positions = nb_hf_number(p, "max_position_embeddings", 0);
    double most = nb_node_number(own, 0);
    double tokenizers = nb_node_number(nb_node_find(tokenizer, "model_max_length"), positions);
    if (nb_node_is_null(own))
        most = positions > 0 && positions < tokenizers ? positions : tokenizers;
    if (most >= 1 && most < 1 << 27)
        nb_compose_number(p->composer, "nibble.embedding.max_tokens", most);
    nb_node side = nb_node_find(processor, "truncation_side");
    if (nb_node_is(side.at ? side : nb_node_find(tokenizer, "truncation_side"), "left"))
        nb_compose_flag(p->composer, "nibble.embedding.cuts_left", true);
    return NB_OK;
}

/* "sentence_transformers.models.Pooling", "sentence_transformers.base.modules.dense.Dense" -> the name after the last
 * dot. */
static nb_text class_of(nb_node type) {
    static const char *const prefix = "sentence_transformers.";
    nb_text raw = nb_node_raw(type), name = raw;
    if (raw.size < nb_length(prefix) || nb_compare(raw.data, prefix, nb_length(prefix)))
        return (nb_text){0};
    for (size_t i = 0; i < raw.size; i++)
        if (raw.data[i] == '.')
            name = (nb_text){raw.data + i + 1, raw.size - i - 1};
    return name;
}

static int32_t add_module(sentence *s, uint32_t i, nb_node type, nb_text path) {
    nb_error *err = s->p->err;
    nb_text name = class_of(type);
    char text[96];
    nb_writer w = nb_writer_over(text, sizeof text);
    nb_write(&w, "%t/config.json", path);
    nb_text file = nb_text_of(text);
    nb_node config = {0};
    for (uint32_t k = 0; k < s->folder->n_modules; k++)
        if (nb_text_equal(s->folder->modules[k].path, path))
            config = s->folder->modules[k].config;
    if (nb_text_is(name, "Transformer") && i == 0)
        return add_transformer(s, s->folder->transformer, nb_text_of("sentence_bert_config.json"));
    if (nb_text_is(name, "Pooling") && i > 0 && !s->pooled)
        return add_pooling(s, config, file);
    if (nb_text_is(name, "Dropout") && s->pooled)
        return nb_keys_check(dropout_keys, config, file, true, err);
    bool dense = nb_text_is(name, "Dense"), norm = nb_text_is(name, "LayerNorm"), unit = nb_text_is(name, "Normalize");
    if (!s->pooled || (!dense && !norm && !unit))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "modules.json: module %u is \"%t\", which is not supported there; take a model with first a "
                       "Transformer, then a Pooling, then any of Dense, LayerNorm, Normalize and Dropout",
                       i, nb_node_raw(type));
    s->out->folders[s->out->n++] = path;
    if (dense)
        return add_dense(s, config, file);
    add_word(s, norm ? "layernorm" : "normalize");
    return norm ? nb_keys_check(layer_norm_keys, config, file, true, err)
                : nb_keys_check(normalize_keys, config, file, false, err);
}

/* ---- prompts ---------------------------------------------------------------------------------------------------- */

static nb_node prompt_of(const sentence *s, const char *name) {
    return nb_node_find(nb_node_find(s->folder->sentence, "prompts"), name);
}

/* The library always has these two prompts. They are empty unless a file says what they are. */
static const char *const builtin_prompts[] = {"query", "document"};

static int32_t add_prompts(sentence *s) {
    nb_composer *x = s->p->composer;
    nb_node prompts = nb_node_find(s->folder->sentence, "prompts");
    nb_node chosen = nb_node_find(s->folder->sentence, "default_prompt_name");
    bool found = nb_node_is_null(chosen);
    nb_compose_array(x, "nibble.embedding.prompt_names", NB_VALUE_STRING);
    for (nb_members w = nb_members_of(prompts); nb_members_next(&w);) {
        nb_compose_item(x, w.key, (nb_node){0});
        found |= nb_text_equal(nb_node_raw(w.key), nb_node_raw(chosen));
    }
    for (int i = 0; i < 2; i++)
        if (!prompt_of(s, builtin_prompts[i]).at) {
            nb_compose_text(x, nb_text_of(builtin_prompts[i]));
            found |= nb_node_is(chosen, builtin_prompts[i]);
        }
    nb_compose_array(x, "nibble.embedding.prompts", NB_VALUE_STRING);
    for (nb_members w = nb_members_of(prompts); nb_members_next(&w);)
        if (nb_node_raw(w.value).data)
            nb_compose_item(x, w.value, (nb_node){0});
        else
            nb_compose_text(x, nb_text_of(""));
    for (int i = 0; i < 2; i++)
        if (!prompt_of(s, builtin_prompts[i]).at)
            nb_compose_text(x, nb_text_of(""));
    if (!found)
        return NB_FAIL(s->p->err, NB_ERR_FORMAT,
                       "config_sentence_transformers.json: default_prompt_name is %t, which is none of the prompts",
                       nb_node_raw(chosen));
    if (!nb_node_is_null(chosen))
        nb_compose_node(x, "nibble.embedding.default_prompt", chosen);
    return x->code;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* A folder without modules.json may still have the config.json of a pooling module. */
static int32_t compose_pooling(sentence *s) {
    for (uint32_t i = 0; i < s->folder->n_modules; i++)
        if (nb_text_is(s->folder->modules[i].path, "1_Pooling")) {
            NB_TRY(add_pooling(s, s->folder->modules[i].config, nb_text_of("1_Pooling/config.json")));
            add_word(s, "normalize");
        }
    return NB_OK;
}

/* llama.cpp knows three ways to pool, by their numbers, and no step after them but normalization. The default of an
 * encoder is the mean. */
static void compose_pooling_type(const nb_hf_model *p, nb_text steps) {
    static const char *const known[] = {"mean", "cls", "lasttoken"};
    nb_text rest = {0};
    int32_t i = 0;
    if (!steps.size && !nb_hf_has(p, NB_HF_ENCODER))
        return;
    steps = steps.size ? steps : nb_text_of(known[0]);
    for (rest = steps; i < 3 && !nb_text_take(&rest, known[i]); i++)
        ;
    if (i < 3 && (!rest.size || nb_text_is(rest, " normalize")))
        nb_hf_put(p, "pooling_type", i + 1);
    else
        nb_compose_only_nibble(p->composer, "llama.cpp has no such pooling, or no such modules after it");
}

int32_t nb_sentence_compose(const nb_hf_model *p, const nb_folder *folder, nb_sentence *out) {
    char text[512] = "";
    sentence s = {.p = p, .folder = folder, .out = out, .steps = nb_writer_over(text, sizeof text)};
    *out = (nb_sentence){0};
    if (p->has_head) {
        nb_hf_put(p, "pooling_type", 4); /* llama.cpp's, of rerankers */
        return p->composer->code;
    }
    uint32_t n = 0;
    for (nb_members w = nb_members_of(folder->module_list); nb_members_next(&w); n++) {
        nb_text path = nb_node_raw(nb_node_find(w.value, "path"));
        if (n == NB_MODULES || !path.data)
            return NB_FAIL(p->err, NB_ERR_FORMAT,
                           "modules.json: module %u has no path, or there are more than %u; that is not supported", n,
                           (uint32_t)NB_MODULES);
        NB_TRY(nb_keys_check(module_list_keys, w.value, nb_text_of("modules.json"), false, p->err));
        NB_TRY(add_module(&s, n, nb_node_find(w.value, "type"), path));
    }
    if (n && !s.pooled)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED, "modules.json names no Pooling module");
    if (!n)
        NB_TRY(compose_pooling(&s));
    if (s.steps.length >= sizeof text)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "modules.json has more pooling modes and modules than are supported");
    if (s.steps.length)
        nb_compose_string(p->composer, "nibble.embedding", nb_text_of(text));
    compose_pooling_type(p, nb_text_of(text));
    if (!n)
        return p->composer->code;
    NB_TRY(nb_keys_check(model_config_keys, folder->sentence, nb_text_of("config_sentence_transformers.json"), false,
                         p->err));
    double size = nb_node_number(nb_node_find(folder->sentence, "truncate_dim"), 0);
    if (size > 0)
        nb_compose_number(p->composer, "nibble.embedding.truncate_dim", size);
    return add_prompts(&s);
}

/* Whether the tensor lies in this folder. *leaf: its name without the folder. */
static bool is_within(nb_text name, nb_text folder, nb_text *leaf) {
    if (!folder.size || name.size <= folder.size || name.data[folder.size] != '/' ||
        nb_compare(name.data, folder.data, folder.size))
        return false;
    *leaf = (nb_text){name.data + folder.size + 1, name.size - folder.size - 1};
    return true;
}

int32_t nb_sentence_place(const nb_hf_model *p, const nb_sentence *sentence, uint32_t source, bool *is_module) {
    const nb_tensor_info *t = &p->plan->in.tensors[source];
    nb_text name = nb_checkpoint_tensor_name(&p->plan->in, t), leaf = {0};
    *is_module = false;
    uint32_t step = 0;
    while (step < sentence->n && !is_within(name, sentence->folders[step], &leaf))
        step++;
    if (step == sentence->n)
        return NB_OK;
    *is_module = true;
    bool weight = nb_text_is(leaf, "linear.weight") || nb_text_is(leaf, "norm.weight");
    if (!weight && !nb_text_is(leaf, "linear.bias") && !nb_text_is(leaf, "norm.bias"))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "tensor %t is not supported in its module; linear.weight, linear.bias, norm.weight and "
                       "norm.bias are",
                       name);
    char text[64];
    nb_writer w = nb_writer_over(text, sizeof text);
    nb_write(&w, "embedding.%u.%s", step, weight ? "weight" : "bias");
    uint32_t target = nb_plan_target(p->plan, nb_text_of(text));
    if (target == NB_NONE)
        return p->composer->code;
    NB_TRY(nb_plan_assign(p->plan, source, target, NB_ROLE_CODES, NB_NONE));
    nb_plan_copy_shape(p->plan, source, target);
    return NB_OK;
}
