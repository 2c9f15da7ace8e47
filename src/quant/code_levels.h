/* Chooses the scale and the zero point of a group, w = scale (code - zero), from the group's weights alone. The rules
 * are those of GPTQModel's Quantizer. */
#ifndef NB_CODE_LEVELS_H
#define NB_CODE_LEVELS_H

#include "gptq_feed.h"

typedef struct nb_code_rule {
    uint32_t bits;
    bool is_symmetric;
    int32_t least_zero; /* 1 for GPTQ's first format, which stores zero points minus 1; else 0 */
    float power;        /* the range with the least sum of |error|^power is chosen; 0: the weights' whole range */
} nb_code_rule;

/* x: n numbers, a multiple of 4. The scale is not rounded to a type yet. */
nb_levels nb_code_levels(const nb_code_rule *rule, const float *x, uint32_t n);

#endif
