/* Tables of the keys that a reference implementation reads in a JSON object, and of the values that are supported. */
#ifndef NB_KNOWN_KEYS_H
#define NB_KNOWN_KEYS_H

#include "json.h"

/* must: the values that it may have, as JSON, "a|b"; "{}": an empty object or list. null is always allowed. NULL: any
 * value: it is used elsewhere, or changes no number. */
typedef struct nb_known_key {
    const char *key, *must;
} nb_known_key;

/* keys end with key = NULL. strict: other keys are refused; else they are ignored, as the reference does. file: the
 * file's name for messages. */
int32_t nb_keys_check(const nb_known_key *keys, nb_node object, nb_text file, bool strict, nb_error *err);

#endif
