/* Norms and biases that absorb scales of columns, in the types in which a folder stores them. */
#include "../base/numbers.h"
#include "../nibble_quantize.h"
#include "../types/finite.h"
#include "../types/traits.h"
#include "quantize.h"

#pragma STDC FP_CONTRACT OFF

static bool is_float(uint32_t type) {
    return type == NB_TYPE_F32 || type == NB_TYPE_F16 || type == NB_TYPE_BF16;
}

/* x as the file would store it. */
static float rounded(uint32_t type, float x) {
    uint32_t number;
    float back;
    nb_quantizer_of(type)(&(nb_encoding){0}, &x, &number, 1);
    nb_traits_of(type)->dequantize(&number, &back, 1);
    return back;
}

int32_t nb_quantizer_fit_scales(uint32_t type, float less, const float *vector, uint32_t n, float *scales,
                                nb_error *err) {
    if (!is_float(type))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "a norm is F32, F16 or BF16, not of type %u", type);
    for (uint32_t i = 0; i < n; i++) {
        float held = rounded(type, vector[i] / scales[i] - less) + less, fitted = vector[i] / held;
        if (fitted > scales[i] / 2 && fitted < scales[i] * 2) /* false if it is 0, infinite or NaN, too */
            scales[i] = fitted;
    }
    return NB_OK;
}

int32_t nb_quantizer_narrow(uint32_t type, float less, const float *values, uint32_t n, void *out, nb_error *err) {
    if (!is_float(type))
        return NB_FAIL(err, NB_ERR_ARGUMENT, "values become F32, F16 or BF16, not type %u", type);
    size_t size = nb_traits_of(type)->block_bytes;
    for (uint32_t i = 0; i < n; i++) {
        float x = values[i] - less, held = rounded(type, x);
        if (!nb_are_finite(&held, 1))
            return NB_FAIL(err, NB_ERR_UNSUPPORTED,
                           "value %u is %g, which the file's type (%s) does not hold; quantize the model in BF16 or "
                           "F32",
                           i, (double)x, nb_traits_of(type)->name);
        nb_quantizer_of(type)(&(nb_encoding){0}, &x, (uint8_t *)out + i * size, 1);
    }
    return NB_OK;
}
