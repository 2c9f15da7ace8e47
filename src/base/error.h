/* Errors that carry their context: NB_FAIL writes the code and a message and yields the code. */
#ifndef NB_ERROR_H
#define NB_ERROR_H

#include "../nibble.h"

/* Formats as base/writer.h does; err may be NULL. Returns code. */
int32_t nb_fail(nb_error *err, int32_t code, const char *format, ...);

/* Room for a list that goes into a message: it is cut only where the message would be. */
enum { NB_LIST_BYTES = sizeof((nb_error *)0)->message };

/* return NB_FAIL(...) from a function that returns a code; NB_FAIL_NULL from one that returns a pointer. */
#ifdef __clang_analyzer__ /* it sees one file at a time, and should know that this is a failure */
#define NB_FAIL(err, code, ...) (nb_fail((err), (code), __VA_ARGS__), (code))
#else
#define NB_FAIL(err, code, ...) nb_fail((err), (code), __VA_ARGS__)
#endif
#define NB_FAIL_NULL(err, code, ...) (nb_fail((err), (code), __VA_ARGS__), NULL)

/* Passes a failure on. */
#define NB_TRY(call)                  \
    do {                              \
        int32_t nb_try_code = (call); \
        if (nb_try_code < 0)          \
            return nb_try_code;       \
    } while (0)

#endif
