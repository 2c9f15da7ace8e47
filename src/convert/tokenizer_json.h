/* Translates tokenizer.json (of Hugging Face's tokenizers library) and the files beside it into GGUF's values
 * tokenizer.ggml.*. */
#ifndef NB_TOKENIZER_JSON_H
#define NB_TOKENIZER_JSON_H

#include "composer.h"

/* Nodes of the files; none where a file is absent. */
typedef struct nb_tokenizer_files {
    nb_node tokenizer;   /* tokenizer.json */
    nb_node config;      /* tokenizer_config.json */
    nb_node special_map; /* special_tokens_map.json */
    nb_node added;       /* added_tokens.json, which counts only if there is no tokenizer.json */
    nb_node model;       /* config.json, or its object of the text model */
    nb_node generation;  /* generation_config.json */
    uint64_t rows;       /* of the embedding; 0: unknown */
} nb_tokenizer_files;

/* Writes the values. Without a tokenizer.json it writes that there is none. What nibble does not know is refused by
 * name. */
int32_t nb_tokenizer_compose(nb_composer *x, const nb_tokenizer_files *files, nb_error *err);

#endif
