/* Reads JSON (RFC 8259) in place, from untrusted bytes. nb_json_check validates the whole text once. The other
 * functions rely on that, and never read past the text's end.
 *
 * Beyond the standard, NaN, Infinity and -Infinity are numbers: Python writes them. */
#ifndef NB_JSON_H
#define NB_JSON_H

#include "../base/error.h"
#include "../base/text.h"

enum { NB_JSON_MAX_DEPTH = 64 };

/* A value's place in a checked text. */
typedef struct nb_node {
    const uint8_t *at, *end; /* its first byte, the end of the whole text; at = NULL: there is no such value */
} nb_node;

/* *root becomes the text's value. what: the text's name for messages, which also give the offset. */
int32_t nb_json_check(const uint8_t *text, size_t size, const char *what, nb_node *root, nb_error *err);

/* All functions below accept a node without a value (at = NULL). */
static inline uint8_t nb_node_first(nb_node n) {
    return n.at && n.at < n.end ? *n.at : 0; /* '{' '[' '"', t, f, n, or a number's first character; 0: none */
}

/* An iterator over the members of an object or the items of an array. Other values have none.
 *     for (nb_members w = nb_members_of(object); nb_members_next(&w);) ... w.key, w.value */
typedef struct nb_members {
    nb_node key, value; /* key: of a member */
    const uint8_t *at;
    bool object;
} nb_members;
nb_members nb_members_of(nb_node container);
bool nb_members_next(nb_members *w);

/* The first member of that name, which is ASCII. Keys that are written with escapes are not found. */
nb_node nb_node_find(nb_node object, const char *key);

bool nb_node_is(nb_node n, const char *text);      /* whether it is this string, written without escapes */
double nb_node_number(nb_node n, double fallback); /* a number, or 1 and 0 for true and false; else the fallback */
nb_text nb_node_raw(nb_node n); /* a string's bytes as they are written, between the quotes; else .data = NULL */

bool nb_node_is_null(nb_node n);  /* or absent */
bool nb_node_is_empty(nb_node n); /* no object and no array, or one without members */
/* Whether the object's member is true, or a number other than 0. The fallback: it is absent, null, or another value. */
bool nb_node_is_set(nb_node object, const char *key, bool fallback);

/* Writes a string's bytes with its escapes decoded (a lone surrogate becomes U+FFFD). out has room for
 * nb_node_raw(n).size bytes, and may be that place itself. Returns the length. */
size_t nb_node_decode(nb_node n, char *out);

#endif
