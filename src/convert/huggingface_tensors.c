#include "huggingface_tensors.h"

#include "../base/writer.h"
#include "../types/traits.h"
#include "arrangement.h"
#include "huggingface_names.h"
#include "safetensors.h"

/* The tensors of which a quantized matrix consists (arrangement.h). Its codes may also be in "weight". */
typedef struct component {
    nb_library library;
    const char *leaf;
    nb_role role;
    nb_arrangement arrangement;
} component;

static const component components[] = {
    {NB_BY_GPTQ, "qweight", NB_ROLE_CODES, NB_AS_GPTQ},
    {NB_BY_GPTQ, "qzeros", NB_ROLE_ZEROS, NB_AS_GPTQ},
    {NB_BY_GPTQ, "scales", NB_ROLE_SCALES, NB_AS_GPTQ},
    {NB_BY_GPTQ, "g_idx", NB_ROLE_ORDER, NB_AS_GPTQ},
    {NB_BY_AWQ, "qweight", NB_ROLE_CODES, NB_AS_AWQ},
    {NB_BY_AWQ, "qzeros", NB_ROLE_ZEROS, NB_AS_AWQ},
    {NB_BY_AWQ, "scales", NB_ROLE_SCALES, NB_AS_AWQ},
    {NB_BY_BITSANDBYTES, "SCB", NB_ROLE_SCALES, NB_AS_BYTES},
    {NB_BY_BITSANDBYTES, "weight.absmax", NB_ROLE_SCALES, NB_AS_BLOCKS},
    {NB_BY_BITSANDBYTES, "weight.quant_map", NB_ROLE_CODEBOOK, NB_AS_BLOCKS},
    {NB_BY_BITSANDBYTES, "weight.nested_absmax", NB_ROLE_SCALE_SCALES, NB_AS_BLOCKS},
    {NB_BY_BITSANDBYTES, "weight.nested_quant_map", NB_ROLE_SCALE_CODEBOOK, NB_AS_BLOCKS},
    {NB_BY_BITSANDBYTES, "weight.quant_state.bitsandbytes__nf4", NB_ROLE_STATE, NB_AS_BLOCKS},
    {NB_BY_BITSANDBYTES, "weight.quant_state.bitsandbytes__fp4", NB_ROLE_STATE, NB_AS_BLOCKS},
    {NB_BY_COMPRESSED, "weight_packed", NB_ROLE_CODES, NB_AS_PACKED},
    {NB_BY_COMPRESSED, "weight_shape", NB_ROLE_STATE, NB_AS_PACKED},
    {NB_BY_COMPRESSED, "weight_scale", NB_ROLE_SCALES, NB_AS_BYTES}, /* or NB_AS_PACKED, by its codes */
    {NB_BY_COMPRESSED, "weight_zero_point", NB_ROLE_ZEROS, NB_AS_BYTES},
    {NB_BY_COMPRESSED, "weight_g_idx", NB_ROLE_ORDER, NB_AS_BYTES},
};

/* Tensors by which compressed-tensors quantizes activations and a KV cache. nibble does not need them. */
static const char *const activation_parts[] = {
    "input_scale",
    "input_zero_point",
    "input_global_scale",
    "input_g_idx",
    "output_scale",
    "output_zero_point",
    "output_global_scale",
    "q_scale",
    "q_zero_point",
    "q_global_scale",
    "k_scale",
    "k_zero_point",
    "k_global_scale",
    "v_scale",
    "v_zero_point",
    "v_global_scale",
    NULL,
};

static bool is_of_activations(const nb_hf_model *p, nb_text leaf) {
    const char *const *part = activation_parts;
    while (*part && !nb_text_is(leaf, *part))
        part++;
    return *part && p->plan->quantization.library == NB_BY_COMPRESSED;
}

/* How many columns a matrix has, by its name in GGUF. */
static double columns_of(const nb_hf_model *p, nb_text name) {
    double width = nb_hf_written_number(p, "embedding_length", 0),
           inner = nb_hf_written_number(p, "feed_forward_length", 0);
    double expert = nb_hf_written_number(p, "expert_feed_forward_length", inner);
    if (nb_text_ends(name, "attn_output"))
        return nb_hf_written_number(p, "attention.head_count", 1) * nb_hf_head_size(p);
    if (nb_text_ends(name, "ffn_down_shexp"))
        return nb_hf_written_number(p, "expert_shared_feed_forward_length",
                                    nb_hf_written_number(p, "expert_shared_count", 1) * expert);
    if (nb_text_ends(name, "ffn_down"))
        return inner;
    if (nb_text_ends(name, "project_in"))
        return p->embedding_columns > 0 ? p->embedding_columns : width;
    while (name.size && name.data[name.size - 1] >= '0' && name.data[name.size - 1] <= '9')
        name.size--;
    return nb_text_ends(name, "ffn_down.") ? expert : width;
}

/* Notes how a module's tensor must change, besides its name. */
static void set_arrangement(const nb_hf_model *p, const nb_hf_name *name, nb_target *to, nb_tensor_info *info) {
    bool qkv = nb_text_ends(name->module, "attn_qkv"), matrix = info->n_dimensions == 2;
    double heads = nb_hf_written_number(p, "attention.head_count", 1),
           kv_heads = nb_hf_written_number(p, "attention.head_count_kv", heads);
    bool plain = to->arrangement == NB_AS_ROWS; /* not quantized */
    if (name->row != NB_NONE && plain)
        to->arrangement = NB_AS_STACKED;
    if (nb_hf_has(p, NB_HF_CONV1D) && matrix && plain &&
        (qkv || nb_text_ends(name->module, "attn_output") || nb_text_ends(name->module, "ffn_up") ||
         nb_text_ends(name->module, "ffn_down")))
        to->arrangement = NB_AS_TRANSPOSED;
    if (nb_hf_has(p, NB_HF_QKV_BY_GROUP) && qkv && kv_heads > 1 && kv_heads <= heads && heads < 1 << 16) {
        if (plain)
            to->arrangement = NB_AS_REGROUPED;
        to->groups = (uint32_t)kv_heads;
        to->group_heads = (uint32_t)(heads / kv_heads) + 2;
    }
    if (nb_hf_has(p, NB_HF_PERMUTED_QK) &&
        (nb_text_ends(name->module, "attn_q") || nb_text_ends(name->module, "attn_k"))) {
        double head = nb_hf_head_size(p);
        to->permuted = head >= 1 && head < 1 << 16 ? (uint32_t)head : 0;
        if (plain && to->permuted)
            to->arrangement = NB_AS_PERMUTED;
    }
    uint64_t skipped = p->skipped_positions;
    if (nb_text_ends(name->module, "position_embd") && matrix && plain && skipped < info->shape[1]) {
        to->skipped = info->bytes / info->shape[1] * skipped;
        info->shape[1] -= skipped;
    }
    if (nb_text_ends(name->module, "ffn_gate_inp_shexp")) /* [1, width]: a vector */
        info->n_dimensions = 1;
    if (nb_hf_has(p, NB_HF_NORMS_LESS_ONE) && nb_text_ends(name->module, "norm")) {
        to->shift = 1;
        info->type = NB_TYPE_F32;
    }
}

/* Assigns a tensor of the files to a target. A tensor that is in no table keeps its name, by which the engine refuses
 * it. */
static int32_t place_tensor(const nb_hf_model *p, uint32_t source) {
    const nb_tensor_info *t = &p->plan->in.tensors[source];
    nb_hf_name name;
    nb_hf_name_of(p, nb_checkpoint_tensor_name(&p->plan->in, t), &name);
    if (is_of_activations(p, name.leaf))
        return NB_OK;
    nb_role role = NB_ROLE_CODES;
    nb_arrangement arrangement = NB_AS_ROWS;
    for (const component *i = components; i < components + sizeof components / sizeof *components; i++)
        if (p->plan->quantization.library == i->library && nb_text_is(name.leaf, i->leaf)) {
            role = i->role;
            arrangement = i->arrangement;
            name.leaf = nb_text_of("weight");
        }
    double columns = columns_of(p, name.module);
    char text[sizeof name.text];
    nb_writer w = nb_writer_over(text, sizeof text);
    nb_write_bytes(&w, name.module.data, name.module.size);
    nb_write_bytes(&w, ".", 1);
    nb_write_bytes(&w, name.leaf.data, name.leaf.size);
    nb_text theirs = nb_checkpoint_tensor_name(&p->plan->in, t);
    uint32_t target = nb_plan_target(p->plan, name.known ? (nb_text){text, w.length} : theirs);
    if (target == NB_NONE)
        return p->composer->code;
    NB_TRY(nb_plan_assign(p->plan, source, target, role, name.row));
    nb_target *to = &p->plan->targets[target];
    to->columns = columns >= 1 && columns < 1 << 24 ? (uint64_t)columns : 1;
    if (arrangement != NB_AS_ROWS && to->arrangement != NB_AS_PACKED)
        to->arrangement = arrangement;
    if (role != NB_ROLE_CODES)
        return NB_OK;
    nb_plan_copy_shape(p->plan, source, target);
    set_arrangement(p, &name, to, &p->plan->out.tensors[target]);
    return NB_OK;
}

/* Biases that the engine would add. transformers ignores them if the key says that the modules have none. */
#define QKV_BIASES "self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"
#define MLP_BIASES "mlp.gate_proj.bias", "mlp.up_proj.bias", "mlp.down_proj.bias"
static const struct {
    const char *key, *names[4];
} biases[] = {
    {"attention_bias", {QKV_BIASES, "self_attn.o_proj.bias"}},
    {"use_qkv_bias", {QKV_BIASES, NULL}},
    {"mlp_bias", {MLP_BIASES, NULL}},
    {"use_bias", {QKV_BIASES, "self_attn.o_proj.bias"}},
    {"use_bias", {MLP_BIASES, NULL}},
};

enum { BIASES = sizeof biases / sizeof *biases };

/* A bit for each line of the table whose biases are ignored. In quantized folders none are ignored: quantizers add
 * biases to modules. config.json may be long, so it is read once and not for each tensor. */
static uint32_t find_ignored_biases(const nb_hf_model *p) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < BIASES && p->plan->quantization.library == NB_BY_NOBODY; i++)
        if (nb_hf_has(p, NB_HF_NO_BIASES) || nb_hf_number(p, biases[i].key, 1) == 0)
            bits |= 1u << i;
    return bits;
}

static bool is_ignored_bias(uint32_t ignored_lines, nb_text name) {
    bool ignored = false;
    for (uint32_t i = 0; i < BIASES; i++)
        for (int k = 0; ignored_lines >> i & 1 && k < 4 && biases[i].names[k]; k++)
            ignored |= nb_text_ends(name, biases[i].names[k]);
    return ignored;
}

/* Whether the text model does not need the tensor. */
static bool is_unneeded(const nb_hf_model *p, uint32_t ignored_biases, nb_text name) {
    nb_text rest = name;
    nb_hf_take_prefix(&rest, nb_hf_prefixes);
    bool unneeded =
        (!p->has_head && nb_hf_take_prefix(&rest, nb_hf_unneeded_prefixes)) || is_ignored_bias(ignored_biases, name);
    for (const char *const *end = nb_hf_unneeded_suffixes; *end; end++)
        unneeded |= nb_text_ends(name, *end);
    unneeded |= nb_hf_has(p, NB_HF_ENCODER) && nb_text_take(&rest, "lm_head."); /* RoBERTa's head has several tensors */
    return unneeded || (nb_text_ends(name, "lm_head.weight") && p->tied);
}

/* Does not permute rows that are not whole heads: the engine refuses the tensor's shape. */
static void settle_permuted(nb_plan *plan, uint32_t number) {
    const nb_tensor_info *to = &plan->out.tensors[number];
    nb_target *t = &plan->targets[number];
    uint64_t rows = to->n_dimensions == 1 ? to->shape[0] : to->shape[1];
    if (!t->permuted || (t->permuted % 2 == 0 && rows % t->permuted == 0 && to->n_dimensions <= 2))
        return;
    t->permuted = 0;
    t->arrangement = t->arrangement == NB_AS_PERMUTED ? NB_AS_ROWS : t->arrangement;
}

/* Checks a target once all its sources are known. */
static int32_t check_target(const nb_hf_model *p, uint32_t number) {
    nb_plan *plan = p->plan;
    const nb_target *t = &plan->targets[number];
    if (t->arrangement == NB_AS_ORDER)
        nb_compose_only_nibble(p->composer, "llama.cpp does not put the columns of a matrix into another order");
    if (t->arrangement == NB_AS_ORDER || t->arrangement == NB_AS_NUMBERS)
        return NB_OK;
    if (t->arrangement != NB_AS_ROWS) {
        NB_TRY(nb_arrangement_check(plan, number, p->err));
        settle_permuted(plan, number);
        return NB_OK;
    }
    const nb_tensor_info *from = &plan->in.tensors[t->first];
    nb_text name = nb_checkpoint_tensor_name(&plan->in, from);
    if (t->missing > 1)
        return NB_FAIL(p->err, NB_ERR_FORMAT, "tensor %t is there twice, under two names; the files are damaged", name);
    if (!nb_traits_of(t->source_type))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "tensor %t has type %s, which is not supported; F32, F16, BF16, F64, F8_E4M3 and F8_E5M2 are",
                       name, nb_safetensors_type(from->type));
    return NB_OK;
}

int32_t nb_hf_place_tensors(const nb_hf_model *p, const nb_sentence *sentence) {
    nb_plan *plan = p->plan;
    uint32_t ignored_biases = find_ignored_biases(p);
    for (uint32_t i = 0; i < plan->in.n_tensors; i++) {
        nb_text name = nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[i]);
        bool is_module;
        NB_TRY(nb_sentence_place(p, sentence, i, &is_module));
        if (!is_module && !is_unneeded(p, ignored_biases, name))
            NB_TRY(place_tensor(p, i));
    }
    for (uint32_t i = 0; i < plan->out.n_tensors; i++)
        NB_TRY(check_target(p, i));
    return p->composer->code;
}
