/* Which entries of a grid are near each point. */
#include "quantize_neighbours.h"

#include "../base/memory.h"
#include "../types/dequantize.h"
#include "../types/traits.h"
#include "quantize_grid.h"

enum { ENTRY_LIMIT = 2048, DISTANCE_LIMIT = 256 };

/* distances: of the different distances between a point and the entries, this many are taken, the smallest first. The
 * point's list has all entries at these distances, as in ggml-org/ggml, src/ggml-quants.c. listed: the resulting length
 * of all lists together. */
typedef struct grid_facts {
    uint32_t type;
    int distances, listed;
} grid_facts;

static const grid_facts *facts_of(uint32_t type) {
    static const grid_facts facts[] = {
        {NB_TYPE_IQ1_S, 3, 332234},  {NB_TYPE_IQ1_M, 3, 332234}, {NB_TYPE_IQ2_XXS, 2, 119462},
        {NB_TYPE_IQ2_XS, 2, 187770}, {NB_TYPE_IQ2_S, 1, 50253},  {NB_TYPE_IQ3_XXS, 2, 22825},
        {NB_TYPE_IQ3_S, 3, 28317},
    };
    for (size_t i = 0; i < sizeof facts / sizeof *facts; i++)
        if (facts[i].type == type)
            return &facts[i];
    return NULL;
}

static size_t points_of(const nb_neighbours *nb) {
    return nb->width == 8 ? 6561 : 4096; /* 3^8, 8^4 */
}

static nb_neighbours grid_of(uint32_t type) {
    nb_neighbours nb = {.width = 8, .magnitudes = 3};
    if (type == NB_TYPE_IQ3_XXS || type == NB_TYPE_IQ3_S)
        nb.width = 4, nb.magnitudes = 8;
    nb.grid = nb_iq_grid(type, &nb.entries);
    return nb;
}

size_t nb_neighbours_bytes(uint32_t type) {
    const grid_facts *facts = facts_of(type);
    if (!facts)
        return 0;
    nb_neighbours nb = grid_of(type);
    return sizeof nb + points_of(&nb) * sizeof *nb.points + (size_t)facts->listed * sizeof *nb.lists;
}

/* Writes the squared distance of each entry from a point. Returns the `wanted`th smallest of the different ones. */
static int measure(const nb_neighbours *nb, const uint8_t *point, int wanted, uint8_t *distances) {
    bool seen[DISTANCE_LIMIT] = {false};
    for (int entry = 0; entry < nb->entries; entry++) {
        int sum = 0;
        for (int i = 0; i < nb->width; i++) {
            int off = (int)nb_grid_number(nb, (uint32_t)entry, i) - point[i];
            sum += off * off;
        }
        distances[entry] = (uint8_t)sum;
        seen[sum] = true;
    }
    int distance = 0;
    for (; distance < DISTANCE_LIMIT - 1; distance++)
        if (seen[distance] && --wanted == 0)
            break;
    return distance;
}

/* Writes a point's list: how many entries it has, then the entries. Returns how many numbers that are. */
static int list_neighbours(const nb_neighbours *nb, const uint8_t *point, int wanted, uint16_t *list) {
    uint8_t distances[ENTRY_LIMIT];
    int farthest = measure(nb, point, wanted, distances), n = 0;
    for (int distance = 0; distance <= farthest; distance++)
        for (int entry = 0; entry < nb->entries; entry++)
            if (distances[entry] == distance)
                list[++n] = (uint16_t)entry;
    list[0] = (uint16_t)n;
    return n + 1;
}

static size_t index_of(const nb_neighbours *nb, const uint8_t *point) {
    size_t index = 0;
    for (int i = nb->width - 1; i >= 0; i--)
        index = index * (size_t)nb->magnitudes + point[i];
    return index;
}

const nb_neighbours *nb_neighbours_fill(void *memory, uint32_t type) {
    nb_neighbours *nb = memory;
    *nb = grid_of(type);
    int32_t *points = (int32_t *)(nb + 1), listed = 0;
    uint16_t *lists = (uint16_t *)(points + points_of(nb));
    for (size_t index = 0; index < points_of(nb); index++)
        points[index] = -1;
    for (int entry = 0; entry < nb->entries; entry++) {
        uint8_t point[NB_GRID_WIDTH];
        for (int i = 0; i < nb->width; i++)
            point[i] = (uint8_t)nb_grid_number(nb, (uint32_t)entry, i);
        points[index_of(nb, point)] = entry;
    }
    for (size_t index = 0; index < points_of(nb); index++) {
        uint8_t point[NB_GRID_WIDTH];
        size_t rest = index;
        for (int i = 0; i < nb->width; i++, rest /= (size_t)nb->magnitudes)
            point[i] = (uint8_t)(rest % (size_t)nb->magnitudes);
        if (points[index] >= 0)
            continue;
        points[index] = -1 - listed;
        listed += list_neighbours(nb, point, facts_of(type)->distances, lists + listed);
    }
    nb->points = points;
    nb->lists = lists;
    return nb;
}

/* The entry of a list with the least cost. The caller passes constants for width and bits, so that the compiler can
 * unroll the inner loop. */
static inline __attribute__((always_inline)) uint32_t cheapest(const uint16_t *grid, const uint16_t *list,
                                                               const float cost[NB_GRID_WIDTH][NB_GRID_NUMBERS],
                                                               int width, int bits) {
    uint32_t best = list[1]; /* if no cost is finite */
    float least = 0x1.fffffep127f;
    for (int k = 1; k <= list[0]; k++) {
        uint32_t numbers = grid[list[k]];
        float sum = 0;
        for (int i = 0; i < width; i++, numbers >>= bits)
            sum += cost[i][numbers & ((1u << bits) - 1)];
        if (sum < least) {
            least = sum;
            best = list[k];
        }
    }
    return best;
}

uint32_t nb_grid_entry(const nb_neighbours *nb, const uint8_t *point, bool *is_entry, nb_fill_costs *fill,
                       const void *context, int first) {
    int32_t at = nb->points[index_of(nb, point)];
    *is_entry = at >= 0;
    if (at >= 0)
        return (uint32_t)at;
    float cost[NB_GRID_WIDTH][NB_GRID_NUMBERS];
    fill(context, first, cost);
    const uint16_t *list = nb->lists + (-1 - at);
    return nb->width == 8 ? cheapest(nb->grid, list, cost, 8, 2) : cheapest(nb->grid, list, cost, 4, 3);
}

void nb_grids_free(nb_grids *grids) {
    for (uint32_t type = 0; type < NB_TYPE_LIMIT; type++)
        nb_free(grids->neighbours[type]);
}

int32_t nb_grids_find(nb_grids *grids, uint32_t type, const nb_neighbours **found, nb_error *err) {
    size_t bytes = nb_neighbours_bytes(type);
    *found = NULL;
    if (!bytes)
        return NB_OK;
    if (!grids->neighbours[type]) {
        void *memory = nb_alloc(bytes);
        if (!memory)
            return NB_FAIL(err, NB_ERR_MEMORY, "no memory for the grid of type %s (%z bytes)", nb_traits_of(type)->name,
                           bytes);
        nb_neighbours_fill(memory, type);
        grids->neighbours[type] = memory;
    }
    *found = grids->neighbours[type];
    return NB_OK;
}

nb_quantize *nb_grid_quantizer_of(uint32_t type) {
    switch (type) {
    case NB_TYPE_IQ3_S: return nb_quantize_iq3_s;
    case NB_TYPE_IQ3_XXS: return nb_quantize_iq3_xxs;
    case NB_TYPE_IQ2_S: return nb_quantize_iq2_s;
    case NB_TYPE_IQ2_XS: return nb_quantize_iq2_xs;
    case NB_TYPE_IQ2_XXS: return nb_quantize_iq2_xxs;
    case NB_TYPE_IQ1_S: return nb_quantize_iq1_s;
    case NB_TYPE_IQ1_M: return nb_quantize_iq1_m;
    default: return NULL;
    }
}
