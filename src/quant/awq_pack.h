/* The tensors of AWQ's "gemm" folders (autoawq): codes of 4 bits without a sign, eight rows of a column in a word.
 *
 *   qweight [columns][rows / 8] u32    row 8 k + i of the word k: bits 4 p ... 4 p + 3, p = 0 4 1 5 2 6 3 7 for i = 0 ... 7
 *   qzeros  [groups][rows / 8] u32     likewise
 *   scales  [groups][rows] F16
 */
#ifndef NB_AWQ_PACK_H
#define NB_AWQ_PACK_H

#include "uniform.h"

typedef struct nb_awq_tensors {
    uint32_t rows, columns, group;
    uint32_t *qweight, *qzeros;
    uint16_t *scales;
} nb_awq_tensors;

/* The grid of such a folder: 4 bits, scales of F16; symmetric ones have the zero 8. */
nb_uniform nb_awq_uniform(bool is_symmetric);

/* An error if a matrix cannot be packed so: rows that are no multiple of 8, groups that do not divide the columns. */
int32_t nb_awq_pack_check(const nb_awq_tensors *out, nb_error *err);

/* Rows first ... first + rows - 1, both multiples of 8, of nb_awq_uniform's grid: codes [rows][columns], steps
 * [rows][groups]. In slices, as rows come; the other rows' bits stay. */
void nb_awq_pack(nb_awq_tensors *out, uint32_t first, uint32_t rows, const int16_t *codes,
                 const nb_uniform_step *steps);

#endif
