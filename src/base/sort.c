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

/* Shell's method, with gaps of 3 gap + 1 (Knuth, The Art of Computer Programming, section 5.2.1). */
void nb_sort_keys(uint64_t *keys, uint32_t n) {
    uint32_t gap = 1;
    while (gap < n / 3)
        gap = 3 * gap + 1;
    for (; gap; gap /= 3)
        for (uint32_t i = gap; i < n; i++) {
            uint64_t key = keys[i];
            uint32_t j = i;
            for (; j >= gap && keys[j - gap] > key; j -= gap)
                keys[j] = keys[j - gap];
            keys[j] = key;
        }
}
