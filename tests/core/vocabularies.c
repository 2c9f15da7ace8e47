#include "vocabularies.h"

#include "../../src/base/memory.h"
#include "../../src/base/writer.h"
#include "../../src/formats/gguf.h"
#include "../../src/text/detokenizer.h"
#include "../../src/text/unicode.h"

/* ---- files ----------------------------------------------------------------------------------------------------- */

const char *const test_vocabulary_names[TEST_VOCABULARIES] = {
    [TEST_SMOLLM] = "smollm",       [TEST_GPT2] = "gpt-2",      [TEST_LLAMA_BPE] = "llama-bpe",
    [TEST_QWEN2] = "qwen2",         [TEST_DEFAULT] = "default", [TEST_SPM] = "spm",
    [TEST_SPM_SPANS] = "spm-spans", [TEST_UNIGRAM] = "unigram", [TEST_UNIGRAM_SPACES] = "unigram-spaces",
    [TEST_WORDPIECE] = "wordpiece",
};

uint8_t *test_read_text(const char *name, const char *end, size_t *size) {
    char path[80];
    nb_writer w = nb_writer_over(path, sizeof path);
    nb_write(&w, "tests/fixtures/text/%s%s", name, end);
    return test_read_all(path, size);
}

bool test_vocabulary_open(test_vocabulary *v, int which) {
    const char *name = test_vocabulary_names[which];
    *v = (test_vocabulary){0};
    nb_gguf gguf = {0};
    nb_error err = {0};
    size_t size;
    v->checkpoint.header = test_read_text(name, ".gguf", &size);
    gguf.file_bytes = size;
    int32_t code = nb_gguf_parse(&gguf, &v->checkpoint, v->checkpoint.header, size, &err);
    v->checkpoint.header_size = size;
    if (CHECK(code == NB_GGUF_DONE, "%s: %s", name, err.message))
        v->tokenizer = nb_tokenizer_new(&v->checkpoint, &err);
    return CHECK(v->tokenizer, "%s: %s", name, err.message);
}

void test_vocabulary_close(test_vocabulary *v) {
    nb_tokenizer_free(v->tokenizer);
    nb_checkpoint_free(&v->checkpoint);
}

/* ---- made ones ------------------------------------------------------------------------------------------------- */

void test_values_begin(test_values *m, const char *model) {
    m->size = 0;
    m->checkpoint = (nb_checkpoint){0};
    if (model)
        test_add_string(m, "tokenizer.ggml.model", model);
}

static nb_value *add_value(test_values *m, const char *key, uint32_t type) {
    nb_value *v = &m->values[m->checkpoint.n_values++];
    *v = (nb_value){.key_at = m->size, .key_size = nb_length(key), .type = type};
    memcpy(m->header + m->size, key, nb_length(key));
    m->size += nb_length(key);
    v->at = m->size;
    return v;
}

static void add_bytes(test_values *m, nb_value *v, const void *bytes, size_t size) {
    memcpy(m->header + m->size, bytes, size);
    m->size += size;
    v->size += size;
}

void test_add_string(test_values *m, const char *key, const char *text) {
    nb_value *v = add_value(m, key, NB_VALUE_STRING);
    v->count = nb_length(text);
    add_bytes(m, v, text, nb_length(text));
}

void test_add_number(test_values *m, const char *key, uint32_t number) {
    add_bytes(m, add_value(m, key, NB_VALUE_U32), &number, sizeof number);
}

nb_value *test_add_list(test_values *m, const char *key) {
    nb_value *list = add_value(m, key, NB_VALUE_ARRAY);
    list->item_type = NB_VALUE_STRING;
    return list;
}

void test_add_item(test_values *m, nb_value *list, const char *text, size_t size) {
    uint64_t length = size;
    add_bytes(m, list, &length, sizeof length);
    add_bytes(m, list, text, size);
    list->count++;
}

void test_add_strings(test_values *m, const char *key, const char *items) {
    nb_value *list = test_add_list(m, key);
    while (*items) {
        char item[64];
        size_t n = 0;
        for (; *items && *items != ' '; items++)
            item[n++] = *items == '+' ? ' ' : *items;
        test_add_item(m, list, item, n);
        items += *items == ' ';
    }
}

void test_add_numbers(test_values *m, const char *key, uint32_t type, const void *items, uint64_t count, size_t bytes) {
    nb_value *v = add_value(m, key, NB_VALUE_ARRAY);
    v->item_type = type;
    v->count = count;
    add_bytes(m, v, items, bytes);
}

nb_tokenizer *test_values_tokenizer(test_values *m, nb_error *err) {
    m->checkpoint.header = m->header;
    m->checkpoint.header_size = m->size;
    m->checkpoint.values = m->values;
    return nb_tokenizer_new(&m->checkpoint, err);
}

/* ---- texts of tokens ------------------------------------------------------------------------------------------- */

static bool is_utf8(const char *text, size_t size) {
    for (size_t at = 0, length; at < size; at += length) {
        int whole;
        length = nb_utf8_prefix((const uint8_t *)text + at, size - at, &whole);
        if (!whole)
            return false;
    }
    return true;
}

size_t test_detokenize(const nb_tokenizer *t, uint32_t flags, const int32_t *tokens, int32_t n, char *out,
                       size_t capacity) {
    nb_error err = {0};
    nb_detokenizer *d = nb_detokenizer_over(t, flags, &err);
    size_t size = 0;
    if (!CHECK(d, "%s", err.message))
        return 0;
    for (int32_t i = 0; i <= n; i++) {
        int32_t room = (int32_t)(capacity - size);
        int32_t got = i < n ? nb_detokenizer_push(d, tokens[i], out + size, room, &err)
                            : nb_detokenizer_flush(d, out + size, room);
        if (!CHECK(got >= 0 && got <= room, "token %d: %d bytes, %s", i < n ? tokens[i] : -1, got, err.message))
            break;
        CHECK(is_utf8(out + size, (size_t)got), "token %d gives broken UTF-8", i < n ? tokens[i] : -1);
        size += (size_t)got;
    }
    nb_detokenizer_free(d);
    return size;
}
