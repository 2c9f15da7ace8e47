/* Special tokens: which begin, end and stop a text, and where a text holds their names. The rules are llama.cpp's. */
#include "vocabulary.h"

#include "../base/numbers.h"

/* Names that end a generation wherever they occur. */
static const char *const end_names[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>",
    "<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>",
    "<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~[",
    /* fill in the middle: padding, the next repository, the next file */
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>",
    "<reponame>", "<|file_sep|>"};

/* Names of control tokens that some files call normal. */
static const char *const control_names[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>",
    "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>",
    "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>",
    "▁<MID>", "<|code_middle|>", "<|middle|>"};

/* Names that structure an answer and are shown with it. */
static const char *const shown_names[] = {"<|channel|>", "<|message|>", "<|start|>", "<|constrain|>"};

/* Keys of tokens that end a generation, beside the end token itself. */
static const char *const end_keys[] = {"tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                                       "tokenizer.ggml.fim_pad_token_id", "tokenizer.ggml.fim_rep_token_id",
                                       "tokenizer.ggml.fim_sep_token_id"};

#define COUNT(array) (sizeof(array) / sizeof *(array))

static int32_t find_name(const nb_tokenizer *t, const char *name) {
    return nb_vocabulary_find(t, nb_text_of(name), (nb_text){0});
}

/* The token that a key names, or the fallback; -1 if that is no token. */
static int32_t token_of(const nb_tokenizer *t, const nb_checkpoint *c, const char *key, int32_t fallback) {
    double id = nb_checkpoint_number(c, key, fallback);
    if (id >= 0 && id < t->size)
        return (int32_t)id;
    return fallback < t->size ? fallback : -1;
}

static bool is_end_name(const nb_tokenizer *t, const char *name) {
    int32_t token = find_name(t, name);
    return token >= 0 && t->tokens[token].is_end;
}

/* In some vocabularies a name of the list above is an ordinary part of an answer: their other names tell. */
static void except_end(nb_tokenizer *t, const char *name, uint8_t type) {
    int32_t token = find_name(t, name);
    if (token >= 0 && t->tokens[token].is_end) {
        t->tokens[token].is_end = false;
        t->tokens[token].type = type;
    }
}

static void mark_ends(nb_tokenizer *t, const nb_checkpoint *c) {
    for (size_t i = 0; i < COUNT(end_names) + COUNT(control_names); i++) {
        bool ends = i < COUNT(end_names);
        int32_t token = find_name(t, ends ? end_names[i] : control_names[i - COUNT(end_names)]);
        if (token < 0)
            continue;
        t->tokens[token].is_end = ends;
        t->tokens[token].type = NB_TOKEN_CONTROL;
    }
    for (size_t i = 0; i < COUNT(shown_names); i++) {
        int32_t token = find_name(t, shown_names[i]);
        if (token >= 0)
            t->tokens[token].type = NB_TOKEN_USER_DEFINED;
    }
    if (t->end >= 0)
        t->tokens[t->end].is_end = true;
    for (size_t i = 0; i < COUNT(end_keys); i++) {
        int32_t token = token_of(t, c, end_keys[i], -1);
        if (token >= 0)
            t->tokens[token].is_end = true;
    }
    bool calls = is_end_name(t, "<|call|>") || is_end_name(t, "<|calls|>");
    if (calls && (is_end_name(t, "<|return|>") || is_end_name(t, "<|flush|>")))
        except_end(t, "<|end|>", NB_TOKEN_USER_DEFINED);
    if (is_end_name(t, "<|tool_response>") || is_end_name(t, "<|plamo:eos|>"))
        except_end(t, "</s>", NB_TOKEN_NORMAL);
}

static bool is_special(const nb_token *token, bool control) {
    return token->size && (token->type == NB_TOKEN_USER_DEFINED ||
                           (control && (token->type == NB_TOKEN_CONTROL || token->type == NB_TOKEN_UNKNOWN)));
}

static void add_start(nb_special_set *set, uint32_t a, uint32_t b) {
    set->starts[(a | b << 8) >> 3] |= (uint8_t)(1 << (a & 7));
}

/* Adds to the lengths, which stay in descending order; `length` cannot be more often than there is room. */
static void add_length(nb_special_set *set, uint32_t length) {
    uint32_t at = 0;
    while (at < set->n_lengths && set->lengths[at] > length)
        at++;
    if (at < set->n_lengths && set->lengths[at] == length)
        return;
    memmove(set->lengths + at + 1, set->lengths + at, (set->n_lengths - at) * sizeof *set->lengths);
    set->lengths[at] = length;
    set->n_lengths++;
}

void nb_special_load(nb_tokenizer *t, const nb_checkpoint *c) {
    /* names of n different lengths take n (n + 1) / 2 bytes of the header at least */
    uint64_t most = 1;
    while (most * (most + 1) / 2 < c->header_size)
        most *= 2;
    for (int control = 0; control < 2; control++)
        t->special[control].lengths = nb_arena_take(&t->arena, most, sizeof(uint32_t));
    if (!t->tokens)
        return; /* measuring */

    nb_text model = nb_checkpoint_string(c, "tokenizer.ggml.model");
    bool spm = nb_text_is(model, "llama");
    /* llama.cpp takes token 11 for a "gpt2" file's missing ids (Falcon's): that ends texts at some ordinary token */
    t->begin = token_of(t, c, "tokenizer.ggml.bos_token_id", spm ? 1 : -1);
    t->end = token_of(t, c, "tokenizer.ggml.eos_token_id", spm ? 2 : -1);
    t->unknown = token_of(t, c, "tokenizer.ggml.unknown_token_id", spm ? 0 : -1);
    mark_ends(t, c);
    t->add_begin = nb_checkpoint_number(c, "tokenizer.ggml.add_bos_token", t->pre ? t->pre->add_begin : spm) != 0;
    t->add_end = nb_checkpoint_number(c, "tokenizer.ggml.add_eos_token", 0) != 0;
    t->add_begin &= t->begin >= 0;
    t->add_end &= t->end >= 0;

    for (int control = 0; control < 2; control++)
        for (int32_t i = 0; i < t->size; i++) {
            if (!is_special(&t->tokens[i], control))
                continue;
            nb_text name = nb_token_name(t, i);
            uint32_t a = (uint8_t)name.data[0];
            if (name.size > 1)
                add_start(&t->special[control], a, (uint8_t)name.data[1]);
            else
                for (uint32_t b = 0; b < 256; b++)
                    add_start(&t->special[control], a, b);
            add_length(&t->special[control], (uint32_t)name.size);
        }
}

/* Whether a name may start at text[at]; at the text's end only names of one byte may, whose every follower is set. */
static inline bool may_start(const nb_special_set *set, const uint8_t *text, size_t at, size_t size) {
    uint32_t a = text[at], b = at + 1 < size ? text[at + 1] : 0;
    return set->starts[(a | b << 8) >> 3] >> (a & 7) & 1;
}

static int32_t special_at(const nb_tokenizer *t, const uint8_t *text, size_t size, bool control) {
    int32_t token = nb_vocabulary_find(t, (nb_text){(const char *)text, size}, (nb_text){0});
    return token >= 0 && is_special(&t->tokens[token], control) ? token : -1;
}

static bool get_bit(const uint8_t *bits, size_t i) {
    return bits[i >> 3] >> (i & 7) & 1;
}

static void set_bit(uint8_t *bits, size_t i) {
    bits[i >> 3] |= (uint8_t)(1 << (i & 7));
}

static int32_t encode_piece(nb_encoding *e, const uint8_t *text, size_t size) {
    return e->tokenizer->pre ? nb_bpe_encode(e, text, size) : nb_spm_encode(e, text, size);
}

/* taken: bytes that names hold; starts: those with which a name starts. Both zero. Longer names go first wherever they
 * stand, as in llama.cpp, names of one length from left to right (llama.cpp leaves their order to an unstable sort). A
 * name then overlaps one that was found before only if its first or its last byte is taken. */
static void find_specials(const nb_tokenizer *t, const uint8_t *text, size_t size, bool control, uint8_t *taken,
                          uint8_t *starts) {
    const nb_special_set *set = &t->special[control];
    for (uint32_t l = 0; l < set->n_lengths; l++) {
        size_t length = set->lengths[l];
        for (size_t at = 0; at + length <= size; at++) {
            if (!may_start(set, text, at, size) || get_bit(taken, at) || get_bit(taken, at + length - 1) ||
                special_at(t, text + at, length, control) < 0)
                continue;
            set_bit(starts, at);
            for (size_t i = at; i < at + length; i++)
                set_bit(taken, i);
            at += length - 1;
        }
    }
}

int32_t nb_special_encode(nb_encoding *e, const uint8_t *text, size_t size, bool control) {
    const nb_tokenizer *t = e->tokenizer;
    size_t first = 0;
    while (first < size && !may_start(&t->special[control], text, first, size))
        first++;
    if (first == size)
        return size ? encode_piece(e, text, size) : NB_OK;

    size_t bytes = size / 8 + 1;
    uint8_t *bits = nb_alloc(2 * bytes), *taken = bits, *starts = bits + bytes;
    if (!bits)
        return NB_FAIL(e->err, NB_ERR_MEMORY, "no memory to tokenize %z bytes; pass less text at once", size);
    memset(bits, 0, 2 * bytes);
    find_specials(t, text, size, control, taken, starts);
    int32_t code = NB_OK;
    for (size_t at = 0, end; at < size && code == NB_OK; at = end) {
        bool special = get_bit(taken, at);
        end = at + 1; /* of this name, or of the text before the next */
        while (end < size && get_bit(taken, end) == special && !(special && get_bit(starts, end)))
            end++;
        if (special)
            nb_token_append(&e->out, special_at(t, text + at, end - at, control));
        else
            code = encode_piece(e, text + at, end - at);
    }
    nb_free(bits);
    return code;
}
