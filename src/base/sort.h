/* Sorts indices of a table, or numbers. */
#ifndef NB_SORT_H
#define NB_SORT_H

#include <stdint.h>

/* < 0: a goes first, 0: either may */
typedef int (*nb_compare_items)(const void *table, uint32_t a, uint32_t b);

/* order[n] becomes 0 ... n-1, sorted by `compare`; the table itself stays as it is. It works in place, is not stable,
 * and compares O(n log n) times even in the worst case. */
void nb_sort(uint32_t *order, uint32_t n, nb_compare_items compare, const void *table);

/* Sorts keys[n] in place. It is quick for a few keys, and takes no more than some n^1.5 steps. */
void nb_sort_keys(uint64_t *keys, uint32_t n);

#endif
