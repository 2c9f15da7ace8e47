#include "output_error.h"

#include "quantize_lanes.h"

#include <string.h>

#pragma STDC FP_CONTRACT OFF

static lanes load(const float *p) {
    lanes x;
    memcpy(&x, p, sizeof x);
    return x;
}

/* Inlined, so that for a constant number of rows the loops over rows are unrolled, and the totals stay in registers. As
 * H is symmetric: sum over i of e_i (h_ii e_i + 2 sum over j < i of h_ij e_j). */
static inline __attribute__((always_inline)) double batch_error(const float *errors, uint32_t rows,
                                                                const float *hessian, uint32_t columns) {
    double sums[NB_ERROR_ROWS] = {0}, sum = 0;
    for (uint32_t i = 0; i < columns; i++) {
        const float *h = hessian + (size_t)i * columns;
        lanes totals[NB_ERROR_ROWS] = {0};
        for (uint32_t j = 0; j < i / 4 * 4; j += 4) {
            lanes of_h = load(h + j);
            for (uint32_t r = 0; r < rows; r++)
                totals[r] += of_h * load(errors + (size_t)r * columns + j);
        }
        for (uint32_t r = 0; r < rows; r++) {
            const float *e = errors + (size_t)r * columns;
            float rest = sum_of(totals[r]);
            for (uint32_t j = i / 4 * 4; j < i; j++)
                rest += h[j] * e[j];
            sums[r] += (double)e[i] * ((double)h[i] * (double)e[i] + 2 * (double)rest);
        }
    }
    for (uint32_t r = 0; r < rows; r++)
        sum += sums[r];
    return sum;
}

double nb_output_error(const float *errors, uint32_t rows, const float *hessian, uint32_t columns) {
    double sum = 0;
    uint32_t row = 0;
    for (; rows - row >= NB_ERROR_ROWS; row += NB_ERROR_ROWS)
        sum += batch_error(errors + (size_t)row * columns, NB_ERROR_ROWS, hessian, columns);
    for (; row < rows; row++)
        sum += batch_error(errors + (size_t)row * columns, 1, hessian, columns);
    return sum;
}
