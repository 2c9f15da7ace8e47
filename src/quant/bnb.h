/* bitsandbytes' codes and scales apart from each other, as its folders have them (quantize.h has blocks of both). */
#ifndef NB_BNB_H
#define NB_BNB_H

#include <stddef.h>
#include <stdint.h>

enum { NB_BNB_RUN = 256 /* scales that share a scale of their own, in double quantization */ };

/* n weights -> codes of NF4 or FP4 [n / 2, rounded up], two a byte, the first in the upper half, and what 1 stands for
 * in each `block` of them [n / block, rounded up]. block: even. */
void nb_bnb_codes(uint32_t type, const float *x, size_t n, size_t block, uint8_t *codes, float *absmax);

/* Double quantization of such scales (Dettmers et al. 2023, section 3): codes [n] of the dynamic map, and nested [n /
 * NB_BNB_RUN, rounded up]. A scale is map[code] nested + mean, and the mean is returned. n > 0. */
float nb_bnb_scales(const float *absmax, size_t n, uint8_t *codes, float *nested);
void nb_bnb_dynamic_map(float map[256]);

/* A row of LLM.int8(): w = code most / 127; returns most, which is infinite where a weight has no place in binary16.
 * Weights become binary16 before anything else, as bitsandbytes does it. Those of the columns of the list [outliers],
 * which ascends, do not count, and their codes are 0. */
float nb_bnb_int8(const float *x, size_t n, const uint32_t *list, uint32_t outliers, int8_t *codes);

#endif
