/* Merging the symbols of a word, the best pair first: the loop that both kinds of BPE share.
 *
 * A heap holds one entry for each pair of neighbours that may merge, ordered by priority and then from left to right
 * (Sennrich et al. 2016, algorithm 1, in O(n log n)). Entries are not removed when one of their symbols is merged away:
 * an entry counts only if, when it comes up, the pair now there still has that priority. */
#ifndef NB_MERGE_H
#define NB_MERGE_H

#include "unicode.h"
#include "vocabulary.h"

enum {
    NB_SYMBOL_UNKNOWN = -1, /* of ids: a symbol that is no token */
    NB_SYMBOL_GONE = -2,    /* of ids: merged into the symbol before it */
    NB_SYMBOL_END = -1      /* of next and previous */
};

static inline void nb_heap_sift_down(uint64_t *heap, size_t n, size_t at) {
    uint64_t item = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && heap[child + 1] < heap[child])
            child++;
        if (item <= heap[child])
            break;
        heap[at] = heap[child];
    }
    heap[at] = item;
}

static inline void nb_heap_push(uint64_t *heap, size_t n, uint64_t item) {
    size_t at = n;
    for (; at && item < heap[(at - 1) / 2]; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

/* The priority (lower is better) of merging the symbols `left` and `right`, or UINT32_MAX; *merged is the outcome. */
typedef uint32_t (*nb_pair_function)(const nb_tokenizer *t, const nb_workspace *w, uint32_t left, uint32_t right,
                                     int32_t *merged);

/* w->ids[n], n >= 1, are the symbols; what is left of them is linked by w->next from symbol 0, (uint32_t)-1 last. */
static inline __attribute__((always_inline)) void nb_merge(const nb_tokenizer *t, nb_workspace *w, uint32_t n,
                                                           nb_pair_function pair) {
    const uint32_t none = (uint32_t)NB_SYMBOL_END;
    uint64_t *heap = w->heap;
    size_t n_heap = 0;
    int32_t merged;
    for (uint32_t i = 0; i < n; i++) {
        w->previous[i] = i ? i - 1 : none;
        w->next[i] = i + 1 < n ? i + 1 : none;
    }
    for (uint32_t i = 0; i + 1 < n; i++) {
        uint32_t priority = pair(t, w, i, i + 1, &merged);
        if (priority != UINT32_MAX)
            heap[n_heap++] = (uint64_t)priority << 32 | i;
    }
    for (size_t i = n_heap / 2; i-- > 0;)
        nb_heap_sift_down(heap, n_heap, i);
    while (n_heap) {
        uint64_t best = heap[0];
        heap[0] = heap[--n_heap];
        if (n_heap)
            nb_heap_sift_down(heap, n_heap, 0);
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
        /* a merge removes an entry and a symbol and adds at most two entries: never more than 2 n */
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

/* The characters of a word as symbols: their tokens in w->ids[*n], where they start in w->starts. */
int32_t nb_symbols_of(nb_encoding *e, const uint8_t *word, size_t size, uint32_t *n);

/* What is left of them, as tokens: a symbol that is none byte by byte. */
void nb_symbols_append(nb_encoding *e, const uint8_t *word, size_t size);

#endif
