#include "merge.h"

void nb_heap_sift_down(uint64_t *heap, size_t n, size_t at) {
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

uint64_t nb_heap_pop(uint64_t *heap, size_t n) {
    uint64_t least = heap[0];
    heap[0] = heap[n - 1];
    if (n > 1)
        nb_heap_sift_down(heap, n - 1, 0);
    return least;
}

void nb_heap_push(uint64_t *heap, size_t n, uint64_t item) {
    size_t at = n;
    for (; at && item < heap[(at - 1) / 2]; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}

enum { SHORT_WORD = 32 }; /* symbols */

static void merge_short(const nb_tokenizer *t, nb_workspace *w, uint32_t n, nb_pair_function pair) {
    const uint32_t none = (uint32_t)NB_SYMBOL_END;
    uint32_t priorities[SHORT_WORD]; /* of merging a symbol with the next */
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
    for (size_t i = n_heap / 2; i-- > 0;)
        nb_heap_sift_down(heap, n_heap, i);
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
