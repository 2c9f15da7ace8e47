#include "word_cache.h"

#include "../base/error.h"

void nb_word_cache_open(const nb_tokenizer *t) {
    enum { LEAST = 1 << 14, MOST = 1 << 16 };
    nb_word_cache *cache = t->cache;
    bool characters = t->kind == NB_KIND_SPM || (t->pre && t->pre->raw);
    uint32_t n = LEAST;
    while (n < MOST && n < (uint32_t)t->size / 4)
        n *= 2;
    uint32_t n_pairs = characters ? 2 * n : 0;
    size_t bytes = n * sizeof *cache->words + n_pairs * sizeof *cache->pairs;
    cache->words = nb_alloc(bytes);
    if (!cache->words)
        return;
    memset(cache->words, 0, bytes);
    cache->pairs = characters ? (nb_cached_pair *)(cache->words + n) : NULL;
    cache->word_mask = n - 1;
    cache->pair_mask = n_pairs - 1;
}

/* Writes the word as three numbers to key[3]; false if it is too long. */
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

int32_t nb_encode_word(nb_encode_call *e, const uint8_t *word, size_t size, nb_word_encoder encode) {
    uint64_t key[NB_CACHED_BYTES / 8];
    const nb_word_cache *cache = e->tokenizer->cache;
    if (!cache->words || !key_of(word, size, key))
        return encode(e, word, size);
    /* multiplicative hashing (base/hash.h) by 2^64 / phi */
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
