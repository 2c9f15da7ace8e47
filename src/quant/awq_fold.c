#include "awq_fold.h"

typedef struct rule {
    const char *name;
    nb_fold fold;
    bool needs_gate;
} rule;

static const rule rules[] = {
    {"attn_q", {{"attn_norm_2", "attn_norm"}, true}, false},
    {"attn_k", {{"attn_norm_2", "attn_norm"}, true}, false},
    {"attn_v", {{"attn_norm_2", "attn_norm"}, true}, false},
    {"attn_qkv", {{"attn_norm_2", "attn_norm"}, true}, false},
    {"attn_output", {{"attn_v", "attn_qkv"}, false}, false},
    {"ffn_gate", {{"ffn_norm", "attn_norm"}, true}, false},
    {"ffn_up", {{"ffn_norm", "attn_norm"}, true}, false},
    {"ffn_gate_inp", {{"ffn_norm", NULL}, true}, false},
    {"ffn_gate_exps", {{"ffn_norm", NULL}, true}, false},
    {"ffn_up_exps", {{"ffn_norm", NULL}, true}, false},
    {"ffn_gate_inp_shexp", {{"ffn_norm", NULL}, true}, false},
    {"ffn_gate_shexp", {{"ffn_norm", NULL}, true}, false},
    {"ffn_up_shexp", {{"ffn_norm", NULL}, true}, false},
    {"ffn_down", {{"ffn_up", NULL}, false}, true},
    {"ffn_down_exps", {{"ffn_up_exps", NULL}, false}, true},
    {"ffn_down_shexp", {{"ffn_up_shexp", NULL}, false}, true},
};

/* The name without "blk.N." and ".weight". */
static nb_text bare(nb_text name) {
    size_t end = nb_text_ends(name, ".weight") ? name.size - nb_length(".weight") : name.size, begin = end;
    while (begin > 0 && name.data[begin - 1] != '.')
        begin--;
    return (nb_text){name.data + begin, end - begin};
}

bool nb_fold_of(nb_text name, bool is_gated, nb_fold *fold) {
    nb_text last = bare(name);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (nb_text_is(last, rules[i].name)) {
            *fold = rules[i].fold;
            return is_gated || !rules[i].needs_gate;
        }
    return false;
}

bool nb_fold_clips(nb_text name) {
    nb_text last = bare(name);
    return !nb_text_is(last, "attn_q") && !nb_text_is(last, "attn_k") && !nb_text_is(last, "attn_qkv");
}

void nb_fold_heads(uint32_t heads, uint32_t kv_heads, uint32_t width, uint32_t *sources) {
    for (uint32_t head = 0; head < heads; head++)
        for (uint32_t i = 0; i < width; i++)
            sources[head * width + i] = head / (heads / kv_heads) * width + i;
}

int32_t nb_fold_check_sources(const uint32_t *sources, uint32_t columns, uint32_t n_sources, nb_error *err) {
    for (uint32_t i = 0; sources && i < columns; i++)
        if (sources[i] >= n_sources)
            return NB_FAIL(err, NB_ERR_ARGUMENT, "column %u reads output %u, but there are only %u", i, sources[i],
                           n_sources);
    return NB_OK;
}

void nb_fold_columns(float *weights, uint64_t rows, uint32_t columns, const float *scales) {
    for (uint64_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < columns; i++)
            weights[row * columns + i] *= scales[i];
}

void nb_fold_rows(float *weights, uint64_t first, uint32_t columns, const float *scales, const uint32_t *sources,
                  uint32_t n) {
    uint64_t next = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t source = sources ? sources[i] : i;
        if (source < next)
            continue; /* it was divided for an earlier column */
        next = source + 1;
        float *row = weights + (first + source) * columns;
        for (uint32_t k = 0; k < columns; k++)
            row[k] /= scales[i];
    }
}
