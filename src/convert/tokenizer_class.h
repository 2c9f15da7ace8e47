/* tokenizer_config.json against tokenizer.json: transformers builds the tokenizers of some classes anew, from the
 * vocabulary and from keys of tokenizer_config.json, and leaves what tokenizer.json says of their steps. */
#ifndef NB_TOKENIZER_CLASS_H
#define NB_TOKENIZER_CLASS_H

#include "composer.h"

typedef struct nb_tokenizer_class {
    enum {
        NB_CLASS_FILE,       /* tokenizer.json as it is */
        NB_CLASS_BERT,       /* BertTokenizer: BertNormalizer by the keys */
        NB_CLASS_BYTE_LEVEL, /* GPT2Tokenizer, RobertaTokenizer: ByteLevel by add_prefix_space */
        NB_CLASS_LLAMA,      /* LlamaTokenizer: Metaspace by add_prefix_space and legacy, no normalizers */
        NB_CLASS_UNIGRAM     /* XLMRobertaTokenizer, T5Tokenizer: Precompiled only; WhitespaceSplit and Metaspace */
    } kind;
    bool lower, strip_accents, space_chinese; /* BERT */
    bool prefix_space;                        /* the others */
    int32_t unknown;                          /* UNIGRAM: this token, whatever the file says; else -1 */
    bool legacy;                              /* LLAMA: the space comes after special tokens, too */
} nb_tokenizer_class;

nb_tokenizer_class nb_tokenizer_class_of(nb_node tokenizer_config, nb_node config);

#endif
