#include "huggingface.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../kernels/traits.h"
#include "arrangement.h"
#include "huggingface_families.h"
#include "safetensors.h"
#include "tokenizer_json.h"

#include <math.h>

/* ---- the composition ------------------------------------------------------------------------------------------- */

typedef struct composition {
    nb_plan *plan;
    nb_composer *x; /* the plan's */
    const nb_hf_family *family;
    nb_node config, defaults; /* of the text model */
    nb_error *err;
} composition;

/* The first of several names, "a b c"; *names moves on. False: there is none left. */
static bool next_name(const char **names, char *name, size_t capacity) {
    size_t n = 0;
    for (; **names && **names != ' '; ++*names)
        if (n + 1 < capacity)
            name[n++] = **names;
    name[n] = 0;
    *names += **names == ' ';
    return n > 0;
}

/* A member by the first of its names that is there and not null; by default if none is there. A null is none: of a window,
 * say, that the class has and the file has not. */
static nb_node member(const composition *p, const char *names) {
    nb_node sources[] = {p->config, p->defaults}, found = {0};
    char name[64];
    for (int i = 0; i < 2 && !found.at; i++)
        for (const char *rest = names; next_name(&rest, name, sizeof name);) {
            nb_node node = nb_node_find(sources[i], name);
            if (node.at && nb_node_first(node) != 'n')
                return node;
            found = node.at ? node : found;
        }
    return (nb_node){0};
}

static double number(const composition *p, const char *names, double fallback) {
    return nb_node_number(member(p, names), fallback);
}

static bool has(const composition *p, uint32_t flag) {
    return p->family->flags & flag;
}

static void key_of(const composition *p, const char *suffix, char *key, size_t capacity) {
    nb_writer w = nb_writer_over(key, capacity);
    nb_write(&w, "%s.%s", p->family->architecture, suffix);
}

static void put(const composition *p, const char *suffix, double value) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    nb_compose_number(p->x, key, value);
}

static void put_text(const composition *p, const char *suffix, nb_text value) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    nb_compose_string(p->x, key, value);
}

/* A number that was put. */
static double told(const composition *p, const char *suffix, double fallback) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    return nb_checkpoint_number(&p->plan->out, key, fallback);
}

static double head_size(const composition *p) {
    return told(p, "attention.key_length", told(p, "embedding_length", 0) / told(p, "attention.head_count", 1));
}

/* What a number, string, true or false looks like in the file. */
static nb_text literal_of(nb_node n) {
    nb_text text = nb_node_raw(n);
    if (text.data)
        return text;
    text.data = (const char *)n.at;
    while (text.data + text.size < (const char *)n.end && text.data[text.size] > ' ' && text.data[text.size] != ',' &&
           text.data[text.size] != '}' && text.data[text.size] != ']')
        text.size++;
    return text;
}

/* ---- configuration --------------------------------------------------------------------------------------------- */

/* Values that would ask for another computation. */
static int32_t check_required(const composition *p) {
    nb_text act = nb_node_raw(member(p, "hidden_activation hidden_act activation_function activation"));
    const char *rest = p->family->activations;
    bool known = !act.data;
    for (char name[64]; next_name(&rest, name, sizeof name);)
        known |= nb_text_is(act, name);
    if (!known)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: the activation %t is not what %s models have (%s); it is not supported", act,
                       p->family->model_type, p->family->activations);
    nb_node required = {0};
    if (p->family->required) {
        nb_text text = nb_text_of(p->family->required);
        NB_TRY(nb_json_check((const uint8_t *)text.data, text.size, "required", &required, p->err));
    }
    for (nb_walk w = nb_walk_of(required); nb_walk_next(&w);) {
        char name[64];
        nb_writer key = nb_writer_over(name, sizeof name);
        nb_write_bytes(&key, nb_node_raw(w.key).data, nb_node_raw(w.key).size);
        nb_node is = member(p, name);
        nb_text wanted = nb_node_raw(w.value);
        bool same = wanted.data ? nb_text_equal(nb_node_raw(is), wanted)
                                : nb_node_number(is, -1) == nb_node_number(w.value, 0);
        if (is.at && !same)
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED, "config.json: %s is %t; of %s models only %t is supported", name,
                           literal_of(is), p->family->model_type, literal_of(w.value));
    }
    return NB_OK;
}

/* Phi 3's: two sets of factors, which are tensors in GGUF, and what cosines and sines are multiplied with. */
static int32_t compose_longrope(const composition *p, nb_node own) {
    static const nb_hf_pair factors[] = {{"long_factor", "rope_factors_long.weight"},
                                         {"short_factor", "rope_factors_short.weight"}};
    double context = told(p, "context_length", 0);
    double original = nb_node_number(nb_node_find(own, "original_max_position_embeddings"),
                                     number(p, "original_max_position_embeddings", context));
    double factor = nb_node_number(nb_node_find(own, "factor"), context / original);
    double magnitude = factor > 1 ? sqrt(1 + log(factor) / log(original)) : 1;
    put(p, "rope.scaling.original_context_length", original);
    put(p, "rope.scaling.attn_factor", nb_node_number(nb_node_find(own, "attention_factor"), magnitude));
    for (int i = 0; i < 2; i++) {
        nb_node list = nb_node_find(own, factors[i].theirs);
        uint32_t n = 0;
        for (nb_walk w = nb_walk_of(list); nb_walk_next(&w);)
            n++;
        if (!n)
            return NB_FAIL(p->err, NB_ERR_FORMAT, "config.json: the rope_scaling has no %s", factors[i].theirs);
        float *numbers = nb_alloc(n * sizeof *numbers);
        if (!numbers)
            return NB_FAIL(p->err, NB_ERR_MEMORY, "no memory for %u factors", n);
        n = 0;
        for (nb_walk w = nb_walk_of(list); nb_walk_next(&w);)
            numbers[n++] = (float)nb_node_number(w.value, 1);
        NB_TRY(nb_plan_numbers(p->plan, nb_text_of(factors[i].ours), numbers, n));
    }
    return NB_OK;
}

static int32_t compose_rope(const composition *p) {
    nb_node both = member(p, "rope_parameters rope_scaling"), own = both, local = {0};
    if (nb_node_find(both, "full_attention").at) { /* a set for each kind of layer */
        own = nb_node_find(both, "full_attention");
        local = nb_node_find(both, "sliding_attention");
    }
    double base = nb_node_number(nb_node_find(own, "rope_theta"), number(p, "rope_theta rotary_emb_base", 10000));
    put(p, "rope.freq_base", base);
    double local_base = nb_node_number(nb_node_find(local, "rope_theta"), number(p, "rope_local_base_freq", 0));
    if (local_base > 0)
        put(p, "rope.freq_base_swa", local_base);
    double part = nb_node_number(nb_node_find(own, "partial_rotary_factor"),
                                 number(p, "partial_rotary_factor rotary_pct", 1));
    if (part != 1)
        put(p, "rope.dimension_count", floor(head_size(p) * part));
    nb_node kind = nb_node_find(own, "rope_type");
    nb_text name = nb_node_raw(kind.at ? kind : nb_node_find(own, "type"));
    if (!name.data || nb_text_is(name, "default"))
        return NB_OK;
    bool is_long = nb_text_is(name, "longrope") || nb_text_is(name, "su");
    if (has(p, NB_HF_LONGROPE) && (is_long || nb_text_is(name, "yarn"))) /* as its first files called it */
        return compose_longrope(p, own);
    if (is_long)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED, "config.json: RoPE of type %t is not supported in %s models", name,
                       p->family->model_type);
    put_text(p, "rope.scaling.type", name); /* the engine refuses what it does not know */
    for (const nb_hf_pair *n = nb_hf_rope_numbers; n->theirs; n++)
        if (nb_node_find(own, n->theirs).at)
            put(p, n->ours, nb_node_number(nb_node_find(own, n->theirs), 0));
    double factor = nb_node_number(nb_node_find(own, "factor"), 1),
           attention = nb_node_number(nb_node_find(own, "attention_factor"), 0);
    if (attention > 0) /* GGUF's is what the paper's formula is to be multiplied with */
        put(p, "rope.scaling.attn_factor", attention / (0.1 * (double)logf((float)factor) + 1));
    return NB_OK;
}

/* layer_types: every so many-th layer is without a window; *period = 0: all layers are alike. *any: some have it.
 * False: there is no such pattern. */
static bool find_period(nb_node types, double *period, bool *any) {
    uint32_t layers = 0, first_full = 0, sliding = 0, wrong = 0, i = 0;
    for (nb_walk w = nb_walk_of(types); nb_walk_next(&w);) {
        bool slides = nb_node_is(w.value, "sliding_attention");
        layers++;
        if (!slides && !first_full)
            first_full = layers;
        sliding += slides;
    }
    for (nb_walk w = nb_walk_of(types); nb_walk_next(&w);)
        wrong += (first_full && ++i % first_full == 0) == nb_node_is(w.value, "sliding_attention");
    *any = sliding > 0;
    *period = sliding == layers || sliding == 0 ? 0 : first_full;
    return sliding == 0 || wrong == 0;
}

/* Which layers have the sliding window: all, or all but every so many-th. */
static int32_t compose_window(const composition *p) {
    double window = number(p, "sliding_window", 0), layers = told(p, "block_count", 0), period = 0;
    bool asked = !has(p, NB_HF_WINDOW_IF_ASKED) || number(p, "use_sliding_window", 0) != 0;
    if (!has(p, NB_HF_WINDOW) || !(window > 0) || !asked)
        return NB_OK;
    nb_node types = member(p, "layer_types");
    bool any = true, regular = !types.at || find_period(types, &period, &any);
    if (!types.at && has(p, NB_HF_WINDOW_BY_PERIOD)) /* else the engine knows */
        period = number(p, "sliding_window_pattern", 0);
    if (!types.at && has(p, NB_HF_WINDOW_IF_ASKED)) {
        double first = number(p, "max_window_layers", 28);
        any = first < layers;
        regular = first <= 0 || first >= layers;
    }
    if (!regular || (period > 0 && !has(p, NB_HF_WINDOW_BY_PERIOD)))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: sliding_window is %g in some layers only (%s), in no pattern that %s models have; "
                       "that is not supported",
                       window, types.at ? "layer_types" : "max_window_layers", p->family->model_type);
    if (!any)
        return NB_OK;
    put(p, "attention.sliding_window", window);
    if (has(p, NB_HF_WINDOW_BY_PERIOD) && (types.at || period > 0))
        put(p, "attention.sliding_window_pattern", period > 0 ? period : layers + 1);
    return NB_OK;
}

/* SmolLM 3: a list of what the engine takes for granted. */
static int32_t check_unrotated(const composition *p) {
    uint32_t i = 0;
    for (nb_walk w = nb_walk_of(member(p, "no_rope_layers")); nb_walk_next(&w);)
        if ((nb_node_number(w.value, 1) != 0) == (++i % 4 == 0))
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                           "config.json: no_rope_layers has %t for layer %u; of %s models only a 0 for every fourth "
                           "layer is supported",
                           literal_of(w.value), i - 1, p->family->model_type);
    return NB_OK;
}

/* Falcon: num_kv_heads is there even where it does not count. */
static double kv_heads_of(const composition *p, double heads) {
    if (number(p, "new_decoder_architecture", 0) != 0)
        return number(p, "num_kv_heads n_head_kv", heads);
    return number(p, "multi_query", 0) != 0 ? 1 : heads;
}

/* GGUF's pooling_type, by the file that sentence-transformers have for it: 1 mean, 2 first token, 3 last; 0: none. */
static double pooling_of(nb_node pooling) {
    static const char *const kinds[] = {"pooling_mode_mean_tokens", "pooling_mode_cls_token",
                                        "pooling_mode_lasttoken"};
    for (int i = 0; i < 3; i++)
        if (nb_node_number(nb_node_find(pooling, kinds[i]), 0) != 0)
            return i + 1;
    return 0;
}

/* Rows of learned positions that no token has. */
static uint32_t skipped_positions(const composition *p) {
    double padding = number(p, "pad_token_id", 0);
    if (has(p, NB_HF_PADDED_POSITIONS) && padding >= 0 && padding < 1 << 20)
        return (uint32_t)padding + 1;
    return has(p, NB_HF_POSITIONS_FROM_2) ? 2 : 0;
}

static int32_t compose_config(const composition *p, nb_node pooling) {
    nb_compose_string(p->x, "general.architecture", nb_text_of(p->family->architecture));
    nb_node name = member(p, "_name_or_path");
    if (nb_node_raw(name).size)
        nb_compose_node(p->x, "general.name", name);
    NB_TRY(check_required(p));
    double heads = number(p, "num_attention_heads n_head", 0), scalar = number(p, "query_pre_attn_scalar", 0);
    double trained = number(p, "max_trained_positions", 0); /* Nomic's further ones are of another rotation */
    for (const nb_hf_pair *n = nb_hf_numbers; n->theirs; n++) {
        double value = number(p, n->theirs, 0);
        if (nb_text_is(nb_text_of(n->ours), "context_length")) {
            value -= has(p, NB_HF_PADDED_POSITIONS) ? skipped_positions(p) : 0;
            value = trained > 0 ? NB_MIN(trained, value) : value;
        }
        if (member(p, n->theirs).at)
            put(p, n->ours, value);
    }
    if (has(p, NB_HF_FOUR_TIMES) && told(p, "feed_forward_length", 0) == 0)
        put(p, "feed_forward_length", 4 * told(p, "embedding_length", 0));
    if (has(p, NB_HF_MANY_KV_HEADS))
        put(p, "attention.head_count_kv", kv_heads_of(p, heads));
    if (scalar > 0)
        put(p, "attention.scale", 1 / sqrt(scalar));
    if (has(p, NB_HF_TURNED_BY_HALVES))
        put(p, "rope.interleaved", 0);
    if (has(p, NB_HF_ENCODER)) {
        put(p, "attention.causal", 0);
        nb_compose_number(p->x, "tokenizer.ggml.token_type_count", number(p, "type_vocab_size", 0));
        if (pooling_of(pooling) > 0)
            put(p, "pooling_type", pooling_of(pooling));
    }
    if (has(p, NB_HF_EVERY_4TH_UNROTATED))
        NB_TRY(check_unrotated(p));
    NB_TRY(compose_window(p));
    return has(p, NB_HF_UNROTATED) ? NB_OK : compose_rope(p);
}

/* ---- tensors --------------------------------------------------------------------------------------------------- */

static bool take_start(nb_text *text, const char *start) {
    size_t n = nb_length(start);
    if (text->size < n || nb_compare(text->data, start, n))
        return false;
    *text = (nb_text){text->data + n, text->size - n};
    return true;
}

static bool take_start_of(nb_text *text, const char *const *starts) {
    while (*starts && !take_start(text, *starts))
        starts++;
    return *starts;
}

/* The digits that a text begins with. */
static nb_text take_number(nb_text *text) {
    nb_text number = {text->data, 0};
    while (number.size < text->size && number.data[number.size] >= '0' && number.data[number.size] <= '9')
        number.size++;
    *text = (nb_text){text->data + number.size, text->size - number.size};
    return number;
}

/* Whether it is a name of that pattern, in which "*" is a number. */
static bool fits(nb_text name, const char *pattern, nb_text *number) {
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

/* What a tensor's name says. */
typedef struct tensor_name {
    char text[256];  /* of the module in GGUF, "blk.7.attn_q" */
    nb_text module, leaf;
    bool known;
    uint32_t row;    /* of what is stacked; NB_NONE: it is not */
} tensor_name;

/* "model.layers.7.self_attn.q_proj.weight" -> "blk.7.attn_q" and "weight" */
static void split_name(const composition *p, nb_text rest, tensor_name *out) {
    take_start_of(&rest, nb_hf_prefixes);
    nb_text layer = {0}, number = {0};
    if (take_start_of(&rest, nb_hf_layers)) {
        layer = take_number(&rest);
        take_start(&rest, ".");
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
    out->row = stacked ? 0 : NB_NONE;
    for (size_t i = 0; stacked && i < NB_MIN(number.size, 9); i++)
        out->row = 10 * out->row + (uint32_t)(number.data[i] - '0');
    out->module = (nb_text){out->text, NB_MIN(w.length, sizeof out->text - 1)};
    out->known = found && w.length + out->leaf.size + 2 < sizeof out->text;
}

/* Columns of a matrix by its name in GGUF. */
static double columns_of(const composition *p, nb_text name) {
    double width = told(p, "embedding_length", 0), inner = told(p, "feed_forward_length", 0);
    double expert = told(p, "expert_feed_forward_length", inner);
    if (nb_text_ends(name, "attn_output"))
        return told(p, "attention.head_count", 1) * head_size(p);
    if (nb_text_ends(name, "ffn_down_shexp"))
        return told(p, "expert_shared_feed_forward_length", told(p, "expert_shared_count", 1) * expert);
    if (nb_text_ends(name, "ffn_down"))
        return inner;
    if (nb_text_ends(name, "project_in"))
        return number(p, "word_embed_proj_dim", width);
    while (name.size && name.data[name.size - 1] >= '0' && name.data[name.size - 1] <= '9')
        name.size--;
    return nb_text_ends(name, "ffn_down.") ? expert : width;
}

/* What must happen to a module's tensor, beyond its new name. */
static void arrange(const composition *p, const tensor_name *name, nb_target *to, nb_tensor_info *info) {
    bool qkv = nb_text_ends(name->module, "attn_qkv"), matrix = info->n_dimensions == 2;
    double heads = told(p, "attention.head_count", 1), kv_heads = told(p, "attention.head_count_kv", heads);
    bool plain = to->arrangement == NB_AS_ROWS; /* quantized ones are as the others are */
    if (name->row != NB_NONE && plain)
        to->arrangement = NB_AS_STACKED;
    if (has(p, NB_HF_CONV1D) && matrix && plain &&
        (qkv || nb_text_ends(name->module, "attn_output") || nb_text_ends(name->module, "ffn_up") ||
         nb_text_ends(name->module, "ffn_down")))
        to->arrangement = NB_AS_TRANSPOSED;
    if (has(p, NB_HF_QKV_BY_GROUP) && qkv && kv_heads > 1 && kv_heads <= heads && heads < 1 << 16) {
        if (plain)
            to->arrangement = NB_AS_REGROUPED;
        to->groups = (uint32_t)kv_heads;
        to->group_heads = (uint32_t)(heads / kv_heads) + 2;
    }
    uint64_t skipped = skipped_positions(p);
    if (nb_text_ends(name->module, "position_embd") && matrix && plain && skipped < info->shape[1]) {
        to->skipped = info->bytes / info->shape[1] * skipped;
        info->shape[1] -= skipped;
    }
    if (nb_text_ends(name->module, "ffn_gate_inp_shexp")) /* [1, width]: a vector */
        info->n_dimensions = 1;
    if (has(p, NB_HF_NORMS_LESS_ONE) && nb_text_ends(name->module, "norm")) {
        to->shift = 1;
        info->type = NB_TYPE_F32;
    }
}

/* Gives a tensor of the files to a tensor of the GGUF; one whose name is not known keeps it, and the engine refuses it by
 * that. */
static int32_t place_tensor(const composition *p, uint32_t source) {
    const nb_tensor_info *t = &p->plan->in.tensors[source];
    tensor_name name;
    split_name(p, nb_checkpoint_tensor_name(&p->plan->in, t), &name);
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
    nb_plan_assign(p->plan, source, target, role);
    p->plan->origins[source].row = name.row;
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
    info->bytes = t->bytes;
    memcpy(info->shape, t->shape, sizeof info->shape);
    arrange(p, &name, to, info);
    return NB_OK;
}

/* What files hold that the text model does not need. */
static bool is_needless(const composition *p, nb_text name) {
    nb_text rest = name;
    take_start_of(&rest, nb_hf_prefixes);
    bool needless = take_start_of(&rest, nb_hf_needless_starts);
    for (const char *const *end = nb_hf_needless_ends; *end; end++)
        needless |= nb_text_ends(name, *end);
    needless |= has(p, NB_HF_ENCODER) && take_start(&rest, "lm_head."); /* RoBERTa's, of several tensors */
    return needless || (nb_text_ends(name, "lm_head.weight") && number(p, "tie_word_embeddings", 0) != 0);
}

static int32_t place_tensors(const composition *p) {
    nb_plan *plan = p->plan;
    for (uint32_t i = 0; i < plan->in.n_tensors; i++)
        if (!is_needless(p, nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[i])))
            NB_TRY(place_tensor(p, i));
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
    for (const nb_hf_family *f = nb_hf_families; f->model_type; f++)
        nb_write(&w, f == nb_hf_families ? "%s" : ", %s", f->model_type);
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
    for (const nb_hf_family *f = nb_hf_families; f->model_type && !p.family; f++)
        if (nb_text_is(type, f->model_type))
            p.family = f;
    if (!p.family)
        return refuse_model_type(type, err);
    NB_TRY(take_quantization(plan, nb_node_find(folder->config, "quantization_config"), err));
    nb_text defaults = nb_text_of(p.family->defaults);
    NB_TRY(nb_json_check((const uint8_t *)defaults.data, defaults.size, "defaults", &p.defaults, err));
    nb_compose_string(x, "nibble.source", nb_text_of("safetensors"));
    NB_TRY(compose_config(&p, folder->pooling));
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
