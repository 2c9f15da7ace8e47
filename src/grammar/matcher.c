/* The module's objects: grammars and matchers. */
#include "../nibble_grammar.h"

#include "masks.h"

struct nb_grammar {
    nb_program program;
    nb_automaton automaton;
    nb_masks masks;
    const nb_lexicon *lexicon; /* may be NULL */
    nb_matcher *matchers;      /* all that there are: their states must be kept */
    uint32_t n_matchers;
};

struct nb_matcher {
    nb_grammar *grammar;
    nb_matcher *next;
    uint32_t state;
};

static int32_t open_grammar(nb_grammar *g, const char *text, size_t size, nb_error *err) {
    NB_TRY(nb_program_read(&g->program, text, size, err));
    NB_TRY(nb_automaton_open(&g->automaton, &g->program, err));
    return g->lexicon ? nb_masks_open(&g->masks, g->lexicon, g->program.n_nodes, err) : NB_OK;
}

nb_grammar *nb_grammar_new(const char *text, size_t text_bytes, const nb_lexicon *lexicon, nb_error *err) {
    nb_grammar *g = nb_alloc(sizeof *g);
    if (!g)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a grammar");
    *g = (nb_grammar){.lexicon = lexicon};
    if (open_grammar(g, text, text_bytes, err) < 0) {
        nb_grammar_free(g);
        return NULL;
    }
    return g;
}

void nb_grammar_free(nb_grammar *g) {
    if (!g)
        return;
    nb_masks_close(&g->masks);
    nb_automaton_close(&g->automaton);
    nb_program_free(&g->program);
    nb_free(g);
}

/* Before a call: frees memory if there is much of it. */
static int32_t tidy(nb_grammar *g, nb_error *err) {
    g->automaton.work = 0;
    if (!nb_automaton_is_full(&g->automaton))
        return NB_OK;
    uint32_t *states = nb_alloc_items(g->n_matchers, sizeof *states), n = 0;
    if (!states)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the states of a grammar");
    for (nb_matcher *m = g->matchers; m; m = m->next)
        states[n++] = m->state;
    int32_t code = nb_automaton_keep(&g->automaton, states, n, err);
    n = 0;
    for (nb_matcher *m = g->matchers; code == NB_OK && m; m = m->next)
        m->state = states[n++];
    nb_free(states);
    NB_TRY(code);
    return nb_automaton_is_full(&g->automaton)
             ? NB_FAIL(err, NB_ERR_UNSUPPORTED, "the text nests too deeply for its grammar: bound its repetitions")
             : NB_OK;
}

nb_matcher *nb_matcher_new(nb_grammar *grammar, nb_error *err) {
    nb_matcher *m = nb_alloc(sizeof *m);
    if (!m)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a matcher");
    *m = (nb_matcher){.grammar = grammar, .next = grammar->matchers};
    grammar->matchers = m;
    grammar->n_matchers++;
    if (nb_matcher_reset(m, err) < 0) {
        nb_matcher_free(m);
        return NULL;
    }
    return m;
}

nb_matcher *nb_matcher_clone(const nb_matcher *matcher, nb_error *err) {
    nb_matcher *m = nb_matcher_new(matcher->grammar, err);
    if (m)
        m->state = matcher->state;
    return m;
}

int32_t nb_matcher_reset(nb_matcher *m, nb_error *err) {
    m->state = NB_STATE_NONE;
    NB_TRY(tidy(m->grammar, err));
    uint32_t state = nb_automaton_start(&m->grammar->automaton, err);
    NB_TRY(nb_automaton_code(state, err));
    m->state = state;
    return NB_OK;
}

void nb_matcher_free(nb_matcher *m) {
    if (!m)
        return;
    nb_matcher **link = &m->grammar->matchers;
    while (*link != m)
        link = &(*link)->next;
    *link = m->next;
    m->grammar->n_matchers--;
    nb_free(m);
}

int32_t nb_matcher_take(nb_matcher *m, const uint8_t *bytes, size_t n, nb_error *err) {
    NB_TRY(tidy(m->grammar, err));
    uint32_t state = m->state;
    for (size_t i = 0; i < n; i++) {
        state = nb_automaton_step(&m->grammar->automaton, state, bytes[i], err);
        NB_TRY(nb_automaton_code(state, err));
        if (state == NB_STATE_NONE)
            return 0;
    }
    m->state = state;
    return 1;
}

static bool is_end(const nb_lexicon *l, uint32_t token) {
    bool found = false;
    for (uint32_t i = 0; i < l->n_ends; i++)
        found |= l->ends[i] == token;
    return found;
}

int32_t nb_matcher_accept(nb_matcher *m, uint32_t token, nb_error *err) {
    const nb_lexicon *l = m->grammar->lexicon;
    if (!l || token >= l->n_tokens)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "there is no token %u for this grammar", token);
    if (is_end(l, token))
        return nb_matcher_end(m) != NB_MATCHER_OPEN;
    uint32_t n;
    const uint8_t *bytes = nb_lexicon_bytes(l, token, &n);
    return n == 0 || n > NB_MOST_TOKEN_BYTES ? 0 : nb_matcher_take(m, bytes, n, err);
}

int32_t nb_matcher_end(const nb_matcher *m) {
    const nb_set *set = &m->grammar->automaton.sets[m->state];
    return !(set->flags & NB_SET_ENDS) ? NB_MATCHER_OPEN : set->n ? NB_MATCHER_MAY_END : NB_MATCHER_ENDS;
}

int32_t nb_matcher_mask(nb_matcher *m, uint32_t *mask, uint32_t with_ends, nb_error *err) {
    const nb_lexicon *l = m->grammar->lexicon;
    if (!l)
        return NB_FAIL(err, NB_ERR_STATE, "this grammar was made without a vocabulary");
    NB_TRY(tidy(m->grammar, err));
    NB_TRY(nb_masks_write(&m->grammar->masks, &m->grammar->automaton, m->state, mask, err));
    bool ends = with_ends && nb_matcher_end(m) != NB_MATCHER_OPEN;
    for (uint32_t i = 0; i < l->n_ends; i++) {
        uint32_t bit = 1u << l->ends[i] % 32, *word = &mask[l->ends[i] / 32];
        *word = ends ? *word | bit : *word & ~bit;
    }
    uint32_t n = 0;
    for (uint32_t i = 0; i < nb_lexicon_words(l); i++)
        n += (uint32_t)__builtin_popcount(mask[i]);
    return (int32_t)n;
}
