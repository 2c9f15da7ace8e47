/* Vocabularies for tests: those of tests/fixtures/text (tests/oracles/text_fixtures.py), and made ones. */
#ifndef NB_VOCABULARIES_H
#define NB_VOCABULARIES_H

#include "../../src/text/gguf_vocabulary.h"
#include "check.h"

/* ---- files ----------------------------------------------------------------------------------------------------- */

/* The first ones are byte-level BPE. Byte-level BPE and SentencePiece's BPE give the bytes of any text back. */
enum {
    TEST_SMOLLM,
    TEST_GPT2,
    TEST_LLAMA_BPE,
    TEST_QWEN2,
    TEST_DEFAULT,
    TEST_SPM,
    TEST_SPM_SPANS,
    TEST_UNIGRAM,
    TEST_UNIGRAM_SPACES,
    TEST_WORDPIECE,
    TEST_VOCABULARIES
};
enum { TEST_BYTE_LEVEL = TEST_SPM /* how many are byte-level */ };

extern const char *const test_vocabulary_names[TEST_VOCABULARIES];

typedef struct test_vocabulary {
    nb_checkpoint checkpoint;
    nb_tokenizer *tokenizer;
} test_vocabulary;

bool test_vocabulary_open(test_vocabulary *v, int which);
void test_vocabulary_close(test_vocabulary *v);

/* The file tests/fixtures/text/<name><end>, to be freed with nb_free. */
uint8_t *test_read_text(const char *name, const char *end, size_t *size);

/* ---- made ones ------------------------------------------------------------------------------------------------- */

/* Values in a header, as a reader of files would have found them. */
typedef struct test_values {
    uint8_t header[4096];
    size_t size;
    nb_value values[16];
    nb_checkpoint checkpoint;
} test_values;

/* No values but tokenizer.ggml.model; not even that if model is NULL. */
void test_values_begin(test_values *m, const char *model);
void test_add_string(test_values *m, const char *key, const char *text);
void test_add_number(test_values *m, const char *key, uint32_t number);

/* An array of strings, a space between each two; a '+' stands for a space within one. */
void test_add_strings(test_values *m, const char *key, const char *items);

/* An array of numbers. bytes: of all items. */
void test_add_numbers(test_values *m, const char *key, uint32_t type, const void *items, uint64_t count, size_t bytes);

/* An array of strings, whose items are appended one by one. */
nb_value *test_add_list(test_values *m, const char *key);
void test_add_item(test_values *m, nb_value *list, const char *text, size_t size);

/* NULL with *err filled if the values are refused. */
nb_tokenizer *test_values_tokenizer(test_values *m, nb_error *err);

/* ---- texts of tokens ------------------------------------------------------------------------------------------- */

/* Streams tokens through a detokenizer into out[capacity], and checks that every piece is whole UTF-8; returns the
 * bytes. */
size_t test_detokenize(const nb_tokenizer *t, uint32_t flags, const int32_t *tokens, int32_t n, char *out,
                       size_t capacity);

#endif
