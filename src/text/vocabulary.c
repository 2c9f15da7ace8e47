#include "vocabulary.h"

#include "../base/numbers.h"

static bool is_name(const nb_tokenizer *t, int32_t token, nb_text a, nb_text b) {
    nb_text name = nb_token_name(t, token);
    return name.size == a.size + b.size && nb_compare(name.data, a.data, a.size) == 0 &&
           nb_compare(name.data + a.size, b.data, b.size) == 0;
}

int32_t nb_vocabulary_find(const nb_tokenizer *t, nb_text a, nb_text b) {
    uint32_t hash = nb_hash(nb_hash(NB_HASH_START, a.data, a.size), b.data, b.size);
    for (uint32_t at = hash & t->slot_mask; t->slots[at].number; at = (at + 1) & t->slot_mask)
        if (t->slots[at].hash == hash && is_name(t, (int32_t)t->slots[at].number - 1, a, b))
            return (int32_t)t->slots[at].number - 1;
    return -1;
}

/* Of two tokens with one name the later is found; an empty name is never found. */
static void add_name(nb_tokenizer *t, int32_t token) {
    nb_text name = nb_token_name(t, token), nothing = {0};
    if (!name.size)
        return;
    uint32_t hash = nb_hash(NB_HASH_START, name.data, name.size), at = hash & t->slot_mask;
    while (t->slots[at].number &&
           !(t->slots[at].hash == hash && is_name(t, (int32_t)t->slots[at].number - 1, name, nothing)))
        at = (at + 1) & t->slot_mask;
    t->slots[at] = (nb_token_slot){hash, (uint32_t)token + 1};
}

/* An array of numbers with an item for each of n tokens; *out = NULL if there is none. */
static int32_t find_numbers(const nb_checkpoint *c, const char *key, uint64_t n, const nb_value **out, nb_error *err) {
    *out = nb_checkpoint_find(c, key);
    if (*out && ((*out)->type != NB_VALUE_ARRAY || (*out)->item_type == NB_VALUE_STRING))
        return NB_FAIL(err, NB_ERR_FORMAT, "%s is not an array of numbers; convert the model anew", key);
    if (*out && (*out)->count < n)
        return NB_FAIL(err, NB_ERR_FORMAT, "%s has %l items for %l tokens; convert the model anew", key, (*out)->count,
                       n);
    return NB_OK;
}

int32_t nb_vocabulary_load(nb_tokenizer *t, const nb_checkpoint *c, nb_error *err) {
    const nb_value *names = nb_checkpoint_find(c, "tokenizer.ggml.tokens"), *scores, *types;
    if (!names || names->type != NB_VALUE_ARRAY || names->item_type != NB_VALUE_STRING || !names->count)
        return NB_FAIL(err, NB_ERR_FORMAT, "tokenizer.ggml.tokens is %s; convert the model anew",
                       names ? "not an array of strings, or is empty" : "missing");
    if (names->count > INT32_MAX / 4 || c->header_size > UINT32_MAX)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the vocabulary is too large: %l tokens in a header of %z bytes",
                       names->count, c->header_size);
    NB_TRY(find_numbers(c, "tokenizer.ggml.scores", names->count, &scores, err));
    NB_TRY(find_numbers(c, "tokenizer.ggml.token_type", names->count, &types, err));
    uint64_t slots = 16;
    while (slots < 2 * names->count)
        slots *= 2;
    t->tokens = nb_arena_take(&t->arena, names->count, sizeof *t->tokens);
    t->slots = nb_arena_take(&t->arena, slots, sizeof *t->slots);
    t->size = (int32_t)names->count;
    t->slot_mask = (uint32_t)(slots - 1);
    t->header = c->header;
    if (!t->tokens)
        return NB_OK; /* measuring */
    uint64_t at = names->at;
    for (int32_t i = 0; i < t->size; i++) {
        nb_text name = nb_checkpoint_next_string(c, &at);
        nb_token *token = &t->tokens[i];
        token->at = name.data ? (uint32_t)((const uint8_t *)name.data - c->header) : 0;
        token->size = (uint32_t)name.size;
        token->score = scores ? (float)nb_checkpoint_item(c, scores, (uint64_t)i) : 0;
        double type = types ? nb_checkpoint_item(c, types, (uint64_t)i) : NB_TOKEN_NORMAL;
        token->type = type >= NB_TOKEN_NORMAL && type <= NB_TOKEN_BYTE ? (uint8_t)type : NB_TOKEN_UNUSED;
        t->longest = NB_MAX(t->longest, token->size);
        add_name(t, i);
    }
    return NB_OK;
}

int32_t nb_workspace_reserve(nb_workspace *w, size_t symbols, nb_error *err) {
    if (symbols <= w->capacity)
        return NB_OK;
    size_t capacity = 256;
    while (capacity < symbols)
        capacity *= 2;
    nb_free(w->block);
    w->capacity = 0;
    size_t each = 2 * sizeof *w->heap + sizeof *w->ids + 3 * sizeof *w->next;
    w->block = capacity <= SIZE_MAX / 2 / each ? nb_alloc(capacity * each) : NULL;
    if (!w->block)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to tokenize a word of %z bytes; pass less text at once", symbols);
    w->heap = w->block; /* at most 2 entries a symbol (merge.h) */
    w->ids = (int32_t *)(w->heap + 2 * capacity);
    w->previous = (uint32_t *)(w->ids + capacity);
    w->next = w->previous + capacity;
    w->starts = w->next + capacity;
    w->capacity = capacity;
    return NB_OK;
}

int32_t nb_workspace_reserve_text(nb_workspace *w, size_t bytes, nb_error *err) {
    if (bytes <= w->text_capacity)
        return NB_OK;
    size_t capacity = 256;
    while (capacity < bytes)
        capacity *= 2;
    uint8_t *text = nb_alloc(capacity);
    if (!text)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to tokenize a word of %z bytes; pass less text at once", bytes);
    if (w->text_used)
        memcpy(text, w->text, w->text_used);
    nb_free(w->text);
    w->text = text;
    w->text_capacity = capacity;
    return NB_OK;
}

void nb_workspace_free(nb_workspace *w) {
    nb_free(w->block);
    nb_free(w->text);
}
