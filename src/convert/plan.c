#include "plan.h"

#include "../base/hash.h"
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/sort.h"
#include "../formats/gguf.h"
#include "../formats/gguf_writer.h"
#include "../types/traits.h"

static bool starts(nb_text text, const char *with) {
    size_t n = nb_length(with);
    return text.size >= n && nb_compare(text.data, with, n) == 0;
}

void nb_plan_free(nb_plan *plan) {
    for (uint64_t i = 0; plan->sources && i < plan->in.n_tensors; i++)
        nb_free(plan->sources[i].bytes);
    for (uint64_t i = 0; plan->targets && i < plan->out.n_tensors; i++) {
        nb_free(plan->targets[i].order);
        nb_free(plan->targets[i].numbers);
        nb_free(plan->targets[i].rows);
    }
    nb_free(plan->sources);
    nb_free(plan->targets);
    nb_free(plan->index);
    nb_imatrix_free(plan->recipe.imatrix);
    nb_checkpoint_free(&plan->in);
    nb_checkpoint_free(&plan->out);
}

int32_t nb_plan_begin(nb_plan *plan, nb_error *err) {
    NB_TRY(nb_checkpoint_sort(&plan->in, err));
    plan->composer = (nb_composer){.c = &plan->out, .err = err};
    uint64_t n = plan->in.n_tensors;
    plan->sources = nb_alloc_items(NB_MAX(n, 1), sizeof *plan->sources);
    if (!plan->sources)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l tensors", n);
    for (uint64_t i = 0; i < n; i++)
        plan->sources[i] = (nb_source){.target = NB_NONE, .next = NB_NONE};
    return NB_OK;
}

/* The index is at least half free, so a name usually takes about two probes. In a malicious file all names have one
 * hash, and each would be compared with all others. So the number of probes is limited. */
enum { MOST_STEPS = 64, STEPS_AT_LEAST = 4096 };

/* The slot of the target with this name in the index, or the free slot where it would be. */
static uint32_t *place_of(nb_plan *plan, nb_text name) {
    uint64_t at = nb_hash(2166136261u, name.data, name.size) & (plan->index_size - 1); /* FNV's offset basis */
    const nb_checkpoint *c = &plan->out;
    while (plan->index[at] != NB_NONE &&
           !nb_text_equal(nb_checkpoint_tensor_name(c, &c->tensors[plan->index[at]]), name)) {
        at = (at + 1) & (plan->index_size - 1);
        plan->steps++;
    }
    plan->looked_up++;
    return &plan->index[at];
}

static int32_t grow_index(nb_plan *plan) {
    uint64_t size = NB_MAX(4 * plan->out.n_tensors, 256), power = 1;
    while (power < size)
        power *= 2;
    nb_free(plan->index);
    plan->index = nb_alloc_items(power, sizeof *plan->index);
    plan->index_size = plan->index ? power : 0;
    if (!plan->index)
        return NB_FAIL(plan->composer.err, NB_ERR_MEMORY, "no memory for %l tensors", plan->out.n_tensors);
    memset(plan->index, 0xff, (size_t)power * sizeof *plan->index);
    for (uint32_t i = 0; i < plan->out.n_tensors; i++)
        *place_of(plan, nb_checkpoint_tensor_name(&plan->out, &plan->out.tensors[i])) = i;
    return NB_OK;
}

uint32_t nb_plan_target(nb_plan *plan, nb_text name) {
    nb_checkpoint *c = &plan->out;
    if (2 * c->n_tensors >= plan->index_size && plan->composer.code == NB_OK)
        plan->composer.code = grow_index(plan);
    if (plan->composer.code < 0)
        return NB_NONE;
    uint32_t *place = place_of(plan, name);
    if (*place != NB_NONE)
        return *place;
    if (plan->steps > MOST_STEPS * plan->looked_up + STEPS_AT_LEAST) {
        plan->composer.code = NB_FAIL(plan->composer.err, NB_ERR_FORMAT,
                                      "too many of %l tensors' names have equal hashes, so that converting would take "
                                      "very long; the files are broken",
                                      c->n_tensors);
        return NB_NONE;
    }
    void *targets = plan->targets; /* grown before the tensors: nb_plan_free frees as many targets as tensors */
    plan->composer.code =
        nb_grow(&targets, &plan->targets_capacity, c->n_tensors, sizeof *plan->targets, "tensors", plan->composer.err);
    plan->targets = targets;
    nb_compose_named_tensor(&plan->composer, name, (nb_tensor_info){.shape = {1, 1, 1, 1}});
    if (plan->composer.code < 0)
        return NB_NONE;
    plan->targets[c->n_tensors - 1] = (nb_target){.first = NB_NONE, .after = NB_NONE};
    *place = (uint32_t)c->n_tensors - 1;
    return (uint32_t)c->n_tensors - 1;
}

static int32_t refuse_generated(const nb_plan *plan, nb_text name) {
    return NB_FAIL(plan->composer.err, NB_ERR_FORMAT,
                   "the files hold a tensor %t, which nibble makes itself; the files are damaged", name);
}

uint32_t nb_plan_generate(nb_plan *plan, nb_text name, nb_arrangement arrangement) {
    uint64_t before = plan->out.n_tensors;
    uint32_t target = nb_plan_target(plan, name);
    if (target == NB_NONE)
        return NB_NONE;
    if (target < before) {
        plan->composer.code = refuse_generated(plan, name);
        return NB_NONE;
    }
    plan->targets[target].arrangement = arrangement;
    return target;
}

int32_t nb_plan_numbers(nb_plan *plan, nb_text name, float *numbers, uint32_t n) {
    uint32_t target = nb_plan_generate(plan, name, NB_AS_NUMBERS);
    if (target == NB_NONE) {
        nb_free(numbers);
        return plan->composer.code;
    }
    plan->targets[target].numbers = numbers;
    nb_tensor_info *info = &plan->out.tensors[target];
    info->type = NB_TYPE_F32;
    info->n_dimensions = 1;
    info->shape[0] = n;
    return NB_OK;
}

void nb_plan_copy_shape(nb_plan *plan, uint32_t source, uint32_t target) {
    const nb_tensor_info *t = &plan->in.tensors[source];
    nb_tensor_info *info = &plan->out.tensors[target];
    plan->targets[target].source_type = info->type = t->type;
    info->n_dimensions = t->n_dimensions;
    info->bytes = t->bytes;
    memcpy(info->shape, t->shape, sizeof info->shape);
}

uint32_t nb_plan_source(const nb_plan *plan, uint32_t target, nb_role role) {
    uint32_t i = plan->targets[target].first;
    while (i != NB_NONE && plan->sources[i].role != role)
        i = plan->sources[i].next;
    return i;
}

int32_t nb_plan_assign(nb_plan *plan, uint32_t source, uint32_t target, nb_role role, uint32_t row) {
    nb_target *t = &plan->targets[target];
    nb_text name = nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[source]);
    uint32_t other = nb_plan_source(plan, target, role);
    if (nb_is_generated(t))
        return refuse_generated(plan, name);
    if (other != NB_NONE && (row == NB_NONE || plan->sources[other].row == NB_NONE))
        return NB_FAIL(plan->composer.err, NB_ERR_FORMAT,
                       "tensors %t and %t are the same part of the model; the files do not belong together", name,
                       nb_checkpoint_tensor_name(&plan->in, &plan->in.tensors[other]));
    plan->sources[source] = (nb_source){.target = target, .role = role, .next = t->first, .row = row};
    t->first = source;
    t->missing++;
    return NB_OK;
}

int32_t nb_plan_gguf(nb_plan *plan) {
    NB_TRY(nb_checkpoint_refuse_companion(&plan->in, plan->composer.err));
    for (uint32_t i = 0; i < plan->in.n_tensors; i++) {
        const nb_tensor_info *t = &plan->in.tensors[i];
        uint32_t target = nb_plan_target(plan, nb_checkpoint_tensor_name(&plan->in, t));
        if (target == NB_NONE)
            return plan->composer.code;
        nb_plan_copy_shape(plan, i, target);
        NB_TRY(nb_plan_assign(plan, i, target, NB_ROLE_CODES, NB_NONE));
    }
    return NB_OK;
}

/* ---- the order ------------------------------------------------------------------------------------------------- */

/* A target is written when the last of its sources has arrived. */
static uint32_t last_source(const nb_plan *plan, const nb_target *t) {
    uint32_t last = 0;
    for (uint32_t i = t->first; i != NB_NONE; i = plan->sources[i].next)
        last = NB_MAX(last, i);
    return last;
}

static int compare_targets(const void *table, uint32_t a, uint32_t b) {
    const nb_plan *plan = table;
    const nb_target *x = &plan->targets[a], *y = &plan->targets[b];
    uint32_t of_x = last_source(plan, x->after == NB_NONE ? x : &plan->targets[x->after]);
    uint32_t of_y = last_source(plan, y->after == NB_NONE ? y : &plan->targets[y->after]);
    if (of_x != of_y)
        return of_x < of_y ? -1 : 1;
    return (x->after != NB_NONE) - (y->after != NB_NONE);
}

int32_t nb_plan_order(nb_plan *plan, nb_error *err) {
    nb_checkpoint *c = &plan->out;
    uint32_t n = (uint32_t)c->n_tensors;
    uint64_t room = c->n_tensors + 1;
    uint32_t *order = nb_alloc_items(room, sizeof *order), *place = nb_alloc_items(room, sizeof *place);
    nb_tensor_info *tensors = nb_alloc_items(room, sizeof *tensors);
    nb_target *targets = nb_alloc_items(room, sizeof *targets);
    bool enough = order && place && tensors && targets;
    if (enough) {
        nb_sort(order, n, compare_targets, plan);
        for (uint32_t i = 0; i < n; i++)
            place[order[i]] = i;
        for (uint32_t i = 0; i < n; i++) {
            tensors[i] = c->tensors[order[i]];
            targets[i] = plan->targets[order[i]];
            if (targets[i].after != NB_NONE)
                targets[i].after = place[targets[i].after];
        }
        for (uint64_t i = 0; i < plan->in.n_tensors; i++)
            if (plan->sources[i].target != NB_NONE)
                plan->sources[i].target = place[plan->sources[i].target];
        nb_free(c->tensors);
        nb_free(plan->targets);
        nb_free(plan->index); /* it holds the old places */
        plan->index = NULL;
        plan->index_size = 0;
        c->tensors = tensors;
        plan->targets = targets;
        c->tensors_capacity = plan->targets_capacity = n + 1;
    } else {
        nb_free(tensors);
        nb_free(targets);
    }
    nb_free(order);
    nb_free(place);
    return enough ? NB_OK : NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u tensors", n);
}

int32_t nb_plan_place(nb_plan *plan, nb_error *err) {
    uint64_t at = 0;
    plan->is_partial = false;
    for (uint64_t i = 0; i < plan->out.n_tensors; i++) {
        nb_tensor_info *t = &plan->out.tensors[i];
        const nb_target *target = &plan->targets[i];
        const nb_traits *traits = nb_traits_of(t->type);
        t->bytes = t->shape[0] * t->shape[1] * t->shape[2] * t->shape[3] / traits->block_weights * traits->block_bytes;
        t->at = at;
        plan->is_partial |= target->how != NB_TENSOR_MADE;
        if (target->how != NB_TENSOR_ABSENT)
            at = NB_ROUND_UP(at + t->bytes, NB_GGUF_ALIGNMENT);
        if (target->after != NB_NONE && target->how != plan->targets[target->after].how)
            return NB_FAIL(err, NB_ERR_ARGUMENT,
                           "tensor %t must be included in the same way as the matrix that it belongs to",
                           nb_checkpoint_tensor_name(&plan->out, t));
    }
    return NB_OK;
}

/* ---- the header ------------------------------------------------------------------------------------------------ */

static bool is_of_file_type(nb_text key) {
    return nb_text_is(key, "general.file_type") || nb_text_is(key, "general.quantization_version") ||
           starts(key, "quantize.imatrix.");
}

/* Whether a value of the source is no longer true, or `out` has the key, too: no key may be there twice. */
static bool is_over(const nb_plan *plan, nb_text key) {
    if (starts(key, "split.") || nb_text_is(key, "general.alignment"))
        return true;
    bool is_quantized = plan->recipe.preset; /* for a file, `out` says the file type */
    if (is_quantized && (nb_text_is(key, "nibble.simulated") || (plan->recipe.for_file && is_of_file_type(key))))
        return true;
    const nb_checkpoint *out = &plan->out;
    for (uint64_t i = 0; i < out->n_values; i++)
        if (nb_text_equal(nb_checkpoint_key(out, &out->values[i]), key))
            return true;
    return false;
}

/* Writes the values of the source that stay, or those of `out`. Returns how many. */
static uint64_t put_values(nb_gguf_writer *w, const nb_plan *plan, bool is_source) {
    const nb_checkpoint *c = is_source ? &plan->in : &plan->out;
    uint64_t n = 0;
    for (uint64_t i = 0; i < c->n_values; i++) {
        const nb_value *v = &c->values[i];
        if (is_source && is_over(plan, nb_checkpoint_key(c, v)))
            continue;
        nb_gguf_put_value(w, c, v);
        n++;
    }
    return n;
}

static void put_header(nb_gguf_writer *w, const nb_plan *plan) {
    const nb_checkpoint *c = &plan->out;
    nb_gguf_writer counting = {0};
    uint64_t n_tensors = 0;
    for (uint64_t i = 0; i < c->n_tensors; i++)
        n_tensors += plan->targets[i].how != NB_TENSOR_ABSENT;
    nb_gguf_put_start(w, n_tensors, put_values(&counting, plan, true) + put_values(&counting, plan, false));
    put_values(w, plan, true);
    put_values(w, plan, false);
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_tensor_info *t = &c->tensors[i];
        if (plan->targets[i].how != NB_TENSOR_ABSENT)
            nb_gguf_put_tensor(w, nb_checkpoint_tensor_name(c, t), t->type, t->n_dimensions, t->shape, t->at);
    }
    if (n_tensors)
        nb_gguf_put_padding(w);
}

int32_t nb_plan_header(const nb_plan *plan, uint8_t **bytes, size_t *size, nb_error *err) {
    nb_gguf_writer w = {0};
    put_header(&w, plan); /* only counts */
    w = (nb_gguf_writer){.out = nb_alloc(w.size), .capacity = w.size};
    if (!w.out)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the file's header (%z bytes)", w.capacity);
    put_header(&w, plan);
    *bytes = w.out;
    *size = w.size;
    return NB_OK;
}
