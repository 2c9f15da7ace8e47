/* SentencePiece's BPE (Kudo and Richardson 2018): two neighbours merge if together they are a token, the highest
 * score first. If the file has a list of merges, that counts instead. What is no token in the end is written as byte
 * tokens <0xHH>. */
#include "spm.h"

#include "../base/hash.h"
#include "../base/numbers.h"
#include "bpe.h"
#include "merge.h"
#include "metaspace.h"
#include "names.h"
#include "word_cache.h"

void nb_spm_load(nb_tokenizer *t) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        char self = (char)byte;
        int32_t token = nb_vocabulary_find_byte(t, (uint8_t)byte);
        if (token < 0)
            token = nb_vocabulary_find(t, (nb_text){&self, 1}, (nb_text){0});
        t->byte_tokens[byte] = token < 0 ? t->unknown : token;
    }
}

/* A number that is lower if the score is higher; never UINT32_MAX. */
static uint32_t priority_of(float score) {
    if (score != score)
        return UINT32_MAX - 1;
    uint32_t bits = nb_bits_of(score + 0.0f); /* -0 becomes 0 */
    return ~(bits & 0x80000000 ? ~bits : bits | 0x80000000);
}

static uint32_t find_priority(const nb_tokenizer *t, const nb_workspace *w, uint32_t left, uint32_t right,
                              int32_t *merged) {
    uint32_t end = w->next[right] == (uint32_t)NB_SYMBOL_END ? (uint32_t)w->word.size : w->starts[w->next[right]];
    size_t size = end - w->starts[left];
    *merged = -1;
    if (size <= t->longest)
        *merged = nb_vocabulary_find_word(t, (nb_text){w->word.data + w->starts[left], size});
    return *merged < 0 ? UINT32_MAX : priority_of(t->tokens[*merged].score);
}

/* What two tokens become is cached. Pairs with a symbol that is no token are not: such a symbol may still be part of a
 * token, like half of a flag emoji. */
static __attribute__((noinline)) uint32_t pair_priority(const nb_tokenizer *t, const nb_workspace *w, uint32_t left,
                                                        uint32_t right, int32_t *merged) {
    if (!t->cache->pairs || w->ids[left] < 0 || w->ids[right] < 0)
        return find_priority(t, w, left, right, merged);
    uint64_t pair = nb_pair_of(w->ids[left], w->ids[right]);
    nb_cached_pair *slot = &t->cache->pairs[nb_pair_hash(pair, nb_hash_seed(0)) & t->cache->pair_mask];
    if (slot->pair != pair) {
        uint32_t priority = find_priority(t, w, left, right, merged);
        *slot = (nb_cached_pair){pair, priority, *merged};
    }
    *merged = slot->merged;
    return slot->priority;
}

static int32_t encode_word(nb_encode_call *e, const uint8_t *word, size_t size) {
    uint32_t n;
    NB_TRY(nb_symbols_of(e, word, size, &n));
    e->workspace.word = (nb_text){(const char *)word, size};
    if (e->tokenizer->merges.slots)
        nb_merge_by_rank(e->tokenizer, &e->workspace, n);
    else
        nb_merge(e->tokenizer, &e->workspace, n, pair_priority);
    nb_symbols_append(e, word, size);
    return NB_OK;
}

int32_t nb_spm_encode(nb_encode_call *e, const uint8_t *text, size_t size, bool first) {
    const nb_tokenizer *t = e->tokenizer;
    if (t->steps.from_json)
        return nb_spaced_encode(e, text, size, first, encode_word);
    return nb_encode_escaped(e, text, size, t->add_space, encode_word);
}
