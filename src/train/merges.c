#include "merges.h"

#include "../base/hash.h"
#include "../base/memory.h"
#include "../base/numbers.h"

enum { FIRST_SLOTS = 1 << 12, MOST_PAIRS = 1 << 30 };

/* ---- pairs ------------------------------------------------------------------------------------------------------- */

static uint64_t slot_of(const nb_merges *m, uint64_t key) {
    uint64_t mask = m->n_slots - 1, at = nb_pair_hash(key, nb_hash_seed(0)) & mask;
    for (uint32_t number; (number = m->slots[at]); at = (at + 1) & mask)
        if (m->pairs[number - 1].key == key)
            break;
    return at;
}

static int32_t grow_table(nb_merges *m, nb_error *err) {
    uint64_t wanted = NB_MAX((uint64_t)FIRST_SLOTS, 2 * m->n_slots);
    uint32_t *slots = m->n_pairs < MOST_PAIRS ? nb_alloc_items(wanted, sizeof *slots) : NULL;
    if (!slots)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for more than the %u pairs of tokens so far; take less text",
                       m->n_pairs);
    memset(slots, 0, (size_t)wanted * sizeof *slots);
    nb_free(m->slots);
    m->slots = slots;
    m->n_slots = wanted;
    for (uint32_t i = 0; i < m->n_pairs; i++)
        m->slots[slot_of(m, m->pairs[i].key)] = i + 1;
    return NB_OK;
}

/* The index of a pair, which is added if it is new. */
static int32_t find_pair(nb_merges *m, uint32_t left, uint32_t right, uint32_t *pair, nb_error *err) {
    uint64_t key = (uint64_t)left << 32 | right;
    if (2 * (uint64_t)m->n_pairs >= m->n_slots)
        NB_TRY(grow_table(m, err));
    uint64_t slot = slot_of(m, key);
    if (!m->slots[slot]) {
        NB_TRY(nb_grow((void **)&m->pairs, &m->pair_capacity, m->n_pairs, sizeof *m->pairs, "pairs of tokens", err));
        m->pairs[m->n_pairs] = (nb_pair){.key = key, .first = NB_NO_SYMBOL, .last = NB_NO_SYMBOL};
        m->slots[slot] = ++m->n_pairs;
    }
    *pair = m->slots[slot] - 1;
    return NB_OK;
}

/* ---- places ------------------------------------------------------------------------------------------------------ */

static uint32_t symbols_in(const nb_merges *m, uint32_t token) {
    return (uint32_t)m->names.items[token].count;
}

/* Whether this symbol and the one before it are of the same word. */
static bool continues_word(const nb_merges *m, uint32_t at) {
    return at < m->n_symbols && m->words[at] == m->words[at - 1];
}

static void unlink_place(nb_merges *m, nb_pair *pair, uint32_t at) {
    uint32_t next = m->next[at], previous = m->previous[at];
    *(previous == NB_NO_SYMBOL ? &pair->first : &m->next[previous]) = next;
    *(next == NB_NO_SYMBOL ? &pair->last : &m->previous[next]) = previous;
}

/* The index of the pair that begins at this symbol. */
static int32_t pair_at(nb_merges *m, uint32_t at, uint32_t *pair, nb_error *err) {
    uint32_t left = m->tokens[at], right = m->tokens[at + symbols_in(m, left)];
    return find_pair(m, left, right, pair, err);
}

/* Removes a place of the pair that begins at this symbol. */
static int32_t remove_place(nb_merges *m, uint32_t at, nb_error *err) {
    uint32_t number;
    NB_TRY(pair_at(m, at, &number, err));
    m->pairs[number].count -= m->counts[m->words[at]];
    unlink_place(m, &m->pairs[number], at);
    return NB_OK;
}

/* Adds a place of the pair that begins at this symbol. It comes after all other places of the pair. */
static int32_t add_place(nb_merges *m, uint32_t at, nb_error *err) {
    uint32_t number;
    NB_TRY(pair_at(m, at, &number, err));
    nb_pair *pair = &m->pairs[number];
    pair->count += m->counts[m->words[at]];
    m->next[at] = NB_NO_SYMBOL;
    m->previous[at] = pair->last;
    *(pair->last == NB_NO_SYMBOL ? &pair->first : &m->next[pair->last]) = at;
    pair->last = at;
    return NB_OK;
}

/* Merges the pair that begins at this symbol. The place is no longer in the pair's list. */
static int32_t merge_at(nb_merges *m, uint32_t at, uint32_t merged, nb_error *err) {
    uint32_t second = at + symbols_in(m, m->tokens[at]), end = at + symbols_in(m, merged);
    bool has_before = at > 0 && continues_word(m, at), has_after = continues_word(m, end);
    uint32_t before = has_before ? m->starts[at - 1] : 0;
    if (has_before)
        NB_TRY(remove_place(m, before, err));
    if (has_after)
        NB_TRY(remove_place(m, second, err));
    m->tokens[at] = merged;
    m->starts[end - 1] = at;
    if (has_before)
        NB_TRY(add_place(m, before, err));
    return has_after ? add_place(m, at, err) : NB_OK;
}

/* ---- the heap ---------------------------------------------------------------------------------------------------- */

static bool goes_first(const nb_merges *m, const nb_heap_item *a, const nb_heap_item *b) {
    return a->count != b->count ? a->count > b->count : m->pairs[a->pair].key < m->pairs[b->pair].key;
}

static int32_t push(nb_merges *m, nb_heap_item item, nb_error *err) {
    NB_TRY(nb_grow((void **)&m->heap, &m->heap_capacity, m->n_heap, sizeof *m->heap, "waiting pairs", err));
    uint64_t at = m->n_heap++;
    for (; at && goes_first(m, &item, &m->heap[(at - 1) / 2]); at = (at - 1) / 2)
        m->heap[at] = m->heap[(at - 1) / 2];
    m->heap[at] = item;
    return NB_OK;
}

/* Replaces the heap's first item. */
static void replace_first(nb_merges *m, nb_heap_item item) {
    uint64_t at = 0;
    for (uint64_t child; (child = 2 * at + 1) < m->n_heap; at = child) {
        if (child + 1 < m->n_heap && goes_first(m, &m->heap[child + 1], &m->heap[child]))
            child++;
        if (!goes_first(m, &m->heap[child], &item))
            break;
        m->heap[at] = m->heap[child];
    }
    m->heap[at] = item;
}

static void pop(nb_merges *m) {
    if (--m->n_heap)
        replace_first(m, m->heap[m->n_heap]);
}

/* Pushes the pairs from index `first` on, which are new. */
static int32_t push_new(nb_merges *m, uint32_t first, nb_error *err) {
    for (uint32_t i = first; i < m->n_pairs; i++)
        if (m->pairs[i].count)
            NB_TRY(push(m, (nb_heap_item){m->pairs[i].count, i}, err));
    return NB_OK;
}

/* ---- beginning --------------------------------------------------------------------------------------------------- */

static int32_t allocate(nb_merges *m, const nb_strings *words, nb_error *err) {
    if (words->used >= NB_NO_SYMBOL)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the text's different words have %l bytes in all; 2^32 are too many",
                       words->used);
    m->n_symbols = (uint32_t)words->used;
    uint32_t **arrays[] = {&m->tokens, &m->starts, &m->words, &m->next, &m->previous};
    bool have = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        have = (*arrays[i] = nb_alloc_items(m->n_symbols, sizeof **arrays[i])) && have;
    if ((m->counts = nb_alloc_items(words->n, sizeof *m->counts)) && have)
        return NB_OK;
    return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the %u bytes of the text's different words; take less text",
                   m->n_symbols);
}

int32_t nb_merges_begin(nb_merges *m, nb_strings *words, const uint32_t *byte_tokens, nb_error *err) {
    NB_TRY(allocate(m, words, err));
    uint32_t at = 0;
    for (uint32_t word = 0; word < words->n; word++) {
        nb_text bytes = nb_string_at(words, word);
        m->counts[word] = words->items[word].count;
        for (size_t i = 0; i < bytes.size; i++, at++) {
            m->tokens[at] = byte_tokens[(uint8_t)bytes.data[i]];
            m->starts[at] = at;
            m->words[at] = word;
        }
    }
    nb_strings_free(words);
    for (at = 1; at < m->n_symbols; at++)
        if (continues_word(m, at))
            NB_TRY(add_place(m, at - 1, err));
    return push_new(m, 0, err);
}

/* ---- merging ----------------------------------------------------------------------------------------------------- */

/* The token whose text is that of the left and the right token. */
static int32_t name_merged(nb_merges *m, uint32_t left, uint32_t right, uint32_t *merged, nb_error *err) {
    nb_text a = nb_string_at(&m->names, left), b = nb_string_at(&m->names, right);
    char *name = nb_alloc_items((uint64_t)a.size + b.size, 1);
    if (!name)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for a token's name");
    memcpy(name, a.data, a.size);
    memcpy(name + a.size, b.data, b.size);
    int32_t code = nb_strings_add(&m->names, (nb_text){name, a.size + b.size}, merged, err);
    nb_free(name);
    if (code == NB_OK)
        m->names.items[*merged].count = (uint64_t)symbols_in(m, left) + symbols_in(m, right);
    return code;
}

static int32_t record(nb_merges *m, uint32_t left, uint32_t right, nb_error *err) {
    size_t size = 2 * sizeof *m->merges;
    NB_TRY(nb_grow((void **)&m->merges, &m->merge_capacity, m->n_merges, size, "merges", err));
    m->merges[2 * (size_t)m->n_merges] = left;
    m->merges[2 * (size_t)m->n_merges++ + 1] = right;
    return NB_OK;
}

static int32_t merge_pair(nb_merges *m, uint32_t number, nb_error *err) {
    uint64_t key = m->pairs[number].key;
    uint32_t left = (uint32_t)(key >> 32), right = (uint32_t)key, merged, n_pairs = m->n_pairs;
    NB_TRY(name_merged(m, left, right, &merged, err));
    NB_TRY(record(m, left, right, err));
    for (uint32_t at; (at = m->pairs[number].first) != NB_NO_SYMBOL;) {
        unlink_place(m, &m->pairs[number], at);
        NB_TRY(merge_at(m, at, merged, err));
    }
    return push_new(m, n_pairs, err);
}

int32_t nb_merges_next(nb_merges *m, nb_error *err) {
    while (m->n_heap) {
        nb_heap_item first = m->heap[0];
        uint64_t count = m->pairs[first.pair].count;
        if (first.count != count) {
            replace_first(m, (nb_heap_item){count, first.pair});
            continue;
        }
        if (count < NB_MAX(m->least, 1))
            return 0;
        pop(m);
        NB_TRY(merge_pair(m, first.pair, err));
        return 1;
    }
    return 0;
}

void nb_merges_free(nb_merges *m) {
    void *all[] = {m->merges,   m->tokens, m->starts, m->words, m->next,
                   m->previous, m->counts, m->pairs,  m->slots, m->heap};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        nb_free(all[i]);
    nb_strings_free(&m->names);
    *m = (nb_merges){0};
}
