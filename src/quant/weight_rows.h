/* Rows of weights that are given to the quantizer. Their type may be any that can be dequantized. Their address must be
 * aligned as the type's blocks require. */
#ifndef NB_WEIGHT_ROWS_H
#define NB_WEIGHT_ROWS_H

#include "../base/error.h"

#include <stdbool.h>

/* An error unless rows of so many columns are whole blocks of the type. Call it before the functions below. */
int32_t nb_weights_check(uint32_t columns, uint32_t type, nb_error *err);
size_t nb_weights_row_bytes(uint32_t columns, uint32_t type);

/* Row `row` of `weights` -> out [columns]. Returns whether all are finite. */
bool nb_weights_row(uint32_t columns, uint32_t type, const void *weights, uint32_t row, float *out);

/* An error that names the first number of the row that is not finite. first_row: the matrix's row that is row 0 here,
 * for the message. scratch: [columns] */
int32_t nb_weights_refuse(uint32_t columns, uint32_t type, const void *weights, uint32_t row, uint32_t first_row,
                          float *scratch, nb_error *err);

enum { NB_NO_ROW = UINT32_MAX }; /* what *bad_row is at first */
/* Makes *bad_row the smaller of itself and `row`. Threads may call it in any order, and the first bad row remains. */
void nb_mark_row(uint32_t *bad_row, uint32_t row);

#endif
