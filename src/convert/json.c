#include "json.h"

#include "../text/unicode.h"

static const uint8_t *skip_spaces(const uint8_t *at, const uint8_t *end) {
    while (at < end && (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r'))
        at++;
    return at;
}

static bool is_digit(uint8_t c) {
    return c >= '0' && c <= '9';
}

/* The UTF-16 unit of a \u escape whose four digits begin at `at`, or -1. */
static int32_t unit_at(const uint8_t *at, const uint8_t *end) {
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int32_t digit = at + i < end ? nb_hex_digit(at[i]) : -1;
        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* ---- the check ------------------------------------------------------------------------------------------------ */

/* Past the string that begins at `at`, or NULL and *wrong. */
static const uint8_t *check_string(const uint8_t *at, const uint8_t *end, const uint8_t **wrong) {
    for (at++; at < end && *at != '"'; at++) {
        *wrong = at;
        if (*at < 0x20)
            return NULL;
        if (*at != '\\')
            continue;
        at++;
        uint8_t c = at < end ? *at : 0;
        if (c == 'u' ? unit_at(at + 1, end) < 0
                     : c != '"' && c != '\\' && c != '/' && c != 'b' && c != 'f' && c != 'n' && c != 'r' && c != 't')
            return NULL;
    }
    *wrong = at;
    return at < end ? at + 1 : NULL;
}

static const uint8_t *check_digits(const uint8_t *at, const uint8_t *end) {
    const uint8_t *start = at;
    while (at < end && is_digit(*at))
        at++;
    return at > start ? at : NULL;
}

static const uint8_t *check_number(const uint8_t *at, const uint8_t *end) {
    at += *at == '-';
    bool zero = at < end && *at == '0';
    const uint8_t *next = check_digits(at, end);
    if (!next || (zero && next > at + 1))
        return NULL;
    at = next;
    if (at < end && *at == '.' && !(at = check_digits(at + 1, end)))
        return NULL;
    if (at < end && (*at | 32) == 'e') {
        at++;
        at += at < end && (*at == '+' || *at == '-');
        at = check_digits(at, end);
    }
    return at;
}

static const uint8_t *check_scalar(const uint8_t *at, const uint8_t *end, const uint8_t **wrong) {
    static const char *const words[] = {"true", "false", "null", "NaN", "Infinity", "-Infinity"};
    *wrong = at;
    if (*at == '"')
        return check_string(at, end, wrong);
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        size_t n = nb_length(words[i]);
        if ((size_t)(end - at) >= n && nb_compare(at, words[i], n) == 0)
            return at + n;
    }
    return check_number(at, end);
}

/* The first wrong byte, or NULL if the text is JSON; *why may give a reason. Open objects (1) and arrays (0) are the
 * bits of `objects`, so nothing recurses. */
static const uint8_t *find_wrong(const uint8_t *at, const uint8_t *end, const char **why) {
    uint64_t objects = 0;
    uint32_t depth = 0;
    enum { VALUE, KEY, AFTER } expected = VALUE;
    const uint8_t *wrong;
    for (;;) {
        at = skip_spaces(at, end);
        if (at == end) {
            *why = "the text ends there";
            return expected == AFTER && !depth ? NULL : at;
        }
        if (expected == VALUE && (*at == '{' || *at == '[')) {
            if (depth == NB_JSON_MAX_DEPTH) {
                *why = "nested too deeply";
                return at;
            }
            bool object = *at == '{';
            objects = objects << 1 | object;
            depth++;
            at = skip_spaces(at + 1, end);
            expected = at < end && *at == (object ? '}' : ']') ? AFTER : object ? KEY : VALUE;
        } else if (expected == VALUE) {
            if (!(at = check_scalar(at, end, &wrong)))
                return wrong;
            expected = AFTER;
        } else if (expected == KEY) {
            if (*at != '"')
                return at;
            if (!(at = check_string(at, end, &wrong)))
                return wrong;
            at = skip_spaces(at, end);
            if (at == end || *at != ':')
                return at;
            at++;
            expected = VALUE;
        } else if (depth && *at == ',') {
            at++;
            expected = objects & 1 ? KEY : VALUE;
        } else if (depth && *at == (objects & 1 ? '}' : ']')) {
            at++;
            depth--;
            objects >>= 1;
        } else {
            return at;
        }
    }
}

int32_t nb_json_check(const uint8_t *text, size_t size, const char *what, nb_node *root, nb_error *err) {
    static const uint8_t bom[] = {0xef, 0xbb, 0xbf}; /* UTF-8's byte order mark: some editors write it */
    const uint8_t *at = text, *end = text + size;
    if (size >= sizeof bom && nb_compare(text, bom, sizeof bom) == 0)
        at += sizeof bom;
    const char *why = "";
    const uint8_t *wrong = find_wrong(at, end, &why);
    if (wrong)
        return NB_FAIL(err, wrong == end ? NB_ERR_TRUNCATED : NB_ERR_FORMAT,
                       "%s is not valid JSON at byte %z%s%s: the file is damaged or not what its name says; "
                       "download it again",
                       what, (size_t)(wrong - text), *why ? ", " : "", why);
    *root = (nb_node){skip_spaces(at, end), end};
    return NB_OK;
}

/* ---- walking --------------------------------------------------------------------------------------------------- */

static const uint8_t *skip_string(const uint8_t *at, const uint8_t *end) {
    for (at++; at < end && *at != '"'; at++)
        at += *at == '\\';
    return at < end ? at + 1 : end;
}

/* Past the value at `at`. Of a container, brackets outside of strings are counted. */
static const uint8_t *skip_value(const uint8_t *at, const uint8_t *end) {
    uint32_t depth = 0;
    while (at < end) {
        uint8_t c = *at;
        if (c == '"') {
            at = skip_string(at, end);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            if (!depth)
                return at; /* the container's own */
            depth--;
            at++;
        } else if (c == ',' && !depth) {
            return at;
        } else {
            at++;
            continue; /* within a scalar, or between */
        }
        if (!depth)
            return at;
    }
    return end;
}

nb_members nb_members_of(nb_node container) {
    uint8_t first = nb_node_first(container);
    bool any = first == '{' || first == '[';
    return (
        nb_members){.value.end = container.end, .at = any ? container.at + 1 : container.end, .object = first == '{'};
}

bool nb_members_next(nb_members *w) {
    const uint8_t *end = w->value.end, *at = skip_spaces(w->at, end);
    if (at < end && *at == ',')
        at = skip_spaces(at + 1, end);
    if (at >= end || *at == '}' || *at == ']') {
        w->at = end;
        return false;
    }
    w->key = (nb_node){w->object ? at : NULL, end};
    if (w->object) {
        at = skip_spaces(skip_string(at, end), end);
        at = skip_spaces(at < end ? at + 1 : end, end); /* the colon */
    }
    w->value.at = at;
    w->at = skip_value(at, end);
    return true;
}

nb_node nb_node_find(nb_node object, const char *key) {
    if (nb_node_first(object) == '{')
        for (nb_members w = nb_members_of(object); nb_members_next(&w);)
            if (nb_text_is(nb_node_raw(w.key), key))
                return w.value;
    return (nb_node){0};
}

/* ---- scalars --------------------------------------------------------------------------------------------------- */

nb_text nb_node_raw(nb_node n) {
    if (nb_node_first(n) != '"')
        return (nb_text){0};
    const uint8_t *end = skip_string(n.at, n.end);
    return (nb_text){(const char *)n.at + 1, end - n.at < 2 ? 0 : (size_t)(end - n.at) - 2};
}

bool nb_node_is(nb_node n, const char *text) {
    nb_text raw = nb_node_raw(n);
    return raw.data && nb_text_is(raw, text);
}

bool nb_node_is_null(nb_node n) {
    return !n.at || nb_node_first(n) == 'n';
}

bool nb_node_is_empty(nb_node n) {
    nb_members w = nb_members_of(n);
    return !nb_members_next(&w);
}

bool nb_node_is_set(nb_node object, const char *key, bool fallback) {
    return nb_node_number(nb_node_find(object, key), fallback) != 0;
}

/* Exact if the digits fit 53 bits and the power of ten is at most 22 (Clinger 1990); else within a few units in the
 * last place. */
double nb_node_number(nb_node n, double fallback) {
    uint8_t first = nb_node_first(n);
    if (first == 't' || first == 'f')
        return first == 't';
    if (first != '-' && !is_digit(first))
        return fallback; /* NaN and Infinity, too */
    const uint8_t *at = n.at + (first == '-');
    uint64_t digits = 0;
    int32_t exponent = 0, written = 0;
    bool fraction = false;
    for (; at < n.end && (is_digit(*at) || *at == '.'); at++) {
        if (*at == '.') {
            fraction = true;
            continue;
        }
        bool fits = digits < UINT64_MAX / 10 - 1; /* further digits only count as places */
        digits = fits ? digits * 10 + (uint64_t)(*at - '0') : digits;
        exponent += fits ? (fraction ? -1 : 0) : (fraction ? 0 : 1);
    }
    if (at < n.end && (*at | 32) == 'e') {
        bool minus = at + 1 < n.end && at[1] == '-';
        at += 1 + (at + 1 < n.end && (at[1] == '-' || at[1] == '+'));
        for (; at < n.end && is_digit(*at) && written < 100000; at++)
            written = written * 10 + (*at - '0');
        exponent += minus ? -written : written;
    }
    double value = (double)digits, power = 1;
    for (int32_t i = exponent < 0 ? -exponent : exponent; i > 0 && power < 1e300 && value != 0; i--) {
        power *= 10;
        if (power == 1e22 || i == 1) { /* 10^22 is the last one that a double holds exactly */
            value = exponent < 0 ? value / power : value * power;
            power = 1;
        }
    }
    return first == '-' ? -value : value;
}

size_t nb_node_decode(nb_node n, char *out) {
    nb_text raw = nb_node_raw(n);
    const uint8_t *at = (const uint8_t *)raw.data, *end = at + raw.size;
    uint8_t *to = (uint8_t *)out;
    while (at < end) {
        if (*at != '\\' || end - at < 2) {
            *to++ = *at++;
            continue;
        }
        static const char names[] = "bfnrt", values[] = "\b\f\n\r\t";
        uint8_t c = at[1];
        at += 2;
        if (c != 'u') {
            size_t i = 0;
            while (names[i] && (uint8_t)names[i] != c)
                i++;
            *to++ = names[i] ? (uint8_t)values[i] : c;
            continue;
        }
        int32_t unit = unit_at(at, end), low = -1;
        at = end - at < 4 ? end : at + 4;
        if (unit >= 0xd800 && unit < 0xdc00 && end - at >= 6 && at[0] == '\\' && at[1] == 'u')
            low = unit_at(at + 2, end);
        if (low >= 0xdc00 && low < 0xe000) { /* a surrogate pair: twelve bytes become four */
            uint32_t c4 = 0x10000 + ((uint32_t)(unit - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
            *to++ = (uint8_t)(0xf0 | c4 >> 18);
            *to++ = (uint8_t)(0x80 | (c4 >> 12 & 0x3f));
            *to++ = (uint8_t)(0x80 | (c4 >> 6 & 0x3f));
            *to++ = (uint8_t)(0x80 | (c4 & 0x3f));
            at += 6;
        } else {
            bool broken = unit < 0 || (unit >= 0xd800 && unit < 0xe000);
            to += nb_utf8_encode(broken ? NB_REPLACEMENT : (uint32_t)unit, to);
        }
    }
    return (size_t)(to - (uint8_t *)out);
}
