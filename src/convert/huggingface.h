/* Translates a Hugging Face folder (config.json and the files beside it) into GGUF's keys and names. So the engine need
 * not know where a model came from. */
#ifndef NB_HUGGINGFACE_H
#define NB_HUGGINGFACE_H

#include "folder.h"
#include "plan.h"

/* plan->in holds the tensors of the safetensors files. Adds targets with GGUF's names for those that the model needs,
 * and writes the values of all files to plan->out. */
int32_t nb_huggingface_plan(nb_plan *plan, const nb_folder *folder, nb_error *err);

#endif
