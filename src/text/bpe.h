/* Byte-level BPE, and merges by rank. */
#ifndef NB_BPE_H
#define NB_BPE_H

#include "encoding.h"

/* The loaders take memory from the arena: the first run only measures. */
int32_t nb_bpe_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err);
int32_t nb_bpe_encode(nb_encode_call *e, const uint8_t *text, size_t size);

/* Merges by rank: those of BPE, and of SentencePiece's BPE where a file has merges instead of scores. */
int32_t nb_merges_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err);
void nb_merge_by_rank(const nb_tokenizer *t, nb_workspace *w, uint32_t n); /* as nb_merge (merge.h) */

#endif
