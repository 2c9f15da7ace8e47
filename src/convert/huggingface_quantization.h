/* quantization_config of a Hugging Face folder: who quantized its weights, and how. */
#ifndef NB_HUGGINGFACE_QUANTIZATION_H
#define NB_HUGGINGFACE_QUANTIZATION_H

#include "plan.h"

/* Fills in plan->quantization. config: the section's value, or none. */
int32_t nb_hf_take_quantization(nb_plan *plan, nb_node config, nb_error *err);

#endif
