#include "tokenizer_entries.h"

#include "../base/hash.h"
#include "../base/memory.h"
#include "../text/vocabulary.h"

enum { NONE = UINT32_MAX };

typedef struct index {
    nb_entry *tokens;
    uint32_t *slots; /* [mask + 1], a power of two: tokens by the hash of their names, or NONE */
    uint32_t mask;
    uint64_t probes;
} index;

static bool is_spelled(const nb_entry *token, nb_text text) {
    char buffer[NB_LONGEST_ESCAPED];
    nb_text name = nb_spelled(token->name, buffer);
    return name.data && nb_text_equal(name, text);
}

/* The slot of the token with this name, or the free slot where it would be. */
static uint32_t *slot_of(index *x, nb_text text, uint32_t hash) {
    uint32_t at = hash & x->mask;
    for (; x->slots[at] != NONE; at = (at + 1) & x->mask) {
        const nb_entry *token = &x->tokens[x->slots[at]];
        x->probes++;
        if (token->hash == hash && is_spelled(token, text))
            break;
    }
    return &x->slots[at];
}

static void fill(index *x, uint32_t n, uint64_t most) {
    char buffer[NB_LONGEST_ESCAPED];
    for (uint32_t i = 0; i < n && x->probes < most; i++)
        if (x->tokens[i].flags & NB_OWN)
            *slot_of(x, nb_spelled(x->tokens[i].name, buffer), x->tokens[i].hash) = i;
}

/* The name of a merge's result, in out[2 * NB_LONGEST_ESCAPED]; .data = NULL if it is longer. */
static nb_text merged(nb_node merge, char *out) {
    nb_members two = nb_members_of(merge);
    nb_node part[2] = {merge};
    bool pair = nb_node_first(merge) != '"'; /* ["left", "right"], else "left right" */
    for (int i = 0; i < 2 && pair; i++)
        part[i] = nb_members_next(&two) ? two.value : (nb_node){0};
    size_t n = 0;
    for (int i = 0; i < 1 + pair; i++) {
        nb_text raw = nb_node_raw(part[i]);
        if (!raw.data || n + raw.size > 2 * NB_LONGEST_ESCAPED)
            return (nb_text){0};
        n += nb_node_decode(part[i], out + n);
    }
    for (size_t i = 1; i < n && !pair; i++) /* the first character belongs to the left name */
        if (out[i] == ' ') {
            memmove(out + i, out + i + 1, n - i - 1);
            return (nb_text){out, n - 1};
        }
    return (nb_text){out, n};
}

int32_t nb_entries_score(nb_entry *tokens, uint32_t n, nb_node merges, bool *done, nb_error *err) {
    uint32_t size = 256, count = 0, rank = 0;
    char text[2 * NB_LONGEST_ESCAPED];
    while (size < 2 * n)
        size *= 2;
    for (nb_members w = nb_members_of(merges); nb_members_next(&w);)
        count++;
    index x = {.tokens = tokens, .slots = nb_alloc_items(size, sizeof *x.slots), .mask = size - 1};
    if (!x.slots)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u tokens", n);
    memset(x.slots, 0xff, size * sizeof *x.slots);
    uint64_t most = nb_most_probes((uint64_t)n + count);
    for (uint32_t i = 0; i < n; i++)
        tokens[i].score = -(float)count - 1;
    fill(&x, n, most);
    for (nb_members w = nb_members_of(merges); nb_members_next(&w) && x.probes < most; rank++) {
        nb_text made = merged(w.value, text);
        uint32_t token = made.data ? *slot_of(&x, made, nb_spelling_hash(made)) : NONE;
        if (token != NONE && tokens[token].score < -(float)count)
            tokens[token].score = -(float)rank;
    }
    *done = x.probes < most;
    nb_free(x.slots);
    return NB_OK;
}
