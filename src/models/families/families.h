/* The architectures that there are, one file each or a few that are much alike; families.c lists them. */
#ifndef NB_FAMILIES_H
#define NB_FAMILIES_H

#include "../blocks.h"
#include "../family.h"

extern const nb_family nb_family_llama, nb_family_smollm3, nb_family_granite, nb_family_deepseek;      /* llama.c */
extern const nb_family nb_family_ernie4_5;                                                             /* llama.c */
extern const nb_family nb_family_qwen2, nb_family_qwen3, nb_family_qwen2moe, nb_family_qwen3moe;       /* qwen.c */
extern const nb_family nb_family_phi2, nb_family_phi3;                                                 /* phi.c */
extern const nb_family nb_family_gemma, nb_family_gemma2, nb_family_gemma3, nb_family_gemma_embedding; /* gemma.c */
extern const nb_family nb_family_gpt2;
extern const nb_family nb_family_opt;
extern const nb_family nb_family_stablelm;
extern const nb_family nb_family_gptneox;
extern const nb_family nb_family_olmo2;
extern const nb_family nb_family_falcon;
extern const nb_family nb_family_bert, nb_family_nomic_bert; /* bert.c */

/* Llama's layer: pre-norm, and a feed-forward network with a SiLU gate, or experts of that kind. */
void nb_llama_feed_forward(nb_step *p);
#define NB_LLAMA_LAYER {nb_usual_attention, nb_llama_feed_forward}

#endif
