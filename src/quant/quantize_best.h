/* A wider search for scales and minima than llama.cpp's: `best` of nb_encoding.
 *
 * A block stands for w = d s q - m z: codes q, a scale s and a minimum z for each group, all of them integers, and d
 * and m in binary16 for the block. The search minimizes the sum of weight (w - x)^2 over the block, where x are the
 * numbers to encode, and each has a weight, its importance. */
#ifndef NB_QUANTIZE_BEST_H
#define NB_QUANTIZE_BEST_H

#include "quantize_search.h"

/* What a type can hold. */
typedef struct nb_best {
    int groups, group;         /* how many, and the weights of each */
    int low, high;             /* of q */
    int scale_low, scale_high; /* of s. 1, 1: blocks of one group, whose scale is d */
    int minimum_low;           /* of z. 1: blocks of one group, whose minimum is m, of any sign */
    int minimum_high;          /* of z. 0: there are no minima */
    const int8_t *codebook; /* [16] the numbers q that codes mean, ascending from `low` to `high`; NULL: q are codes */
} nb_best;

typedef struct nb_best_block {
    uint16_t d, m;
    int16_t scales[16], minima[16];
    uint8_t codes[NB_SUPERBLOCK]; /* q - low, or indices into the codebook */
} nb_best_block;

/* Corrects the shrinkage of a least-squares fit: w is (1 - error / sum weight x^2) x plus noise. Through the layers of
 * a model the noise averages out, but the shrinkage accumulates. So the scale is enlarged after the search, at most
 * until the shrinkage is gone, and at most until half of the search's gain is lost. Returns the factor. xx, xw, ww:
 * sums of weight times x^2, x w and w^2. gained: how much smaller the search made the error. */
float nb_shrinkage_correction(float xx, float xw, float ww, float gained);

/* block: an encoding of x to start from, which becomes the best one found. Its codes become the nearest ones in any
 * case. weight: of each error; NULL: all 1. */
void nb_search_best(const nb_best *s, const float *x, const float *weight, nb_best_block *block);

#endif
