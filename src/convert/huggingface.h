/* A Hugging Face folder (config.json and what lies beside it) under the keys and names of GGUF, so that the engine need
 * not know where a model came from. */
#ifndef NB_HUGGINGFACE_H
#define NB_HUGGINGFACE_H

#include "plan.h"

enum { NB_MODULES = 16 };

/* A file config.json in a folder of its own, "1_Pooling". */
typedef struct nb_module {
    nb_text path;
    nb_node config;
} nb_module;

/* The folder's files, each one's value; none where the file is absent. */
typedef struct nb_folder {
    nb_node config;            /* config.json */
    nb_node generation;        /* generation_config.json */
    nb_node tokenizer;         /* tokenizer.json */
    nb_node tokenizer_config;  /* tokenizer_config.json */
    nb_node quantize_config;   /* quantize_config.json, of AutoGPTQ */
    nb_node quant_config;      /* quant_config.json, of AutoAWQ */
    nb_node special_map;       /* special_tokens_map.json */
    nb_node added;             /* added_tokens.json, where tokenizer.json was made of tokenizer.model */
    nb_node module_list;       /* modules.json, of sentence-transformers, as what follows (sentence.h) */
    nb_node sentence;          /* config_sentence_transformers.json */
    nb_node transformer;       /* sentence_bert_config.json */
    nb_module modules[NB_MODULES]; /* [n_modules] */
    uint32_t n_modules;
    nb_text chat_template;     /* chat_template.jinja */
} nb_folder;

/* plan->in holds the tensors of the safetensors files. Those that the model needs get targets with GGUF's names, and
 * plan->out the values of all files. */
int32_t nb_huggingface_plan(nb_plan *plan, const nb_folder *folder, nb_error *err);

#endif
