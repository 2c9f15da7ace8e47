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

static inline bool nb_text_is(nb_text a, const char *s) {
    return nb_text_equal(a, nb_text_of(s));
}

static inline bool nb_text_ends(nb_text a, const char *s) {
    size_t n = nb_length(s);
    return a.size >= n && nb_compare(a.data + a.size - n, s, n) == 0;
}

/* The value of a hexadecimal digit, or -1. */
static inline int32_t nb_hex_digit(uint8_t c) {
    return c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
}

/* Removes a prefix; false if the text does not begin with it. */
static inline bool nb_text_take(nb_text *text, const char *start) {
    size_t n = nb_length(start);
    if (text->size < n || nb_compare(text->data, start, n))
        return false;
    *text = (nb_text){text->data + n, text->size - n};
    return true;
}

/* Removes a decimal number, NB_MAX_NUMBER at most, from the start of a text. Leading zeros ("00", "07") are refused, so
 * that no two names mean the same tensor. */
enum { NB_MAX_NUMBER = 999999 };
static inline bool nb_text_take_number(nb_text *text, uint32_t *number) {
    size_t n = 0;
    for (*number = 0; n < text->size && text->data[n] >= '0' && text->data[n] <= '9' && *number <= NB_MAX_NUMBER; n++)
        *number = *number * 10 + (uint32_t)(text->data[n] - '0');
    if (!n || *number > NB_MAX_NUMBER || (n > 1 && text->data[0] == '0'))
        return false;
    *text = (nb_text){text->data + n, text->size - n};
    return true;
}

#endif
