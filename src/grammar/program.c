/* Programs: growing them, and what is computed over all of their rules. */
#include "program.h"

#include "../base/numbers.h"

/* A repetition such as {1000} is written out, so a short text may need many nodes and arms. */
enum { MOST_NODES = 1 << 19, MOST_ARMS = 1 << 20 };

static int32_t too_large(uint32_t most, const char *what, nb_error *err) {
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "the grammar becomes more than %u %s, because repetitions such as {1000} are written out: use "
                   "smaller numbers, or * and +",
                   most, what);
}

int32_t nb_program_add(nb_program *p, nb_op op, uint32_t next, uint32_t other, uint32_t *node, nb_error *err) {
    if (p->n_nodes == MOST_NODES)
        return too_large(MOST_NODES, "steps", err);
    NB_TRY(nb_grow((void **)&p->nodes, &p->node_capacity, p->n_nodes, sizeof *p->nodes, "steps of a grammar", err));
    p->nodes[p->n_nodes] = (nb_op_node){op, next, other};
    *node = p->n_nodes++;
    return NB_OK;
}

int32_t nb_program_add_arm(nb_program *p, nb_arm arm, nb_error *err) {
    if (p->n_arms == MOST_ARMS)
        return too_large(MOST_ARMS, "ranges of bytes", err);
    NB_TRY(nb_grow((void **)&p->arms, &p->arm_capacity, p->n_arms, sizeof *p->arms, "bytes of a grammar", err));
    p->arms[p->n_arms++] = arm;
    return NB_OK;
}

void nb_program_free(nb_program *p) {
    nb_free(p->nodes);
    nb_free(p->arms);
    nb_free(p->rules);
    nb_free(p->text);
    *p = (nb_program){0};
}

/* ---- what a rule begins with ---- */

/* An iterator over the nodes that are reached from a rule's start without reading a byte. */
typedef struct walk {
    const nb_program *p;
    uint32_t *stamps; /* [n_nodes]: the number of the walk that saw the node last */
    uint32_t *stack;  /* [n_nodes] */
    uint32_t number, n;
} walk;

static void walk_to(walk *w, uint32_t node) {
    if (w->stamps[node] == w->number)
        return;
    w->stamps[node] = w->number;
    w->stack[w->n++] = node;
}

static void walk_begin(walk *w, uint32_t rule) {
    w->number++;
    w->n = 0;
    walk_to(w, w->p->rules[rule].start);
}

/* Takes the next node from the stack, and puts the nodes that follow it there. False: there are no more. */
static bool walk_next(walk *w, uint32_t *node) {
    if (w->n == 0)
        return false;
    *node = w->stack[--w->n];
    const nb_op_node *at = &w->p->nodes[*node];
    if (at->op == NB_OP_SPLIT) {
        walk_to(w, at->next);
        walk_to(w, at->other);
    } else if (at->op == NB_OP_CALL && w->p->rules[at->other].nullable) {
        walk_to(w, at->next);
    }
    return true;
}

/* What the search for rules that match the empty text knows. */
typedef struct nullables {
    nb_program *p;
    uint32_t *stack, *owner; /* [n_nodes]: nodes to go on from; the rule that a node belongs to */
    uint8_t *reached;        /* [n_nodes]: without reading a byte, from its rule's start */
    uint32_t *wait_next;     /* [n_nodes]: of a call in the list of `waiting`: the next such call; 0: none */
    uint32_t *waiting;       /* [n_rules]: the first call that waits for the rule to become nullable; 0: none */
    uint32_t *queue;         /* [n_rules]: rules that have become nullable */
    uint32_t n, n_queue;
} nullables;

static void reach(nullables *s, uint32_t rule, uint32_t node) {
    if (node == NB_NODE_END) {
        if (!s->p->rules[rule].nullable)
            s->queue[s->n_queue++] = rule;
        s->p->rules[rule].nullable = true;
    } else if (!s->reached[node]) {
        s->reached[node] = 1;
        s->owner[node] = rule;
        s->stack[s->n++] = node;
    }
}

static void reach_from(nullables *s, uint32_t node) {
    const nb_op_node *at = &s->p->nodes[node];
    if (at->op == NB_OP_SPLIT) {
        reach(s, s->owner[node], at->next);
        reach(s, s->owner[node], at->other);
    } else if (at->op == NB_OP_CALL) {
        if (s->p->rules[at->other].nullable) {
            reach(s, s->owner[node], at->next);
        } else {
            s->wait_next[node] = s->waiting[at->other];
            s->waiting[at->other] = node;
        }
    }
}

/* Each node is reached once, and each call waits once, so the time is linear. */
static void find_nullable(nullables *s) {
    for (uint32_t r = 0; r < s->p->n_rules; r++)
        reach(s, r, s->p->rules[r].start);
    for (uint32_t done = 0; s->n || done < s->n_queue;) {
        if (s->n) {
            reach_from(s, s->stack[--s->n]);
            continue;
        }
        uint32_t node = s->waiting[s->queue[done++]];
        for (; node; node = s->wait_next[node])
            reach(s, s->owner[node], s->p->nodes[node].next);
    }
}

/* A depth-first search over "rule a begins with rule b". Ranks count down as rules are left, so a rule has a lower rank
 * than all that it begins with. A rule that is met while it is open is left-recursive. */
typedef struct search {
    uint32_t *first, *callees; /* rule r begins with callees[first[r] ... first[r + 1]) */
    uint32_t *at;              /* of rule r: the index in callees of the next rule to visit */
    uint32_t *path;            /* the open rules, from the root on */
    uint8_t *color;            /* 0: not met, 1: open, 2: left */
} search;

static int32_t search_from(nb_program *p, search *s, uint32_t root, uint32_t *rank, nb_error *err) {
    uint32_t depth = 0;
    s->path[depth++] = root;
    s->color[root] = 1;
    while (depth) {
        uint32_t r = s->path[depth - 1];
        if (s->at[r] == s->first[r + 1]) {
            s->color[r] = 2;
            p->rules[r].rank = --*rank;
            depth--;
            continue;
        }
        uint32_t callee = s->callees[s->at[r]++];
        const nb_rule *rule = &p->rules[callee];
        if (s->color[callee] == 1)
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "grammar, line %u, column %u: the rule %t is left-recursive: it comes back to itself before "
                           "it has read anything. Let it begin with something else, such as 'a ::= b (\",\" b)*' "
                           "instead of 'a ::= a \",\" b | b'",
                           rule->line, rule->column, rule->name);
        if (s->color[callee] == 0) {
            s->color[callee] = 1;
            s->path[depth++] = callee;
        }
    }
    return NB_OK;
}

static int32_t rank_rules(nb_program *p, search *s, nb_error *err) {
    uint32_t rank = p->n_rules;
    for (uint32_t r = 0; r < p->n_rules; r++)
        s->at[r] = s->first[r];
    for (uint32_t r = 0; r < p->n_rules; r++)
        if (s->color[r] == 0)
            NB_TRY(search_from(p, s, r, &rank, err));
    return NB_OK;
}

/* Counts the rules that each rule begins with, and writes them to s->callees, if that is allocated. */
static void find_callees(const nb_program *p, walk *w, search *s) {
    uint32_t n = 0;
    for (uint32_t r = 0; r < p->n_rules; r++) {
        s->first[r] = n;
        walk_begin(w, r);
        for (uint32_t node; walk_next(w, &node);) {
            if (p->nodes[node].op != NB_OP_CALL)
                continue;
            if (s->callees)
                s->callees[n] = p->nodes[node].other;
            n++;
        }
    }
    s->first[p->n_rules] = n;
}

static void find_classes(nb_program *p) {
    bool begins[257] = {true};
    for (uint32_t i = 0; i < p->n_arms; i++)
        begins[p->arms[i].lo] = begins[p->arms[i].hi + 1] = true;
    p->n_classes = 0;
    for (uint32_t b = 0; b < 256; b++) {
        p->n_classes += begins[b];
        p->class_of[b] = (uint8_t)(p->n_classes - 1);
    }
}

int32_t nb_program_finish(nb_program *p, nb_error *err) {
    find_classes(p);
    nb_arena arena = {0};
    walk w;
    search s = {0};
    nullables n;
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            NB_TRY(nb_arena_allocate(&arena, "a grammar", err));
        w = (walk){.p = p};
        w.stamps = nb_arena_take(&arena, p->n_nodes, sizeof *w.stamps);
        w.stack = nb_arena_take(&arena, p->n_nodes, sizeof *w.stack);
        s.first = nb_arena_take(&arena, p->n_rules + 1u, sizeof *s.first);
        s.at = nb_arena_take(&arena, p->n_rules, sizeof *s.at);
        s.path = nb_arena_take(&arena, p->n_rules, sizeof *s.path);
        s.color = nb_arena_take(&arena, p->n_rules, sizeof *s.color);
        n = (nullables){.p = p, .stack = w.stack, .queue = s.path};
        n.owner = nb_arena_take(&arena, p->n_nodes, sizeof *n.owner);
        n.reached = nb_arena_take(&arena, p->n_nodes, sizeof *n.reached);
        n.wait_next = nb_arena_take(&arena, p->n_nodes, sizeof *n.wait_next);
        n.waiting = nb_arena_take(&arena, p->n_rules, sizeof *n.waiting);
    }
    find_nullable(&n);
    find_callees(p, &w, &s);
    int32_t code = NB_OK;
    s.callees = nb_alloc_items(NB_MAX(1, s.first[p->n_rules]), sizeof *s.callees);
    if (!s.callees)
        code = NB_FAIL(err, NB_ERR_MEMORY, "no memory for the rules of a grammar");
    else {
        find_callees(p, &w, &s);
        code = rank_rules(p, &s, err);
    }
    nb_free(s.callees);
    nb_arena_free(&arena);
    return code;
}
