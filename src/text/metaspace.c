#include "metaspace.h"

#include "normalize.h"
#include "word_cache.h"

/* Whether a text may be cut between this byte and a space: no token spans that place, so no merge does. */
static bool parts_words(const nb_tokenizer *t, uint8_t byte) {
    return !(t->before_spaces[byte >> 3] >> (byte & 7) & 1);
}

/* Whether the word ends before this mark. in_word: something that is no mark stands before it. */
static bool ends_before_mark(const nb_tokenizer *t, const nb_bytes *word, bool in_word) {
    return t->steps.split ? word->used : in_word && parts_words(t, word->data[word->used - 1]);
}

int32_t nb_encode_escaped(nb_encoding *e, const uint8_t *text, size_t size, bool add_space, nb_word_encoder encode) {
    const nb_tokenizer *t = e->tokenizer;
    nb_bytes *word = &e->workspace.text;
    bool escapes = !t->steps.library || t->steps.metaspace, in_word = false;
    word->used = 0;
    if (add_space) {
        NB_TRY(nb_bytes_reserve(word, NB_MARK_SIZE, e->err));
        nb_bytes_put_mark(word);
    }
    for (size_t i = 0; i < size;) {
        bool mark = nb_is_mark(text + i, size - i), space = mark || (escapes && text[i] == ' ');
        if (space && ends_before_mark(t, word, in_word)) {
            NB_TRY(nb_encode_word(e, word->data, word->used, encode));
            word->used = 0;
        }
        in_word = !space;
        NB_TRY(nb_bytes_reserve(word, word->used + NB_MARK_SIZE, e->err));
        if (space)
            nb_bytes_put_mark(word);
        else
            word->data[word->used++] = text[i];
        i += mark ? NB_MARK_SIZE : 1;
    }
    return word->used ? nb_encode_word(e, word->data, word->used, encode) : NB_OK;
}

/* One word of the pre-tokenizers before Metaspace, which cuts it further. */
static int32_t encode_spaced(nb_encoding *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode) {
    const nb_library_steps *s = &e->tokenizer->steps;
    bool spaced = text[0] == ' ' || nb_is_mark(text, size);
    bool prepends = s->prepends == NB_PREPEND_ALWAYS || (s->prepends == NB_PREPEND_FIRST && first);
    return nb_encode_escaped(e, text, size, prepends && (!spaced || s->prepend_spaced), encode);
}

int32_t nb_spaced_encode(nb_encoding *e, const uint8_t *text, size_t size, bool first, nb_word_encoder encode) {
    const nb_tokenizer *t = e->tokenizer;
    first &= !e->workspace.shifted || t->steps.prepend_spaced;
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
