/* The pages of a session's KV cache. A page is one tile of each layer and KV head: the keys and values of 32 positions.
 * A sequence has a list of its pages, in the order of its positions. Sequences that begin alike may share pages: before
 * one of them writes to a shared page, it gets a copy of its own. For example, sequence 1 was forked from the first 70
 * tokens of sequence 0 (nb_session_fork), and has written since:
 *
 *                   positions 0 ... 31    32 ... 63    64 ... 95
 *     sequence 0    page 0                page 1       page 2
 *     sequence 1    page 0                page 1       page 3: began as a copy of page 2
 *
 * There are as many pages as all sequences can need without sharing, so there is always a free one. */
#ifndef NB_PAGES_H
#define NB_PAGES_H

#include "session.h"

/* The sequence gets pages of its own for positions [first, end): new ones, or copies of those that it shares. */
void nb_pages_write(nb_session *s, nb_sequence *q, uint32_t first, uint32_t end);

/* The sequence gives back all pages but those of its first n positions. */
void nb_pages_cut(nb_session *s, nb_sequence *q, uint32_t n);

/* `to` gets the pages, the tokens and the adapters of the first n positions of `from`, in place of its own. The caller
 * sets what it holds. */
void nb_pages_share(nb_session *s, nb_sequence *to, const nb_sequence *from, uint32_t n);

#endif
