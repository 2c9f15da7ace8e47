/* Tables of the keys that a reference reads in a JSON object, and of the values that are supported. */
#ifndef NB_KNOWN_KEYS_H
#define NB_KNOWN_KEYS_H

#include "json.h"

/* must: the value that it has to have, as JSON text, or one of several "a|b"; "{}": an empty object or list. null,
 * which says nothing, is always right. NULL: any value, which is heeded elsewhere, or changes no number. */
typedef struct nb_known_key {
    const char *key, *must;
} nb_known_key;

/* keys end with key = NULL. strict: a key that is not among them is refused; else it is ignored, as the reference does.
 * file: for messages. */
int32_t nb_keys_check(const nb_known_key *keys, nb_node object, nb_text file, bool strict, nb_error *err);

#endif
