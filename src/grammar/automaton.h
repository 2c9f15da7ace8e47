/* Where a text may be in a grammar, and where it is after one more byte.
 *
 * A state is the set of all places where the text may be. A place is a node of the program, and a frame: how to go on
 * when the node's rule ends. A frame is also a set: of returns, each of which is a node, and the frame of that node's
 * rule. So frames share their callers, and a grammar in which a text can be read in many ways needs no more memory
 * than one state for each text:
 *
 *     state {(node, frame), ...} --frame--> {(return node, frame), ...} --frame--> ... --> NB_FRAME_ROOT
 *
 * Both are kept once each, as sorted arrays of pairs, so two equal sets have one number. Then the step from a state by
 * a byte is computed once, and read from a table afterwards: a deterministic automaton which is made while it is used.
 *
 * A frame in which nothing is known of the callers, NB_FRAME_OPEN, tells which tokens can be decided without them. */
#ifndef NB_GRAMMAR_AUTOMATON_H
#define NB_GRAMMAR_AUTOMATON_H

#include "program.h"

enum {
    NB_STATE_NONE = 0, /* no place: the text does not follow the grammar */
    NB_FRAME_ROOT = 1, /* where this frame ends, the text may end */
    NB_FRAME_OPEN = 2, /* where this frame ends, it depends on the callers how to go on */
    /* Instead of a state: the automaton has become too large. */
    NB_STATE_FAILED = UINT32_MAX
};

enum { NB_QUICK = 8 };

/* What a set is, or what its state says of the text so far. */
enum { NB_SET_ENDS = 1, NB_SET_OPENS = 2, NB_SET_FRAME = 4, NB_SET_ROOT = 8, NB_SET_OPEN = 16 };

typedef struct nb_set {
    uint32_t first, n; /* keys[first ... first + n) */
    uint32_t flags;
    uint32_t row; /* of the table of steps, + 1; 0: it has none yet */
} nb_set;

typedef struct nb_closure nb_closure;

typedef struct nb_automaton {
    const nb_program *program;
    nb_set *sets;
    uint64_t *keys;  /* node << 32 | frame */
    uint32_t *rows;  /* [n_rows, n_classes]: the next state; NB_STATE_FAILED: not computed yet */
    uint32_t *slots; /* by the hash of a set: its number + 1; 0: free */
    uint32_t n_sets, n_keys, n_rows, n_slots;
    uint64_t work; /* of the current call */
    uint64_t set_capacity, key_capacity, row_capacity;
    nb_closure *closure; /* for computing one step */
} nb_automaton;

int32_t nb_automaton_open(nb_automaton *a, const nb_program *program, nb_error *err);
void nb_automaton_close(nb_automaton *a);

/* These return a state, or NB_STATE_FAILED with an error: at the grammar's beginning, at a node whose callers are not
 * known, and after one more byte. */
uint32_t nb_automaton_start(nb_automaton *a, nb_error *err);
uint32_t nb_automaton_enter(nb_automaton *a, uint32_t node, nb_error *err);
uint32_t nb_automaton_step(nb_automaton *a, uint32_t state, uint8_t byte, nb_error *err);

/* NB_OK, or why one of these failed. */
static inline int32_t nb_automaton_code(uint32_t state, const nb_error *err) {
    return state != NB_STATE_FAILED ? NB_OK : err ? err->code : NB_ERR_UNSUPPORTED;
}

/* Counts work: places that are looked at, or a number of quicker things divided by NB_QUICK. It gives an error if one
 * call does too much: a small grammar, which may come from a stranger, can be made so that a mask takes hours. */
int32_t nb_automaton_spend(nb_automaton *a, uint32_t work, nb_error *err);

static inline uint32_t nb_automaton_flags(const nb_automaton *a, uint32_t state) {
    return a->sets[state].flags;
}

/* Whether the next call of nb_automaton_keep would free a good part of the memory. */
bool nb_automaton_is_full(const nb_automaton *a);
/* Forgets all but these states, states[n], which get new numbers. */
int32_t nb_automaton_keep(nb_automaton *a, uint32_t *states, uint32_t n, nb_error *err);

#endif
