/* Packs codes, scales and zero points in the layouts of folders (convert/arrangement.h describes them). */
#ifndef NB_GPTQ_PACK_H
#define NB_GPTQ_PACK_H

#include "../base/error.h"
#include "../nibble_quantize.h"

/* An error unless the format exists, and its groups divide the columns. */
int32_t nb_code_format_check(const nb_code_format *format, uint32_t columns, nb_error *err);

#endif
