/* tokenizer.json (Hugging Face's tokenizers library), and what stands beside it, as the values that GGUF has under
 * tokenizer.ggml. */
#ifndef NB_TOKENIZER_JSON_H
#define NB_TOKENIZER_JSON_H

#include "composer.h"

/* Without a tokenizer (none) nothing is added. What nibble does not know is refused by its name. */
int32_t nb_tokenizer_compose(nb_composer *x, nb_node tokenizer, nb_node tokenizer_config, nb_node config,
                             nb_node generation, nb_error *err);

#endif
