#include "peft.h"

#include "../base/writer.h"
#include "../types/traits.h"
#include "arrangement.h"
#include "huggingface_names.h"
#include "safetensors.h"

#include <math.h>

/* Keys of variants of LoRA, whose adapters would need more than two matrices, or another model: they must be absent,
 * null, false or empty. */
static const char *const variants[] = {
    "use_dora",
    "lora_bias",
    "use_qalora",
    "use_bdlora",
    "alpha_pattern",
    "modules_to_save",
    "loftq_config",
    "corda_config",
    "lora_ga_config",
    "kasa_config",
    "arrow_config",
    "velora_config",
    "layer_replication",
    "monteclora_config",
    "target_parameters",
    "trainable_token_indices",
    "alora_invocation_tokens",
};

static int32_t refuse_key(const char *key, nb_error *err) {
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "adapter_config.json: %s has a value that is not supported: only plain LoRA adapters are", key);
}

static int32_t check_config(nb_node config, nb_error *err) {
    nb_node bias = nb_node_find(config, "bias"), start = nb_node_find(config, "init_lora_weights");
    if (!nb_node_is(nb_node_find(config, "peft_type"), "LORA"))
        return refuse_key("peft_type", err);
    if (bias.at && !nb_node_is(bias, "none"))
        return refuse_key("bias", err);
    if (nb_node_first(start) == '"' && !nb_node_is(start, "gaussian") && !nb_node_is(start, "eva") &&
        !nb_node_is(start, "orthogonal")) /* the others change the model's weights, too */
        return refuse_key("init_lora_weights", err);
    for (uint32_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        nb_node value = nb_node_find(config, variants[i]);
        bool list = nb_node_first(value) == '{' || nb_node_first(value) == '[';
        if (list ? !nb_node_is_empty(value) : !nb_node_is_null(value) && nb_node_number(value, 1) != 0)
            return refuse_key(variants[i], err);
    }
    return NB_OK;
}

/* PEFT multiplies by alpha / rank, where the rank may differ between modules, or by alpha / sqrt(rank) (rslora:
 * Kalajdzievski 2023). GGUF's factor is alpha / rank. */
static int32_t compose_alpha(nb_composer *x, nb_node config, nb_error *err) {
    double alpha = nb_node_number(nb_node_find(config, "lora_alpha"), 0),
           rank = nb_node_number(nb_node_find(config, "r"), 0);
    bool rslora = nb_node_is_set(config, "use_rslora", false);
    if (alpha == 0 || !(rank >= 1)) /* GGUF's 0 means no factor at all */
        return refuse_key(alpha == 0 ? "lora_alpha" : "r", err);
    if (rslora && !nb_node_is_empty(nb_node_find(config, "rank_pattern")))
        return refuse_key("rank_pattern (with use_rslora)", err);
    nb_compose_real(x, "adapter.lora.alpha", rslora ? alpha * sqrt(rank) : alpha);
    return NB_OK;
}

static int32_t place_tensor(const nb_hf_model *p, uint32_t source) {
    nb_plan *plan = p->plan;
    uint32_t head = plan->adapted_head;
    nb_text name = nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[source]), rest = name;
    bool is_b = nb_text_ends(name, ".lora_B.weight");
    nb_hf_name ours = {0};
    if (nb_text_ends(name, ".base_layer.weight")) /* the model's own weights, which PEFT saves with an output's */
        return NB_OK;
    if ((is_b || nb_text_ends(name, ".lora_A.weight")) && nb_text_take(&rest, "base_model.model.")) {
        rest.size -= 7; /* "layers.0.mlp.up_proj.lora_A": the last part counts as the module's tensor */
        nb_hf_name_of(p, rest, &ours);
    }
    bool grouped = nb_hf_has(p, NB_HF_QKV_BY_GROUP) && nb_text_ends(ours.module, "attn_qkv");
    if (!ours.known || ours.row != NB_NONE || grouped)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "tensor %t is of no matrix of %s models that an adapter can change here", name,
                       p->family->architecture);
    char text[sizeof ours.text + 16];
    nb_writer w = nb_writer_over(text, sizeof text);
    nb_write(&w, "%t.weight.lora_%s", ours.module, is_b ? "b" : "a");
    uint32_t target = nb_plan_target(plan, (nb_text){text, w.length});
    if (target == NB_NONE)
        return p->composer->code;
    NB_TRY(nb_plan_assign(plan, source, target, NB_ROLE_CODES, NB_NONE));
    nb_plan_copy_shape(plan, source, target);
    nb_target *to = &plan->targets[target];
    const nb_tensor_info *info = &plan->out.tensors[target];
    bool heads = nb_text_ends(ours.module, "attn_q") || nb_text_ends(ours.module, "attn_k");
    if (!nb_traits_of(to->source_type) || info->n_dimensions != 2)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "tensor %t has type %s, or is no matrix; F32, F16 and BF16 are supported", name,
                       nb_safetensors_type(plan->in.tensors[source].type));
    if (is_b && heads && nb_hf_has(p, NB_HF_PERMUTED_QK) && head && head % 2 == 0 && info->shape[1] % head == 0) {
        to->permuted = head;
        to->arrangement = NB_AS_PERMUTED;
        return nb_arrangement_check(plan, target, p->err);
    }
    return NB_OK;
}

int32_t nb_peft_plan(nb_plan *plan, nb_node config, nb_error *err) {
    nb_composer *x = &plan->composer;
    nb_hf_model p = {.plan = plan, .composer = x, .family = plan->adapted, .err = err};
    if (nb_node_first(config) != '{')
        return NB_FAIL(err, NB_ERR_FORMAT, "adapter_config.json is missing, or is not a JSON object");
    NB_TRY(check_config(config, err));
    nb_compose_string(x, "general.architecture", nb_text_of(plan->adapted->architecture));
    nb_compose_string(x, "general.type", nb_text_of("adapter"));
    nb_compose_string(x, "adapter.type", nb_text_of("lora"));
    NB_TRY(compose_alpha(x, config, err));
    for (uint32_t i = 0; i < plan->in.n_tensors; i++)
        NB_TRY(place_tensor(&p, i));
    return x->code;
}
