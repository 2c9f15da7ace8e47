/* Gemma 1, 2 and 3, text (Gemma Team 2024, 2024, 2025): scaled embeddings and GELU gates; from version 2 on windows,
 * and norms also of the blocks' outputs; version 2 has soft-capping, version 3 norms of heads and two RoPEs. */
#include "../../kernels/ops.h"
#include "../blocks.h"
#include "families.h"
#include "../keys.h"
#include "slots.h"

#include <math.h>

#define POST_NORMS                                                                               \
    NB_LAYER_VECTOR("post_attention_norm.weight", attention_post_norm.weight, WIDTH, NB_ALWAYS), \
        NB_LAYER_VECTOR("post_ffw_norm.weight", feed_forward_post_norm.weight, WIDTH, NB_ALWAYS)

static const nb_slot GEMMA[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    NB_SLOTS_GATED(NB_ALWAYS),
    {0},
};

static const nb_slot GEMMA2[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    NB_SLOTS_GATED(NB_ALWAYS),
    POST_NORMS,
    {0},
};

static const nb_slot GEMMA3[] = {
    NB_SLOTS_ENDS,
    NB_SLOTS_NORMS,
    NB_SLOTS_ATTENTION,
    NB_SLOTS_ATTENTION_BIASES(NB_GGUF_MAY),
    NB_SLOTS_GATED(NB_ALWAYS),
    POST_NORMS,
    NB_LAYER_VECTOR("attn_q_norm.weight", q_norm, HEAD, NB_ALWAYS),
    NB_LAYER_VECTOR("attn_k_norm.weight", k_norm, HEAD, NB_ALWAYS),
    {0},
};

/* Layers with a window have a RoPE of their own, ropes[1]: in version 3 it has a smaller base, and is never scaled. */
enum { GLOBAL = 0, LOCAL = 1 };

/* The largest model of versions 2 and 3 scales its queries differently. GGUF has no key for it: its number of layers
 * shows it. */
static int32_t configure_scale(nb_model *model, uint32_t layers_27b, nb_error *err) {
    nb_shape *s = &model->shape;
    uint32_t head = s->width / s->heads;
    float own; /* in files that nibble converts from folders */
    NB_TRY(nb_model_float(model, "attention.scale", 0, 0, 1e6, &own, err));
    if (s->layers == layers_27b && own == 0)
        s->attention_scale = 1 / sqrtf((float)head);
    return NB_OK;
}

static int32_t configure_gemma2(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    nb_shape *s = &model->shape;
    if (!nb_model_value(model, "attention.sliding_window"))
        s->window = 4096;
    NB_TRY(nb_model_configure_pattern(model, 2, err));
    NB_TRY(nb_model_float(model, "attn_logit_softcapping", 50, 0, 1e6, &s->attention_cap, err));
    NB_TRY(nb_model_float(model, "final_logit_softcapping", 30, 0, 1e6, &s->logit_cap, err));
    s->window_has_rope = true;
    s->ropes[LOCAL] = s->ropes[GLOBAL];
    NB_TRY(nb_model_base(model, "rope.freq_base_swa", s->ropes[GLOBAL].base, &s->ropes[LOCAL].base, err));
    return configure_scale(model, 46, err);
}

/* Ollama's files, recognized by their keys for RoPE's bases, lack values that Ollama's loader adds (handle_gemma3 in
 * ollama/ollama, llama/compat/llama-ollama-compat.cpp). */
static void add_ollamas_defaults(nb_model *model) {
    nb_rope *r = &model->shape.ropes[GLOBAL];
    bool global = nb_model_value(model, "rope.global.freq_base");
    if (!global && !nb_model_value(model, "rope.local.freq_base"))
        return;
    if (!global && !nb_model_value(model, "rope.freq_base"))
        r->base = 1e6f;
    if (model->shape.context >= 131072 && !nb_model_value(model, "rope.scaling.type") &&
        !nb_model_value(model, "rope.scaling.factor")) {
        r->scaling = NB_ROPE_LINEAR;
        r->factor = 8;
    }
}

static int32_t configure_gemma3(nb_model *model, nb_error *err) {
    NB_TRY(nb_model_configure(model, err));
    nb_shape *s = &model->shape;
    add_ollamas_defaults(model);
    NB_TRY(nb_model_configure_pattern(model, 6, err));
    NB_TRY(nb_model_float(model, "final_logit_softcapping", 0, 0, 1e6, &s->logit_cap, err));
    float base;
    NB_TRY(nb_model_base(model, "rope.local.freq_base", 10000, &base, err));
    NB_TRY(nb_model_configure_window_rope(model, base, err));
    if (!nb_model_is_converted(model)) /* llama.cpp's factor is for all layers, transformers' only for scaled RoPE */
        s->ropes[LOCAL].attention_factor = s->ropes[GLOBAL].attention_factor;
    return configure_scale(model, 62, err);
}

/* EmbeddingGemma (Vera et al. 2025): version 3 as a bidirectional model. Half of the window that the key says lies on
 * either side of a token. */
static int32_t configure_embedding(nb_model *model, nb_error *err) {
    NB_TRY(configure_gemma3(model, err));
    nb_shape *s = &model->shape;
    if (s->window < 2)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "gemma-embedding.attention.sliding_window is %u, which is no window; the file is broken",
                       s->window);
    s->window /= 2;
    s->encoder = s->bidirectional = true;
    return NB_OK;
}

static void begin(nb_session *s, uint32_t n) {
    nb_scale_embeddings(s, n, sqrtf((float)s->model->shape.width));
}

static void attention(nb_step *p) {
    nb_norm_block(p, &p->layer->attention_norm);
    nb_attention_block(p);
    nb_add_block(p, NULL, &p->layer->attention_post_norm);
}

static void feed_forward(nb_step *p) {
    nb_norm_block(p, &p->layer->feed_forward_norm);
    nb_feed_forward_block(p, nb_gelu_multiply);
    nb_add_block(p, NULL, &p->layer->feed_forward_post_norm);
}

const nb_family nb_family_gemma = {"gemma", GEMMA, nb_model_configure, begin, {attention, feed_forward}};
const nb_family nb_family_gemma2 = {"gemma2", GEMMA2, configure_gemma2, begin, {attention, feed_forward}};
const nb_family nb_family_gemma3 = {"gemma3", GEMMA3, configure_gemma3, begin, {attention, feed_forward}};
const nb_family nb_family_gemma_embedding = {"gemma-embedding",
                                             GEMMA3,
                                             configure_embedding,
                                             begin,
                                             {attention, feed_forward}};
