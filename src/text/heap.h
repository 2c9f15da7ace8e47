/* A heap of numbers, the least first: heap[n]. */
#ifndef NB_HEAP_H
#define NB_HEAP_H

#include <stddef.h>
#include <stdint.h>

void nb_heap_order(uint64_t *heap, size_t n);               /* numbers in any order become a heap */
uint64_t nb_heap_pop(uint64_t *heap, size_t n);             /* n before */
void nb_heap_push(uint64_t *heap, size_t n, uint64_t item); /* n before */

#endif
