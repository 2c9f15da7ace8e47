#include "needles.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "../base/sort.h"
#include "../base/text.h"

static nb_text needle_text(const nb_needles *s, uint32_t i) {
    return (nb_text){(const char *)s->bytes + s->items[i].at, s->items[i].size};
}

/* Orders names by their bytes, so a name comes before the longer names that start with it. Tokens with the same name
 * are ordered by their token numbers. */
static int compare_needles(const void *table, uint32_t a, uint32_t b) {
    const nb_needles *s = table;
    nb_text x = needle_text(s, a), y = needle_text(s, b);
    int order = nb_compare(x.data, y.data, NB_MIN(x.size, y.size));
    if (order || x.size != y.size)
        return order ? order : x.size < y.size ? -1 : 1;
    return s->items[a].token < s->items[b].token ? -1 : 1;
}

/* Sets the bit of the name's first two bytes in `starts`; for a name of one byte, its bits with every second byte. */
static void note_start(nb_needles *s, const nb_needle *needle) {
    const uint8_t *name = s->bytes + needle->at;
    uint32_t a = name[0], b = needle->size > 1 ? name[1] : 0, end = needle->size > 1 ? b + 1 : 256;
    for (; b < end; b++)
        s->starts[(a | b << 8) >> 3] |= (uint8_t)(1 << (a & 7));
}

int32_t nb_needles_sort(nb_needles *s, nb_error *err) {
    /* one block: sorted [n], then order [n] */
    nb_needle *sorted = nb_alloc_items(s->n, sizeof *sorted + sizeof(uint32_t));
    if (!sorted)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u added tokens", s->n);
    uint32_t *order = (uint32_t *)(sorted + s->n), kept = 0;
    nb_sort(order, s->n, compare_needles, s);
    for (uint32_t i = 0; i < s->n; i++)
        if (i + 1 == s->n || !nb_text_equal(needle_text(s, order[i]), needle_text(s, order[i + 1])))
            sorted[kept++] = s->items[order[i]]; /* of several with the same name, the highest token number */
    memcpy(s->items, sorted, kept * sizeof *sorted);
    s->n = kept;
    for (uint32_t i = 0; i < kept; i++)
        note_start(s, &s->items[i]);
    nb_free(sorted);
    return NB_OK;
}

static uint8_t byte_at(const nb_needles *s, uint32_t i, uint32_t depth) {
    return s->bytes[s->items[i].at + depth];
}

/* Narrows items[*low ... *high), which share their first `depth` bytes, to those whose next byte is `byte`. Both ends
 * usually move only a little, so each is found by galloping search: the steps double, and a binary search follows
 * within the last one. */
static void narrow(const nb_needles *s, uint32_t *low, uint32_t *high, uint32_t depth, uint8_t byte) {
    uint32_t from = *low, to = *high, step;
    for (step = 1; from < to && byte_at(s, from, depth) < byte; step *= 2)
        from += NB_MIN(step, to - from);
    /* from: the first whose byte is not below `byte` */
    for (uint32_t back = from - NB_MIN(step / 2, from - *low), end = from; back < end; from = end) {
        uint32_t middle = back + (end - back) / 2;
        if (byte_at(s, middle, depth) < byte)
            back = middle + 1;
        else
            end = middle;
    }
    for (step = 1; from < to && byte_at(s, to - 1, depth) > byte; step *= 2)
        to -= NB_MIN(step, to - from);
    /* to: the first whose byte is above `byte`, or *high */
    for (uint32_t back = to, end = to + NB_MIN(step / 2, *high - to); back < end; to = back) {
        uint32_t middle = back + (end - back) / 2;
        if (byte_at(s, middle, depth) <= byte)
            back = middle + 1;
        else
            end = middle;
    }
    *low = from;
    *high = to;
}

const nb_needle *nb_needle_next(nb_needle_walk *walk) {
    const nb_needles *s = walk->set;
    while (walk->low < walk->high) {
        bool whole = s->items[walk->low].size == walk->depth;
        const nb_needle *found = whole ? &s->items[walk->low++] : NULL;
        if (walk->depth == walk->n)
            walk->high = walk->low;
        else if (walk->low < walk->high)
            narrow(s, &walk->low, &walk->high, walk->depth, walk->text[walk->depth]);
        walk->depth++;
        if (found)
            return found;
    }
    return NULL;
}

const nb_needle *nb_needles_longest(const nb_needles *s, const uint8_t *text, size_t n) {
    nb_needle_walk walk = nb_needle_walk_of(s, text, n);
    const nb_needle *found = NULL;
    for (const nb_needle *next; (next = nb_needle_next(&walk));)
        found = next;
    return found;
}
