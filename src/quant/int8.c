#include "int8.h"

#include "../base/numbers.h"
#include "../types/types.h"
#include "bnb.h"

#pragma STDC FP_CONTRACT OFF

nb_uniform_step nb_int8_input(const nb_range *range, bool is_symmetric, uint32_t scale_type) {
    nb_uniform u = {.bits = 8, .is_symmetric = is_symmetric, .is_signed = true, .scale_type = scale_type};
    return nb_uniform_fit(&u, range->low, range->high);
}

int32_t nb_int8_outliers(const float *largest, uint32_t columns, float threshold, uint32_t *list, nb_error *err) {
    int32_t n = 0;
    if (!(threshold > 0))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "the threshold of outliers must be above 0, not %g", (double)threshold);
    NB_TRY(nb_magnitudes_check("the largest |x|", largest, columns, err));
    for (uint32_t i = 0; i < columns; i++)
        if (largest[i] >= threshold)
            list[n++] = i;
    return n;
}

int32_t nb_int8_split(const float *w, uint64_t first_row, uint64_t rows, uint32_t columns, const uint32_t *list,
                      uint32_t n, int8_t *codes, float *most, uint16_t *kept, nb_error *err) {
    for (uint32_t i = 0; i < n; i++)
        if (list[i] >= columns || (i && list[i] <= list[i - 1]))
            return NB_FAIL(err, NB_ERR_ARGUMENT, "outlier %u is column %u: they must ascend and be below %u", i,
                           list[i], columns);
    for (uint64_t row = 0; row < rows; row++)
        for (uint32_t i = 0; i < columns; i++)
            if (!(__builtin_fabsf(w[row * columns + i]) < 65520)) /* from here on binary16 rounds to infinity */
                return NB_FAIL(err, NB_ERR_FORMAT,
                               "the weight in row %l, column %u is %g, which is too large for binary16",
                               first_row + row, i, (double)w[row * columns + i]);
    for (uint64_t row = 0; row < rows; row++) {
        const float *from = w + row * columns;
        most[row] = nb_bnb_int8(from, columns, list, n, codes + row * columns);
        for (uint32_t i = 0; i < n; i++)
            kept[row * n + i] = nb_f32_to_f16(from[list[i]]);
    }
    return NB_OK;
}
