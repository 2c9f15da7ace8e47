/* The steps come in this order: Unicode's NFC, SentencePiece's rules, BERT's normalization, and what a tokenizer.json
 * does with spaces. tokenizer_steps.c refuses files with another order. */
#include "normalize.h"

#include "../base/memory.h"
#include "charsmap.h"

/* ---- NFC (The Unicode Standard, section 3.11) ------------------------------------------------------------------ */

/* A byte that starts no whole UTF-8 sequence becomes BROKEN + byte among the code points, and is written as the same
 * byte in the end. */
enum { BROKEN = 0x110000 };

/* Whether the text is certainly in NFC, as most are: characters below U+0300 never change, and their first bytes are
 * below 0xcc. */
static bool is_composed(const uint8_t *text, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (text[i] >= 0xcc)
            return false;
    return true;
}

static size_t decompose_text(const nb_mappings *m, const uint8_t *text, size_t size, uint32_t *out) {
    size_t n = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t codepoint = nb_utf8_decode(text + at, size - at, &length);
        if (length == 1 && text[at] >= 0x80)
            out[n++] = BROKEN + text[at];
        else
            n += nb_decompose(m, codepoint, out + n);
    }
    return n;
}

/* Sorts marks in a row by their combining classes. Marks of one class keep their order. It is a counting sort,
 * because a text may hold a million marks in a row. spare: scratch space, [n]. */
static void sort_marks(const nb_mappings *m, uint32_t *marks, size_t n, uint32_t *spare) {
    uint32_t starts[256] = {0};
    bool sorted = true;
    for (size_t i = 1; i < n && sorted; i++)
        sorted = nb_combining_class(m, marks[i - 1]) <= nb_combining_class(m, marks[i]);
    if (sorted)
        return;
    for (size_t i = 0; i < n; i++)
        starts[nb_combining_class(m, marks[i]) + 1]++; /* a class is at most 240 */
    for (uint32_t class = 1; class < 256; class++)
        starts[class] += starts[class - 1];
    memcpy(spare, marks, n * sizeof *marks);
    for (size_t i = 0; i < n; i++)
        marks[starts[nb_combining_class(m, spare[i])]++] = spare[i];
}

static void order_marks(const nb_mappings *m, uint32_t *text, size_t n, uint32_t *spare) {
    for (size_t at = 0, end; at < n; at = end) {
        end = at + 1;
        if (!nb_combining_class(m, text[at]))
            continue;
        while (end < n && nb_combining_class(m, text[end]))
            end++;
        sort_marks(m, text + at, end - at, spare);
    }
}

/* Composes in place; returns how many code points are left. */
static size_t compose_all(const nb_mappings *m, uint32_t *text, size_t n) {
    /* starter: where the last character of class 0 is in the output. Marks, or the next character of class 0, may be
     * composed with it. */
    size_t out = 0, starter = SIZE_MAX;
    uint32_t last = 0; /* the class of the last character after the starter */
    for (size_t i = 0; i < n; i++) {
        uint32_t class = nb_combining_class(m, text[i]);
        bool blocked = starter == SIZE_MAX || (starter + 1 < out && last >= class);
        uint32_t composed = blocked ? 0 : nb_compose_pair(m, text[starter], text[i]);
        if (composed) {
            text[starter] = composed;
            continue;
        }
        if (!class)
            starter = out;
        last = class;
        text[out++] = text[i];
    }
    return out;
}

int32_t nb_nfc_text(const nb_mappings *m, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err) {
    out->used = 0;
    if (is_composed(text, size))
        return nb_bytes_append(out, text, size, err);
    /* Two bytes of a text become three code points at most, and a code point has four bytes at most. */
    uint64_t most = 3 * ((uint64_t)size / 2 + 1);
    uint32_t *points = nb_alloc_items(2 * most, sizeof *points);
    if (!points)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to normalize %z bytes; pass less text at once", size);
    int32_t code = nb_bytes_reserve(out, 4 * most, err);
    if (code == NB_OK) {
        size_t n = decompose_text(m, text, size, points);
        order_marks(m, points, n, points + most);
        n = compose_all(m, points, n);
        for (size_t i = 0; i < n; i++)
            if (points[i] >= BROKEN)
                out->data[out->used++] = (uint8_t)points[i];
            else
                out->used += nb_utf8_encode(points[i], out->data + out->used);
    }
    nb_free(points);
    return code;
}

/* ---- BERT (google-research/bert, tokenization.py) -------------------------------------------------------------- */

/* The characters that Hugging Face's tokenizers count as Chinese for BERT. They leave out U+2B820 ... U+2B91F, which
 * BERT's tokenization.py includes. */
static bool is_chinese(uint32_t c) {
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static void put(nb_bytes *out, uint32_t codepoint) {
    out->used += nb_utf8_encode(codepoint, out->data + out->used);
}

static void put_lower(const nb_tokenizer *t, nb_bytes *out, uint32_t codepoint) {
    enum { DOTTED_I = 0x130, DOT = 0x307 }; /* the only character whose lower case is two characters */
    if (t->lower && codepoint == DOTTED_I) {
        put(out, 'i');
        codepoint = DOT;
    }
    put(out, t->lower ? nb_lower_case(t->mappings, codepoint) : codepoint);
}

/* BERT's clean_text: white space becomes a space. False: the character is removed. */
static bool clean(const nb_tokenizer *t, uint32_t *codepoint) {
    uint32_t class = nb_unicode_class(t->unicode, *codepoint);
    bool blank = *codepoint == '\t' || *codepoint == '\n' || *codepoint == '\r';
    if (*codepoint == NB_REPLACEMENT || class == NB_CLASS_CONTROL ||
        (class == NB_CLASS_SPACE && !blank && (*codepoint < ' ' || *codepoint == 0x85)))
        return false;
    if (class == NB_CLASS_SPACE)
        *codepoint = ' ';
    return true;
}

/* BERT's normalization: cleans, puts spaces around Chinese characters, strips accents, and writes lower case, each if
 * the tokenizer does so. */
static int32_t normalize_bert(const nb_tokenizer *t, const uint8_t *text, size_t size, nb_bytes *out, nb_error *err) {
    out->used = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t codepoint = nb_utf8_decode(text + at, size - at, &length), parts[NB_MAX_DECOMPOSED];
        NB_TRY(nb_bytes_reserve(out, out->used + 2 + 2 * 4 * NB_MAX_DECOMPOSED, err));
        if (t->steps.clean && !clean(t, &codepoint))
            continue;
        bool alone = t->steps.space_chinese && is_chinese(codepoint);
        if (alone)
            put(out, ' ');
        uint32_t n = t->strip_accents ? nb_decompose(t->mappings, codepoint, parts) : 1;
        if (!t->strip_accents)
            parts[0] = codepoint;
        for (uint32_t i = 0; i < n; i++)
            if (!(t->strip_accents && nb_unicode_class(t->unicode, parts[i]) == NB_CLASS_NONSPACING))
                put_lower(t, out, parts[i]);
        if (alone)
            put(out, ' ');
    }
    return NB_OK;
}

/* ---- spaces ---------------------------------------------------------------------------------------------------- */

/* Bytes of the white-space character at the beginning of s[n]; 0: none is there. */
static size_t white_at(const nb_tokenizer *t, const uint8_t *s, size_t n) {
    size_t length;
    return n && nb_unicode_class(t->unicode, nb_utf8_decode(s, n, &length)) == NB_CLASS_SPACE ? length : 0;
}

/* Bytes of the white-space character at the end of s[n]; 0: none is there. */
static size_t white_before(const nb_tokenizer *t, const uint8_t *s, size_t n) {
    size_t length = n ? 1 : 0;
    while (length < 4 && length < n && (s[n - length] & 0xc0) == 0x80)
        length++;
    return n && white_at(t, s + n - length, length) == length ? length : 0;
}

size_t nb_skip_white(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to) {
    for (size_t n; from < to && (n = white_at(t, text + from, to - from));)
        from += n;
    return from;
}

size_t nb_skip_white_back(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t to) {
    for (size_t n; from < to && (n = white_before(t, text + from, to - from));)
        to -= n;
    return to;
}

/* The steps of a tokenizer.json, in this order: Strip; Replace of two or more spaces by one space or ▁; Prepend of ▁;
 * Replace of each space by ▁. */
static int32_t normalize_spaces(const nb_tokenizer *t, nb_workspace *w, const uint8_t *text, size_t size, nb_bytes *out,
                                nb_error *err) {
    const nb_pipeline *s = &t->steps;
    size_t from = s->strip_left ? nb_skip_white(t, text, 0, size) : 0;
    w->stripped = from > 0;
    size_t to = s->strip_right ? nb_skip_white_back(t, text, from, size) : size;
    NB_TRY(nb_bytes_reserve(out, NB_METASPACE_SIZE * ((uint64_t)to - from + 1), err));
    out->used = 0;
    if (s->prepend && from < to)
        nb_bytes_put_metaspace(out);
    for (size_t i = from; i < to; i++) {
        if (s->join_spaces && text[i] == ' ' && i + 1 < to && text[i + 1] == ' ')
            continue;
        bool joined = s->join_spaces && text[i] == ' ' && i > from && text[i - 1] == ' ';
        if (text[i] == ' ' && (s->escape || (joined && s->join_as_metaspace)))
            nb_bytes_put_metaspace(out);
        else
            out->data[out->used++] = text[i];
    }
    return NB_OK;
}

/* For a GGUF file of a unigram model: applies the charsmap, and handles spaces as llama.cpp does. If the file merges
 * spaces, each word gets one ▁ before it, and all spaces are dropped. If not, each space becomes ▁, and if the file
 * adds a space, one more ▁ stands before the first character that is not a space. Broken bytes become U+FFFD. */
static int32_t normalize_unigram(const nb_tokenizer *t, const uint8_t *text, size_t size, nb_bytes *out,
                                 nb_error *err) {
    bool in_word = false, begun = false;
    out->used = 0;
    for (size_t at = 0, used; at < size; at += used) {
        nb_text piece = {(const char *)text + at, used = 1};
        if (!nb_charsmap_is_unmapped(t, text + at, size - at))
            piece = nb_charsmap_find(t, text + at, size - at, false, &used);
        if (!used) {
            nb_utf8_decode(text + at, size - at, &used);
            bool broken = used == 1 && text[at] >= 0x80;
            piece = broken ? (nb_text){"\xef\xbf\xbd", 3} : (nb_text){(const char *)text + at, used};
        }
        NB_TRY(nb_bytes_reserve(out, out->used + (1 + NB_METASPACE_SIZE) * (piece.size + 1), err));
        for (size_t i = 0; i < piece.size; i++) {
            bool space = piece.data[i] == ' ';
            if (space ? !t->merge_spaces : !in_word && (t->merge_spaces || (t->add_space && !begun)))
                nb_bytes_put_metaspace(out);
            if (!space)
                out->data[out->used++] = (uint8_t)piece.data[i];
            in_word = !space;
            begun |= !space;
        }
    }
    return NB_OK;
}

/* ---- all of them ----------------------------------------------------------------------------------------------- */

enum { COMPOSE, REPLACE, BERT, SPACE, STEPS };

int32_t nb_normalize(const nb_tokenizer *t, nb_workspace *w, const uint8_t **text, size_t *size, nb_error *err) {
    nb_bytes *out = &w->normal[0], *other = &w->normal[1];
    const nb_pipeline *s = &t->steps;
    bool spaces = s->strip_left || s->strip_right || s->join_spaces || s->prepend || s->escape;
    bool wanted[STEPS] = {
        [COMPOSE] = t->nfc,
        [REPLACE] = s->from_json ? t->charsmap.size : t->kind == NB_KIND_UNIGRAM,
        [BERT] = t->kind == NB_KIND_WORDPIECE,
        [SPACE] = spaces,
    };
    w->stripped = false;
    for (int step = 0; step < STEPS; step++) {
        if (!wanted[step])
            continue;
        NB_TRY(step == COMPOSE ? nb_nfc_text(t->mappings, *text, *size, out, err)
               : step == BERT  ? normalize_bert(t, *text, *size, out, err)
               : step == SPACE ? normalize_spaces(t, w, *text, *size, out, err)
               : s->from_json  ? nb_charsmap_apply(t, *text, *size, out, err)
                               : normalize_unigram(t, *text, *size, out, err));
        *text = out->data;
        *size = out->used;
        nb_bytes *swap = out;
        out = other;
        other = swap;
    }
    return NB_OK;
}
