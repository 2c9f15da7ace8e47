#include "huggingface_config.h"

#include "../base/numbers.h"
#include "../base/writer.h"

#include <math.h>

/* ---- reading and writing --------------------------------------------------------------------------------------- */

/* The next of several names, "a b c"; *names moves past it. False: there is none left. */
static bool next_name(const char **names, char *name, size_t capacity) {
    size_t n = 0;
    for (; **names && **names != ' '; ++*names)
        if (n + 1 < capacity)
            name[n++] = **names;
    name[n] = 0;
    *names += **names == ' ';
    return n > 0;
}

/* A value that a table spells as JSON. */
static nb_node node_of(const char *json) {
    return (nb_node){(const uint8_t *)json, (const uint8_t *)json + nb_length(json)};
}

static bool is_null(nb_node n) {
    return nb_node_first(n) == 'n';
}

/* The member of that name; of several the last counts, as in Python. */
static nb_node last_member(nb_node object, const char *name) {
    nb_node found = {0};
    for (nb_members w = nb_members_of(object); w.object && nb_members_next(&w);)
        if (nb_text_is(nb_node_raw(w.key), name))
            found = w.value;
    return found;
}

static const nb_hf_key *row_of(const nb_hf_key *keys, const char *name) {
    char first[64];
    for (; keys->names; keys++) {
        const char *names = keys->names;
        if (next_name(&names, first, sizeof first) && nb_text_is(nb_text_of(name), first))
            return keys;
    }
    return NULL;
}

/* The value that an object has for a row of the tables. null means no value, and then the class's default does not
 * count either: sliding_window may be null in a file whose class has a default for it. */
static nb_node value_in(nb_node object, const nb_hf_key *row) {
    char name[64];
    bool said = false;
    for (const char *names = row->names; next_name(&names, name, sizeof name);) {
        nb_node node = last_member(object, name);
        if (node.at && !is_null(node))
            return node;
        said |= node.at != NULL;
    }
    nb_node fallback = node_of(row->fallback);
    return said || is_null(fallback) ? (nb_node){0} : fallback;
}

nb_node nb_hf_value(const nb_hf_model *p, const char *name) {
    const nb_hf_key *row = row_of(p->family->keys, name);
    row = row ? row : row_of(nb_hf_everywhere, name);
    return row ? value_in(p->config, row) : (nb_node){0};
}

double nb_hf_number(const nb_hf_model *p, const char *name, double fallback) {
    return nb_node_number(nb_hf_value(p, name), fallback);
}

double nb_hf_default(const nb_hf_model *p, const char *name) {
    const nb_hf_key *row = row_of(p->family->keys, name);
    return row ? nb_node_number(node_of(row->fallback), 0) : 0;
}

bool nb_hf_has(const nb_hf_model *p, uint32_t flag) {
    return p->family->flags & flag;
}

static void key_of(const nb_hf_model *p, const char *suffix, char *key, size_t capacity) {
    nb_writer w = nb_writer_over(key, capacity);
    nb_write(&w, "%s.%s", p->family->architecture, suffix);
}

/* Keys for which llama.cpp expects F32 or BOOL (llama-arch.cpp, llama-hparams.h). All others are whole numbers. */
static const char *const reals[] = {
    "attention.layer_norm_rms_epsilon",
    "attention.layer_norm_epsilon",
    "attention.scale",
    "attn_logit_softcapping",
    "embedding_scale",
    "final_logit_softcapping",
    "logit_scale",
    "residual_scale",
    "rope.freq_base",
    "rope.freq_base_swa",
    "rope.scaling.factor",
    "rope.scaling.attn_factor",
    "rope.scaling.yarn_beta_fast",
    "rope.scaling.yarn_beta_slow",
    NULL,
};
static const char *const flags[] = {"attention.causal", "use_parallel_residual", NULL};

static bool is_among(const char *const *list, const char *suffix) {
    while (*list && !nb_text_is(nb_text_of(suffix), *list))
        list++;
    return *list;
}

void nb_hf_put(const nb_hf_model *p, const char *suffix, double value) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    if (is_among(reals, suffix))
        nb_compose_real(p->composer, key, value);
    else if (is_among(flags, suffix))
        nb_compose_flag(p->composer, key, value != 0);
    else
        nb_compose_number(p->composer, key, value);
}

void nb_hf_put_text(const nb_hf_model *p, const char *suffix, nb_text value) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    nb_compose_string(p->composer, key, value);
}

double nb_hf_written_number(const nb_hf_model *p, const char *suffix, double fallback) {
    char key[128];
    key_of(p, suffix, key, sizeof key);
    return nb_checkpoint_number(&p->plan->out, key, fallback);
}

double nb_hf_head_size(const nb_hf_model *p) {
    return nb_hf_written_number(p, "attention.key_length",
                                nb_hf_written_number(p, "embedding_length", 0) /
                                    nb_hf_written_number(p, "attention.head_count", 1));
}

nb_text nb_hf_literal(nb_node n) {
    nb_text text = nb_node_raw(n);
    if (text.data)
        return text;
    text.data = (const char *)n.at;
    while (text.data + text.size < (const char *)n.end && text.data[text.size] > ' ' && text.data[text.size] != ',' &&
           text.data[text.size] != '}' && text.data[text.size] != ']')
        text.size++;
    return text;
}

/* ---- the tables ------------------------------------------------------------------------------------------------- */

static bool is_number(nb_node n) {
    uint8_t first = nb_node_first(n), next = first == '-' && n.end - n.at > 1 ? n.at[1] : first;
    double value = nb_node_number(n, 0);
    return first == 't' || first == 'f' || (next >= '0' && next <= '9' && isfinite(value));
}

/* Whether a value counts as false: null, false, 0, an empty object or list. */
static bool is_nothing(nb_node n) {
    bool container = nb_node_first(n) == '{' || nb_node_first(n) == '[';
    return is_null(n) || (container && nb_node_is_empty(n)) || (is_number(n) && nb_node_number(n, 1) == 0);
}

static bool is_same(nb_node is, nb_node wanted) {
    if (nb_node_first(wanted) == '"')
        return nb_text_equal(nb_node_raw(is), nb_node_raw(wanted));
    return is_nothing(wanted) ? is_nothing(is) : is_number(is) && nb_node_number(is, 0) == nb_node_number(wanted, 1);
}

/* Refuses a value that would need another computation. */
static int32_t check_must(const nb_hf_model *p, const nb_hf_key *row) {
    char name[64], literal[64], wanted[160];
    nb_node is = node_of(row->fallback);
    const char *names = row->names, *must = row->must;
    bool said = false, fits = false;
    while (!said && next_name(&names, name, sizeof name)) {
        nb_node node = last_member(p->config, name);
        said = node.at != NULL;
        is = said ? node : is;
    }
    if (!said) {
        names = row->names;
        next_name(&names, name, sizeof name);
    }
    nb_writer w = nb_writer_over(wanted, sizeof wanted);
    while (next_name(&must, literal, sizeof literal)) {
        nb_node value = node_of(literal);
        fits |= is_same(is, value) || (!said && is_null(is));
        nb_write(&w, w.length ? " or %t" : "%t", nb_hf_literal(value));
    }
    if (fits)
        return NB_OK;
    return NB_FAIL(p->err, NB_ERR_UNSUPPORTED, "config.json: %s is %t; of %s models only %s is supported", name,
                   nb_hf_literal(is), p->family->model_type, wanted);
}

int32_t nb_hf_put_numbers(const nb_hf_model *p, nb_node object, const nb_hf_key *keys) {
    for (const nb_hf_key *row = keys; row->names; row++) {
        nb_node value = value_in(object, row);
        if (!row->ours || !*row->ours || !value.at)
            continue;
        if (!is_number(value))
            return NB_FAIL(p->err, NB_ERR_FORMAT, "config.json: %s is %t; it must be a finite number, without quotes",
                           row->names, nb_hf_literal(value));
        char suffix[64];
        for (const char *ours = row->ours; next_name(&ours, suffix, sizeof suffix);)
            nb_hf_put(p, suffix, nb_node_number(value, 0));
    }
    return NB_OK;
}

static int32_t check_keys(const nb_hf_model *p, const nb_hf_key *keys) {
    for (const nb_hf_key *row = keys; row->names; row++)
        if (row->must)
            NB_TRY(check_must(p, row));
    return NB_OK;
}

/* Refuses keys with escapes, because they would be missed. */
static int32_t check_spelling(const nb_hf_model *p) {
    for (nb_members w = nb_members_of(p->config); nb_members_next(&w);) {
        nb_text key = nb_node_raw(w.key);
        for (size_t i = 0; i < key.size; i++)
            if (key.data[i] == '\\')
                return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                               "config.json: the key \"%t\" is written with escapes; write it without", key);
    }
    return NB_OK;
}

/* ---- what tables cannot say ------------------------------------------------------------------------------------- */

/* An iterator over the layers that says which of them have the sliding window. */
typedef struct layer_kinds {
    const nb_hf_model *p;
    nb_members types;     /* of layer_types, if listed */
    bool listed;          /* the file has layer_types */
    double pattern, last; /* sliding_window_pattern, max_window_layers */
    uint32_t i;
} layer_kinds;

static layer_kinds kinds_of(const nb_hf_model *p) {
    nb_node types = nb_hf_value(p, "layer_types");
    double usual = nb_hf_has(p, NB_HF_EVERY_4TH_FULL) ? 4 : nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD) ? 2 : 0;
    double pattern = nb_hf_number(p, "sliding_window_pattern", usual);
    return (layer_kinds){p, nb_members_of(types), types.at != NULL, pattern, nb_hf_number(p, "max_window_layers", -1),
                         0};
}

static bool next_slides(layer_kinds *k) {
    uint32_t i = k->i++;
    if (k->listed)
        return nb_members_next(&k->types) && nb_node_is(k->types.value, "sliding_attention");
    if (k->pattern >= 1 && k->pattern <= 1 << 20)
        return (i + 1) % (uint32_t)k->pattern != 0;
    if (nb_hf_has(k->p, NB_HF_WINDOW_EVERY_2ND))
        return i % 2 == 0 && i < k->last;
    return i >= k->last;
}

static int32_t check_layer_types(const nb_hf_model *p, uint32_t layers) {
    nb_node types = nb_hf_value(p, "layer_types");
    uint32_t n = 0;
    for (nb_members w = nb_members_of(types); nb_members_next(&w); n++)
        if (!nb_node_is(w.value, "sliding_attention") && !nb_node_is(w.value, "full_attention") &&
            !nb_node_is(w.value, "attention"))
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                           "config.json: layer_types has %t; of %s models only full_attention and sliding_attention "
                           "are supported",
                           nb_hf_literal(w.value), p->family->model_type);
    if (types.at && n != layers)
        return NB_FAIL(p->err, NB_ERR_FORMAT, "config.json: layer_types names %u layers, and there are %u", n, layers);
    return NB_OK;
}

/* If attention is causal, the window includes the token itself. If not, it is the greatest distance to either side;
 * with Gemma 3's use_bidirectional_attention this distance is half the window (and one more if is_causal is false,
 * too). */
static int32_t compose_window(const nb_hf_model *p, bool causal, bool both_sides) {
    double window = nb_hf_number(p, "sliding_window", 0);
    double blocks = nb_hf_written_number(p, "block_count", 0);
    uint32_t layers = blocks >= 1 && blocks <= 1 << 20 ? (uint32_t)blocks : 0, sliding = 0, first_full = 0;
    nb_node asked = nb_hf_value(p, "use_sliding_window");
    bool any = row_of(p->family->keys, "sliding_window") && (!asked.at || nb_node_number(asked, 0) != 0),
         regular = true;
    NB_TRY(check_layer_types(p, layers));
    layer_kinds kinds = kinds_of(p);
    any |= kinds.listed;
    for (uint32_t i = 0; any && i < layers; i++) {
        bool slides = next_slides(&kinds);
        sliding += slides;
        first_full = slides || first_full ? first_full : i + 1;
    }
    if (nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD)) /* all layers may be of one kind */
        nb_hf_put(p, "attention.sliding_window_pattern", !sliding ? 1 : first_full ? first_full : layers + 1);
    /* a window of null means none, but layer_types may name layers that need one */
    if (!sliding || (!kinds.listed && !nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD) && !nb_hf_value(p, "sliding_window").at))
        return NB_OK;
    kinds = kinds_of(p);
    for (uint32_t i = 0; i < layers; i++)
        regular &= next_slides(&kinds) == !(first_full && (i + 1) % first_full == 0);
    const char *key = kinds.listed                         ? "layer_types"
                    : nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD) ? "sliding_window_pattern"
                                                           : "max_window_layers";
    window = both_sides ? floor(window / 2) + !causal : window;
    if (!(window >= 1 && window < 1e9) || (asked.at && nb_node_number(asked, 0) == 0))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: there are layers with a sliding window (%s), and sliding_window is %g%s", key,
                       window, asked.at && nb_node_number(asked, 0) == 0 ? ", but use_sliding_window is false" : "");
    if (!regular || (first_full && !nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD)))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: sliding_window is %g in some layers only (%s), in no pattern that %s models have; "
                       "that is not supported",
                       window, key, p->family->model_type);
    nb_hf_put(p, "attention.sliding_window", window);
    if (!nb_hf_has(p, NB_HF_WINDOW_BY_PERIOD))
        nb_compose_only_nibble(p->composer, "llama.cpp has no sliding windows in such models");
    else if (!causal || both_sides)
        nb_compose_only_nibble(p->composer, "llama.cpp's sliding windows end at the token itself");
    return NB_OK;
}

/* Writes whether attention is causal, and its window. */
static int32_t compose_attention(const nb_hf_model *p) {
    nb_node causal = last_member(p->config, "is_causal");
    bool known = row_of(p->family->keys, "is_causal"),
         both_sides = nb_hf_number(p, "use_bidirectional_attention", 0) != 0;
    if (known && is_null(causal))
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: is_causal is null, which transformers' implementations of attention read "
                       "differently; write true or false");
    bool is_causal = !nb_hf_has(p, NB_HF_ENCODER) && nb_hf_number(p, "is_causal", 1) != 0;
    if (!is_causal || both_sides)
        nb_hf_put(p, "attention.causal", 0);
    return compose_window(p, is_causal, both_sides);
}

/* SmolLM 3: the list no_rope_layers must be what the engine assumes. */
static int32_t check_unrotated(const nb_hf_model *p) {
    uint32_t i = 0;
    for (nb_members w = nb_members_of(nb_hf_value(p, "no_rope_layers")); nb_members_next(&w);)
        if ((nb_node_number(w.value, 1) != 0) == (++i % 4 == 0))
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                           "config.json: no_rope_layers has %t for layer %u; of %s models only a 0 for every fourth "
                           "layer is supported",
                           nb_hf_literal(w.value), i - 1, p->family->model_type);
    return NB_OK;
}

/* Falcon: files have num_kv_heads even if it does not count. */
static double kv_heads_of(const nb_hf_model *p, double heads) {
    if (nb_hf_number(p, "new_decoder_architecture", 0) != 0)
        return nb_hf_number(p, "num_kv_heads", heads);
    return nb_hf_number(p, "multi_query", 0) != 0 ? 1 : heads;
}

uint32_t nb_hf_skipped_positions(const nb_hf_model *p) {
    double padding = nb_hf_number(p, "pad_token_id", 0);
    if (nb_hf_has(p, NB_HF_PADDED_POSITIONS) && padding >= 0 && padding < 1 << 20)
        return (uint32_t)padding + 1;
    return nb_hf_has(p, NB_HF_POSITIONS_FROM_2) ? 2 : 0;
}

/* A cap of null means none. It is written as 0, because without a key the engine takes the usual cap. */
static void compose_caps(const nb_hf_model *p) {
    static const char *const caps[] = {"final_logit_softcapping", "attn_logit_softcapping"};
    for (int i = 0; i < 2; i++)
        if (row_of(p->family->keys, caps[i]) && !nb_hf_value(p, caps[i]).at) {
            nb_hf_put(p, caps[i], 0);
            if (i)
                nb_compose_only_nibble(p->composer, "llama.cpp always caps the scores of attention in such models");
        }
}

/* llama.cpp infers the scale of the queries from the number of layers: the models of 27B parameters of Gemma 2 (46
 * layers) and Gemma 3 (62) use width / heads, all others the size of a head. */
static void compose_scale(const nb_hf_model *p, double scalar, double width, double heads) {
    double largest = nb_hf_has(p, NB_HF_TWO_ROPES) ? 62 : 46;
    double usual = nb_hf_written_number(p, "block_count", 0) == largest ? width / heads : nb_hf_head_size(p);
    nb_hf_put(p, "attention.scale", 1 / sqrt(scalar));
    if (scalar != usual)
        nb_compose_only_nibble(p->composer, "llama.cpp takes another scale of the queries in such models");
}

static void compose_context(const nb_hf_model *p) {
    double context = nb_hf_number(p, "max_position_embeddings", 0);
    double trained = nb_hf_number(p, "max_trained_positions", 0); /* Nomic: longer contexts would need another RoPE */
    context -= nb_hf_has(p, NB_HF_PADDED_POSITIONS) ? p->skipped_positions : 0;
    nb_hf_put(p, "context_length", trained > 0 ? NB_MIN(trained, context) : context);
}

int32_t nb_hf_compose_config(const nb_hf_model *p) {
    if (nb_text_is(nb_text_of(p->family->architecture), "opt"))
        nb_compose_only_nibble(p->composer, "llama.cpp has no OPT models");
    nb_compose_string(p->composer, "general.architecture", nb_text_of(p->family->architecture));
    if (p->plan->quantization.has_inputs)
        nb_compose_flag(p->composer, "nibble.rounded_inputs", true); /* `nibble inspect` shows it */
    nb_node name = nb_hf_value(p, "_name_or_path");
    if (nb_node_raw(name).size)
        nb_compose_node(p->composer, "general.name", name);
    NB_TRY(check_spelling(p));
    NB_TRY(check_keys(p, nb_hf_everywhere));
    NB_TRY(check_keys(p, p->family->keys));
    NB_TRY(nb_hf_put_numbers(p, p->config, p->family->keys));
    double heads = nb_hf_written_number(p, "attention.head_count", 0),
           scalar = nb_hf_number(p, "query_pre_attn_scalar", 0);
    double width = nb_hf_written_number(p, "embedding_length", 0), head_size = nb_hf_number(p, "head_dim", 0);
    compose_context(p);
    compose_caps(p);
    if (nb_hf_written_number(p, "attention.key_length", 0) == 0 && head_size > 0 && head_size * heads != width)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: head_dim is %g; of %s models only hidden_size / num_attention_heads is supported",
                       head_size, p->family->model_type);
    if (nb_hf_has(p, NB_HF_FOUR_TIMES) && nb_hf_written_number(p, "feed_forward_length", 0) == 0)
        nb_hf_put(p, "feed_forward_length", 4 * width);
    if (nb_hf_has(p, NB_HF_MANY_KV_HEADS))
        nb_hf_put(p, "attention.head_count_kv", kv_heads_of(p, heads));
    if (scalar > 0)
        compose_scale(p, scalar, width, heads);
    if (nb_hf_has(p, NB_HF_FIXED_EPSILON))
        nb_hf_put(p, "attention.layer_norm_epsilon", 1e-5);
    if (nb_hf_has(p, NB_HF_ENCODER))
        nb_compose_number(p->composer, "tokenizer.ggml.token_type_count", nb_hf_number(p, "type_vocab_size", 0));
    if (nb_hf_number(p, "use_bias", 0) != 0)
        nb_compose_only_nibble(p->composer, "llama.cpp does not know all biases of ERNIE 4.5");
    if (nb_hf_has(p, NB_HF_EVERY_4TH_UNROTATED))
        NB_TRY(check_unrotated(p));
    NB_TRY(compose_attention(p));
    return nb_hf_has(p, NB_HF_UNROTATED) ? NB_OK : nb_hf_compose_rope(p);
}
