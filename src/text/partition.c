#include "partition.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "added.h"
#include "encoders.h"
#include "heap.h"
#include "names.h"
#include "normalize.h"
#include "quotes.h"

/* Bytes of the longest name at text[at], or 0. Names that a quote makes plain text do not count. */
static size_t longest_at(const nb_encode_call *e, const nb_needles *set, const uint8_t *text, size_t at, size_t size) {
    nb_needle_walk walk = nb_needle_walk_of(set, text + at, size - at);
    size_t longest = 0;
    for (const nb_needle *next; (next = nb_needle_next(&walk));)
        if (!e->n_quotes || !nb_is_quoted(e, at, at + next->size, next->token))
            longest = next->size;
    return longest;
}

/* The token whose name is these `size` bytes. Callers pass exactly one name that was found, so it is never -1. */
static int32_t token_named(const nb_needles *set, const uint8_t *text, size_t size) {
    const nb_needle *found = nb_needles_longest(set, text, size);
    return found && found->size == size ? found->token : -1;
}

static bool get_bit(const uint8_t *bits, size_t i) {
    return bits[i >> 3] >> (i & 7) & 1;
}

static void set_bit(uint8_t *bits, size_t i) {
    bits[i >> 3] |= (uint8_t)(1 << (i & 7));
}

static int32_t normalize_and_encode(nb_encode_call *e, const uint8_t *text, size_t size) {
    bool first = text == e->start;
    NB_TRY(nb_normalize(e->tokenizer, &e->workspace, &text, &size, e->err));
    return nb_encode_segment(e, text, size, first);
}

static bool is_space(uint8_t c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

typedef struct found_names {
    uint8_t *taken;  /* a bit for each byte of the text: it belongs to a name */
    uint8_t *starts; /* a bit for each byte of the text: a name starts there */
} found_names;

static void occupy(found_names *found, size_t at, size_t length) {
    set_bit(found->starts, at);
    for (size_t i = at; i < at + length; i++)
        set_bit(found->taken, i);
}

static uint64_t key_of(size_t at, size_t length) {
    return (uint64_t)(NB_LONGEST_NEEDLE - length) << 32 | at;
}

/* Finds the names that a text holds. If names overlap, the longest is found first, as in llama.cpp, wherever it
 * stands. Names of one length are found from left to right (llama.cpp leaves their order to an unstable sort).
 *
 * Every name found so far is at least as long as the current one, so none lies strictly inside the current one. So the
 * current one overlaps another only if its first or its last byte is taken. If only its last byte is, a shorter name
 * that starts at the same byte may fit before the taken bytes. Each place of the text is examined once, and once more
 * for each such overlap. */
static int32_t find_names(const nb_encode_call *e, const nb_needles *set, const uint8_t *text, size_t size,
                          found_names *found) {
    size_t n = 0, most = 0;
    for (size_t at = 0; at < size; at++)
        most += nb_needle_may_start(set, text, at, size);
    uint64_t *heap = nb_alloc_items(most, sizeof *heap);
    if (!heap)
        return NB_FAIL(e->err, NB_ERR_MEMORY, "no memory to tokenize %z bytes; pass less text at once", size);
    for (size_t at = 0; at < size; at++) {
        size_t length = nb_needle_may_start(set, text, at, size) ? longest_at(e, set, text, at, size) : 0;
        if (length)
            heap[n++] = key_of(at, length);
    }
    nb_heap_order(heap, n);
    while (n) {
        uint64_t key = nb_heap_pop(heap, n--);
        size_t at = (uint32_t)key, length = NB_LONGEST_NEEDLE - (size_t)(key >> 32), room = 1;
        if (get_bit(found->taken, at))
            continue;
        if (!get_bit(found->taken, at + length - 1)) {
            occupy(found, at, length);
            continue;
        }
        while (!get_bit(found->taken, at + room))
            room++;
        length = longest_at(e, set, text, at, at + room);
        if (length)
            nb_heap_push(heap, n++, key_of(at, length));
    }
    nb_free(heap);
    return NB_OK;
}

int32_t nb_partition_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool parse_special) {
    const nb_tokenizer *t = e->tokenizer;
    const nb_needles *set = &t->added->sets[parse_special];
    size_t first = 0;
    while (first < size && !nb_needle_may_start(set, text, first, size))
        first++;
    if (first == size)
        return size ? normalize_and_encode(e, text, size) : NB_OK;

    size_t bytes = size / 8 + 1;
    uint8_t *bits = nb_alloc(2 * bytes);
    if (!bits)
        return NB_FAIL(e->err, NB_ERR_MEMORY, "no memory to tokenize %z bytes; pass less text at once", size);
    found_names found = {bits, bits + bytes};
    memset(bits, 0, 2 * bytes);
    int32_t code = find_names(e, set, text, size, &found), before = -1;
    /* before: the token of the name before; -1: none yet */
    for (size_t at = 0, end; at < size && code == NB_OK; at = end) {
        bool is_name = get_bit(found.taken, at);
        end = at + 1; /* of this name, or of the text up to the next name */
        while (end < size && get_bit(found.taken, end) == is_name && !(is_name && get_bit(found.starts, end)))
            end += !is_name && !(end % 8) && !found.taken[end / 8] ? 8 : 1;
        end = NB_MIN(end, size);
        if (is_name) {
            before = token_named(set, text + at, end - at);
            nb_token_append(&e->out, before);
            continue;
        }
        size_t from = at, to = end;
        if (before >= 0 && t->tokens[before].flags & NB_STRIP_RIGHT)
            while (from < to && is_space(text[from]))
                from++;
        if (end < size) {
            size_t after = end + 1;
            while (after < size && get_bit(found.taken, after) && !get_bit(found.starts, after))
                after++;
            if (t->tokens[token_named(set, text + end, after - end)].flags & NB_STRIP_LEFT)
                while (from < to && is_space(text[to - 1]))
                    to--;
        }
        if (from < to)
            code = normalize_and_encode(e, text + from, to - from);
    }
    nb_free(bits);
    return code;
}
