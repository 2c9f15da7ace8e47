#include "bind.h"

#include "../base/numbers.h"
#include "../base/sort.h"
#include "../base/writer.h"
#include "../types/traits.h"
#include "configure.h"
#include "family.h"
#include "keys.h"
#include "outliers.h"

uint32_t nb_extent_of(const nb_shape *s, uint32_t e) {
    switch (e) {
    case NB_EXTENT_1: return 1;
    case NB_EXTENT_VOCABULARY: return s->vocabulary;
    case NB_EXTENT_WIDTH: return s->width;
    case NB_EXTENT_EMBEDDING: return s->embedding_width;
    case NB_EXTENT_FEED_FORWARD: return s->feed_forward;
    case NB_EXTENT_HEAD: return s->head_size;
    case NB_EXTENT_HEADS: return s->heads;
    case NB_EXTENT_KV_HEADS: return s->kv_heads;
    case NB_EXTENT_QUERIES: return s->heads * s->head_size;
    case NB_EXTENT_KEYS: return s->kv_heads * s->head_size;
    case NB_EXTENT_VALUES: return s->kv_heads * s->value_size;
    case NB_EXTENT_ATTENDED: return s->heads * s->value_size;
    case NB_EXTENT_QKV: return (s->heads + s->kv_heads) * s->head_size + s->kv_heads * s->value_size;
    case NB_EXTENT_GATE_UP: return 2 * s->feed_forward;
    case NB_EXTENT_CONTEXT: return s->context;
    case NB_EXTENT_TYPES: return s->token_types;
    case NB_EXTENT_EXPERTS: return s->experts;
    case NB_EXTENT_EXPERT: return s->expert_width;
    case NB_EXTENT_SHARED: return s->shared_width;
    case NB_EXTENT_PAIRS: return s->ropes[0].pairs;
    default: __builtin_trap(); /* a new extent belongs here */
    }
}

/* "blk.17.attn_q.weight" -> 17 and "attn_q.weight"; -1 for a tensor outside the layers. */
static int64_t layer_of(nb_text *name) {
    nb_text rest = *name;
    uint32_t layer;
    if (!nb_text_take(&rest, "blk.") || !nb_text_take_number(&rest, &layer) || !nb_text_take(&rest, "."))
        return -1;
    *name = rest;
    return layer;
}

const nb_slot *nb_slot_find(const nb_model *model, nb_text name, bool in_layer) {
    for (const nb_slot *s = model->family->slots; s->name; s++)
        if (s->in_layer == in_layer && nb_text_is(name, s->name))
            return s->need == NB_GGUF_MAY && model->is_folder ? NULL : s;
    return NULL;
}

/* For matrices that are split: stacked experts, and merged gate and up (merged q, k and v may stay whole). */
int32_t nb_slot_check_split(const nb_model *model, const nb_slot *slot, uint32_t type, nb_text name, nb_error *err) {
    uint32_t rows = nb_extent_of(&model->shape, slot->rows);
    uint32_t part = slot->by_expert ? rows : slot->rows == NB_EXTENT_GATE_UP ? rows / 2 : 0;
    if (part % nb_group_rows(type))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t has parts of %u rows; of a quantized one only multiples of 4 are supported", name,
                       part);
    return NB_OK;
}

/* single: the tensor is one expert's matrix, not a stack. */
static int32_t check_shape(const nb_model *model, const nb_slot *slot, const nb_tensor_info *info, bool single,
                           nb_error *err) {
    uint64_t columns = nb_extent_of(&model->shape, slot->columns), rows = nb_extent_of(&model->shape, slot->rows);
    uint64_t experts = slot->by_expert && !single ? model->shape.experts : 1;
    nb_text name = nb_checkpoint_tensor_name(&model->checkpoint, info);
    if (info->shape[0] != columns || info->shape[1] != rows || info->shape[2] != experts || info->shape[3] != 1)
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t has shape [%l, %l, %l, %l], but the file's hyper-parameters ask for [%l, %l, %l]",
                       name, info->shape[0], info->shape[1], info->shape[2], info->shape[3], columns, rows, experts);
    return nb_slot_check_split(model, slot, info->type, name, err);
}

/* Files may have experts one by one: for "ffn_gate.7.weight", the slot of "ffn_gate_exps.weight", and *expert = 7. NULL
 * for other names. */
static const nb_slot *find_expert_slot(const nb_model *model, nb_text name, uint32_t *expert) {
    size_t dot = 0;
    while (dot < name.size && name.data[dot] != '.')
        dot++;
    nb_text rest = {name.data + dot, name.size - dot};
    if (!nb_text_take(&rest, ".") || !nb_text_take_number(&rest, expert) || *expert >= model->shape.experts)
        return NULL;
    char stacked[64];
    nb_writer w = nb_writer_over(stacked, sizeof stacked);
    nb_write_bytes(&w, name.data, dot);
    nb_write(&w, "_exps");
    nb_write_bytes(&w, rest.data, rest.size);
    const nb_slot *slot = nb_slot_find(model, (nb_text){stacked, NB_MIN(w.length, sizeof stacked)}, true);
    return slot && slot->by_expert ? slot : NULL;
}

/* The first tensor of the experts, the whole stack or that of any one expert, sets up their matrix. While tensors are
 * being bound, matrix->rows counts the rows found so far. */
static int32_t bind_experts(const nb_model *model, const nb_slot *slot, const nb_tensor_info *info, uint32_t first_row,
                            nb_matrix *matrix, nb_destination *to, nb_error *err) {
    if (!matrix->rows) {
        matrix->type = info->type;
        to->rows = nb_extent_of(&model->shape, slot->rows) * model->shape.experts;
    }
    if (matrix->type != info->type)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "tensor %t is of another type than those of other experts; that is not supported",
                       nb_checkpoint_tensor_name(&model->checkpoint, info));
    matrix->rows += (uint32_t)(info->shape[1] * info->shape[2]);
    to->matrix = matrix;
    to->first = first_row;
    return NB_OK;
}

static int32_t check_experts(const nb_model *model, nb_error *err) {
    for (const nb_slot *s = model->family->slots; s->name; s++)
        for (uint32_t i = 0; s->by_expert && i < model->shape.layers; i++) {
            uint32_t rows = ((const nb_matrix *)((const uint8_t *)&model->layers[i] + s->at))->rows;
            if (rows && rows != nb_extent_of(&model->shape, s->rows) * model->shape.experts)
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "blk.%u.%s does not have the tensors of %u experts, each once; the file is not whole", i,
                               s->name, model->shape.experts);
        }
    return NB_OK;
}

/* "attn_q.scale" -> the slot of "attn_q.weight"; NULL if that is not a matrix. leaf: what follows the last dot. */
static const nb_slot *find_matrix_slot(const nb_model *model, nb_text name, bool in_layer, nb_text *leaf) {
    size_t dot = name.size;
    while (dot && name.data[dot - 1] != '.')
        dot--;
    *leaf = (nb_text){name.data + dot, name.size - dot};
    char text[64];
    nb_writer w = nb_writer_over(text, sizeof text);
    nb_write_bytes(&w, name.data, dot);
    nb_write(&w, "weight");
    uint32_t expert;
    nb_text weight = {text, NB_MIN(w.length, sizeof text)};
    const nb_slot *slot = nb_slot_find(model, weight, in_layer);
    slot = slot || !in_layer ? slot : find_expert_slot(model, weight, &expert);
    return dot && slot && slot->is_matrix ? slot : NULL;
}

static bool is_vector_of(const nb_tensor_info *info, uint64_t n) {
    return info->shape[0] == n && info->shape[1] == 1 && info->shape[2] == 1 && info->shape[3] == 1;
}

/* Binds a tensor that accompanies a matrix; *found: whether the tensor is one. They are:
 *     .order         written by nibble's converter (nb_matrix)
 *     .scale         products are multiplied by it: one number, or one for each expert (llama.cpp's NVFP4 files)
 *     .input_scale   of the same files, for hardware that rounds activations to 4 bits: not used
 *     .bias          where a family has none: old quantizers wrote one for every matrix. It must be all zeros.
 *     .outliers, .outlier_columns   columns that are kept in 16 bits (outliers.h) */
static int32_t bind_companion(nb_model *model, const nb_tensor_info *info, nb_text rest, int64_t layer,
                              nb_destination *to, bool *found, nb_error *err) {
    nb_text leaf, name = nb_checkpoint_tensor_name(&model->checkpoint, info);
    const nb_slot *slot = find_matrix_slot(model, rest, layer >= 0, &leaf);
    bool order = nb_text_is(leaf, "order"), scale = nb_text_is(leaf, "scale");
    bool input = nb_text_is(leaf, "input_scale"), bias = nb_text_is(leaf, "bias");
    bool outliers = nb_outliers_name(name);
    *found = slot && layer < (int64_t)model->shape.layers && (order || scale || input || bias || outliers);
    if (!*found)
        return NB_OK;
    nb_matrix *m = (nb_matrix *)((layer < 0 ? (uint8_t *)model : (uint8_t *)&model->layers[layer]) + slot->at);
    if (outliers)
        return nb_outliers_bind(model, slot, m, info, layer, to, err);
    uint32_t numbers = order ? nb_extent_of(&model->shape, slot->columns)
                     : bias  ? nb_extent_of(&model->shape, slot->rows)
                             : (slot->by_expert ? model->shape.experts : 1);
    if (!is_vector_of(info, numbers))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "tensor %t has shape [%l, %l, %l, %l], but its matrix asks for [%u]; the file is broken", name,
                       info->shape[0], info->shape[1], info->shape[2], info->shape[3], numbers);
    if (order && (slot->by_expert || layer < 0 || info->type != NB_TYPE_I32))
        return NB_FAIL(err, NB_ERR_FORMAT, "tensor %t cannot be the order of a matrix's columns; the file is broken",
                       name);
    if (scale && (m == &model->embedding || m == &model->positions || m == &model->token_types))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "tensor %t scales embeddings, which is not supported", name);
    if (order) {
        to->order = &m->order;
        to->order_limit = numbers;
        model->ordered = true;
    } else if (scale) {
        to->vector = &m->scales;
        m->n_scales = numbers;
    } else {
        to->left_out = input ? NB_IGNORED : NB_ONLY_ZEROS;
    }
    return NB_OK;
}

/* A tensor that accompanies a matrix needs it: the file may lack it, or have merged it with others. */
static int32_t check_companions(const nb_model *model, nb_error *err) {
    for (const nb_slot *s = model->family->slots; s->name; s++)
        for (uint32_t i = 0; s->is_matrix && i < (s->in_layer ? model->shape.layers : 1); i++) {
            const uint8_t *base = s->in_layer ? (const uint8_t *)&model->layers[i] : (const uint8_t *)model;
            const nb_matrix *m = (const nb_matrix *)(base + s->at);
            if (m->n_scales && !m->rows)
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "there is a scale of %s (layer %u), but no such tensor; the file is broken", s->name, i);
            if (m->outliers && (!m->rows || !m->outliers->rows || !m->outliers->order))
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "%s (layer %u) needs all three: the matrix, .outliers and .outlier_columns; the file is "
                               "not whole",
                               s->name, i);
            if (m->outliers && m->order)
                return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                               "%s (layer %u) has columns in another order and outliers, too; that is not supported",
                               s->name, i);
        }
    return NB_OK;
}

typedef struct binding {
    const nb_checkpoint *c;
    const nb_destination *destinations;
} binding;

static uintptr_t place_of(const nb_destination *d) {
    return d->matrix   ? (uintptr_t)d->matrix
         : d->order    ? (uintptr_t)d->order
         : d->left_out ? (uintptr_t)d
                       : (uintptr_t)d->vector;
}

static int compare_destinations(const void *table, uint32_t a, uint32_t b) {
    const nb_destination *x = &((const binding *)table)->destinations[a],
                         *y = &((const binding *)table)->destinations[b];
    if (place_of(x) != place_of(y))
        return place_of(x) < place_of(y) ? -1 : 1;
    return x->first != y->first ? (x->first < y->first ? -1 : 1) : 0;
}

/* Loading writes each tensor to its place without further checks, so no two tensors may have the same place. */
static int32_t check_places(const nb_checkpoint *c, const nb_destination *destinations, nb_error *err) {
    uint32_t n = (uint32_t)c->n_tensors, *order = nb_alloc_items(n, sizeof *order);
    if (!order)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u tensors", n);
    nb_sort(order, n, compare_destinations, &(binding){c, destinations});
    int32_t code = NB_OK;
    for (uint32_t i = 1; i < n && code == NB_OK; i++) {
        const nb_destination *a = &destinations[order[i - 1]], *b = &destinations[order[i]];
        const nb_tensor_info *one = &c->tensors[order[i - 1]], *other = &c->tensors[order[i]];
        if (place_of(a) == place_of(b) && a->first + one->shape[1] * one->shape[2] > b->first)
            code = NB_FAIL(err, NB_ERR_FORMAT, "tensors %t and %t are the same part of the model; the file is broken",
                           nb_checkpoint_tensor_name(c, one), nb_checkpoint_tensor_name(c, other));
    }
    nb_free(order);
    return code;
}

/* Finds the place of each tensor of the file. */
static int32_t bind_tensors(nb_model *model, nb_destination *destinations, nb_error *err) {
    const nb_checkpoint *c = &model->checkpoint;
    NB_TRY(nb_outliers_reserve(model, err));
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_tensor_info *info = &c->tensors[i];
        nb_text name = nb_checkpoint_tensor_name(c, info), rest = name;
        int64_t layer = layer_of(&rest);
        uint32_t expert = 0;
        const nb_slot *slot = nb_slot_find(model, rest, layer >= 0), *single = NULL;
        if (!slot && layer >= 0)
            slot = single = find_expert_slot(model, rest, &expert);
        bool found = false;
        if (!slot && layer < 0)
            NB_TRY(nb_embedding_bind(model, info, name, &destinations[i], &found, err));
        if (!slot && !found)
            NB_TRY(bind_companion(model, info, rest, layer, &destinations[i], &found, err));
        if (found)
            continue;
        if (!slot || layer >= (int64_t)model->shape.layers)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED, "tensor %t is not part of the %s architecture as nibble knows it",
                           name, model->family->name);
        NB_TRY(check_shape(model, slot, info, single, err));
        uint8_t *place = layer >= 0 ? (uint8_t *)&model->layers[layer] : (uint8_t *)model;
        nb_matrix *matrix = (nb_matrix *)(place + slot->at);
        if (slot->by_expert) {
            NB_TRY(bind_experts(model, slot, info, expert * nb_extent_of(&model->shape, slot->rows), matrix,
                                &destinations[i], err));
        } else if (slot->is_matrix) {
            destinations[i].matrix = matrix;
            destinations[i].rows = (uint32_t)(info->shape[1] * info->shape[2]);
        } else {
            destinations[i].vector = (float **)(place + slot->at);
            destinations[i].divides = slot->columns == NB_EXTENT_PAIRS;
        }
    }
    NB_TRY(check_places(c, destinations, err));
    return check_experts(model, err);
}

static bool is_filled(const void *base, const nb_slot *s) {
    const uint8_t *place = (const uint8_t *)base + s->at;
    return s->is_matrix ? ((const nb_matrix *)place)->rows : *(float *const *)place != NULL;
}

static bool is_needed(const nb_model *model, const nb_slot *s, nb_need kind) {
    return s->need == NB_ALWAYS || (s->need == NB_FOLDERS_MUST && model->is_folder) || s->need == kind;
}

int32_t nb_model_check_ends(const nb_model *model, nb_error *err) {
    for (const nb_slot *s = model->family->slots; s->name; s++)
        if (!s->in_layer && is_needed(model, s, NB_ALWAYS) && !is_filled(model, s))
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor %s is missing; the file is not whole", s->name);
    return NB_OK;
}

int32_t nb_model_check_layer(const nb_model *model, uint32_t i, nb_error *err) {
    const nb_layer *layer = &model->layers[i];
    uint32_t dense = model->shape.dense_layers;
    if (dense != UINT32_MAX && (i < dense) == (layer->router.rows > 0))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "blk.%u %s experts, but %s.leading_dense_block_count is %u; the file is broken", i,
                       layer->router.rows ? "has" : "has no", model->family->name, dense);
    for (const nb_slot *s = model->family->slots; s->name; s++)
        if (s->in_layer && is_needed(model, s, layer->router.rows ? NB_MIXTURE : NB_DENSE) && !is_filled(layer, s))
            return NB_FAIL(err, NB_ERR_FORMAT, "tensor blk.%u.%s is missing; the file is not whole", i, s->name);
    return NB_OK;
}

static int32_t check_complete(const nb_model *model, nb_error *err) {
    NB_TRY(nb_model_check_ends(model, err));
    for (uint32_t i = 0; i < model->shape.layers; i++)
        NB_TRY(nb_model_check_layer(model, i, err));
    return nb_embedding_check(model, err);
}

/* Refuses files that have merged q, k and v and also separate ones, which would be loaded over each other. */
static int32_t check_merged(const nb_model *model, nb_error *err) {
    for (uint32_t i = 0; i < model->shape.layers; i++) {
        const nb_layer *layer = &model->layers[i];
        if ((layer->qkv.rows && (layer->q.rows || layer->k.rows || layer->v.rows)) ||
            (layer->qkv_bias && (layer->q_bias || layer->k_bias || layer->v_bias)))
            return NB_FAIL(err, NB_ERR_FORMAT, "there is blk.%u.attn_qkv, and its parts besides; the file is broken",
                           i);
    }
    return NB_OK;
}

void nb_model_split_merged(nb_model *model) {
    const nb_shape *m = &model->shape;
    uint32_t queries = m->heads * m->head_size, keys = m->kv_heads * m->head_size, values = m->kv_heads * m->value_size;
    for (uint32_t i = 0; i < m->layers; i++) {
        nb_layer *layer = &model->layers[i];
        if (layer->qkv.rows) {
            uint32_t group = nb_group_rows(layer->qkv.type);
            layer->qkv_whole = queries % group || keys % group;
            model->qkv_whole |= layer->qkv_whole;
            layer->q = nb_matrix_view(&layer->qkv, 0, queries);
            layer->k = nb_matrix_view(&layer->qkv, queries, keys);
            layer->v = nb_matrix_view(&layer->qkv, queries + keys, values);
        }
        if (layer->qkv_bias) {
            layer->q_bias = layer->qkv_bias;
            layer->k_bias = layer->qkv_bias + queries;
            layer->v_bias = layer->qkv_bias + queries + keys;
        }
        if (layer->gate_up.rows) {
            layer->gate = nb_matrix_view(&layer->gate_up, 0, m->feed_forward);
            layer->up = nb_matrix_view(&layer->gate_up, m->feed_forward, m->feed_forward);
        }
    }
}

/* Gives vectors and orders their memory, or NULL while the arena is measured. */
static void allocate_vectors(nb_model *model, const nb_destination *destinations) {
    const nb_checkpoint *c = &model->checkpoint;
    for (uint64_t i = 0; i < c->n_tensors; i++) {
        const nb_destination *to = &destinations[i];
        const nb_tensor_info *info = &c->tensors[i];
        if (to->order)
            *to->order = nb_arena_take(&model->vectors, info->shape[0], sizeof(int32_t));
        else if (to->vector)
            *to->vector = nb_arena_take(&model->vectors, nb_times(info->shape[0], info->shape[1]), sizeof(float));
    }
}

/* Fills in each matrix, except for its data. */
static void describe_matrices(const nb_model *model, const nb_destination *destinations) {
    for (uint64_t i = 0; i < model->checkpoint.n_tensors; i++) {
        const nb_tensor_info *info = &model->checkpoint.tensors[i];
        nb_matrix *m = destinations[i].matrix;
        if (m && destinations[i].rows)
            *m = (nb_matrix){
                .type = info->type,
                .rows = destinations[i].rows,
                .columns = (uint32_t)info->shape[0],
                .group_bytes = (size_t)nb_group_bytes(info->type, info->shape[0]),
                .order = m->order,
                .scales = m->scales,
                .n_scales = m->n_scales,
                .outliers = m->outliers,
                .tensor = (uint32_t)i,
            };
    }
}

/* As allocate_vectors, for matrices. */
static void allocate_matrices(nb_model *model, const nb_destination *destinations) {
    for (uint64_t i = 0; i < model->checkpoint.n_tensors; i++) {
        nb_matrix *m = destinations[i].matrix;
        if (m && destinations[i].rows)
            m->data = nb_arena_take(&model->matrices, nb_matrix_bytes(m->type, m->rows, m->columns), 1);
    }
}

/* Everything that can fail before the matrices are allocated. */
static int32_t check_and_bind(nb_model *model, nb_destination *destinations, nb_error *err) {
    model->family = nb_family_find(&model->checkpoint, err);
    if (!model->family)
        return NB_ERR_UNSUPPORTED;
    model->is_folder = nb_model_is_converted(model);
    NB_TRY(nb_model_configure_family(model, err));
    if (!model->is_partial || model->shape.vocabulary)
        NB_TRY(nb_embedding_configure(model, err));
    uint64_t held = 0;
    NB_TRY(nb_grow((void **)&model->layers, &held, model->shape.layers, sizeof(nb_layer), "layers", err));
    NB_TRY(bind_tensors(model, destinations, err));
    allocate_vectors(model, destinations);
    NB_TRY(nb_arena_reserve(&model->vectors, "the model's vectors", err));
    allocate_vectors(model, destinations);
    describe_matrices(model, destinations);
    NB_TRY(check_companions(model, err));
    NB_TRY(check_merged(model, err));
    nb_model_split_merged(model);
    return model->is_partial ? NB_OK : check_complete(model, err);
}

int32_t nb_model_bind(nb_model *model, nb_destination *destinations, nb_error *err) {
    NB_TRY(check_and_bind(model, destinations, err));
    allocate_matrices(model, destinations);
    NB_TRY(nb_arena_reserve(&model->matrices, "the model's weights", err));
    allocate_matrices(model, destinations);
    nb_model_split_merged(model); /* again, now that matrices have addresses */
    if (!model->output.rows)
        model->output = model->embedding;
    return NB_OK;
}

int32_t nb_model_try(const nb_model *model, nb_model *trial, nb_error *err) {
    *trial =
        (nb_model){.checkpoint = model->checkpoint, .tokenizer = model->tokenizer, .is_partial = model->is_partial};
    nb_destination *destinations = nb_alloc_items(model->checkpoint.n_tensors, sizeof *destinations);
    if (!destinations)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l tensors", model->checkpoint.n_tensors);
    memset(destinations, 0, (size_t)model->checkpoint.n_tensors * sizeof *destinations);
    int32_t code = check_and_bind(trial, destinations, err);
    nb_free(destinations);
    return code;
}

void nb_model_trial_free(nb_model *trial) {
    nb_arena_free(&trial->vectors);
    nb_free(trial->layers);
    nb_free(trial->outliers);
    *trial = (nb_model){0};
}
