/* A bounded text writer: error messages and the JSON that describes a model. It never overruns and, like snprintf,
 * counts what it would have written. */
#ifndef NB_WRITER_H
#define NB_WRITER_H

#include "text.h"

#include <stdarg.h>

typedef struct nb_writer {
    char *out;
    size_t capacity; /* bytes of out, the terminating zero included */
    size_t length;   /* bytes that the whole text has */
    bool comma;      /* JSON: the next member or element needs a comma first */
} nb_writer;

nb_writer nb_writer_over(char *out, size_t capacity);
void nb_write_bytes(nb_writer *w, const char *data, size_t size);

/* %s (zero-terminated), %t (an nb_text, shown with control and non-UTF-8 bytes as '?', cut after 80 bytes), %d
 * (int32_t), %u (uint32_t), %z (size_t), %l (uint64_t), %x (uint32_t, hex), %g (double, 6 digits), %%. */
void nb_write_format(nb_writer *w, const char *format, va_list args);
void nb_write(nb_writer *w, const char *format, ...);

/* JSON, written in order; key = NULL inside an array. Commas are put where they belong. */
void nb_json_open(nb_writer *w, const char *key, char bracket);    /* '{' or '[' */
void nb_json_close(nb_writer *w, char bracket);                    /* '}' or ']' */
void nb_json_string(nb_writer *w, const char *key, nb_text value); /* bytes that are not UTF-8 become U+FFFD */
void nb_json_number(nb_writer *w, const char *key, double value);  /* 17 digits if not an integer; NaN, Inf: null */
void nb_json_bool(nb_writer *w, const char *key, bool value);

#endif
