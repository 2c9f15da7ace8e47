#include "huggingface_quantization.h"

#include "known_keys.h"

/* The keys of the libraries' own classes. tests/oracles/quantization_keys.py lists them, and none may be missing here.
 * "The tensors say so": the names and shapes of the tensors show which modules are quantized, and how. */

/* GPTQModel's QuantizeConfig, AutoGPTQ's and transformers' GPTQConfig. */
// clang-format off: keys of one subject on a line
static const nb_known_key gptq_keys[] = {
    {"quant_method", NULL}, {"method", NULL}, {"bits", NULL}, {"group_size", NULL}, {"sym", NULL}, {"desc_act", NULL},
    {"checkpoint_format", NULL}, {"format", NULL}, {"dynamic", NULL}, /* all of these are used */
    {"pack_dtype", "\"int32\"|\"torch.int32\""},
    {"is_marlin_format", "false"},
    {"rotation", "null"},
    {"activation", "null"},
    {"adapter", "null|{}"},
    {"mock_quantization", "false"},
    {"lm_head", NULL}, /* the tensors say so */
    {"modules_in_block_to_quantize", NULL}, {"block_name_to_quantize", NULL},
    {"module_name_preceding_first_block", NULL},
    {"modules_to_not_convert", NULL},
    /* how the weights were quantized */
    {"act_group_aware", NULL}, {"static_groups", NULL}, {"true_sequential", NULL}, {"damp_percent", NULL},
    {"damp_auto_increment", NULL}, {"mse", NULL}, {"gptaq", NULL}, {"foem", NULL}, {"hessian", NULL},
    {"fallback", NULL},
    {"preprocessors", NULL}, {"smoother", NULL}, {"smooth", NULL}, {"moe", NULL}, {"meta", NULL}, {"dataset", NULL},
    {"tokenizer", NULL}, {"batch_size", NULL}, {"pad_token_id", NULL}, {"model_seqlen", NULL},
    {"cache_block_outputs", NULL},
    {"weight_only", NULL},
    /* on which machine, and by which kernels a product is computed */
    {"device", NULL}, {"telemetry", NULL}, {"pack_impl", NULL}, {"offload_to_disk", NULL},
    {"offload_to_disk_path", NULL},
    {"_offload_temp_dir", NULL}, {"compute_device_filter", NULL}, {"calibration_data_device", NULL}, {"gc_mode", NULL},
    {"auto_forward_data_parallel", NULL}, {"dense_vram_strategy", NULL}, {"dense_vram_strategy_devices", NULL},
    {"moe_vram_strategy", NULL}, {"moe_vram_strategy_devices", NULL}, {"wait_for_submodule_finalizers", NULL},
    {"backend", NULL}, {"max_input_length", NULL}, {"use_exllama", NULL}, {"disable_exllama", NULL},
    {"exllama_config", NULL},
    {"use_cuda_fp16", NULL},
    {"model_name_or_path", NULL}, {"model_file_base_name", NULL}, /* names */
    {0}};
/* What a rule of "dynamic" may change for the modules that it names. */
static const nb_known_key rule_keys[] = {
    {"bits", NULL}, {"group_size", NULL}, /* the tensors say so */
    {"sym", NULL}, {"desc_act", NULL},    /* used */
    {"pack_dtype", "\"int32\"|\"torch.int32\""},
    {"format", "\"gptq\"|\"gptq_v2\"|\"gemm\""},
    {"method", "\"gptq\"|\"awq\""},
    {"adapter", "null|{}"},
    {"rotation", "null"},
    {0}};
/* AutoAWQ's AwqConfig, GPTQModel's and transformers'. */
static const nb_known_key awq_keys[] = {
    {"w_bit", NULL}, {"q_group_size", NULL}, /* bits and group_size */
    {"zero_point", "true"},
    {"version", "\"gemm\"|\"GEMM\""},
    {"scale_search_chunked_activations", NULL}, {"do_fuse", NULL}, {"modules_to_fuse", NULL},
    {"fuse_max_seq_len", NULL},
    {0}};
/* transformers' BitsAndBytesConfig. */
static const nb_known_key bitsandbytes_keys[] = {
    {"quant_method", NULL}, {"load_in_8bit", NULL}, {"load_in_4bit", NULL}, /* used */
    {"_load_in_8bit", NULL}, {"_load_in_4bit", NULL},
    /* the tensors say so */
    {"llm_int8_skip_modules", NULL}, {"bnb_4bit_quant_type", NULL}, {"bnb_4bit_use_double_quant", NULL},
    {"bnb_4bit_quant_storage", NULL}, {"llm_int8_has_fp16_weight", NULL},
    {"llm_int8_threshold", NULL}, {"bnb_4bit_compute_dtype", NULL}, /* how activations are rounded: nibble does not */
    {"llm_int8_enable_fp32_cpu_offload", NULL},
    {0}};
/* compressed-tensors' QuantizationConfig, and what transformers has besides. */
static const nb_known_key compressed_keys[] = {
    /* all of these are used */
    {"quant_method", NULL}, {"config_groups", NULL}, {"format", NULL}, {"sparsity_config", NULL},
    {"transform_config", NULL},
    {"quantization_config", NULL},
    {"moe_sparsity_config", "null|{}"},
    {"ignore", NULL}, /* the tensors say so */
    {"kv_cache_scheme", NULL}, /* how a cache is rounded: nibble has its own */
    {"quantization_status", NULL}, {"global_compression_ratio", NULL}, {"version", NULL}, {"run_compressed", NULL},
    {"dequantize", NULL}, {"use_optimized_inference", NULL},
    {0}};
/* QuantizationScheme, of a group of modules. */
static const nb_known_key scheme_keys[] = {
    {"weights", NULL}, {"format", NULL}, /* used */
    {"targets", NULL},                   /* the tensors say so */
    {"input_activations", NULL}, {"output_activations", NULL}, /* how activations are rounded: nibble does not */
    {0}};
/* QuantizationArgs, of a group's weights. */
static const nb_known_key weights_keys[] = {
    {"type", "\"int\""},
    {"dynamic", "false"},
    {"block_structure", "null"},
    /* the tensors say so */
    {"num_bits", NULL}, {"symmetric", NULL}, {"group_size", NULL}, {"strategy", NULL}, {"actorder", NULL},
    {"scale_dtype", NULL}, {"zp_dtype", NULL},
    {"observer", NULL}, {"observer_kwargs", NULL}, /* of quantizing */
    {0}};
// clang-format on

/* The member `first`; `second` where that is null or absent. */
static nb_node either(nb_node config, const char *first, const char *second) {
    nb_node n = nb_node_find(config, first);
    return nb_node_is_null(n) ? nb_node_find(config, second) : n;
}

/* A string in lower case. */
static nb_text lower(nb_node string, char *out, size_t capacity) {
    nb_text raw = nb_node_raw(string);
    size_t n = raw.size < capacity ? raw.size : capacity;
    for (size_t i = 0; i < n; i++)
        out[i] = raw.data[i] >= 'A' && raw.data[i] <= 'Z' ? (char)(raw.data[i] + 'a' - 'A') : raw.data[i];
    return (nb_text){raw.data ? out : NULL, n};
}

/* The rules "+:PATTERN" and "PATTERN" quantize some modules in another way; "-:PATTERN" leaves some as they are. A
 * module's tensors tell its bits and groups, but not whether its zeros differ or its columns have an order. So if one
 * rule says that, all modules may. */
static int32_t read_rules(nb_quantization *q, nb_node rules, nb_text file, nb_error *err) {
    q->by_tensors = !nb_node_is_empty(rules);
    for (nb_members w = nb_members_of(rules); nb_members_next(&w);) {
        NB_TRY(nb_keys_check(rule_keys, w.value, file, false, err));
        q->symmetric &= !nb_node_find(w.value, "sym").at;
        q->ordered |= nb_node_number(nb_node_find(w.value, "desc_act"), 0) != 0;
    }
    return NB_OK;
}

static int32_t read_gptq_or_awq(nb_plan *plan, nb_node config, nb_text file, bool awq, nb_error *err) {
    if (awq)
        NB_TRY(nb_keys_check(awq_keys, config, file, false, err));
    NB_TRY(nb_keys_check(gptq_keys, config, file, false, err));
    double bits = nb_node_number(either(config, "bits", "w_bit"), awq ? 4 : 0);
    double group = nb_node_number(either(config, "group_size", "q_group_size"), awq ? 128 : -1);
    bool known = bits == 4 || (!awq && (bits == 2 || bits == 3 || bits == 8));
    if (!known || !(group == -1 || (group >= 32 && group <= 1 << 20 && (uint32_t)group % 32 == 0)))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "%t: %s of %g bits in groups of %g is not supported; awq of 4 bits is, and gptq of 2, 3, 4 and "
                       "8, in groups of a multiple of 32",
                       file, awq ? "awq" : "gptq", bits, group);
    char text[32];
    nb_text format = lower(either(config, "checkpoint_format", "format"), text, sizeof text);
    bool other = awq && nb_node_is(nb_node_find(config, "backend"), "llm-awq"); /* it packs in its own way */
    bool usual = !format.data || nb_text_is(format, awq ? "gemm" : "gptq") || (!awq && nb_text_is(format, "gptq_v2"));
    if (other || !usual)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "%t: %s in the format %t is not supported; %s", file,
                       awq ? "awq" : "gptq", other ? nb_text_of("llm-awq") : format,
                       awq ? "gemm is" : "gptq and gptq_v2 are");
    plan->quantization = (nb_quantization){
        .library = awq ? NB_BY_AWQ : NB_BY_GPTQ,
        .bits = (uint32_t)bits,
        .group = group > 0 ? (uint64_t)group : 0,
        .symmetric = !awq && nb_node_number(nb_node_find(config, "sym"), 1) != 0,
        .ordered = group != -1 && nb_node_number(nb_node_find(config, "desc_act"), 0) != 0,
        .zero_offset = !awq && !nb_text_is(format, "gptq_v2"),
    };
    return read_rules(&plan->quantization, nb_node_find(config, "dynamic"), file, err);
}

static int32_t read_compressed(nb_plan *plan, nb_node config, nb_text file, nb_error *err) {
    nb_node general = nb_node_find(config, "format"), sparsity = nb_node_find(config, "sparsity_config");
    NB_TRY(nb_keys_check(compressed_keys, config, file, false, err));
    bool has_inputs = false;
    for (nb_members w = nb_members_of(nb_node_find(config, "config_groups")); nb_members_next(&w);) {
        nb_node format = nb_node_find(w.value, "format"), weights = nb_node_find(w.value, "weights");
        nb_text name = nb_node_raw(format.at && nb_node_first(format) == '"' ? format : general);
        nb_node type = nb_node_find(weights, "type");
        bool known = nb_text_is(name, "pack-quantized") || nb_text_is(name, "int-quantized");
        if (!known || (type.at && !nb_node_is(type, "int")))
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "%t: compressed-tensors of the format \"%t\" and the type \"%t\" is not supported; "
                           "pack-quantized and int-quantized are, of int",
                           file, name, nb_node_raw(type));
        NB_TRY(nb_keys_check(scheme_keys, w.value, file, false, err));
        NB_TRY(nb_keys_check(weights_keys, weights, file, false, err));
        has_inputs |= !nb_node_is_empty(nb_node_find(w.value, "input_activations"));
    }
    bool sparse = nb_node_find(sparsity, "format").at && !nb_node_is(nb_node_find(sparsity, "format"), "dense");
    if (sparse || !nb_node_is_empty(nb_node_find(nb_node_find(config, "transform_config"), "config_groups")))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "%t: compressed-tensors with %s is not supported; take a version of the model without it", file,
                       sparse ? "sparsity_config" : "transform_config");
    plan->quantization = (nb_quantization){.library = NB_BY_COMPRESSED, .has_inputs = has_inputs};
    return NB_OK;
}

/* fallback: the method if none is named. */
static int32_t read_section(nb_plan *plan, nb_node config, nb_text file, const char *fallback, nb_error *err) {
    char text[32];
    nb_text method = lower(either(config, "quant_method", "method"), text, sizeof text);
    /* transformers checks these two first */
    if (nb_node_is_set(config, "load_in_4bit", false) || nb_node_is_set(config, "load_in_8bit", false))
        method = nb_text_of("bitsandbytes");
    if (!method.data && fallback)
        method = nb_text_of(fallback);
    if (!method.data)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "%t: the weights are quantized, but no quant_method says how; that is not supported", file);
    if (nb_text_is(method, "bitsandbytes")) {
        NB_TRY(nb_keys_check(bitsandbytes_keys, config, file, false, err));
        plan->quantization = (nb_quantization){.library = NB_BY_BITSANDBYTES, .symmetric = true};
        return NB_OK;
    }
    if (nb_text_is(method, "compressed-tensors")) {
        nb_node inner = nb_node_find(config, "quantization_config");
        return read_compressed(plan, nb_node_first(inner) == '{' ? inner : config, file, err);
    }
    if (nb_text_is(method, "awq") || nb_text_is(method, "gptq"))
        return read_gptq_or_awq(plan, config, file, nb_text_is(method, "awq"), err);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "%t: the quantization \"%t\" %t is not supported; gptq, awq (gemm), bitsandbytes and "
                   "compressed-tensors are. Take the model's floating-point version, or a GGUF file of it",
                   file, method, nb_node_raw(either(config, "checkpoint_format", "version")));
}

/* Whether a matrix is quantized by GPTQ or AWQ. Their configuration files may also lie beside unquantized weights. */
static bool has_columns(const nb_plan *plan) {
    for (uint64_t i = 0; i < plan->in.n_tensors; i++)
        if (nb_text_ends(nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[i]), ".qweight"))
            return true;
    return false;
}

int32_t nb_hf_read_quantization(nb_plan *plan, const nb_folder *folder, nb_error *err) {
    nb_node inner = nb_node_find(folder->config, "text_config");
    nb_node sections[] = {
        nb_node_find(folder->config, "quantization_config"),
        nb_node_find(folder->config, "compression_config"),
        nb_node_find(inner, "quantization_config"),
        nb_node_find(inner, "compression_config"),
    };
    for (int i = 0; i < 4; i++)
        if (nb_node_first(sections[i]) == '{' && !nb_node_is_empty(sections[i]))
            return read_section(plan, sections[i], nb_text_of("config.json"), i % 2 ? "compressed-tensors" : NULL, err);
    if (!has_columns(plan))
        return NB_OK;
    if (folder->quantize_config.at)
        return read_section(plan, folder->quantize_config, nb_text_of("quantize_config.json"), "gptq", err);
    if (folder->quant_config.at)
        return read_section(plan, folder->quant_config, nb_text_of("quant_config.json"), "awq", err);
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "the weights are quantized, as GPTQ and AWQ do, but config.json has no quantization_config, and "
                   "there is neither quantize_config.json nor quant_config.json; get these from where the model came "
                   "from");
}
