#include "vocabulary.h"

#include "../base/memory.h"
#include "../base/numbers.h"
#include "merge.h"

static bool is_name(const nb_tokenizer *t, int32_t token, nb_text a, nb_text b) {
    nb_text name = nb_token_name(t, token);
    return name.size == a.size + b.size && nb_compare(name.data, a.data, a.size) == 0 &&
           nb_compare(name.data + a.size, b.data, b.size) == 0;
}

/* hash: of a followed by b. */
static int32_t find_hashed(const nb_tokenizer *t, uint32_t hash, nb_text a, nb_text b) {
    for (uint32_t at = hash & t->slot_mask; t->slots[at].number; at = (at + 1) & t->slot_mask)
        if (t->slots[at].hash == hash && is_name(t, (int32_t)t->slots[at].number - 1, a, b))
            return (int32_t)t->slots[at].number - 1;
    return -1;
}

int32_t nb_vocabulary_find(const nb_tokenizer *t, nb_text a, nb_text b) {
    return find_hashed(t, nb_hash(nb_hash(t->hash_start, a.data, a.size), b.data, b.size), a, b);
}

int32_t nb_vocabulary_find_word(const nb_tokenizer *t, nb_text word) {
    int32_t token = nb_vocabulary_find(t, word, (nb_text){0});
    return token >= 0 && nb_is_special(t, token) ? -1 : token;
}

int32_t nb_vocabulary_find_byte(const nb_tokenizer *t, uint8_t byte) {
    char name[6] = {'<', '0', 'x', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15], '>'};
    return nb_vocabulary_find(t, (nb_text){name, sizeof name}, (nb_text){0});
}

/* Of two tokens with one name the later is found. Empty names and those of tokens that are only added are never found.
 * Returns how many slots it looked at. */
static uint32_t add_name(nb_tokenizer *t, int32_t token) {
    nb_text name = nb_token_name(t, token), nothing = {0};
    if (!name.size || (t->steps.library && !(t->tokens[token].flags & NB_OWN)))
        return 0;
    uint32_t hash = nb_hash(t->hash_start, name.data, name.size), at = hash & t->slot_mask, probes = 1;
    while (t->slots[at].number &&
           !(t->slots[at].hash == hash && is_name(t, (int32_t)t->slots[at].number - 1, name, nothing))) {
        at = (at + 1) & t->slot_mask;
        probes++;
    }
    t->slots[at] = (nb_token_slot){hash, (uint32_t)token + 1};
    return probes;
}

static int32_t add_names(nb_tokenizer *t, nb_error *err) {
    for (uint32_t seed = 0; seed < NB_HASH_SEEDS; seed++) {
        uint64_t left = nb_most_probes((uint64_t)t->size);
        t->hash_start = (uint32_t)(nb_hash_seed(seed) >> 32);
        memset(t->slots, 0, ((size_t)t->slot_mask + 1) * sizeof *t->slots);
        int32_t i = 0;
        for (uint32_t probes; i < t->size && (probes = add_name(t, i)) <= left; i++)
            left -= probes;
        if (i == t->size)
            return NB_OK;
    }
    return NB_FAIL(err, NB_ERR_FORMAT, "too many of the vocabulary's %d names have equal hashes, so that loading would take "
                   "very long; the file is broken", t->size);
}

int32_t nb_vocabulary_refuse_name(int32_t token, size_t size, nb_error *err) {
    return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the name of token %d has %z bytes; names that are looked for in texts may have %d "
                   "at most", token, size, (int32_t)NB_LONGEST_ADDED);
}

int32_t nb_vocabulary_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err) {
    if (source->n_tokens > INT32_MAX / 4 || source->n_bytes > UINT32_MAX)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "the vocabulary is too large: it has %l tokens, and its file's header %z bytes",
                       source->n_tokens, source->n_bytes);
    uint64_t slots = 16, at = 0;
    while (slots < 2 * source->n_tokens)
        slots *= 2;
    t->tokens = nb_arena_take(&t->arena, source->n_tokens, sizeof *t->tokens);
    t->slots = nb_arena_take(&t->arena, slots, sizeof *t->slots);
    t->size = (int32_t)source->n_tokens;
    t->slot_mask = (uint32_t)(slots - 1);
    t->bytes = source->bytes;
    if (!t->tokens)
        return NB_OK; /* measuring */
    for (int32_t i = 0; i < t->size; i++) {
        nb_token_entry entry = {0};
        source->token(source, (uint64_t)i, &at, &entry);
        uint8_t type = entry.type <= NB_TOKEN_BYTE ? entry.type : NB_TOKEN_UNDEFINED;
        t->tokens[i] = (nb_token){
            .at = entry.name.data ? (uint32_t)((const uint8_t *)entry.name.data - source->bytes) : 0,
            .size = (uint32_t)entry.name.size, .score = entry.score, .type = type, .flags = entry.flags};
        t->longest = NB_MAX(t->longest, t->tokens[i].size);
        bool walked = t->kind == NB_KIND_UNIGRAM || t->kind == NB_KIND_WORDPIECE;
        if (walked && entry.name.size > NB_LONGEST_ADDED)
            return nb_vocabulary_refuse_name(i, entry.name.size, err);
    }
    return add_names(t, err);
}

/* ---- prefixes ---------------------------------------------------------------------------------------------------- */

void nb_prefixes_load(nb_tokenizer *t, nb_prefixes *prefixes, uint32_t types, uint64_t hashes) {
    prefixes->bits = nb_arena_take(&t->arena, hashes / 16, sizeof *prefixes->bits);
    prefixes->mask = (uint32_t)(hashes - 1);
    prefixes->types = types;
    for (int32_t i = 0; prefixes->bits && i < t->size; i++) {
        nb_text name = nb_token_name(t, i);
        uint32_t hash = t->hash_start;
        for (size_t at = 0; at < name.size && types >> t->tokens[i].type & 1; at++) {
            hash = nb_hash(hash, name.data + at, 1);
            uint32_t slot = hash & prefixes->mask, bits = at + 1 < name.size ? NB_PREFIX : NB_PREFIX | NB_WHOLE_NAME;
            prefixes->bits[slot / 16] |= bits << 2 * (slot % 16);
        }
    }
}

int32_t nb_prefix_next(const nb_tokenizer *t, const nb_prefixes *prefixes, nb_prefix_walk *walk) {
    while (walk->at < walk->n) {
        walk->hash = nb_hash(walk->hash, walk->text + walk->at, 1);
        uint32_t slot = walk->hash & prefixes->mask, bits = prefixes->bits[slot / 16] >> 2 * (slot % 16);
        if (!(bits & NB_PREFIX))
            break;
        walk->at++;
        if (!(bits & NB_WHOLE_NAME))
            continue;
        int32_t token = find_hashed(t, walk->hash, (nb_text){(const char *)walk->text, walk->at}, (nb_text){0});
        if (token >= 0 && prefixes->types >> t->tokens[token].type & 1)
            return token;
    }
    walk->at = walk->n; /* no more, however often one asks */
    return -1;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

/* The word as three numbers, key[3]; false if it is too long for them. */
static inline bool key_of(const uint8_t *word, size_t size, uint64_t *key) {
    if (size > NB_CACHED_BYTES)
        return false;
    key[0] = key[1] = key[2] = 0;
    size_t whole = size / 8;
    for (size_t i = 0; i < whole; i++)
        memcpy(&key[i], word + 8 * i, 8);
    for (size_t i = 8 * whole; i < size; i++)
        key[whole] |= (uint64_t)word[i] << 8 * (i % 8);
    return true;
}

int32_t nb_encode_word(nb_encoding *e, const uint8_t *word, size_t size, nb_word_encoder encode) {
    uint64_t key[NB_CACHED_BYTES / 8];
    const nb_word_cache *cache = e->tokenizer->cache;
    if (!cache->words || !key_of(word, size, key))
        return encode(e, word, size);
    /* multiplicative hashing (Knuth), 2^64 / phi */
    uint64_t hash = ((key[0] ^ key[1] << 23 ^ key[1] >> 41) * 0x9e3779b97f4a7c15u ^ key[2]) * 0x9e3779b97f4a7c15u;
    nb_cached_word *slot = &cache->words[(uint32_t)(hash >> 32) & cache->word_mask];
    if (slot->size == size && slot->word[0] == key[0] && slot->word[1] == key[1] && slot->word[2] == key[2]) {
        for (uint32_t i = 0; i < slot->count; i++)
            nb_token_append(&e->out, slot->tokens[i]);
        return NB_OK;
    }
    int32_t first = e->out.count;
    NB_TRY(encode(e, word, size));
    int32_t count = e->out.count - first;
    if (count <= NB_CACHED_TOKENS && e->out.count <= e->out.capacity) {
        memcpy(slot->word, key, sizeof key);
        for (int32_t i = 0; i < count; i++)
            slot->tokens[i] = e->out.tokens[first + i];
        slot->size = (uint16_t)size;
        slot->count = (uint16_t)count;
    }
    return NB_OK;
}

/* The token that is spelled as this character. It is remembered beside the pairs, under a pair that no tokens make. */
static inline int32_t character_of(nb_encoding *e, const uint8_t *s, uint32_t codepoint, size_t length) {
    if (length == 1 && s[0] < 0x80)
        return e->tokenizer->ascii_tokens[s[0]];
    const nb_word_cache *cache = e->tokenizer->cache;
    nb_text name = {(const char *)s, length};
    if (length == 1 || !cache->pairs)
        return nb_vocabulary_find_word(e->tokenizer, name);
    uint64_t pair = nb_pair_of(-1, (int32_t)codepoint);
    nb_cached_pair *slot = &cache->pairs[nb_pair_hash(pair, nb_hash_seed(0)) & cache->pair_mask];
    if (slot->pair != pair)
        *slot = (nb_cached_pair){pair, 0, nb_vocabulary_find_word(e->tokenizer, name)};
    return slot->merged;
}

int32_t nb_symbols_of(nb_encoding *e, const uint8_t *word, size_t size, uint32_t *n) {
    NB_TRY(nb_workspace_reserve(&e->workspace, size, e->err));
    nb_workspace *w = &e->workspace;
    *n = 0;
    for (size_t at = 0, length; at < size; at += length) {
        uint32_t codepoint = nb_utf8_decode(word + at, size - at, &length);
        w->starts[*n] = (uint32_t)at;
        w->ids[(*n)++] = character_of(e, word + at, codepoint, length);
    }
    return NB_OK;
}

void nb_symbols_append(nb_encoding *e, const uint8_t *word, size_t size) {
    const nb_tokenizer *t = e->tokenizer;
    const nb_workspace *w = &e->workspace;
    bool after_unknown = false;
    for (uint32_t i = 0, next; i != (uint32_t)NB_SYMBOL_END; i = next) {
        next = w->next[i];
        if (w->ids[i] >= 0) {
            nb_token_append(&e->out, w->ids[i]);
            after_unknown = false;
            continue;
        }
        size_t end = next == (uint32_t)NB_SYMBOL_END ? size : w->starts[next];
        for (size_t at = w->starts[i]; at < end; at++) {
            int32_t token = t->byte_tokens[word[at]];
            bool again = t->steps.library && token == t->unknown && after_unknown; /* the library fuses them */
            if (token >= 0 && !again)
                nb_token_append(&e->out, token);
            after_unknown = token == t->unknown;
        }
    }
}

/* Whether a word ends before this mark. in_word: something that is no mark stands before it. */
static bool ends_before_mark(const nb_tokenizer *t, const nb_workspace *w, bool in_word) {
    return t->steps.split ? w->text_used : in_word && nb_parts_words(t, w->text[w->text_used - 1]);
}

int32_t nb_encode_escaped(nb_encoding *e, const uint8_t *text, size_t size, bool add_space, nb_word_encoder encode) {
    const nb_tokenizer *t = e->tokenizer;
    nb_workspace *w = &e->workspace;
    bool escapes = !t->steps.library || t->steps.metaspace, in_word = false;
    w->text_used = 0;
    if (add_space) {
        NB_TRY(nb_workspace_reserve_text(w, NB_MARK_SIZE, e->err));
        memcpy(w->text, NB_SPACE_MARK, NB_MARK_SIZE);
        w->text_used = NB_MARK_SIZE;
    }
    for (size_t i = 0; i < size;) {
        bool mark = nb_is_mark(text + i, size - i), space = mark || (escapes && text[i] == ' ');
        if (space && ends_before_mark(t, w, in_word)) {
            NB_TRY(nb_encode_word(e, w->text, w->text_used, encode));
            w->text_used = 0;
        }
        in_word = !space;
        NB_TRY(nb_workspace_reserve_text(w, w->text_used + NB_MARK_SIZE, e->err));
        if (space) {
            memcpy(w->text + w->text_used, NB_SPACE_MARK, NB_MARK_SIZE);
            w->text_used += NB_MARK_SIZE;
            i += mark ? NB_MARK_SIZE : 1;
        } else {
            w->text[w->text_used++] = text[i++];
        }
    }
    return w->text_used ? nb_encode_word(e, w->text, w->text_used, encode) : NB_OK;
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

int32_t nb_bytes_reserve(nb_bytes *b, uint64_t bytes, nb_error *err) {
    if (bytes <= b->capacity)
        return NB_OK;
    uint64_t capacity = 256;
    while (capacity < bytes)
        capacity *= 2;
    uint8_t *data = nb_alloc_items(capacity, 1);
    if (!data)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to tokenize %l bytes; pass less text at once", bytes);
    if (b->used)
        memcpy(data, b->data, b->used);
    nb_free(b->data);
    *b = (nb_bytes){data, b->used, (size_t)capacity};
    return NB_OK;
}

int32_t nb_workspace_reserve(nb_workspace *w, size_t symbols, nb_error *err) {
    if (symbols <= w->capacity)
        return NB_OK;
    uint64_t capacity = 256;
    while (capacity < symbols)
        capacity *= 2;
    nb_free(w->block);
    w->capacity = 0;
    size_t each = 2 * sizeof *w->heap + sizeof *w->ids + 3 * sizeof *w->next;
    w->block = nb_alloc_items(capacity, each);
    if (!w->block)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to tokenize a word of %z bytes; pass less text at once", symbols);
    w->heap = w->block; /* at most 2 entries a symbol (merge.h) */
    w->ids = (int32_t *)(w->heap + 2 * capacity);
    w->previous = (uint32_t *)(w->ids + capacity);
    w->next = w->previous + capacity;
    w->starts = w->next + capacity;
    w->capacity = (size_t)capacity;
    return NB_OK;
}

int32_t nb_workspace_grow_text(nb_workspace *w, size_t bytes, nb_error *err) {
    uint64_t capacity = 256;
    while (capacity < bytes)
        capacity *= 2;
    uint8_t *text = nb_alloc_items(capacity, 1);
    if (!text)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory to tokenize a word of %z bytes; pass less text at once", bytes);
    if (w->text_used)
        memcpy(text, w->text, w->text_used);
    nb_free(w->text);
    w->text = text;
    w->text_capacity = (size_t)capacity;
    return NB_OK;
}

void nb_workspace_free(nb_workspace *w) {
    nb_free(w->block);
    nb_free(w->text);
    nb_free(w->normal[0].data);
    nb_free(w->normal[1].data);
}
