/* Whether this JavaScript engine computes relaxed instructions correctly. Some engines got the relaxed dot product
 * wrong in only one of their compiler tiers, so the probe runs kernels that inference uses: after enough calls they are
 * compiled by the same tier. All numbers are integers that floats hold exactly, so the result is exact with either
 * rounding that relaxed_madd allows. */
#include "../nibble.h"
#include "matmul.h"
#include "../base/simd.h"

#if defined(__wasm__) && defined(NB_RELAXED)

enum { ROWS = NB_GROUP, COLUMNS = 32 };

/* The activations of one token, x[i] = times * small[i], and the products of the rows, w = code + row, with it. */
static void fill(const nb_block_q4_1 *rows, int32_t times, uint8_t *block, float *expected) {
    float scale_and_sums[4] = {1};
    memset(expected, 0, ROWS * sizeof *expected);
    for (uint32_t i = 0; i < COLUMNS; i++) {
        int32_t small = i % 3 ? -127 : (int32_t)(i * 29 % 255) - 127, x = times * small;
        block[16 + i] = (uint8_t)small;           /* Q8; or the high half: times is 257 then, and */
        block[16 + COLUMNS + i] = (uint8_t)small; /* 257 small = 256 small + small */
        scale_and_sums[1] += (float)x;
        scale_and_sums[2 + i / 16] += (float)x;
        for (uint32_t r = 0; r < ROWS; r++)
            expected[r] += (float)(x * ((i < 16 ? rows[r].q[i] : rows[r].q[i - 16] >> 4) & 15) + x * (int32_t)r);
    }
    memcpy(block, scale_and_sums, sizeof scale_and_sums);
}

static bool is_right(const nb_block_q4_1 *rows, uint32_t precision) {
    _Alignas(16) uint8_t group[ROWS * sizeof *rows], block[16 + 2 * COLUMNS];
    float out[ROWS], expected[ROWS];
    nb_matrix w = {.type = NB_TYPE_Q4_1, .rows = ROWS, .columns = COLUMNS, .group_bytes = sizeof group, .data = group};
    nb_matrix_pack(&w, 0, (const uint8_t *)rows);
    const nb_matmul_kernel *kernel = nb_matmul_kernel_of(NB_TYPE_Q4_1, precision);
    fill(rows, kernel->form == NB_FORM_HALVES ? 257 : 1, block, expected);
    nb_activations x = {.n = 1, .columns = COLUMNS};
    x.forms[kernel->form] = block;
    nb_matmul_task task = {.w = &w, .groups = 1, .x = &x, .out = out};
    kernel->run(&task);
    for (uint32_t r = 0; r < ROWS; r++)
        if (out[r] != expected[r])
            return false;
    return true;
}

int32_t nb_probe_relaxed(void) {
    nb_block_q4_1 rows[ROWS];
    for (uint32_t r = 0; r < ROWS; r++) {
        rows[r].d = nb_f32_to_f16(1);
        rows[r].m = nb_f32_to_f16((float)r);
        for (uint32_t i = 0; i < 16; i++)
            rows[r].q[i] = r == 0 ? 0xff : (uint8_t)(37 * i + 11 * r); /* the first row: the largest sums */
    }
    return is_right(rows, NB_PRECISION_FAST) && (!NB_HAS_HALVES || is_right(rows, NB_PRECISION_EXACT));
}

#else

int32_t nb_probe_relaxed(void) {
    return 0;
}

#endif
