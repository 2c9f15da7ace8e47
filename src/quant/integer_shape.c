#include "integer_shape.h"

#include "../base/numbers.h"

#include <math.h>

static int32_t read_sizes(const nb_checkpoint *c, nb_integer_shape *shape, nb_error *err) {
    const nb_limits size = {1, 1 << 16}, count = {1, 1 << 10};
    double width = 0, layers = 0, inner = 0, context = 0, epsilon = 1e-5;
    NB_TRY(nb_checkpoint_read(c, "llama.embedding_length", size, &width, err));
    NB_TRY(nb_checkpoint_read(c, "llama.block_count", count, &layers, err));
    NB_TRY(nb_checkpoint_read(c, "llama.feed_forward_length", size, &inner, err));
    NB_TRY(nb_checkpoint_read(c, "llama.context_length", (nb_limits){1, 0x1p31}, &context, err));
    NB_TRY(nb_checkpoint_read(c, "llama.attention.layer_norm_rms_epsilon", (nb_limits){0, 2e-4}, &epsilon, err));
    if (!width || !layers || !inner || !context)
        return NB_FAIL(err, NB_ERR_FORMAT, "the file does not say how large the model is; it is damaged");
    const nb_tensor_info *embedding = nb_checkpoint_find_tensor(c, "token_embd.weight");
    if (!embedding || embedding->shape[1] > 1 << 24)
        return NB_FAIL(err, NB_ERR_FORMAT, "the file has no token embedding, or one of too many tokens; it is damaged");
    shape->width = (uint32_t)width;
    shape->layers = (uint32_t)layers;
    shape->feed_forward = (uint32_t)inner;
    shape->context = (uint32_t)NB_MIN(context, 1 << 20);
    shape->epsilon = (uint32_t)(epsilon * 4294967296.0 + 0.5);
    shape->vocabulary = (uint32_t)embedding->shape[1];
    return NB_OK;
}

static int32_t read_heads(const nb_checkpoint *c, nb_integer_shape *shape, nb_error *err) {
    const nb_limits count = {1, 1 << 10}, size = {2, 512};
    double heads = 0;
    NB_TRY(nb_checkpoint_read(c, "llama.attention.head_count", count, &heads, err));
    if (!heads)
        return NB_FAIL(err, NB_ERR_FORMAT, "the file does not say how many heads the model has; it is damaged");
    double kv_heads = heads, head = floor(shape->width / heads);
    NB_TRY(nb_checkpoint_read(c, "llama.attention.head_count_kv", count, &kv_heads, err));
    NB_TRY(nb_checkpoint_read(c, "llama.attention.key_length", size, &head, err));
    double value = head, rotated = head;
    NB_TRY(nb_checkpoint_read(c, "llama.attention.value_length", size, &value, err));
    NB_TRY(nb_checkpoint_read(c, "llama.rope.dimension_count", size, &rotated, err));
    if (head < 2 || head > 512 || (uint32_t)head % 2 || (uint32_t)heads % (uint32_t)kv_heads || value != head ||
        rotated != head || heads * head > 1 << 16)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers needs heads of an even size up to 512, all of which RoPE rotates, with "
                       "values of that size; this model has %g heads of %g, with values of %g, and rotates %g",
                       heads, head, value, rotated);
    shape->heads = (uint32_t)heads;
    shape->kv_heads = (uint32_t)kv_heads;
    shape->head_size = (uint32_t)head;
    return NB_OK;
}

/* Without a type the scaling is linear, as in llama.cpp (models/configure.c). */
static int32_t read_rope(const nb_checkpoint *c, nb_integer_shape *shape, nb_error *err) {
    const nb_limits factors = {0, 1e6};
    double base = 10000, scale = 1, magnitude = 1;
    nb_text type = nb_checkpoint_string(c, "llama.rope.scaling.type");
    NB_TRY(nb_checkpoint_read(c, "llama.rope.freq_base", (nb_limits){1, 1e12}, &base, err));
    NB_TRY(nb_checkpoint_read(c, "llama.rope.scale_linear", factors, &scale, err));
    NB_TRY(nb_checkpoint_read(c, "llama.rope.scaling.factor", factors, &scale, err));
    NB_TRY(nb_checkpoint_read(c, "llama.rope.scaling.attn_factor", factors, &magnitude, err));
    bool is_off = type.data && nb_text_is(type, "none");
    if (type.data && !nb_text_is(type, "linear") && !is_off)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers cannot have RoPE scaling of the type \"%t\", only \"none\", \"linear\" or "
                       "factors in a tensor rope_freqs",
                       type);
    if (magnitude != 1)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers cannot have llama.rope.scaling.attn_factor, which is %g", magnitude);
    if (nb_checkpoint_number(c, "llama.rope.interleaved", 1) != 1)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers cannot have RoPE over the halves of a head (llama.rope.interleaved)");
    if (scale == 0 || is_off) /* llama.cpp, too, reads 0 as absent */
        scale = 1;
    if (scale < 1e-6)
        return NB_FAIL(err, NB_ERR_FORMAT, "the scale of RoPE, %g, is too small; the file is damaged", scale);
    shape->rope_base = base;
    shape->rope_scale = scale;
    return NB_OK;
}

static int32_t refuse_attention(const nb_checkpoint *c, nb_error *err) {
    if (nb_checkpoint_number(c, "llama.attention.sliding_window", 0) > 0)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "a model of integers cannot have a sliding window");
    if (nb_checkpoint_number(c, "llama.attention.causal", 1) == 0)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "a model of integers is causal, and this one is not (llama.attention.causal)");
    return NB_OK;
}

int32_t nb_integer_shape_read(const nb_checkpoint *c, nb_integer_shape *shape, nb_error *err) {
    if (!nb_text_is(nb_checkpoint_string(c, "general.architecture"), "llama"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "only models of the architecture llama can become integers, and this one is \"%t\"",
                       nb_checkpoint_string(c, "general.architecture"));
    NB_TRY(read_sizes(c, shape, err));
    NB_TRY(read_heads(c, shape, err));
    NB_TRY(read_rope(c, shape, err));
    return refuse_attention(c, err);
}
