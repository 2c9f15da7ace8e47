/* Columns of a matrix whose weights are kept in 16 bits, separate from the matrix: LLM.int8() (Dettmers et al. 2022,
 * section 3) at run time. A file has them beside a matrix X.weight of a layer, which should be 0 in these columns:
 *
 *     X.outliers         F16 [rows, n]   the weights
 *     X.outlier_columns  I32 [n]         their columns, ascending
 *
 * With O = X.outliers the product is y = x W^T + x[columns] O^T, and where there is X.scale, both are multiplied by it
 * (multiply.c). W's own weights in these columns are ignored: quantizing W again may leave some there. In memory O is a
 * matrix of its own, whose order (nb_matrix) is the list of columns; then W has no order. */
#ifndef NB_OUTLIERS_H
#define NB_OUTLIERS_H

#include "bind.h"

/* Whether a tensor of this name is one of the two. */
bool nb_outliers_name(nb_text name);

/* Room for as many as the checkpoint could have. */
int32_t nb_outliers_reserve(nb_model *model, nb_error *err);

/* Binds one of the two tensors. of: the matrix of this slot that it belongs to; layer: -1 if that is of no layer. */
int32_t nb_outliers_bind(nb_model *model, const struct nb_slot *slot, nb_matrix *of, const nb_tensor_info *info,
                         int64_t layer, nb_destination *to, nb_error *err);

/* Puts the outliers into a row of w. out: [columns], in the order of the input; scratch: as long. */
void nb_outliers_put_row(const nb_matrix *w, uint32_t row, float *scratch, float *out);

#endif
