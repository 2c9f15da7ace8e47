/* Writes a family's table of tensors: one line a tensor, an nb_slot. */
#ifndef NB_SLOTS_H
#define NB_SLOTS_H

#include "model.h"

#define NB_MODEL_MATRIX(name, member, rows, columns, optional) \
    {name, false, true, optional, offsetof(nb_model, member), NB_EXTENT_##rows, NB_EXTENT_##columns}
#define NB_MODEL_VECTOR(name, member, columns, optional) \
    {name, false, false, optional, offsetof(nb_model, member), NB_EXTENT_1, NB_EXTENT_##columns}
#define NB_LAYER_MATRIX(name, member, rows, columns) \
    {name, true, true, false, offsetof(nb_layer, member), NB_EXTENT_##rows, NB_EXTENT_##columns}
#define NB_LAYER_VECTOR(name, member, columns, optional) \
    {name, true, false, optional, offsetof(nb_layer, member), NB_EXTENT_1, NB_EXTENT_##columns}

#endif
