/* Which tokens may come next, as in XGrammar (Dong et al. 2024, section 3.1). For most tokens it depends only on the
 * node where a rule stands, not on its callers. Those are found once for each node. The others, in which the rule ends,
 * are tried in each state. */
#ifndef NB_GRAMMAR_MASKS_H
#define NB_GRAMMAR_MASKS_H

#include "automaton.h"
#include "lexicon.h"

/* A token that depends on the callers. */
typedef struct nb_unsure {
    uint32_t place;  /* in the lexicon's order */
    uint32_t shared; /* bytes that it shares with the one before it in the list */
    uint32_t next;   /* in the list: the next one that shares fewer with the one before it */
} nb_unsure;

/* What is known of the tokens at a node. */
typedef struct nb_choices {
    uint32_t *bits;    /* of the tokens that are allowed, whatever comes afterwards; or NULL, and */
    uint32_t *tokens;  /* [n_tokens] the same as a list, if they are few */
    nb_unsure *unsure; /* [n_unsure] */
    uint32_t n_tokens, n_unsure;
} nb_choices;

typedef struct nb_masks {
    const nb_lexicon *lexicon;
    nb_choices **of;         /* [n_nodes]: NULL if not known yet */
    uint32_t *states;        /* [longest + 1]: after each byte of a token */
    uint8_t *opens;          /* [longest + 1]: whether the rule may have ended before or there */
    uint32_t *found;         /* [n_sorted] */
    nb_unsure *unsure;       /* [n_sorted] */
    uint32_t n_nodes, bytes; /* bytes: held by the choices */
    nb_arena arena;
} nb_masks;

int32_t nb_masks_open(nb_masks *m, const nb_lexicon *lexicon, uint32_t n_nodes, nb_error *err);
void nb_masks_close(nb_masks *m);

/* Sets the bits of the tokens that may come next, and of no others. */
int32_t nb_masks_write(nb_masks *m, nb_automaton *a, uint32_t state, uint32_t *mask, nb_error *err);

#endif
