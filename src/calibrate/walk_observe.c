/* A walk's observations of the inputs x of a layer's matrices. Matrices with the same inputs form a group. For each
 * group: the sum of x x^T, which is the Hessian of GPTQ (Frantar et al. 2023) and others, mean |x| and max |x|. */
#include "walk.h"

#include "../base/numbers.h"
#include "../base/writer.h"
#include "../kernels/gram.h"
#include "../kernels/ops.h"
#include "../types/finite.h"

/* ---- groups ------------------------------------------------------------------------------------------------------ */

/* The slot of the matrix w, or of the matrix that w is a part of. */
static const nb_slot *slot_of(const nb_walk *walk, const nb_matrix *w) {
    const nb_model *m = walk->model;
    nb_text name = nb_checkpoint_tensor_name(&m->checkpoint, &m->checkpoint.tensors[w->tensor]);
    for (const nb_slot *s = m->family->slots; s->name; s++) {
        if (!s->in_layer || !s->is_matrix)
            continue;
        const uint8_t *layer = (const uint8_t *)&m->layers[walk->layer];
        const nb_matrix *whole = (const nb_matrix *)(const void *)(layer + s->at);
        if (whole->rows && whole->tensor == w->tensor && (s->by_expert || nb_text_ends(name, s->name)))
            return s;
    }
    __builtin_trap(); /* all matrices of a layer have slots */
}

static nb_group *find_group(nb_walk *walk, uint32_t tensor) {
    nb_group *g = walk->groups;
    while (g < walk->groups + walk->n_groups && g->tensor != tensor)
        g++;
    return g;
}

static bool has_slot(const nb_group *g, const nb_slot *slot) {
    for (uint32_t i = 0; i < g->n; i++)
        if (g->slots[i] == slot)
            return true;
    return false;
}

/* An observer that notes which matrices share inputs. It returns false, as it needs no products. */
static bool note_group(void *context, const nb_matmul_job *jobs, uint32_t n_jobs, const float *x, uint32_t n) {
    (void)x;
    (void)n;
    nb_walk *walk = context;
    nb_group *g = find_group(walk, jobs[0].w->tensor);
    if (g < walk->groups + walk->n_groups || walk->n_groups == NB_MOST_GROUPS)
        return false; /* the same group for another expert */
    bool by_expert = slot_of(walk, jobs[0].w)->by_expert;
    *g = (nb_group){
        .tensor = jobs[0].w->tensor,
        .part = walk->part,
        .columns = jobs[0].w->columns,
        .experts = by_expert ? walk->model->shape.experts : 1,
    };
    for (uint32_t i = 0; i < n_jobs; i++) {
        const nb_slot *slot = slot_of(walk, jobs[i].w);
        if (!has_slot(g, slot)) /* else it is another part of the same tensor */
            g->slots[g->n++] = slot;
    }
    walk->n_groups++;
    return false;
}

void nb_walk_find_groups(nb_walk *walk) {
    nb_session *s = walk->session;
    s->observer = (nb_observer){.see = note_group, .context = walk};
    nb_session_place(s, walk->tokens, 0, 1);
    for (walk->part = 0; walk->part < NB_LAYER_PARTS; walk->part++)
        nb_session_parts(s, walk->layer, walk->part, walk->part + 1, NULL); /* of zeros: only calls matter */
    walk->part = 0;
}

size_t nb_walk_matrix(const nb_walk *walk, uint32_t group, uint32_t i, uint32_t sides[4], char *name, size_t capacity) {
    if (!walk->session || group >= walk->n_groups || i >= walk->groups[group].n)
        return 0;
    const nb_group *g = &walk->groups[group];
    const uint8_t *layer = (const uint8_t *)&walk->model->layers[walk->layer];
    sides[0] = g->columns;
    sides[1] = ((const nb_matrix *)(const void *)(layer + g->slots[i]->at))->rows / g->experts;
    sides[2] = g->experts;
    sides[3] = walk->is_parallel ? 0 : g->part;
    nb_writer w = nb_writer_over(name, capacity);
    nb_write(&w, "blk.%u.%s", walk->layer, g->slots[i]->name);
    return w.length;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

void nb_walk_forget(nb_walk *walk) {
    nb_arena_free(&walk->arena);
    for (uint32_t i = 0; i < NB_MOST_GROUPS; i++)
        walk->sums[i] = NULL;
    walk->observed = 0;
}

/* Places the statistics in the arena. It is called twice: to measure, and with memory. */
static void place_buffers(nb_walk *walk, uint32_t what) {
    bool hessians = what & NB_WALK_HESSIANS;
    nb_arena *a = &walk->arena;
    uint64_t scratch = 0;
    for (uint32_t i = walk->from; i < walk->to; i++) {
        const nb_group *g = &walk->groups[i];
        nb_sums *sums = walk->sums[i] = nb_arena_take(a, g->experts, sizeof(nb_sums));
        for (uint32_t e = 0; e < g->experts; e++) {
            nb_sums one = {
                .magnitudes = nb_arena_take(a, g->columns, sizeof(double)),
                .mean = nb_arena_take(a, g->columns, sizeof(float)),
                .largest = nb_arena_take(a, g->columns, sizeof(float)),
                .range = what & NB_WALK_RANGES ? nb_arena_take(a, 1, sizeof(nb_range_observer)) : NULL,
                .gram = hessians ? nb_arena_take(a, nb_gram_floats(g->columns), sizeof(float)) : NULL,
            };
            if (one.range)
                nb_range_begin(one.range, 0);
            if (sums)
                sums[e] = one;
        }
        scratch = hessians ? NB_MAX(scratch, nb_gram_scratch(g->columns)) : 0;
    }
    walk->scratch = nb_arena_take(a, scratch, sizeof(float));
}

static int32_t begin(nb_walk *walk, int32_t group, uint32_t what, nb_error *err) {
    if (group < NB_WALK_ALL || group >= (int32_t)walk->n_groups || what > (NB_WALK_HESSIANS | NB_WALK_RANGES))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "layer %u has %u groups of matrices; kind %u of group %d cannot be observed", walk->layer,
                       walk->n_groups, what, group);
    if (walk->groups[NB_MAX(group, 0)].part < walk->part)
        return NB_FAIL(err, NB_ERR_STATE,
                       "the streams have passed the part of layer %u with group %u: observe it before", walk->layer,
                       NB_MAX(group, 0));
    nb_walk_forget(walk);
    walk->infinite = NULL;
    walk->from = group < 0 ? 0 : (uint32_t)group;
    walk->to = group < 0 ? walk->n_groups : (uint32_t)group + 1;
    place_buffers(walk, what);
    int32_t code = nb_arena_allocate(&walk->arena, "what is observed of a layer (Hessians)", err);
    if (code < 0)
        nb_walk_forget(walk);
    else
        place_buffers(walk, what);
    return code;
}

static void add(nb_walk *walk, nb_sums *sums, const nb_group *g, const float *x, uint32_t n) {
    if (!nb_are_finite(x, (size_t)n * g->columns)) {
        walk->infinite = g;
        return;
    }
    for (uint32_t t = 0; t < n; t++)
        nb_add_magnitudes(sums->magnitudes, sums->largest, x + (size_t)t * g->columns, g->columns);
    if (sums->gram)
        nb_gram_add(walk->pool, sums->gram, g->columns, x, n, walk->scratch);
    if (sums->range && n)
        nb_range_add(sums->range, x, (size_t)n * g->columns);
    sums->count += n;
}

/* Whether a group's products are needed. Those of the last observed group and of later ones are not. In a parallel
 * layer the second part does not need those of the first. */
static bool is_needed(const nb_walk *walk, const nb_group *g) {
    return g + 1 < walk->groups + walk->to && !(walk->is_parallel && g->part < walk->groups[walk->from].part);
}

/* Experts' matrices are stacked: a matrix's first row gives its expert. */
static bool see(void *context, const nb_matmul_job *jobs, uint32_t n_jobs, const float *x, uint32_t n) {
    (void)n_jobs;
    nb_walk *walk = context;
    const nb_group *g = find_group(walk, jobs[0].w->tensor);
    uint32_t i = (uint32_t)(g - walk->groups), expert = g->experts > 1 ? jobs[0].w->first / jobs[0].w->rows : 0;
    if (i >= walk->from && i < walk->to)
        add(walk, &walk->sums[i][expert], g, x, n);
    return is_needed(walk, g);
}

static int32_t refuse(const nb_walk *walk, const nb_group *g, const char *how, nb_error *err) {
    return NB_FAIL(err, NB_ERR_FORMAT, "the inputs of blk.%u.%s are %s; the weights are damaged, or too large",
                   walk->layer, g->slots[0]->name, how);
}

/* Turns sums into means, and completes the Hessians. */
static int32_t finish(nb_walk *walk, nb_error *err) {
    for (uint32_t i = walk->from; i < walk->to; i++) {
        const nb_group *g = &walk->groups[i];
        for (nb_sums *s = walk->sums[i]; s < walk->sums[i] + g->experts; s++) {
            for (uint32_t c = 0; c < g->columns; c++)
                s->mean[c] = s->count ? (float)(s->magnitudes[c] / s->count) : 0;
            if (s->gram)
                nb_gram_finish(walk->pool, s->gram, g->columns);
            if (s->gram && !nb_are_finite(s->gram, (size_t)g->columns * g->columns))
                return refuse(walk, g, "too large for a sum of squares", err);
        }
    }
    return NB_OK;
}

int32_t nb_walk_observe(nb_walk *walk, int32_t group, uint32_t what, int32_t done, nb_error *err) {
    NB_TRY(nb_walk_check_layer(walk, err));
    if (done == 0)
        NB_TRY(begin(walk, group, what, err));
    if (done < 0 || (uint32_t)done != walk->observed || !walk->arena.base || walk->observed == nb_walk_tokens(walk))
        return NB_FAIL(err, NB_ERR_STATE, "observing cannot go on at token %d: the last call returned %u", done,
                       walk->observed);
    walk->session->observer = (nb_observer){.see = see, .context = walk, .sees_zeros = true};
    int32_t code = nb_walk_run(walk, walk->observed, walk->groups[walk->to - 1].part + 1, err);
    if (code >= 0 && walk->infinite)
        code = refuse(walk, walk->infinite, "not finite", err);
    if (code >= 0)
        walk->observed += (uint32_t)code;
    if (code >= 0 && walk->observed == nb_walk_tokens(walk))
        code = finish(walk, err);
    if (code >= 0)
        return (int32_t)walk->observed;
    nb_walk_forget(walk);
    return code;
}

/* The statistics; NULL: nothing was observed, or not to the end. */
static const nb_sums *sums_of(const nb_walk *walk, uint32_t group, uint32_t expert) {
    bool known = walk->observed == nb_walk_tokens(walk) && group < walk->n_groups && walk->sums[group];
    return known && expert < walk->groups[group].experts ? &walk->sums[group][expert] : NULL;
}

const float *nb_walk_hessian(const nb_walk *walk, uint32_t group, uint32_t expert) {
    const nb_sums *s = sums_of(walk, group, expert);
    return s ? s->gram : NULL;
}

const float *nb_walk_mean(const nb_walk *walk, uint32_t group, uint32_t expert) {
    const nb_sums *s = sums_of(walk, group, expert);
    return s ? s->mean : NULL;
}

const float *nb_walk_largest(const nb_walk *walk, uint32_t group, uint32_t expert) {
    const nb_sums *s = sums_of(walk, group, expert);
    return s ? s->largest : NULL;
}

const void *nb_walk_range(const nb_walk *walk, uint32_t group, uint32_t expert) {
    const nb_sums *s = sums_of(walk, group, expert);
    return s ? s->range : NULL;
}

int32_t nb_walk_count(const nb_walk *walk, uint32_t group, uint32_t expert) {
    const nb_sums *s = sums_of(walk, group, expert);
    return s ? (int32_t)s->count : 0;
}
