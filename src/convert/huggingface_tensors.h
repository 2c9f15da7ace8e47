/* Which tensor of a Hugging Face folder becomes which tensor of the GGUF, and what must happen to it. */
#ifndef NB_HUGGINGFACE_TENSORS_H
#define NB_HUGGINGFACE_TENSORS_H

#include "huggingface_config.h"
#include "sentence.h"

/* Gives each tensor that the model needs to a target, and checks that the targets are whole. */
int32_t nb_hf_place_tensors(const nb_hf_model *p, const nb_sentence *sentence);

#endif
