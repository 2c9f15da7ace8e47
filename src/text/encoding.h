/* One call of nb_tokenizer_encode: what all encoders read, and where they put their tokens. */
#ifndef NB_ENCODING_H
#define NB_ENCODING_H

#include "tokenizer_internal.h"
#include "workspace.h"

typedef struct nb_token_list {
    int32_t *tokens;
    int32_t capacity;
    int32_t count; /* goes on past the capacity, up to INT32_MAX: normalization may make a text many times as long */
} nb_token_list;

static inline void nb_token_append(nb_token_list *list, int32_t token) {
    if (list->count < list->capacity)
        list->tokens[list->count] = token;
    list->count += list->count < INT32_MAX;
}

typedef struct nb_encode_call {
    const nb_tokenizer *tokenizer;
    const uint8_t *start; /* of the text */
    nb_workspace workspace;
    nb_token_list out;
    nb_error *err;
    const nb_quote *quotes; /* [n_quotes], as nb_tokenize_quoted has them */
    const nb_plain *plain;  /* [n_plain] */
    size_t n_quotes, n_plain;
} nb_encode_call;

/* Appends a model's tokens for one word. */
typedef int32_t (*nb_word_encoder)(nb_encode_call *e, const uint8_t *word, size_t size);

#endif
