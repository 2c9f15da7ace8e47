/* tokenizer.json (Hugging Face's tokenizers library), and what stands beside it, as the values that GGUF has under
 * tokenizer.ggml. */
#ifndef NB_TOKENIZER_JSON_H
#define NB_TOKENIZER_JSON_H

#include "composer.h"

/* Nodes of the files; none where a file is absent. */
typedef struct nb_tokenizer_files {
    nb_node tokenizer;   /* tokenizer.json */
    nb_node config;      /* tokenizer_config.json */
    nb_node special_map; /* special_tokens_map.json */
    nb_node added;       /* added_tokens.json, which counts where there is no tokenizer.json */
    nb_node model;       /* config.json, and what that says of a text model */
    nb_node generation;  /* generation_config.json */
    uint64_t rows;       /* of the embedding; 0: unknown */
} nb_tokenizer_files;

/* Without a tokenizer nothing is added. What nibble does not know is refused by its name. */
int32_t nb_tokenizer_compose(nb_composer *x, const nb_tokenizer_files *files, nb_error *err);

#endif
