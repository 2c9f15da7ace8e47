/* Damaged normalization rules of SentencePiece. */
#include "check.h"
#include "random.h"
#include "vocabularies.h"

/* Rules that are cut off or scrambled give an error, or some tokens. */
static void check_charsmap(void) {
    uint32_t seed = 1;
    test_vocabulary f;
    nb_error err = {0};
    if (test_vocabulary_open(&f, TEST_UNIGRAM)) {
        nb_value *map = (nb_value *)nb_checkpoint_find(&f.checkpoint, "tokenizer.ggml.precompiled_charsmap");
        uint8_t *bytes = f.checkpoint.header + map->at;
        uint64_t count = map->count;
        nb_tokenizer_free(f.tokenizer);
        for (map->count = 1; map->count < count; map->count += 1 + map->count / 8) {
            f.tokenizer = nb_tokenizer_new(&f.checkpoint, &err);
            CHECK(f.tokenizer || err.code == NB_ERR_FORMAT, "%l bytes: code %d", map->count, err.code);
            nb_tokenizer_free(f.tokenizer);
        }
        map->count = count;
        for (int round = 0; round < 200; round++) {
            for (int i = 0; i < 8; i++)
                bytes[4 + test_random(&seed) % ((uint32_t)count - 5)] = (uint8_t)test_random(&seed);
            int32_t tokens[64];
            f.tokenizer = nb_tokenizer_new(&f.checkpoint, &err);
            static const char text[] = "e\xcc\x81 \xef\xac\x81 1\xc2\xb2 ...";
            if (CHECK(f.tokenizer, "%s", err.message))
                nb_tokenizer_encode(f.tokenizer, text, sizeof text - 1, 0, tokens, 64, &err);
            nb_tokenizer_free(f.tokenizer);
        }
        f.tokenizer = NULL;
    }
    test_vocabulary_close(&f);
}

/* A rule with a long replacement is refused. */
static void check_long_replacement(void) {
    static test_values m;
    static uint8_t map[4 + 4 + 300];
    for (int size = 200; size <= 300; size += 100) {
        test_values_begin(&m, "t5");
        test_add_strings(&m, "tokenizer.ggml.tokens", "<unk> a b");
        memset(map, 'x', sizeof map);
        memcpy(map, "\4\0\0\0\0\0\0\0", 8);
        map[8 + size - 1] = 0;
        test_add_numbers(&m, "tokenizer.ggml.precompiled_charsmap", NB_VALUE_U8, map, 8 + (uint64_t)size,
                         8 + (size_t)size);
        nb_error err = {0};
        nb_tokenizer *t = test_values_tokenizer(&m, &err);
        CHECK(size == 200 ? t != NULL : !t && err.code == NB_ERR_FORMAT, "%d bytes: %s", size, err.message);
        nb_tokenizer_free(t);
    }
}

void test_charsmap(void) {
    check_charsmap();
    check_long_replacement();
}
