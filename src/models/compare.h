/* Logits of two models compared (nibble.h: nb_session_compare). */
#ifndef NB_COMPARE_H
#define NB_COMPARE_H

#include "session.h"

/* Compares the logits that the session has just computed with the base's. base: [rows, vocabulary]; next: [rows],
 * tokens of the vocabulary; out: [rows, NB_COMPARED_NUMBERS]. Afterwards nb_session_logits returns 0 rows. */
void nb_compare_logits(nb_session *session, uint32_t rows, const float *base, const int32_t *next, double *out);

#endif
