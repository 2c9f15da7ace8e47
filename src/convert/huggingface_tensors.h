/* Which tensor of the GGUF each tensor of a Hugging Face folder becomes, and how it must change. */
#ifndef NB_HUGGINGFACE_TENSORS_H
#define NB_HUGGINGFACE_TENSORS_H

#include "huggingface_config.h"
#include "sentence.h"

/* Assigns each tensor that the model needs to a target, and checks that no target lacks a source. */
int32_t nb_hf_place_tensors(const nb_hf_model *p, const nb_sentence *sentence);

#endif
