/* Sorts indices of a table; the table itself stays as it is. */
#ifndef NB_SORT_H
#define NB_SORT_H

#include <stdint.h>

/* < 0: a goes first, 0: either may */
typedef int (*nb_compare_items)(const void *table, uint32_t a, uint32_t b);

/* order[n] becomes 0 ... n-1, sorted by `compare`. It works in place, is not stable, and compares O(n log n) times even
 * in the worst case. */
void nb_sort(uint32_t *order, uint32_t n, nb_compare_items compare, const void *table);

#endif
