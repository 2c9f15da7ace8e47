/* Where the tensors of a file go in a model. */
#ifndef NB_BIND_H
#define NB_BIND_H

#include "model.h"

/* Where a tensor goes: into a matrix, a vector or an order, or nowhere. */
typedef struct nb_destination {
    nb_matrix *matrix;     /* from row `first` on */
    uint32_t first, rows;  /* rows: of the whole matrix; 0: another tensor has set it up */
    float **vector;        /* or */
    const int32_t **order; /* or: indices of columns, below order_limit */
    uint32_t order_limit;
    /* not NB_USED: nothing is computed with the tensor; NB_ONLY_ZEROS: so it must be all zeros */
    enum { NB_USED, NB_IGNORED, NB_ONLY_ZEROS } left_out;
    bool divides; /* the vector's numbers divide RoPE's frequencies */
    bool ascends; /* the order's indices must ascend */
} nb_destination;

/* Finds the family, configures it, finds the slot of every tensor and checks it, and allocates the weights.
 * destinations: [n_tensors], receives where each tensor goes. */
int32_t nb_model_bind(nb_model *model, nb_destination *destinations, nb_error *err);

/* Whether all tensors outside the layers are there, or all of layer i. If not, the error names a missing one. */
int32_t nb_model_check_ends(const nb_model *model, nb_error *err);
int32_t nb_model_check_layer(const nb_model *model, uint32_t i, nb_error *err);

/* The slot of a name (in layers without "blk.N."), or NULL. */
const struct nb_slot *nb_slot_find(const nb_model *model, nb_text name, bool in_layer);
/* The length of a side of a tensor; extent: nb_extent. */
uint32_t nb_extent_of(const nb_shape *s, uint32_t extent);
/* Whether a tensor of this type can be split, if the slot's must be. */
int32_t nb_slot_check_split(const nb_model *model, const struct nb_slot *slot, uint32_t type, nb_text name,
                            nb_error *err);

/* Makes q, k and v views of a merged tensor, and gate and up likewise. Again after such a tensor was replaced. */
void nb_model_split_merged(nb_model *model);

/* Whether the file that model->checkpoint describes could be loaded: does the same on *trial, but allocates no weights.
 * Afterwards trial has the shape, as far as it is known; free it with nb_model_trial_free. */
int32_t nb_model_try(const nb_model *model, nb_model *trial, nb_error *err);
void nb_model_trial_free(nb_model *trial);

#endif
