/* Added tokens are found as the tokenizers library finds them: the leftmost first, and of several at one place the
 * longest. Tokens that are not `normalized` are searched for in the original text. What lies between them is
 * normalized, and the `normalized` tokens are searched for in the result. */
#include "added.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "encoders.h"
#include "names.h"
#include "normalize.h"
#include "quotes.h"

/* ---- matches --------------------------------------------------------------------------------------------------- */

/* What \w of a regular expression matches besides letters, digits and marks: Unicode's Nl, Pc, Other_Alphabetic and
 * Join_Control. */
static const uint32_t word_ranges[][2] = {
    {'_', '_'},         {0x16ee, 0x16f0},   {0x200c, 0x200d},   {0x203f, 0x2040},   {0x2054, 0x2054},
    {0x2160, 0x2188},   {0x24b6, 0x24e9},   {0x3007, 0x3007},   {0x3021, 0x3029},   {0x3038, 0x303a},
    {0xa6e6, 0xa6ef},   {0xfe33, 0xfe34},   {0xfe4d, 0xfe4f},   {0xff3f, 0xff3f},   {0x10140, 0x10174},
    {0x10341, 0x10341}, {0x1034a, 0x1034a}, {0x103d1, 0x103d5}, {0x12400, 0x1246e}, {0x1f130, 0x1f149},
    {0x1f150, 0x1f169}, {0x1f170, 0x1f189},
};

static bool is_word(const nb_tokenizer *t, uint32_t codepoint) {
    if ((NB_LETTERS | NB_MARKS | 1 << NB_CLASS_DIGIT) >> nb_unicode_class(t->unicode, codepoint) & 1)
        return true;
    for (size_t i = 0; i < sizeof word_ranges / sizeof *word_ranges; i++)
        if (codepoint >= word_ranges[i][0] && codepoint <= word_ranges[i][1])
            return true;
    return false;
}

/* Whether text[from ... to) stands by itself: the characters before and after it belong to no word. */
static bool is_whole_word(const nb_tokenizer *t, const uint8_t *text, size_t size, size_t from, size_t to) {
    size_t before = from, length;
    while (before && from - before < 4 && (text[--before] & 0xc0) == 0x80)
        ;
    return !(from && is_word(t, nb_utf8_decode(text + before, from - before, &length))) &&
           !(to < size && is_word(t, nb_utf8_decode(text + to, size - to, &length)));
}

typedef struct search search;
struct search {
    nb_encode_call *e;
    const nb_needles *set;
    bool parse_special; /* special tokens are searched for, too */
    /* In a normalized text: how many bytes precede the first quote. SIZE_MAX: this is the original text. */
    size_t unquoted;
    size_t from, to; /* of a normalized text: the bytes of the original that it was made from */
    /* Encodes what lies between two added tokens. first: it is the beginning of the whole text. */
    int32_t (*between)(const search *s, const uint8_t *text, size_t size, bool first);
};

/* Whether a quote makes plain text of a name at text[from ... to) (nb_tokenize_quoted). */
static bool is_text(const search *s, size_t from, size_t to, int32_t token) {
    if (s->unquoted == SIZE_MAX)
        return s->e->n_quotes && nb_is_quoted(s->e, from, to, token);
    return to > s->unquoted && nb_is_quoted(s->e, s->from, s->to, token);
}

static int32_t encode_matches(const search *s, const uint8_t *text, size_t size, bool first) {
    const nb_tokenizer *t = s->e->tokenizer;
    size_t start = 0; /* all before it is encoded */
    for (size_t at = 0; at < size && s->set->n;) {
        const nb_needle *found = NULL;
        if (nb_needle_may_start(s->set, text, at, size))
            found = nb_needles_longest(s->set, text + at, size - at);
        if (!found) {
            at++;
            continue;
        }
        const nb_token *token = &t->tokens[found->token];
        size_t from = at, to = at + found->size;
        at = to;
        bool special = token->flags & NB_SPECIAL || token->type == NB_TOKEN_CONTROL;
        if ((special && !s->parse_special) || is_text(s, from, to, found->token))
            continue;
        if (token->flags & NB_WHOLE_WORD && !is_whole_word(t, text, size, from, to))
            continue;
        if (token->flags & NB_STRIP_LEFT && start < from)
            from = nb_skip_white_back(t, text, start, from);
        if (token->flags & NB_STRIP_RIGHT)
            to = nb_skip_white(t, text, to, size);
        if (start < from)
            NB_TRY(s->between(s, text + start, from - start, first && !start));
        nb_token_append(&s->e->out, found->token);
        start = to;
    }
    return start < size ? s->between(s, text + start, size - start, first && !start) : NB_OK;
}

static int32_t encode_rest(const search *s, const uint8_t *text, size_t size, bool first) {
    return nb_encode_segment(s->e, text, size, first);
}

/* *size: how many bytes text[n] has once it is normalized. */
static int32_t normalized_size(const nb_encode_call *e, const uint8_t *text, size_t n, size_t *size) {
    nb_workspace w = {0};
    *size = n;
    int32_t code = n ? nb_normalize(e->tokenizer, &w, &text, size, e->err) : NB_OK;
    nb_workspace_free(&w);
    return code;
}

/* Normalization moves bytes, so the places of quotes are lost. In a normalized stretch, a name that a quote can turn
 * into plain text therefore counts only before the first quote. */
static int32_t normalize_and_encode(const search *s, const uint8_t *text, size_t size, bool first) {
    nb_encode_call *e = s->e;
    size_t from = (size_t)(text - e->start);
    search inner = {e, &e->tokenizer->added->sets[1], s->parse_special, SIZE_MAX - 1, from, from + size, encode_rest};
    if (inner.set->n && e->n_quotes) {
        size_t quote = nb_quote_after(e, from);
        if (quote < e->n_quotes && e->quotes[quote].from < from + size) {
            size_t clear = NB_MAX(e->quotes[quote].from, from) - from;
            NB_TRY(normalized_size(e, text, clear, &inner.unquoted));
        }
    }
    NB_TRY(nb_normalize(e->tokenizer, &e->workspace, &text, &size, e->err));
    return encode_matches(&inner, text, size, first);
}

int32_t nb_added_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool parse_special) {
    const search outer = {e, &e->tokenizer->added->sets[0], parse_special, SIZE_MAX, 0, size, normalize_and_encode};
    return encode_matches(&outer, text, size, true);
}

/* ---- loading --------------------------------------------------------------------------------------------------- */

/* Replaces the names of the `normalized` tokens by their normalized forms. */
static int32_t normalize_names(const nb_tokenizer *t, nb_added *a, nb_error *err) {
    nb_needles *s = &a->sets[1];
    nb_bytes *out = &a->names;
    nb_workspace w = {0};
    int32_t code = NB_OK;
    for (uint32_t i = 0; i < s->n && code == NB_OK; i++) {
        const uint8_t *name = s->bytes + s->items[i].at;
        size_t size = s->items[i].size;
        code = nb_normalize(t, &w, &name, &size, err);
        if (code == NB_OK && size > NB_LONGEST_NEEDLE)
            code = nb_vocabulary_refuse_name(s->items[i].token, size, err);
        if (code == NB_OK)
            code = nb_bytes_reserve(out, out->used + size, err);
        if (code < 0)
            break;
        if (size)
            memcpy(out->data + out->used, name, size);
        s->items[i] = (nb_needle){(uint32_t)out->used, (uint32_t)size, s->items[i].token};
        out->used += size;
    }
    nb_workspace_free(&w);
    memcpy(a->by_token, s->items, s->n * sizeof *s->items);
    a->n_by_token = s->n;
    uint32_t kept = 0; /* a normalized name may be empty */
    for (uint32_t i = 0; i < s->n; i++)
        if (s->items[i].size)
            s->items[kept++] = s->items[i];
    s->n = kept;
    s->bytes = out->data;
    return code;
}

/* Whether the token's name belongs to this set (nb_added). */
static bool is_needle(const nb_tokenizer *t, int32_t token, int set) {
    const nb_token *it = &t->tokens[token];
    if (t->steps.from_json)
        return it->flags & NB_ADDED && !(it->flags & NB_NORMALIZED) == !set;
    uint32_t types =
        set ? 1 << NB_TOKEN_USER_DEFINED | 1 << NB_TOKEN_CONTROL | 1 << NB_TOKEN_UNKNOWN : 1 << NB_TOKEN_USER_DEFINED;
    return types >> it->type & 1 && nb_vocabulary_find(t, nb_token_name(t, token), (nb_text){0}) == token;
}

static int32_t collect(const nb_tokenizer *t, int set, nb_needles *out, nb_error *err) {
    out->bytes = t->bytes;
    for (int32_t i = 0; i < t->size; i++) {
        if (!t->tokens[i].size || !is_needle(t, i, set))
            continue;
        nb_text name = nb_token_spelled(t, i);
        if (name.size > NB_LONGEST_NEEDLE)
            return nb_vocabulary_refuse_name(i, name.size, err);
        if (out->items)
            out->items[out->n] = (nb_needle){(uint32_t)((const uint8_t *)name.data - t->bytes), (uint32_t)name.size, i};
        out->n++;
    }
    return NB_OK;
}

int32_t nb_added_load(nb_tokenizer *t, nb_error *err) {
    nb_needles counted[2] = {0};
    NB_TRY(collect(t, 0, &counted[0], err));
    NB_TRY(collect(t, 1, &counted[1], err));
    uint64_t n = counted[0].n + 2 * (uint64_t)counted[1].n;
    nb_added *a = t->added = nb_alloc_items(sizeof *a + n * sizeof(nb_needle), 1);
    if (!a)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %l added tokens", n);
    memset(a, 0, sizeof *a);
    a->sets[0].items = (nb_needle *)(a + 1);
    a->sets[1].items = a->sets[0].items + counted[0].n;
    a->by_token = a->sets[1].items + counted[1].n;
    NB_TRY(collect(t, 0, &a->sets[0], err));
    NB_TRY(collect(t, 1, &a->sets[1], err));
    if (t->steps.from_json)
        NB_TRY(normalize_names(t, a, err));
    NB_TRY(nb_needles_sort(&a->sets[0], err));
    return nb_needles_sort(&a->sets[1], err);
}

void nb_added_free(nb_added *a) {
    if (a)
        nb_free(a->names.data);
    nb_free(a);
}
