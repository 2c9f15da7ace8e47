/* Scales of blocks as parameters, against PyTorch's gradients and roundings (tests/oracles/scale_vectors.py). */
#include "check.h"

#include "../../src/base/cursor.h"
#include "../../src/base/memory.h"
#include "../../src/base/numbers.h"
#include "../../src/train/block_scales.h"
#include "../../src/types/traits.h"

#include <math.h>

static const char VECTORS[] = "tests/fixtures/train/scales.bin";

enum { MOST_BYTES = 288 };

/* The largest error divided by the largest number. */
static double error_of(const float *got, const uint8_t *expected, uint32_t n) {
    double worst = 0, most = 0;
    for (uint32_t i = 0; i < n; i++) {
        float want;
        memcpy(&want, expected + i * 4, 4);
        double error = fabs((double)got[i] - (double)want);
        worst = NB_MAX(worst, error);
        most = NB_MAX(most, fabs((double)want));
    }
    return worst / most;
}

static bool same_bytes(const uint8_t *a, const uint8_t *b, uint32_t n) {
    uint32_t i = 0;
    while (i < n && a[i] == b[i])
        i++;
    return i == n;
}

static bool test_type(nb_cursor *in) {
    uint32_t type = nb_cursor_u32(in), n = nb_cursor_u32(in), weights = nb_cursor_u32(in), size = nb_cursor_u32(in);
    const uint8_t *block = nb_cursor_bytes(in, NB_ROUND_UP(size, 4u));
    const uint8_t *values = nb_cursor_bytes(in, (uint64_t)n * 4),
                  *gradient = nb_cursor_bytes(in, (uint64_t)weights * 4);
    const uint8_t *d_values = nb_cursor_bytes(in, (uint64_t)n * 4), *changed = nb_cursor_bytes(in, (uint64_t)n * 4);
    const uint8_t *written = nb_cursor_bytes(in, (uint64_t)weights * 4);
    const nb_scale_layout *layout = nb_scale_layout_of(type);
    const nb_traits *traits = nb_traits_of(type);
    if (!CHECK(!in->is_short && layout && traits && traits->block_bytes == size && traits->block_weights == weights &&
                   nb_scale_count(layout) == n && n <= NB_MOST_SCALES,
               "type %u of %s", type, VECTORS))
        return false;
    _Alignas(8) uint8_t own[MOST_BYTES], back[MOST_BYTES];
    float got[NB_MOST_SCALES], g[NB_SUPERBLOCK], w[NB_SUPERBLOCK], d[NB_MOST_SCALES];
    memcpy(own, block, size);
    CHECK(nb_scales_read(type, own, got) && error_of(got, values, n) == 0, "%s: other scales", traits->name);
    memcpy(g, gradient, weights * sizeof *g);
    nb_scales_backward(type, own, g, d);
    CHECK(error_of(d, d_values, n) < 1e-5, "%s: gradients differ by %g", traits->name, error_of(d, d_values, n));
    /* Writing the block's own scales changes nothing. Other scales are rounded, and do not change codes. */
    memcpy(back, own, size);
    nb_scales_write(type, got, back);
    CHECK(same_bytes(back, own, size), "%s: the same scales are another block", traits->name);
    memcpy(d, changed, n * sizeof *d);
    nb_scales_write(type, d, back);
    traits->dequantize(back, w, weights);
    CHECK(error_of(w, written, weights) < 1e-6, "%s: weights differ by %g", traits->name,
          error_of(w, written, weights));
    nb_scales_write(type, got, back);
    CHECK(same_bytes(back, own, size), "%s: codes have changed", traits->name);
    const uint16_t nan = 0x7e01;
    memcpy(back + layout->d_at, &nan, sizeof nan);
    CHECK(!nb_scales_read(type, back, got), "%s: a scale that is NaN was taken", traits->name);
    return true;
}

void test_scales(void) {
    size_t size;
    uint8_t *bytes = test_read_all(VECTORS, &size);
    nb_cursor in = nb_cursor_over(bytes, size, 0);
    uint32_t types = 0, known = 0;
    while (in.at < in.size && test_type(&in))
        types++;
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        known += nb_scale_layout_of(type) != NULL;
    CHECK(types == known && known == 14 && !nb_scale_layout_of(UINT32_MAX), "vectors of %u types of %u", types, known);
    nb_free(bytes);
}
