/* The cache of keys and values (KV cache) of one layer: how its numbers lie in memory.
 *
 * Each KV head has an array of tiles. A tile has the keys and values of 32 positions, so that attention reads memory in
 * order. Tile i of all heads and layers is page i. A sequence of tokens has a list of pages (models/pages.h), which
 * need not follow each other. Elements are F16, F32, or integers with a scale for each block of 32:
 *
 *             I16                                  Q8_0
 *     key     integers within 16383, scale in F32  within 127, scale rounded to F16, as in a block of Q8_0
 *     value   within 32767, one scale for all      the same
 *     Q4_0: the Hadamard transform of a key or value; element = scale (q + 1/2), q from -8 to 7, scale in F16
 *
 * Integers are faster: one instruction multiplies eight of them and adds pairs, while F16 must first be widened to
 * floats, of which a vector has four. I16 is as exact as F16: the error of an integer is at most 2^-15 of the largest
 * element of its block, that of an F16 2^-11 of the element itself. Large elements cause most of the error of a dot
 * product.
 *
 * Four bits are too few for keys as they are: a few elements are many times as large as the others, which then become
 * zeros. The Hadamard transform spreads each element over its head, so that all are of like size (QuaRot: Ashkboos et
 * al. 2024, section 4). It is orthogonal, so the scores of transformed queries and keys are the same, and it is its own
 * inverse, so attention transforms the weighted sum of values back. The numbers q + 1/2 use all 16 codes for both
 * signs. Their squared error is 13 % less than that of integers within 7 (keys of SmolLM2-135M, transformed). Q4_0's
 * own rounding, max / -8, has 21 % less, but its scales may be negative. Attention cannot use such: it multiplies
 * softmax weights by the scales of values, and rounds the products relative to their sum. */
#ifndef NB_KV_CACHE_H
#define NB_KV_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Positions of a tile; elements with one scale; elements of a value that are stored together. */
enum { NB_CACHE_TILE = 32, NB_CACHE_BLOCK = 32, NB_COLUMNS = 8 };

/* The largest q of Q4_0. */
enum { NB_CACHE_Q4_MAX = 7 };

/* The layout of a tile. Of floats:   keys [32, head_size], values [32, value_size].
 * Of integers:  scales of keys [k_scales, 32], of values [v_scales, 32], as floats;
 *               keys    [32 / 8, head_size / 2, 8, 2]:  eight positions' next two elements, side by side
 *               values  [value_columns / 8, 32 / 2, 8, 2]:  eight elements of two positions, side by side
 * Of Q4_0 the scales are F16. A byte has two elements of one position, the first in its low bits, as two threads may
 * store neighbouring positions at the same time:
 *               keys    [32 / 8, head_size / 4, 8, 2]:  elements i and i + 2 of each four
 *               values  [value_columns / 8, 32 / 2, 4, 2]:  elements i and i + 4 of each eight */
typedef struct nb_cache {
    uint32_t type;
    uint32_t head_size, value_size; /* padded to multiples of 4 */
    uint32_t value_columns;         /* value_size, padded to a multiple of 8 */
    uint32_t bits;                  /* of an element */
    uint32_t k_scales, v_scales;    /* of a position; 0 of floats */
    uint32_t v_block;               /* elements of a value with one scale */
    int32_t k_max, v_max;           /* the largest integers */
    size_t v_scales_at, k_at, v_at; /* in a tile; keys' scales come first */
    size_t tile_bytes;              /* a multiple of 32 */
} nb_cache;

bool nb_cache_supports(uint32_t type);

/* type: a supported one. The caller pads heads of keys, values and queries with zeros to multiples of 4 elements. */
nb_cache nb_cache_of(uint32_t type, uint32_t head_size, uint32_t value_size);

/* Tiles of one head that hold so many positions. */
static inline uint32_t nb_cache_tiles(uint32_t positions) {
    return (positions + NB_CACHE_TILE - 1) / NB_CACHE_TILE;
}

/* Where a head's tile of a page begins among [kv_heads, pages], in bytes. */
static inline size_t nb_cache_tile_at(const nb_cache *c, uint32_t pages, uint32_t head, uint32_t page) {
    return ((size_t)head * pages + page) * c->tile_bytes;
}

static inline bool nb_cache_of_integers(const nb_cache *c) {
    return c->k_scales != 0;
}

/* Stores k[head_size] and v[value_size] at position `at` of a tile. In F16, numbers below 2^-14 become zero, and those
 * beyond 65504 are clamped. For Q4_0, k and v are transformed in place. */
void nb_cache_store(const nb_cache *c, uint8_t *tile, uint32_t at, float *k, float *v);

/* What nb_cache_store stored, as floats: k[head_size], v[value_size]. Storing them again changes nothing; of Q4_0,
 * hardly anything, as the transform rounds. */
void nb_cache_load(const nb_cache *c, const uint8_t *tile, uint32_t at, float *k, float *v);

/* The layout of tiles as attention reads them: F32 for F16, Q8_0 for Q4_0, else the cache's own. */
nb_cache nb_cache_attended(const nb_cache *c);

/* The first n positions of a tile of F16, or a tile of Q4_0 -> a tile of nb_cache_attended. */
void nb_cache_widen(const nb_cache *c, uint8_t *out, const uint8_t *tile, uint32_t n);

/* The normalized Walsh-Hadamard transform of x, in place: x_i = sum_j (-1)^popcount(i & j) x_j / sqrt(n). Each block of
 * n elements is transformed by itself; n is the largest power of two that divides the size. size: a multiple of 4. */
void nb_hadamard(float *x, uint32_t size);

/* x[n] / scale, rounded to integers and clamped to -most ... most. If most is NB_CACHE_Q4_MAX: x[n] / scale - 1/2,
 * clamped to -8 ... 7. n: a multiple of 4. scale 0: zeros. */
void nb_round_to(int16_t *out, const float *x, uint32_t n, float scale, int32_t most);

/* max |x[i]|, and the sum of all |x[i]|. */
float nb_largest(const float *x, uint32_t n, float *sum);

#endif
