/* Weights and activations of 8 bits, W8A8: products of whole numbers, with a scale for each row of weights and one for
 * each token or one for all.
 *
 *   weights      symmetric, a scale a row: w = s q, q = -128 ... 127, s = max|w| / 127.5
 *   activations  dynamic: the same, a token a row, when the token is known
 *                static: one step for the tensor, from a range that an observer chose in calibration
 *
 * as compressed-tensors' folders of the format int-quantized hold them: weight I8 [rows, columns], weight_scale [rows,
 * 1], input_scale [1], and input_zero_point I8 [1] of asymmetric activations. */
#ifndef NB_INT8_H
#define NB_INT8_H

#include "range_observer.h"
#include "uniform.h"

/* The step of static activations, whose scale has a type (NB_TYPE_F32, F16, BF16). */
nb_uniform_step nb_int8_input(const nb_range *range, bool is_symmetric, uint32_t scale_type);

/* ---- LLM.int8(), section 3 of Dettmers et al. 2022 --------------------------------------------------------------- */

/* Columns whose activations were ever so large are outliers (the paper's threshold is 6): their weights stay in 16
 * bits, so that they are multiplied with activations of 16 bits. list [columns] gets them, ascending; returns how many,
 * or an error. */
int32_t nb_int8_outliers(const float *largest, uint32_t columns, float threshold, uint32_t *list, nb_error *err);

/* w = q most / 127 for all columns but the outliers, of which q is 0. codes [rows][columns]; most [rows], the largest
 * magnitude without outliers (bitsandbytes' SCB); kept [rows][n] binary16, the weights of the outliers. first_row: of w
 * in its matrix, for messages. */
int32_t nb_int8_split(const float *w, uint64_t first_row, uint64_t rows, uint32_t columns, const uint32_t *list,
                      uint32_t n, int8_t *codes, float *most, uint16_t *kept, nb_error *err);

#endif
