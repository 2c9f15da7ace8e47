/* Logarithmic levels: every number becomes 0 or a signed power of two, so that a product is a shift. As in Zhou et al.
 * 2017, "Incremental Network Quantization", section 2.1, but all codes of b bits are used:
 *
 *   levels: 0 and +-2^(top - k), k = 0 ... 2^(b-1) - 2;  top = floor(log2(4/3 largest magnitude))
 *   code:   0 for 0, else k + 1, and 2^(b-1) more for a minus
 *
 * A number becomes the nearest level; in the middle between two, the larger one. So 2^top is the power of two that is
 * nearest to the largest magnitude. */
#ifndef NB_LOG_LEVELS_H
#define NB_LOG_LEVELS_H

#include "../base/error.h"

/* n finite numbers of a group or a tensor, which share `top` -> codes. bits: 2 ... 8. If all numbers are 0, top is
 * 0. */
int32_t nb_log_levels(uint32_t bits, const float *x, size_t n, int32_t *top, uint8_t *codes, nb_error *err);

/* The same in two steps, for groups that are not in memory at once: `top` from the largest magnitude, and then the
 * codes of finite numbers. */
int32_t nb_log_top(float largest);
void nb_log_codes(uint32_t bits, int32_t top, const float *x, size_t n, uint8_t *codes);

/* codes -> numbers; levels below what F32 holds are 0. */
void nb_log_level_values(uint32_t bits, int32_t top, const uint8_t *codes, size_t n, float *out);

#endif
