#include "heap.h"

static void sift_down(uint64_t *heap, size_t n, size_t at) {
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

void nb_heap_order(uint64_t *heap, size_t n) {
    for (size_t i = n / 2; i-- > 0;)
        sift_down(heap, n, i);
}

uint64_t nb_heap_pop(uint64_t *heap, size_t n) {
    uint64_t least = heap[0];
    heap[0] = heap[n - 1];
    if (n > 1)
        sift_down(heap, n - 1, 0);
    return least;
}

void nb_heap_push(uint64_t *heap, size_t n, uint64_t item) {
    size_t at = n;
    for (; at && item < heap[(at - 1) / 2]; at = (at - 1) / 2)
        heap[at] = heap[(at - 1) / 2];
    heap[at] = item;
}
