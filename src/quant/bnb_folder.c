/* The tensors that bitsandbytes' folders store for a matrix. */
#include "../base/memory.h"
#include "../base/numbers.h"
#include "../nibble_quantize.h"
#include "../types/finite.h"
#include "../types/traits.h"
#include "bnb.h"

/* The index of a weight, for messages. */
static uint64_t index_of(double first, uint64_t i) {
    return (first >= 0 && first <= 0x1p53 ? (uint64_t)first : 0) + i;
}

/* *out: n weights as floats, which the caller frees. first: the index of the first one, for messages. */
static int32_t floats_of(uint32_t source_type, const void *weights, double first, uint32_t n, float **out,
                         nb_error *err) {
    const nb_traits *traits = nb_traits_of(source_type);
    if (source_type != NB_TYPE_F32 && source_type != NB_TYPE_F16 && source_type != NB_TYPE_BF16)
        return NB_FAIL(err, NB_ERR_UNSUPPORTED, "weights of the type %s are quantized already; take F32, F16 or BF16",
                       traits ? traits->name : "?");
    float *x = nb_alloc_items(n, sizeof *x);
    if (!x)
        return NB_FAIL(err, NB_ERR_MEMORY, "no memory for %u weights", n);
    traits->dequantize(weights, x, n);
    for (uint32_t i = 0; i < n; i++)
        if (!nb_are_finite(x + i, 1)) {
            int32_t code = NB_FAIL(err, NB_ERR_FORMAT, "weight %l is %g: it must be finite; the file is damaged",
                                   index_of(first, i), (double)x[i]);
            nb_free(x);
            return code;
        }
    *out = x;
    return NB_OK;
}

int32_t nb_bnb_blocks(uint32_t type, uint32_t block, uint32_t source_type, const void *weights, double first,
                      uint32_t n, uint8_t *codes, float *absmax, nb_error *err) {
    if ((type != NB_TYPE_NF4 && type != NB_TYPE_FP4) || block < 32 || block > 4096 || (block & (block - 1)))
        return NB_FAIL(err, NB_ERR_ARGUMENT,
                       "bitsandbytes has NF4 and FP4, in blocks of 32, 64, 128 ... 4096 weights, not type %u in blocks "
                       "of %u",
                       type, block);
    float *x;
    NB_TRY(floats_of(source_type, weights, first, n, &x, err));
    nb_bnb_codes(type, x, n, block, codes, absmax);
    nb_free(x);
    return NB_OK;
}

int32_t nb_bnb_nested(const float *absmax, uint32_t n, uint8_t *codes, float *nested, float *offset, nb_error *err) {
    if (!n || !nb_are_finite(absmax, n))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%u scales cannot be quantized, or not all are finite", n);
    *offset = nb_bnb_scales(absmax, n, codes, nested);
    return NB_OK;
}

int32_t nb_bnb_map(uint32_t type, float *map, nb_error *err) {
    if (type == NB_TYPE_NF4 || type == NB_TYPE_FP4) {
        const float *codebook = type == NB_TYPE_NF4 ? nb_nf4_codebook : nb_fp4_codebook;
        for (int i = 0; i < 16; i++)
            map[i] = codebook[i] + 0.0f; /* -0 becomes 0, as in the library's map */
        return 16;
    }
    if (type != NB_TYPE_I8)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "bitsandbytes has no map of type %u", type);
    nb_bnb_dynamic_map(map);
    return 256;
}

int32_t nb_bnb_rows(uint32_t source_type, const void *weights, double first, uint32_t rows, uint32_t columns,
                    int8_t *codes, float *largest, nb_error *err) {
    uint64_t n = (uint64_t)rows * columns;
    if (n > INT32_MAX)
        return NB_FAIL(err, NB_ERR_ARGUMENT, "%l weights are too many at once", n);
    float *x;
    NB_TRY(floats_of(source_type, weights, first, (uint32_t)n, &x, err));
    int32_t code = NB_OK;
    for (uint32_t row = 0; row < rows && code == NB_OK; row++) {
        size_t at = (size_t)row * columns;
        largest[row] = nb_bnb_int8(x + at, columns, NULL, 0, codes + at);
        if (!nb_are_finite(largest + row, 1))
            code = NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "the row that begins at weight %l has a weight that is too large for binary16, which "
                           "LLM.int8() converts weights to",
                           index_of(first, at));
    }
    nb_free(x);
    return code;
}
