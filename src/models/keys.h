/* Which keys of a GGUF file count for an architecture: those that llama.cpp reads for it (tests/oracles/gguf_keys.py
 * lists them, and tests/js/keys.test.js fails for one that is missing here). What llama.cpp does not read is
 * ignored, whatever it says. */
#ifndef NB_KEYS_H
#define NB_KEYS_H

#include "model.h"

typedef enum nb_key_rule {
    NB_KEY_HEEDED,       /* configure reads it */
    NB_KEY_BY_LAYER,     /* the same; it may be a list of one number for each layer, which must be equal */
    NB_KEY_OURS,         /* configure reads it, though llama.cpp does not: the comment says why */
    NB_KEY_OURS_LIMITED, /* as NB_KEY_LIMITED, though llama.cpp does not read it */
    NB_KEY_LIMITED,      /* only integers from `least` to `most` are supported; others would need another computation */
    NB_KEY_SAME,         /* configure reads it, and refuses a number that differs from that of a related key */
    NB_KEY_HARMLESS      /* llama.cpp reads it, and it changes nothing for this architecture */
} nb_key_rule;

typedef struct nb_key {
    const char *architectures; /* "a b c"; NULL: all */
    const char *suffix;        /* what follows "<architecture>." */
    nb_key_rule rule;
    int8_t least, most;
} nb_key;

/* The line of an architecture's key; NULL: it is ignored. nb_gguf_keys ends with suffix = NULL. */
extern const nb_key nb_gguf_keys[];
const nb_key *nb_key_of(const char *architecture, const char *suffix);
bool nb_key_is_of(const nb_key *key, const char *architecture);

/* The file comes from nibble's converter, which writes what configure reads and nothing else. */
bool nb_model_is_converted(const nb_model *model);

/* What the file says under "<architecture>.<suffix>"; NULL if that is absent, or to be ignored. */
const nb_value *nb_model_value(const nb_model *model, const char *suffix);

/* NB_ERR_UNSUPPORTED if a key has a number that is not supported. */
int32_t nb_model_check_keys(const nb_model *model, nb_error *err);

#endif
