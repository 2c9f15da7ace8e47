/* A Hugging Face folder (config.json and what lies beside it) as a checkpoint: the keys and names of GGUF, so that
 * families and tokenizers need not know where a model came from. */
#ifndef NB_HUGGINGFACE_H
#define NB_HUGGINGFACE_H

#include "../formats/composer.h"

/* The folder's files, each one's value; none where the file is absent. */
typedef struct nb_folder {
    nb_node config;            /* config.json */
    nb_node generation;        /* generation_config.json */
    nb_node tokenizer;         /* tokenizer.json */
    nb_node tokenizer_config;  /* tokenizer_config.json */
    nb_text chat_template;     /* chat_template.jinja */
} nb_folder;

/* x->c holds the tensors of the safetensors files, under their names. They get GGUF's, those that the model does not
 * need go, and the values of all files are added. */
int32_t nb_huggingface_compose(nb_composer *x, const nb_folder *folder, nb_error *err);

#endif
