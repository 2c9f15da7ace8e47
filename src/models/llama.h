/* The Llama family: Llama 1-3, SmolLM2, and what GGUF files call "llama". */
#ifndef NB_LLAMA_H
#define NB_LLAMA_H

#include "model.h"

extern const nb_family nb_family_llama;

#endif
