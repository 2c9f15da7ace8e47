/* The files that sentence-transformers has beside a model: what becomes of the tokens' vectors (models/embedding.h),
 * which prompts there are, and how long a text may be. */
#ifndef NB_SENTENCE_H
#define NB_SENTENCE_H

#include "folder.h"
#include "huggingface_config.h"

/* Of each step of the embedding, the folder that its tensors come from. */
typedef struct nb_sentence {
    nb_text folders[NB_MODULES];
    uint32_t n;
} nb_sentence;

/* Writes the values "nibble.embedding..."; none if the folder has no such files. */
int32_t nb_sentence_compose(const nb_hf_model *p, const nb_folder *folder, nb_sentence *out);

/* Places the tensor if it lies in a module's folder: "2_Dense/linear.weight"; *is_module says whether it does. */
int32_t nb_sentence_place(const nb_hf_model *p, const nb_sentence *sentence, uint32_t source, bool *is_module);

#endif
