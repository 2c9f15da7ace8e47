/* How the codes of GGUF's types lie in a block. */
#ifndef NB_CODE_LAYOUT_H
#define NB_CODE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* Where bits of the codes lie in a block. Weight i has `width` bits in byte at + i / period * run + i % run, from bit
 * width * (i % period / run) on, where period = run * 8 / width. So a run of bytes holds 8 / width runs of weights. */
typedef struct nb_code_field {
    uint8_t at, width, run;
} nb_code_field;

typedef struct nb_code_layout {
    uint16_t granule;        /* weights that share a scale and a minimum */
    int16_t least, most;     /* codes */
    nb_code_field low, high; /* the code's lower bits, and those above; width 0: there are none */
    uint8_t flip;            /* codes are stored with these bits flipped: Q8_0 has signed numbers */
    uint8_t shift_flip;      /* of `low`: 4 if the first weight is in the high half of a byte */
    /* [16]: the numbers that codes stand for. Both NULL: the code itself, times a scale, plus a minimum */
    const int8_t *codebook;
    const float *float_codebook;
} nb_code_layout;

/* NULL for types that do not have one code for each weight. */
const nb_code_layout *nb_code_layout_of(uint32_t type);

/* The code of weight i of a block. */
void nb_put_code(const nb_code_layout *layout, uint32_t i, uint32_t code, uint8_t *block);
uint32_t nb_code_at(const nb_code_layout *layout, uint32_t i, const uint8_t *block);

#endif
