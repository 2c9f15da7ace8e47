#include "error.h"

#include "writer.h"

#include <stdarg.h>

int32_t nb_fail(nb_error *err, int32_t code, const char *format, ...) {
    if (err) {
        nb_writer w = nb_writer_over(err->message, sizeof err->message);
        va_list args;
        va_start(args, format);
        nb_write_format(&w, format, args);
        va_end(args);
        err->code = code;
    }
    return code;
}
