/* Macros for a family's table of tensors: one for each kind of nb_slot, and some for the slots that many families
 * have. */
#ifndef NB_SLOTS_H
#define NB_SLOTS_H

#include "../configure.h"

#define NB_SLOT(owner, of, member, needed, ...) {.name = of, .at = offsetof(owner, member), .need = needed, __VA_ARGS__}
#define NB_SIDES(of_rows, of_columns) .rows = NB_EXTENT_##of_rows, .columns = NB_EXTENT_##of_columns
#define NB_MODEL_MATRIX(name, member, rows, columns, need) \
    NB_SLOT(nb_model, name, member, need, .is_matrix = true, NB_SIDES(rows, columns))
#define NB_MODEL_VECTOR(name, member, columns, need) NB_SLOT(nb_model, name, member, need, NB_SIDES(1, columns))
#define NB_LAYER_MATRIX(name, member, rows, columns, need) \
    NB_SLOT(nb_layer, name, member, need, .in_layer = true, .is_matrix = true, NB_SIDES(rows, columns))
#define NB_LAYER_EXPERTS(name, member, rows, columns)                                                   \
    NB_SLOT(nb_layer, name, member, NB_MIXTURE, .in_layer = true, .is_matrix = true, .by_expert = true, \
            NB_SIDES(rows, columns))
#define NB_LAYER_VECTOR(name, member, columns, need) \
    NB_SLOT(nb_layer, name, member, need, .in_layer = true, NB_SIDES(1, columns))
#define NB_LAYER_NORMS(name, member, heads) /* one for each head */ \
    NB_SLOT(nb_layer, name, member, NB_OPTIONAL, .in_layer = true, NB_SIDES(heads, HEAD))

/* The ends: embedding, last norm, output. */
#define NB_SLOTS_ENDS                                                              \
    NB_MODEL_MATRIX("token_embd.weight", embedding, VOCABULARY, WIDTH, NB_ALWAYS), \
        NB_MODEL_MATRIX("output.weight", output, VOCABULARY, WIDTH, NB_OPTIONAL),  \
        NB_MODEL_VECTOR("output_norm.weight", output_norm.weight, WIDTH, NB_ALWAYS)

/* Norms before the blocks. */
#define NB_SLOTS_NORMS                                                            \
    NB_LAYER_VECTOR("attn_norm.weight", attention_norm.weight, WIDTH, NB_ALWAYS), \
        NB_LAYER_VECTOR("ffn_norm.weight", feed_forward_norm.weight, WIDTH, NB_ALWAYS)

/* Biases of layer norms: the last one, and the one before attention. */
#define NB_SLOTS_NORM_BIASES                                                 \
    NB_MODEL_VECTOR("output_norm.bias", output_norm.bias, WIDTH, NB_ALWAYS), \
        NB_LAYER_VECTOR("attn_norm.bias", attention_norm.bias, WIDTH, NB_ALWAYS)

/* Projections of attention. Files may have q, k and v merged, which then fills the slots of all three. */
#define NB_SLOTS_ATTENTION                                              \
    NB_LAYER_MATRIX("attn_qkv.weight", qkv, QKV, WIDTH, NB_OPTIONAL),   \
        NB_LAYER_MATRIX("attn_q.weight", q, QUERIES, WIDTH, NB_ALWAYS), \
        NB_LAYER_MATRIX("attn_k.weight", k, KEYS, WIDTH, NB_ALWAYS),    \
        NB_LAYER_MATRIX("attn_v.weight", v, VALUES, WIDTH, NB_ALWAYS),  \
        NB_LAYER_MATRIX("attn_output.weight", o, WIDTH, ATTENDED, NB_ALWAYS)

#define NB_SLOTS_ATTENTION_BIASES(need)                                                                            \
    NB_LAYER_VECTOR("attn_qkv.bias", qkv_bias, QKV, (need) == NB_GGUF_MAY ? NB_GGUF_MAY : NB_OPTIONAL),            \
        NB_LAYER_VECTOR("attn_q.bias", q_bias, QUERIES, need), NB_LAYER_VECTOR("attn_k.bias", k_bias, KEYS, need), \
        NB_LAYER_VECTOR("attn_v.bias", v_bias, VALUES, need)

/* The feed-forward network, with or without a gate. */
#define NB_SLOTS_PLAIN(need)                                         \
    NB_LAYER_MATRIX("ffn_up.weight", up, FEED_FORWARD, WIDTH, need), \
        NB_LAYER_MATRIX("ffn_down.weight", down, WIDTH, FEED_FORWARD, need)
/* The biases of what follows attention. */
#define NB_SLOTS_OUTPUT_BIASES(need)                                 \
    NB_LAYER_VECTOR("attn_output.bias", o_bias, WIDTH, need),        \
        NB_LAYER_VECTOR("ffn_up.bias", up_bias, FEED_FORWARD, need), \
        NB_LAYER_VECTOR("ffn_down.bias", down_bias, WIDTH, need)
/* A network without a gate, and the biases of all matrices. */
#define NB_SLOTS_BIASES_AND_PLAIN(need_of_qkv, need) \
    NB_SLOTS_PLAIN(NB_ALWAYS), NB_SLOTS_ATTENTION_BIASES(need_of_qkv), NB_SLOTS_OUTPUT_BIASES(need)
#define NB_SLOTS_GATED(need) NB_LAYER_MATRIX("ffn_gate.weight", gate, FEED_FORWARD, WIDTH, need), NB_SLOTS_PLAIN(need)

/* A mixture of experts instead of it. */
#define NB_SLOTS_EXPERTS                                                         \
    NB_LAYER_MATRIX("ffn_gate_inp.weight", router, EXPERTS, WIDTH, NB_OPTIONAL), \
        NB_LAYER_EXPERTS("ffn_gate_exps.weight", expert_gate, EXPERT, WIDTH),    \
        NB_LAYER_EXPERTS("ffn_up_exps.weight", expert_up, EXPERT, WIDTH),        \
        NB_LAYER_EXPERTS("ffn_down_exps.weight", expert_down, WIDTH, EXPERT)
#define NB_SLOTS_SHARED_EXPERTS                                                       \
    NB_LAYER_MATRIX("ffn_gate_shexp.weight", shared_gate, SHARED, WIDTH, NB_MIXTURE), \
        NB_LAYER_MATRIX("ffn_up_shexp.weight", shared_up, SHARED, WIDTH, NB_MIXTURE), \
        NB_LAYER_MATRIX("ffn_down_shexp.weight", shared_down, WIDTH, SHARED, NB_MIXTURE)

#endif
