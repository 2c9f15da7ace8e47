/* From the tensors of a file to the places of a model. */
#ifndef NB_BIND_H
#define NB_BIND_H

#include "model.h"

/* Where a tensor goes. */
typedef struct nb_destination {
    nb_matrix *matrix;     /* from row `first` on; or */
    uint32_t first, rows;  /* rows: of the whole matrix; 0: another tensor has it made */
    float **vector;        /* or */
    const int32_t **order; /* or nothing: */
    /* the last: it must hold zeros, which change nothing */
    enum { NB_TAKEN, NB_WITHOUT_EFFECT, NB_ONLY_ZEROS } left_out;
    bool divides; /* the vector's numbers divide RoPE's frequencies */
} nb_destination;

/* Finds the family, configures it, checks every tensor against the slots, and allocates the weights.
 * destinations: [n_tensors], receives where each tensor goes. */
int32_t nb_model_plan(nb_model *model, nb_destination *destinations, nb_error *err);

/* Whether the file that model->checkpoint describes would be loaded: the same steps on *trial, but for the weights'
 * memory. trial has the shape then, as far as it is known; nb_model_trial_free. */
int32_t nb_model_try(const nb_model *model, nb_model *trial, nb_error *err);
void nb_model_trial_free(nb_model *trial);

#endif
