#include "unicode.h"

#include "unicode_classes.inc"

uint32_t nb_unicode_class(uint32_t codepoint) {
    if (codepoint < 128)
        return ascii_classes[codepoint];
    /* ranges[low] starts at or before it, ranges[high] after */
    uint32_t low = 0, high = sizeof ranges / sizeof *ranges;
    while (high - low > 1) {
        uint32_t middle = (low + high) / 2;
        if (ranges[middle] >> 3 <= codepoint)
            low = middle;
        else
            high = middle;
    }
    return ranges[low] & 7;
}
