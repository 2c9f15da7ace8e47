#include "names.h"

#include "../base/hash.h"
#include "../base/numbers.h"

static bool is_name(const nb_tokenizer *t, int32_t token, nb_text a, nb_text b) {
    nb_text name = nb_token_name(t, token);
    return name.size == a.size + b.size && nb_compare(name.data, a.data, a.size) == 0 &&
           nb_compare(name.data + a.size, b.data, b.size) == 0;
}

/* The token whose name is a followed by b, which have this hash, or -1. */
static int32_t find_hashed(const nb_tokenizer *t, uint32_t hash, nb_text a, nb_text b) {
    for (uint32_t at = hash & t->slot_mask; t->slots[at].number; at = (at + 1) & t->slot_mask)
        if (t->slots[at].hash == hash && is_name(t, (int32_t)t->slots[at].number - 1, a, b))
            return (int32_t)t->slots[at].number - 1;
    return -1;
}

int32_t nb_vocabulary_find(const nb_tokenizer *t, nb_text a, nb_text b) {
    return find_hashed(t, nb_hash(nb_hash(t->hash_seed, a.data, a.size), b.data, b.size), a, b);
}

int32_t nb_vocabulary_find_word(const nb_tokenizer *t, nb_text word) {
    int32_t token = nb_vocabulary_find(t, word, (nb_text){0});
    return token >= 0 && nb_is_special(t, token) ? -1 : token;
}

int32_t nb_vocabulary_find_byte(const nb_tokenizer *t, uint8_t byte) {
    char name[6] = {'<', '0', 'x', "0123456789ABCDEF"[byte >> 4], "0123456789ABCDEF"[byte & 15], '>'};
    return nb_vocabulary_find(t, (nb_text){name, sizeof name}, (nb_text){0});
}

int32_t nb_byte_of_name(nb_text name) {
    if (name.size != 6 || nb_compare(name.data, "<0x", 3) || name.data[5] != '>')
        return -1;
    int32_t high = nb_hex_digit((uint8_t)name.data[3]), low = nb_hex_digit((uint8_t)name.data[4]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* If two tokens have one name, the later one is found. Empty names, and those of tokens that are only added, are
 * never found. Returns how many slots it looked at. */
static uint32_t add_name(nb_tokenizer *t, int32_t token) {
    nb_text name = nb_token_name(t, token), nothing = {0};
    if (!name.size || (t->steps.from_json && !(t->tokens[token].flags & NB_OWN)))
        return 0;
    uint32_t hash = nb_hash(t->hash_seed, name.data, name.size), at = hash & t->slot_mask, probes = 1;
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
        t->hash_seed = (uint32_t)(nb_hash_seed(seed) >> 32);
        memset(t->slots, 0, ((size_t)t->slot_mask + 1) * sizeof *t->slots);
        int32_t i = 0;
        for (uint32_t probes; i < t->size && (probes = add_name(t, i)) <= left; i++)
            left -= probes;
        if (i == t->size)
            return NB_OK;
    }
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "too many of the vocabulary's %d names have equal hashes, so that loading would take very long; the "
                   "file is broken",
                   t->size);
}

int32_t nb_vocabulary_refuse_name(int32_t token, size_t size, nb_error *err) {
    return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                   "the name of token %d has %z bytes; names that are looked for in texts may have %d at most", token,
                   size, (int32_t)NB_LONGEST_NEEDLE);
}

int32_t nb_vocabulary_load(nb_tokenizer *t, const nb_vocabulary_source *source, nb_error *err) {
    if (source->n_tokens > INT32_MAX / 4 || source->n_bytes > UINT32_MAX)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                       "the vocabulary is too large: it has %l tokens, and its file's header %z bytes",
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
            .size = (uint32_t)entry.name.size,
            .score = entry.score,
            .type = type,
            .flags = entry.flags,
        };
        t->longest = NB_MAX(t->longest, t->tokens[i].size);
        bool walked = t->kind == NB_KIND_UNIGRAM || t->kind == NB_KIND_WORDPIECE;
        if (walked && entry.name.size > NB_LONGEST_NEEDLE)
            return nb_vocabulary_refuse_name(i, entry.name.size, err);
    }
    return add_names(t, err);
}

/* ---- prefixes -------------------------------------------------------------------------------------------------- */

enum { PREFIX = 1, WHOLE_NAME = 2 }; /* the two bits of a hash */

uint64_t nb_prefix_hashes(uint64_t n_tokens) {
    uint64_t hashes = 1024;
    while (hashes < 32 * n_tokens && hashes < 1u << 31)
        hashes *= 2;
    return hashes;
}

void nb_prefixes_load(nb_tokenizer *t, nb_prefixes *prefixes, uint32_t types, uint64_t hashes) {
    prefixes->bits = nb_arena_take(&t->arena, hashes / 16, sizeof *prefixes->bits);
    prefixes->mask = (uint32_t)(hashes - 1);
    prefixes->types = types;
    for (int32_t i = 0; prefixes->bits && i < t->size; i++) {
        nb_text name = nb_token_name(t, i);
        uint32_t hash = t->hash_seed;
        for (size_t at = 0; at < name.size && types >> t->tokens[i].type & 1; at++) {
            hash = nb_hash(hash, name.data + at, 1);
            uint32_t slot = hash & prefixes->mask, bits = at + 1 < name.size ? PREFIX : PREFIX | WHOLE_NAME;
            prefixes->bits[slot / 16] |= bits << 2 * (slot % 16);
        }
    }
}

int32_t nb_prefix_next(const nb_tokenizer *t, const nb_prefixes *prefixes, nb_prefix_walk *walk) {
    while (walk->at < walk->n) {
        walk->hash = nb_hash(walk->hash, walk->text + walk->at, 1);
        uint32_t slot = walk->hash & prefixes->mask, bits = prefixes->bits[slot / 16] >> 2 * (slot % 16);
        if (!(bits & PREFIX))
            break;
        walk->at++;
        if (!(bits & WHOLE_NAME))
            continue;
        int32_t token = find_hashed(t, walk->hash, (nb_text){(const char *)walk->text, walk->at}, (nb_text){0});
        if (token >= 0 && prefixes->types >> t->tokens[token].type & 1)
            return token;
    }
    walk->at = walk->n; /* further calls find no more */
    return -1;
}
