/* quantization_config of a Hugging Face folder: which library quantized its weights, and how. */
#ifndef NB_HUGGINGFACE_QUANTIZATION_H
#define NB_HUGGINGFACE_QUANTIZATION_H

#include "folder.h"
#include "plan.h"

/* Fills in plan->quantization: from config.json, or from a file of AutoGPTQ's or AutoAWQ's beside it. */
int32_t nb_hf_read_quantization(nb_plan *plan, const nb_folder *folder, nb_error *err);

#endif
