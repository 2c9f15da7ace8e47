#include "huggingface_quantization.h"

static bool is_empty(nb_node container) {
    nb_walk w = nb_walk_of(container);
    return !nb_walk_next(&w);
}

static int32_t take_columns(nb_plan *plan, nb_node config, bool awq, nb_error *err) {
    nb_text method = nb_node_raw(nb_node_find(config, "quant_method"));
    double bits = nb_node_number(nb_node_find(config, "bits"), 0);
    double group = nb_node_number(nb_node_find(config, "group_size"), -1);
    bool symmetric = !awq && nb_node_number(nb_node_find(config, "sym"), 1) != 0;
    bool known = bits == 4 || (!awq && (bits == 2 || bits == 3 || bits == 8));
    if (!known || !(group == -1 || (group >= 32 && group <= 1 << 20 && (uint32_t)group % 32 == 0)))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "config.json: %t of %g bits in groups of %g is not supported; awq of 4 bits is, and "
                       "gptq of 2, 3, 4 and 8, in groups of a multiple of 32",
                       method, bits, group);
    if (!is_empty(nb_node_find(config, "dynamic")))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "config.json: quantization with dynamic (other bits for some modules) is not supported; take a "
                       "version of the model without");
    plan->quantization =
        (nb_quantization){.library = awq ? NB_BY_AWQ : NB_BY_GPTQ,
                          .bits = (uint32_t)bits,
                          .group = group > 0 ? (uint64_t)group : 0,
                          .symmetric = symmetric,
                          .ordered = group != -1 && nb_node_number(nb_node_find(config, "desc_act"), 0) != 0,
                          .zero_offset = !awq && !nb_node_is(nb_node_find(config, "checkpoint_format"), "gptq_v2")};
    return NB_OK;
}

static int32_t take_compressed(nb_plan *plan, nb_node config, nb_error *err) {
    nb_node general = nb_node_find(config, "format"), sparsity = nb_node_find(config, "sparsity_config");
    for (nb_walk w = nb_walk_of(nb_node_find(config, "config_groups")); nb_walk_next(&w);) {
        nb_node format = nb_node_find(w.value, "format"), weights = nb_node_find(w.value, "weights");
        nb_text name = nb_node_raw(format.at && nb_node_first(format) == '"' ? format : general);
        nb_node type = nb_node_find(weights, "type");
        if ((!nb_text_is(name, "pack-quantized") && !nb_text_is(name, "int-quantized")) || (type.at && !nb_node_is(type, "int")))
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "config.json: compressed-tensors of the format \"%t\" and the type \"%t\" is not supported; "
                           "pack-quantized and int-quantized are, of int",
                           name, nb_node_raw(type));
    }
    bool sparse = nb_node_find(sparsity, "format").at && !nb_node_is(nb_node_find(sparsity, "format"), "dense");
    if (sparse || !is_empty(nb_node_find(nb_node_find(config, "transform_config"), "config_groups")))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "config.json: compressed-tensors with %s is not supported; take a version of the model without",
                       sparse ? "sparsity_config" : "transform_config");
    plan->quantization = (nb_quantization){.library = NB_BY_COMPRESSED};
    return NB_OK;
}

int32_t nb_hf_take_quantization(nb_plan *plan, nb_node config, nb_error *err) {
    nb_text method = nb_node_raw(nb_node_find(config, "quant_method"));
    if (!method.data)
        return NB_OK;
    if (nb_text_is(method, "bitsandbytes")) {
        plan->quantization = (nb_quantization){.library = NB_BY_BITSANDBYTES, .symmetric = true};
        return NB_OK;
    }
    if (nb_text_is(method, "compressed-tensors"))
        return take_compressed(plan, config, err);
    nb_node version = nb_node_find(config, nb_text_is(method, "awq") ? "version" : "checkpoint_format");
    if (nb_text_is(method, "awq") && (!version.at || nb_node_is(version, "gemm") || nb_node_is(version, "GEMM")))
        return take_columns(plan, config, true, err);
    if (nb_text_is(method, "gptq") && (!version.at || nb_node_is(version, "gptq") || nb_node_is(version, "gptq_v2")))
        return take_columns(plan, config, false, err);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "config.json: the quantization \"%t\" %t is not supported; gptq, awq (gemm), bitsandbytes and "
                   "compressed-tensors are. Take the model's floating-point version, or a GGUF file of it",
                   method, nb_node_raw(version));
}
