/* Chooses the type of a tensor by the rules of llama.cpp's llama_tensor_get_type (ggml-org/llama.cpp,
 * src/llama-quant.cpp), or of bitsandbytes, which quantizes linear layers. Some tensors get more bits: attn_v and
 * ffn_down, above all in the first and last layers, and the output. */
#include "../base/numbers.h"
#include "../types/traits.h"
#include "quantize.h"

/* How many tensors get more bits than the plain type: none, K_S, K_M, K_L. SMALLER: fewer than K_S, for IQ3_XS. BNB:
 * only the layers' matrices are quantized. EXPERTS: stacked experts get the type, and other matrices get Q8_0. */
typedef enum mixture { PURE, SMALLER, SMALL, MEDIUM, LARGE, BNB, EXPERTS } mixture;

struct nb_preset {
    const char *name;
    uint32_t type;
    mixture mixture;
    int32_t file_type; /* llama.h, enum llama_ftype */
};

enum { NO_FILE_TYPE = NB_NO_FILE_TYPE };

// clang-format off: two in a line, related ones side by side
static const nb_preset presets[] = {
    {"nf4", NB_TYPE_NF4, BNB, NO_FILE_TYPE}, {"fp4", NB_TYPE_FP4, BNB, NO_FILE_TYPE},
    {"int8", NB_TYPE_Q8_0, BNB, 7},          {"q8_0", NB_TYPE_Q8_0, PURE, 7},
    {"q6_k", NB_TYPE_Q6_K, PURE, 18},        {"q5_k_m", NB_TYPE_Q5_K, MEDIUM, 17},
    {"q5_k_s", NB_TYPE_Q5_K, SMALL, 16},     {"q5_1", NB_TYPE_Q5_1, PURE, 9},
    {"q5_0", NB_TYPE_Q5_0, PURE, 8},         {"q4_k_m", NB_TYPE_Q4_K, MEDIUM, 15},
    {"q4_k_s", NB_TYPE_Q4_K, SMALL, 14},     {"q4_1", NB_TYPE_Q4_1, PURE, 3},
    {"q4_0", NB_TYPE_Q4_0, PURE, 2},         {"iq4_nl", NB_TYPE_IQ4_NL, PURE, 25},
    {"iq4_xs", NB_TYPE_IQ4_XS, PURE, 30},    {"q3_k_l", NB_TYPE_Q3_K, LARGE, 13},
    {"q3_k_m", NB_TYPE_Q3_K, MEDIUM, 12},    {"q3_k_s", NB_TYPE_Q3_K, SMALL, 11},
    {"iq3_m", NB_TYPE_IQ3_S, MEDIUM, 27},    {"iq3_s", NB_TYPE_IQ3_S, SMALL, 26},
    {"iq3_xs", NB_TYPE_IQ3_S, SMALLER, 22},  {"iq3_xxs", NB_TYPE_IQ3_XXS, PURE, 23},
    {"q2_k", NB_TYPE_Q2_K, MEDIUM, 10},      {"q2_k_s", NB_TYPE_Q2_K, SMALL, 21},
    {"iq2_m", NB_TYPE_IQ2_S, MEDIUM, 29},    {"iq2_s", NB_TYPE_IQ2_XS, SMALL, 28},
    {"iq2_xs", NB_TYPE_IQ2_XS, PURE, 20},    {"iq2_xxs", NB_TYPE_IQ2_XXS, PURE, 19},
    {"iq1_m", NB_TYPE_IQ1_M, PURE, 31},      {"iq1_s", NB_TYPE_IQ1_S, PURE, 24},
    {"tq2_0", NB_TYPE_TQ2_0, PURE, 37},      {"tq1_0", NB_TYPE_TQ1_0, PURE, 36},
    {"q2_0", NB_TYPE_Q2_0, PURE, 41},        {"q1_0", NB_TYPE_Q1_0, PURE, 40},
    {"nvfp4", NB_TYPE_NVFP4, PURE, 39},      {"mxfp4_moe", NB_TYPE_MXFP4, EXPERTS, 38},
    {"f32", NB_TYPE_F32, PURE, 0},           {"f16", NB_TYPE_F16, PURE, 1},
    {"bf16", NB_TYPE_BF16, PURE, 32},
};
// clang-format on

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
    if (preset->mixture == BNB && type == NB_TYPE_Q8_0)
        return nb_quantize_int8;
    return nb_encoder_of(type);
}

int32_t nb_preset_file_type(const nb_preset *preset) {
    return preset->file_type;
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

bool nb_preset_is_down(nb_text name) {
    return has(name, "ffn_down");
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

/* The first and the last eighth of the layers, and every third one in between. */
static bool is_chosen(uint32_t layer, uint32_t layers) {
    uint32_t eighth = layers / 8;
    return layer < eighth || layer >= 7 * layers / 8 || (layer - eighth) % 3 == 2;
}

static bool is_iq4(uint32_t type) {
    return type == NB_TYPE_IQ4_NL || type == NB_TYPE_IQ4_XS;
}

static bool is_iq1(uint32_t type) {
    return type == NB_TYPE_IQ1_S || type == NB_TYPE_IQ1_M;
}

/* Types of about two bits or fewer have their own rules. */
static bool is_tiny(uint32_t type) {
    return is_iq1(type) || type == NB_TYPE_IQ2_XXS || type == NB_TYPE_IQ2_XS || type == NB_TYPE_IQ2_S;
}

/* IQ2_S and IQ2_M, which have more bits than the other tiny types. */
static bool is_finer(const nb_preset *p) {
    return is_tiny(p->type) && p->mixture != PURE;
}

/* Four heads or more share each key-value head. attn_v is small then, and worth more bits. */
static bool is_shared(const nb_preset_facts *f) {
    return f->kv_heads && f->heads / f->kv_heads >= 4;
}

static uint32_t type_of_values(const nb_preset *p, uint32_t layer, const nb_preset_facts *f) {
    bool is_70b = f->layers == 80 && (nb_text_is(f->architecture, "llama") || nb_text_is(f->architecture, "qwen2"));
    bool medium = p->mixture == MEDIUM, small = p->mixture == SMALL;
    uint32_t type = p->type;
    // NOLINTBEGIN(bugprone-branch-clone): a branch is a rule of the reference
    if (type == NB_TYPE_Q2_K && medium)
        type = is_shared(f) ? NB_TYPE_Q4_K : NB_TYPE_Q3_K;
    else if ((type == NB_TYPE_Q2_K || (type == NB_TYPE_IQ3_S && !medium) || type == NB_TYPE_IQ3_XXS) && is_shared(f))
        type = NB_TYPE_Q4_K;
    else if (type == NB_TYPE_IQ3_XXS)
        type = f->has_importance ? type : NB_TYPE_IQ3_S;
    else if (type == NB_TYPE_IQ3_S && medium)
        type = NB_TYPE_Q4_K;
    else if (type == NB_TYPE_Q3_K && medium)
        type = layer < 2 ? NB_TYPE_Q5_K : NB_TYPE_Q4_K;
    else if (p->mixture == LARGE || (is_iq4(type) && is_shared(f)))
        type = NB_TYPE_Q5_K;
    else if (medium && is_chosen(layer, f->layers))
        type = NB_TYPE_Q6_K;
    else if (type == NB_TYPE_Q4_K && small && layer < 4)
        type = NB_TYPE_Q5_K;
    // NOLINTEND(bugprone-branch-clone)
    if (is_70b && (type == NB_TYPE_Q3_K || type == NB_TYPE_Q4_K))
        type = NB_TYPE_Q5_K;
    return f->experts == 8 ? NB_TYPE_Q8_0 : type;
}

static uint32_t type_of_queries(const nb_preset *p) {
    if (p->type == NB_TYPE_IQ3_S && p->mixture == SMALLER)
        return NB_TYPE_IQ3_XXS;
    return p->type == NB_TYPE_IQ3_XXS ? NB_TYPE_IQ2_S : p->type;
}

/* ffn_down in the first layers, for presets where only these layers are different. */
static uint32_t type_of_early_down(const nb_preset *p, const nb_preset_facts *f, bool is_falcon) {
    if (f->has_importance && p->type == NB_TYPE_Q4_0)
        return NB_TYPE_Q4_1;
    if (f->has_importance && p->type == NB_TYPE_Q5_0)
        return NB_TYPE_Q5_1;
    bool raises =
        (is_iq4(p->type) && !f->has_importance) || (p->type == NB_TYPE_Q4_K && p->mixture == SMALL && !is_falcon);
    return raises ? NB_TYPE_Q5_K : p->type;
}

static uint32_t type_of_down(const nb_preset *p, uint32_t layer, const nb_preset_facts *f) {
    bool is_falcon = nb_text_is(f->architecture, "falcon"), chosen = is_chosen(layer, f->layers);
    bool is_early = layer < f->layers / 8, is_first = layer < f->layers / 16, medium = p->mixture == MEDIUM;
    if (p->type == NB_TYPE_Q2_K)
        return medium ? NB_TYPE_Q3_K : is_early ? NB_TYPE_Q4_K : p->type;
    if (p->type == NB_TYPE_IQ3_XXS && !f->has_importance)
        return is_early ? NB_TYPE_Q4_K : NB_TYPE_Q3_K;
    if (p->type == NB_TYPE_Q3_K && medium)
        return is_first ? NB_TYPE_Q5_K : !is_falcon || chosen ? NB_TYPE_Q4_K : NB_TYPE_Q3_K;
    if (p->type == NB_TYPE_IQ3_S)
        return medium && (is_early || (f->experts == 8 && chosen)) ? NB_TYPE_Q4_K : p->type;
    if (p->mixture == LARGE)
        return is_falcon ? NB_TYPE_Q4_K : NB_TYPE_Q5_K;
    if (p->type == NB_TYPE_Q4_K && medium && is_falcon)
        return is_first ? NB_TYPE_Q6_K : chosen ? NB_TYPE_Q5_K : NB_TYPE_Q4_K;
    if (medium && chosen)
        return NB_TYPE_Q6_K;
    return is_early ? type_of_early_down(p, f, is_falcon) : p->type;
}

static uint32_t type_of_attention_output(const nb_preset *p, const nb_preset_facts *f) {
    bool medium = p->mixture == MEDIUM, large = p->mixture == LARGE;
    if (nb_text_is(f->architecture, "falcon"))
        return large ? NB_TYPE_Q4_K : p->type;
    if (f->experts == 8) {
        bool is_raised = (p->type == NB_TYPE_Q2_K && medium) || p->type == NB_TYPE_Q4_K || is_iq4(p->type) ||
                         p->type == NB_TYPE_IQ3_S || p->type == NB_TYPE_IQ3_XXS || (p->type == NB_TYPE_Q3_K && !large);
        return is_raised ? NB_TYPE_Q5_K : p->type;
    }
    if (p->type == NB_TYPE_Q2_K)
        return medium ? NB_TYPE_Q3_K : p->type;
    if (p->type == NB_TYPE_IQ3_XXS)
        return NB_TYPE_IQ3_S;
    if (p->type == NB_TYPE_Q3_K || p->type == NB_TYPE_IQ3_S)
        return medium ? NB_TYPE_Q4_K : large ? NB_TYPE_Q5_K : p->type;
    return p->type;
}

/* ffn_gate and ffn_up: IQ3_XS gives fewer bits to the layers in the middle. */
static uint32_t type_of_gates(const nb_preset *p, uint32_t layer, const nb_preset_facts *f) {
    bool is_middle = layer >= f->layers / 8 && layer < 7 * f->layers / 8;
    return p->type == NB_TYPE_IQ3_S && p->mixture == SMALLER && is_middle ? NB_TYPE_IQ3_XXS : p->type;
}

/* How many ffn_down tensors come before this one. A layer with experts and a shared expert has two. */
static uint32_t place_of_down(nb_text name, uint32_t layer, const nb_preset_facts *f) {
    uint32_t in_a_layer = f->layers ? NB_MAX(f->downs / f->layers, 1) : 1;
    return layer * in_a_layer + (in_a_layer > 1 && has(name, "_shexp"));
}

/* A tensor of a layer, in a file of about two bits or fewer. */
static uint32_t type_in_tiny(const nb_preset *p, nb_text name, uint32_t layer, const nb_preset_facts *f) {
    bool finer = is_finer(p);
    if (has(name, "attn_v.weight") || has(name, "attn_qkv.weight") || has(name, "attn_kv_b.weight"))
        return is_shared(f) || f->experts >= 4 ? NB_TYPE_Q4_K : finer ? NB_TYPE_IQ3_S : NB_TYPE_Q2_K;
    if (has(name, "attn_k.weight"))
        return f->experts == 8 ? NB_TYPE_Q4_K : p->type;
    if (has(name, "ffn_down") && place_of_down(name, layer, f) < f->layers / 8)
        return finer ? NB_TYPE_IQ3_S : NB_TYPE_Q2_K;
    if (!has(name, "attn_output.weight"))
        return p->type;
    return f->experts == 8 ? NB_TYPE_Q5_K : is_iq1(p->type) ? NB_TYPE_IQ2_XXS : finer ? NB_TYPE_IQ3_S : p->type;
}

static uint32_t type_in_layer(const nb_preset *p, nb_text name, const nb_preset_facts *facts) {
    uint32_t layer = layer_of(name);
    if (is_tiny(p->type))
        return type_in_tiny(p, name, layer, facts);
    if (has(name, "attn_v.weight") || has(name, "attn_qkv.weight") || has(name, "attn_kv_b.weight"))
        return type_of_values(p, layer, facts);
    if (has(name, "attn_k.weight") && facts->experts == 8)
        return NB_TYPE_Q8_0;
    if (has(name, "attn_k.weight") || has(name, "attn_q.weight"))
        return type_of_queries(p);
    if (has(name, "attn_output.weight"))
        return type_of_attention_output(p, facts);
    if (has(name, "ffn_down"))
        return type_of_down(p, layer, facts);
    return has(name, "ffn_gate") || has(name, "ffn_up") ? type_of_gates(p, layer, facts) : p->type;
}

static bool divides(uint32_t type, uint64_t columns) {
    return columns % nb_traits_of(type)->block_weights == 0;
}

uint32_t nb_fitting_type(uint32_t type, uint64_t columns) {
    if (divides(type, columns))
        return type;
    switch (type) {
    case NB_TYPE_TQ1_0:
    case NB_TYPE_TQ2_0:
    case NB_TYPE_Q2_0:
    case NB_TYPE_Q2_K:
    case NB_TYPE_Q3_K: type = NB_TYPE_Q4_0; break;
    case NB_TYPE_IQ1_S:
    case NB_TYPE_IQ1_M:
    case NB_TYPE_IQ2_XXS:
    case NB_TYPE_IQ2_XS:
    case NB_TYPE_IQ2_S:
    case NB_TYPE_IQ3_XXS:
    case NB_TYPE_IQ3_S:
    case NB_TYPE_IQ4_XS: type = NB_TYPE_IQ4_NL; break;
    case NB_TYPE_Q4_K: type = NB_TYPE_Q5_0; break;
    case NB_TYPE_Q5_K: type = NB_TYPE_Q5_1; break;
    case NB_TYPE_Q6_K: type = NB_TYPE_Q8_0; break;
    default: break;
    }
    return divides(type, columns) ? type : NB_TYPE_F16;
}

/* The output matrix, or the tied token embedding. */
static uint32_t type_of_output(const nb_preset *p, uint64_t columns, const nb_preset_facts *facts) {
    if (p->type == NB_TYPE_Q8_0 || p->mixture == EXPERTS || nb_text_is(facts->architecture, "falcon") ||
        !divides(p->type, columns))
        return NB_TYPE_Q8_0;
    return is_tiny(p->type) || p->type == NB_TYPE_IQ3_XXS ? NB_TYPE_Q5_K : NB_TYPE_Q6_K;
}

static uint32_t type_of_embedding(const nb_preset *p) {
    if (is_tiny(p->type))
        return is_finer(p) ? NB_TYPE_IQ3_S : NB_TYPE_Q2_K;
    if (p->type == NB_TYPE_IQ3_XXS)
        return NB_TYPE_IQ3_S;
    bool is_coarse = p->type == NB_TYPE_TQ1_0 || p->type == NB_TYPE_TQ2_0 || p->type == NB_TYPE_Q2_0;
    return is_coarse ? NB_TYPE_Q4_K : p->type;
}

uint32_t nb_preset_type(const nb_preset *p, nb_text name, uint32_t dimensions, uint64_t columns,
                        const nb_preset_facts *facts) {
    if (!may_change(name, dimensions))
        return NB_TYPE_LIMIT;
    if (p->mixture == BNB) {
        bool is_linear = find(name, "blk.") == 0 && (has(name, ".attn_") || has(name, ".ffn_"));
        uint64_t block = p->type == NB_TYPE_Q8_0 ? NB_BLOCK : NB_BLOCK_NF4;
        return is_linear && columns % block == 0 ? p->type : NB_TYPE_LIMIT;
    }
    if (p->type == NB_TYPE_F32 || p->type == NB_TYPE_F16 || p->type == NB_TYPE_BF16)
        return p->type;
    if (nb_text_is(name, "output.weight") || (facts->is_tied && nb_text_is(name, "token_embd.weight")))
        return type_of_output(p, columns, facts);
    if (p->mixture == EXPERTS)
        return dimensions > 2 ? p->type : NB_TYPE_Q8_0;
    return nb_text_is(name, "token_embd.weight") ? type_of_embedding(p) : type_in_layer(p, name, facts);
}

bool nb_preset_needs_importance(const nb_preset *p, nb_text name, uint32_t type) {
    if (nb_text_is(name, "token_embd.weight") || nb_text_is(name, "output.weight"))
        return false;
    return is_tiny(type) || type == NB_TYPE_IQ3_XXS ||
           (type == NB_TYPE_Q2_K && p->type == NB_TYPE_Q2_K && p->mixture == SMALL);
}
