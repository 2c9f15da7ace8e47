/* JSON (RFC 8259) out of untrusted bytes, read in place. nb_json_check looks at the whole text once; what the other
 * functions then walk over is known to be well-formed, and they stay within its bytes whatever it says.
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

/* *root becomes the text's value. what names the text in messages, which give the offset. */
int32_t nb_json_check(const uint8_t *text, size_t size, const char *what, nb_node *root, nb_error *err);

/* All of these take a node that may be none. */
static inline uint8_t nb_node_first(nb_node n) {
    return n.at && n.at < n.end ? *n.at : 0; /* '{' '[' '"', t, f, n, or a number's first character; 0: none */
}

/* The members of an object or the items of an array, in order; of anything else there are none.
 *     for (nb_members w = nb_members_of(object); nb_members_next(&w);) ... w.key, w.value */
typedef struct nb_members {
    nb_node key, value; /* key: of a member */
    const uint8_t *at;
    bool object;
} nb_members;
nb_members nb_members_of(nb_node container);
bool nb_members_next(nb_members *w);

/* The first member of that name, which is plain ASCII; keys written with escapes are not found. */
nb_node nb_node_find(nb_node object, const char *key);

bool nb_node_is(nb_node n, const char *text);      /* a string that says so, written without escapes */
double nb_node_number(nb_node n, double fallback); /* a number, or 1 and 0 for true and false; else the fallback */
nb_text nb_node_raw(nb_node n); /* a string's bytes as they are written, between the quotes; else .data = NULL */

bool nb_node_is_null(nb_node n);  /* or absent */
bool nb_node_is_empty(nb_node n); /* no object and no array, or one without members */
/* Whether the object's member is true, or a number other than 0; the fallback where it is absent, null, or no such
 * value. */
bool nb_node_is_set(nb_node object, const char *key, bool fallback);

/* A string's bytes, escapes resolved (a surrogate without its partner is U+FFFD). out holds nb_node_raw(n).size bytes,
 * or may be that very place. Returns the length. */
size_t nb_node_decode(nb_node n, char *out);

#endif
