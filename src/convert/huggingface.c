/* The names on the left are transformers' (its configuration_*.py and modeling_*.py), those on the right GGUF's. */
#include "huggingface.h"

#include "../base/numbers.h"
#include "../base/writer.h"
#include "../kernels/traits.h"
#include "arrangement.h"
#include "safetensors.h"
#include "tokenizer_json.h"

#include <math.h>

typedef struct pair {
    const char *theirs, *ours;
} pair;

/* ---- families: one line each ----------------------------------------------------------------------------------- */

enum {
    TURNED_BY_HALVES = 1, /* GGUF's files of this architecture have the rows of q and k permuted, these files do not */
    NORMS_LESS_ONE = 2,   /* norms are stored as weight - 1 */
    WINDOW_IF_ASKED = 4   /* sliding_window counts only with use_sliding_window */
};

typedef struct family {
    const char *model_type, *architecture, *activation;
    uint32_t flags;
    const pair *modules;  /* within a layer, before the usual ones */
    const char *defaults; /* of keys that the class knows and files may leave out, as JSON */
} family;

static const pair four_norms[] = {
    {"post_attention_layernorm", "post_attention_norm"}, {"pre_feedforward_layernorm", "ffn_norm"},
    {"post_feedforward_layernorm", "post_ffw_norm"}, {0}};

#define LLAMA_DEFAULTS "{\"rms_norm_eps\":1e-6,\"max_position_embeddings\":2048}"
#define GEMMA3_DEFAULTS \
    "{\"num_attention_heads\":8,\"num_key_value_heads\":4,\"head_dim\":256,\"max_position_embeddings\":131072,\"rms_" \
    "norm_eps\":1e-6," \
    "\"sliding_window\":4096,\"rope_theta\":1e6,\"query_pre_attn_scalar\":256}"

static const family families[] = {
    {"llama", "llama", "silu", TURNED_BY_HALVES, NULL, LLAMA_DEFAULTS},
    {"mistral", "llama", "silu", TURNED_BY_HALVES, NULL, LLAMA_DEFAULTS},
    {"qwen2", "qwen2", "silu", WINDOW_IF_ASKED, NULL, LLAMA_DEFAULTS},
    {"qwen3", "qwen3", "silu", WINDOW_IF_ASKED, NULL, LLAMA_DEFAULTS},
    {"gemma3_text", "gemma3", "gelu_pytorch_tanh", NORMS_LESS_ONE, four_norms, GEMMA3_DEFAULTS},
};

enum { FAMILIES = sizeof families / sizeof *families };

static const pair layer_modules[] = {
    {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"}, {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"}, {"self_attn.q_norm", "attn_q_norm"}, {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"}, {"mlp.down_proj", "ffn_down"},
    {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"}, {0}};
static const pair modules[] = {{"embed_tokens", "token_embd"}, {"norm", "output_norm"}, {"lm_head", "output"}, {0}};

/* Numbers of config.json; those of several names take the first that is there. */
static const pair numbers[] = {{"hidden_size", "embedding_length"},
                               {"num_hidden_layers", "block_count"},
                               {"intermediate_size", "feed_forward_length"},
                               {"num_attention_heads", "attention.head_count"},
                               {"num_key_value_heads", "attention.head_count_kv"},
                               {"head_dim", "attention.key_length"},
                               {"head_dim", "attention.value_length"},
                               {"max_position_embeddings", "context_length"},
                               {"rms_norm_eps", "attention.layer_norm_rms_epsilon"},
                               {"final_logit_softcapping", "final_logit_softcapping"},
                               {"attn_logit_softcapping", "attn_logit_softcapping"},
                               {0}};
static const pair rope_numbers[] = {
    {"factor", "rope.scaling.factor"}, {"original_max_position_embeddings", "rope.scaling.original_context_length"},
    {"beta_fast", "rope.scaling.yarn_beta_fast"}, {"beta_slow", "rope.scaling.yarn_beta_slow"},
    {"low_freq_factor", "rope.scaling.low_freq_factor"}, {"high_freq_factor", "rope.scaling.high_freq_factor"}, {0}};

/* ---- the composition ------------------------------------------------------------------------------------------- */

typedef struct composition {
    nb_plan *plan;
    nb_composer *x; /* the plan's */
    const family *family;
    nb_node config, defaults; /* of the text model */
    nb_error *err;
} composition;

/* A member that is there and not null, of the file or by default. */
static nb_node member(const composition *p, const char *key) {
    nb_node found = nb_node_find(p->config, key);
    if (!found.at)
        found = nb_node_find(p->defaults, key);
    return nb_node_first(found) == 'n' ? (nb_node){0} : found;
}

static void put(const composition *p, const char *suffix, double value) {
    char key[128];
    nb_writer w = nb_writer_over(key, sizeof key);
    nb_write(&w, "%s.%s", p->family->architecture, suffix);
    nb_compose_number(p->x, key, value);
}

static void put_text(const composition *p, const char *suffix, nb_text value) {
    char key[128];
    nb_writer w = nb_writer_over(key, sizeof key);
    nb_write(&w, "%s.%s", p->family->architecture, suffix);
    nb_compose_string(p->x, key, value);
}

static int32_t compose_rope(const composition *p) {
    nb_node both = member(p, "rope_parameters"), own = both, local = {0};
    if (!own.at)
        own = member(p, "rope_scaling");
    if (nb_node_find(both, "full_attention").at) { /* a set for each kind of layer */
        own = nb_node_find(both, "full_attention");
        local = nb_node_find(both, "sliding_attention");
    }
    double base = nb_node_number(nb_node_find(own, "rope_theta"), nb_node_number(member(p, "rope_theta"), 10000));
    put(p, "rope.freq_base", base);
    double local_base =
        nb_node_number(nb_node_find(local, "rope_theta"), nb_node_number(member(p, "rope_local_base_freq"), 0));
    if (local_base > 0)
        put(p, "rope.freq_base_swa", local_base);
    nb_node kind = nb_node_find(own, "rope_type");
    nb_text name = nb_node_raw(kind.at ? kind : nb_node_find(own, "type"));
    if (!name.data || nb_text_is(name, "default"))
        return NB_OK;
    put_text(p, "rope.scaling.type", name); /* the family refuses what it does not know */
    for (const pair *n = rope_numbers; n->theirs; n++)
        if (nb_node_find(own, n->theirs).at)
            put(p, n->ours, nb_node_number(nb_node_find(own, n->theirs), 0));
    double factor = nb_node_number(nb_node_find(own, "factor"), 1),
           attention = nb_node_number(nb_node_find(own, "attention_factor"), 0);
    if (attention > 0) /* GGUF's is what the paper's formula is to be multiplied with */
        put(p, "rope.scaling.attn_factor", attention / (0.1 * (double)logf((float)factor) + 1));
    return NB_OK;
}

/* Which layers have the sliding window: all, or all but every so many-th. */
static int32_t compose_window(const composition *p) {
    double window = nb_node_number(member(p, "sliding_window"), 0);
    double period = nb_node_number(member(p, "sliding_window_pattern"), 0);
    if (p->family->flags & WINDOW_IF_ASKED && !(nb_node_number(member(p, "use_sliding_window"), 0) != 0))
        window = 0;
    uint32_t layers = 0, first_full = 0, sliding = 0;
    for (nb_walk w = nb_walk_of(member(p, "layer_types")); nb_walk_next(&w);) {
        bool slides = nb_node_is(w.value, "sliding_attention");
        layers++;
        if (!slides && !first_full)
            first_full = layers;
        sliding += slides;
    }
    if (layers) {
        uint32_t wrong = 0, i = 0;
        for (nb_walk w = nb_walk_of(member(p, "layer_types")); nb_walk_next(&w);)
            wrong += (first_full && ++i % first_full == 0) == nb_node_is(w.value, "sliding_attention");
        if (wrong)
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                           "config.json: layer_types has no regular pattern of sliding_attention and "
                           "full_attention; that is not supported");
        period = first_full ? first_full : layers + 1;
        window = sliding ? window : 0;
    }
    if (window > 0)
        put(p, "attention.sliding_window", window);
    if (period > 0)
        put(p, "attention.sliding_window_pattern", period);
    return NB_OK;
}

static int32_t compose_config(const composition *p) {
    nb_compose_string(p->x, "general.architecture", nb_text_of(p->family->architecture));
    nb_node name = member(p, "_name_or_path");
    if (nb_node_raw(name).size)
        nb_compose_node(p->x, "general.name", name);
    for (const pair *n = numbers; n->theirs; n++)
        if (member(p, n->theirs).at)
            put(p, n->ours, nb_node_number(member(p, n->theirs), 0));
    double scalar = nb_node_number(member(p, "query_pre_attn_scalar"), 0);
    if (scalar > 0)
        put(p, "attention.scale", 1 / sqrt(scalar));
    if (p->family->flags & TURNED_BY_HALVES)
        put(p, "rope.interleaved", 0);
    nb_node act = member(p, "hidden_activation");
    act = act.at ? act : member(p, "hidden_act");
    if (act.at && !nb_node_is(act, p->family->activation))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: the activation %t is not what %s models have (%s); it is not supported",
                       nb_node_raw(act), p->family->model_type, p->family->activation);
    NB_TRY(compose_window(p));
    return compose_rope(p);
}

/* ---- tensors --------------------------------------------------------------------------------------------------- */

static bool take_start(nb_text *text, const char *start) {
    size_t n = nb_length(start);
    if (text->size < n || nb_compare(text->data, start, n))
        return false;
    *text = (nb_text){text->data + n, text->size - n};
    return true;
}

static const char *ours(const pair *table, nb_text name) {
    for (; table && table->theirs; table++)
        if (nb_text_is(name, table->theirs))
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

/* Where a tensor's name stops to be its module's: before ".weight." or the last dot. */
static size_t module_end(nb_text name) {
    size_t last = 0;
    for (size_t i = 0; i < name.size; i++) {
        nb_text rest = {name.data + i, name.size - i};
        if (take_start(&rest, ".weight."))
            return i;
        last = name.data[i] == '.' ? i : last;
    }
    return last;
}

/* "model.layers.7.self_attn.q_proj.weight" -> "blk.7.attn_q" and "weight"; false: a name that is not known. */
static bool split_name(const composition *p, nb_text rest, nb_writer *module, nb_text *leaf) {
    static const char *const starts[] = {"model.language_model.", "language_model.model.", "language_model.", "model."};
    for (size_t i = 0; i < sizeof starts / sizeof *starts && !take_start(&rest, starts[i]); i++)
        ;
    bool in_layer = take_start(&rest, "layers.");
    nb_text number = {rest.data, 0};
    while (in_layer && number.size < rest.size && rest.data[number.size] != '.')
        number.size++;
    if (in_layer) {
        size_t skipped = NB_MIN(number.size + 1, rest.size);
        rest = (nb_text){rest.data + skipped, rest.size - skipped};
    }
    size_t end = module_end(rest);
    nb_text theirs = {rest.data, end};
    const char *found = in_layer ? ours(p->family->modules, theirs) : ours(modules, theirs);
    if (!found && in_layer)
        found = ours(layer_modules, theirs);
    size_t after = end ? end + 1 : 0;
    *leaf = (nb_text){rest.data + after, rest.size - after};
    if (!found || number.size > 20)
        return false;
    if (in_layer) {
        nb_write_bytes(module, "blk.", 4);
        nb_write_bytes(module, number.data, number.size);
        nb_write_bytes(module, ".", 1);
    }
    nb_write(module, "%s", found);
    return true;
}

/* Columns of a matrix by its name in GGUF. */
static double columns_of(const composition *p, nb_text name) {
    double width = nb_node_number(member(p, "hidden_size"), 0), heads = nb_node_number(member(p, "num_attention_heads"), 1);
    if (nb_text_ends(name, "attn_output"))
        return heads * nb_node_number(member(p, "head_dim"), width / heads);
    return nb_text_ends(name, "ffn_down") ? nb_node_number(member(p, "intermediate_size"), 0) : width;
}

/* Gives a tensor of the files to a tensor of the GGUF; one whose name is not known keeps it, and the engine refuses it by
 * that. */
static int32_t place_tensor(const composition *p, uint32_t source) {
    const nb_tensor_info *t = &p->plan->in.tensors[source];
    nb_text name = nb_checkpoint_tensor_name(&p->plan->in, t), leaf;
    char text[256];
    nb_writer w = nb_writer_over(text, sizeof text);
    bool known = split_name(p, name, &w, &leaf);
    nb_role role = NB_ROLE_CODES;
    nb_arrangement arrangement = NB_AS_ROWS;
    for (const struct part *i = parts; i < parts + sizeof parts / sizeof *parts; i++)
        if (p->plan->quantization.library == i->library && nb_text_is(leaf, i->leaf)) {
            role = i->role;
            arrangement = i->arrangement;
            leaf = nb_text_of("weight");
        }
    nb_text module = {text, w.length};
    bool is_norm = nb_text_ends(module, "norm");
    double columns = columns_of(p, module);
    nb_write_bytes(&w, ".", 1);
    nb_write_bytes(&w, leaf.data, leaf.size);
    uint32_t target = nb_plan_target(p->plan, known && w.length < sizeof text ? (nb_text){text, w.length} : name);
    if (target == NB_NONE)
        return p->x->code;
    nb_plan_assign(p->plan, source, target, role);
    nb_target *to = &p->plan->targets[target];
    to->columns = columns >= 1 && columns < 1 << 24 ? (uint64_t)columns : 1;
    if (arrangement != NB_AS_ROWS && to->arrangement != NB_AS_PACKED)
        to->arrangement = arrangement;
    if (role != NB_ROLE_CODES)
        return NB_OK;
    to->source_type = t->type;
    nb_tensor_info *info = &p->plan->out.tensors[target];
    info->type = t->type;
    info->n_dimensions = t->n_dimensions;
    memcpy(info->shape, t->shape, sizeof info->shape);
    if (p->family->flags & NORMS_LESS_ONE && is_norm) {
        to->shift = 1;
        info->type = NB_TYPE_F32;
    }
    return NB_OK;
}

/* What files hold that the text model does not need: buffers that follow from the configuration, parts that see
 * pictures. */
static bool is_needless(const composition *p, nb_text name) {
    nb_text rest = name;
    take_start(&rest, "model.");
    return nb_text_ends(name, "rotary_emb.inv_freq") || nb_text_ends(name, ".weight_format") || take_start(&rest, "vision_tower.") ||
           take_start(&rest, "multi_modal_projector.") ||
           (nb_text_ends(name, "lm_head.weight") && nb_node_number(member(p, "tie_word_embeddings"), 0) != 0);
}

static int32_t place_tensors(const composition *p) {
    nb_plan *plan = p->plan;
    for (uint32_t i = 0; i < plan->in.n_tensors; i++)
        if (!is_needless(p, nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[i])))
            NB_TRY(place_tensor(p, i));
    for (uint32_t i = 0; i < plan->out.n_tensors; i++) {
        const nb_target *t = &plan->targets[i];
        if (t->arrangement == NB_AS_ORDER)
            continue;
        if (t->arrangement != NB_AS_ROWS) {
            NB_TRY(nb_arrangement_check(plan, i, p->err));
            continue;
        }
        const nb_tensor_info *from = &plan->in.tensors[t->first];
        nb_text name = nb_checkpoint_tensor_name(&plan->in, from);
        if (t->missing > 1)
            return NB_FAIL(p->err, NB_ERR_FORMAT, "tensor %t is there twice, under two names", name);
        if (!nb_traits_of(t->source_type))
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                           "tensor %t has type %s, which is not supported here; F32, F16, BF16, F8_E4M3 and F8_E5M2 are",
                           name, nb_safetensors_type(from->type));
    }
    return p->x->code;
}

/* quantization_config, where there is one. */
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

static int32_t take_quantization(nb_plan *plan, nb_node config, nb_error *err) {
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

static int32_t refuse_model_type(nb_text type, nb_error *err) {
    char known[256];
    nb_writer w = nb_writer_over(known, sizeof known);
    for (size_t i = 0; i < FAMILIES; i++)
        nb_write(&w, i ? ", %s" : "%s", families[i].model_type);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED, "config.json: model_type \"%t\" is not supported; supported: %s", type,
                   known);
}

int32_t nb_huggingface_plan(nb_plan *plan, const nb_folder *folder, nb_error *err) {
    nb_composer *x = &plan->composer;
    composition p = {.plan = plan, .x = x, .config = folder->config, .err = err};
    if (nb_node_first(p.config) != '{')
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "config.json is missing, or holds no JSON object: without it nobody knows what the tensors are; "
                       "get it from where the model came from");
    if (nb_node_find(p.config, "text_config").at) /* of a model that sees, too */
        p.config = nb_node_find(p.config, "text_config");
    nb_text type = nb_node_raw(nb_node_find(p.config, "model_type"));
    if (!type.data)
        return NB_FAIL(err, NB_ERR_FORMAT, "config.json names no model_type; get it from where the model came from");
    for (size_t i = 0; i < FAMILIES && !p.family; i++)
        if (nb_text_is(type, families[i].model_type))
            p.family = &families[i];
    if (!p.family)
        return refuse_model_type(type, err);
    NB_TRY(take_quantization(plan, nb_node_find(folder->config, "quantization_config"), err));
    nb_text defaults = nb_text_of(p.family->defaults);
    NB_TRY(nb_json_check((const uint8_t *)defaults.data, defaults.size, "defaults", &p.defaults, err));
    nb_compose_string(x, "nibble.source", nb_text_of("safetensors"));
    NB_TRY(compose_config(&p));
    NB_TRY(place_tensors(&p));
    NB_TRY(nb_tokenizer_compose(x, folder->tokenizer, folder->tokenizer_config, p.config, folder->generation, err));
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
