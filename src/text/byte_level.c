#include "byte_level.h"

#include <stdbool.h>

/* Printable bytes stand for themselves. The 68 others become U+0100 ... U+0143, in order. */
static bool is_printable(uint32_t byte) {
    return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte != 0xad);
}

uint32_t nb_byte_character(uint8_t byte) {
    if (is_printable(byte))
        return byte;
    return 0x100u + (byte <= 0x20 ? byte : byte <= 0xa0 ? byte - 0x7fu + 0x21 : 0x43);
}

int32_t nb_character_byte(uint32_t codepoint) {
    if (codepoint < 0x100)
        return is_printable(codepoint) ? (int32_t)codepoint : -1;
    uint32_t n = codepoint - 0x100;
    return n <= 0x20 ? (int32_t)n : n <= 0x42 ? (int32_t)(n - 0x21 + 0x7f) : n == 0x43 ? 0xad : -1;
}
