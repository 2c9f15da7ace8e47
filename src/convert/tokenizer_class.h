/* Classes of tokenizers in transformers. Some of them build the tokenizer anew, from the vocabulary and from keys of
 * tokenizer_config.json, and ignore the steps of tokenizer.json. */
#ifndef NB_TOKENIZER_CLASS_H
#define NB_TOKENIZER_CLASS_H

#include "composer.h"

typedef struct nb_tokenizer_class {
    enum {
        NB_TOKENIZER_FILE,       /* tokenizer.json as it is */
        NB_TOKENIZER_BERT,       /* BertTokenizer: BertNormalizer by the keys */
        NB_TOKENIZER_BYTE_LEVEL, /* GPT2Tokenizer, RobertaTokenizer: ByteLevel by add_prefix_space */
        NB_TOKENIZER_LLAMA,      /* LlamaTokenizer: Metaspace by add_prefix_space and legacy, no normalizers */
        NB_TOKENIZER_UNIGRAM     /* XLMRobertaTokenizer, T5Tokenizer: Precompiled only; WhitespaceSplit and Metaspace */
    } kind;
    bool lower, strip_accents, space_chinese; /* BERT */
    bool prefix_space;                        /* the others */
    int32_t unknown;                          /* UNIGRAM: the unknown token, whatever the file says; else -1 */
    bool legacy;                              /* LLAMA: a space is added after special tokens, too */
} nb_tokenizer_class;

nb_tokenizer_class nb_tokenizer_class_of(nb_node tokenizer_config, nb_node config);

#endif
