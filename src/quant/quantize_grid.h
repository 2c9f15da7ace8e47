/* Types whose weights are points of a grid: IQ1, IQ2, IQ3. A point is eight weights (IQ3: four), each a number of its
 * magnitude; a grid holds only some of the points, and a point that it lacks becomes one of the entries near to it.
 * Which these are is found once for a grid, before any row is quantized (nb_neighbours, quantize.h). */
#ifndef NB_QUANTIZE_GRID_H
#define NB_QUANTIZE_GRID_H

#include "quantize.h"
#include "quantize_search.h"

enum { NB_GRID_WIDTH = 8, NB_GRID_NUMBERS = 8 }; /* at most: weights in a point, magnitudes */

struct nb_neighbours {
    int entries, width, magnitudes;
    const uint16_t *grid;  /* [entries], as nb_iq_grid has them */
    const int32_t *points; /* [magnitudes^width]: its entry; below 0: -1 minus where in `lists` its neighbours are */
    const uint16_t *lists; /* how many, then their entries: the nearest first, of those as near the lower entry first */
};

/* Number i of an entry. */
static inline uint32_t nb_grid_number(const nb_neighbours *nb, uint32_t entry, int i) {
    return nb->magnitudes == 3 ? nb->grid[entry] >> 2 * i & 3 : nb->grid[entry] >> 3 * i & 7;
}

/* The entry for a point: itself if the grid has it, else the neighbour that costs least. *is_entry: which. cost[i][k]
 * is what the number k of weight i costs; it is filled only where it is needed. */
typedef void nb_fill_costs(const void *context, int first, float cost[NB_GRID_WIDTH][NB_GRID_NUMBERS]);
uint32_t nb_grid_entry(const nb_neighbours *nb, const uint8_t *point, bool *is_entry, nb_fill_costs *fill,
                       const void *context, int first);

/* How IQ2 and IQ3 are searched. Weights are scale (2 number + 1), with signs apart. */
typedef struct nb_grid_search {
    int group;             /* weights that share a scale */
    int tries;             /* scales that are tried: so many on either side of the one under which the largest fits */
    float step;            /* between them, in magnitudes */
    float nothing;         /* a group whose weights are all nearer to zero becomes zeros */
    float spread;          /* of the importance's weighting, in mean squares of the superblock */
    float floor;           /* without importance errors are weighted with x^2 plus so many mean squares */
    float stretch;         /* the superblock's scale is made so much larger */
    bool is_even;          /* minuses of eight weights are even in number: their eighth sign is not stored */
    bool starts_from_fit;  /* the scales tried are about one that fits the group, not about its largest weight */
    bool looks_again;      /* under the scale found all of the group is looked up anew, not just points off the grid */
    bool needs_importance; /* the reference does not encode without it; here all columns count alike then */
    const float *magnitudes; /* what numbers stand for: weights over the superblock's scale and the group's odd one */
} nb_grid_search;

/* A superblock as its types store it, before packing. */
typedef struct nb_grid_block {
    uint16_t entries[64];
    uint8_t signs[32];  /* a bit a weight, 1 for minus */
    uint8_t scales[16]; /* codes of 4 bits */
    uint16_t d;
} nb_grid_block;

/* 32 weights whose every eighth sign is not stored: four times seven signs, and above them the scale's code. */
static inline uint32_t nb_signs_and_scale(const nb_grid_block *block, int group) {
    uint32_t packed = (uint32_t)block->scales[group] << 28;
    for (int k = 0; k < 4; k++)
        packed |= (block->signs[4 * group + k] & 127u) << 7 * k;
    return packed;
}

/* The first 2 n scales, two a byte. */
static inline void nb_pack_scales(const nb_grid_block *block, int n, uint8_t *out) {
    for (int i = 0; i < n; i++)
        out[i] = (uint8_t)(block->scales[2 * i] | block->scales[2 * i + 1] << 4);
}

void nb_search_grid(const nb_grid_search *s, const nb_encoding *how, size_t at, const float *x, nb_grid_block *out);

/* Makes the error of two encodings smaller: the sum of importance times squares. block becomes the better one. */
void nb_improve_grid(const nb_grid_search *s, const nb_encoding *how, size_t at, const float *x, nb_grid_block *block,
                     nb_grid_block *other);

extern const float nb_iq2_magnitudes[3], nb_iq3_xxs_magnitudes[8], nb_iq3_s_magnitudes[8];

#endif
