/* A Hugging Face folder (config.json and what lies beside it) under the keys and names of GGUF, so that the engine need
 * not know where a model came from. */
#ifndef NB_HUGGINGFACE_H
#define NB_HUGGINGFACE_H

#include "plan.h"

/* The folder's files, each one's value; none where the file is absent. */
typedef struct nb_folder {
    nb_node config;            /* config.json */
    nb_node generation;        /* generation_config.json */
    nb_node tokenizer;         /* tokenizer.json */
    nb_node tokenizer_config;  /* tokenizer_config.json */
    nb_node pooling;           /* 1_Pooling/config.json, of sentence-transformers */
    nb_text chat_template;     /* chat_template.jinja */
} nb_folder;

/* plan->in holds the tensors of the safetensors files. Those that the model needs get targets with GGUF's names, and
 * plan->out the values of all files. */
int32_t nb_huggingface_plan(nb_plan *plan, const nb_folder *folder, nb_error *err);

#endif
