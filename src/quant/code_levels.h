/* The scale and the zero point of a group of evenly spaced codes in a folder, chosen by its weights alone:
 * w = scale (code - zero). The rules are those of GPTQModel's Quantizer. */
#ifndef NB_CODE_LEVELS_H
#define NB_CODE_LEVELS_H

#include "gptq_feed.h"

typedef struct nb_code_rule {
    uint32_t bits;
    bool is_symmetric;
    int32_t least_zero; /* 1 of GPTQ's first format, which stores zero points less 1; else 0 */
    float power;        /* the range is the one with the least sum of |error|^power; 0: the weights' whole range */
} nb_code_rule;

/* x: n numbers, a multiple of 4. The scale is not rounded to a type yet. */
nb_levels nb_code_levels(const nb_code_rule *rule, const float *x, uint32_t n);

#endif
