#include "traits.h"

#include "dequantize.h"

#ifdef NB_NO_FLOATS
#define ROW(ID, id, weights, block) [NB_TYPE_##ID] = {#ID, weights, sizeof(block), NULL}
#else
#define ROW(ID, id, weights, block) [NB_TYPE_##ID] = {#ID, weights, sizeof(block), nb_dequantize_##id}
#endif

static const nb_traits table[NB_TYPE_LIMIT] = {
    ROW(F32, f32, 1, float),
    ROW(F16, f16, 1, uint16_t),
    ROW(BF16, bf16, 1, uint16_t),
    ROW(F8_E4M3, f8_e4m3, 1, uint8_t),
    ROW(F8_E5M2, f8_e5m2, 1, uint8_t),
    ROW(F64, f64, 1, double),
    ROW(I8, i8, 1, int8_t),
    ROW(I16, i16, 1, int16_t),
    ROW(I32, i32, 1, int32_t),
    ROW(I64, i64, 1, int64_t),
    ROW(Q4_0, q4_0, NB_BLOCK, nb_block_q4_0),
    ROW(Q4_1, q4_1, NB_BLOCK, nb_block_q4_1),
    ROW(Q5_0, q5_0, NB_BLOCK, nb_block_q5_0),
    ROW(Q5_1, q5_1, NB_BLOCK, nb_block_q5_1),
    ROW(Q8_0, q8_0, NB_BLOCK, nb_block_q8_0),
    ROW(Q8_1, q8_1, NB_BLOCK, nb_block_q8_1),
    ROW(Q2_K, q2_k, NB_SUPERBLOCK, nb_block_q2_k),
    ROW(Q3_K, q3_k, NB_SUPERBLOCK, nb_block_q3_k),
    ROW(Q4_K, q4_k, NB_SUPERBLOCK, nb_block_q4_k),
    ROW(Q5_K, q5_k, NB_SUPERBLOCK, nb_block_q5_k),
    ROW(Q6_K, q6_k, NB_SUPERBLOCK, nb_block_q6_k),
    ROW(Q8_K, q8_k, NB_SUPERBLOCK, nb_block_q8_k),
    ROW(IQ4_NL, iq4_nl, NB_BLOCK, nb_block_iq4_nl),
    ROW(IQ4_XS, iq4_xs, NB_SUPERBLOCK, nb_block_iq4_xs),
    ROW(MXFP4, mxfp4, NB_BLOCK, nb_block_mxfp4),
    ROW(NVFP4, nvfp4, NB_BLOCK_NVFP4, nb_block_nvfp4),
    ROW(NF4, nf4, NB_BLOCK_NF4, nb_block_nf4),
    ROW(FP4, fp4, NB_BLOCK_NF4, nb_block_fp4),
    ROW(Q1_0, q1_0, NB_BLOCK_Q1_0, nb_block_q1_0),
    ROW(Q2_0, q2_0, NB_BLOCK_Q2_0, nb_block_q2_0),
    ROW(IQ2_XXS, iq2_xxs, NB_SUPERBLOCK, nb_block_iq2_xxs),
    ROW(IQ2_XS, iq2_xs, NB_SUPERBLOCK, nb_block_iq2_xs),
    ROW(IQ2_S, iq2_s, NB_SUPERBLOCK, nb_block_iq2_s),
    ROW(IQ3_XXS, iq3_xxs, NB_SUPERBLOCK, nb_block_iq3_xxs),
    ROW(IQ3_S, iq3_s, NB_SUPERBLOCK, nb_block_iq3_s),
    ROW(IQ1_S, iq1_s, NB_SUPERBLOCK, nb_block_iq1_s),
    ROW(IQ1_M, iq1_m, NB_SUPERBLOCK, nb_block_iq1_m),
    ROW(TQ1_0, tq1_0, NB_SUPERBLOCK, nb_block_tq1_0),
    ROW(TQ2_0, tq2_0, NB_SUPERBLOCK, nb_block_tq2_0),
};

const nb_traits *nb_traits_of(uint32_t type) {
    return type < NB_TYPE_LIMIT && table[type].name ? &table[type] : NULL;
}
