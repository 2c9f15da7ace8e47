/* Sizes that are products: one that does not fit is refused, also if size_t has 32 bits. */
#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/kernels/attention.h"
#include "../../src/models/families/families.h"
#include "../../src/models/session.h"
#include "../../src/text/encoding.h"
#include "../../src/text/normalize.h"
#include "../../src/types/types.h"
#include "check.h"

static void check_arithmetic(void) {
    CHECK(nb_times(1ULL << 31, 1ULL << 31) == 1ULL << 62 && nb_plus(1ULL << 63, 5) == (1ULL << 63) + 5,
          "what fits is exact");
    CHECK(nb_times(1ULL << 32, 1ULL << 32) == UINT64_MAX && nb_times(UINT64_MAX, 2) == UINT64_MAX &&
              nb_plus(UINT64_MAX, 1) == UINT64_MAX,
          "what does not fit is as much as there is");
    CHECK(!nb_alloc_items(1ULL << 32, 1ULL << 32) && !nb_alloc_items(UINT64_MAX, 1), "no such memory");
    if (sizeof(size_t) == 4)
        CHECK(!nb_alloc_items((1ULL << 31) + 8, 2), "16 bytes for 2^32 + 16");
    nb_arena a = {0};
    nb_arena_take(&a, UINT64_MAX, sizeof(float));
    CHECK(a.failed, "an arena of any size");
    nb_error err = {0};
    a = (nb_arena){0};
    nb_arena_take(&a, 1ULL << 40, 1);
    CHECK(!a.failed && a.used == 1ULL << 40, "an arena measures what it could never take");
    if (sizeof(size_t) == 4)
        CHECK(nb_arena_reserve(&a, "a test", &err) == NB_ERR_MEMORY, "a terabyte");
}

/* 4096 heads of 4 elements over one KV head, and 13 million positions: attention's partial results for a single token
 * are 17 GB. */
static void check_attention(void) {
    enum { HEADS = 4096, POSITIONS = 13421441 };
    nb_cache cache = nb_cache_of(NB_TYPE_I16, 4, 4);
    double parts = 4096.0 * (4 + (POSITIONS - 256) / 128.0) * (2 + 8); /* attention.c: heads, segments, columns */
    double floats = (double)nb_attention_scratch(&cache, HEADS, 1, POSITIONS, 1);
    CHECK(floats >= parts && floats < 1.01 * parts, "%g floats, of %g at least", floats, parts);
    nb_model m = {.family = &nb_family_llama};
    m.shape = (nb_shape){
        .vocabulary = 8,
        .layers = 1,
        .width = 32,
        .feed_forward = 32,
        .heads = HEADS,
        .kv_heads = 1,
        .head_size = 4,
        .value_size = 4,
        .context = POSITIONS,
    };
    double bytes = nb_session_bytes(&m, POSITIONS, 1, NB_TYPE_I16, 1);
    CHECK(bytes > 4 * parts, "a session of %g bytes", bytes);
    nb_error err = {0};
    CHECK(nb_session_check(&m, NULL, 0xffffffff, NB_TYPE_I16, 1, &err) == NB_ERR_ARGUMENT,
          "positions beyond 32 bits: %s", err.message);
    static const uint32_t unknown[] = {NB_TYPE_Q4_1, NB_TYPE_Q4_0 | NB_TYPE_Q8_0 << 8, NB_CACHE_Q8_0_Q4_0 | 1 << 16};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++)
        CHECK(nb_session_check(&m, NULL, 1, unknown[i], 1, &err) == NB_ERR_ARGUMENT &&
                  test_contains(err.message, "is not supported"),
              "KV cache type %u: %s", unknown[i], err.message);
    if (sizeof(size_t) > 4)
        return;
    CHECK(!nb_session_new(&m, NULL, POSITIONS, 1, NB_TYPE_I16, NB_PRECISION_EXACT, 1, &err) &&
              err.code == NB_ERR_MEMORY,
          "a session beyond all addresses: %s", err.message);
    m.shape.layers = m.shape.kv_heads = 1024; /* more megabytes than 32 bits hold */
    CHECK(nb_session_check(&m, NULL, 1 << 27, NB_TYPE_I16, 1, &err) == NB_ERR_MEMORY &&
              test_contains(err.message, "a context of 134217728 tokens does not fit: it needs 4294967295 MB"),
          "%s", err.message);
}

/* Texts are tokenized in memory that is several times as large, and normalization may make many tokens of one byte. */
static void check_texts(void) {
    int32_t token;
    nb_token_list list = {&token, 1, INT32_MAX};
    nb_token_append(&list, 5);
    CHECK(list.count == INT32_MAX, "%d tokens", list.count);
    if (sizeof(size_t) > 4)
        return;
    nb_bytes out = {0};
    nb_error err = {0};
    CHECK(nb_bytes_reserve(&out, (1ULL << 31) + 1, &err) == NB_ERR_MEMORY, "2 GB of text");
    CHECK(nb_nfc_text(NULL, (const uint8_t *)"\xcc\x81", 400000000, &out, &err) == NB_ERR_MEMORY,
          "4.8 GB to compose 0.4");
    nb_free(out.data);
}

void test_sizes(void) {
    check_texts();
    check_arithmetic();
    check_attention();
}
