#include "writer.h"

#include <math.h>

nb_writer nb_writer_over(char *out, size_t capacity) {
    if (capacity)
        out[0] = 0;
    return (nb_writer){.out = out, .capacity = capacity};
}

void nb_write_bytes(nb_writer *w, const char *data, size_t size) {
    for (size_t i = 0; i < size; i++, w->length++)
        if (w->length + 1 < w->capacity)
            w->out[w->length] = data[i];
    if (w->capacity)
        w->out[w->length < w->capacity ? w->length : w->capacity - 1] = 0;
}

static void write_unsigned(nb_writer *w, uint64_t value, uint32_t base) {
    char digits[20];
    size_t n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    while (n)
        nb_write_bytes(w, &digits[--n], 1);
}

static void write_signed(nb_writer *w, int64_t value) {
    if (value < 0)
        nb_write_bytes(w, "-", 1);
    write_unsigned(w, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

#ifndef NB_NO_FLOATS
/* value to `digits` significant decimal digits. Integers below 2^53 are exact; others are good enough for messages, but
 * not the shortest digits that read back as the same number. */
static void write_double(nb_writer *w, double value, int digits) {
    if (!isfinite(value)) {
        nb_write_bytes(w, isnan(value) ? "nan" : value < 0 ? "-inf" : "inf", value < 0 ? 4 : 3);
        return;
    }
    if (value < 0) {
        nb_write_bytes(w, "-", 1);
        value = -value;
    }
    if (value < 9007199254740992.0 && value == (double)(uint64_t)value) {
        write_unsigned(w, (uint64_t)value, 10);
        return;
    }
    int exponent = 0; /* value = mantissa * 10^exponent, 1 <= mantissa < 10 */
    double mantissa = value;
    while (mantissa >= 10)
        mantissa /= 10, exponent++;
    while (mantissa < 1)
        mantissa *= 10, exponent--;
    double unit = 1; /* round at the last digit */
    for (int i = 1; i < digits; i++)
        unit /= 10;
    mantissa += unit / 2;
    if (mantissa >= 10)
        mantissa /= 10, exponent++;
    char text[24];
    int n = 0, last = 0;
    for (int i = 0; i < digits; i++) {
        int digit = (int)mantissa;
        text[n++] = (char)('0' + digit);
        if (digit)
            last = n;
        mantissa = (mantissa - digit) * 10;
    }
    if (exponent < -5 || exponent >= digits) {
        nb_write_bytes(w, text, 1);
        if (last > 1)
            nb_write_bytes(w, ".", 1), nb_write_bytes(w, text + 1, (size_t)(last - 1));
        nb_write_bytes(w, "e", 1);
        write_signed(w, exponent);
    } else if (exponent < 0) {
        nb_write_bytes(w, "0.", 2);
        for (int i = -1; i > exponent; i--)
            nb_write_bytes(w, "0", 1);
        nb_write_bytes(w, text, (size_t)last);
    } else {
        int whole = exponent + 1; /* digits before the point */
        nb_write_bytes(w, text, (size_t)whole);
        if (last > whole)
            nb_write_bytes(w, ".", 1), nb_write_bytes(w, text + whole, (size_t)(last - whole));
    }
}
#endif

static void write_visible(nb_writer *w, nb_text text) {
    size_t shown = text.size < 80 ? text.size : 80;
    for (size_t i = 0; i < shown; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        nb_write_bytes(w, byte >= 0x20 && byte < 0x7f ? &text.data[i] : "?", 1);
    }
    if (shown < text.size)
        nb_write_bytes(w, "...", 3);
}

void nb_write_format(nb_writer *w, const char *format, va_list args) {
    for (const char *p = format; *p; p++) {
        if (*p != '%') {
            nb_write_bytes(w, p, 1);
            continue;
        }
        switch (*++p) {
        case 's': {
            const char *s = va_arg(args, const char *);
            nb_write_bytes(w, s, nb_length(s));
            break;
        }
        case 't': write_visible(w, va_arg(args, nb_text)); break;
        case 'd': write_signed(w, va_arg(args, int32_t)); break;
        case 'u': write_unsigned(w, va_arg(args, uint32_t), 10); break;
        case 'x': write_unsigned(w, va_arg(args, uint32_t), 16); break;
        // NOLINTNEXTLINE(bugprone-branch-clone): size_t is not 64 bits wide everywhere
        case 'z': write_unsigned(w, va_arg(args, size_t), 10); break;
        case 'l': write_unsigned(w, va_arg(args, uint64_t), 10); break;
#ifndef NB_NO_FLOATS
        case 'g': write_double(w, va_arg(args, double), 6); break;
#endif
        case '%': nb_write_bytes(w, "%", 1); break;
        default: __builtin_trap(); /* a format is wrong */
        }
    }
}

void nb_write(nb_writer *w, const char *format, ...) {
    va_list args;
    va_start(args, format);
    nb_write_format(w, format, args);
    va_end(args);
}

/* Length of the UTF-8 sequence at s[0 ... n), or 0 if it is not one (RFC 3629, section 4). */
static size_t sequence_length(const uint8_t *s, size_t n) {
    if (s[0] < 0x80)
        return 1;
    size_t length = s[0] >= 0xc2 && s[0] <= 0xdf ? 2
                  : s[0] >= 0xe0 && s[0] <= 0xef ? 3
                  : s[0] >= 0xf0 && s[0] <= 0xf4 ? 4
                                                 : 0;
    if (!length || length > n)
        return 0;
    uint8_t low = s[0] == 0xe0 ? 0xa0
                : s[0] == 0xf0 ? 0x90
                               : 0x80,
            high = s[0] == 0xed ? 0x9f
                 : s[0] == 0xf4 ? 0x8f
                                : 0xbf;
    if (s[1] < low || s[1] > high)
        return 0;
    for (size_t i = 2; i < length; i++)
        if (s[i] < 0x80 || s[i] > 0xbf)
            return 0;
    return length;
}

static void write_quoted(nb_writer *w, nb_text text) {
    nb_write_bytes(w, "\"", 1);
    for (size_t i = 0; i < text.size;) {
        const uint8_t *s = (const uint8_t *)text.data + i;
        size_t length = sequence_length(s, text.size - i);
        if (!length) {
            nb_write_bytes(w, "\xef\xbf\xbd", 3);
            i++;
        } else if (*s == '"' || *s == '\\') {
            char escaped[2] = {'\\', (char)*s};
            nb_write_bytes(w, escaped, 2);
            i++;
        } else if (*s < 0x20) {
            char escaped[6] = {'\\', 'u', '0', '0', "0123456789abcdef"[*s >> 4], "0123456789abcdef"[*s & 15]};
            nb_write_bytes(w, escaped, 6);
            i++;
        } else {
            nb_write_bytes(w, text.data + i, length);
            i += length;
        }
    }
    nb_write_bytes(w, "\"", 1);
}

static void write_key(nb_writer *w, const char *key) {
    if (w->comma)
        nb_write_bytes(w, ",", 1);
    w->comma = true;
    if (key) {
        write_quoted(w, nb_text_of(key));
        nb_write_bytes(w, ":", 1);
    }
}

void nb_json_open(nb_writer *w, const char *key, char bracket) {
    write_key(w, key);
    nb_write_bytes(w, &bracket, 1);
    w->comma = false;
}

void nb_json_close(nb_writer *w, char bracket) {
    nb_write_bytes(w, &bracket, 1);
    w->comma = true;
}

void nb_json_string(nb_writer *w, const char *key, nb_text value) {
    write_key(w, key);
    write_quoted(w, value);
}

#ifndef NB_NO_FLOATS
void nb_json_number(nb_writer *w, const char *key, double value) {
    write_key(w, key);
    if (!isfinite(value))
        nb_write_bytes(w, "null", 4);
    else
        write_double(w, value, 17);
}
#endif

void nb_json_bool(nb_writer *w, const char *key, bool value) {
    write_key(w, key);
    nb_write(w, value ? "true" : "false");
}
