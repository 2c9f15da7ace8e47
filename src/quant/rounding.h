/* Rounds a row as quantization will, for searches that compare results: to a uniform grid by groups, or to blocks of a
 * type. */
#ifndef NB_ROUNDING_H
#define NB_ROUNDING_H

#include "code_levels.h"
#include "quantize.h"
#include "uniform.h"

typedef struct nb_rounding {
    const nb_uniform *uniform; /* NULL: blocks of `type` */
    const nb_code_rule *rule;  /* of `uniform`: chooses each group's scale; NULL: the grid covers the whole range */
    uint32_t group;            /* of `uniform`: columns that share a scale */
    uint32_t type;             /* one that nb_encoder_of knows; if it has a grid, `how` must have its neighbours */
    nb_encoding how;           /* of blocks */
} nb_rounding;

/* The columns of a group or block; 0, with an error, if there is no such rounding, or if they do not divide a row. */
uint32_t nb_rounding_group(const nb_rounding *r, uint32_t columns, nb_error *err);

/* Bytes of scratch memory for rows of up to so many columns. */
uint64_t nb_rounding_bytes(uint32_t columns);

/* n columns, which must be whole groups or blocks -> out [n], rounded. out may be x. */
void nb_round_row(const nb_rounding *r, const float *x, uint32_t n, float *out, void *scratch);

#endif
