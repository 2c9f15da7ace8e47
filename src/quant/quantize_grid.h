/* Types with vector codebooks: IQ1, IQ2, IQ3. Eight weights (IQ3: four) are a point, whose coordinates are codes of
 * their magnitudes. The codebook, or grid, has only some of all points as entries. Any other point is encoded as one of
 * the entries near to it, its neighbours, which are listed once before rows are quantized (nb_neighbours,
 * quantize.h). */
#ifndef NB_QUANTIZE_GRID_H
#define NB_QUANTIZE_GRID_H

#include "quantize.h"
#include "quantize_search.h"

enum { NB_GRID_WIDTH = 8, NB_GRID_NUMBERS = 8 }; /* at most: coordinates of a point, values of one */

struct nb_neighbours {
    int entries, width, magnitudes;
    const uint16_t *grid;  /* [entries], as in nb_iq_grid */
    const int32_t *points; /* [magnitudes^width]: the point's entry; if it has none, -1 - the index of its list */
    const uint16_t *lists; /* of each list the length, then entries: by ascending distance, of equal ones in order */
};

/* Coordinate i of an entry. */
static inline uint32_t nb_grid_number(const nb_neighbours *nb, uint32_t entry, int i) {
    return nb->magnitudes == 3 ? nb->grid[entry] >> 2 * i & 3 : nb->grid[entry] >> 3 * i & 7;
}

/* The entry for a point: its own if the grid has it (*is_entry), else the neighbour with the least cost. cost[i][k] is
 * the cost of value k for coordinate i. `fill` is only called when the costs are needed. */
typedef void nb_fill_costs(const void *context, int first, float cost[NB_GRID_WIDTH][NB_GRID_NUMBERS]);
uint32_t nb_grid_entry(const nb_neighbours *nb, const uint8_t *point, bool *is_entry, nb_fill_costs *fill,
                       const void *context, int first);

/* The search of IQ2 and IQ3. Magnitudes of weights are scale (2 code + 1), and signs are stored apart. */
typedef struct nb_grid_search {
    int group;  /* weights that share a scale */
    int tries;  /* scales to try on each side of the first one, which makes the largest weight the largest code */
    float step; /* between them, in magnitudes */
    float almost_zero;       /* if all weights of a group are smaller, they become zeros */
    float spread;            /* of nb_weigh, in mean squares of the superblock */
    float floor;             /* without importance errors are weighted with x^2 plus so many mean squares */
    float correction;        /* factor of the superblock's scale after the search */
    bool is_even;            /* eight weights have an even number of minus signs, and the eighth sign is not stored */
    bool starts_from_fit;    /* the first scale is one that fits the group, not one from its largest weight */
    bool looks_again;        /* all points are looked up again under the scale found, not only those off the grid */
    bool needs_importance;   /* llama.cpp does not encode without it; here all columns are then equally important */
    const float *magnitudes; /* of codes: |weight| / (the superblock's scale times the group's odd number) */
} nb_grid_search;

/* A superblock as its types store it, before packing. */
typedef struct nb_grid_block {
    uint16_t entries[64];
    uint8_t signs[32];  /* a bit for each weight, 1 for minus */
    uint8_t scales[16]; /* codes of 4 bits */
    uint16_t d;
} nb_grid_block;

/* Packs the signs of 32 weights, four times seven, as every eighth is not stored, and above them the code of the
 * scale. */
static inline uint32_t nb_signs_and_scale(const nb_grid_block *block, int group) {
    uint32_t packed = (uint32_t)block->scales[group] << 28;
    for (int k = 0; k < 4; k++)
        packed |= (block->signs[4 * group + k] & 127u) << 7 * k;
    return packed;
}

/* Packs the first 2 n scales, two in a byte. */
static inline void nb_pack_scales(const nb_grid_block *block, int n, uint8_t *out) {
    for (int i = 0; i < n; i++)
        out[i] = (uint8_t)(block->scales[2 * i] | block->scales[2 * i + 1] << 4);
}

void nb_search_grid(const nb_grid_search *s, const nb_encoding *how, size_t at, const float *x, nb_grid_block *out);

/* Improves two encodings of the same weights by a wider search for a smaller sum of importance times squared errors.
 * *block becomes the better one. at: index of x[0] in the row. */
void nb_improve_grid(const nb_grid_search *s, const nb_encoding *how, size_t at, const float *x, nb_grid_block *block,
                     nb_grid_block *other);

extern const float nb_iq2_magnitudes[3], nb_iq3_xxs_magnitudes[8], nb_iq3_s_magnitudes[8];

#endif
