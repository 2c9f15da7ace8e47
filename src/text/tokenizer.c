#include "tokenizer.h"

#include "../base/memory.h"
#include "unicode.h"
#include "vocabulary.h"

/* Run twice: to measure the arena, and to fill it. */
static int32_t load(nb_tokenizer *t, const nb_checkpoint *c, nb_error *err) {
    nb_text model = nb_checkpoint_string(c, "tokenizer.ggml.model");
    NB_TRY(nb_vocabulary_load(t, c, err));
    if (nb_text_is(model, "gpt2"))
        NB_TRY(nb_bpe_load(t, c, err));
    else if (!nb_text_is(model, "llama"))
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the tokenizer \"%t\" (tokenizer.ggml.model) is not supported; supported are gpt2 (byte-level "
                       "BPE) and llama (SentencePiece BPE)", model);
    nb_special_load(t, c);
    if (t->tokens && !t->pre)
        nb_spm_load(t);
    t->add_space = nb_checkpoint_number(c, "tokenizer.ggml.add_space_prefix", !t->pre) != 0;
    return NB_OK;
}

nb_tokenizer *nb_tokenizer_new(const nb_checkpoint *c, nb_error *err) {
    if (err)
        err->code = NB_OK;
    nb_text model = nb_checkpoint_string(c, "tokenizer.ggml.model");
    bool absent = !model.data && !nb_checkpoint_find(c, "tokenizer.ggml.tokens");
    if (absent || nb_text_is(model, "none") || nb_text_is(model, "no_vocab"))
        return NULL;
    nb_tokenizer measured = {0};
    nb_tokenizer *t = NULL;
    if (load(&measured, c, err) < 0)
        return NULL;
    nb_arena arena = measured.arena;
    if (nb_arena_take(&arena, 1, sizeof *t), nb_arena_allocate(&arena, "the vocabulary", err) < 0)
        return NULL;
    nb_tokenizer filled = {.arena = arena};
    if (load(&filled, c, err) < 0) {
        nb_arena_free(&arena);
        return NULL;
    }
    t = nb_arena_take(&filled.arena, 1, sizeof *t);
    *t = filled;
    return t;
}

void nb_tokenizer_free(nb_tokenizer *t) {
    if (t) {
        nb_arena arena = t->arena; /* holds t itself */
        nb_arena_free(&arena);
    }
}

int32_t nb_tokenizer_encode(const nb_tokenizer *t, const char *text, size_t text_bytes, uint32_t flags, int32_t *tokens,
                            int32_t capacity, nb_error *err) {
    if (text_bytes > INT32_MAX / 4 || capacity < 0)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "cannot tokenize %z bytes at once; pass at most %d", text_bytes,
                       (int32_t)(INT32_MAX / 4));
    nb_encoding e = {.tokenizer = t, .out = {.tokens = tokens, .capacity = capacity}, .err = err};
    if (flags & NB_TOKENIZE_ADD_SPECIAL && t->add_begin)
        nb_token_append(&e.out, t->begin);
    int32_t code = nb_special_encode(&e, (const uint8_t *)text, text_bytes, (flags & NB_TOKENIZE_PARSE_SPECIAL) != 0);
    if (flags & NB_TOKENIZE_ADD_SPECIAL && t->add_end)
        nb_token_append(&e.out, t->end);
    nb_workspace_free(&e.workspace);
    return code < 0 ? code : e.out.count;
}

/* out[0 ... capacity) of a text that is written byte by byte. */
typedef struct sink {
    char *out;
    int32_t capacity, size;
} sink;

static void put(sink *s, uint8_t byte) {
    if (s->size < s->capacity)
        s->out[s->size] = (char)byte;
    s->size++;
}

static void put_byte_level(sink *s, const uint8_t *name, size_t size) {
    for (size_t at = 0, length; at < size; at += length) {
        int32_t byte = nb_character_byte(nb_utf8_decode(name + at, size - at, &length));
        if (byte >= 0)
            put(s, (uint8_t)byte);
        else /* the vocabulary means the character itself */
            for (size_t i = 0; i < length; i++)
                put(s, name[at + i]);
    }
}

static void put_sentence_piece(sink *s, const uint8_t *name, size_t size) {
    for (size_t at = 0; at < size; at++)
        if (size - at >= 3 && name[at] == 0xe2 && name[at + 1] == 0x96 && name[at + 2] == 0x81) {
            put(s, ' ');
            at += 2;
        } else {
            put(s, name[at]);
        }
}

static int32_t hex_digit(uint8_t c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

int32_t nb_tokenizer_bytes(const nb_tokenizer *t, int32_t token, uint32_t flags, char *out, int32_t capacity) {
    if (token < 0 || token >= t->size)
        return 0;
    nb_text text = nb_token_name(t, token);
    const uint8_t *name = (const uint8_t *)text.data;
    sink s = {out, capacity, 0};
    switch (t->tokens[token].type) {
    case NB_TOKEN_UNKNOWN:
    case NB_TOKEN_CONTROL:
        if (!(flags & NB_DETOKENIZE_SPECIAL))
            break;
        /* fallthrough */
    case NB_TOKEN_USER_DEFINED:
        for (size_t i = 0; i < text.size; i++)
            put(&s, name[i]);
        break;
    case NB_TOKEN_NORMAL:
        if (t->pre)
            put_byte_level(&s, name, text.size);
        else
            put_sentence_piece(&s, name, text.size);
        break;
    case NB_TOKEN_BYTE: /* <0xHH> */
        if (text.size == 6 && hex_digit(name[3]) >= 0 && hex_digit(name[4]) >= 0)
            put(&s, (uint8_t)(hex_digit(name[3]) << 4 | hex_digit(name[4])));
        break;
    }
    return s.size;
}

int32_t nb_tokenizer_size(const nb_tokenizer *t) {
    return t->size;
}

int32_t nb_tokenizer_begin(const nb_tokenizer *t) {
    return t->begin;
}

int32_t nb_tokenizer_end(const nb_tokenizer *t) {
    return t->end;
}

bool nb_tokenizer_is_end(const nb_tokenizer *t, int32_t token) {
    return token >= 0 && token < t->size && t->tokens[token].is_end;
}

nb_text nb_tokenizer_name(const nb_tokenizer *t, int32_t token) {
    return token >= 0 && token < t->size ? nb_token_name(t, token) : (nb_text){0};
}

const char *nb_tokenizer_kind(const nb_tokenizer *t) {
    return t->pre ? "gpt2" : "llama";
}
