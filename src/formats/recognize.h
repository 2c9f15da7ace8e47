/* What people pass by mistake for a model's file. One table knows these files by their first bytes; the readers of
 * weights and the converter ask it before they call a file damaged. */
#ifndef NB_RECOGNIZE_H
#define NB_RECOGNIZE_H

#include "../base/error.h"

#include <stdbool.h>

/* What a file should be. NB_EXPECT_TEXT: a chat template, or anything else that may begin in many ways. */
enum { NB_EXPECT_WEIGHTS, NB_EXPECT_JSON, NB_EXPECT_TEXT };

/* How many bytes tell all that can be told of a file that begins so: 16, more after white space, and 64
 * of JSON, which is shown. What nb_refuse_others says of that many is what it says of more. */
size_t nb_recognize_bytes(const uint8_t *data, size_t size);

/* NB_ERR_FORMAT, and what the file is instead, if its first bytes tell that it is not what is expected; else NB_OK,
 * also for GGUF and safetensors files. */
int32_t nb_refuse_others(const uint8_t *data, size_t size, int32_t expected, nb_error *err);

/* Whether this is the beginning of a safetensors file: the length of its header (u64, below 4 GiB) and the header's
 * brace. */
bool nb_is_safetensors(const uint8_t *data, size_t size);

#endif
