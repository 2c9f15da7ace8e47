/* Which of a plan's tensors are quantized, and to which types. First come the preset's types, then other choices for
 * single tensors, and at last a check of all (nb_plan_settle_types). */
#include "../base/numbers.h"
#include "../base/writer.h"
#include "../types/traits.h"
#include "plan.h"

enum { QUANTIZATION_VERSION = 2 /* ggml.h, GGML_QNT_VERSION */ };

/* The value that the GGUF will have: the plan's own, else the files'. *c: the checkpoint with its bytes. */
static const nb_value *find_value(const nb_plan *plan, const nb_checkpoint **c, const char *key) {
    *c = nb_checkpoint_find(&plan->out, key) ? &plan->out : &plan->in;
    return nb_checkpoint_find(*c, key);
}

/* A number under "<architecture>.<suffix>"; 0: there is none, or it is negative or too large. */
static uint32_t number_of(const nb_plan *plan, nb_text architecture, const char *suffix) {
    char key[128];
    nb_writer w = nb_writer_over(key, sizeof key);
    nb_write(&w, "%t.%s", architecture, suffix);
    const nb_checkpoint *c;
    find_value(plan, &c, key);
    double x = nb_checkpoint_number(c, key, 0);
    return x >= 0 && x < 1 << 24 ? (uint32_t)x : 0;
}

static nb_text name_of(const nb_plan *plan, uint64_t target) {
    return nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[target]);
}

static nb_preset_facts facts_of(const nb_plan *plan) {
    const nb_checkpoint *c;
    const char *key = "general.architecture";
    find_value(plan, &c, key);
    nb_preset_facts facts = {.architecture = nb_checkpoint_string(c, key), .has_importance = plan->recipe.imatrix};
    facts.layers = number_of(plan, facts.architecture, "block_count");
    facts.heads = number_of(plan, facts.architecture, "attention.head_count");
    facts.kv_heads = number_of(plan, facts.architecture, "attention.head_count_kv");
    facts.experts = number_of(plan, facts.architecture, "expert_count");
    facts.is_tied = !nb_checkpoint_find_tensor(&plan->out, "output.weight");
    for (uint64_t i = 0; i < plan->out.n_tensors; i++)
        facts.downs += nb_preset_is_down(name_of(plan, i));
    return facts;
}

static bool is_float(uint32_t type) {
    return type == NB_TYPE_F32 || type == NB_TYPE_F16 || type == NB_TYPE_BF16 || type == NB_TYPE_F8_E4M3 ||
           type == NB_TYPE_F8_E5M2;
}

/* Whether the target's weights are quantized in the files: codes, or blocks of a GGUF type. Codes of 8 bits count even
 * if they become F16 (arrangement.h). */
static bool is_quantized(const nb_target *t) {
    bool codes = t->arrangement != NB_AS_ROWS && !nb_is_reshaped(t);
    return codes || !is_float(t->source_type);
}

/* Whether the target has weights that a quantizer can read, and is no dense layer after pooling: those are small, and
 * keep their type. */
static bool has_weights(const nb_plan *plan, uint64_t target) {
    const nb_target *t = &plan->targets[target];
    const nb_text name = name_of(plan, target);
    nb_text rest = name;
    bool embeds = nb_text_take(&rest, "embedding.") || nb_text_take(&rest, "cls.");
    return !embeds && !nb_is_generated(t) && nb_traits_of(t->source_type)->dequantize;
}

static void set_type(nb_plan *plan, uint64_t target, uint32_t wanted) {
    nb_target *t = &plan->targets[target];
    nb_tensor_info *info = &plan->out.tensors[target];
    uint32_t type = nb_fitting_type(wanted, info->shape[0]);
    nb_quantize *quantize = type == t->source_type ? NULL : nb_preset_quantizer(plan->recipe.preset, type);
    t->wanted_type = wanted;
    t->quantize = quantize;
    info->type = quantize ? type : t->source_type;
}

void nb_plan_quantize(nb_plan *plan) {
    const nb_recipe *recipe = &plan->recipe;
    nb_preset_facts facts = facts_of(plan);
    const nb_checkpoint *c;
    /* a folder's norms and biases become F32, as in llama.cpp's files: they are few, and rounding them does harm */
    bool widens = recipe->for_file && find_value(plan, &c, "nibble.converted");
    for (uint64_t i = 0; i < plan->out.n_tensors; i++) {
        nb_tensor_info *info = &plan->out.tensors[i];
        nb_target *t = &plan->targets[i];
        t->wanted_type = NB_TYPE_LIMIT;
        uint32_t to = nb_preset_type(recipe->preset, name_of(plan, i), info->n_dimensions, info->shape[0], &facts);
        if (to != NB_TYPE_LIMIT && has_weights(plan, i) && (!is_quantized(t) || recipe->for_file))
            set_type(plan, i, to);
        if (to == NB_TYPE_LIMIT && widens && has_weights(plan, i) && !is_quantized(t)) {
            set_type(plan, i, NB_TYPE_F32);
            t->wanted_type = NB_TYPE_LIMIT;
        }
    }
}

int32_t nb_plan_choose(nb_plan *plan, uint32_t target, uint32_t type, nb_error *err) {
    bool known = type < NB_TYPE_LIMIT && nb_preset_quantizer(plan->recipe.preset, type);
    if (!known)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "nibble writes no tensors of type %u", type);
    if (plan->targets[target].wanted_type == NB_TYPE_LIMIT)
        return 0;
    set_type(plan, target, type);
    return 1;
}

/* Old files have each expert as a tensor, "blk.0.ffn_gate.3.weight". Importance is collected for all experts together,
 * as "blk.0.ffn_gate_exps.weight": this name is written to stacked. Returns the expert, or -1. */
static int32_t expert_of(nb_text name, char *stacked, size_t capacity) {
    nb_text rest = name;
    uint32_t layer, expert;
    if (!nb_text_take(&rest, "blk.") || !nb_text_take_number(&rest, &layer) || !nb_text_take(&rest, "."))
        return -1;
    size_t n = (size_t)(rest.data - name.data);
    while (n < name.size && name.data[n] != '.')
        n++;
    rest = (nb_text){name.data + n, name.size - n};
    if (!nb_text_take(&rest, ".") || !nb_text_take_number(&rest, &expert) || !nb_text_is(rest, ".weight"))
        return -1;
    nb_writer w = nb_writer_over(stacked, capacity);
    nb_write(&w, "%t_exps.weight", (nb_text){name.data, n});
    return w.length < capacity ? (int32_t)expert : -1;
}

static int32_t find_importance(nb_plan *plan, uint64_t target, nb_error *err) {
    nb_target *t = &plan->targets[target];
    const nb_tensor_info *info = &plan->out.tensors[target];
    char stacked[96];
    int32_t expert = expert_of(name_of(plan, target), stacked, sizeof stacked);
    uint64_t matrices = expert < 0 ? info->shape[2] * info->shape[3] : facts_of(plan).experts;
    int32_t found = nb_imatrix_find(plan->recipe.imatrix, expert < 0 ? name_of(plan, target) : nb_text_of(stacked),
                                    info->shape[0], matrices, &t->importance, err);
    NB_TRY(found);
    if (found && expert >= 0)
        t->importance = (uint64_t)expert < matrices ? t->importance + (uint64_t)expert * info->shape[0] : NULL;
    return NB_OK;
}

/* Finds the importance of the target's columns, and refuses what is not allowed. */
static int32_t settle_target(nb_plan *plan, uint64_t target, nb_error *err) {
    const nb_recipe *recipe = &plan->recipe;
    nb_target *t = &plan->targets[target];
    const nb_tensor_info *info = &plan->out.tensors[target];
    if (t->quantize && is_quantized(t) && !recipe->again)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "tensor %t is of type %s, quantized already: quantizing it again loses more than quantizing the "
                       "original weights would; take those, keep it as it is by asking for the type that it has, or "
                       "pass requantize (--requantize)",
                       name_of(plan, target), nb_traits_of(t->source_type)->name);
    if (t->quantize && recipe->imatrix)
        NB_TRY(find_importance(plan, target, err));
    /* a blank tensor is filled by the caller, who may have its importance */
    if (t->quantize && t->how == NB_TENSOR_MADE && !t->importance &&
        nb_preset_needs_importance(recipe->preset, name_of(plan, target), info->type))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "tensor %t would become %s, which is of little use without an importance matrix, and %s; give "
                       "one (--imatrix; nibble imatrix makes it from a text), or take a type of more bits, such as "
                       "q2_k or iq3_s",
                       name_of(plan, target), nb_traits_of(info->type)->name,
                       recipe->imatrix ? "the one that is given has nothing for it" : "none is given");
    return NB_OK;
}

int32_t nb_plan_settle_types(nb_plan *plan, nb_error *err) {
    const nb_recipe *recipe = &plan->recipe;
    plan->composer.err = err; /* the error of the call that made the plan may be gone */
    bool own = !recipe->for_file;
    for (uint64_t i = 0; i < plan->out.n_tensors; i++) {
        NB_TRY(settle_target(plan, i, err));
        own |= plan->out.tensors[i].type >= NB_TYPE_F8_E4M3;
    }
    const nb_checkpoint *c;
    if (own && !find_value(plan, &c, "nibble.source")) /* so that the reader accepts types that only nibble has */
        nb_compose_string(&plan->composer, "nibble.source", nb_text_of("GGUF"));
    if (recipe->for_file) {
        int32_t file_type = nb_preset_file_type(recipe->preset);
        nb_compose_whole(&plan->composer, "general.quantization_version", QUANTIZATION_VERSION);
        if (file_type != NB_NO_FILE_TYPE)
            nb_compose_whole(&plan->composer, "general.file_type", (uint32_t)file_type);
    }
    if (recipe->for_file && recipe->imatrix) { /* the keys of llama-quantize */
        nb_compose_string(&plan->composer, "quantize.imatrix.dataset", recipe->imatrix->data_set);
        nb_compose_whole(&plan->composer, "quantize.imatrix.entries_count", recipe->imatrix->n_entries);
        nb_compose_whole(&plan->composer, "quantize.imatrix.chunks_count", recipe->imatrix->chunks);
    }
    return plan->composer.code;
}
