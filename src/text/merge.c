#include "merge.h"

#include "../base/hash.h"
#include "heap.h"
#include "names.h"
#include "word_cache.h"

/* ---- symbols --------------------------------------------------------------------------------------------------- */

/* The token whose name is this character. It is cached among the pairs, under a key that no pair of tokens has. */
static inline int32_t character_of(nb_encode_call *e, const uint8_t *s, uint32_t codepoint, size_t length) {
    if (length == 1 && s[0] < 0x80)
        return e->tokenizer->ascii_tokens[s[0]];
    const nb_word_cache *cache = e->tokenizer->cache;
    nb_text name = {(const char *)s, length};
    if (length == 1 || !cache->pairs)
        return nb_vocabulary_find_word(e->tokenizer, name);
    uint64_t pair = nb_pair_of(-1, (int32_t)codepoint);
    nb_cached_pair *slot = &cache->pairs[nb_pair_hash(pair, nb_hash_seed(0)) & cache->pair_mask];
    if (slot->pair != pair)
        *slot = (nb_cached_pair){pair, 0, nb_vocabulary_find_word(e->tokenizer, name)};
    return slot->merged;
}

int32_t nb_symbols_of(nb_encode_call *e, const uint8_t *word, size_t size, uint32_t *n) {
    NB_TRY(nb_workspace_reserve(&e->workspace, size, e->err));
    nb_workspace *w = &e->workspace;
    *n = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t codepoint = nb_utf8_decode(word + at, size - at, &length);
        w->starts[*n] = (uint32_t)at;
        w->ids[(*n)++] = character_of(e, word + at, codepoint, length);
    }
    return NB_OK;
}

void nb_symbols_append(nb_encode_call *e, const uint8_t *word, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    const nb_workspace *w = &e->workspace;
    bool after_unknown = false;
    for (uint32_t i = 0, next; i != (uint32_t)NB_SYMBOL_END; i = next) {
        next = w->next[i];
        if (w->ids[i] >= 0) {
            nb_token_append(&e->out, w->ids[i]);
            after_unknown = false;
            continue;
        }
        size_t end = next == (uint32_t)NB_SYMBOL_END ? size : w->starts[next];
        for (size_t at = w->starts[i]; at < end; at++) {
            int32_t token = t->byte_tokens[word[at]];
            bool again = t->steps.from_json && token == t->unknown &&
                         after_unknown; /* the library writes one for a run of them */
            if (token >= 0 && !again)
                nb_token_append(&e->out, token);
            after_unknown = token == t->unknown;
        }
    }
}

/* ---- merging --------------------------------------------------------------------------------------------------- */

enum { SHORT_WORD = 32 }; /* symbols */

/* For a short word: searches all pairs for the best. */
static void merge_short(const nb_tokenizer *t, nb_workspace *w, uint32_t n, nb_pair_function pair) {
    const uint32_t none = (uint32_t)NB_SYMBOL_END;
    uint32_t priorities[SHORT_WORD]; /* [i]: of merging symbol i with the next */
    int32_t merged[SHORT_WORD];
    for (uint32_t i = 0; i + 1 < n; i++)
        priorities[i] = pair(t, w, i, i + 1, &merged[i]);
    for (;;) {
        uint32_t best = UINT32_MAX, left = 0;
        for (uint32_t i = 0; i + 1 < n; i++)
            if (priorities[i] < best) {
                best = priorities[i];
                left = i;
            }
        if (best == UINT32_MAX)
            return;
        uint32_t right = w->next[left], following = w->next[right], before = w->previous[left];
        w->ids[left] = merged[left];
        w->ids[right] = NB_SYMBOL_GONE;
        w->next[left] = following;
        priorities[left] = UINT32_MAX;
        if (following != none) {
            priorities[right] = UINT32_MAX;
            w->previous[following] = left;
            priorities[left] = pair(t, w, left, following, &merged[left]);
        }
        if (before != none)
            priorities[before] = pair(t, w, before, left, &merged[before]);
    }
}

/* Most words are short. For a longer one a heap holds one entry for each pair of neighbours that may merge, ordered
 * by priority and then from left to right (Sennrich et al. 2016, algorithm 1, in O(n log n)). Entries stay in the heap
 * when one of their symbols is merged away. So an entry counts only if the pair that now stands there has its
 * priority. */
void nb_merge(const nb_tokenizer *t, nb_workspace *w, uint32_t n, nb_pair_function pair) {
    const uint32_t none = (uint32_t)NB_SYMBOL_END;
    uint64_t *heap = w->heap;
    size_t n_heap = 0;
    int32_t merged;
    for (uint32_t i = 0; i < n; i++) {
        w->previous[i] = i ? i - 1 : none;
        w->next[i] = i + 1 < n ? i + 1 : none;
    }
    if (n <= SHORT_WORD) {
        merge_short(t, w, n, pair);
        return;
    }
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t priority = pair(t, w, i, i + 1, &merged);
        if (priority != UINT32_MAX)
            heap[n_heap++] = (uint64_t)priority << 32 | i;
    }
    nb_heap_order(heap, n_heap);
    while (n_heap) {
        uint64_t best = nb_heap_pop(heap, n_heap--);
        uint32_t left = (uint32_t)best;
        if (w->ids[left] == NB_SYMBOL_GONE || w->next[left] == none)
            continue;
        uint32_t right = w->next[left];
        if (pair(t, w, left, right, &merged) != best >> 32)
            continue;
        w->ids[left] = merged;
        w->ids[right] = NB_SYMBOL_GONE;
        uint32_t following = w->next[right], before = w->previous[left];
        w->next[left] = following;
        /* A merge removes an entry and a symbol, and adds at most two entries: there are never more than 2 n. */
        if (following != none) {
            w->previous[following] = left;
            uint32_t priority = pair(t, w, left, following, &merged);
            if (priority != UINT32_MAX)
                nb_heap_push(heap, n_heap++, (uint64_t)priority << 32 | left);
        }
        if (before != none) {
            uint32_t priority = pair(t, w, before, left, &merged);
            if (priority != UINT32_MAX)
                nb_heap_push(heap, n_heap++, (uint64_t)priority << 32 | before);
        }
    }
}
