/* Which type a tensor becomes: the rules of llama.cpp's llama_tensor_get_type (ggml-org/llama.cpp, src/llama-quant.cpp)
 * for files made without an importance matrix, and bitsandbytes' for linear layers. Some tensors deserve more bits:
 * attention's values and what leads out of the feed-forward network, above all in the first and last layers, and the
 * output. */
#include "../base/numbers.h"
#include "../types/traits.h"
#include "quantize.h"

/* How far a file type goes beyond its plain type: not at all, K_S, K_M, K_L. BNB: a layer's matrices and no others. */
typedef enum mixture { PURE, SMALL, MEDIUM, LARGE, BNB } mixture;

struct nb_preset {
    const char *name;
    uint32_t type;
    mixture mixture;
};

static const nb_preset presets[] = {
    {"nf4", NB_TYPE_NF4, BNB},         {"fp4", NB_TYPE_FP4, BNB},         {"int8", NB_TYPE_Q8_0, BNB},
    {"q8_0", NB_TYPE_Q8_0, PURE},      {"q6_k", NB_TYPE_Q6_K, PURE},      {"q5_k_m", NB_TYPE_Q5_K, MEDIUM},
    {"q5_k_s", NB_TYPE_Q5_K, SMALL},   {"q5_1", NB_TYPE_Q5_1, PURE},      {"q5_0", NB_TYPE_Q5_0, PURE},
    {"q4_k_m", NB_TYPE_Q4_K, MEDIUM},  {"q4_k_s", NB_TYPE_Q4_K, SMALL},   {"q4_1", NB_TYPE_Q4_1, PURE},
    {"q4_0", NB_TYPE_Q4_0, PURE},      {"iq4_nl", NB_TYPE_IQ4_NL, PURE},  {"iq4_xs", NB_TYPE_IQ4_XS, PURE},
    {"q3_k_l", NB_TYPE_Q3_K, LARGE},   {"q3_k_m", NB_TYPE_Q3_K, MEDIUM},  {"q3_k_s", NB_TYPE_Q3_K, SMALL},
    {"q2_k", NB_TYPE_Q2_K, MEDIUM},    {"tq2_0", NB_TYPE_TQ2_0, PURE},    {"tq1_0", NB_TYPE_TQ1_0, PURE},
    {"f16", NB_TYPE_F16, PURE},        {"bf16", NB_TYPE_BF16, PURE},
};

const nb_preset *nb_preset_of(nb_text name) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        if (nb_text_is(name, presets[i].name))
            return &presets[i];
    return NULL;
}

void nb_preset_list(nb_writer *w) {
    for (size_t i = 0; i < sizeof presets / sizeof *presets; i++)
        nb_write(w, i ? ", %s" : "%s", presets[i].name);
}

nb_quantize *nb_preset_quantizer(const nb_preset *preset, uint32_t type) {
    return preset->mixture == BNB && type == NB_TYPE_Q8_0 ? nb_quantize_int8 : nb_quantizer_of(type);
}

/* Where `part` begins in the name, or -1. */
static int64_t find(nb_text name, const char *part) {
    size_t n = nb_length(part);
    for (size_t i = 0; i + n <= name.size; i++)
        if (nb_compare(name.data + i, part, n) == 0)
            return (int64_t)i;
    return -1;
}

static bool has(nb_text name, const char *part) {
    return find(name, part) >= 0;
}

/* N of "blk.N.", else 0. */
static uint32_t layer_of(nb_text name) {
    uint32_t layer = 0;
    if (find(name, "blk.") == 0)
        for (size_t i = 4; i < name.size && name.data[i] >= '0' && name.data[i] <= '9' && layer < 100000; i++)
            layer = layer * 10 + (uint32_t)(name.data[i] - '0');
    return layer;
}

static bool may_change(nb_text name, uint32_t dimensions) {
    static const char *const kept[] = {"_norm.weight", "ffn_gate_inp.weight", ".position_embd"};
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        if (has(name, kept[i]))
            return false;
    return dimensions >= 2 && nb_text_ends(name, "weight") && !nb_text_is(name, "position_embd.weight") &&
           !nb_text_is(name, "token_types.weight");
}

/* The first and the last eighth of the layers, and every third between. */
static bool is_chosen(uint32_t layer, uint32_t layers) {
    uint32_t eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

static bool is_iq4(uint32_t type) {
    return type == NB_TYPE_IQ4_NL || type == NB_TYPE_IQ4_XS;
}

static uint32_t type_of_values(const nb_preset *p, uint32_t layer, const nb_preset_facts *f) {
    bool is_shared = f->kv_heads && f->heads / f->kv_heads >= 4; /* by four heads or more: small, and worth more */
    bool is_70b = f->layers == 80 && (nb_text_is(f->architecture, "llama") || nb_text_is(f->architecture, "qwen2"));
    uint32_t type = p->type;
    // NOLINTBEGIN(bugprone-branch-clone): a branch is a rule of the reference
    if (type == NB_TYPE_Q2_K)
        type = is_shared ? NB_TYPE_Q4_K : NB_TYPE_Q3_K;
    else if (type == NB_TYPE_Q3_K && p->mixture == MEDIUM)
        type = layer < 2 ? NB_TYPE_Q5_K : NB_TYPE_Q4_K;
    else if (p->mixture == LARGE || (is_iq4(type) && is_shared))
        type = NB_TYPE_Q5_K;
    else if (p->mixture == MEDIUM && is_chosen(layer, f->layers))
        type = NB_TYPE_Q6_K;
    else if (type == NB_TYPE_Q4_K && p->mixture == SMALL && layer < 4)
        type = NB_TYPE_Q5_K;
    // NOLINTEND(bugprone-branch-clone)
    if (is_70b && (type == NB_TYPE_Q3_K || type == NB_TYPE_Q4_K))
        type = NB_TYPE_Q5_K;
    return f->experts == 8 ? NB_TYPE_Q8_0 : type;
}

static uint32_t type_of_down(const nb_preset *p, uint32_t layer, const nb_preset_facts *f) {
    bool is_falcon = nb_text_is(f->architecture, "falcon"), chosen = is_chosen(layer, f->layers);
    bool is_early = layer < f->layers / 8, is_first = layer < f->layers / 16;
    if (p->type == NB_TYPE_Q2_K)
        return NB_TYPE_Q3_K;
    if (p->type == NB_TYPE_Q3_K && p->mixture == MEDIUM)
        return is_first ? NB_TYPE_Q5_K : !is_falcon || chosen ? NB_TYPE_Q4_K : NB_TYPE_Q3_K;
    if (p->mixture == LARGE)
        return is_falcon ? NB_TYPE_Q4_K : NB_TYPE_Q5_K;
    if (p->type == NB_TYPE_Q4_K && p->mixture == MEDIUM && is_falcon)
        return is_first ? NB_TYPE_Q6_K : chosen ? NB_TYPE_Q5_K : NB_TYPE_Q4_K;
    if (p->mixture == MEDIUM && chosen)
        return NB_TYPE_Q6_K;
    if (is_early && (is_iq4(p->type) || (p->type == NB_TYPE_Q4_K && p->mixture == SMALL && !is_falcon)))
        return NB_TYPE_Q5_K;
    return p->type;
}

static uint32_t type_of_attention_output(const nb_preset *p, const nb_preset_facts *f) {
    if (nb_text_is(f->architecture, "falcon"))
        return p->mixture == LARGE ? NB_TYPE_Q4_K : p->type;
    if (f->experts == 8) {
        bool is_raised = p->type == NB_TYPE_Q2_K || p->type == NB_TYPE_Q4_K || is_iq4(p->type) ||
                         (p->type == NB_TYPE_Q3_K && p->mixture != LARGE);
        return is_raised ? NB_TYPE_Q5_K : p->type;
    }
    if (p->type == NB_TYPE_Q2_K)
        return NB_TYPE_Q3_K;
    if (p->type == NB_TYPE_Q3_K && p->mixture != SMALL)
        return p->mixture == MEDIUM ? NB_TYPE_Q4_K : NB_TYPE_Q5_K;
    return p->type;
}

static bool divides(uint32_t type, uint64_t columns) {
    return columns % nb_traits_of(type)->block_weights == 0;
}

/* What has rows of other lengths than whole superblocks gets a type of blocks of 32, or half precision. */
static uint32_t fitting(uint32_t type, uint64_t columns) {
    if (divides(type, columns))
        return type;
    switch (type) {
    case NB_TYPE_TQ1_0:
    case NB_TYPE_TQ2_0:
    case NB_TYPE_Q2_K:
    case NB_TYPE_Q3_K: type = NB_TYPE_Q4_0; break;
    case NB_TYPE_IQ4_XS: type = NB_TYPE_IQ4_NL; break;
    case NB_TYPE_Q4_K: type = NB_TYPE_Q5_0; break;
    case NB_TYPE_Q5_K: type = NB_TYPE_Q5_1; break;
    case NB_TYPE_Q6_K: type = NB_TYPE_Q8_0; break;
    default: break;
    }
    return divides(type, columns) ? type : NB_TYPE_F16;
}

uint32_t nb_preset_type(const nb_preset *p, nb_text name, uint32_t dimensions, uint64_t columns,
                        const nb_preset_facts *facts) {
    if (!may_change(name, dimensions))
        return NB_TYPE_LIMIT;
    if (p->mixture == BNB) {
        bool is_linear = find(name, "blk.") == 0 && (has(name, ".attn_") || has(name, ".ffn_"));
        return is_linear && columns % NB_BLOCK_NF4 == 0 ? p->type : NB_TYPE_LIMIT;
    }
    uint32_t type = p->type, layer = layer_of(name);
    if (type == NB_TYPE_F16 || type == NB_TYPE_BF16)
        return type;
    if (nb_text_is(name, "output.weight") || (facts->is_tied && nb_text_is(name, "token_embd.weight")))
        type = type == NB_TYPE_Q8_0 || nb_text_is(facts->architecture, "falcon") || !divides(type, columns)
                   ? NB_TYPE_Q8_0 : NB_TYPE_Q6_K;
    else if (nb_text_is(name, "token_embd.weight") && (type == NB_TYPE_TQ1_0 || type == NB_TYPE_TQ2_0))
        type = NB_TYPE_Q4_K;
    else if (has(name, "attn_v.weight") || has(name, "attn_qkv.weight") || has(name, "attn_kv_b.weight"))
        type = type_of_values(p, layer, facts);
    else if (has(name, "attn_k.weight") && facts->experts == 8)
        type = NB_TYPE_Q8_0;
    else if (has(name, "ffn_down"))
        type = type_of_down(p, layer, facts);
    else if (has(name, "attn_output.weight"))
        type = type_of_attention_output(p, facts);
    return fitting(type, columns);
}
