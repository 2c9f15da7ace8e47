/* The scales and minima of a quantized block, which learn while the block's codes stay (EfficientQAT's second phase,
 * Chen et al. 2024, section 3.3). d and m are the block's binary16 numbers; s_g and z_g are the whole numbers that
 * some types have for each of their groups g of weights, and 1 in other types. What weight i with the code q_i stands
 * for:
 *
 *     w_i = d s_g q_i + sign m z_g         sign: -1 in K-quants, 1 in Q4_1 and Q5_1
 *
 * With G_i the loss's gradient with respect to w_i, and sums over the weights i of group g:
 *
 *     A_g = sum of G_i q_i,   B_g = sum of G_i
 *     dL/dd = sum over g of s_g A_g,          dL/ds_g = d A_g
 *     dL/dm = sign sum over g of z_g B_g,     dL/dz_g = sign m B_g
 *
 * Each of these numbers is a parameter in F32. The forward pass rounds it to what the block can hold, and computes
 * with the block; backward the rounding counts as the identity (the straight-through estimator, Bengio et al. 2013).
 * So what is trained is what is written. */
#ifndef NB_BLOCK_SCALES_H
#define NB_BLOCK_SCALES_H

#include <stdbool.h>
#include <stdint.h>

/* Where a type has its scales. */
typedef struct nb_scale_layout {
    uint16_t d_at;       /* byte of d; m follows it */
    uint8_t halves;      /* 1: d; 2: d and m; 0: the scales of this type cannot be tuned */
    int8_t sign;         /* of m z */
    uint8_t groups;      /* with an s each, and with m a z each; 0: all of them are 1 */
    int16_t least, most; /* what s can be. z can be 0 to most */
    int16_t zero;        /* the code of q = 0, where codes stand for themselves */
} nb_scale_layout;

/* NULL: scales of this type cannot be tuned. */
const nb_scale_layout *nb_scale_layout_of(uint32_t type);

/* Parameters of a block, in this order: d, m, all s, all z; without those that the type lacks. */
uint32_t nb_scale_count(const nb_scale_layout *layout);
enum { NB_MOST_SCALES = 34 };

/* Returns false if d or m is not finite. */
bool nb_scales_read(uint32_t type, const void *block, float *values);

/* Rounds the values to what the block holds: ties go to even numbers, values beyond its range to the range's end.
 * Where a value is NaN, d and m become NaN, so that the loss tells. */
void nb_scales_write(uint32_t type, const float *values, void *block);

/* From G, `gradient` [weights of a block], to the gradients with respect to the parameters of the block. They are
 * taken at the block's own, rounded, numbers. */
void nb_scales_backward(uint32_t type, const void *block, const float *gradient, float *d_values);

#endif
