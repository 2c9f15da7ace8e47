#include "huggingface_config.h"

#include "../base/memory.h"
#include "../base/numbers.h"

#include <math.h>

/* RoPE and its scaling, as in transformers' modeling_rope_utils.py. */

static double number_in(nb_node object, const char *name, double fallback) {
    return nb_node_number(nb_node_find(object, name), fallback);
}

/* The context length before it was extended. A key of config.json itself takes precedence over rope_parameters. */
static double original_context(const nb_hf_model *p, nb_node own) {
    double fallback = number_in(own, "original_max_position_embeddings", nb_hf_number(p, "max_position_embeddings", 0));
    return nb_hf_number(p, "original_max_position_embeddings", fallback);
}

static int32_t need(const nb_hf_model *p, nb_node own, const char *key, nb_text kind) {
    if (nb_node_find(own, key).at)
        return NB_OK;
    return NB_FAIL(p->err, NB_ERR_FORMAT, "config.json: the RoPE of type %t has no %s", kind, key);
}

/* Phi 3's LongRoPE: two lists of factors, which are tensors in GGUF, and a factor for the cosines and sines. */
static int32_t compose_longrope(const nb_hf_model *p, nb_node own) {
    static const nb_hf_pair factors[] = {
        {"long_factor", "rope_factors_long.weight"},
        {"short_factor", "rope_factors_short.weight"},
    };
    double original = original_context(p, own);
    double factor = number_in(own, "factor", nb_hf_written_number(p, "context_length", 0) / original);
    double magnitude = factor > 1 ? sqrt(1 + log(factor) / log(original)) : 1;
    nb_hf_put(p, "rope.scaling.original_context_length", original);
    nb_hf_put(p, "rope.scaling.attn_factor", number_in(own, "attention_factor", magnitude));
    for (int i = 0; i < 2; i++) {
        nb_node list = nb_node_find(own, factors[i].theirs);
        uint32_t n = 0;
        for (nb_members w = nb_members_of(list); nb_members_next(&w);)
            n++;
        if (!n)
            return NB_FAIL(p->err, NB_ERR_FORMAT, "config.json: the rope_scaling has no %s", factors[i].theirs);
        float *numbers = nb_alloc_items(n, sizeof *numbers);
        if (!numbers)
            return NB_FAIL(p->err, NB_ERR_MEMORY, "no memory for %u factors", n);
        n = 0;
        for (nb_members w = nb_members_of(list); nb_members_next(&w);)
            numbers[n++] = (float)nb_node_number(w.value, 1);
        NB_TRY(nb_plan_numbers(p->plan, nb_text_of(factors[i].ours), numbers, n));
    }
    return NB_OK;
}

/* e^x by Taylor's polynomial of x / 4096 and twelve squarings, which is exact enough for a float. exp and pow of the C
 * library would add tables of several KB. */
static double exponential(double x) {
    double y = x / 4096, e = 1 + y * (1 + y / 2 * (1 + y / 3 * (1 + y / 4)));
    for (int i = 0; i < 12; i++)
        e *= e;
    return e;
}

/* Llama 3.1's RoPE: pairs that turn less than low_freq_factor times over the original context are slowed down by the
 * factor, those that turn more than high_freq_factor times are not, and in between the divisor is interpolated
 * (transformers' _compute_llama3_parameters). GGUF has a tensor of divisors, one for each pair. */
static int32_t compose_llama3(const nb_hf_model *p, nb_node own, double base) {
    double original = original_context(p, own), factor = number_in(own, "factor", 0), head = nb_hf_head_size(p);
    double low = number_in(own, "low_freq_factor", 0), high = number_in(own, "high_freq_factor", 0);
    if (!(high > low && low > 0 && factor > 0 && original >= 1 && base > 1 && head >= 2 && head < 1 << 16))
        return NB_FAIL(p->err, NB_ERR_FORMAT,
                       "config.json: the RoPE of type llama3 has impossible values (factor %g, original context %g, "
                       "low_freq_factor %g, high_freq_factor %g, head %g)",
                       factor, original, low, high, head);
    uint32_t pairs = (uint32_t)head / 2;
    float *divisors = nb_alloc_items(pairs, sizeof *divisors);
    if (!divisors)
        return NB_FAIL(p->err, NB_ERR_MEMORY, "no memory for %u factors", pairs);
    for (uint32_t i = 0; i < pairs; i++) {
        double turns = original / (exponential(log(base) * i / pairs) * 2 * 3.14159265358979323846);
        double keep = NB_MIN(1, NB_MAX(0, (turns - low) / (high - low)));
        divisors[i] = (float)(1 / ((1 - keep) / factor + keep));
    }
    return nb_plan_numbers(p->plan, nb_text_of("rope_freqs.weight"), divisors, pairs);
}

/* YaRN's factor for the cosines and sines. mscale is 1 in the paper; DeepSeek's files have other values. */
static double magnitude_of(double factor, double mscale) {
    return factor > 1 ? 0.1 * mscale * log(factor) + 1 : 1;
}

/* The (fractional) pair that turns so many times over the original context. */
static double pair_turning(double pairs, double turns, double base, double original) {
    return pairs * log(original / (turns * 2 * 3.14159265358979323846)) / log(base);
}

/* YaRN (Peng et al. 2023). Up to a first pair the frequencies are unchanged, from a last pair on they are divided, and
 * in between they are interpolated. The two need not be whole numbers, for which GGUF has no keys, so they are written
 * under keys of nibble's own. GGUF's attn_factor multiplies the paper's factor. */
static int32_t compose_yarn(const nb_hf_model *p, nb_node own, double base, double rotated) {
    double original = original_context(p, own);
    double factor = number_in(own, "factor", nb_hf_number(p, "max_position_embeddings", 0) / original);
    double mscale = number_in(own, "mscale", 0), all_dim = number_in(own, "mscale_all_dim", 0);
    double fast = number_in(own, "beta_fast", 0), slow = number_in(own, "beta_slow", 0);
    double magnitude = mscale != 0 && all_dim != 0 ? magnitude_of(factor, mscale) / magnitude_of(factor, all_dim)
                                                   : magnitude_of(factor, 1);
    magnitude = number_in(own, "attention_factor", magnitude);
    nb_node whole = nb_node_find(own, "truncate");
    bool rounded = !whole.at || nb_node_number(whole, 0) != 0;
    fast = fast != 0 ? fast : 32;
    slow = slow != 0 ? slow : 1;
    double first = pair_turning(rotated / 2, fast, base, original),
           last = pair_turning(rotated / 2, slow, base, original);
    first = NB_MAX(rounded ? floor(first) : first, 0);
    last = NB_MIN(rounded ? ceil(last) : last, rotated - 1);
    if (!(factor > 0 && original >= 1 && fast > 0 && slow > 0 && isfinite(first) && isfinite(last)))
        return NB_FAIL(p->err, NB_ERR_FORMAT,
                       "config.json: the RoPE of type yarn has impossible values (factor %g, original context %g, "
                       "beta_fast %g, beta_slow %g)",
                       factor, original, fast, slow);
    if (!rounded || fast != 32 || slow != 1)
        nb_compose_only_nibble(p->composer,
                               "llama.cpp knows no truncate, beta_fast and beta_slow of YaRN in such models");
    nb_hf_put(p, "rope.scaling.factor", factor);
    nb_hf_put(p, "rope.scaling.original_context_length", original);
    nb_hf_put(p, "rope.scaling.yarn_beta_fast", fast);
    nb_hf_put(p, "rope.scaling.yarn_beta_slow", slow);
    nb_hf_put(p, "rope.scaling.yarn_ramp_first", first);
    nb_hf_put(p, "rope.scaling.yarn_ramp_last", last);
    nb_hf_put(p, "rope.scaling.attn_factor", magnitude / magnitude_of(factor, 1));
    return NB_OK;
}

/* The RoPE parameters of the model; *local: those of layers with a window, if these have their own. */
static nb_node find_parameters(const nb_hf_model *p, nb_node *local) {
    nb_node scaling = nb_hf_value(p, "rope_scaling"), both = nb_hf_value(p, "rope_parameters");
    *local = (nb_node){0};
    if (!nb_hf_has(p, NB_HF_TWO_ROPES))
        return nb_node_is_empty(scaling) ? both : scaling;
    *local = nb_node_find(both, "sliding_attention");
    return scaling.at ? scaling : nb_node_find(both, "full_attention");
}

static nb_text type_of(nb_node parameters) {
    nb_node kind = nb_node_find(parameters, "rope_type");
    nb_text name = nb_node_raw(kind.at ? kind : nb_node_find(parameters, "type"));
    return name.data ? name : nb_text_of("default");
}

int32_t nb_hf_compose_rope(const nb_hf_model *p) {
    nb_node local, own = find_parameters(p, &local);
    double base = nb_hf_number(p, "rope_theta", nb_hf_number(p, "rotary_emb_base", 10000));
    double local_base = nb_hf_default(p, "rope_theta"); /* for OLMo 3, even where the file has a rope_theta */
    if (nb_hf_has(p, NB_HF_TWO_ROPES)) {                /* rope_scaling overrides rope_parameters */
        nb_node set = nb_node_find(nb_hf_value(p, "rope_parameters"), "full_attention");
        base = number_in(set, "rope_theta", base);
        local_base = number_in(local, "rope_theta", nb_hf_number(p, "rope_local_base_freq", local_base));
        nb_hf_put(p, "rope.freq_base_swa", local_base);
        if (!nb_text_is(type_of(local), "default"))
            return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                           "config.json: the RoPE of layers with a window is of type %t; of %s models only default is "
                           "supported",
                           type_of(local), p->family->model_type);
    }
    base = number_in(own, "rope_theta", base);
    nb_hf_put(p, "rope.freq_base", base);
    if (nb_hf_has(p, NB_HF_EVERY_4TH_FULL) && base != local_base)
        nb_compose_only_nibble(p->composer, "llama.cpp rotates all layers of such models by one rope_theta");
    nb_text name = type_of(own);
    bool plain = nb_text_is(name, "default"), partly = nb_hf_has(p, NB_HF_PARTLY_ROTATED);
    double part = number_in(own, "partial_rotary_factor",
                            nb_hf_number(p, "partial_rotary_factor", nb_hf_number(p, "rotary_pct", 1)));
    if (part != 1 && !partly && !plain)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED,
                       "config.json: partial_rotary_factor is %g with RoPE of type %t; of %s models only 1 is "
                       "supported",
                       part, name, p->family->model_type);
    double rotated = floor(nb_hf_head_size(p) * (partly ? part : 1));
    nb_hf_put(p, "rope.dimension_count", rotated);
    if (plain && nb_hf_has(p, NB_HF_LONGROPE)) /* llama.cpp asks for it */
        nb_hf_put(p, "rope.scaling.original_context_length", original_context(p, own));
    if (plain)
        return NB_OK;
    bool is_long = nb_text_is(name, "longrope") || nb_text_is(name, "su"), yarn = nb_text_is(name, "yarn");
    if (nb_hf_has(p, NB_HF_LONGROPE) && (is_long || yarn)) /* "su" and "yarn" are names in its first files */
        return compose_longrope(p, own);
    const nb_hf_rope_type *type = nb_hf_rope_types;
    while (type->name && !nb_text_is(name, type->name))
        type++;
    bool others = !nb_hf_has(p, NB_HF_LONGROPE) && (!nb_hf_has(p, NB_HF_LINEAR_ROPE) || nb_text_is(name, "linear"));
    if (!type->name || is_long || !others)
        return NB_FAIL(p->err, NB_ERR_UNSUPPORTED, "config.json: RoPE of type %t is not supported in %s models; %s",
                       name, p->family->model_type,
                       nb_hf_has(p, NB_HF_LONGROPE)      ? "longrope is"
                       : nb_hf_has(p, NB_HF_LINEAR_ROPE) ? "linear is"
                                                         : "linear, llama3 and yarn are");
    bool is_llama3 = nb_text_is(name, "llama3"), as_tensor = is_llama3 && nb_hf_has(p, NB_HF_PERMUTED_QK);
    NB_TRY(need(p, own, "factor", name));
    for (int i = 0; i < 2 && is_llama3; i++)
        NB_TRY(need(p, own, i ? "high_freq_factor" : "low_freq_factor", name));
    if (as_tensor)
        return compose_llama3(p, own, base);
    nb_hf_put_text(p, "rope.scaling.type", name);
    if (yarn)
        return compose_yarn(p, own, base, rotated);
    NB_TRY(nb_hf_put_numbers(p, own, type->keys));
    if (!is_llama3)
        return NB_OK;
    nb_compose_only_nibble(p->composer, "llama.cpp has no RoPE of type llama3 in this architecture");
    nb_hf_put(p, "rope.scaling.original_context_length", original_context(p, own));
    return NB_OK;
}
