/* bitsandbytes' codes and scales in separate arrays, as its folders store them. (quantize.h has blocks of both.) */
#ifndef NB_BNB_H
#define NB_BNB_H

#include <stddef.h>
#include <stdint.h>

enum { NB_BNB_NESTED = 256 /* double quantization: scales that share a scale */ };

/* n weights -> codes of NF4 or FP4 [n / 2, rounded up], two in a byte, the first in the upper half, and the absmax of
 * each block of weights [n / block, rounded up]. block: even. */
void nb_bnb_codes(uint32_t type, const float *x, size_t n, size_t block, uint8_t *codes, float *absmax);

/* Double quantization of these absmax (Dettmers et al. 2023, section 3): codes [n] of the dynamic map, and nested [n /
 * NB_BNB_NESTED, rounded up]. An absmax is map[code] nested + mean. Returns the mean. n > 0. */
float nb_bnb_scales(const float *absmax, size_t n, uint8_t *codes, float *nested);
void nb_bnb_dynamic_map(float map[256]);

/* A row of LLM.int8(): w = code most / 127. Returns `most`, the largest |w|, which is infinite if a weight is beyond
 * binary16. Weights are converted to binary16 first, as in bitsandbytes. Columns of the ascending list [outliers] do
 * not count, and their codes are 0. */
float nb_bnb_int8(const float *x, size_t n, const uint32_t *list, uint32_t outliers, int8_t *codes);

#endif
