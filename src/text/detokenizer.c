/* Tokens -> whole UTF-8 characters, as they come. */
#include "../base/memory.h"
#include "tokenizer.h"
#include "unicode.h"

struct nb_detokenizer {
    const nb_tokenizer *tokenizer;
    uint32_t flags;
    int32_t pending;  /* bytes of a character that is not complete, at the start of bytes */
    int32_t capacity; /* of bytes: 3 and the longest token */
    uint8_t *bytes;   /* follows this struct */
};

nb_detokenizer *nb_detokenizer_over(const nb_tokenizer *t, uint32_t flags, nb_error *err) {
    int32_t longest = 0;
    for (int32_t i = 0; i < nb_tokenizer_size(t); i++) {
        int32_t n = nb_tokenizer_bytes(t, i, flags, NULL, 0);
        longest = n > longest ? n : longest;
    }
    nb_detokenizer *d = nb_alloc(sizeof *d + 3 + (size_t)longest);
    if (!d)
        return NB_FAIL_NULL(err, NB_ERR_MEMORY, "no memory for a detokenizer");
    *d = (nb_detokenizer){.tokenizer = t, .flags = flags, .capacity = 3 + longest, .bytes = (uint8_t *)(d + 1)};
    return d;
}

void nb_detokenizer_free(nb_detokenizer *d) {
    nb_free(d);
}

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */
enum { REPLACEMENT_SIZE = 3 };

/* Writes s[n] with what is no UTF-8 replaced (out = NULL: only counts); *used: up to an incomplete end. */
static int32_t write_whole(const uint8_t *s, int32_t n, char *out, int32_t *used) {
    int32_t written = 0, at = 0;
    while (at < n) {
        int whole;
        int32_t length = (int32_t)nb_utf8_prefix(s + at, (size_t)(n - at), &whole);
        bool incomplete = !whole && at + length == n && nb_utf8_lead_of(s[at]).length;
        if (incomplete)
            break;
        if (out)
            memcpy(out + written, whole ? (const char *)s + at : replacement,
                   whole ? (size_t)length : REPLACEMENT_SIZE);
        written += whole ? length : REPLACEMENT_SIZE;
        at += length;
    }
    *used = at;
    return written;
}

int32_t nb_detokenizer_push(nb_detokenizer *d, int32_t token, char *out, int32_t capacity, nb_error *err) {
    if (token < 0)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "token %d is not in the vocabulary, which has %d", token,
                       nb_tokenizer_size(d->tokenizer));
    int32_t room = d->capacity - d->pending;
    int32_t n = d->pending + nb_tokenizer_bytes(d->tokenizer, token, d->flags, (char *)d->bytes + d->pending, room);
    int32_t used, written = write_whole(d->bytes, n, NULL, &used);
    if (written > capacity)
        return written;
    write_whole(d->bytes, n, out, &used);
    d->pending = n - used; /* at most 3: a prefix of a sequence */
    memmove(d->bytes, d->bytes + used, (size_t)d->pending);
    return written;
}

int32_t nb_detokenizer_flush(nb_detokenizer *d, char *out, int32_t capacity) {
    if (!d->pending)
        return 0;
    if (capacity >= REPLACEMENT_SIZE) {
        memcpy(out, replacement, REPLACEMENT_SIZE);
        d->pending = 0;
    }
    return REPLACEMENT_SIZE;
}
