/* Blocks of a file become weights of a model: vectors as they load, and tensors that are replaced later. */
#ifndef NB_WEIGHTS_H
#define NB_WEIGHTS_H

#include "model.h"

/* Blocks of a type, at any address, -> out[n]. */
int32_t nb_vector_fill(uint32_t type, const uint8_t *bytes, size_t size, float *out, size_t n, nb_error *err);

#define NB_NO_LAYER UINT32_MAX
/* From now on the weights of a tensor of a layer are these blocks, or of one outside the layers (NB_NO_LAYER). name:
 * "blk.0.attn_q.weight", "output.weight". A matrix may become one of another type. Experts are replaced all at once,
 * stacked, even if the file has them one by one. No session may be using the model. */
int32_t nb_model_replace(nb_model *model, uint32_t layer, nb_text name, uint32_t type, const uint8_t *bytes,
                         size_t size, nb_error *err);

/* Memory of weights that need more than those before: one for each matrix at most. */
typedef struct nb_replacement nb_replacement;
void nb_replacements_free(nb_model *model);

#endif
