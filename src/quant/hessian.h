/* What was observed of a matrix's inputs (nibble_quantize.h), and its factorization for GPTQ. */
#ifndef NB_HESSIAN_H
#define NB_HESSIAN_H

#include "../base/threads.h"
#include "../nibble_quantize.h"
#include "quantize_neighbours.h"
#include "tiles.h"
#include "weight_rows.h"

/* GPTQ quantizes column by column. With U upper triangular and H^-1 = U^T U, the columns j > i become w_j - e U_ij,
 * e = (w_i - q_i) / U_ii, which is the best that they can do about the error of column i (Frantar et al. 2023, section
 * 3). The sum of all e^2 is the output error.
 *
 * Instead of inverting H and factoring the inverse, H itself is factored from its last column to its first: H = R R^T
 * with R upper triangular gives U = R^-1. That is half the work, and it never has H^-1, whose numbers are the largest
 * where H is nearly singular.
 *
 * Everything but the tiles of 32 x 32 on the diagonal is F32. Those are summed, factored and inverted in F64: where
 * columns are correlated, their pivots are small differences of large sums, and an error there has all other columns
 * scaled wrongly. It costs n / 32 of the work.
 *
 * R and then U lie in the tiles above the diagonal of the Hessian's own memory, in the order of the columns. So H must
 * be read at and below the diagonal (nb_hessian_at). */
struct nb_quantizer {
    nb_pool *pool;
    uint32_t columns, tiles; /* tiles of 32 columns */
    float *square;           /* [columns, columns] H; above the diagonal tiles R, then U. NULL: nobody gave one */
    float *mean, *largest;   /* [columns] */

    nb_gptq_settings settings;
    float *importance; /* [columns] diagonal of H with damping */
    uint32_t *order;   /* [columns] order[i]: the column that is quantized as number i */
    float *diagonal;   /* [tiles, 32, 32] of U, zeros below the diagonal */
    float *panel;      /* [32, columns] rows of R while they become rows of U */
    float *scratch;    /* [threads, columns, 32] */
    float mean_square; /* of the diagonal; 1 if all of it is 0. 0: not prepared */
    uint32_t steps;    /* of nb_quantizer_factor that are done */
    uint32_t is_ready; /* all steps are done */

    void *memory; /* holds all of the above but H */

    nb_grids grids;
};

/* H at these columns. */
static inline float nb_hessian_at(const nb_quantizer *q, uint32_t i, uint32_t j) {
    return i > j ? q->square[(size_t)i * q->columns + j] : q->square[(size_t)j * q->columns + i];
}

/* Tile column `tile` of U, from tile row `from` to before `to` (which may include the one on the diagonal) -> out [32
 * (to - from)][32]. */
void nb_hessian_panel(const nb_quantizer *q, uint32_t from, uint32_t to, uint32_t tile, float *out);

/* An error if no Hessian was given. */
int32_t nb_hessian_check_there(const nb_quantizer *q, nb_error *err);

/* An error unless all is ready for rows with these flags: NB_ROWS_NEAREST needs no factor. */
int32_t nb_hessian_check_ready(const nb_quantizer *q, uint32_t flags, nb_error *err);

#endif
