/* Recognizes files that people load by mistake, by their first bytes. The readers of weights and the converter ask here
 * before they call a file damaged. */
#ifndef NB_RECOGNIZE_H
#define NB_RECOGNIZE_H

#include "../base/error.h"

#include <stdbool.h>

/* What a file should be. NB_EXPECT_TEXT: a chat template, or anything else that may begin in many ways. */
enum { NB_EXPECT_WEIGHTS, NB_EXPECT_JSON, NB_EXPECT_TEXT };

/* How many bytes nb_refuse_others needs of a file that begins so: 16, more after white space, and 64 of JSON, whose
 * beginning it shows. More bytes do not change its answer. */
size_t nb_recognize_bytes(const uint8_t *data, size_t size);

/* NB_ERR_FORMAT, with a message that says what the file is, if its first bytes show that it is not what is expected.
 * NB_OK for all other files, also for GGUF and safetensors. */
int32_t nb_refuse_others(const uint8_t *data, size_t size, int32_t expected, nb_error *err);

/* Whether this is the beginning of a safetensors file: the length of its header (u64, below 4 GiB) and the header's
 * brace. */
bool nb_is_safetensors(const uint8_t *data, size_t size);

#endif
