/* GGUF's names for the tensors of a Hugging Face folder, by the tables of huggingface_families.h. */
#ifndef NB_HUGGINGFACE_NAMES_H
#define NB_HUGGINGFACE_NAMES_H

#include "huggingface_config.h"

typedef struct nb_hf_name {
    char text[256];       /* holds `module` */
    nb_text module, leaf; /* module: GGUF's name of it, "blk.7.attn_q"; leaf: "weight" */
    bool known;           /* the tables have it */
    uint32_t row;         /* if many tensors become one: the row of this one; else NB_NONE */
} nb_hf_name;

/* "model.layers.7.self_attn.q_proj.weight" -> "blk.7.attn_q" and "weight" */
void nb_hf_name_of(const nb_hf_model *p, nb_text name, nb_hf_name *out);

/* Removes the first of these prefixes that the text has; false if it has none. prefixes ends with NULL. */
bool nb_hf_take_prefix(nb_text *text, const char *const *prefixes);

#endif
