#include "metaspace.h"

#include "normalize.h"
#include "word_cache.h"

/* Whether a text may be cut between this byte and a space: no token spans that place, so no merge can. */
static bool may_cut_before_space(const nb_tokenizer *t, uint8_t byte) {
    return !(t->before_spaces[byte >> 3] >> (byte & 7) & 1);
}

/* Where the word ends that begins at text[from]. begun: an added space precedes it. *spaces: how many of its spaces
 * become ▁. */
static size_t word_end(const nb_tokenizer *t, const uint8_t *text, size_t from, size_t size, bool begun,
                       size_t *spaces) {
    bool escapes = !t->steps.from_json || t->steps.metaspace;
    bool in_word = false; /* the character before is neither a space nor ▁ */
    size_t at = from;
    *spaces = 0;
    while (at < size) {
        bool space = text[at] == ' ' && escapes, metaspace = nb_is_metaspace(text + at, size - at);
        if (space || metaspace) {
            if (t->steps.split ? begun || at > from : in_word && may_cut_before_space(t, text[at - 1]))
                break;
            *spaces += space;
        }
        in_word = !space && !metaspace;
        at += metaspace ? NB_METASPACE_SIZE : 1;
    }
    return at;
}

/* Replaces the word *text[*size] by the same word with ▁ for its spaces. */
static int32_t escape(nb_encode_call *e, const uint8_t **text, size_t *size, size_t spaces, bool add_space) {
    nb_bytes *kept = &e->workspace.text;
    kept->used = 0;
    NB_TRY(nb_bytes_reserve(kept, *size + NB_METASPACE_SIZE * ((uint64_t)spaces + 1), e->err));
    nb_bytes out = *kept;
    if (add_space)
        nb_bytes_put_metaspace(&out);
    for (size_t i = 0; i < *size; i++)
        if ((*text)[i] == ' ' && spaces)
            nb_bytes_put_metaspace(&out);
        else
            out.data[out.used++] = (*text)[i];
    *kept = out;
    *text = out.data;
    *size = out.used;
    return NB_OK;
}

int32_t nb_encode_escaped(nb_encode_call *e, const uint8_t *text, size_t size, bool add_space, nb_word_encoder encode) {
    for (size_t from = 0, to, spaces; from < size || add_space; from = to, add_space = false) {
        to = word_end(e->tokenizer, text, from, size, add_space, &spaces);
        const uint8_t *word = text + from;
        size_t n = to - from;
        if (spaces || add_space)
            NB_TRY(escape(e, &word, &n, spaces, add_space));
        NB_TRY(nb_encode_word(e, word, n, encode));
    }
    return NB_OK;
}

/* Metaspace cuts a word of the pre-tokenizers before it further. */
static int32_t encode_spaced(nb_encode_call *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode) {
    const nb_pipeline *s = &e->tokenizer->steps;
    bool spaced = text[0] == ' ' || nb_is_metaspace(text, size);
    bool prepends = s->prepend_scheme == NB_PREPEND_ALWAYS || (s->prepend_scheme == NB_PREPEND_FIRST && first);
    return nb_encode_escaped(e, text, size, prepends && (!spaced || s->prepend_spaced), encode);
}

int32_t nb_spaced_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode) {
    const nb_tokenizer *t = e->tokenizer;
    first &= !e->workspace.stripped || t->steps.prepend_spaced;
    if (!t->steps.split_white)
        return size ? encode_spaced(e, text, size, first, encode) : NB_OK;
    for (size_t at = 0, end, length; (at = nb_skip_white(t, text, at, size)) < size; at = end) {
        for (end = at; end < size; end += length)
            if (nb_unicode_class(t->unicode, nb_utf8_decode(text + end, size - end, &length)) == NB_CLASS_SPACE)
                break;
        NB_TRY(encode_spaced(e, text + at, end - at, first && !at, encode));
    }
    return NB_OK;
}
