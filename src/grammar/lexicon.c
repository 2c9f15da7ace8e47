/* Sorting the bytes of a vocabulary. */
#include "lexicon.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/sort.h"
#include "../base/text.h"

enum { MOST_TOKENS = 1 << 24, PAIRS = 1 << 16 };

/* The same arrays, while they are written. */
typedef struct parts {
    nb_lexicon *lexicon;
    uint8_t *bytes;
    uint32_t *offsets, *order, *ends, *counts;
    uint16_t *shared;
    uint32_t *places, *copy; /* [n_tokens]: for sorting */
} parts;

/* Some tokens, which are sorted by their places in `tokens`. */
typedef struct bucket {
    const nb_lexicon *lexicon;
    const uint32_t *tokens;
} bucket;

static int compare_tokens(const void *table, uint32_t a, uint32_t b) {
    const bucket *of = table;
    uint32_t n, m;
    const uint8_t *x = nb_lexicon_bytes(of->lexicon, of->tokens[a], &n),
                  *y = nb_lexicon_bytes(of->lexicon, of->tokens[b], &m);
    int order = nb_compare(x, y, NB_MIN(n, m));
    return order ? order : n != m ? (n < m ? -1 : 1) : a < b ? -1 : 1;
}

static void sort_bucket(parts *p, uint32_t from, uint32_t n) {
    if (n < 2)
        return;
    memcpy(p->copy, p->order + from, n * sizeof *p->copy);
    nb_sort(p->places, n, compare_tokens, &(bucket){p->lexicon, p->copy});
    for (uint32_t i = 0; i < n; i++)
        p->order[from + i] = p->copy[p->places[i]];
}

/* The first two bytes of a token, which sort most of it. */
static uint32_t pair_of(const nb_lexicon *l, uint32_t token) {
    uint32_t n;
    const uint8_t *bytes = nb_lexicon_bytes(l, token, &n);
    return (uint32_t)bytes[0] << 8 | (n > 1 ? bytes[1] : 0);
}

static bool is_sorted_token(const nb_lexicon *l, uint32_t token) {
    uint32_t n;
    nb_lexicon_bytes(l, token, &n);
    return n > 0 && n <= NB_MOST_TOKEN_BYTES;
}

/* Puts the tokens into order by their first two bytes, and sorts those that are equal there. */
static void sort_tokens(parts *p) {
    nb_lexicon *l = p->lexicon;
    for (uint32_t t = 0; t < l->n_tokens; t++)
        if (is_sorted_token(l, t))
            p->counts[pair_of(l, t) + 1]++;
    for (uint32_t i = 0; i < PAIRS; i++)
        p->counts[i + 1] += p->counts[i];
    l->n_sorted = p->counts[PAIRS];
    for (uint32_t b = 0; b <= 256; b++)
        l->first[b] = p->counts[b << 8];
    for (uint32_t t = 0; t < l->n_tokens; t++)
        if (is_sorted_token(l, t))
            p->order[p->counts[pair_of(l, t)]++] = t;
    for (uint32_t i = 0, from = 0; i < PAIRS; from = p->counts[i++]) /* counts have moved to the ends */
        sort_bucket(p, from, p->counts[i] - from);
}

static void share(parts *p) {
    nb_lexicon *l = p->lexicon;
    for (uint32_t i = 0; i < l->n_sorted; i++) {
        uint32_t n, m, k = 0;
        const uint8_t *x = nb_lexicon_bytes(l, p->order[i], &n), *y = nb_lexicon_bytes(l, p->order[i ? i - 1 : 0], &m);
        while (i && k < NB_MIN(n, m) && x[k] == y[k])
            k++;
        p->shared[i] = (uint16_t)k;
        l->longest = NB_MAX(l->longest, n);
    }
}

nb_lexicon *nb_lexicon_new(const uint8_t *bytes, size_t n_bytes, const uint32_t *lengths, uint32_t n_tokens,
                           const uint32_t *ends, uint32_t n_ends, nb_error *err) {
    uint64_t total = 0;
    for (uint32_t t = 0; t < NB_MIN(n_tokens, MOST_TOKENS); t++)
        total += lengths[t];
    if (n_tokens > MOST_TOKENS || total != n_bytes || n_bytes > UINT32_MAX)
        return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "%u tokens have %l bytes together, not %z", n_tokens, total, n_bytes);
    for (uint32_t i = 0; i < n_ends; i++)
        if (ends[i] >= n_tokens)
            return NB_FAIL_NULL(err, NB_ERR_ARGUMENT, "token %u ends an answer, but there are only %u tokens", ends[i],
                                n_tokens);
    nb_arena arena = {0};
    parts p = {0};
    for (int pass = 0; pass < 2; pass++) {
        if (pass && nb_arena_reserve(&arena, "the vocabulary of a grammar", err) < 0)
            return NULL;
        p.lexicon = nb_arena_take(&arena, 1, sizeof *p.lexicon);
        p.bytes = nb_arena_take(&arena, n_bytes, 1);
        p.offsets = nb_arena_take(&arena, n_tokens + 1u, sizeof *p.offsets);
        p.order = nb_arena_take(&arena, n_tokens, sizeof *p.order);
        p.shared = nb_arena_take(&arena, n_tokens, sizeof *p.shared);
        p.ends = nb_arena_take(&arena, n_ends, sizeof *p.ends);
    }
    nb_arena sorting = {0};
    for (int pass = 0; pass < 2; pass++) {
        if (pass && nb_arena_allocate(&sorting, "sorting the vocabulary of a grammar", err) < 0) {
            nb_arena_free(&arena);
            return NULL;
        }
        p.counts = nb_arena_take(&sorting, PAIRS + 1, sizeof *p.counts);
        p.places = nb_arena_take(&sorting, n_tokens, sizeof *p.places);
        p.copy = nb_arena_take(&sorting, n_tokens, sizeof *p.copy);
    }
    if (n_bytes)
        memcpy(p.bytes, bytes, n_bytes);
    p.offsets[0] = 0;
    for (uint32_t t = 0; t < n_tokens; t++)
        p.offsets[t + 1] = p.offsets[t] + lengths[t];
    if (n_ends)
        memcpy(p.ends, ends, n_ends * sizeof *ends);
    *p.lexicon = (nb_lexicon){.bytes = p.bytes,
                              .offsets = p.offsets,
                              .order = p.order,
                              .shared = p.shared,
                              .ends = p.ends,
                              .n_tokens = n_tokens,
                              .n_ends = n_ends};
    sort_tokens(&p);
    share(&p);
    nb_arena_free(&sorting);
    return p.lexicon; /* at the arena's beginning */
}

void nb_lexicon_free(nb_lexicon *lexicon) {
    nb_free(lexicon);
}
