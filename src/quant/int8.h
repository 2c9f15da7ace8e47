/* W8A8, weights and activations of 8 bits: integer products, with a scale for each row of weights, and one for each
 * token or one for all tokens.
 *
 *   weights      symmetric, a scale for each row: w = s q, q = -128 ... 127, s = max|w| / 127.5
 *   activations  dynamic: the same with a scale for each token, computed at run time
 *                static: one scale and zero point for all, from a range that was observed in calibration
 *
 * compressed-tensors' folders of the format int-quantized store them as weight I8 [rows, columns], weight_scale [rows,
 * 1], input_scale [1], and for asymmetric activations input_zero_point I8 [1]. */
#ifndef NB_INT8_H
#define NB_INT8_H

#include "range_observer.h"
#include "uniform.h"

/* Scale and zero point of static activations. The scale is rounded to a type: NB_TYPE_F32, F16 or BF16. */
nb_uniform_step nb_int8_input(const nb_range *range, bool is_symmetric, uint32_t scale_type);

/* ---- LLM.int8(), section 3 of Dettmers et al. 2022 --------------------------------------------------------------- */

/* Columns with an activation that reached the threshold (the paper's is 6) are outliers. Their weights stay in 16 bits
 * and are multiplied with activations of 16 bits. Writes them to list [columns], ascending. Returns how many, or an
 * error. */
int32_t nb_int8_outliers(const float *largest, uint32_t columns, float threshold, uint32_t *list, nb_error *err);

/* w = q most / 127 for all columns but the outliers, whose q is 0. codes [rows][columns]: q. most [rows]: the largest
 * magnitude without outliers (bitsandbytes' SCB). kept [rows][n]: the weights of the outliers in binary16. first_row:
 * the matrix's row that is row 0 here, for messages. */
int32_t nb_int8_split(const float *w, uint64_t first_row, uint64_t rows, uint32_t columns, const uint32_t *list,
                      uint32_t n, int8_t *codes, float *most, uint16_t *kept, nb_error *err);

#endif
