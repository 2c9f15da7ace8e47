/* Causal attention, forward and backward. For each sequence and head, with queries Q, keys K and values V, [length,
 * head_size] each:
 *
 *     P = softmax(Q K^T / sqrt(head_size)), row i only over the columns 0 ... i,     O = P V
 *
 * and backward, with D the gradient with respect to O (Dao et al. 2022, appendix B.2):
 *
 *     dV = P^T D,   dP = D V^T,   dS = P (dP - rowsum(D O)) / sqrt(head_size),   dQ = dS K,   dK = dS^T Q
 *
 * Queries are processed in blocks of NB_QUERY_BLOCK, so that P is never in memory as a whole, and nearly nothing that
 * the mask hides is computed. heads / kv_heads adjacent query heads share a head of keys and values (Ainslie et al.
 * 2023). */
#ifndef NB_CAUSAL_H
#define NB_CAUSAL_H

#include "pass.h"

/* q, out: [n, heads * head_size]; k, v: [n, kv_heads * head_size]. */
void nb_attend_forward(const nb_pass *pass, const float *q, const float *k, const float *v, float *out);

/* From d_out to pass->d_q, d_k and d_v. out: the result of nb_attend_forward. */
void nb_attend_backward(const nb_pass *pass, const float *q, const float *k, const float *v, const float *out,
                        const float *d_out);

#endif
