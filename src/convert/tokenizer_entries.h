/* The tokens of a tokenizer.json while it is translated. Internal to tokenizer_json.c. */
#ifndef NB_TOKENIZER_ENTRIES_H
#define NB_TOKENIZER_ENTRIES_H

#include "json.h"

typedef struct nb_entry {
    nb_node name;
    uint32_t hash; /* of the name with its escapes decoded */
    float score;
    uint8_t type;  /* NB_TOKEN_...; 0: no token has this id */
    uint8_t flags; /* NB_STRIP_LEFT, ... */
} nb_entry;

enum { NB_LONGEST_ESCAPED = 256 }; /* bytes of a string with escapes; longer ones equal no other */

/* A string's bytes with its escapes decoded, because files may escape the same name or not. buffer:
 * [NB_LONGEST_ESCAPED]. */
nb_text nb_spelled(nb_node string, char *buffer);
uint32_t nb_spelling_hash(nb_text text);

/* Gives each token a score, so that SentencePiece's algorithm merges in the order of the merges: the earlier the merge,
 * the higher the score of its result. llama.cpp reads no merges for such vocabularies, but joins the neighbours whose
 * token has the highest score (Kudo and Richardson 2018). *done = false: too many names have equal hashes, so that it
 * would take very long. */
int32_t nb_entries_score(nb_entry *tokens, uint32_t n, nb_node merges, bool *done, nb_error *err);

#endif
