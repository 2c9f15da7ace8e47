/* A safetensors file: eight bytes with the length of the header; the header, a JSON object of tensors; their data.
 * Format: huggingface/safetensors, README.md, "Format". */
#ifndef NB_SAFETENSORS_H
#define NB_SAFETENSORS_H

#include "composer.h"

enum {
    NB_SAFETENSORS_LENGTH = 8,                /* bytes of the length */
    NB_SAFETENSORS_MAX_HEADER = 100 * 1000000 /* the format's own limit */
};

/* start: the file's first NB_SAFETENSORS_LENGTH bytes. *bytes: where its data begins. file_bytes = 0: unknown. */
int32_t nb_safetensors_begin(const uint8_t *start, uint64_t file_bytes, uint64_t *bytes, nb_error *err);

/* Adds the tensors of a file. header: its first `size` bytes, up to its data. Dimensions are reversed, because GGUF's
 * first one is contiguous. A type may have no traits in nibble. folder is put before each name. *end: where the last
 * tensor's data ends. */
int32_t nb_safetensors_parse(nb_composer *x, uint32_t file, nb_text folder, const uint8_t *header, size_t size,
                             uint64_t file_bytes, uint64_t *end, nb_error *err);

const char *nb_safetensors_type(uint32_t type); /* safetensors' name of a type that was read from a file */

#endif
