/* A binary min-heap of numbers: heap[n]. */
#ifndef NB_HEAP_H
#define NB_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* n: the heap's size before the call. */
void nb_heap_order(uint64_t *heap, size_t n); /* numbers in any order become a heap */
uint64_t nb_heap_pop(uint64_t *heap, size_t n);
void nb_heap_push(uint64_t *heap, size_t n, uint64_t item);

#endif
