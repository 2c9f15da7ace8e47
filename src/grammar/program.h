/* A grammar as a program: for each rule a nondeterministic automaton over bytes, which may call other rules. Characters
 * have become their UTF-8 bytes, so tokens that end within a character need no special care. */
#ifndef NB_GRAMMAR_PROGRAM_H
#define NB_GRAMMAR_PROGRAM_H

#include "../base/memory.h"
#include "../base/text.h"

typedef enum nb_op {
    NB_OP_END,   /* the end of the rule: goes back to the caller. Only node 0 is one. */
    NB_OP_BYTES, /* reads a byte: arms[next ... next + other) say which ones, and where each leads */
    NB_OP_SPLIT, /* goes on at next and at other */
    NB_OP_CALL   /* matches rule `other`, then goes on at next */
} nb_op;

enum { NB_NODE_END = 0 };

typedef struct nb_op_node {
    nb_op op;
    uint32_t next, other;
} nb_op_node;

/* The bytes lo ... hi lead to node `next`. */
typedef struct nb_arm {
    uint8_t lo, hi;
    uint32_t next;
} nb_arm;

typedef struct nb_rule {
    nb_text name;
    uint32_t line, column; /* where the name stands first */
    uint32_t body;         /* of the syntax tree; 0: it is not defined */
    uint32_t start;        /* its first node */
    uint32_t rank;         /* a rule that begins with another one has the lower rank */
    bool nullable;         /* matches the empty text */
} nb_rule;

typedef struct nb_program {
    nb_op_node *nodes;
    nb_arm *arms;
    nb_rule *rules; /* names point into `text` */
    char *text;
    uint32_t n_nodes, n_arms, n_rules, root;
    uint64_t node_capacity, arm_capacity, rule_capacity;
    uint8_t class_of[256]; /* bytes that no arm tells apart have one class */
    uint32_t n_classes;
} nb_program;

/* Parses GBNF (gbnf.c) and compiles it. The caller frees the program, also after an error. */
int32_t nb_program_read(nb_program *p, const char *text, size_t size, nb_error *err);
void nb_program_free(nb_program *p);

/* The second half (program.c). */

/* Adds a node, or gives an error if there are too many. */
int32_t nb_program_add(nb_program *p, nb_op op, uint32_t next, uint32_t other, uint32_t *node, nb_error *err);
int32_t nb_program_add_arm(nb_program *p, nb_arm arm, nb_error *err);
/* Once all rules have their nodes: sets nullable, rank and classes, and refuses left recursion. */
int32_t nb_program_finish(nb_program *p, nb_error *err);

#endif
