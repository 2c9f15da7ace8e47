/* Translates tokenizer.model (google/sentencepiece, sentencepiece_model.proto) into a tokenizer.json, for folders that
 * have none. */
#ifndef NB_SENTENCEPIECE_H
#define NB_SENTENCEPIECE_H

#include "tokenizer_class.h"

/* *json: text of *size bytes, to be freed with nb_free. */
int32_t nb_sentencepiece_json(const uint8_t *bytes, size_t n, nb_node tokenizer_config, nb_node config, uint8_t **json,
                              size_t *size, nb_error *err);

#endif
