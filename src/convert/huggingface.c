#include "huggingface.h"

#include "../base/numbers.h"
#include "../base/writer.h"
#include "../types/traits.h"
#include "arrangement.h"
#include "huggingface_config.h"
#include "huggingface_quantization.h"
#include "safetensors.h"
#include "sentence.h"
#include "tokenizer_json.h"

/* ---- tensors --------------------------------------------------------------------------------------------------- */

static bool take_start_of(nb_text *text, const char *const *starts) {
    while (*starts && !nb_text_take(text, *starts))
        starts++;
    return *starts;
}

/* The number that a text begins with, as it is written there (nb_text_take_number); empty if there is none. */
static nb_text take_number(nb_text *text) {
    nb_text before = *text;
    uint32_t number;
    return nb_text_take_number(text, &number) ? (nb_text){before.data, (size_t)(text->data - before.data)} : (nb_text){0};
}

/* Whether it is a name of that pattern, in which "*" is a number. */
static bool fits(nb_text name, const char *pattern, nb_text *number) {
    *number = (nb_text){0};
    for (; *pattern; pattern++) {
        if (*pattern == '*') {
            *number = take_number(&name);
            if (!number->size)
                return false;
        } else if (!name.size || *name.data != *pattern) {
            return false;
        } else {
            name = (nb_text){name.data + 1, name.size - 1};
        }
    }
    return !name.size;
}

static const char *ours(const nb_hf_pair *table, nb_text name, nb_text *number) {
    for (; table && table->theirs; table++)
        if (fits(name, table->theirs, number))
            return table->ours;
    return NULL;
}

/* What a quantized matrix is made of (arrangement.h), beside a "weight" that may be its codes. */
static const struct part { nb_library library; const char *leaf; nb_role role; nb_arrangement arrangement;
} parts[] = {
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
    {NB_BY_COMPRESSED, "weight_scale", NB_ROLE_SCALES, NB_AS_BYTES}, /* or packed: the codes say so */
    {NB_BY_COMPRESSED, "weight_zero_point", NB_ROLE_ZEROS, NB_AS_BYTES},
    {NB_BY_COMPRESSED, "weight_g_idx", NB_ROLE_ORDER, NB_AS_BYTES},
};

/* What compressed-tensors has beside a module for rounding activations and a cache. nibble does neither by these. */
static const char *const activation_parts[] = {
    "input_scale", "input_zero_point", "input_global_scale", "input_g_idx", "output_scale", "output_zero_point",
    "output_global_scale", "q_scale", "q_zero_point", "q_global_scale", "k_scale", "k_zero_point", "k_global_scale", "v_scale",
    "v_zero_point", "v_global_scale", NULL};

static bool is_of_activations(const nb_hf_model *p, nb_text leaf) {
    const char *const *part = activation_parts;
    while (*part && !nb_text_is(leaf, *part))
        part++;
    return *part && p->plan->quantization.library == NB_BY_COMPRESSED;
}

/* Where the module's name ends within a tensor's: before ".weight." or the last dot. */
static size_t module_end(nb_text name) {
    size_t last = 0;
    for (size_t i = 0; i < name.size; i++) {
        nb_text rest = {name.data + i, name.size - i};
        if (nb_text_take(&rest, ".weight."))
            return i;
        last = name.data[i] == '.' ? i : last;
    }
    return last;
}

/* What a tensor's name says. */
typedef struct tensor_name {
    char text[256];  /* of the module in GGUF, "blk.7.attn_q" */
    nb_text module, leaf;
    bool known;      /* by the tables */
    uint32_t row;    /* where many tensors become one: its row; else NB_NONE */
} tensor_name;

/* "model.layers.7.self_attn.q_proj.weight" -> "blk.7.attn_q" and "weight" */
static void split_name(const nb_hf_model *p, nb_text rest, tensor_name *out) {
    take_start_of(&rest, nb_hf_prefixes);
    nb_text layer = {0}, number = {0}, within = rest;
    if (take_start_of(&within, nb_hf_layers)) {
        layer = take_number(&within);
        if (layer.size && nb_text_take(&within, "."))
            rest = within;
        else
            layer.size = 0;
    }
    size_t end = module_end(rest), after = end ? end + 1 : 0;
    nb_text theirs = {rest.data, end};
    out->leaf = (nb_text){rest.data + after, rest.size - after};
    if (nb_text_is(out->leaf, "gamma") || nb_text_is(out->leaf, "beta")) /* BERT's first */
        out->leaf = nb_text_of(nb_text_is(out->leaf, "gamma") ? "weight" : "bias");
    const char *found = layer.size ? ours(p->family->modules, theirs, &number) : ours(nb_hf_modules, theirs, &number);
    if (!found && layer.size)
        found = ours(nb_hf_layer_modules, theirs, &number);
    nb_writer w = nb_writer_over(out->text, sizeof out->text);
    if (found && layer.size)
        nb_write(&w, "blk.%t.", layer);
    bool stacked = number.size;
    for (; found && *found; found++) {
        stacked &= *found != '*';
        if (*found == '*')
            nb_write_bytes(&w, number.data, number.size);
        else
            nb_write_bytes(&w, found, 1);
    }
    if (!stacked || !nb_text_take_number(&number, &out->row))
        out->row = NB_NONE;
    out->module = (nb_text){out->text, NB_MIN(w.length, sizeof out->text - 1)};
    out->known = found && w.length + out->leaf.size + 2 < sizeof out->text;
}

/* Columns of a matrix by its name in GGUF. */
static double columns_of(const nb_hf_model *p, nb_text name) {
    double width = nb_hf_told(p, "embedding_length", 0), inner = nb_hf_told(p, "feed_forward_length", 0);
    double expert = nb_hf_told(p, "expert_feed_forward_length", inner);
    if (nb_text_ends(name, "attn_output"))
        return nb_hf_told(p, "attention.head_count", 1) * nb_hf_head_size(p);
    if (nb_text_ends(name, "ffn_down_shexp"))
        return nb_hf_told(p, "expert_shared_feed_forward_length", nb_hf_told(p, "expert_shared_count", 1) * expert);
    if (nb_text_ends(name, "ffn_down"))
        return inner;
    if (nb_text_ends(name, "project_in"))
        return p->embedding_columns > 0 ? p->embedding_columns : width;
    while (name.size && name.data[name.size - 1] >= '0' && name.data[name.size - 1] <= '9')
        name.size--;
    return nb_text_ends(name, "ffn_down.") ? expert : width;
}

/* What must happen to a module's tensor, beyond its new name. */
static void arrange(const nb_hf_model *p, const tensor_name *name, nb_target *to, nb_tensor_info *info) {
    bool qkv = nb_text_ends(name->module, "attn_qkv"), matrix = info->n_dimensions == 2;
    double heads = nb_hf_told(p, "attention.head_count", 1), kv_heads = nb_hf_told(p, "attention.head_count_kv", heads);
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

/* Gives a tensor of the files to a tensor of the GGUF. A tensor that no table knows keeps its name: the engine refuses it by
 * that name. */
static int32_t place_tensor(const nb_hf_model *p, uint32_t source) {
    const nb_tensor_info *t = &p->plan->in.tensors[source];
    tensor_name name;
    split_name(p, nb_checkpoint_tensor_name(&p->plan->in, t), &name);
    if (is_of_activations(p, name.leaf))
        return NB_OK;
    nb_role role = NB_ROLE_CODES;
    nb_arrangement arrangement = NB_AS_ROWS;
    for (const struct part *i = parts; i < parts + sizeof parts / sizeof *parts; i++)
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
        return p->x->code;
    NB_TRY(nb_plan_assign(p->plan, source, target, role, name.row));
    nb_target *to = &p->plan->targets[target];
    to->columns = columns >= 1 && columns < 1 << 24 ? (uint64_t)columns : 1;
    if (arrangement != NB_AS_ROWS && to->arrangement != NB_AS_PACKED)
        to->arrangement = arrangement;
    if (role != NB_ROLE_CODES)
        return NB_OK;
    nb_plan_take_shape(p->plan, source, target);
    arrange(p, &name, to, &p->plan->out.tensors[target]);
    return NB_OK;
}

/* Biases that the engine would add. Where the key says that the modules have none, transformers ignores the tensors. */
#define QKV_BIASES "self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"
static const struct { const char *key, *names[4]; } biases[] = {
    {"attention_bias", {QKV_BIASES, "self_attn.o_proj.bias"}},
    {"use_qkv_bias", {QKV_BIASES, NULL}},
    {"mlp_bias", {"mlp.gate_proj.bias", "mlp.up_proj.bias", "mlp.down_proj.bias", NULL}}};

enum { BIASES = sizeof biases / sizeof *biases };

/* A bit for each line of the table that is ignored. In quantized folders none is: quantizers give modules biases of their
 * own. */
static uint32_t find_ignored_biases(const nb_hf_model *p) {
    uint32_t bits = 0;
    for (uint32_t i = 0; i < BIASES && p->plan->quantization.library == NB_BY_NOBODY; i++)
        if (nb_hf_has(p, NB_HF_NO_BIASES) || nb_hf_number(p, biases[i].key, 1) == 0)
            bits |= 1u << i;
    return bits;
}

static bool is_ignored_bias(const nb_hf_model *p, nb_text name) {
    bool ignored = false;
    for (uint32_t i = 0; i < BIASES; i++)
        for (int k = 0; p->ignored_biases >> i & 1 && k < 4 && biases[i].names[k]; k++)
            ignored |= nb_text_ends(name, biases[i].names[k]);
    return ignored;
}

/* Whether the text model does not need the tensor. */
static bool is_needless(const nb_hf_model *p, nb_text name) {
    nb_text rest = name;
    take_start_of(&rest, nb_hf_prefixes);
    bool needless = take_start_of(&rest, nb_hf_needless_starts) || is_ignored_bias(p, name);
    for (const char *const *end = nb_hf_needless_ends; *end; end++)
        needless |= nb_text_ends(name, *end);
    needless |= nb_hf_has(p, NB_HF_ENCODER) && nb_text_take(&rest, "lm_head."); /* RoBERTa's, of several tensors */
    return needless || (nb_text_ends(name, "lm_head.weight") && p->tied);
}

static int32_t place_tensors(const nb_hf_model *p, const nb_sentence *sentence) {
    nb_plan *plan = p->plan;
    for (uint32_t i = 0; i < plan->in.n_tensors; i++) {
        bool is_module;
        NB_TRY(nb_sentence_place(p, sentence, i, &is_module));
        if (!is_module && !is_needless(p, nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[i])))
            NB_TRY(place_tensor(p, i));
    }
    for (uint32_t i = 0; i < plan->out.n_tensors; i++) {
        const nb_target *t = &plan->targets[i];
        if (t->arrangement == NB_AS_ORDER || t->arrangement == NB_AS_NUMBERS)
            continue;
        if (t->arrangement != NB_AS_ROWS) {
            NB_TRY(nb_arrangement_check(plan, i, p->err));
            continue;
        }
        const nb_tensor_info *from = &plan->in.tensors[t->first];
        nb_text name = nb_checkpoint_tensor_name(&plan->in, from);
        if (t->missing > 1)
            return NB_FAIL(p->err, NB_ERR_FORMAT, "tensor %t is there twice, under two names; the files are damaged", name);
        if (!nb_traits_of(t->source_type))
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                           "tensor %t has type %s, which is not supported here; F32, F16, BF16, F8_E4M3 and F8_E5M2 are",
                           name, nb_safetensors_type(from->type));
    }
    return p->x->code;
}

static int32_t refuse_model_type(nb_text type, nb_error *err) {
    char known[NB_LIST_BYTES];
    nb_writer w = nb_writer_over(known, sizeof known);
    for (const nb_hf_family *f = nb_hf_families; f->model_type; f++)
        nb_write(&w, f == nb_hf_families ? "%s" : ", %s", f->model_type);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED, "config.json: model_type \"%t\" is not supported; supported: %s", type,
                   known);
}

int32_t nb_huggingface_plan(nb_plan *plan, const nb_folder *folder, nb_error *err) {
    nb_composer *x = &plan->composer;
    nb_hf_model p = {.plan = plan, .x = x, .config = folder->config, .err = err};
    if (nb_node_first(p.config) != '{')
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "config.json is missing, or holds no JSON object: without it nobody knows what the tensors are; "
                       "get it from where the model came from");
    if (nb_node_first(nb_node_find(p.config, "text_config")) == '{') /* of a model of texts and pictures */
        p.config = nb_node_find(p.config, "text_config");
    nb_text type = nb_node_raw(nb_node_find(p.config, "model_type"));
    if (!type.data)
        return NB_FAIL(err, NB_ERR_FORMAT, "config.json names no model_type; get it from where the model came from");
    for (const nb_hf_family *f = nb_hf_families; f->model_type && !p.family; f++)
        if (nb_text_is(type, f->model_type))
            p.family = f;
    if (!p.family)
        return refuse_model_type(type, err);
    NB_TRY(nb_hf_take_quantization(plan, folder, err));
    p.tied = nb_hf_number(&p, "tie_word_embeddings", 0) != 0;
    if (p.config.at != folder->config.at) /* the output belongs to the outer model */
        p.tied = nb_node_number(nb_node_find(folder->config, "tie_word_embeddings"), p.tied) != 0;
    p.skipped_positions = nb_hf_skipped_positions(&p);
    p.embedding_columns = nb_hf_number(&p, "word_embed_proj_dim", 0);
    p.ignored_biases = find_ignored_biases(&p);
    nb_compose_string(x, "nibble.source", nb_text_of("safetensors"));
    NB_TRY(nb_hf_compose_config(&p));
    nb_sentence sentence;
    NB_TRY(nb_sentence_compose(&p, folder, &sentence));
    NB_TRY(place_tensors(&p, &sentence));
    nb_tokenizer_files files = {folder->tokenizer, folder->tokenizer_config, folder->special_map, folder->added, p.config,
                                folder->generation};
    NB_TRY(nb_tokenizer_compose(x, &files, err));
    if (folder->chat_template.data) {
        nb_compose_string(x, "tokenizer.chat_template", folder->chat_template);
        return x->code;
    }
    nb_node template = nb_node_find(folder->tokenizer_config, "chat_template");
    for (nb_walk w = nb_walk_of(template); nb_walk_next(&w);) /* several, each with its name */
        if (nb_node_is(nb_node_find(w.value, "name"), "default"))
            template = nb_node_find(w.value, "template");
    if (nb_node_raw(template).data)
        nb_compose_node(x, "tokenizer.chat_template", template);
    return x->code;
}
