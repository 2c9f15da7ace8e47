#include "sort.h"

/* Heapsort. */
void nb_sort(uint32_t *order, uint32_t n, nb_compare_items compare, const void *table) {
    for (uint32_t i = 0; i < n; i++)
        order[i] = i;
    for (uint32_t start = n / 2, end = n; end > 1;) {
        uint32_t moving;
        if (start) { /* still building the heap */
            moving = order[--start];
        } else {
            moving = order[--end];
            order[end] = order[0];
        }
        uint32_t hole = start;
        for (uint32_t child; (child = 2 * hole + 1) < end; hole = child) {
            if (child + 1 < end && compare(table, order[child], order[child + 1]) < 0)
                child++;
            if (compare(table, moving, order[child]) >= 0)
                break;
            order[hole] = order[child];
        }
        order[hole] = moving;
    }
}
