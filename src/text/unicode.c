#include "unicode.h"

#include <stdbool.h>

#include "unicode_tables.inc"

nb_utf8_lead nb_utf8_lead_of(uint8_t byte) {
    nb_utf8_lead lead = {
        byte < 0x80   ? 1
        : byte < 0xc2 ? 0
        : byte < 0xe0 ? 2
        : byte < 0xf0 ? 3
        : byte < 0xf5 ? 4
                      : 0,
        byte == 0xe0   ? 0xa0
        : byte == 0xf0 ? 0x90
                       : 0x80,
        byte == 0xed   ? 0x9f
        : byte == 0xf4 ? 0x8f
                       : 0xbf,
    };
    return lead;
}

size_t nb_utf8_prefix(const uint8_t *s, size_t n, int *complete) {
    nb_utf8_lead lead = nb_utf8_lead_of(s[0]);
    size_t have = 1;
    while (have < lead.length && have < n && s[have] >= (have == 1 ? lead.low : 0x80) &&
           s[have] <= (have == 1 ? lead.high : 0xbf))
        have++;
    *complete = have == lead.length;
    return have;
}

uint32_t nb_utf8_decode(const uint8_t *s, size_t n, size_t *length) {
    *length = 1;
    if (s[0] < 0x80)
        return s[0];
    /* a fast path for two and three bytes, of which most scripts consist */
    if (n >= 2 && s[0] >= 0xc2 && s[0] < 0xe0 && (s[1] & 0xc0) == 0x80) {
        *length = 2;
        return (uint32_t)(s[0] & 0x1f) << 6 | (s[1] & 0x3f);
    }
    if (n >= 3 && (s[0] & 0xf0) == 0xe0 && ((s[1] & 0xc0) | (s[2] & 0xc0) << 8) == 0x8080) {
        uint32_t codepoint = (uint32_t)(s[0] & 0x0f) << 12 | (uint32_t)(s[1] & 0x3f) << 6 | (s[2] & 0x3f);
        if (codepoint >= 0x800 && codepoint - 0xd800 >= 0x800) {
            *length = 3;
            return codepoint;
        }
    }
    int complete;
    size_t have = nb_utf8_prefix(s, n, &complete);
    if (!complete)
        return NB_REPLACEMENT;
    *length = have;
    uint32_t codepoint = s[0] & (0x7fu >> have);
    for (size_t i = 1; i < have; i++)
        codepoint = codepoint << 6 | (s[i] & 0x3f);
    return codepoint;
}

size_t nb_utf8_encode(uint32_t codepoint, uint8_t *out) {
    if (codepoint < 0x80) {
        out[0] = (uint8_t)codepoint;
        return 1;
    }
    if (codepoint < 0x800) {
        out[0] = (uint8_t)(0xc0 | codepoint >> 6);
        out[1] = (uint8_t)(0x80 | (codepoint & 0x3f));
        return 2;
    }
    size_t n = 0;
    if (codepoint < 0x10000) {
        out[n++] = (uint8_t)(0xe0 | codepoint >> 12);
    } else {
        out[n++] = (uint8_t)(0xf0 | codepoint >> 18);
        out[n++] = (uint8_t)(0x80 | (codepoint >> 12 & 0x3f));
    }
    out[n++] = (uint8_t)(0x80 | (codepoint >> 6 & 0x3f));
    out[n++] = (uint8_t)(0x80 | (codepoint & 0x3f));
    return n;
}

static uint32_t next_varint(const uint8_t **p) {
    uint32_t number = 0, shift = 0;
    for (; **p & 0x80; (*p)++, shift += 7)
        number |= (uint32_t)(**p & 0x7f) << shift;
    return number | (uint32_t)*(*p)++ << shift;
}

/* ---- classes ----------------------------------------------------------------------------------------------------- */

enum { ALTERNATING = NB_CLASSES }; /* of a run: upper, lower, upper, ... */

size_t nb_unicode_bytes(void) {
    return sizeof(nb_unicode) + MIXED_BLOCKS * NB_UNICODE_BLOCK;
}

void nb_unicode_expand(nb_unicode *u) {
    uint32_t at = 0, n_mixed = 0;
    for (const uint8_t *p = class_runs; p < class_runs + sizeof class_runs;) {
        uint32_t class = *p & 15, length = *p++ >> 4;
        if (!length)
            length = next_varint(&p);
        for (uint32_t end = at + length, first = at, next; at < end; at = next) {
            uint32_t block = at / NB_UNICODE_BLOCK, inside = at % NB_UNICODE_BLOCK;
            next = end < (block + 1) * NB_UNICODE_BLOCK ? end : (block + 1) * NB_UNICODE_BLOCK;
            if (next - at == NB_UNICODE_BLOCK && class != ALTERNATING) {
                u->blocks[block] = (uint16_t)class;
                continue;
            }
            if (!inside)
                u->blocks[block] = (uint16_t)(NB_CLASSES + n_mixed++);
            uint8_t *classes = u->mixed[u->blocks[block] - NB_CLASSES];
            for (uint32_t i = 0; i < next - at; i++)
                classes[inside + i] = (uint8_t)(class != ALTERNATING   ? class
                                                : (at - first + i) % 2 ? NB_CLASS_LOWER
                                                                       : NB_CLASS_UPPER);
        }
    }
}

/* ---- mappings ---------------------------------------------------------------------------------------------------- */

/* Hangul syllables decompose by rule (The Unicode Standard, section 3.12). */
enum {
    HANGUL_FIRST = 0xac00,
    HANGUL_COUNT = 11172,
    HANGUL_LEADS = 0x1100,
    HANGUL_VOWELS = 0x1161,
    HANGUL_TAILS = 0x11a7,
    N_LEADS = 19,
    N_VOWELS = 21,
    N_TAILS = 28
};

#define NB_COMPOSED 0x80000000u
enum { COMPOSED_SLOTS = 4096 };

/* out: `words` numbers for each pair, of which the first two are written. */
static void expand_mapping(const uint8_t *p, const uint8_t *end, uint32_t *out, uint32_t words) {
    for (uint32_t first = 0, image = 0; p < end;) {
        first += next_varint(&p);
        uint32_t run = next_varint(&p), zigzag = next_varint(&p);
        uint32_t stride = run % 2 + 1, step = run / 2 % 3, n = run / 6;
        image += zigzag >> 1 ^ (0 - (zigzag & 1));
        for (uint32_t i = 0; i < n; i++, out += words) {
            out[0] = first + i * stride;
            out[1] = image + i * step;
        }
    }
}

static uint32_t slot_of(uint32_t first, uint32_t second) {
    return ((first * 0x9e3779b1u) ^ (second * 0x85ebca6bu)) >> 20; /* 12 bits: COMPOSED_SLOTS */
}

size_t nb_mappings_bytes(void) {
    return sizeof(nb_mappings) + LOWER_PAIRS * sizeof(nb_mapping) + DECOMPOSITIONS * sizeof(nb_decomposition) +
           COMBINING_RUNS * sizeof(nb_combining_run) + COMPOSED_SLOTS * sizeof(uint16_t);
}

nb_mappings *nb_mappings_expand(void *zeroed_memory) {
    nb_mappings *m = zeroed_memory;
    m->lower = (nb_mapping *)(m + 1);
    m->decompositions = (nb_decomposition *)(m->lower + LOWER_PAIRS);
    m->combining = (nb_combining_run *)(m->decompositions + DECOMPOSITIONS);
    m->composed = (uint16_t *)(m->combining + COMBINING_RUNS);
    expand_mapping(lower_runs, lower_runs + sizeof lower_runs, (uint32_t *)m->lower, 2);
    expand_mapping(first_runs, first_runs + sizeof first_runs, (uint32_t *)m->decompositions, 3);
    for (uint32_t i = 0; i < DECOMPOSITIONS; i++) {
        nb_decomposition *d = &m->decompositions[i];
        bool composed = second_numbers[i] & 0x80;
        d->second = seconds[second_numbers[i] & 0x7f] | (composed ? NB_COMPOSED : 0);
        if (!composed)
            continue;
        uint32_t slot = slot_of(d->first, d->second & ~NB_COMPOSED);
        while (m->composed[slot])
            slot = (slot + 1) % COMPOSED_SLOTS;
        m->composed[slot] = (uint16_t)(i + 1);
    }
    const uint8_t *p = combining_runs;
    for (uint32_t i = 0, end = 0; i < COMBINING_RUNS; i++) {
        uint32_t first = end + next_varint(&p), count = next_varint(&p);
        m->combining[i] = (nb_combining_run){first, count, *p++};
        end = first + count;
    }
    return m;
}

uint32_t nb_lower_case(const nb_mappings *m, uint32_t codepoint) {
    if (codepoint < 0x80)
        return codepoint >= 'A' && codepoint <= 'Z' ? codepoint | 0x20 : codepoint;
    uint32_t low = 0, n = LOWER_PAIRS;
    while (n > 1) { /* it is in lower[low ... low + n), or there is none */
        uint32_t half = n / 2;
        if (m->lower[low + half].from <= codepoint)
            low += half;
        n -= half;
    }
    return m->lower[low].from == codepoint ? m->lower[low].to : codepoint;
}

uint32_t nb_decompose(const nb_mappings *m, uint32_t codepoint, uint32_t *out) {
    uint32_t syllable = codepoint - HANGUL_FIRST;
    if (syllable < HANGUL_COUNT) {
        out[0] = HANGUL_LEADS + syllable / (N_VOWELS * N_TAILS);
        out[1] = HANGUL_VOWELS + syllable / N_TAILS % N_VOWELS;
        out[2] = HANGUL_TAILS + syllable % N_TAILS;
        return syllable % N_TAILS ? 3 : 2;
    }
    out[0] = codepoint;
    uint32_t count = 1;
    for (bool more = codepoint >= 0xc0; more;) { /* only the first of a pair may decompose further */
        uint32_t low = 0, n = DECOMPOSITIONS;
        while (n > 1) {
            uint32_t half = n / 2;
            if (m->decompositions[low + half].from <= out[0])
                low += half;
            n -= half;
        }
        const nb_decomposition *d = &m->decompositions[low];
        more = d->from == out[0] && count < NB_MAX_DECOMPOSED;
        if (!more)
            break;
        out[0] = d->first;
        uint32_t second = d->second & ~NB_COMPOSED;
        if (!second)
            continue;
        for (uint32_t i = count++; i > 1; i--)
            out[i] = out[i - 1];
        out[1] = second;
    }
    return count;
}

uint32_t nb_compose_pair(const nb_mappings *m, uint32_t first, uint32_t second) {
    uint32_t lead = first - HANGUL_LEADS, vowel = second - HANGUL_VOWELS, syllable = first - HANGUL_FIRST;
    if (lead < N_LEADS && vowel < N_VOWELS)
        return HANGUL_FIRST + (lead * N_VOWELS + vowel) * N_TAILS;
    if (syllable < HANGUL_COUNT && syllable % N_TAILS == 0 && second > HANGUL_TAILS && second < HANGUL_TAILS + N_TAILS)
        return first + (second - HANGUL_TAILS);
    for (uint32_t slot = slot_of(first, second); m->composed[slot]; slot = (slot + 1) % COMPOSED_SLOTS) {
        const nb_decomposition *d = &m->decompositions[m->composed[slot] - 1];
        if (d->first == first && d->second == (second | NB_COMPOSED))
            return d->from;
    }
    return 0;
}

uint32_t nb_combining_class(const nb_mappings *m, uint32_t codepoint) {
    if (codepoint < 0x300)
        return 0;
    uint32_t low = 0, n = COMBINING_RUNS;
    while (n > 1) {
        uint32_t half = n / 2;
        if (m->combining[low + half].first <= codepoint)
            low += half;
        n -= half;
    }
    const nb_combining_run *run = &m->combining[low];
    return codepoint - run->first < run->count ? run->class : 0;
}
