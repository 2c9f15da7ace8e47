/* A Hugging Face folder (config.json and the files beside it) under GGUF's keys and names, so that the engine need
 * not know where a model came from. */
#ifndef NB_HUGGINGFACE_H
#define NB_HUGGINGFACE_H

#include "folder.h"
#include "plan.h"

/* plan->in holds the tensors of the safetensors files. Those that the model needs get targets with GGUF's names, and
 * plan->out the values of all files. */
int32_t nb_huggingface_plan(nb_plan *plan, const nb_folder *folder, nb_error *err);

#endif
