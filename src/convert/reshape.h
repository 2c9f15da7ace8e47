/* Tensors whose numbers keep their values, but not their places. Elements are of any type.
 *
 *     NB_AS_TRANSPOSED  [in, out] -> [out, in]: Conv1D of GPT-2
 *     NB_AS_REGROUPED   [groups, queries + a key + a value, head] -> all queries, all keys, all values: fused
 *                       projections of GPT-NeoX and Falcon, and their biases
 *     NB_AS_PERMUTED    rows 0, 1, ..., n - 1 of each head -> rows 0, n/2, 1, n/2 + 1, ...: q and k of the Llama family,
 *                       because RoPE pairs row i with row i + n/2 in transformers, and with its neighbour in llama.cpp
 *     NB_AS_STACKED     many tensors [columns] -> [rows, columns], by the number in their names; of experts,
 *                       [rows, columns] -> [experts, rows, columns]
 *     NB_AS_NUMBERS     numbers from config.json */
#ifndef NB_RESHAPE_H
#define NB_RESHAPE_H

#include "plan.h"

/* Checks that the sources make one tensor, and sets its type and shape. */
int32_t nb_reshape_check(nb_plan *plan, uint32_t target, nb_error *err);

/* Writes rows [first, first + rows) of the target, whose sources have all arrived. A vector is one row. */
void nb_reshape_rows(const nb_plan *plan, uint32_t target, uint64_t first, uint64_t rows, uint8_t *out);

/* For a target with one source and n rows: the row of the source that becomes its row i. If the source is transposed,
 * its columns count as rows. */
uint64_t nb_reshape_row(const nb_target *t, uint64_t i, uint64_t n);

#endif
