/* A search for scales and minima that looks further than the reference's: `best` of nb_encoding.
 *
 * A block's weights are w = d s q - m z: codes q, a scale s and a minimum z for each group, all of them integers, and
 * two numbers of binary16 for the block. The error that counts is the sum of weight (w - x)^2 over the block. */
#ifndef NB_QUANTIZE_BEST_H
#define NB_QUANTIZE_BEST_H

#include "quantize_search.h"

/* What a type can hold. */
typedef struct nb_best {
    int groups, group;         /* how many, and how many weights in one */
    int low, high;             /* of codes */
    int scale_low, scale_high; /* 1, 1: blocks of one group, whose scale is d */
    int minimum_low;           /* 1: such a block's minimum is m, of any sign */
    int minimum_high;          /* 0: there are no minima */
    const int8_t *codebook;    /* [16] ascending, codes stand for these, from `low` to `high`; NULL: for themselves */
} nb_best;

typedef struct nb_best_block {
    uint16_t d, m;
    int16_t scales[16], minima[16];
    uint8_t codes[NB_SUPERBLOCK]; /* minus `low`, or of the codebook */
} nb_best_block;

/* Codes of least error are too small on the whole: what they stand for has (1 - error / sum weight x^2) of x in it, and
 * noise. Through the layers of a model the noise averages out, and the loss adds up. So the scale is made larger
 * afterwards, at most until nothing is lost, and at most until that has cost half of what the search gained. The
 * factor, from sums of weight times x^2, x w and w^2; gained: how much smaller the error became. */
float nb_unshrinking(float xx, float xw, float ww, float gained);

/* block: any encoding of x; it stays if nothing better is found. Its codes become the nearest ones in any case. weight:
 * NULL if all weights count alike. */
void nb_search_best(const nb_best *s, const float *x, const float *weight, nb_best_block *block);

#endif
