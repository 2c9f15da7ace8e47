/* Reads, writes and differentiates the scales and minima of quantized blocks. In tuning they learn while codes are
 * fixed (EfficientQAT's second phase, Chen et al. 2024, section 3.3). d and m are a block's binary16 numbers. s_g and
 * z_g are integers that some types have for each group g of weights; in other types they are 1. A weight i with the
 * code q_i is
 *
 *     w_i = d s_g q_i + sign m z_g         sign: -1 in K-quants, 1 in Q4_1 and Q5_1
 *
 * With G_i the loss's gradient with respect to w_i, and sums over the weights i of group g:
 *
 *     A_g = sum of G_i q_i,   B_g = sum of G_i
 *     dL/dd = sum over g of s_g A_g,          dL/ds_g = d A_g
 *     dL/dm = sign sum over g of z_g B_g,     dL/dz_g = sign m B_g
 *
 * Each of d, m, s_g and z_g is a parameter in F32. The forward pass rounds it to what the block can store, and computes
 * with the block. The backward pass ignores the rounding (straight-through estimator, Bengio et al. 2013). So training
 * sees exactly the numbers that are written. */
#ifndef NB_BLOCK_SCALES_H
#define NB_BLOCK_SCALES_H

#include <stdbool.h>
#include <stdint.h>

/* Where a type has its scales. */
typedef struct nb_scale_layout {
    uint16_t d_at;       /* byte of d; m follows it */
    uint8_t halves;      /* 1: d; 2: d and m; 0: the scales of this type cannot be tuned */
    int8_t sign;         /* of m z */
    uint8_t groups;      /* groups with an s each, and if there is m a z each; 0: s and z are 1 */
    int16_t least, most; /* the range of s. That of z is 0 to most */
    int16_t zero;        /* q = code - zero, for types without a codebook */
} nb_scale_layout;

/* NULL: scales of this type cannot be tuned. */
const nb_scale_layout *nb_scale_layout_of(uint32_t type);

/* The number of a block's parameters. Their order: d, m, all s, all z, without those that the type lacks. */
uint32_t nb_scale_count(const nb_scale_layout *layout);
enum { NB_MOST_SCALES = 34 };

/* Reads the parameters of a block -> values. False: d or m is not finite. */
bool nb_scales_read(uint32_t type, const void *block, float *values);

/* Rounds the values (to nearest, ties to even, clipped to the type's range) and writes them into the block. If a value
 * is NaN, d and m become NaN, so that the loss becomes NaN. */
void nb_scales_write(uint32_t type, const float *values, void *block);

/* gradient: G, [weights of a block] -> d_values, the gradients with respect to the parameters, computed with the
 * block's rounded numbers. */
void nb_scales_backward(uint32_t type, const void *block, const float *gradient, float *d_values);

#endif
