#include "huggingface_config.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/writer.h"

#include <math.h>

/* ---- what the file says, and what was put ---------------------------------------------------------------------- */

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
static nb_node member(const nb_hf_model *p, const char *names) {
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

double nb_hf_number(const nb_hf_model *p, const char *names, double fallback) {
    return nb_node_number(member(p, names), fallback);
}

bool nb_hf_has(const nb_hf_model *p, uint32_t flag) {
    return p->family->flags & flag;
}

static void key_of(const nb_hf_model *p, const char *suffix, char *key, size_t capacity) {
    nb_writer w = nb_writer_over(key, capacity);
    nb_write(&w, "%s.%s", p->family->architecture, suffix);
}

static void put(const nb_hf_model *p, const char *suffix, double value) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    nb_compose_number(p->x, key, value);
}

static void put_text(const nb_hf_model *p, const char *suffix, nb_text value) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    nb_compose_string(p->x, key, value);
}

/* A number that was put. */
double nb_hf_told(const nb_hf_model *p, const char *suffix, double fallback) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    return nb_checkpoint_number(&p->plan->out, key, fallback);
}

double nb_hf_head_size(const nb_hf_model *p) {
    return nb_hf_told(p, "attention.key_length", nb_hf_told(p, "embedding_length", 0) / nb_hf_told(p, "attention.head_count", 1));
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
static int32_t check_required(const nb_hf_model *p) {
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
static int32_t compose_longrope(const nb_hf_model *p, nb_node own) {
    static const nb_hf_pair factors[] = {{"long_factor", "rope_factors_long.weight"},
                                         {"short_factor", "rope_factors_short.weight"}};
    double context = nb_hf_told(p, "context_length", 0);
    double original = nb_node_number(nb_node_find(own, "original_max_position_embeddings"),
                                     nb_hf_number(p, "original_max_position_embeddings", context));
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
        float *numbers = nb_alloc_items(n, sizeof *numbers);
        if (!numbers)
            return NB_FAIL(p->err, NB_ERR_MEMORY, "no memory for %u factors", n);
        n = 0;
        for (nb_walk w = nb_walk_of(list); nb_walk_next(&w);)
            numbers[n++] = (float)nb_node_number(w.value, 1);
        NB_TRY(nb_plan_numbers(p->plan, nb_text_of(factors[i].ours), numbers, n));
    }
    return NB_OK;
}

static int32_t compose_rope(const nb_hf_model *p) {
    nb_node both = member(p, "rope_parameters rope_scaling"), own = both, local = {0};
    if (nb_node_find(both, "full_attention").at) { /* a set for each kind of layer */
        own = nb_node_find(both, "full_attention");
        local = nb_node_find(both, "sliding_attention");
    }
    double base = nb_node_number(nb_node_find(own, "rope_theta"), nb_hf_number(p, "rope_theta rotary_emb_base", 10000));
    put(p, "rope.freq_base", base);
    double local_base = nb_node_number(nb_node_find(local, "rope_theta"), nb_hf_number(p, "rope_local_base_freq", 0));
    if (local_base > 0)
        put(p, "rope.freq_base_swa", local_base);
    double part = nb_node_number(nb_node_find(own, "partial_rotary_factor"),
                                 nb_hf_number(p, "partial_rotary_factor rotary_pct", 1));
    if (part != 1)
        put(p, "rope.dimension_count", floor(nb_hf_head_size(p) * part));
    nb_node kind = nb_node_find(own, "rope_type");
    nb_text name = nb_node_raw(kind.at ? kind : nb_node_find(own, "type"));
    if (!name.data || nb_text_is(name, "default"))
        return NB_OK;
    bool is_long = nb_text_is(name, "longrope") || nb_text_is(name, "su");
    if (nb_hf_has(p, NB_HF_LONGROPE) && (is_long || nb_text_is(name, "yarn"))) /* as its first files called it */
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
static int32_t compose_window(const nb_hf_model *p) {
    double window = nb_hf_number(p, "sliding_window", 0), layers = nb_hf_told(p, "block_count", 0), period = 0;
    bool asked = !nb_hf_has(p, NB_HF_WINDOW_IF_ASKED) || nb_hf_number(p, "use_sliding_window", 0) != 0;
    if (!nb_hf_has(p, NB_HF_WINDOW) || !(window > 0) || !asked)
        return NB_OK;
    nb_node types = member(p, "layer_types");
    bool any = true, regular = !types.at || find_period(types, &period, &any);
    if (!types.at && nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD)) /* else the engine knows */
        period = nb_hf_number(p, "sliding_window_pattern", 0);
    if (!types.at && nb_hf_has(p, NB_HF_WINDOW_IF_ASKED)) {
        double first = nb_hf_number(p, "max_window_layers", 28);
        any = first < layers;
        regular = first <= 0 || first >= layers;
    }
    if (!regular || (period > 0 && !nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD)))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: sliding_window is %g in some layers only (%s), in no pattern that %s models have; "
                       "that is not supported",
                       window, types.at ? "layer_types" : "max_window_layers", p->family->model_type);
    if (!any)
        return NB_OK;
    put(p, "attention.sliding_window", window);
    if (nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD) && (types.at || period > 0))
        put(p, "attention.sliding_window_pattern", period > 0 ? period : layers + 1);
    return NB_OK;
}

/* SmolLM 3: a list of what the engine takes for granted. */
static int32_t check_unrotated(const nb_hf_model *p) {
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
static double kv_heads_of(const nb_hf_model *p, double heads) {
    if (nb_hf_number(p, "new_decoder_architecture", 0) != 0)
        return nb_hf_number(p, "num_kv_heads n_head_kv", heads);
    return nb_hf_number(p, "multi_query", 0) != 0 ? 1 : heads;
}

/* Rows of learned positions that no token has. */
uint32_t nb_hf_skipped_positions(const nb_hf_model *p) {
    double padding = nb_hf_number(p, "pad_token_id", 0);
    if (nb_hf_has(p, NB_HF_PADDED_POSITIONS) && padding >= 0 && padding < 1 << 20)
        return (uint32_t)padding + 1;
    return nb_hf_has(p, NB_HF_POSITIONS_FROM_2) ? 2 : 0;
}

int32_t nb_hf_compose_config(const nb_hf_model *p) {
    nb_compose_string(p->x, "general.architecture", nb_text_of(p->family->architecture));
    nb_node name = member(p, "_name_or_path");
    if (nb_node_raw(name).size)
        nb_compose_node(p->x, "general.name", name);
    NB_TRY(check_required(p));
    double heads = nb_hf_number(p, "num_attention_heads n_head", 0), scalar = nb_hf_number(p, "query_pre_attn_scalar", 0);
    double trained = nb_hf_number(p, "max_trained_positions", 0); /* Nomic's further ones are of another rotation */
    for (const nb_hf_pair *n = nb_hf_numbers; n->theirs; n++) {
        double value = nb_hf_number(p, n->theirs, 0);
        if (nb_text_is(nb_text_of(n->ours), "context_length")) {
            value -= nb_hf_has(p, NB_HF_PADDED_POSITIONS) ? nb_hf_skipped_positions(p) : 0;
            value = trained > 0 ? NB_MIN(trained, value) : value;
        }
        if (member(p, n->theirs).at)
            put(p, n->ours, value);
    }
    if (nb_hf_has(p, NB_HF_FOUR_TIMES) && nb_hf_told(p, "feed_forward_length", 0) == 0)
        put(p, "feed_forward_length", 4 * nb_hf_told(p, "embedding_length", 0));
    if (nb_hf_has(p, NB_HF_MANY_KV_HEADS))
        put(p, "attention.head_count_kv", kv_heads_of(p, heads));
    if (scalar > 0)
        put(p, "attention.scale", 1 / sqrt(scalar));
    if (nb_hf_has(p, NB_HF_TURNED_BY_HALVES))
        put(p, "rope.interleaved", 0);
    if (nb_hf_has(p, NB_HF_ENCODER)) {
        put(p, "attention.causal", 0);
        nb_compose_number(p->x, "tokenizer.ggml.token_type_count", nb_hf_number(p, "type_vocab_size", 0));
    }
    if (nb_hf_has(p, NB_HF_EVERY_4TH_UNROTATED))
        NB_TRY(check_unrotated(p));
    NB_TRY(compose_window(p));
    return nb_hf_has(p, NB_HF_UNROTATED) ? NB_OK : compose_rope(p);
}
