/* Codes, scales and zero points as folders lay them out (convert/arrangement.h has the layouts). */
#ifndef NB_GPTQ_PACK_H
#define NB_GPTQ_PACK_H

#include "../base/error.h"
#include "../nibble_quantize.h"

/* An error unless the format exists, and its groups divide the columns. */
int32_t nb_code_format_check(const nb_code_format *format, uint32_t columns, nb_error *err);

#endif
