/* The files of sentence-transformers. They say how tokens' vectors become an embedding (models/embedding.h), which
 * prompts there are, and how long a text may be. */
#ifndef NB_SENTENCE_H
#define NB_SENTENCE_H

#include "folder.h"
#include "huggingface_config.h"

/* The folders of the tensors of each embedding step. */
typedef struct nb_sentence {
    nb_text folders[NB_MODULES];
    uint32_t n;
} nb_sentence;

/* Writes the values "nibble.embedding...", if the folder has such files. */
int32_t nb_sentence_compose(const nb_hf_model *p, const nb_folder *folder, nb_sentence *out);

/* Assigns the tensor to a target if it is in a module's folder (*is_module), like "2_Dense/linear.weight". */
int32_t nb_sentence_place(const nb_hf_model *p, const nb_sentence *sentence, uint32_t source, bool *is_module);

#endif
