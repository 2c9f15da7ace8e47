/* Products of F32 tiles of 32 x 32, for methods that need whole matrices. Sums have the same order on every device: no
 * relaxed instructions, no fused multiply-add. */
#ifndef NB_TILES_H
#define NB_TILES_H

#include <stddef.h>
#include <stdint.h>

enum { NB_TILE = 32, NB_TILE_NUMBERS = NB_TILE * NB_TILE };

/* out[i][j] -= sum over k < n of a[i][k] b[j][k]: rows i < 32 and j < 32, strides in floats, n a multiple of 4. */
void nb_tile_subtract_dots(float *out, size_t out_stride, const float *a, size_t a_stride, const float *b,
                           size_t b_stride, size_t n);

/* out[i][j] -= sum over k < n of a[i][k] b[k][j]: rows i < 32; b is [n][32] without gaps. */
void nb_tile_subtract(float *out, size_t out_stride, const float *a, size_t a_stride, const float *b, size_t n);

#endif
