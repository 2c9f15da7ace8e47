/* Masks of tokens. */
#include "masks.h"

#include "../base/numbers.h"

/* Above this all choices are forgotten: a model's whole vocabulary takes 32 KB at each node. */
enum { MOST_BYTES = 32 << 20 };

int32_t nb_masks_open(nb_masks *m, const nb_lexicon *lexicon, uint32_t n_nodes, nb_error *err) {
    *m = (nb_masks){.lexicon = lexicon, .n_nodes = n_nodes};
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            NB_TRY(nb_arena_allocate(&m->arena, "the masks of a grammar", err));
        m->of = (nb_choices **)nb_arena_take(&m->arena, n_nodes, sizeof *m->of);
        m->states = nb_arena_take(&m->arena, lexicon->longest + 1u, sizeof *m->states);
        m->opens = nb_arena_take(&m->arena, lexicon->longest + 1u, sizeof *m->opens);
        m->found = nb_arena_take(&m->arena, lexicon->n_sorted, sizeof *m->found);
        m->unsure = nb_arena_take(&m->arena, lexicon->n_sorted, sizeof *m->unsure);
    }
    return NB_OK;
}

static void forget(nb_masks *m) {
    for (uint32_t i = 0; m->arena.base && i < m->n_nodes; i++) {
        nb_free(m->of[i]);
        m->of[i] = NULL;
    }
    m->bytes = 0;
}

void nb_masks_close(nb_masks *m) {
    forget(m);
    nb_arena_free(&m->arena);
}

/* ---- trying tokens ---- */

/* Takes bytes[from ... n) from states[from] on; *dead is how many bytes there are when none can follow, or 0. */
static int32_t try_bytes(nb_masks *m, nb_automaton *a, const uint8_t *bytes, uint32_t from, uint32_t n, uint32_t *dead,
                         nb_error *err) {
    *dead = 0;
    for (uint32_t i = from; i < n; i++) {
        uint32_t next = nb_automaton_step(a, m->states[i], bytes[i], err);
        NB_TRY(nb_automaton_code(next, err));
        m->states[i + 1] = next;
        m->opens[i + 1] = m->opens[i] | (nb_automaton_flags(a, next) & NB_SET_OPENS);
        if (next == NB_STATE_NONE) {
            *dead = i + 1;
            break;
        }
    }
    return NB_OK;
}

/* Tries all tokens that begin with this byte. They are sorted, so that what one shares with the one before is known:
 * the states, or that it failed already. */
static int32_t try_all(nb_masks *m, nb_automaton *a, uint32_t byte, nb_choices *c, nb_error *err) {
    const nb_lexicon *l = m->lexicon;
    uint32_t dead = 0, near = 0; /* near: what a token shares with the last one that depends on the callers */
    NB_TRY(nb_automaton_spend(a, (l->first[byte + 1] - l->first[byte]) / NB_QUICK, err));
    for (uint32_t i = l->first[byte]; i < l->first[byte + 1]; i++) {
        uint32_t shared = i == l->first[byte] ? 0 : l->shared[i];
        near = NB_MIN(near, shared);
        if (!dead || shared < dead) {
            uint32_t n;
            const uint8_t *bytes = nb_lexicon_bytes(l, l->order[i], &n);
            NB_TRY(try_bytes(m, a, bytes, shared, n, &dead, err));
        }
        if (!dead) {
            m->found[c->n_tokens++] = l->order[i];
        } else if (m->opens[dead]) {
            m->unsure[c->n_unsure++] = (nb_unsure){i, near, 0};
            near = NB_MOST_TOKEN_BYTES;
        }
    }
    return NB_OK;
}

/* Each list is gone through once: links are followed instead of the items that they pass. */
static void link_unsure(nb_unsure *list, uint32_t n) {
    for (uint32_t i = n; i-- > 0;) {
        uint32_t next = i + 1;
        while (next < n && list[next].shared >= list[i].shared)
            next = list[next].next;
        list[i].next = next;
    }
}

/* Keeps what was found at a node. */
static int32_t keep(nb_masks *m, uint32_t node, nb_choices c, nb_error *err) {
    uint32_t words = nb_lexicon_words(m->lexicon);
    bool many = c.n_tokens > words;
    link_unsure(m->unsure, c.n_unsure);
    nb_choices *kept = NULL;
    nb_arena arena = {0};
    for (int pass = 0; pass < 2; pass++) {
        if (pass)
            NB_TRY(nb_arena_allocate(&arena, "a mask of a grammar", err));
        kept = nb_arena_take(&arena, 1, sizeof *kept);
        c.bits = many ? nb_arena_take(&arena, words, sizeof *c.bits) : NULL;
        c.tokens = many ? NULL : nb_arena_take(&arena, c.n_tokens, sizeof *c.tokens);
        c.unsure = nb_arena_take(&arena, c.n_unsure, sizeof *c.unsure);
    }
    for (uint32_t i = 0; many && i < c.n_tokens; i++)
        c.bits[m->found[i] / 32] |= 1u << m->found[i] % 32;
    if (!many && c.n_tokens)
        memcpy(c.tokens, m->found, c.n_tokens * sizeof *c.tokens);
    if (c.n_unsure)
        memcpy(c.unsure, m->unsure, c.n_unsure * sizeof *c.unsure);
    *kept = c;
    m->of[node] = kept; /* at the arena's beginning */
    m->bytes += (uint32_t)arena.size;
    return NB_OK;
}

static int32_t find(nb_masks *m, nb_automaton *a, uint32_t node, nb_error *err) {
    const nb_op_node *at = &a->program->nodes[node];
    nb_choices c = {0};
    m->states[0] = nb_automaton_enter(a, node, err);
    NB_TRY(nb_automaton_code(m->states[0], err));
    m->opens[0] = 0;
    bool done[256] = {false};
    for (uint32_t i = 0; i < at->other; i++) {
        const nb_arm *arm = &a->program->arms[at->next + i];
        for (uint32_t byte = arm->lo; byte <= arm->hi; byte++) {
            if (!done[byte])
                NB_TRY(try_all(m, a, byte, &c, err));
            done[byte] = true;
        }
    }
    return keep(m, node, c, err);
}

/* Tries the tokens of a node's list that are not allowed yet, from this state on. */
static int32_t try_unsure(nb_masks *m, nb_automaton *a, const nb_choices *c, uint32_t *mask, nb_error *err) {
    const nb_lexicon *l = m->lexicon;
    uint32_t dead = 0, shared = 0; /* shared: with the token that was tried last */
    NB_TRY(nb_automaton_spend(a, c->n_unsure / NB_QUICK, err));
    for (uint32_t i = 0; i < c->n_unsure;) {
        nb_unsure item = c->unsure[i];
        if (dead && item.shared >= dead) {
            i = item.next;
            continue;
        }
        i++;
        shared = NB_MIN(shared, item.shared);
        uint32_t token = l->order[item.place], n;
        if (mask[token / 32] >> token % 32 & 1) {
            dead = 0; /* what the next one shares with this one says nothing about the one that was tried */
            continue;
        }
        const uint8_t *bytes = nb_lexicon_bytes(l, token, &n);
        NB_TRY(try_bytes(m, a, bytes, shared, n, &dead, err));
        shared = NB_MOST_TOKEN_BYTES;
        if (!dead)
            mask[token / 32] |= 1u << token % 32;
    }
    return NB_OK;
}

/* The nodes of a state, each once: keys are sorted by them. */
static uint32_t next_node(const nb_automaton *a, uint32_t state, uint32_t *at) {
    const nb_set *set = &a->sets[state];
    uint32_t node = (uint32_t)(a->keys[set->first + *at] >> 32);
    while (*at < set->n && a->keys[set->first + *at] >> 32 == node)
        ++*at;
    return node;
}

int32_t nb_masks_write(nb_masks *m, nb_automaton *a, uint32_t state, uint32_t *mask, nb_error *err) {
    uint32_t words = nb_lexicon_words(m->lexicon);
    memset(mask, 0, words * sizeof *mask);
    if (m->bytes > MOST_BYTES)
        forget(m);
    for (uint32_t at = 0; at < a->sets[state].n;) {
        uint32_t node = next_node(a, state, &at);
        if (!m->of[node])
            NB_TRY(find(m, a, node, err));
        const nb_choices *c = m->of[node];
        for (uint32_t i = 0; c->bits && i < words; i++)
            mask[i] |= c->bits[i];
        for (uint32_t i = 0; !c->bits && i < c->n_tokens; i++)
            mask[c->tokens[i] / 32] |= 1u << c->tokens[i] % 32;
    }
    m->states[0] = state;
    m->opens[0] = 0;
    for (uint32_t at = 0; at < a->sets[state].n;)
        NB_TRY(try_unsure(m, a, m->of[next_node(a, state, &at)], mask, err));
    return NB_OK;
}
