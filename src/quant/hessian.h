/* The quantizer's object (nibble_quantize.h): what was observed of a matrix's inputs, and the Hessian's
 * factorization. */
#ifndef NB_HESSIAN_H
#define NB_HESSIAN_H

#include "../base/threads.h"
#include "../nibble_quantize.h"
#include "quantize_neighbours.h"
#include "tiles.h"
#include "weight_rows.h"

/* GPTQ quantizes column by column. With H^-1 = U^T U, U upper triangular, the columns j > i become w_j - e U_ij,
 * e = (w_i - q_i) / U_ii, which compensates best for the error of column i (Frantar et al. 2023, section 3). The sum of
 * all e^2 is the output error.
 *
 * Instead of inverting H and factoring the inverse, H itself is factored from its last column to its first: H = R R^T
 * with R upper triangular gives U = R^-1. That is half the work, and H^-1, whose numbers are huge when H is nearly
 * singular, is never computed.
 *
 * Everything is F32 except the tiles of 32 x 32 on the diagonal. Those are summed, factored and inverted in F64: the
 * pivots of correlated columns are small differences of large sums, and an error in a pivot scales all other columns
 * wrongly. They are about 32 / n of the work.
 *
 * R, and then U, overwrite the tiles above the diagonal of H, in the order of quantization. So H itself can only be
 * read on and below the diagonal (nb_hessian_at). */
struct nb_quantizer {
    nb_pool *pool;
    uint32_t columns, tiles; /* tiles of 32 columns */
    float *hessian;          /* [columns, columns] H; above the diagonal tiles R, then U. NULL: none was given */
    float *mean, *largest;   /* [columns] */

    nb_gptq_settings settings;
    float *importance;   /* [columns] diagonal of H with damping */
    uint32_t *order;     /* [columns] order[i]: the column that is quantized at position i */
    float *diagonal;     /* [tiles, 32, 32] of U, zeros below the diagonal */
    float *panel;        /* [32, columns] rows of R while they become rows of U */
    float *scratch;      /* [threads, columns, 32] */
    float mean_diagonal; /* of the diagonal; 1 if all of it is 0. 0: not prepared */
    uint32_t steps;      /* calls of nb_quantizer_factor that are done */
    uint32_t is_ready;   /* all steps are done */

    void *memory; /* of the arrays above, without H */

    nb_grids grids;
};

/* H_ij. */
static inline float nb_hessian_at(const nb_quantizer *q, uint32_t i, uint32_t j) {
    return i > j ? q->hessian[(size_t)i * q->columns + j] : q->hessian[(size_t)j * q->columns + i];
}

/* Copies tile column `tile` of U, tile rows [from, to), which may include the tile on the diagonal -> out [32 (to -
 * from)] [32]. */
void nb_hessian_panel(const nb_quantizer *q, uint32_t from, uint32_t to, uint32_t tile, float *out);

/* An error if no Hessian was given. */
int32_t nb_hessian_check_given(const nb_quantizer *q, nb_error *err);

/* An error unless rows can be quantized with these flags. NB_ROWS_NEAREST needs no factorization. */
int32_t nb_hessian_check_ready(const nb_quantizer *q, uint32_t flags, nb_error *err);

#endif
