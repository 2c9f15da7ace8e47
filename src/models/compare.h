/* Logits of two models compared (nibble.h: nb_session_compare). */
#ifndef NB_COMPARE_H
#define NB_COMPARE_H

#include "session.h"

/* The logits that the session has just computed, some rows of them, against the base's. base: [rows, vocabulary]; next:
 * [rows], tokens of the vocabulary; out: [rows, NB_COMPARED_NUMBERS]. The session's logits are used up then. */
void nb_compare_logits(nb_session *session, uint32_t rows, const float *base, const int32_t *next, double *out);

#endif
