/* Every tensor type's dequantizer against libgguf's results, bit for bit (tests/oracles/dequantize_vectors.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/numbers.h"
#include "../../src/types/traits.h"

static const char VECTORS[] = "tests/fixtures/formats/dequantize.bin";

/* FNV-1a (Fowler, Noll, Vo). */
static uint32_t hash_of(const uint8_t *bytes, size_t n) {
    uint32_t hash = 0x811c9dc5;
    for (size_t i = 0; i < n; i++)
        hash = (hash ^ bytes[i]) * 0x01000193;
    return hash;
}

/* One type's blocks and weights; false at the vectors' end, or if they are broken. */
static bool test_type(nb_cursor *in) {
    uint32_t type = nb_cursor_u32(in), n_shown = nb_cursor_u32(in), n = nb_cursor_u32(in), n_bytes = nb_cursor_u32(in);
    const uint8_t *blocks = nb_cursor_bytes(in, NB_ROUND_UP(n_bytes, 4u));
    const uint8_t *expected = nb_cursor_bytes(in, (uint64_t)n_shown * 4);
    uint32_t hash = nb_cursor_u32(in);
    if (!CHECK(!in->is_short, "%s is cut off", VECTORS))
        return false;
    const nb_traits *traits = nb_traits_of(type);
    if (!CHECK(traits, "type %u has no traits", type))
        return false;
    if (!CHECK(n % traits->block_weights == 0 && n / traits->block_weights * traits->block_bytes == n_bytes,
               "%s: %u bytes are not %u weights", traits->name, n_bytes, n))
        return false;
    float *out = nb_alloc((size_t)n * 4); /* exactly as large, so that the sanitizer sees a write past it */
    uint8_t *in_place = nb_alloc(n_bytes);
    memcpy(in_place, blocks, n_bytes);
    traits->dequantize(in_place, out, n);
    for (uint32_t i = 0; i < n_shown; i++) {
        uint32_t want;
        memcpy(&want, expected + i * 4, 4);
        CHECK(nb_bits_of(out[i]) == want, "%s: weight %u is %g, not %g", traits->name, i, (double)out[i],
              (double)nb_float_of(want));
    }
    uint32_t got = hash_of((const uint8_t *)out, (size_t)n * 4);
    CHECK(got == hash, "%s: the hash of %u weights is %u, not %u", traits->name, n, got, hash);
    nb_free(in_place);
    nb_free(out);
    return true;
}

static void test_traits(void) {
    uint32_t known = 0;
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        known += nb_traits_of(type) != NULL;
    CHECK(known == 39, "%u types", known); /* four are not GGUF's: test_safetensors.c, test_quantize.c have these */
    CHECK(!nb_traits_of(NB_TYPE_LIMIT) && !nb_traits_of(UINT32_MAX), "types past the table");
    CHECK(nb_traits_of(NB_TYPE_Q4_K) && nb_text_is(nb_text_of(nb_traits_of(NB_TYPE_Q4_K)->name), "Q4_K"), "a name");
}

void test_dequantize(void) {
    test_traits();
    size_t size;
    uint8_t *data = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(data, size, 0);
    uint32_t types = 0;
    while (in.at < in.size && test_type(&in))
        types++;
    CHECK(types == 35, "vectors of %u types", types);
    nb_free(data);

    uint16_t nan[] = {0x7c01, 0x7e00, 0xffff};
    float out[3];
    nb_traits_of(NB_TYPE_F16)->dequantize(nan, out, 3);
    for (int i = 0; i < 3; i++)
        CHECK(out[i] != out[i], "NaN %d became %g", i, (double)out[i]);
}
