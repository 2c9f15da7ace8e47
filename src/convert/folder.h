/* The files of a Hugging Face folder besides its weights, as JSON. */
#ifndef NB_FOLDER_H
#define NB_FOLDER_H

#include "json.h"

enum { NB_MODULES = 16 };

/* The config.json of a module of sentence-transformers, in a folder such as "1_Pooling". */
typedef struct nb_module {
    nb_text path;
    nb_node config;
} nb_module;

/* The value of each file; no value where the file is absent. */
typedef struct nb_folder {
    nb_node config;                /* config.json */
    nb_node generation;            /* generation_config.json */
    nb_node tokenizer;             /* tokenizer.json */
    nb_node tokenizer_config;      /* tokenizer_config.json */
    nb_node quantize_config;       /* quantize_config.json, of AutoGPTQ */
    nb_node quant_config;          /* quant_config.json, of AutoAWQ */
    nb_node special_map;           /* special_tokens_map.json */
    nb_node added;                 /* added_tokens.json; only if tokenizer.json was made from tokenizer.model */
    nb_node module_list;           /* sentence-transformers' files (sentence.h): modules.json */
    nb_node sentence;              /* config_sentence_transformers.json */
    nb_node transformer;           /* sentence_bert_config.json */
    nb_module modules[NB_MODULES]; /* [n_modules] */
    uint32_t n_modules;
    nb_text chat_template; /* chat_template.jinja */
} nb_folder;

#endif
