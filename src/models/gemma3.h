/* Gemma 3's text models (Gemma Team 2025), what GGUF files call "gemma3". */
#ifndef NB_GEMMA3_H
#define NB_GEMMA3_H

#include "model.h"

extern const nb_family nb_family_gemma3;

#endif
