/* Tokenizers: text -> token ids and back. Built from what a file says of its vocabulary, never from weights.
 *
 * Kinds: BPE behind a named pre-tokenizer (nearly always byte-level), SentencePiece's BPE, which merges by score and
 * falls back to byte tokens, SentencePiece's unigram model, and WordPiece.
 * Broken UTF-8: byte-level BPE and byte fallback encode the bytes as they are; for everything that looks at characters
 * a broken sequence is one U+FFFD a byte. */
#ifndef NB_TOKENIZER_H
#define NB_TOKENIZER_H

#include "../formats/checkpoint.h"

typedef struct nb_tokenizer nb_tokenizer;

/* Of a GGUF file's values (gguf_vocabulary.c). Unknown kinds and pre-tokenizers are refused by name, saying what is
 * supported. NULL without an error when there is no vocabulary at all. c must outlive the tokenizer, which points into
 * c->header. */
nb_tokenizer *nb_tokenizer_new(const nb_checkpoint *c, nb_error *err);

/* Of what any reader has found (vocabulary.h). */
struct nb_vocabulary_source;
nb_tokenizer *nb_tokenizer_build(const struct nb_vocabulary_source *source, nb_error *err);
void nb_tokenizer_free(nb_tokenizer *t);

/* As nb_tokenize (nibble.h). */
int32_t nb_tokenizer_encode(const nb_tokenizer *t, const char *text, size_t text_bytes, uint32_t flags, int32_t *tokens,
                            int32_t capacity, nb_error *err);

/* As nb_tokenize_quoted (nibble.h). */
int32_t nb_tokenizer_encode_quoted(const nb_tokenizer *t, const char *text, size_t text_bytes, uint32_t flags, const nb_quote *quotes,
                                   size_t n_quotes, const nb_plain *plain, size_t n_plain, int32_t *tokens, int32_t capacity,
                                   nb_error *err);

/* The bytes that a token stands for, as the text would hold them (byte-level decoded, SentencePiece's U+2581 as a
 * space, <0xHH> as that byte). A special token gives its name with NB_DETOKENIZE_SPECIAL, else nothing.
 * Returns the length; writes at most capacity bytes. */
int32_t nb_tokenizer_bytes(const nb_tokenizer *t, int32_t token, uint32_t flags, char *out, int32_t capacity);

int32_t nb_tokenizer_size(const nb_tokenizer *t);
int32_t nb_tokenizer_begin(const nb_tokenizer *t); /* the beginning token, or -1 */
int32_t nb_tokenizer_end(const nb_tokenizer *t);   /* the end token (EOS), or -1 */
bool nb_tokenizer_is_end(const nb_tokenizer *t, int32_t token); /* EOS, EOT, EOM, <|im_end|>, ...: as llama.cpp's EOG */
int32_t nb_tokenizer_type(const nb_tokenizer *t, int32_t token); /* as nb_model_token_type */
nb_text nb_tokenizer_name(const nb_tokenizer *t, int32_t token); /* as in the vocabulary */
bool nb_tokenizer_composes(const nb_tokenizer *t); /* texts are to be in Unicode's NFC before they are encoded */
const char *nb_tokenizer_kind(const nb_tokenizer *t);            /* "bpe", "spm", "unigram", "wordpiece" */

/* The streaming decoder of nibble.h, over a tokenizer. */
nb_detokenizer *nb_detokenizer_over(const nb_tokenizer *t, uint32_t flags, nb_error *err);

#endif
