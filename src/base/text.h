/* Byte strings with a length: what files hold, and what the core passes around instead of char pointers. */
#ifndef NB_TEXT_H
#define NB_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct nb_text {
    const char *data; /* not zero-terminated */
    size_t size;
} nb_text;

/* strlen, strcmp and memcmp would need a libc; memcpy, memmove and memset compile to single instructions. */
static inline size_t nb_length(const char *s) {
    size_t n = 0;
    while (s[n])
        n++;
    return n;
}

static inline int nb_compare(const void *a, const void *b, size_t n) {
    const uint8_t *x = a, *y = b;
    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

static inline nb_text nb_text_of(const char *s) {
    return (nb_text){s, nb_length(s)};
}

static inline bool nb_text_equal(nb_text a, nb_text b) {
    return a.size == b.size && nb_compare(a.data, b.data, a.size) == 0;
}

/* These are for names in files, so they need not be fast, and are functions of their own (text.c). */
bool nb_text_is(nb_text a, const char *s);
bool nb_text_ends(nb_text a, const char *s);
/* Removes a prefix; false if the text does not begin with it. */
bool nb_text_take(nb_text *text, const char *start);
/* Removes a decimal number, NB_MAX_NUMBER at most, from the start of a text. Leading zeros ("00", "07") are refused, so
 * that no two names mean the same tensor. */
enum { NB_MAX_NUMBER = 999999 };
bool nb_text_take_number(nb_text *text, uint32_t *number);

/* The value of a hexadecimal digit, or -1. */
static inline int32_t nb_hex_digit(uint8_t c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

#endif
