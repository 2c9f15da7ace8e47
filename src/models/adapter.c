#include "adapter.h"

#include "../base/hash.h"
#include "../base/numbers.h"
#include "../formats/gguf.h"
#include "../kernels/ops.h"
#include "../types/finite.h"
#include "../types/traits.h"
#include "bind.h"
#include "family.h"

struct nb_adapter {
    /* [n_tensors of the model]: A [rank, columns] and B [rows, rank] of the matrix that is this tensor; without rows
     * where the adapter has none */
    nb_matrix (*pairs)[2];
    uint64_t n_pairs;
    nb_arena data; /* of all pairs */
    float alpha;
    uint64_t sum;     /* of the file's bytes */
    uint64_t most[2]; /* the largest rank + rows: of the output; of a matrix of a layer */
};

/* ---- loading --------------------------------------------------------------------------------------------------- */

/* The number of the model's tensor that an adapter may change; a negative code: there is none. */
static int32_t find_base(const nb_model *model, nb_text name, const nb_slot **slot, nb_error *err) {
    const nb_checkpoint *c = &model->checkpoint;
    nb_text rest = name;
    uint32_t layer;
    bool inside = nb_text_take(&rest, "blk.") && nb_text_take_number(&rest, &layer) && nb_text_take(&rest, ".");
    *slot = inside || nb_text_is(name, "output.weight") ? nb_slot_find(model, rest, inside) : NULL;
    bool may = *slot && (*slot)->is_matrix && !(*slot)->by_expert;
    const nb_tensor_info *base = may ? nb_checkpoint_find_named(c, name) : NULL;
    if (base)
        return (int32_t)(base - c->tensors);
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "it changes %t, which this model does not have, or only among its experts or as its embedding",
                   name);
}

/* Finds the place of tensor i, and describes it there. */
static int32_t place(nb_adapter *a, const nb_model *model, const nb_checkpoint *c, uint64_t i, nb_error *err) {
    const nb_tensor_info *info = &c->tensors[i];
    nb_text name = nb_checkpoint_tensor_name(c, info), base = {name.data, name.size - 7};
    bool is_b = nb_text_ends(name, ".lora_b");
    const nb_slot *slot;
    if (!is_b && !nb_text_ends(name, ".lora_a"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "tensor %t is neither .lora_a nor .lora_b", name);
    int32_t n = find_base(model, base, &slot, err);
    NB_TRY(n);
    const uint64_t *shape = model->checkpoint.tensors[n].shape;
    if (info->shape[is_b] != shape[is_b] || info->shape[!is_b] > shape[0] || info->shape[2] * info->shape[3] != 1)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t has shape [%l, %l], and the model wants [%s%l%s], with a rank of %l at most", name,
                       info->shape[0], info->shape[1], is_b ? "rank, " : "", shape[is_b], is_b ? "" : ", rank",
                       shape[0]);
    /* q, k and v, or gate and up, may begin within a group of rows */
    if (nb_group_rows(info->type) > 1 && (slot->rows == NB_EXTENT_QKV || slot->rows == NB_EXTENT_GATE_UP))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t of a merged matrix has type %s; F32, F16 or BF16 are possible", name,
                       nb_traits_of(info->type)->name);
    a->pairs[n][is_b] = (nb_matrix){
        .type = info->type,
        .rows = (uint32_t)info->shape[1],
        .columns = (uint32_t)info->shape[0],
        .group_bytes = (size_t)nb_group_bytes(info->type, info->shape[0]),
        .tensor = (uint32_t)i,
    };
    a->most[slot->in_layer] = NB_MAX(a->most[slot->in_layer], shape[0] + shape[1]);
    return NB_OK;
}

static int32_t check_pairs(const nb_adapter *a, const nb_checkpoint *of, nb_error *err) {
    for (uint64_t i = 0; i < a->n_pairs; i++)
        if (a->pairs[i][0].rows != a->pairs[i][1].columns)
            return NB_FAIL(err, NB_ERR_FORMAT, "%t has a .lora_a of rank %u and a .lora_b of rank %u (0: none)",
                           nb_checkpoint_tensor_name(of, &of->tensors[i]), a->pairs[i][0].rows, a->pairs[i][1].columns);
    return NB_OK;
}

/* Gives each matrix its memory, or NULL while the arena is measured; bytes: of the file, which are packed then. */
static int32_t pack(nb_adapter *a, const nb_checkpoint *c, const uint8_t *bytes, nb_error *err) {
    nb_matrix *end = a->pairs[a->n_pairs];
    for (nb_matrix *m = *a->pairs; m < end; m++) {
        m->data = nb_arena_take(&a->data, nb_matrix_bytes(m->type, m->rows, m->columns), 1);
        const nb_tensor_info *info = &c->tensors[m->tensor];
        if (m->data && m->rows && !nb_blocks_are_finite(m->type, bytes + info->at, (size_t)info->bytes))
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t has infinities or NaN", nb_checkpoint_tensor_name(c, info));
        for (uint32_t row = 0; m->data && row < m->rows; row += nb_group_rows(m->type))
            nb_matrix_pack(m, row, bytes + info->at + (size_t)(info->bytes / m->rows * row));
    }
    return NB_OK;
}

static int32_t read_values(nb_adapter *a, const nb_model *model, const nb_checkpoint *c, nb_error *err) {
    nb_text architecture = nb_checkpoint_string(c, "general.architecture");
    double alpha = 0;
    if (!nb_text_is(nb_checkpoint_string(c, "general.type"), "adapter") ||
        !nb_text_is(nb_checkpoint_string(c, "adapter.type"), "lora") ||
        nb_checkpoint_find(c, "adapter.alora.invocation_tokens"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "it is no LoRA adapter, by general.type and adapter.type");
    if (!model->family || !nb_text_is(architecture, model->family->name))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "it is for models of the architecture %t", architecture);
    NB_TRY(nb_checkpoint_read(c, "adapter.lora.alpha", (nb_limits){-1e6, 1e6}, &alpha, err));
    a->alpha = (float)alpha;
    return NB_OK;
}

static int32_t load(nb_adapter *a, const nb_model *model, nb_checkpoint *c, const uint8_t *bytes, size_t size,
                    nb_error *err) {
    nb_gguf gguf = {.file_bytes = size};
    int32_t code = nb_gguf_parse(&gguf, c, bytes, size, err);
    NB_TRY(code);
    if (code == NB_GGUF_MORE || !c->n_tensors)
        return NB_FAIL(err, NB_ERR_FORMAT, "the file has no tensors");
    NB_TRY(nb_checkpoint_keep_header(c, bytes, gguf.at, err));
    NB_TRY(read_values(a, model, c, err));
    uint64_t held = 0;
    a->sum = nb_checksum(0, bytes, size);
    a->n_pairs = model->checkpoint.n_tensors;
    NB_TRY(nb_grow((void **)&a->pairs, &held, a->n_pairs, sizeof *a->pairs, "tensors", err));
    for (uint64_t i = 0; i < c->n_tensors; i++)
        NB_TRY(place(a, model, c, i, err));
    NB_TRY(check_pairs(a, &model->checkpoint, err));
    NB_TRY(pack(a, c, bytes, err));
    NB_TRY(nb_arena_reserve(&a->data, "the adapter", err));
    return pack(a, c, bytes, err);
}

nb_adapter *nb_adapter_new(const nb_model *model, const uint8_t *bytes, size_t size, nb_error *err) {
    nb_adapter *a = nb_alloc(sizeof *a);
    if (!a)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for an adapter");
    *a = (nb_adapter){0};
    nb_checkpoint c = {0};
    int32_t code = load(a, model, &c, bytes, size, err);
    nb_checkpoint_free(&c);
    if (code == NB_OK)
        return a;
    nb_adapter_free(a);
    return NULL;
}

void nb_adapter_free(nb_adapter *a) {
    if (!a)
        return;
    nb_arena_free(&a->data);
    nb_free(a->pairs);
    nb_free(a);
}

double nb_adapter_bytes(const nb_adapter *a) {
    return (double)a->data.size;
}

/* ---- in a session ---------------------------------------------------------------------------------------------- */

int32_t nb_session_adapt(nb_session *s, const nb_adapter *const *adapters, const float *scales, uint32_t n,
                         nb_error *err) {
    uint64_t room = 0;
    if (n > NB_MAX_ADAPTERS)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%u adapters are more than %u", n, (uint32_t)NB_MAX_ADAPTERS);
    for (uint32_t i = 0; i < n; i++)
        room = NB_MAX(room, NB_MAX(adapters[i]->most[0] * s->logits_capacity, adapters[i]->most[1] * s->batch));
    if (room > s->adapted_floats) { /* other sequences have adapters, too */
        float *products = nb_alloc_items(room, sizeof *products);
        if (!products)
            return nb_memory_refuse("the products of the adapters", room * sizeof *products, err);
        nb_free(s->adapted);
        s->adapted = products;
        s->adapted_floats = room;
    }
    s->sequence->n_adapters = n;
    for (uint32_t i = 0; i < n; i++) {
        s->sequence->adapters[i] = adapters[i];
        s->sequence->adapter_scales[i] = scales[i];
    }
    s->sequence->held = s->sequence->pieces = s->logits_rows = s->scored_rows = s->logits_done = 0;
    return NB_OK;
}

void nb_adapters_add(nb_session *s, const float *x, uint32_t n, uint32_t columns, const nb_matmul_job *job) {
    for (uint32_t i = 0; i < s->sequence->n_adapters; i++) {
        const nb_adapter *a = s->sequence->adapters[i];
        const nb_matrix *pair = a->pairs[job->w->tensor];
        uint32_t rank = pair->rows;
        if (!rank)
            continue;
        float *low = s->adapted, *out = low + (size_t)n * rank; /* [n, rank], [n, rows] */
        nb_matrix b = nb_matrix_view(&pair[1], job->w->first, job->w->rows);
        nb_activations_set(&s->activations, x, n, columns);
        nb_matmul(s->pool, &s->activations, &(nb_matmul_job){pair, low}, 1, s->matmul_scratch);
        nb_scale(low, s->sequence->adapter_scales[i] * (a->alpha != 0 ? a->alpha / (float)rank : 1), (size_t)n * rank);
        nb_activations_set(&s->activations, low, n, rank);
        nb_matmul(s->pool, &s->activations, &(nb_matmul_job){&b, out}, 1, s->matmul_scratch);
        nb_add_to(job->out, out, (size_t)n * b.rows);
    }
}

uint64_t nb_adapters_sum(const nb_session *s, uint64_t sum) {
    for (uint32_t i = 0; i < s->sequence->n_adapters; i++)
        sum = nb_checksum(sum ^ s->sequence->adapters[i]->sum, &s->sequence->adapter_scales[i],
                          sizeof *s->sequence->adapter_scales);
    return sum;
}
