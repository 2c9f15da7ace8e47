/* Where a text holds the names of user-defined, control and unknown tokens, by llama.cpp's rules (its
 * tokenizer_st_partition). */
#ifndef NB_PARTITION_H
#define NB_PARTITION_H

#include "encoding.h"

/* Cuts a text at the names of user-defined tokens and encodes what lies between them. parse_special: it cuts at the
 * names of control and unknown tokens, too. */
int32_t nb_partition_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool parse_special);

#endif
