/* Errors that carry their context: NB_FAIL writes the code and a message and yields the code. */
#ifndef NB_ERROR_H
#define NB_ERROR_H

#include "../nibble.h"

/* Formats as base/writer.h does; err may be NULL. Returns code. */
int32_t nb_fail(nb_error *err, int32_t code, const char *format, ...);

/* Buffer size for a list that goes into a message: as large as the message, so the list is not cut earlier. */
enum { NB_LIST_BYTES = sizeof((nb_error *)0)->message };

/* return NB_FAIL(...) from a function that returns a code; NB_FAIL_NULL from one that returns a pointer. */
#ifdef __clang_analyzer__ /* it sees one file at a time, so it does not know what nb_fail returns */
#define NB_FAIL(err, code, ...) (nb_fail((err), (code), __VA_ARGS__), (code))
#else
#define NB_FAIL(err, code, ...) nb_fail((err), (code), __VA_ARGS__)
#endif
#define NB_FAIL_NULL(err, code, ...) (nb_fail((err), (code), __VA_ARGS__), NULL)

/* Returns the code of a call that failed. */
#define NB_TRY(call)                  \
    do {                              \
        int32_t nb_try_code = (call); \
        if (nb_try_code < 0)          \
            return nb_try_code;       \
    } while (0)

#endif
