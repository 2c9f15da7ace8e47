/* Tokens -> whole UTF-8 characters, as they come. */
#include "detokenizer.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "added.h"
#include "byte_level.h"
#include "names.h"

struct nb_detokenizer {
    const nb_tokenizer *tokenizer;
    uint32_t flags;
    bool begun;           /* a token that gives text has come */
    uint32_t strip;       /* spaces that are still to be removed at the beginning of a whole text */
    uint32_t strip_after; /* the same after the current token */
    nb_bytes pending;     /* bytes of an incomplete character, or of byte tokens in a row (put_pending) */
    nb_bytes text, next;  /* the text of the current token, and what comes out with it */
};

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
enum { REPLACEMENT_SIZE = 3 };

static bool is_whole(const nb_detokenizer *d) {
    return d->flags & NB_DETOKENIZE_WHOLE;
}

/* How many spaces are removed at the beginning of a whole text: the tokenizer had added them. */
static uint32_t strip_of(const nb_detokenizer *d) {
    const nb_tokenizer *t = d->tokenizer;
    if (!is_whole(d))
        return 0;
    return t->steps.from_json ? t->steps.decoder.strip
                              : t->kind == NB_KIND_WORDPIECE || t->add_space || t->merge_spaces;
}

nb_detokenizer *nb_detokenizer_over(const nb_tokenizer *t, uint32_t flags, nb_error *err) {
    nb_detokenizer *d = nb_alloc(sizeof *d);
    if (!d)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a detokenizer");
    *d = (nb_detokenizer){.tokenizer = t, .flags = flags};
    d->strip = strip_of(d);
    /* The longest text of a token. It is allocated now, because the token loop allocates nothing. */
    size_t most = 4 * (size_t)t->longest + 64;
    if (nb_bytes_reserve(&d->pending, most, err) < 0 || nb_bytes_reserve(&d->text, most, err) < 0 ||
        nb_bytes_reserve(&d->next, 3 * most, err) < 0) {
        nb_detokenizer_free(d);
        return NULL;
    }
    return d;
}

void nb_detokenizer_free(nb_detokenizer *d) {
    if (!d)
        return;
    nb_free(d->pending.data);
    nb_free(d->text.data);
    nb_free(d->next.data);
    nb_free(d);
}

/* ---- the decoders of a tokenizer.json -------------------------------------------------------------------------- */

/* WordPiece's `cleanup` makes these replacements in each token, one after the other. */
static const char *const contractions[][2] = {
    {" .", "."},   {" ?", "?"},           {" !", "!"},   {" ,", ","},     {" ' ", "'"},    {" n't", "n't"},
    {" 'm", "'m"}, {" do not", " don't"}, {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
};

static void clean_up(nb_bytes *text) {
    for (size_t k = 0; k < sizeof contractions / sizeof *contractions; k++) {
        nb_text from = nb_text_of(contractions[k][0]), to = nb_text_of(contractions[k][1]);
        size_t out = 0;
        for (size_t at = 0; at < text->used;) { /* in place: no replacement is longer than what it replaces */
            bool here = text->used - at >= from.size && nb_compare(text->data + at, from.data, from.size) == 0;
            if (here)
                memcpy(text->data + out, to.data, to.size);
            else
                text->data[out] = text->data[at];
            out += here ? to.size : 1;
            at += here ? from.size : 1;
        }
        text->used = out;
    }
}

/* WordPiece: each token but the first gets a space before it, unless it continues a word. The name of one of the
 * model's own tokens begins with ▁ if it begins a word, and without "##" if it continues one (tokenizer_json.c). */
static int32_t put_word(nb_detokenizer *d, nb_text name, bool own, nb_error *err) {
    const nb_decoder_steps *steps = &d->tokenizer->steps.decoder;
    bool prefixed = name.size >= 2 && nb_compare(name.data, "##", 2) == 0;
    bool begins = own ? nb_is_metaspace((const uint8_t *)name.data, name.size) : !prefixed;
    bool joined = !begins && d->begun && !steps->joins;
    size_t skip = own && begins ? NB_METASPACE_SIZE : !own && joined ? 2 : 0;
    if (d->begun && !joined)
        NB_TRY(nb_bytes_append(&d->text, " ", 1, err));
    if (own && !begins && !joined)
        NB_TRY(nb_bytes_append(&d->text, "##", 2, err));
    NB_TRY(nb_bytes_append(&d->text, name.data + skip, name.size - skip, err));
    if (steps->cleanup)
        clean_up(&d->text);
    return NB_OK;
}

/* ByteLevel: characters stand for bytes. If one character of a name stands for no byte, the name itself is the text. */
static int32_t put_byte_level(nb_detokenizer *d, nb_text name, nb_error *err) {
    const uint8_t *s = (const uint8_t *)name.data;
    size_t length;
    NB_TRY(nb_bytes_reserve(&d->text, name.size, err));
    for (size_t at = 0; at < name.size; at += length) {
        int32_t byte = nb_character_byte(nb_utf8_decode(s + at, name.size - at, &length));
        if (byte < 0) {
            d->text.used = 0;
            return nb_bytes_append(&d->text, name.data, name.size, err);
        }
        d->text.data[d->text.used++] = (uint8_t)byte;
    }
    return NB_OK;
}

/* Replace and Metaspace: ▁ becomes a space. Metaspace drops it from the first token. */
static int32_t put_unescaped(nb_detokenizer *d, nb_text name, nb_error *err) {
    const nb_decoder_steps *steps = &d->tokenizer->steps.decoder;
    const uint8_t *s = (const uint8_t *)name.data;
    for (size_t at = 0; at < name.size;) {
        bool metaspace = steps->unescape && nb_is_metaspace(s + at, name.size - at);
        if (!metaspace || !(steps->drop_first && !d->begun))
            NB_TRY(nb_bytes_append(&d->text, metaspace ? " " : name.data + at, 1, err));
        at += metaspace ? NB_METASPACE_SIZE : 1;
    }
    return NB_OK;
}

/* The name that decoders get. For a `normalized` added token it is the normalized name. */
static nb_text decoded_name(const nb_tokenizer *t, int32_t token) {
    if (t->tokens[token].flags & NB_NORMALIZED) {
        const nb_needle *items = t->added->by_token;
        uint32_t low = 0, high = t->added->n_by_token;
        while (low < high) {
            uint32_t middle = low + (high - low) / 2;
            if (items[middle].token < token)
                low = middle + 1;
            else
                high = middle;
        }
        if (low < t->added->n_by_token && items[low].token == token)
            return (nb_text){(const char *)t->added->names.data + items[low].at, items[low].size};
    }
    return nb_token_spelled(t, token);
}

/* Writes the token's text to d->text, or its byte to *byte. */
static int32_t decode(nb_detokenizer *d, int32_t token, int32_t *byte, nb_error *err) {
    const nb_tokenizer *t = d->tokenizer;
    nb_text name = decoded_name(t, token);
    bool first = !d->begun;
    if (t->kind == NB_KIND_WORDPIECE)
        return put_word(d, name, t->tokens[token].type == NB_TOKEN_NORMAL, err);
    if (t->kind == NB_KIND_BPE && t->steps.decoder.byte_level)
        return put_byte_level(d, name, err);
    if (t->steps.decoder.byte_fallback && (*byte = nb_byte_of_name(name)) >= 0)
        return NB_OK;
    if (t->steps.decoder.joins && !first)
        NB_TRY(nb_bytes_append(&d->text, " ", 1, err));
    return put_unescaped(d, name, err);
}

/* ---- decoding token by token ----------------------------------------------------------------------------------- */

/* Appends s[n] to d->next. Invalid UTF-8 becomes U+FFFD: one for each maximal subpart, or one for each byte. *used: how
 * many bytes of s were consumed. An incomplete character at the end of s is kept for later, unless the text ends
 * here. */
static int32_t put_utf8(nb_detokenizer *d, const uint8_t *s, size_t n, bool each_byte, bool end, size_t *used,
                        nb_error *err) {
    size_t at = 0;
    while (at < n) {
        int complete;
        size_t length = nb_utf8_prefix(s + at, n - at, &complete);
        if (!end && !complete && at + length == n && nb_utf8_lead_of(s[at]).length)
            break;
        if (complete)
            NB_TRY(nb_bytes_append(&d->next, s + at, length, err));
        for (size_t i = 0; !complete && i < (each_byte ? length : 1); i++)
            NB_TRY(nb_bytes_append(&d->next, replacement, REPLACEMENT_SIZE, err));
        at += length;
    }
    *used = at;
    return NB_OK;
}

static bool is_utf8(const nb_bytes *b) {
    for (size_t at = 0; at < b->used;) {
        int complete;
        at += nb_utf8_prefix(b->data + at, b->used - at, &complete);
        if (!complete)
            return false;
    }
    return true;
}

/* Appends the pending bytes, because nothing will complete them. In a whole text of a tokenizer.json, byte tokens in a
 * row are decoded together. If they are not UTF-8, each one becomes U+FFFD (ByteFallback). */
static int32_t put_pending(nb_detokenizer *d, nb_error *err) {
    const nb_decoder_steps *steps = &d->tokenizer->steps.decoder;
    size_t used;
    bool broken = is_whole(d) && steps->byte_fallback && !is_utf8(&d->pending);
    for (size_t i = 0; broken && i < d->pending.used; i++)
        NB_TRY(nb_bytes_append(&d->next, replacement, REPLACEMENT_SIZE, err));
    return broken ? NB_OK : put_utf8(d, d->pending.data, d->pending.used, steps->byte_fallback, true, &used, err);
}

/* Removes the spaces at the text's beginning that are still to be removed. */
static void strip_spaces(nb_detokenizer *d) {
    size_t n = 0;
    d->strip_after = d->strip;
    while (d->strip_after && n < d->next.used && d->next.data[n] == ' ') {
        n++;
        d->strip_after--;
    }
    if (n < d->next.used)
        d->strip_after = 0;
    d->next.used -= n;
    memmove(d->next.data, d->next.data + n, d->next.used);
}

/* Whether the token gives no text. */
static bool is_left_out(const nb_detokenizer *d, int32_t token) {
    const nb_tokenizer *t = d->tokenizer;
    if (token >= t->size)
        return true;
    if (d->flags & NB_DETOKENIZE_SPECIAL)
        return false;
    if (t->steps.from_json && is_whole(d))
        return t->tokens[token].flags & NB_SPECIAL;
    return t->tokens[token].type == NB_TOKEN_CONTROL || t->tokens[token].type == NB_TOKEN_UNKNOWN;
}

/* Writes the token's own text to d->text, or its byte to *byte. */
static int32_t read_token(nb_detokenizer *d, int32_t token, int32_t *byte, nb_error *err) {
    const nb_tokenizer *t = d->tokenizer;
    d->text.used = 0;
    if (t->steps.from_json)
        return decode(d, token, byte, err);
    int32_t n = nb_tokenizer_bytes(t, token, d->flags, (char *)d->text.data, (int32_t)d->text.capacity);
    d->text.used = (size_t)n;
    if (t->tokens[token].type == NB_TOKEN_BYTE && n == 1)
        *byte = d->text.data[0];
    return NB_OK;
}

int32_t nb_detokenizer_bytes(nb_detokenizer *d, int32_t token, char *out, int32_t capacity, nb_error *err) {
    int32_t byte = -1;
    if (token < 0 || is_left_out(d, token))
        return 0;
    NB_TRY(read_token(d, token, &byte, err));
    if (byte >= 0) {
        d->text.data[0] = (uint8_t)byte;
        d->text.used = 1;
    }
    if (d->text.used && d->text.used <= (size_t)NB_MAX(capacity, 0))
        memcpy(out, d->text.data, d->text.used);
    return (int32_t)d->text.used;
}

int32_t nb_detokenizer_push(nb_detokenizer *d, int32_t token, char *out, int32_t capacity, nb_error *err) {
    const nb_tokenizer *t = d->tokenizer;
    if (token < 0)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "token %d is not in the vocabulary, which has %d", token, t->size);
    d->next.used = 0;
    if (is_left_out(d, token))
        return 0;
    int32_t byte = -1;
    size_t pending = d->pending.used, used = 0;
    NB_TRY(read_token(d, token, &byte, err));
    bool groups = t->steps.from_json && t->steps.decoder.byte_fallback; /* byte tokens in a row are decoded together */
    if (byte >= 0 && groups) {
        uint8_t b = (uint8_t)byte;
        NB_TRY(nb_bytes_append(&d->pending, &b, 1, err));
        if (!is_whole(d))
            NB_TRY(put_utf8(d, d->pending.data, d->pending.used, true, false, &used, err));
    } else if (groups) {
        NB_TRY(put_pending(d, err));
        NB_TRY(nb_bytes_append(&d->next, d->text.data, d->text.used, err));
        used = d->pending.used;
    } else {
        NB_TRY(nb_bytes_append(&d->pending, d->text.data, d->text.used, err));
        NB_TRY(put_utf8(d, d->pending.data, d->pending.used, false, false, &used, err));
    }
    strip_spaces(d);
    if (d->next.used > (size_t)NB_MAX(capacity, 0)) {
        d->pending.used = pending; /* nothing was consumed */
        return (int32_t)d->next.used;
    }
    d->pending.used -= used;
    memmove(d->pending.data, d->pending.data + used, d->pending.used);
    d->strip = d->strip_after;
    d->begun = true;
    if (d->next.used)
        memcpy(out, d->next.data, d->next.used);
    return (int32_t)d->next.used;
}

int32_t nb_detokenizer_flush(nb_detokenizer *d, char *out, int32_t capacity) {
    d->next.used = 0;
    if (put_pending(d, NULL) < 0)
        d->next.used = 0; /* there was no memory */
    strip_spaces(d);
    if (d->next.used > (size_t)NB_MAX(capacity, 0))
        return (int32_t)d->next.used;
    if (d->next.used)
        memcpy(out, d->next.data, d->next.used);
    d->pending.used = 0;
    d->begun = false;
    d->strip = strip_of(d);
    return (int32_t)d->next.used;
}
