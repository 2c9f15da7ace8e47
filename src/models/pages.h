/* The pages of a session's KV cache. A page is one tile of each layer and KV head: the keys and values of 32 positions.
 * A sequence has a table of its pages. Sequences that begin alike may share pages, until one of them writes. There are
 * as many pages as all sequences can need, so there is always a free one. */
#ifndef NB_PAGES_H
#define NB_PAGES_H

#include "session.h"

/* The sequence gets pages of its own for positions [first, end): new ones, or copies of those that it shares. */
void nb_pages_write(nb_session *s, nb_sequence *q, uint32_t first, uint32_t end);

/* The sequence keeps the pages of its first n positions. */
void nb_pages_cut(nb_session *s, nb_sequence *q, uint32_t n);

/* `to` begins as the first n positions of `from`, instead of what it held: with the same pages, tokens and adapters. */
void nb_pages_share(nb_session *s, nb_sequence *to, const nb_sequence *from, uint32_t n);

#endif
