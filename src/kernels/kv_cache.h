/* The cache of keys and values (KV cache) of one layer: how its numbers lie in memory.
 *
 * Each KV head has tiles of 32 positions, one behind the other, and a tile has its keys and its values side by side,
 * so that attention reads one stream. Elements are floats, F16 or F32, or integers, each times a scale of its own
 * block of 32:
 *
 *             I16                                  Q8_0
 *     key     integers within 16383, scale in F32  within 127, scale rounded to F16: the numbers of a block of Q8_0
 *     value   within 32767, one scale for all      as keys
 *
 * Integers, because one instruction multiplies eight of them and adds pairs, where floats take four that have to be
 * widened from halves first. They are not less exact: an integer errs by 2^-15 of the largest element of its block,
 * a half by 2^-12 of itself, and what a dot product errs by is mostly its large elements' doing. */
#ifndef NB_KV_CACHE_H
#define NB_KV_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { NB_CACHE_TILE = 32, NB_SCALED = 32, NB_COLUMNS = 8 };

/* The layout of a tile. Of floats:   keys [32, head_size], values [32, value_size].
 * Of integers:  scales of keys [k_scales, 32], of values [v_scales, 32], as floats;
 *               keys    [32 / 8, head_size / 2, 8, 2]:  eight positions' next two elements, side by side
 *               values  [value_columns / 8, 32 / 2, 8, 2]:  eight elements of two positions, side by side */
typedef struct nb_cache {
    uint32_t type;
    uint32_t head_size, value_size; /* filled up to multiples of 4 */
    uint32_t value_columns;         /* value_size, filled up to 8 */
    uint32_t item;                  /* bytes of an element */
    uint32_t k_scales, v_scales;    /* of a position; 0 of floats */
    uint32_t v_scaled;              /* elements of a value with one scale */
    int32_t k_most, v_most;         /* the largest integers */
    size_t v_scales_at, k_at, v_at; /* in a tile; keys' scales come first */
    size_t tile_bytes;              /* a multiple of 32 */
} nb_cache;

bool nb_cache_takes(uint32_t type);

/* type: one that it takes. Heads of other sizes than multiples of 4 end in zeros, which the caller writes: queries,
 * too. */
nb_cache nb_cache_of(uint32_t type, uint32_t head_size, uint32_t value_size);

/* Of one layer: all of a session's positions, or at least as many. */
static inline uint32_t nb_cache_tiles(uint32_t positions) {
    return (positions + NB_CACHE_TILE - 1) / NB_CACHE_TILE;
}

/* Where the tile of a head's position begins among [kv_heads, nb_cache_tiles(positions)], in bytes. */
static inline size_t nb_cache_tile_at(const nb_cache *c, uint32_t positions, uint32_t head, uint32_t position) {
    return ((size_t)head * nb_cache_tiles(positions) + position / NB_CACHE_TILE) * c->tile_bytes;
}

static inline bool nb_cache_of_integers(const nb_cache *c) {
    return c->k_scales != 0;
}

/* k[head_size], v[value_size] -> place `at` of a tile. Halves below 2^-14 become zero, and beyond 65504 stay there. */
void nb_cache_store(const nb_cache *c, uint8_t *tile, uint32_t at, const float *k, const float *v);

/* The first n positions of a tile of halves -> a tile of floats. */
void nb_cache_widen(const nb_cache *c, float *out, const uint8_t *tile, uint32_t n);

/* x[n] / scale, rounded to integers within `most`; n: a multiple of 4; scale 0: zeros. */
void nb_round_to(int16_t *out, const float *x, uint32_t n, float scale, int32_t most);

/* max |x[i]|, and the sum of all |x[i]|. */
float nb_largest(const float *x, uint32_t n, float *sum);

#endif
