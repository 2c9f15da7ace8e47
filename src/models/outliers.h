/* Columns of a matrix whose weights are kept in 16 bits, apart from the matrix: LLM.int8() (Dettmers et al. 2022,
 * section 3) at run time. A file has them beside a matrix X.weight of a layer, which should be 0 in these:
 *
 *     X.outliers         F16 [rows, n]   the weights
 *     X.outlier_columns  I32 [n]         the columns that they are, ascending
 *
 * With O = X.outliers the product is y = x W^T + x[columns] O^T, and where there is X.scale, both are multiplied by it
 * (multiply.c). What W has in these columns counts for nothing, as quantizing it again may leave something there. In
 * memory O is a matrix of its own, whose order (nb_matrix) is the list; W has no order then. */
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

/* Puts the weights that are kept apart into a row of w. out: [columns], in the order of the input; scratch: as long. */
void nb_outliers_put_row(const nb_matrix *w, uint32_t row, float *scratch, float *out);

#endif
