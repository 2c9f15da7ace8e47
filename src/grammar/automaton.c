/* States of a grammar, and the steps between them. */
#include "automaton.h"

#include "../base/hash.h"
#include "../base/numbers.h"
#include "../base/sort.h"

enum {
    MOST_PLACES = 1 << 15, /* of one state, with all that were passed on the way to it */
    MOST_RETURNS = 1 << 15,
    MOST_WORK = 1 << 25, /* of one call: about a second */
    /* Memory: above the first numbers it is freed between two calls; at the second ones a call fails. */
    FULL_KEYS = 1 << 20,
    FULL_CELLS = 1 << 21,
    MOST_KEYS = 1 << 22,
    MOST_CELLS = 1 << 23
};

/* A frame that is being made: that of a rule which is called in this step. */
#define PENDING 0x80000000u

typedef struct pending {
    uint32_t step;  /* the number of the step that called it last */
    uint32_t first; /* of `returns`, + 1 */
    uint32_t frame; /* the finished one */
    bool ended;     /* the rule may match the empty text */
} pending;

typedef struct ret {
    uint64_t key;
    uint32_t next; /* + 1 */
} ret;

struct nb_closure {
    uint32_t step, n_places, n_returns, n_called, flags;
    uint64_t *places;  /* [MOST_PLACES] */
    uint64_t *seen;    /* [2 * MOST_PLACES], by hash: step << 32 | index of a place */
    ret *returns;      /* [MOST_RETURNS] */
    pending *rules;    /* [n_rules] */
    uint32_t *called;  /* [n_rules]: the rules that are called in this step */
    uint64_t *sorting; /* [MOST_RETURNS] */
    nb_arena arena;
    uint32_t n_rules, n_users;
};

/* The working memory of all automata, 1.5 MB: this module has one thread, so they compute one after another. */
static nb_closure *shared;

static uint64_t key_of(uint32_t node, uint32_t frame) {
    return (uint64_t)node << 32 | frame;
}

static uint32_t node_of(uint64_t key) {
    return (uint32_t)(key >> 32);
}

static int32_t too_large(nb_error *err) {
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "the grammar can read this text in too many ways, or nests too deeply: let alternatives begin with "
                   "different texts, and bound repetitions of repetitions");
}

int32_t nb_automaton_spend(nb_automaton *a, uint32_t work, nb_error *err) {
    a->work += work;
    return a->work > MOST_WORK ? too_large(err) : NB_OK;
}

/* ---- sets, each kept once ---- */

static uint32_t hash_of(const uint64_t *keys, uint32_t n, uint32_t flags) {
    uint64_t sum = nb_checksum(flags, keys, n * sizeof *keys);
    return (uint32_t)(sum ^ sum >> 32);
}

static void put(nb_automaton *a, uint32_t id) {
    const nb_set *set = &a->sets[id];
    uint32_t slot = hash_of(a->keys + set->first, set->n, set->flags) & (a->n_slots - 1);
    while (a->slots[slot])
        slot = (slot + 1) & (a->n_slots - 1);
    a->slots[slot] = id + 1;
}

/* Makes the table of sets n slots large, and fills it. */
static int32_t rehash(nb_automaton *a, uint32_t n, nb_error *err) {
    if (n != a->n_slots) {
        uint32_t *slots = nb_alloc_items(n, sizeof *slots);
        if (!slots)
            return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u states of a grammar", n / 2);
        nb_free(a->slots);
        a->slots = slots;
        a->n_slots = n;
    }
    memset(a->slots, 0, a->n_slots * sizeof *a->slots);
    for (uint32_t id = 0; id < a->n_sets; id++)
        put(a, id);
    return NB_OK;
}

/* The number of the set with these sorted keys. */
static int32_t intern(nb_automaton *a, const uint64_t *keys, uint32_t n, uint32_t flags, uint32_t *id, nb_error *err) {
    uint32_t slot = hash_of(keys, n, flags) & (a->n_slots - 1);
    for (; a->slots[slot]; slot = (slot + 1) & (a->n_slots - 1)) {
        *id = a->slots[slot] - 1;
        const nb_set *set = &a->sets[*id];
        if (set->n == n && set->flags == flags && !nb_compare(a->keys + set->first, keys, n * sizeof *keys))
            return NB_OK;
    }
    if (a->n_keys > MOST_KEYS - n || a->n_sets == MOST_KEYS)
        return too_large(err);
    NB_TRY(nb_grow((void **)&a->sets, &a->set_capacity, a->n_sets, sizeof *a->sets, "states of a grammar", err));
    uint64_t last = (uint64_t)a->n_keys + n;
    if (last > a->key_capacity) {
        uint64_t *grown = nb_alloc_items(2 * last + 64, sizeof *grown);
        if (!grown)
            return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l places of a grammar", last);
        if (a->n_keys)
            memcpy(grown, a->keys, a->n_keys * sizeof *grown);
        nb_free(a->keys);
        a->keys = grown;
        a->key_capacity = 2 * last + 64;
    }
    if (n)
        memcpy(a->keys + a->n_keys, keys, n * sizeof *keys);
    *id = a->n_sets++;
    a->sets[*id] = (nb_set){.first = a->n_keys, .n = n, .flags = flags};
    a->n_keys += n;
    a->slots[slot] = *id + 1;
    return a->n_sets > a->n_slots / 2 ? rehash(a, 2 * a->n_slots, err) : NB_OK;
}

/* Returns how many differ. */
static uint32_t sort_keys(uint64_t *keys, uint32_t n) {
    nb_sort_keys(keys, n);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++)
        if (i == 0 || keys[i] != keys[i - 1])
            keys[kept++] = keys[i];
    return kept;
}

/* ---- one step ---- */

static void begin(nb_closure *c) {
    if (++c->step == 0) { /* after 2^32 steps: no number may seem to be of this step */
        memset(c->seen, 0, 2 * MOST_PLACES * sizeof *c->seen);
        c->step = 1;
    }
    c->n_places = c->n_returns = c->n_called = c->flags = 0;
}

/* Adds a place, unless it is there. */
static int32_t reach(nb_closure *c, uint32_t node, uint32_t frame, nb_error *err) {
    uint64_t key = key_of(node, frame);
    uint32_t slot = nb_pair_hash(key, nb_hash_seed(0)) % (2 * MOST_PLACES);
    for (; c->seen[slot] >> 32 == c->step; slot = (slot + 1) % (2 * MOST_PLACES))
        if (c->places[(uint32_t)c->seen[slot]] == key)
            return NB_OK;
    if (c->n_places == MOST_PLACES)
        return too_large(err);
    c->seen[slot] = (uint64_t)c->step << 32 | c->n_places;
    c->places[c->n_places++] = key;
    return NB_OK;
}

static int32_t add_return(nb_closure *c, uint32_t rule, uint32_t node, uint32_t frame, nb_error *err) {
    if (c->n_returns == MOST_RETURNS)
        return too_large(err);
    pending *p = &c->rules[rule];
    c->returns[c->n_returns] = (ret){key_of(node, frame), p->first};
    p->first = ++c->n_returns;
    return p->ended ? reach(c, node, frame, err) : NB_OK;
}

/* A frame in which a call is the last thing returns at once. The rule returns to the frame's own returns instead.
 * Otherwise a list such as 'items ::= item items | item' would nest more deeply with each item. */
static int32_t add_returns_of(nb_automaton *a, uint32_t rule, uint32_t frame, nb_error *err) {
    const nb_set *set = &a->sets[frame];
    if (set->flags & (NB_SET_ROOT | NB_SET_OPEN))
        return add_return(a->closure, rule, NB_NODE_END, frame, err);
    for (uint32_t i = 0; i < set->n; i++) {
        uint64_t key = a->keys[set->first + i];
        NB_TRY(add_return(a->closure, rule, node_of(key), (uint32_t)key, err));
    }
    return NB_OK;
}

static int32_t call(nb_automaton *a, uint32_t rule, uint32_t node, uint32_t frame, nb_error *err) {
    nb_closure *c = a->closure;
    pending *p = &c->rules[rule];
    if (p->step != c->step) {
        *p = (pending){.step = c->step};
        c->called[c->n_called++] = rule;
        NB_TRY(reach(c, a->program->rules[rule].start, PENDING | rule, err));
    }
    if (node == NB_NODE_END && !(frame & PENDING))
        return add_returns_of(a, rule, frame, err);
    return add_return(c, rule, node, frame, err);
}

/* The rule of a frame ends here. */
static int32_t leave(nb_automaton *a, uint32_t frame, nb_error *err) {
    nb_closure *c = a->closure;
    if (frame & PENDING) {
        pending *p = &c->rules[frame & ~PENDING];
        p->ended = true; /* returns that are added later are reached at once */
        for (uint32_t i = p->first; i; i = c->returns[i - 1].next) {
            uint64_t key = c->returns[i - 1].key;
            NB_TRY(reach(c, node_of(key), (uint32_t)key, err));
        }
        return NB_OK;
    }
    const nb_set *set = &a->sets[frame];
    c->flags |= set->flags & NB_SET_ROOT ? NB_SET_ENDS : set->flags & NB_SET_OPEN ? NB_SET_OPENS : 0;
    for (uint32_t i = 0; i < set->n; i++) {
        uint64_t key = a->keys[set->first + i];
        NB_TRY(reach(c, node_of(key), (uint32_t)key, err));
    }
    return NB_OK;
}

/* Goes on from all places to those that read a byte. */
static int32_t close_places(nb_automaton *a, nb_error *err) {
    nb_closure *c = a->closure;
    for (uint32_t i = 0; i < c->n_places; i++) {
        uint32_t frame = (uint32_t)c->places[i];
        const nb_op_node *node = &a->program->nodes[node_of(c->places[i])];
        switch (node->op) {
        case NB_OP_BYTES: break;
        case NB_OP_SPLIT:
            NB_TRY(reach(c, node->next, frame, err));
            NB_TRY(reach(c, node->other, frame, err));
            break;
        case NB_OP_CALL: NB_TRY(call(a, node->other, node->next, frame, err)); break;
        case NB_OP_END: NB_TRY(leave(a, frame, err));
        }
    }
    return NB_OK;
}

static uint32_t finished(const nb_closure *c, uint32_t frame) {
    return frame & PENDING ? c->rules[frame & ~PENDING].frame : frame;
}

/* Makes the frame of a called rule. Those of the rules that called it in this step are made already. */
static int32_t finish_frame(nb_automaton *a, uint32_t rule, nb_error *err) {
    nb_closure *c = a->closure;
    pending *p = &c->rules[rule];
    uint32_t n = 0;
    for (uint32_t i = p->first; i; i = c->returns[i - 1].next) {
        uint32_t node = node_of(c->returns[i - 1].key), frame = finished(c, (uint32_t)c->returns[i - 1].key);
        const nb_set *set = &a->sets[frame];
        bool as_frame = node == NB_NODE_END && !(set->flags & (NB_SET_ROOT | NB_SET_OPEN)); /* see add_returns_of */
        uint32_t more = as_frame ? set->n : 1;
        if (n + more > MOST_RETURNS)
            return too_large(err);
        NB_TRY(nb_automaton_spend(a, more, err));
        if (!as_frame)
            c->sorting[n++] = key_of(node, frame);
        for (uint32_t j = 0; as_frame && j < set->n; j++)
            c->sorting[n++] = a->keys[set->first + j];
    }
    n = sort_keys(c->sorting, n);
    if (n == 1 && node_of(c->sorting[0]) == NB_NODE_END) {
        p->frame = (uint32_t)c->sorting[0];
        return NB_OK;
    }
    return intern(a, c->sorting, n, NB_SET_FRAME, &p->frame, err);
}

static int32_t finish(nb_automaton *a, uint32_t *state, nb_error *err) {
    nb_closure *c = a->closure;
    NB_TRY(close_places(a, err));
    NB_TRY(nb_automaton_spend(a, c->n_places + c->n_returns, err));
    /* by rank, so that callers come first */
    for (uint32_t i = 0; i < c->n_called; i++)
        c->sorting[i] = key_of(a->program->rules[c->called[i]].rank, c->called[i]);
    sort_keys(c->sorting, c->n_called);
    for (uint32_t i = 0; i < c->n_called; i++)
        c->called[i] = (uint32_t)c->sorting[i];
    for (uint32_t i = 0; i < c->n_called; i++)
        NB_TRY(finish_frame(a, c->called[i], err));
    uint32_t n = 0;
    for (uint32_t i = 0; i < c->n_places; i++)
        if (a->program->nodes[node_of(c->places[i])].op == NB_OP_BYTES)
            c->places[n++] = key_of(node_of(c->places[i]), finished(c, (uint32_t)c->places[i]));
    n = sort_keys(c->places, n);
    return intern(a, c->places, n, c->flags, state, err);
}

static uint32_t state_at(nb_automaton *a, uint32_t node, uint32_t frame, nb_error *err) {
    uint32_t state;
    begin(a->closure);
    return reach(a->closure, node, frame, err) < 0 || finish(a, &state, err) < 0 ? NB_STATE_FAILED : state;
}

uint32_t nb_automaton_start(nb_automaton *a, nb_error *err) {
    return state_at(a, a->program->rules[a->program->root].start, NB_FRAME_ROOT, err);
}

uint32_t nb_automaton_enter(nb_automaton *a, uint32_t node, nb_error *err) {
    return state_at(a, node, NB_FRAME_OPEN, err);
}

static int32_t compute(nb_automaton *a, uint32_t state, uint8_t byte, uint32_t *next, nb_error *err) {
    nb_closure *c = a->closure;
    const nb_set set = a->sets[state];
    begin(c);
    for (uint32_t i = 0; i < set.n; i++) {
        uint64_t key = a->keys[set.first + i];
        const nb_op_node *node = &a->program->nodes[node_of(key)];
        NB_TRY(nb_automaton_spend(a, node->other / NB_QUICK, err));
        for (uint32_t j = 0; j < node->other; j++) {
            const nb_arm *arm = &a->program->arms[node->next + j];
            if (arm->lo <= byte && byte <= arm->hi)
                NB_TRY(reach(c, arm->next, (uint32_t)key, err));
        }
    }
    return finish(a, next, err);
}

/* Gives a state its row of the table. */
static int32_t add_row(nb_automaton *a, nb_set *set, nb_error *err) {
    uint32_t classes = a->program->n_classes;
    if ((uint64_t)a->n_rows * classes >= MOST_CELLS)
        return too_large(err);
    NB_TRY(
        nb_grow((void **)&a->rows, &a->row_capacity, a->n_rows, classes * sizeof *a->rows, "steps of a grammar", err));
    memset(a->rows + (size_t)a->n_rows * classes, 0xff, classes * sizeof *a->rows);
    set->row = ++a->n_rows;
    return NB_OK;
}

uint32_t nb_automaton_step(nb_automaton *a, uint32_t state, uint8_t byte, nb_error *err) {
    nb_set *set = &a->sets[state];
    if (!set->n)
        return NB_STATE_NONE;
    if (!set->row && add_row(a, set, err) < 0)
        return NB_STATE_FAILED;
    size_t cell = (size_t)(set->row - 1) * a->program->n_classes + a->program->class_of[byte];
    if (a->rows[cell] == NB_STATE_FAILED) {
        uint32_t next;
        if (compute(a, state, byte, &next, err) < 0)
            return NB_STATE_FAILED;
        a->rows[cell] = next;
    }
    return a->rows[cell];
}

/* ---- memory ---- */

static int32_t share_closure(nb_automaton *a, nb_error *err) {
    uint32_t n_rules = a->program->n_rules;
    if (!shared) {
        shared = nb_alloc(sizeof *shared);
        if (!shared)
            return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a grammar");
        *shared = (nb_closure){0};
    }
    shared->n_users++;
    a->closure = shared;
    if (shared->arena.base && shared->n_rules >= n_rules)
        return NB_OK;
    nb_closure c = {.n_rules = n_rules, .n_users = shared->n_users};
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            NB_TRY(nb_arena_allocate(&c.arena, "a grammar", err));
        c.places = nb_arena_take(&c.arena, MOST_PLACES, sizeof *c.places);
        c.seen = nb_arena_take(&c.arena, (uint64_t)2 * MOST_PLACES, sizeof *c.seen);
        c.returns = nb_arena_take(&c.arena, MOST_RETURNS, sizeof *c.returns);
        c.sorting = nb_arena_take(&c.arena, MOST_RETURNS, sizeof *c.sorting);
        c.rules = nb_arena_take(&c.arena, n_rules, sizeof *c.rules);
        c.called = nb_arena_take(&c.arena, n_rules, sizeof *c.called);
    }
    nb_arena_free(&shared->arena);
    *shared = c;
    return NB_OK;
}

static void leave_closure(nb_automaton *a) {
    if (!a->closure || --shared->n_users > 0)
        return;
    nb_arena_free(&shared->arena);
    nb_free(shared);
    shared = NULL;
}

int32_t nb_automaton_open(nb_automaton *a, const nb_program *program, nb_error *err) {
    *a = (nb_automaton){.program = program};
    NB_TRY(share_closure(a, err));
    NB_TRY(rehash(a, 1024, err));
    uint32_t id;
    NB_TRY(intern(a, NULL, 0, 0, &id, err));           /* NB_STATE_NONE */
    NB_TRY(intern(a, NULL, 0, NB_SET_ROOT, &id, err)); /* NB_FRAME_ROOT */
    return intern(a, NULL, 0, NB_SET_OPEN, &id, err);  /* NB_FRAME_OPEN */
}

void nb_automaton_close(nb_automaton *a) {
    leave_closure(a);
    nb_free(a->sets);
    nb_free(a->keys);
    nb_free(a->rows);
    nb_free(a->slots);
}

bool nb_automaton_is_full(const nb_automaton *a) {
    return a->n_keys + a->n_sets > FULL_KEYS || (uint64_t)a->n_rows * a->program->n_classes > FULL_CELLS;
}

/* A frame has a lower number than the sets that have it, so one pass downwards finds all that are needed. Numbers keep
 * their order, so sorted keys stay sorted. */
int32_t nb_automaton_keep(nb_automaton *a, uint32_t *states, uint32_t n, nb_error *err) {
    uint32_t *fresh = nb_alloc_items(a->n_sets, sizeof *fresh); /* new numbers; at first: 1 if a set is needed */
    if (!fresh)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u states of a grammar", a->n_sets);
    memset(fresh, 0, a->n_sets * sizeof *fresh);
    fresh[NB_STATE_NONE] = fresh[NB_FRAME_ROOT] = fresh[NB_FRAME_OPEN] = 1;
    for (uint32_t i = 0; i < n; i++)
        fresh[states[i]] = 1;
    for (uint32_t id = a->n_sets; id-- > 0;)
        for (uint32_t i = 0; fresh[id] && i < a->sets[id].n; i++)
            fresh[(uint32_t)a->keys[a->sets[id].first + i]] = 1;
    uint32_t kept = 0, keys = 0;
    for (uint32_t id = 0; id < a->n_sets; id++) {
        if (!fresh[id])
            continue;
        nb_set set = a->sets[id];
        for (uint32_t i = 0; i < set.n; i++) {
            uint64_t key = a->keys[set.first + i];
            a->keys[keys + i] = key_of(node_of(key), fresh[(uint32_t)key]);
        }
        a->sets[kept] = (nb_set){.first = keys, .n = set.n, .flags = set.flags};
        keys += set.n;
        fresh[id] = kept++;
    }
    for (uint32_t i = 0; i < n; i++)
        states[i] = fresh[states[i]];
    nb_free(fresh);
    a->n_sets = kept;
    a->n_keys = keys;
    a->n_rows = 0;
    return rehash(a, a->n_slots, err);
}
