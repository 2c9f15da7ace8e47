/* Whether this JavaScript engine computes relaxed instructions correctly. Some engines got the relaxed dot product
 * wrong in only one of their compiler tiers, so the probe runs a kernel that inference uses: after enough calls it is
 * compiled by the same tier. All numbers are small integers, so the result is exact with either rounding that
 * relaxed_madd allows. */
#include "../nibble.h"
#include "matmul.h"
#include "../base/simd.h"

#if defined(__wasm__) && defined(NB_RELAXED)

enum { ROWS = NB_GROUP, COLUMNS = 32 };

int32_t nb_probe_relaxed(void) {
    nb_block_q4_1 rows[ROWS];
    _Alignas(16) uint8_t group[sizeof rows], block[16 + COLUMNS];
    float out[ROWS], expected[ROWS] = {0}, scale_and_sums[4] = {1};
    for (uint32_t r = 0; r < ROWS; r++) {
        rows[r].d = nb_f32_to_f16(1);
        rows[r].m = nb_f32_to_f16((float)r);
        for (uint32_t i = 0; i < 16; i++)
            rows[r].q[i] = r == 0 ? 0xff : (uint8_t)(37 * i + 11 * r); /* the first row: the largest sums */
    }
    for (uint32_t i = 0; i < COLUMNS; i++) {
        int32_t x = i % 3 ? -127 : (int32_t)(i * 29 % 255) - 127;
        block[16 + i] = (uint8_t)x;
        scale_and_sums[1] += (float)x;
        scale_and_sums[2 + i / 16] += (float)x;
        for (uint32_t r = 0; r < ROWS; r++)
            expected[r] += (float)(x * ((i < 16 ? rows[r].q[i] : rows[r].q[i - 16] >> 4) & 15) + x * (int32_t)r);
    }
    memcpy(block, scale_and_sums, sizeof scale_and_sums);
    nb_matrix w = {.type = NB_TYPE_Q4_1, .rows = ROWS, .columns = COLUMNS, .group_bytes = sizeof group, .data = group};
    nb_matrix_pack(&w, 0, (const uint8_t *)rows);
    nb_activations x = {.n = 1, .columns = COLUMNS, .forms[NB_FORM_Q8] = block};
    nb_matmul_task task = {.w = &w, .groups = 1, .x = &x, .out = out};
    nb_matmul_kernel_of(NB_TYPE_Q4_1, NB_PRECISION_FAST)->run(&task);
    for (uint32_t r = 0; r < ROWS; r++)
        if (out[r] != expected[r])
            return 0;
    return 1;
}

#else

int32_t nb_probe_relaxed(void) {
    return 0;
}

#endif
