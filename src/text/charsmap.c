/* A precompiled charsmap holds, in this order: the size of a trie in bytes, as u32; the trie; the replacements, each
 * with a zero at its end. The trie is a double array (Aoe 1989) in the layout of darts-clone. Let u be the unit at
 * `index`:
 *   - the child of u with a label lies at index ^ offset(u) ^ label, if the unit there has that label;
 *   - if a key ends at u, the unit at index ^ offset(u) holds the offset of its replacement. */
#include "charsmap.h"

#include "../base/numbers.h"

/* The most bytes of a replacement, and of what it replaces. Unicode's own replacements have 33 at most. */
enum { LONGEST = 256 };

static uint32_t unit_at(const nb_tokenizer *t, uint32_t index, uint32_t n_units) {
    uint32_t unit = 0;
    if (index < n_units)
        memcpy(&unit, t->charsmap.data + 4 + 4 * (size_t)index, 4);
    return unit;
}

static uint32_t offset_of(uint32_t unit) {
    return unit >> 10 << (unit >> 9 & 1) * 8;
}

/* Finds the ASCII characters that no rule changes if ASCII follows. Most of a text needs no look-up then. */
static void find_unmapped(nb_tokenizer *t) {
    uint32_t size;
    memcpy(&size, t->charsmap.data, 4);
    uint32_t n_units = size / 4, root = offset_of(unit_at(t, 0, n_units));
    for (uint32_t a = 0; a < 128; a++) {
        uint32_t unit = unit_at(t, root ^ a, n_units), next = root ^ a ^ offset_of(unit);
        bool begins = (unit & 0x800000ffu) == a, unmapped = !begins || !(unit >> 8 & 1);
        for (uint32_t b = 1; b < 128 && begins; b++)
            unmapped &= (unit_at(t, next ^ b, n_units) & 0x800000ffu) != b;
        t->unmapped[a / 32] |= (uint32_t)unmapped << a % 32;
    }
}

int32_t nb_charsmap_load(nb_tokenizer *t, nb_text map, nb_error *err) {
    uint32_t size = 0;
    if (map.size >= 4)
        memcpy(&size, map.data, 4);
    if (map.size && (map.size < 4 || size >= map.size - 4 || map.data[map.size - 1]))
        return NB_FAIL(err, NB_ERR_FORMAT,
                       "the tokenizer's normalization rules (precompiled charsmap) are broken: %z bytes, a trie of %u; "
                       "convert the model anew",
                       map.size, size);
    for (size_t at = 4 + (size_t)size, start = at; at < map.size; at++) {
        if (at - start > LONGEST)
            return NB_FAIL(err, NB_ERR_FORMAT,
                           "the tokenizer's normalization rules (precompiled charsmap) make more than %d bytes of a "
                           "character; the file is damaged",
                           (int32_t)LONGEST);
        if (!map.data[at])
            start = at + 1;
    }
    t->charsmap = map;
    if (map.size && t->tokens)
        find_unmapped(t);
    return NB_OK;
}

nb_text nb_charsmap_find(const nb_tokenizer *t, const uint8_t *text, size_t n, bool shortest, size_t *used) {
    nb_text found = {0};
    *used = 0;
    if (!t->charsmap.size)
        return found;
    uint32_t size;
    memcpy(&size, t->charsmap.data, 4);
    uint32_t n_units = size / 4, index = offset_of(unit_at(t, 0, n_units));
    nb_text texts = {t->charsmap.data + 4 + size, t->charsmap.size - 4 - size};
    n = NB_MIN(n, LONGEST); /* a broken trie may lead around in circles */
    for (size_t at = 0; at < n && text[at] && !(shortest && *used); at++) {
        index ^= text[at];
        uint32_t unit = unit_at(t, index, n_units);
        if ((unit & 0x800000ffu) != text[at])
            break;
        index ^= offset_of(unit);
        if (!(unit >> 8 & 1))
            continue;
        uint32_t start = unit_at(t, index, n_units) & 0x7fffffffu;
        if (start >= texts.size)
            break;
        *used = at + 1;
        found = (nb_text){texts.data + start, 0};
        while (found.data[found.size]) /* nb_charsmap_load has checked that the last text ends with a zero */
            found.size++;
    }
    return found;
}

/* ---- the rules as the tokenizers library applies them -------------------------------------------------------------
 *
 * The library looks at clusters of characters (extended grapheme clusters, Unicode Standard Annex #29). A cluster of
 * fewer than 6 bytes is replaced as a whole by the shortest rule that fits its beginning. Otherwise each character is
 * looked up by itself. */

enum { SMALL_CLUSTER = 6 };

/* Unicode's property Grapheme_Cluster_Break follows the general category, with these exceptions: marks that do not
 * extend a cluster, other characters that do, and characters that begin a cluster with what follows. */
static const uint16_t no_extend[][2] = {
    {0x102b, 0x102c}, {0x1038, 0x1038}, {0x1062, 0x1064}, {0x1067, 0x106d}, {0x1083, 0x1083}, {0x1087, 0x108c},
    {0x108f, 0x108f}, {0x109a, 0x109c}, {0x1a61, 0x1a61}, {0x1a63, 0x1a64}, {0xaa7b, 0xaa7b}, {0xaa7d, 0xaa7d},
};
static const uint32_t extend[][2] = {
    {0xe33, 0xe33}, {0xeb3, 0xeb3}, {0x200c, 0x200d}, {0xff9e, 0xff9f}, {0x1f3fb, 0x1f3ff}, {0xe0020, 0xe007f},
};
static const uint32_t prepend[][2] = {
    {0x600, 0x605},     {0x6dd, 0x6dd},     {0x70f, 0x70f},     {0x890, 0x891},     {0x8e2, 0x8e2},
    {0xd4e, 0xd4e},     {0x110bd, 0x110bd}, {0x110cd, 0x110cd}, {0x111c2, 0x111c3}, {0x1193f, 0x1193f},
    {0x11941, 0x11941}, {0x11a84, 0x11a89}, {0x11d46, 0x11d46}, {0x11f02, 0x11f02},
};

static bool is_among(const uint32_t (*ranges)[2], size_t n, uint32_t c) {
    for (size_t i = 0; i < n; i++)
        if (c >= ranges[i][0] && c <= ranges[i][1])
            return true;
    return false;
}
#define IS_AMONG(ranges, c) is_among(ranges, sizeof ranges / sizeof *ranges, c)

static bool extends(const nb_tokenizer *t, uint32_t c) {
    if (!(NB_MARKS >> nb_unicode_class(t->unicode, c) & 1))
        return IS_AMONG(extend, c);
    for (size_t i = 0; i < sizeof no_extend / sizeof *no_extend; i++)
        if (c >= no_extend[i][0] && c <= no_extend[i][1])
            return false;
    return true;
}

/* Whether the character is always a cluster by itself: a control character, a line or paragraph separator, or a format
 * character that is in neither list. */
static bool is_control(const nb_tokenizer *t, uint32_t c) {
    uint32_t class = nb_unicode_class(t->unicode, c);
    bool private = (c >= 0xe000 && c < 0xf900) || c >= 0xf0000;
    return ((class == NB_CLASS_CONTROL && !private) || c < ' ' || c == 0x85 || c == 0x2028 || c == 0x2029) &&
           !IS_AMONG(extend, c) && !IS_AMONG(prepend, c);
}

/* Hangul's leads, vowels and tails join by the annex's rules GB6 to GB8. */
enum { NO_HANGUL, LEAD, VOWEL, TAIL, SYLLABLE, CLOSED_SYLLABLE };

static int hangul_of(uint32_t c) {
    if (c >= 0xac00 && c < 0xac00 + 11172)
        return (c - 0xac00) % 28 ? CLOSED_SYLLABLE : SYLLABLE;
    return (c >= 0x1100 && c <= 0x115f) || (c >= 0xa960 && c <= 0xa97c) ? LEAD
         : (c >= 0x1160 && c <= 0x11a7) || (c >= 0xd7b0 && c <= 0xd7c6) ? VOWEL
         : (c >= 0x11a8 && c <= 0x11ff) || (c >= 0xd7cb && c <= 0xd7fb) ? TAIL
                                                                        : NO_HANGUL;
}

static bool joins_hangul(uint32_t a, uint32_t b) {
    int x = hangul_of(a), y = hangul_of(b);
    return (x == LEAD && y && y != TAIL) || ((x == SYLLABLE || x == VOWEL) && (y == VOWEL || y == TAIL)) ||
           ((x == CLOSED_SYLLABLE || x == TAIL) && y == TAIL);
}

static size_t cluster_size(const nb_tokenizer *t, const uint8_t *text, size_t n) {
    size_t size, length;
    uint32_t c = nb_utf8_decode(text, n, &size);
    if (c == '\r' && n > 1 && text[1] == '\n')
        return 2;
    for (; !is_control(t, c) && size < n; size += length) {
        uint32_t next = nb_utf8_decode(text + size, n - size, &length);
        if (is_control(t, next) || !(extends(t, next) || IS_AMONG(prepend, c) || joins_hangul(c, next)))
            break;
        c = next;
    }
    return size;
}

/* Appends the replacement of text[n] if there is one (*known). */
static int32_t put_replaced(const nb_tokenizer *t, const uint8_t *text, size_t n, bool *known, nb_bytes *out,
                            nb_error *err) {
    size_t used;
    nb_text piece = nb_charsmap_find(t, text, n, true, &used);
    *known = used > 0;
    if (!used)
        return NB_OK;
    return nb_bytes_append(out, piece.data, piece.size, err);
}

static int32_t put_characters(const nb_tokenizer *t, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err) {
    for (size_t at = 0, length; at < size; at += length) {
        bool known;
        uint32_t c = nb_utf8_decode(text + at, size - at, &length);
        NB_TRY(put_replaced(t, text + at, length, &known, out, err));
        NB_TRY(nb_bytes_reserve(out, out->used + 4, err));
        if (!known)
            out->used += nb_utf8_encode(c, out->data + out->used);
    }
    return NB_OK;
}

int32_t nb_charsmap_apply(const nb_tokenizer *t, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err) {
    out->used = 0;
    for (size_t at = 0, cluster; at < size; at += cluster) {
        bool known = false;
        NB_TRY(nb_bytes_reserve(out, out->used + 4, err));
        if (nb_charsmap_is_unmapped(t, text + at, size - at)) {
            out->data[out->used++] = text[at];
            cluster = 1;
            continue;
        }
        cluster = cluster_size(t, text + at, size - at);
        if (cluster < SMALL_CLUSTER)
            NB_TRY(put_replaced(t, text + at, cluster, &known, out, err));
        if (!known)
            NB_TRY(put_characters(t, text + at, cluster, out, err));
    }
    return NB_OK;
}
