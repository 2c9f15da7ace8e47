/* From the tensors of a file to the places of a model. */
#ifndef NB_BIND_H
#define NB_BIND_H

#include "model.h"

/* Where a tensor goes. */
typedef struct nb_destination {
    nb_matrix *matrix;     /* from row `first` on; or */
    uint32_t first, rows;  /* rows: of the whole matrix; 0: another tensor has it made */
    float **vector;        /* or */
    const int32_t **order; /* numbers of columns, below order_limit; or nothing: */
    uint32_t order_limit;
    /* the last: it must hold zeros, which change nothing */
    enum { NB_TAKEN, NB_WITHOUT_EFFECT, NB_ONLY_ZEROS } left_out;
    bool divides; /* the vector's numbers divide RoPE's frequencies */
    bool ascends; /* the numbers of columns do: each is there once at most */
} nb_destination;

/* Finds the family, configures it, checks every tensor against the slots, and allocates the weights.
 * destinations: [n_tensors], receives where each tensor goes. */
int32_t nb_model_plan(nb_model *model, nb_destination *destinations, nb_error *err);

/* Whether all tensors outside the layers are there; whether all of layer i are. Else the error names one that is
 * missing. */
int32_t nb_model_check_ends(const nb_model *model, nb_error *err);
int32_t nb_model_check_layer(const nb_model *model, uint32_t i, nb_error *err);

/* The slot of a name (in layers without "blk.N."), or NULL; a side of a tensor; whether a tensor of this type can be
 * taken apart as the slot's must be. */
const struct nb_slot *nb_slot_find(const nb_model *model, nb_text name, bool in_layer);
uint32_t nb_extent_of(const nb_shape *s, uint32_t extent);
int32_t nb_slot_check_parts(const nb_model *model, const struct nb_slot *slot, uint32_t type, nb_text name,
                            nb_error *err);

/* Tensors that are several in one become parts of it: again, after such a one was replaced. */
void nb_model_take_apart(nb_model *model);

/* Whether the file that model->checkpoint describes would be loaded: the same steps on *trial, but for the weights'
 * memory. trial has the shape then, as far as it is known; nb_model_trial_free. */
int32_t nb_model_try(const nb_model *model, nb_model *trial, nb_error *err);
void nb_model_trial_free(nb_model *trial);

#endif
