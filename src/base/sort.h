/* Sorting by index, for tables that stay where they are. */
#ifndef NB_SORT_H
#define NB_SORT_H

#include <stdint.h>

/* < 0: a goes first, 0: either may */
typedef int (*nb_compare_items)(const void *table, uint32_t a, uint32_t b);

/* order[n] becomes 0 ... n-1, sorted. In place, and in n log n steps whatever the items are; equal ones in no order. */
void nb_sort(uint32_t *order, uint32_t n, nb_compare_items compare, const void *table);

#endif
