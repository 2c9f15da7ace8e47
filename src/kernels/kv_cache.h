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
 *     Q8_0/Q4_0: keys as in Q8_0, values as in Q4_0
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
 * softmax weights by the scales of values, and rounds the products relative to their sum. Keys cause nearly all of the
 * loss, as softmax takes exponents of their scores. So Q8_0/Q4_0 gives keys eight bits. */
#ifndef NB_KV_CACHE_H
#define NB_KV_CACHE_H

#include "../types/types.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The type of a cache is that of its keys, and in the next byte that of its values, if they have another. */
enum { NB_CACHE_Q8_0_Q4_0 = NB_TYPE_Q8_0 | NB_TYPE_Q4_0 << 8 };

/* Positions of a tile; elements with one scale; elements of a value that are stored together. */
enum { NB_CACHE_TILE = 32, NB_CACHE_BLOCK = 32, NB_COLUMNS = 8 };

/* How the keys, or the values, of a tile are stored. Of integers q an element is scale (q - (least + most) / 2). */
typedef struct nb_cache_part {
    uint32_t type, read_as;         /* as what it is stored, and as what attention reads it */
    uint32_t size, columns;         /* of a key or value: padded to a multiple of 4; values of integers: of 8 */
    uint32_t bits;                  /* of an element */
    uint32_t block, scales;         /* elements with one scale, and scales of a position; 0 of floats */
    uint32_t scale_bytes;           /* 4: F32; 2: F16 */
    int32_t least, most;            /* the integers */
    bool transformed;               /* by nb_hadamard */
    size_t scales_at, at, at_bytes; /* in a tile: scales, elements, and bytes of all elements */
} nb_cache_part;

/* The layout of a tile. Of floats:   keys [32, head_size], values [32, value_size].
 * Of integers:  scales of keys [scales, 32], of values [scales, 32], as floats;
 *               keys    [32 / 8, head_size / 2, 8, 2]:  eight positions' next two elements, side by side
 *               values  [columns / 8, 32 / 2, 8, 2]:  eight elements of two positions, side by side
 * Of Q4_0 the scales are F16. A byte has two elements of one position, the first in its low bits, as two threads may
 * store neighbouring positions at the same time:
 *               keys    [32 / 8, head_size / 4, 8, 2]:  elements i and i + 2 of each four
 *               values  [columns / 8, 32 / 2, 4, 2]:  elements i and i + 4 of each eight */
typedef struct nb_cache {
    uint32_t type;
    nb_cache_part keys, values;
    size_t tile_bytes; /* a multiple of 32 */
} nb_cache;

/* The name of a type that a cache can have; NULL: it cannot. */
const char *nb_cache_type_name(uint32_t type);

/* type: one that has a name. The caller pads heads of keys, values and queries with zeros to multiples of 4 elements. */
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
    return c->keys.scales != 0;
}

/* Stores k[head_size] and v[value_size] at position `at` of a tile. In F16, numbers below 2^-14 become zero, and those
 * beyond 65504 are clamped. What is stored transformed is transformed in place. */
void nb_cache_store(const nb_cache *c, uint8_t *tile, uint32_t at, float *k, float *v);

/* What nb_cache_store stored, as floats: k[head_size], v[value_size]. Storing them again changes nothing; if they are
 * transformed, hardly anything, as the transform rounds. */
void nb_cache_load(const nb_cache *c, const uint8_t *tile, uint32_t at, float *k, float *v);

/* The layout that attention reads: keys and values in tiles of the cache, where they stay as they are, or else in tiles
 * that nb_cache_widen makes, F32 of F16 and Q8_0 of Q4_0. */
nb_cache nb_cache_attended(const nb_cache *c);

/* What attention does not read as it is, of the first n positions of a tile of F16, or of a whole tile. */
void nb_cache_widen(const nb_cache *c, uint8_t *out, const uint8_t *tile, uint32_t n);

/* The normalized Walsh-Hadamard transform of x, in place: x_i = sum_j (-1)^popcount(i & j) x_j / sqrt(n). Each block of
 * n elements is transformed by itself; n is the largest power of two that divides the size. size: a multiple of 4. */
void nb_hadamard(float *x, uint32_t size);

/* x[n] / scale + (least + most) / 2, rounded to integers and clamped to least ... most; n: a multiple of 4; scale 0: as
 * if x were zeros. */
void nb_round_to(int16_t *out, const float *x, uint32_t n, float scale, int32_t least, int32_t most);

/* max |x[i]|, and the sum of all |x[i]|. */
float nb_largest(const float *x, uint32_t n, float *sum);

#endif
