/* The tokens of a tokenizer.json while it is translated. Inside of tokenizer_json.c. */
#ifndef NB_TOKENIZER_ENTRIES_H
#define NB_TOKENIZER_ENTRIES_H

#include "json.h"

typedef struct nb_entry {
    nb_node name;
    uint32_t hash; /* of what the name spells */
    float score;
    uint8_t type;  /* NB_TOKEN_...; 0: no token has this id */
    uint8_t flags; /* NB_STRIP_LEFT, ... */
} nb_entry;

enum { NB_LONGEST_ESCAPED = 256 }; /* bytes of a string whose escapes are resolved to compare it */

/* What a string says, as its bytes: one file may write as it is what another escapes. buffer: [NB_LONGEST_ESCAPED]. */
nb_text nb_spelled(nb_node string, char *buffer);
uint32_t nb_spelling_hash(nb_text text);

/* Gives each token the score that makes SentencePiece's algorithm merge in the order of the merges. llama.cpp knows no
 * merges for such vocabularies: it joins the neighbours whose token has the highest score (Kudo and Richardson 2018).
 * The token of the first merge gets the highest one. Returns false where the names' hashes are all alike, so that it
 * would take very long. */
int32_t nb_entries_score(nb_entry *tokens, uint32_t n, nb_node merges, bool *done, nb_error *err);

#endif
