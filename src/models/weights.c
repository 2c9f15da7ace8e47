#include "weights.h"

#include "../base/numbers.h"
#include "../types/finite.h"
#include "../types/traits.h"
#include "bind.h"
#include "family.h"

/* Blocks are read as structs, hence the aligned copy. */
int32_t nb_vector_fill(uint32_t type, const uint8_t *bytes, size_t size, float *out, size_t n, nb_error *err) {
    void *aligned = nb_alloc(size);
    if (!aligned)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to load the model");
    memcpy(aligned, bytes, size);
    nb_traits_of(type)->dequantize(aligned, out, n);
    nb_free(aligned);
    return NB_OK;
}

struct nb_replacement {
    nb_replacement *next;
    const nb_matrix *of;
    uint8_t *data;
};

void nb_replacements_free(nb_model *model) {
    for (nb_replacement *r = model->replaced, *next; r; r = next) {
        next = r->next;
        nb_free(r->data);
        nb_free(r);
    }
    model->replaced = NULL;
}

/* Memory of so many bytes for the matrix: its own in the arena if that is enough, else another block. NULL: there is
 * none, and the matrix is unchanged. */
static uint8_t *room_for(nb_model *model, const nb_matrix *m, uint64_t bytes) {
    uint32_t loaded = model->checkpoint.tensors[m->tensor].type;
    nb_replacement *r = model->replaced;
    while (r && r->of != m)
        r = r->next;
    if (!r && bytes <= nb_matrix_bytes(loaded, m->rows, m->columns))
        return m->data;
    uint8_t *data = nb_alloc_items(bytes, 1);
    if (data && !r && (r = nb_alloc(sizeof *r))) {
        *r = (nb_replacement){.next = model->replaced, .of = m};
        model->replaced = r;
    }
    if (!data || !r) {
        nb_free(data);
        return NULL;
    }
    nb_free(r->data);
    return r->data = data;
}

static int32_t replace_matrix(nb_model *model, nb_matrix *m, uint32_t type, const uint8_t *bytes, size_t row_bytes,
                              nb_error *err) {
    uint64_t wanted = nb_matrix_bytes(type, m->rows, m->columns);
    bool is_tied = m == &model->embedding && model->output.data == m->data;
    uint8_t *data = room_for(model, m, wanted);
    if (!data)
        return nb_memory_refuse("the weights that replace others", wanted, err);
    m->data = data;
    m->type = type;
    m->group_bytes = (size_t)nb_group_bytes(type, m->columns);
    uint32_t group = nb_group_rows(type);
    for (uint32_t row = 0; row < m->rows; row += group)
        nb_matrix_pack(m, row, bytes + (size_t)row * row_bytes);
    nb_model_split_merged(model);
    if (is_tied)
        model->output = *m;
    return NB_OK;
}

/* "blk.3.attn_q.weight" of layer 3, or "output.weight" of no layer -> its slot; NULL: there is none. */
static const nb_slot *slot_of(const nb_model *model, uint32_t layer, nb_text name) {
    uint32_t number;
    if (layer == NB_NO_LAYER)
        return nb_slot_find(model, name, false);
    bool inside = nb_text_take(&name, "blk.") && nb_text_take_number(&name, &number) && nb_text_take(&name, ".");
    return inside && number == layer ? nb_slot_find(model, name, true) : NULL;
}

int32_t nb_model_replace(nb_model *model, uint32_t layer, nb_text name, uint32_t type, const uint8_t *bytes,
                         size_t size, nb_error *err) {
    const nb_slot *slot = slot_of(model, layer, name);
    uint8_t *owner = slot && slot->in_layer ? (uint8_t *)&model->layers[layer] : (uint8_t *)model;
    void *place = slot ? owner + slot->at : NULL;
    nb_matrix *m = slot && slot->is_matrix ? place : NULL;
    float *vector = slot && !slot->is_matrix ? *(float **)place : NULL;
    /* A view of a merged tensor, such as q of attn_qkv, has no tensor of its own in the file. */
    bool is_view =
        m && m->rows && !slot->by_expert &&
        !nb_text_equal(nb_checkpoint_tensor_name(&model->checkpoint, &model->checkpoint.tensors[m->tensor]), name);
    if ((!m || !m->rows || is_view) && !vector)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%s has no tensor %t whose weights could be replaced",
                       layer == NB_NO_LAYER ? "the model" : "the layer", name);
    uint64_t columns = nb_extent_of(&model->shape, slot->columns);
    uint64_t rows = m ? m->rows : nb_extent_of(&model->shape, slot->rows), blocks, wanted;
    const nb_traits *t = nb_traits_of(type);
    if (!t || columns % t->block_weights)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "tensor %t has rows of %l numbers, which cannot be of type %u", name,
                       columns, type);
    if (!nb_multiply(columns / t->block_weights, rows, &blocks) || !nb_multiply(blocks, t->block_bytes, &wanted) ||
        wanted != size)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "tensor %t has %l rows of %l numbers; of type %s these are not %z bytes",
                       name, rows, columns, t->name, size);
    NB_TRY(nb_slot_check_split(model, slot, type, name, err));
    if (!nb_blocks_are_finite(type, bytes, size))
        return NB_FAIL(err, NB_ERR_FORMAT, "the new weights of tensor %t have infinities or NaN", name);
    if (!m)
        return nb_vector_fill(type, bytes, size, vector, (size_t)(rows * columns), err);
    return replace_matrix(model, m, type, bytes, size / m->rows, err);
}
