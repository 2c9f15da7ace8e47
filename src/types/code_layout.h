/* How the codes of GGUF's types lie in a block. */
#ifndef NB_CODE_LAYOUT_H
#define NB_CODE_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

/* Bits of the codes: `width` of weight i lie in byte at + i / period * run + i % run, from bit
 * width * (i % period / run) on, where period = run * 8 / width. So a run of bytes is used for 8 / width runs of
 * weights. */
typedef struct nb_code_field {
    uint8_t at, width, run;
} nb_code_field;

typedef struct nb_code_layout {
    uint16_t granule;        /* weights that share a scale and a minimum */
    int16_t least, most;     /* codes */
    nb_code_field low, high; /* the code's lower bits, and those above; width 0: there are none */
    uint8_t flip;            /* what is stored is the code with these bits flipped: Q8_0's are signed */
    uint8_t shift_flip;      /* of `low`: 4 if the first weight is in the high half of a byte */
    const int8_t *whole;     /* [16] what codes stand for; both NULL: for themselves, times a scale, plus a minimum */
    const float *real;
} nb_code_layout;

/* NULL: the type has none, as codes stand for several weights. */
const nb_code_layout *nb_code_layout_of(uint32_t type);

/* The code of weight i of a block. */
void nb_put_code(const nb_code_layout *layout, uint32_t i, uint32_t code, uint8_t *block);
uint32_t nb_code_at(const nb_code_layout *layout, uint32_t i, const uint8_t *block);

#endif
