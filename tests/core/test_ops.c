/* The operations between matrix products, and attention, against double precision. */
#include "../../src/base/numbers.h"
#include "../../src/base/text.h"
#include "../../src/kernels/attention.h"
#include "../../src/kernels/ops.h"
#include "../../src/types/traits.h"
#include "check.h"
#include "random.h"

#include <math.h>

static float exp_of(float x) {
    const nb_exp_constants c = nb_exp_held();
    return wasm_f32x4_extract_lane(nb_exp_f32x4(wasm_f32x4_splat(x), &c), 0);
}

static void check_exp(void) {
    double worst = 0;
    for (int32_t i = 0; i <= 127700; i++) {
        float x = -87 + 0.00137f * (float)i;
        double right = exp((double)x);
        worst = NB_MAX(worst, fabs((double)exp_of(x) - right) / right);
    }
    CHECK(worst <= 2e-7, "exp: relative error %g", worst);
    CHECK(exp_of(0) == 1, "exp(0) is %g", (double)exp_of(0));
    CHECK(exp_of(-1e30f) >= 0 && exp_of(-1e30f) < 1.3e-38f, "exp(-1e30) is %g", (double)exp_of(-1e30f));
    CHECK(exp_of(1e30f) > 1.6e38f && exp_of(1e30f) <= 1.7e38f, "exp(1e30) is %g", (double)exp_of(1e30f));
}

static double gelu(double x) {
    double u = sqrt(2 / 3.14159265358979324) * (x + 0.044715 * x * x * x), tanh_u = 1 - 2 / (exp(2 * u) + 1);
    return x / 2 * (1 + tanh_u);
}

static void check_gelu(void) {
    double worst = 0;
    for (int32_t at = 0; at <= 29190; at++) {
        float x = -20 + 0.00137f * (float)at;
        float gate[5] = {x, -x, x, x, x}, up[5] = {1, 1, -3, 1e6f, 1}; /* four in a vector, and one that is left over */
        nb_gelu_multiply(gate, up, 5);
        for (uint32_t i = 0; i < 5; i++) {
            double in = i == 1 ? -x : x, scale = fabs(in * up[i]);
            worst = NB_MAX(worst, fabs(gate[i] - gelu(in) * up[i]) / NB_MAX(scale, 1e-30));
        }
    }
    CHECK(worst <= 2e-7, "gelu: error %g of its argument", worst);
    float far[4] = {-1e30f, 1e30f, -0.0f, 100}, up[4] = {1, 1, 1, 1};
    nb_gelu_multiply(far, up, 4);
    CHECK(fabsf(far[0]) < 1e-7f && far[1] == 1e30f && far[2] == 0 && far[3] == 100, "gelu far out: %g, %g, %g, %g",
          (double)far[0], (double)far[1], (double)far[2], (double)far[3]);
}

static double normal(double x) { /* x times its distribution function */
    return x / 2 * erfc(-x / sqrt(2));
}

static double capped(double x, double cap) {
    return cap * (1 - 2 / (exp(2 * x / cap) + 1)); /* cap tanh(x / cap) */
}

static void check_plain(void) {
    double worst = 0, worst_exact = 0, worst_cap = 0;
    for (int32_t at = 0; at <= 29190; at++) {
        float x = -20 + 0.00137f * (float)at;
        float a[7] = {x, -x, x, x, x, x, x}, b[7], c[7], d[7];
        memcpy(b, a, sizeof a);
        memcpy(d, a, sizeof a);
        memcpy(c, a, sizeof a);
        nb_gelu(a, 7);
        nb_gelu_exact(b, 7);
        nb_cap(c, 3.5f, 7);
        nb_relu(d, 7);
        for (uint32_t i = 0; i < 7; i++) {
            double in = i == 1 ? -x : x, scale = NB_MAX(fabs(in), 1e-30);
            worst = NB_MAX(worst, fabs(a[i] - gelu(in)) / scale);
            worst_exact = NB_MAX(worst_exact, fabs(b[i] - normal(in)) / scale);
            CHECK(d[i] == (float)NB_MAX(in, 0), "relu of %g: %g", in, (double)d[i]);
            worst_cap = NB_MAX(worst_cap, fabs(c[i] - capped(in, 3.5)) / 3.5);
        }
    }
    CHECK(worst <= 2e-7, "gelu alone: error %g of its argument", worst);
    CHECK(worst_exact <= 3e-7, "exact gelu: error %g of its argument", worst_exact);
    CHECK(worst_cap <= 4e-7, "cap: error %g of itself", worst_cap);
    float far[5] = {-1e30f, 1e30f, -0.0f, 100, -100};
    nb_gelu_exact(far, 5);
    CHECK(far[0] == 0 && far[1] == 1e30f && far[2] == 0 && far[3] == 100 && fabsf(far[4]) < 1e-30f,
          "exact gelu far out: %g, %g, %g, %g", (double)far[0], (double)far[1], (double)far[2], (double)far[3]);
    float many[131];
    for (uint32_t i = 0; i < 131; i++)
        many[i] = 1 + (float)i;
    nb_gelu(many, 131);
    CHECK(many[64] == 65 && many[130] == 131, "gelu of many: %g, %g", (double)many[64], (double)many[130]);
}

static void check_rows(uint32_t n, uint32_t *seed) {
    float x[40], weight[40], out[40], gate[40];
    double squares = 0;
    for (uint32_t i = 0; i < n; i++) {
        x[i] = 5 * test_random_float(seed);
        weight[i] = test_random_float(seed);
        gate[i] = 12 * test_random_float(seed);
        squares += (double)x[i] * x[i];
    }
    nb_rms_norm(out, x, weight, n, 1e-5f);
    for (uint32_t i = 0; i < n; i++) {
        double right = x[i] / sqrt(squares / n + 1e-5) * weight[i];
        CHECK(fabs(out[i] - right) <= 4e-7 * fabs(right), "norm of %u: element %u is %g, not %g", n, i, (double)out[i],
              right);
    }
    double mean = 0, variance = 0;
    for (uint32_t i = 0; i < n; i++)
        mean += (double)x[i] / n;
    for (uint32_t i = 0; i < n; i++)
        variance += ((double)x[i] - mean) * ((double)x[i] - mean) / n;
    for (int with_bias = 0; with_bias <= 1; with_bias++) {
        nb_layer_norm(out, x, weight, with_bias ? gate : NULL, n, 1e-5f);
        for (uint32_t i = 0; i < n; i++) {
            double bias = with_bias ? (double)gate[i] : 0;
            double right = ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)weight[i] + bias;
            CHECK(fabs((double)out[i] - right) <= 5e-6, "layer norm of %u: element %u is %g, not %g", n, i,
                  (double)out[i], right);
        }
    }
    memcpy(out, gate, sizeof out);
    nb_scale(out, -2.5f, n);
    for (uint32_t i = 0; i < n; i++)
        CHECK(out[i] == -2.5f * gate[i], "scaled: element %u of %u is %g", i, n, (double)out[i]);
    memcpy(out, gate, sizeof out);
    nb_silu_multiply(out, x, n);
    for (uint32_t i = 0; i < n; i++) {
        double right = gate[i] / (1 + exp(-(double)gate[i])) * x[i];
        CHECK(fabs(out[i] - right) <= 1e-6 * fabs(right), "silu of %u: element %u is %g, not %g", n, i, (double)out[i],
              right);
    }
}

/* Rows of the same number everywhere (0, huge, subnormal, ...), against double arithmetic. */
static void check_odd_rows(void) {
    enum { N = 37 };
    static const float fills[] = {0, -0.0f, 1, -3.5f, 1e15f, -1e15f, 1e-30f, 1e-42f};
    float weight[N], x[N], out[N], zeros[N] = {0};
    for (uint32_t i = 0; i < N; i++)
        weight[i] = 0.5f + 0.01f * (float)i;
    for (size_t f = 0; f < sizeof fills / sizeof *fills; f++) {
        double fill = (double)fills[f], norm = fill / sqrt(fill * fill + 1e-5);
        for (uint32_t i = 0; i < N; i++)
            x[i] = fills[f];
        nb_rms_norm(out, x, weight, N, 1e-5f);
        for (uint32_t i = 0; i < N; i++)
            CHECK(fabs(out[i] - norm * (double)weight[i]) <= 4e-7 * fabs(norm) + 1e-44, "norm of %g: %g", fill,
                  (double)out[i]);
        nb_layer_norm(out, x, weight, weight, N, 1e-5f);
        /* no number deviates from the mean, except by the rounding of the mean if numbers are huge */
        for (uint32_t i = 0; i < N; i++)
            CHECK(fabs(fill) > 1e6 ? isfinite(out[i]) : fabs((double)(out[i] - weight[i])) <= 1e-4,
                  "layer norm of %g: %g", fill, (double)out[i]);
        memcpy(out, x, sizeof out);
        nb_silu_multiply(out, weight, N);
        for (uint32_t i = 0; i < N; i++) {
            double right = fill / (1 + exp(-fill)) * (double)weight[i];
            CHECK(fabs(out[i] - right) <= 1e-6 * fabs(right) + 2e-38 * fabs(fill) + 1e-44, "silu of %g: %g, not %g",
                  fill, (double)out[i], right);
        }
        memcpy(out, x, sizeof out);
        nb_gelu_multiply(out, weight, N);
        nb_scale(out, 0, N);
        nb_add_to(out, x, N);
        CHECK(nb_compare(out, x, sizeof x) == 0 || fills[f] == 0, "gelu, scale and add of %g: %g", fill,
              (double)out[0]);
        nb_rotate(x, zeros, zeros, N / 2, f % 2);
        CHECK(x[0] == 0 && x[N - 2] == 0 && x[N - 1] == fills[f], "turned into nothing: %g, %g, %g", (double)x[0],
              (double)x[N - 2], (double)x[N - 1]);
        for (uint32_t i = 0; i < N; i++)
            x[i] = fills[f];
        CHECK(nb_argmax(x, N) == 0, "argmax of equal numbers");
        nb_cap(x, 30, N);
        CHECK(fabs((double)x[0] - capped(fill, 30)) <= 4e-7 * 30, "cap of %g: %g", fill, (double)x[0]);
    }
    const nb_exp_constants c = nb_exp_held();
    CHECK(isnan(wasm_f32x4_extract_lane(nb_exp_f32x4(wasm_f32x4_splat(NAN), &c), 0)), "what is no number stays none");
}

/* NaN and infinity stay not finite and do not affect the other elements: a broken model is recognized by the last
 * results. Norms spread them over the row. */
static void check_not_finite(void) {
    enum { N = 11 };
    static const float kinds[] = {NAN, INFINITY, -INFINITY};
    const float weight[N] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (uint32_t at = 0; at < N; at++) {
            float x[8][N], plain[8][N], norm[N];
            for (uint32_t op = 0; op < 16; op++)
                for (uint32_t i = 0; i < N; i++)
                    (op < 8 ? plain : x)[op % 8][i] = op >= 8 && i == at ? kinds[k] : 0.3f * (float)i - 1;
            for (uint32_t both = 0; both < 2; both++) {
                float (*y)[N] = both ? x : plain;
                nb_gelu_multiply(y[0], weight, N);
                nb_silu_multiply(y[1], weight, N);
                nb_gelu(y[2], N);
                nb_gelu_exact(y[3], N);
                nb_relu(y[4], N);
                nb_scale(y[5], -2, N);
                nb_cap(y[6], 30, N);
                nb_add_to(y[7], weight, N);
            }
            for (uint32_t op = 0; op < 8; op++)
                for (uint32_t i = 0; i < N; i++) {
                    /* activations make minus infinity 0, and a cap makes either infinity finite */
                    bool vanishes = (kinds[k] < 0 && op < 5) || (isinf(kinds[k]) && op == 6);
                    CHECK(i == at ? vanishes || !isfinite(x[op][i]) : x[op][i] == plain[op][i],
                          "operation %u of %g at %u: element %u is %g", op, (double)kinds[k], at, i, (double)x[op][i]);
                }
            for (uint32_t i = 0; i < N; i++)
                x[0][i] = i == at ? kinds[k] : 1;
            nb_rms_norm(norm, x[0], weight, N, 1e-5f);
            CHECK(!isfinite(norm[at]), "norm of %g: %g", (double)kinds[k], (double)norm[at]);
            nb_layer_norm(norm, x[0], weight, NULL, N, 1e-5f);
            CHECK(!isfinite(norm[at]), "layer norm of %g: %g", (double)kinds[k], (double)norm[at]);
        }
}

/* One number among zeros, up to the largest whose square is a float. */
static void check_lone(void) {
    enum { N = 23 };
    static const float numbers[] = {1, -3, 1e15f, 1e-12f, 1e-42f};
    float weight[N], x[N], out[N];
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        for (uint32_t at = 0; at < N; at += 3) {
            for (uint32_t i = 0; i < N; i++) {
                x[i] = i == at ? numbers[k] : 0;
                weight[i] = 0.5f + (float)i;
            }
            double lone = (double)numbers[k], mean = lone / N, variance = 0;
            for (uint32_t i = 0; i < N; i++)
                variance += ((double)x[i] - mean) * ((double)x[i] - mean) / N;
            nb_rms_norm(out, x, weight, N, 1e-5f);
            for (uint32_t i = 0; i < N; i++) {
                double right = (double)x[i] / sqrt(lone * lone / N + 1e-5) * (double)weight[i];
                CHECK(fabs((double)out[i] - right) <= 4e-7 * fabs(right) + 1e-44, "norm of %g alone: %g, not %g", lone,
                      (double)out[i], right);
            }
            nb_layer_norm(out, x, weight, NULL, N, 1e-5f);
            for (uint32_t i = 0; i < N; i++) {
                double right = ((double)x[i] - mean) / sqrt(variance + 1e-5) * (double)weight[i];
                CHECK(fabs((double)out[i] - right) <= 2e-6 * (double)weight[i] * 5,
                      "layer norm of %g alone: %g, not %g", lone, (double)out[i], right);
            }
            CHECK(nb_argmax(x, N) == (lone > 0 ? at : at == 0 ? 1 : 0), "argmax of %g alone at %u", lone, at);
            CHECK(nb_find_above(x, 0, N, 0) == (lone > 0 ? at : N), "above 0 of %g alone at %u", lone, at);
        }
}

static void check_argmax(uint32_t *seed) {
    float x[50];
    for (uint32_t n = 1; n <= 50; n++)
        for (uint32_t best = 0; best < n; best++) {
            for (uint32_t i = 0; i < n; i++) /* NaN here and there, and an equal one after the largest */
                x[i] = i == best ? 1 : i > best && i % 7 == 0 ? 1 : i % 5 == 0 ? NAN : 0.9f * test_random_float(seed);
            CHECK(nb_argmax(x, n) == best, "argmax of %u is %u, not %u", n, nb_argmax(x, n), best);
        }
    CHECK(nb_argmax((float[]){NAN, -INFINITY, -INFINITY, NAN, NAN}, 5) == 1, "argmax of infinities");
    CHECK(nb_argmax((float[]){NAN, NAN, NAN, NAN, NAN}, 5) == 0, "argmax of nothing");
}

static void check_rotation(int pairs, bool interleaved) {
    enum { MOST = 14 };
    float head[2 * MOST + 2], cosines[MOST], sines[MOST];
    if (!CHECK(pairs >= 0 && pairs <= MOST, "%d pairs", (int32_t)pairs))
        return;
    for (int i = 0; i < 2 * pairs + 2; i++)
        head[i] = (float)(i + 1);
    for (int i = 0; i < pairs; i++) {
        cosines[i] = (float)cos(0.3 * (i + 1));
        sines[i] = (float)sin(0.3 * (i + 1));
    }
    nb_rotate(head, cosines, sines, (uint32_t)pairs, interleaved);
    for (int i = 0; i < pairs; i++) {
        int a = interleaved ? 2 * i : i, b = interleaved ? 2 * i + 1 : i + pairs;
        double c = cos(0.3 * (i + 1)), s = sin(0.3 * (i + 1)), x = a + 1, y = b + 1;
        CHECK(fabs(head[a] - (x * c - y * s)) < 1e-5 && fabs(head[b] - (x * s + y * c)) < 1e-5,
              "pair %d of %d is %g, %g", (int32_t)i, (int32_t)pairs, (double)head[a], (double)head[b]);
    }
    CHECK(head[2 * pairs] == (float)(2 * pairs + 1) && head[2 * pairs + 1] == (float)(2 * pairs + 2),
          "elements beyond %d pairs changed", (int32_t)pairs);
}

void test_ops(void) {
    uint32_t seed = 99;
    check_exp();
    check_gelu();
    check_plain();
    for (uint32_t n = 1; n <= 40; n++)
        check_rows(n, &seed);
    check_argmax(&seed);
    check_odd_rows();
    check_not_finite();
    check_lone();
    for (int pairs = 1; pairs <= 14; pairs++) {
        check_rotation(pairs, true);
        check_rotation(pairs, false);
    }
}

enum { CONTEXT = 600, MAX_N = 20, MAX_HEADS = 6, MAX_SIZE = 64 };

typedef struct shape {
    uint32_t n, first, heads, kv_heads, head_size, value_size, window;
} shape;

/* The types of keys and values. */
static uint32_t type_of_keys(uint32_t type) {
    return type == NB_CACHE_Q8_0_Q4_0 ? NB_TYPE_Q8_0 : type;
}

static uint32_t type_of_values(uint32_t type) {
    return type == NB_CACHE_Q8_0_Q4_0 ? NB_TYPE_Q4_0 : type;
}

/* Element `place` of an array. */
static float element_at(uint32_t type, const uint8_t *p, size_t place) {
    return type == NB_TYPE_F32 ? ((const float *)p)[place]
         : type == NB_TYPE_F16 ? nb_f16_to_f32(((const uint16_t *)p)[place])
         : type == NB_TYPE_I16 ? (float)((const int16_t *)p)[place]
                               : (float)((const int8_t *)p)[place];
}

static float scale_at(uint32_t type, const uint8_t *scales, uint32_t i) {
    return type == NB_TYPE_Q4_0 ? nb_f16_to_f32(((const uint16_t *)scales)[i]) : ((const float *)scales)[i];
}

/* One of the two numbers of a byte. */
static float half_of(uint8_t byte, uint32_t high) {
    int32_t bits = byte >> 4 * high & 15;
    return (float)(bits < 8 ? bits : bits - 16) + 0.5f;
}

/* Element i of the key at position `at` of a tile, by the layout in kv_cache.h. */
static float key_at(const nb_cache *c, const uint8_t *tile, uint32_t at, uint32_t i) {
    const uint8_t *keys = tile + c->keys.at;
    uint32_t type = type_of_keys(c->type), size = c->keys.size;
    if (!nb_cache_of_integers(c))
        return element_at(type, keys, (size_t)at * size + i);
    float scale = scale_at(type, tile, i / 32 * NB_CACHE_TILE + at);
    if (type == NB_TYPE_Q4_0)
        return scale * half_of(keys[((at / 8 * size / 4 + i / 4) * 8 + at % 8) * 2 + i % 2], i % 4 / 2);
    return scale * element_at(type, keys, (((size_t)at / 8 * size / 2 + i / 2) * 8 + at % 8) * 2 + i % 2);
}

static float value_at(const nb_cache *c, const uint8_t *tile, uint32_t at, uint32_t i) {
    const uint8_t *values = tile + c->values.at;
    uint32_t type = type_of_values(c->type);
    if (!nb_cache_of_integers(c))
        return element_at(type, values, (size_t)at * c->values.size + i);
    float scale = scale_at(type, tile + c->values.scales_at, (type == NB_TYPE_I16 ? 0 : i / 32) * NB_CACHE_TILE + at);
    if (type == NB_TYPE_Q4_0)
        return scale * half_of(values[((i / 8 * NB_CACHE_TILE / 2 + at / 2) * 4 + i % 4) * 2 + at % 2], i % 8 / 4);
    return scale * element_at(type, values, (((size_t)i / 8 * NB_CACHE_TILE / 2 + at / 2) * 8 + i % 8) * 2 + at % 2);
}

/* Multiplies each block of x with Hadamard's matrix, by Sylvester's formula. */
static void transform(float *x, uint32_t size) {
    uint32_t n = 4;
    double y[256];
    while (size % (2 * n) == 0)
        n *= 2;
    for (uint32_t i = 0; i < size; i++) {
        y[i] = 0;
        for (uint32_t j = 0; j < n; j++) {
            double term = (double)x[i / n * n + j];
            y[i] += __builtin_popcount(i % n & j) % 2 ? -term : term;
        }
    }
    for (uint32_t i = 0; i < size; i++)
        x[i] = (float)(y[i] / sqrt((double)n));
}

static void check_hadamard(uint32_t *seed) {
    static const uint32_t sizes[] = {4, 8, 12, 16, 20, 64, 80, 96, 128, 256};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        float x[256], right[256], got[256];
        for (uint32_t i = 0; i < sizes[s]; i++)
            x[i] = right[i] = got[i] = test_random_float(seed);
        transform(right, sizes[s]);
        nb_hadamard(got, sizes[s]);
        for (uint32_t i = 0; i < sizes[s]; i++) /* a sum of 256 numbers within 1, divided by 16 */
            CHECK(fabs((double)got[i] - (double)right[i]) < 2e-6, "size %u: element %u is %g, not %g", sizes[s], i,
                  (double)got[i], (double)right[i]);
        nb_hadamard(got, sizes[s]);
        for (uint32_t i = 0; i < sizes[s]; i++)
            CHECK(fabs((double)got[i] - (double)x[i]) < 2e-6, "size %u: element %u is %g after two, not %g", sizes[s],
                  i, (double)got[i], (double)x[i]);
    }
}

/* The numbers that a position stands for. */
static void read_position(const nb_cache *c, const uint8_t *tile, uint32_t at, float *k, float *v) {
    for (uint32_t i = 0; i < c->keys.size; i++)
        k[i] = key_at(c, tile, at, i);
    for (uint32_t i = 0; i < c->values.size; i++)
        v[i] = value_at(c, tile, at, i);
    if (type_of_keys(c->type) == NB_TYPE_Q4_0)
        transform(k, c->keys.size);
    if (type_of_values(c->type) == NB_TYPE_Q4_0)
        transform(v, c->values.size);
}

/* No two positions share a byte, as two threads may store them at the same time. */
static void check_apart(uint32_t type) {
    nb_cache c = nb_cache_of(type, 36, 12);
    uint8_t *tile = nb_alloc(c.tile_bytes), *written = nb_alloc(c.tile_bytes);
    memset(written, 0, c.tile_bytes);
    for (uint32_t at = 0; at < NB_CACHE_TILE; at++)
        for (int32_t fill = 0; fill < 256; fill += 255) {
            float k[36], v[12];
            for (uint32_t i = 0; i < 36; i++)
                k[i] = v[i % 12] = (float)i + 1;
            memset(tile, fill, c.tile_bytes);
            nb_cache_store(&c, tile, at, k, v);
            for (size_t i = 0; i < c.tile_bytes; i++)
                if (tile[i] != fill) {
                    CHECK(!written[i] || written[i] == at + 1, "type %u: positions %u and %u share byte %z", type,
                          written[i] - 1u, at, i);
                    written[i] = (uint8_t)(at + 1);
                }
        }
    nb_free(tile);
    nb_free(written);
}

/* Usual rows, and rows that a damaged or an odd model makes. */
typedef enum rows { RANDOM, ZERO, SOME_ZERO, CONSTANT, SUBNORMAL, LONE, HUGE, ROW_KINDS } rows;

/* Element i of row r. */
static float element_of(rows kind, uint32_t r, uint32_t i, uint32_t *seed) {
    float random = test_random_float(seed);
    switch (kind) {
    case ZERO: return 0;
    case SOME_ZERO: return r % 3 ? random : 0;
    case CONSTANT: return 0.7f;
    case SUBNORMAL: return 1e-42f * random;
    case LONE: return i == r % 4 ? 1 : 0;
    default: return random;
    }
}

/* The largest magnitude in a block of 32, and 10^-5, as a scale may be a subnormal half. */
static float largest_near(const float *x, uint32_t i, uint32_t size) {
    float largest = 1e-5f;
    for (uint32_t j = i / 32 * 32; j < NB_MIN(i / 32 * 32 + 32, size); j++)
        largest = NB_MAX(largest, fabsf(x[j]));
    return largest;
}

/* Half a step of quantization, for numbers within 1. That of F16 also covers numbers below 2^-14, which become 0. */
static double half_step(uint32_t type, double most_of_16) {
    return type == NB_TYPE_F32  ? 0
         : type == NB_TYPE_F16  ? 0x1p-12
         : type == NB_TYPE_I16  ? 0.51 / most_of_16
         : type == NB_TYPE_Q8_0 ? 0.51 / 127
                                : 0.51 / 7.5;
}

/* A cache with keys and values of [heads, CONTEXT]; k and v get the numbers that it stands for. Memory that was not
 * written holds bits that would be NaN. HUGE numbers are up to 1024. */
static uint8_t *filled_cache(const nb_cache *c, uint32_t heads, uint32_t written, rows of_keys, rows of_values,
                             float *k, float *v, uint32_t *seed) {
    size_t bytes = (size_t)heads * nb_cache_tiles(CONTEXT) * c->tile_bytes;
    uint32_t head_size = c->keys.size, value_size = c->values.size;
    bool keys_transformed = type_of_keys(c->type) == NB_TYPE_Q4_0,
         values_transformed = type_of_values(c->type) == NB_TYPE_Q4_0;
    uint8_t *tiles = nb_alloc(bytes);
    memset(tiles, 255, bytes);
    double key_step = half_step(type_of_keys(c->type), 16383), value_step = half_step(type_of_values(c->type), 32767);
    float largest_key = of_keys == HUGE ? 1024 : 1, largest_value = of_values == HUGE ? 1024 : 1;
    for (uint32_t h = 0; h < heads; h++)
        for (uint32_t j = 0; j < written; j++, k += head_size, v += value_size) {
            float x[MAX_SIZE], y[MAX_SIZE], given_x[MAX_SIZE], given_y[MAX_SIZE];
            uint8_t *tile = tiles + nb_cache_tile_at(c, nb_cache_tiles(CONTEXT), h, j / NB_CACHE_TILE);
            for (uint32_t i = 0; i < MAX_SIZE; i++) {
                x[i] = largest_key * element_of(of_keys, j, i, seed);
                y[i] = largest_value * element_of(of_values, j, i, seed);
            }
            memcpy(given_x, x, sizeof x);
            memcpy(given_y, y, sizeof y);
            nb_cache_store(c, tile, j % NB_CACHE_TILE, given_x, given_y);
            if (keys_transformed)
                transform(x, head_size);
            if (values_transformed)
                transform(y, value_size);
            for (uint32_t i = 0; i < head_size; i++) {
                float stored = key_at(c, tile, j % NB_CACHE_TILE, i);
                double within = key_step * (double)(keys_transformed ? largest_near(x, i, head_size) : largest_key);
                CHECK(fabs((double)stored - (double)x[i]) <= within, "type %u stores key %g as %g", c->type,
                      (double)x[i], (double)stored);
            }
            for (uint32_t i = 0; i < value_size; i++) {
                float stored = value_at(c, tile, j % NB_CACHE_TILE, i);
                double within =
                    value_step * (double)(values_transformed ? largest_near(y, i, value_size) : largest_value);
                CHECK(fabs((double)stored - (double)y[i]) <= within, "type %u stores value %g as %g", c->type,
                      (double)y[i], (double)stored);
            }
            read_position(c, tile, j % NB_CACHE_TILE, k, v);
            nb_cache_load(c, tile, j % NB_CACHE_TILE, x, y);
            double far_key = 0, far_value = 0; /* the transform adds up to 64 numbers within 8, and divides by 8 */
            for (uint32_t i = 0; i < head_size; i++)
                far_key = NB_MAX(far_key, fabs((double)x[i] - (double)k[i]) / (double)largest_key);
            for (uint32_t i = 0; i < value_size; i++)
                far_value = NB_MAX(far_value, fabs((double)y[i] - (double)v[i]) / (double)largest_value);
            CHECK(far_key <= (keys_transformed ? 1e-5 : 0) && far_value <= (values_transformed ? 1e-5 : 0),
                  "type %u loads something else than it stored, at position %u", c->type, j);
        }
    return tiles;
}

/* F16 is rounded as in base/numbers.h, if the result is normal. */
static void check_halves(void) {
    float x[] = {
        0,     -0.0f,  1,        -1.5f,       0x1p-14f, 0x1.ffcp-14f, 0x1.002p0f, 0x1.006p0f, -0x1.0021p0f,
        65504, -65504, 3.14159f, 0x1.ffep15f, 1e30f,    0x1.ff8p-15f, -1e-20f,
    };
    nb_cache c = nb_cache_of(NB_TYPE_F16, 16, 4);
    uint8_t *tile = nb_alloc(c.tile_bytes);
    const uint16_t *out = (const uint16_t *)(tile + c.keys.at);
    nb_cache_store(&c, tile, 0, x, x);
    for (uint32_t i = 0; i < 12; i++)
        CHECK(out[i] == nb_f32_to_f16(x[i]), "%g becomes the half %u, not %u", (double)x[i], out[i],
              nb_f32_to_f16(x[i]));
    CHECK(out[12] == 0x7bff && out[13] == 0x7bff, "large numbers become the halves %u, %u", out[12], out[13]);
    CHECK(out[14] == 0 && out[15] == 0x8000, "subnormal halves become %u, %u", out[14], out[15]);
    nb_free(tile);
}

/* A Q8_0 cache has the scales and integers of Q8_0's blocks (types/dequantize.c has the formula). */
static void check_bytes(uint32_t *seed) {
    nb_cache c = nb_cache_of(NB_TYPE_Q8_0, 64, 32);
    uint8_t *tile = nb_alloc(c.tile_bytes);
    float x[64];
    for (uint32_t i = 0; i < 64; i++)
        x[i] = (i < 32 ? 1 : 0.01f) * test_random_float(seed);
    nb_cache_store(&c, tile, 5, x, x);
    for (uint32_t b = 0; b < 2; b++) {
        nb_block_q8_0 block;
        float most = 0, meant[32];
        for (uint32_t i = 0; i < 32; i++)
            most = NB_MAX(most, fabsf(x[32 * b + i]));
        block.d = nb_f32_to_f16(most / 127);
        for (uint32_t i = 0; i < 32; i++)
            block.q[i] = (int8_t)nearbyintf(x[32 * b + i] / nb_f16_to_f32(block.d));
        nb_traits_of(NB_TYPE_Q8_0)->dequantize(&block, meant, 32);
        for (uint32_t i = 0; i < 32; i++)
            CHECK(meant[i] == key_at(&c, tile, 5, 32 * b + i), "block %u: element %u is %g, not %g", b, i,
                  (double)key_at(&c, tile, 5, 32 * b + i), (double)meant[i]);
    }
    nb_free(tile);
}

/* The largest sums of products that integers can reach: two positions with almost the same keys. */
static void check_extremes(uint32_t type, float sign) {
    nb_cache c = nb_cache_of(type, 64, 32);
    uint8_t *tile = nb_alloc(c.tile_bytes);
    uint32_t page = 0;
    float q[64], k[2][64], v[2][32], out[32];
    size_t scratch_bytes = (size_t)nb_attention_scratch(&c, 1, 1, 32, 1) * sizeof(float);
    float *scratch = nb_alloc(scratch_bytes);
    memset(scratch, 0, scratch_bytes);
    for (uint32_t i = 0; i < 64; i++) {
        q[i] = 3 * sign;
        k[0][i] = 5;
        k[1][i] = 4.99f;
        v[0][i % 32] = 7;
        v[1][i % 32] = -7;
    }
    for (uint32_t j = 0; j < 2; j++) {
        nb_cache_store(&c, tile, j, k[j], v[j]);
        read_position(&c, tile, j, k[j], v[j]);
    }
    nb_attention a = {
        .q = q,
        .out = out,
        .cache = &c,
        .tiles = tile,
        .pages = 1,
        .runs = &(nb_run){0, 1, 1, &page},
        .n_runs = 1,
        .heads = 1,
        .kv_heads = 1,
        .context = 32,
        .scale = 0.37f,
        .scratch = scratch,
    };
    nb_attend(NULL, &a);
    double difference = 0, right;
    for (uint32_t i = 0; i < 64; i++)
        difference += (double)(0.37f * q[i]) * (double)(k[0][i] - k[1][i]);
    for (uint32_t i = 0; i < 32; i++) {
        right = (double)v[1][i] + (double)(v[0][i] - v[1][i]) / (1 + exp(-difference));
        CHECK(fabs((double)out[i] - right) <= 1e-3, "type %u: element %u is %g, not %g", type, i, (double)out[i],
              right);
    }
    nb_free(tile);
    nb_free(scratch);
}

typedef struct kinds {
    rows queries, keys, values;
} kinds;

/* Queries within 3, HUGE ones within 1e25. */
static void check_attention(const shape *s, uint32_t type, float cap, kinds of, nb_pool *pool, uint32_t *seed) {
    static float q[MAX_N * MAX_HEADS * MAX_SIZE], out[MAX_N * MAX_HEADS * MAX_SIZE], alone[MAX_HEADS * MAX_SIZE];
    uint32_t written = s->first + s->n;
    float *k = nb_alloc(s->kv_heads * CONTEXT * MAX_SIZE * sizeof *k);
    float *v = nb_alloc(s->kv_heads * CONTEXT * MAX_SIZE * sizeof *v);
    nb_cache cache = nb_cache_of(type, s->head_size, s->value_size);
    for (uint32_t i = 0; i < s->n * s->heads * s->head_size; i++)
        q[i] = (of.queries == HUGE ? 1e25f : 3) * element_of(of.queries, i / s->head_size, i % s->head_size, seed);
    uint8_t *tiles = filled_cache(&cache, s->kv_heads, written, of.keys, of.values, k, v, seed);
    /* Values are within 1 or 1024, scores within 3 * 64 * 0.37 = 71 of relative error 64 * 2^-24 each. Of huge
     * queries and keys only the largest scores count, and which of two that are nearly equal is larger may differ. */
    bool sharp = of.queries == HUGE || of.keys == HUGE;
    double within = (sharp ? 2 : 3e-4) * (of.values == HUGE ? 1024 : 1), largest = 1;
    bool fours = type_of_values(type) == NB_TYPE_Q4_0;
    /* Values of Q4_0 may be larger than what was stored. The 32 weights of a tile are integers that add up to 2^15, so
     * together they are up to 16 off, in one direction if all values are the same. */
    for (uint32_t i = 0; fours && i < s->kv_heads * written * s->value_size; i++)
        largest = NB_MAX(largest, fabs((double)v[i]));
    if (fours)
        within = NB_MAX(sharp ? 2 : 0, 0x1p-11) * largest;
    size_t floats =
        (size_t)nb_attention_scratch(&cache, s->heads, s->kv_heads, CONTEXT, (uint32_t)nb_pool_threads(pool));
    float *scratch = nb_alloc(floats * sizeof(float));
    memset(scratch, 0, floats * sizeof(float));
    uint32_t pages[nb_cache_tiles(CONTEXT)];
    for (uint32_t i = 0; i < nb_cache_tiles(CONTEXT); i++)
        pages[i] = i;
    nb_run run = {0, s->n, s->first, pages};
    nb_attention a = {
        .q = q,
        .out = out,
        .cache = &cache,
        .tiles = tiles,
        .pages = nb_cache_tiles(CONTEXT),
        .runs = &run,
        .n_runs = 1,
        .heads = s->heads,
        .kv_heads = s->kv_heads,
        .context = CONTEXT,
        .window = s->window,
        .scale = 0.37f,
        .cap = cap,
        .scratch = scratch,
    };
    nb_attend(pool, &a);
    for (uint32_t t = 0; t < s->n; t++) {
        a.q = q + t * s->heads * s->head_size;
        a.out = alone;
        run = (nb_run){0, 1, s->first + t, pages};
        nb_attend(pool, &a);
        uint32_t other = 0;
        /* not bit by bit: a sum of subnormal numbers may be +0 or -0 */
        for (uint32_t i = 0; i < s->heads * s->value_size; i++)
            other += alone[i] != out[t * s->heads * s->value_size + i];
        CHECK(other == 0, "kinds %u %u %u type %u, n %u, first %u: token %u alone differs from itself in a batch",
              (uint32_t)of.queries, (uint32_t)of.keys, (uint32_t)of.values, type, s->n, s->first, t);
        for (uint32_t h = 0; h < s->heads; h++) {
            uint32_t kv = h / (s->heads / s->kv_heads), end = s->first + t + 1;
            uint32_t begin = s->window && end > s->window ? end - s->window : 0;
            double p[CONTEXT], sum = 0, most = -1e300;
            for (uint32_t j = begin; j < end; j++) {
                double dot = 0;
                for (uint32_t i = 0; i < s->head_size; i++)
                    dot += (double)q[(t * s->heads + h) * s->head_size + i] *
                           (double)k[(kv * written + j) * s->head_size + i];
                dot *= (double)0.37f;
                p[j] = cap > 0 ? capped(dot, (double)cap) : dot;
                most = NB_MAX(most, p[j]);
            }
            for (uint32_t j = begin; j < end; j++)
                sum += p[j] = exp(p[j] - most);
            for (uint32_t i = 0; i < s->value_size; i++) {
                double right = 0;
                for (uint32_t j = begin; j < end; j++)
                    right += p[j] / sum * (double)v[(kv * written + j) * s->value_size + i];
                double got = (double)out[(t * s->heads + h) * s->value_size + i];
                if (!CHECK(fabs(got - right) <= within,
                           "kinds %u %u %u type %u n %u first %u heads %u/%u window %u: token %u head %u element %u is "
                           "%g, not %g",
                           (uint32_t)of.queries, (uint32_t)of.keys, (uint32_t)of.values, type, s->n, s->first, s->heads,
                           s->kv_heads, s->window, t, h, i, got, right))
                    goto done;
            }
        }
    }
done:
    nb_free(k);
    nb_free(v);
    nb_free(tiles);
    nb_free(scratch);
}

static bool s_is_small(const shape *s) {
    return (s->first + s->n) * s->n * s->heads * s->head_size < 100000;
}

void test_attention(void) {
    check_halves();
    static const shape shapes[] = {
        {1, 0, 1, 1, 4, 4, 0},        {1, 31, 3, 1, 64, 64, 0},  {1, 32, 6, 2, 64, 64, 0},
        {1, 99, 6, 3, 16, 20, 0},     {9, 0, 4, 4, 8, 8, 0},     {8, 24, 4, 2, 64, 64, 0},
        {20, 80, 6, 2, 36, 12, 0},    {17, 3, 6, 6, 12, 64, 5},  {20, 70, 4, 1, 16, 16, 33},
        {1, 90, 2, 1, 8, 8, 32},      {5, 95, 2, 1, 8, 8, 1},    {3, 64, 2, 2, 64, 32, 64},
        {9, 250, 6, 2, 64, 32, 0},    {4, 255, 5, 1, 32, 64, 0}, {20, 560, 2, 1, 32, 32, 0},
        {12, 511, 6, 1, 32, 32, 260}, {1, 599, 6, 6, 64, 64, 0}, {20, 505, 4, 4, 32, 32, 7},
    };
    static const uint32_t types[] = {NB_TYPE_F32,  NB_TYPE_F16,  NB_TYPE_I16,
                                     NB_TYPE_Q8_0, NB_TYPE_Q4_0, NB_CACHE_Q8_0_Q4_0};
    uint32_t seed = 4711;
    check_hadamard(&seed);
    check_bytes(&seed);
    for (size_t type = 0; type < sizeof types / sizeof *types; type++) {
        check_apart(types[type]);
        check_extremes(types[type], 1);
        check_extremes(types[type], -1);
    }
    for (int32_t threads = 1; threads <= 3; threads += 2) {
        nb_pool *pool = test_pool_new(threads);
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            for (size_t type = 0; type < sizeof types / sizeof *types; type++) {
                check_attention(&shapes[i], types[type], 0, (kinds){0}, pool, &seed);
                if (i % 3 == 0)
                    check_attention(&shapes[i], types[type], 2.5f, (kinds){0}, pool, &seed);
                if (threads == 1 && s_is_small(&shapes[i]))
                    for (rows kind = ZERO; kind < ROW_KINDS; kind++) {
                        float cap = i % 3 == 0 && kind != HUGE ? 2.5f : 0;
                        check_attention(&shapes[i], types[type], cap, (kinds){.queries = kind}, pool, &seed);
                        check_attention(&shapes[i], types[type], cap, (kinds){.keys = kind}, pool, &seed);
                        check_attention(&shapes[i], types[type], cap, (kinds){.values = kind}, pool, &seed);
                        check_attention(&shapes[i], types[type], cap, (kinds){kind, kind, kind}, pool, &seed);
                    }
            }
        test_pool_free(pool);
    }
}
