#include "weight_rows.h"

#include "../types/finite.h"
#include "../types/traits.h"

int32_t nb_weights_check(uint32_t columns, uint32_t type, nb_error *err) {
    const nb_traits *traits = nb_traits_of(type);
    if (!traits || !traits->dequantize)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "tensor type %u is not known", type);
    if (columns % traits->block_weights)
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "rows of %u weights are no whole blocks of %s, which have %u; take a type with blocks of 32",
                       columns, traits->name, traits->block_weights);
    return NB_OK;
}

size_t nb_weights_row_bytes(uint32_t columns, uint32_t type) {
    const nb_traits *traits = nb_traits_of(type);
    return (size_t)(columns / traits->block_weights) * traits->block_bytes;
}

bool nb_weights_row(uint32_t columns, uint32_t type, const void *weights, uint32_t row, float *out) {
    const uint8_t *blocks = weights;
    nb_traits_of(type)->dequantize(blocks + row * nb_weights_row_bytes(columns, type), out, columns);
    return nb_are_finite(out, columns);
}

int32_t nb_weights_refuse(uint32_t columns, uint32_t type, const void *weights, uint32_t row, uint32_t first_row,
                          float *scratch, nb_error *err) {
    uint32_t column = 0;
    nb_weights_row(columns, type, weights, row, scratch);
    while (column + 1 < columns && nb_are_finite(scratch + column, 1))
        column++;
    return NB_FAIL(err, NB_ERR_FORMAT,
                   "the weights are not finite: row %u, column %u is %s; the file is damaged, or the model was saved "
                   "that way",
                   first_row + row, column,
                   scratch[column] != scratch[column] ? "NaN"
                   : scratch[column] > 0              ? "infinity"
                                                      : "-infinity");
}

// NOLINTNEXTLINE(readability-non-const-parameter): clang-tidy does not see that an atomic exchange writes to it
void nb_mark_row(uint32_t *bad_row, uint32_t row) {
    uint32_t seen = __atomic_load_n(bad_row, __ATOMIC_SEQ_CST);
    while (row < seen && !__atomic_compare_exchange_n(bad_row, &seen, row, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        ;
}
