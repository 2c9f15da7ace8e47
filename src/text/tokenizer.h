/* Tokenizers: text -> token ids and back. They are built from a file's vocabulary and need no weights.
 *
 * There are four kinds: BPE with a named pre-tokenizer (nearly always byte-level); SentencePiece's BPE, which merges
 * by score and falls back to byte tokens; SentencePiece's unigram model; WordPiece. Byte-level BPE and byte fallback
 * encode broken UTF-8 byte by byte, as it is. Elsewhere each byte of a broken sequence counts as one U+FFFD. */
#ifndef NB_TOKENIZER_H
#define NB_TOKENIZER_H

#include "../base/text.h"
#include "../nibble.h"

typedef struct nb_tokenizer nb_tokenizer;

/* Builds one from a vocabulary that a reader of any file format has filled in (vocabulary.h). */
struct nb_vocabulary_source;
nb_tokenizer *nb_tokenizer_build(const struct nb_vocabulary_source *source, nb_error *err);
void nb_tokenizer_free(nb_tokenizer *t);

/* As nb_tokenize (nibble.h). */
int32_t nb_tokenizer_encode(const nb_tokenizer *t, const char *text, size_t text_bytes, uint32_t flags, int32_t *tokens,
                            int32_t capacity, nb_error *err);

/* As nb_tokenize_quoted (nibble.h). */
int32_t nb_tokenizer_encode_quoted(const nb_tokenizer *t, const char *text, size_t text_bytes, uint32_t flags,
                                   const nb_quote *quotes, size_t n_quotes, const nb_plain *plain, size_t n_plain,
                                   int32_t *tokens, int32_t capacity, nb_error *err);

/* The bytes that a token stands for in a text: byte-level names are decoded, U+2581 is a space, <0xHH> is that byte.
 * A special token gives its name with NB_DETOKENIZE_SPECIAL, else nothing. Returns the length, and writes at most
 * capacity bytes. */
int32_t nb_tokenizer_bytes(const nb_tokenizer *t, int32_t token, uint32_t flags, char *out, int32_t capacity);
int32_t nb_tokenizer_longest(const nb_tokenizer *t); /* no token has more bytes */

int32_t nb_tokenizer_size(const nb_tokenizer *t);
int32_t nb_tokenizer_begin(const nb_tokenizer *t);               /* the beginning token (BOS), or -1 */
int32_t nb_tokenizer_end(const nb_tokenizer *t);                 /* the end token (EOS), or -1 */
bool nb_tokenizer_is_end(const nb_tokenizer *t, int32_t token);  /* EOS, EOT, EOM, <|im_end|>, ...: llama.cpp's EOG */
int32_t nb_tokenizer_type(const nb_tokenizer *t, int32_t token); /* as nb_model_token_type */
nb_text nb_tokenizer_name(const nb_tokenizer *t, int32_t token); /* as in the vocabulary */
bool nb_tokenizer_composes(const nb_tokenizer *t);               /* whether it encodes the NFC of a text */
const char *nb_tokenizer_kind(const nb_tokenizer *t);            /* "bpe", "spm", "unigram", "wordpiece" */

#endif
