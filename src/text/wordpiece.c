/* WordPiece as in BERT (Devlin et al. 2018; google-research/bert, tokenization.py): each word is written as the
 * longest pieces from left to right. The name of a piece that begins a word begins with ▁. */
#include "wordpiece.h"

#include "names.h"
#include "word_cache.h"

void nb_wordpiece_load(nb_tokenizer *t, const nb_vocabulary_source *source) {
    nb_prefixes_load(t, &t->prefixes, NB_ORDINARY_TYPES, nb_prefix_hashes(source->n_tokens));
}

/* word: ▁ and characters. A word that cannot be written as pieces is unknown as a whole. */
static int32_t encode_word(nb_encode_call *e, const uint8_t *word, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    int32_t first = e->out.count;
    for (size_t at = 0, length; at < size; at += length) {
        /* Within a word, ▁ is a character of the text. Longer pieces that begin with ▁ would begin a word. */
        bool character = at && nb_is_metaspace(word + at, size - at);
        nb_prefix_walk walk = nb_prefix_walk_of(t, word + at, character ? NB_METASPACE_SIZE : size - at);
        int32_t longest = -1;
        for (int32_t token; (token = nb_prefix_next(t, &t->prefixes, &walk)) >= 0;) {
            longest = token;
            length = walk.at;
        }
        if (longest < 0) {
            e->out.count = first;
            if (t->unknown >= 0)
                nb_token_append(&e->out, t->unknown);
            break;
        }
        nb_token_append(&e->out, longest);
    }
    return NB_OK;
}

/* Encodes the word that was collected, and begins a new one. */
static int32_t end_word(nb_encode_call *e, uint32_t *characters) {
    enum { LONGEST = 100 }; /* characters; a longer word is unknown */
    nb_bytes *word = &e->workspace.text;
    if (*characters > LONGEST && e->tokenizer->unknown >= 0)
        nb_token_append(&e->out, e->tokenizer->unknown);
    else if (*characters)
        NB_TRY(nb_encode_word(e, word->data, word->used, encode_word));
    *characters = 0;
    word->used = 0;
    return NB_OK;
}

static int32_t add_character(nb_encode_call *e, const uint8_t *text, size_t length, uint32_t *characters) {
    nb_bytes *word = &e->workspace.text;
    NB_TRY(nb_bytes_reserve(word, word->used + NB_METASPACE_SIZE + length, e->err));
    if (!(*characters)++)
        nb_bytes_put_metaspace(word);
    memcpy(word->data + word->used, text, length);
    word->used += length;
    return NB_OK;
}

/* text: normalized. White space separates words, and each character of punctuation is a word. */
int32_t nb_wordpiece_encode(nb_encode_call *e, const uint8_t *text, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    uint32_t characters = 0;
    e->workspace.text.used = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t codepoint = nb_utf8_decode(text + at, size - at, &length);
        uint32_t class = nb_unicode_class(t->unicode, codepoint);
        bool space = class == NB_CLASS_SPACE;
        bool alone = class == NB_CLASS_PUNCTUATION || (codepoint < 0x80 && class == NB_CLASS_SYMBOL);
        if (space || alone)
            NB_TRY(end_word(e, &characters));
        if (!space)
            NB_TRY(add_character(e, text + at, length, &characters));
        if (alone)
            NB_TRY(end_word(e, &characters));
    }
    return end_word(e, &characters);
}
