/* Translates a folder of a LoRA adapter, as PEFT's save_pretrained writes it (adapter_config.json and
 * adapter_model.safetensors), into the GGUF that the engine reads (models/adapter.h). It is what llama.cpp's
 * convert_lora_to_gguf.py makes of it. */
#ifndef NB_PEFT_H
#define NB_PEFT_H

#include "plan.h"

/* plan->adapted says what the adapter is for. config: adapter_config.json. */
int32_t nb_peft_plan(nb_plan *plan, nb_node config, nb_error *err);

#endif
