/* Tensors whose numbers keep their values, but not their places. Elements are of any type.
 *
 *     NB_AS_TRANSPOSED  [in, out] -> [out, in]: Conv1D of GPT-2
 *     NB_AS_REGROUPED   [groups, queries + a key + a value, head] -> all queries, all keys, all values: fused
 *                       projections of GPT-NeoX and Falcon, and their biases
 *     NB_AS_TURNED      rows 0, 1, ..., n - 1 of each head -> rows 0, n/2, 1, n/2 + 1, ...: q and k of the Llama family.
 *                       transformers rotates row i with row i + n/2, llama.cpp neighbours
 *     NB_AS_STACKED     [columns], many of them -> [rows, columns], by the number in their names; of experts [rows,
 *                       columns] -> [experts, rows, columns]
 *     NB_AS_NUMBERS     numbers of config.json */
#ifndef NB_RESHAPE_H
#define NB_RESHAPE_H

#include "plan.h"

/* The sources must be parts of one tensor. Sets its type and shape. */
int32_t nb_reshape_check(nb_plan *plan, uint32_t target, nb_error *err);

/* Writes rows [first, first + rows) of the target, whose sources are all here. A vector is one row. */
void nb_reshape_rows(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out);

/* Of a target with one source, which has n rows: which of the files' rows becomes its row i. Transposed or not, rows are
 * those of the target. */
uint64_t nb_reshape_row(const nb_target *t, uint64_t i, uint64_t n);

#endif
