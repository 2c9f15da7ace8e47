/* Fills a model's weights from blocks: vectors while the model loads, and any tensor that is replaced later. */
#ifndef NB_WEIGHTS_H
#define NB_WEIGHTS_H

#include "model.h"

/* Dequantizes blocks to out[n]. bytes: at any address, aligned or not. */
int32_t nb_vector_fill(uint32_t type, const uint8_t *bytes, size_t size, float *out, size_t n, nb_error *err);

#define NB_NO_LAYER UINT32_MAX
/* Replaces the weights of a tensor. layer: the tensor's layer, or NB_NO_LAYER for one outside the layers. name:
 * "blk.0.attn_q.weight", "output.weight". bytes: the new weights, as blocks of `type`; a matrix may change its type.
 * The experts of a layer are replaced all at once, stacked, even if the file has them one by one. No session may be
 * using the model. */
int32_t nb_model_replace(nb_model *model, uint32_t layer, nb_text name, uint32_t type, const uint8_t *bytes,
                         size_t size, nb_error *err);

/* Memory of a matrix whose new weights need more than the old ones. The model has a list of these. */
typedef struct nb_replacement nb_replacement;
void nb_replacements_free(nb_model *model);

#endif
