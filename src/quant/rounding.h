/* What a row will be rounded to, for searches that try it: a uniform grid by groups, or the blocks of a type. */
#ifndef NB_ROUNDING_H
#define NB_ROUNDING_H

#include "code_levels.h"
#include "quantize.h"
#include "uniform.h"

typedef struct nb_rounding {
    const nb_uniform *uniform; /* NULL: blocks of `type` */
    const nb_code_rule *rule;  /* beside `uniform`: chooses each group's step; NULL: the grid covers the whole range */
    uint32_t group;            /* columns that share a step of the uniform grid */
    uint32_t type;   /* of those that nb_quantizer_of or, with neighbours in `how`, nb_grid_quantizer_of has */
    nb_encoding how; /* of blocks */
} nb_rounding;

/* Columns that are rounded together; 0, with an error, if there is no such rounding or if they do not divide a row. */
uint32_t nb_rounding_group(const nb_rounding *r, uint32_t columns, nb_error *err);

/* Bytes of scratch memory that rounding up to so many columns needs. */
uint64_t nb_rounding_bytes(uint32_t columns);

/* n columns, whole groups of a rounding that was checked -> what they will be once they are read again. out may be
 * x. */
void nb_round_row(const nb_rounding *r, const float *x, uint32_t n, float *out, void *scratch);

#endif
