/* Quotes: stretches of a text in which the names of special tokens are only text (nb_tokenize_quoted). */
#ifndef NB_QUOTES_H
#define NB_QUOTES_H

#include "encoding.h"

/* The first quote that ends after the text's byte `from`, or n_quotes. */
size_t nb_quote_after(const nb_encode_call *e, size_t from);

/* Whether the name of this token at text[from ... to) is only text because a quote touches it. */
bool nb_is_quoted(const nb_encode_call *e, size_t from, size_t to, int32_t token);

#endif
