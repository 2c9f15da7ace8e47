/* How weights lie in memory once loaded. Types without a kernel of their own keep the file's rows. The others
 * interleave groups of four rows, so that a vector holds the same columns of four rows, and its lanes add up to four
 * outputs without horizontal sums. A group is read strictly in order. It has one tile for each 32 columns, and types
 * with a scale for several tiles have a head before these. As an example, 256 columns of Q4_K, rows a, b, c, d:
 *
 *     byte 0           8           16                  88                        520
 *          +-----------+-----------+-------------------+-------------------+-----+-------------------+
 *          | d: a b c d| m: a b c d| tile 0            | tile 1            | ... | tile 7            |
 *          +-----------+-----------+-------------------+-------------------+-----+-------------------+
 *            head: binary16          columns 0 ... 31    columns 32 ... 63         columns 224 ... 255
 *
 *     tile 0           4           8         24        40        56        72
 *          +-----------+-----------+---------+---------+---------+---------+
 *          | s: a b c d| z: a b c d| half[0] | half[1] | half[2] | half[3] |
 *          +-----------+-----------+---------+---------+---------+---------+
 *
 *     half[j]           0         1         2         3         4               15
 *          +-----------+---------+---------+---------+---------+---------+-----+---------+
 *          | low bits  | a 4j    | a 4j+1  | a 4j+2  | a 4j+3  | b 4j    | ... | d 4j+3  |   row, column of the tile
 *          | high bits | a 4j+16 | a 4j+17 | a 4j+18 | a 4j+19 | b 4j+16 | ... | d 4j+19 |
 *          +-----------+---------+---------+---------+---------+---------+-----+---------+
 *
 * The parts of a tile, in this order:
 *
 *     half d[4]; half m[4] (with a minimum)       types with one tile a block: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, IQ4_NL
 *     float d[4]                                  MXFP4
 *     uint8_t s[2][4]                             NVFP4: E4M3 without sign, as in the file, of each 16 columns
 *     uint8_t s[4], z[4]                          Q4_K, Q5_K: scale and minimum
 *     int8_t s[2][4]                              Q3_K, Q6_K, IQ1, IQ2, IQ3: of columns 0 ... 15 and 16 ... 31
 *     uint8_t sz[2][4]                            Q2_K: scales in the low four bits, minima in the high ones
 *     int8_t s[4]                                 IQ4_XS
 *     uint8_t bit[16]                             codes of 1, 3 and 5 bits
 *     uint8_t pair[2][16]                         codes of 2, 3 and 6 bits
 *     uint8_t half[4][4 rows][4]                  codes of 4, 5 and 6 bits
 *     uint8_t whole[8][4 rows][4]                 codes of 8 bits
 *
 * Types without scales (Q1_0, Q2_0, TQ1_0, TQ2_0, NF4, FP4) have only codes in a tile. The heads:
 *
 *     half d[4], m[4]                             for each 256 columns of Q2_K, Q4_K, Q5_K
 *     half d[4]                                   256 of Q3_K, Q6_K, IQ4_XS, TQ1_0 and TQ2_0; 128 of Q1_0; 64 of Q2_0
 *     float d[4]                                  256 of IQ1, IQ2 and IQ3; 64 of NF4 and FP4
 *     none                                        types with one tile a block, and NVFP4
 *
 * Several weights of IQ1, IQ2, IQ3 and TQ1_0 share a code in the file. Here each weight has a code of its own, as a
 * kernel that takes shared codes apart would be many times slower. The six numbers of IQ1 and IQ2 get codes of 3 bits,
 * and the sixteen of IQ3 codes of 4 bits. With their scales, IQ1 and IQ2 take 3.6 bits a weight, and IQ3 takes 4.6.
 * TQ1_0 is packed as TQ2_0, with 2.1 bits a weight.
 *
 * A code is an unsigned number (of Q8_0 the file's number plus 128, with a codebook an index). v[2j] are the 16 codes
 * [4 rows][4] of columns 4j ... 4j+3 of a tile, and v[2j+1] those of 16 columns further. From the lowest bit on: if
 * there is half[], it has four bits of the codes, as drawn; if there is pair[], bits 2 (i % 4) and up of pair[i / 4]
 * have the next two bits of v[i]; if there is bit[], its bit i has the next bit of v[i]. v[i] of 8 bits is whole[i].
 *
 * Masking the 16-bit lanes of v with 0x00ff and 0xff00, or those of half with 0x000f and so on, gives columns 4j and
 * 4j+2, and 4j+1 and 4j+3: so all types use the same 16-bit activations (activations.h: Q16).
 *
 * The other types keep their size, except that scales of 6 bits grow to 8 (Q4_K by 2.8 %, Q5_K by 2.3 %, Q3_K by 3.6 %,
 * IQ4_XS by 1.5 %), and those of MXFP4 to floats (by 17.6 %). */
#ifndef NB_PACKING_H
#define NB_PACKING_H

#include "../types/types.h"

#include <stdbool.h>

enum { NB_GROUP = 4 }; /* rows of a group */

typedef struct nb_layout {
    uint32_t bits;          /* of a code; 0: the type keeps the file's rows */
    uint32_t columns;       /* that one scale serves: 16 or 32; of NF4 and FP4: 16, as one sum can hold no more */
    uint32_t tiles;         /* of a block, which one d serves if there is any: 1, 2, 4 or 8 */
    uint32_t scales;        /* bytes of a tile's scales; 0: it has none, and d is the scale */
    bool minimum;           /* w = d s code + m z, m negative in the K types; else w = d s (code - zero) */
    int32_t zero;           /* the code that means 0; with a codebook, what makes its numbers unsigned */
    bool float_d;           /* d is a float, not binary16 */
    bool headless;          /* there is no d: scales are floating-point numbers by themselves */
    bool by_value;          /* packing computes the codes from the weights */
    uint32_t shift;         /* with by_value: magnitudes of the codebook >> shift differ, and are below 16 */
    const int8_t *codebook; /* 16 numbers: w = d s codebook[code]; kernels multiply with codebook + zero */
    /* 16 numbers within -1 ... 1: w = d float_codebook[code]; kernels round them to multiples of 1 / NB_NUMBER_UNITS */
    const float *float_codebook;
} nb_layout;

/* The codebooks of IQ1, IQ2 and IQ3: the magnitudes of a grid, then the same with a minus sign. Of three magnitudes the
 * last one stands there twice, to fill four places. IQ1's numbers are 8 (q + 1/8) and 8 (q - 1/8), q = -1, 0, 1. */
static const int8_t nb_iq1_codebook[16] = {1, 7, 9, 9, -1, -7, -9, -9};
static const int8_t nb_iq2_codebook[16] = {8, 25, 43, 43, -8, -25, -43, -43};
static const int8_t nb_iq3_xxs_codebook[16] = {4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62};
static const int8_t nb_iq3_s_codebook[16] = {1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15};
static const int8_t nb_q1_0_codebook[16] = {-1, 1};

/* As many that 16 products with 16-bit activations fit 32 bits: 4095 * 32767 * 16 < 2^31. */
enum { NB_NUMBER_UNITS = 4095 };

/* The types whose codes are packed as they are in the file. */
// clang-format off: it would break each name into a line
#define NB_PACKED_TYPES(X) \
    X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_NL) X(IQ4_XS) X(NF4) X(FP4) \
    X(Q1_0) X(Q2_0) X(TQ2_0) X(MXFP4) X(NVFP4)
// clang-format on

/* The layout of IQ1, IQ2 and IQ3. */
static inline __attribute__((always_inline)) nb_layout nb_grid_layout(uint32_t bits, uint32_t shift,
                                                                      const int8_t *codebook) {
    return (nb_layout){
        .bits = bits,
        .columns = 16,
        .tiles = 8,
        .scales = 8,
        .zero = 64,
        .float_d = true,
        .by_value = true,
        .shift = shift,
        .codebook = codebook,
    };
}

/* A function, not a table: kernels are compiled for one type each, and everything here folds into constants. */
static inline __attribute__((always_inline)) nb_layout nb_layout_of(uint32_t type) {
    switch (type) {
    case NB_TYPE_Q4_0: return (nb_layout){.bits = 4, .columns = 32, .tiles = 1, .scales = 8, .zero = 8};
    case NB_TYPE_Q4_1: return (nb_layout){.bits = 4, .columns = 32, .tiles = 1, .scales = 16, .minimum = true};
    case NB_TYPE_Q5_0: return (nb_layout){.bits = 5, .columns = 32, .tiles = 1, .scales = 8, .zero = 16};
    case NB_TYPE_Q5_1: return (nb_layout){.bits = 5, .columns = 32, .tiles = 1, .scales = 16, .minimum = true};
    case NB_TYPE_Q8_0: return (nb_layout){.bits = 8, .columns = 32, .tiles = 1, .scales = 8, .zero = 128};
    case NB_TYPE_Q2_K: return (nb_layout){.bits = 2, .columns = 16, .tiles = 8, .scales = 8, .minimum = true};
    case NB_TYPE_Q3_K: return (nb_layout){.bits = 3, .columns = 16, .tiles = 8, .scales = 8, .zero = 4};
    case NB_TYPE_Q4_K: return (nb_layout){.bits = 4, .columns = 32, .tiles = 8, .scales = 8, .minimum = true};
    case NB_TYPE_Q5_K: return (nb_layout){.bits = 5, .columns = 32, .tiles = 8, .scales = 8, .minimum = true};
    case NB_TYPE_Q6_K: return (nb_layout){.bits = 6, .columns = 16, .tiles = 8, .scales = 8, .zero = 32};
    case NB_TYPE_IQ4_NL:
        return (nb_layout){.bits = 4, .columns = 32, .tiles = 1, .scales = 8, .zero = 127, .codebook = nb_iq4_codebook};
    case NB_TYPE_IQ4_XS:
        return (nb_layout){.bits = 4, .columns = 32, .tiles = 8, .scales = 4, .zero = 127, .codebook = nb_iq4_codebook};
    case NB_TYPE_MXFP4:
        return (nb_layout){.bits = 4,
                           .columns = 32,
                           .tiles = 1,
                           .scales = 16,
                           .zero = 12,
                           .float_d = true,
                           .codebook = nb_mxfp4_codebook};
    case NB_TYPE_NVFP4:
        return (nb_layout){.bits = 4,
                           .columns = 16,
                           .tiles = 2,
                           .scales = 8,
                           .zero = 12,
                           .headless = true,
                           .codebook = nb_mxfp4_codebook};
    case NB_TYPE_Q1_0:
        return (nb_layout){.bits = 1, .columns = 32, .tiles = 4, .zero = 1, .codebook = nb_q1_0_codebook};
    case NB_TYPE_Q2_0: return (nb_layout){.bits = 2, .columns = 32, .tiles = 2, .zero = 1};
    case NB_TYPE_TQ1_0: return (nb_layout){.bits = 2, .columns = 32, .tiles = 8, .zero = 1, .by_value = true};
    case NB_TYPE_TQ2_0: return (nb_layout){.bits = 2, .columns = 32, .tiles = 8, .zero = 1};
    case NB_TYPE_NF4:
        return (nb_layout){.bits = 4, .columns = 16, .tiles = 2, .float_d = true, .float_codebook = nb_nf4_codebook};
    case NB_TYPE_FP4:
        return (nb_layout){.bits = 4, .columns = 16, .tiles = 2, .float_d = true, .float_codebook = nb_fp4_codebook};
    case NB_TYPE_IQ1_S:
    case NB_TYPE_IQ1_M: return nb_grid_layout(3, 0, nb_iq1_codebook);
    case NB_TYPE_IQ2_XXS:
    case NB_TYPE_IQ2_XS:
    case NB_TYPE_IQ2_S: return nb_grid_layout(3, 2, nb_iq2_codebook);
    case NB_TYPE_IQ3_XXS: return nb_grid_layout(4, 2, nb_iq3_xxs_codebook);
    case NB_TYPE_IQ3_S: return nb_grid_layout(4, 0, nb_iq3_s_codebook);
    default: return (nb_layout){0};
    }
}

/* Bytes of a head, and of a tile. */
static inline uint32_t nb_layout_head(nb_layout l) {
    return l.tiles == 1 || l.headless ? 0 : l.minimum || l.float_d ? 16 : 8;
}

static inline uint32_t nb_layout_tile(nb_layout l) {
    return l.scales + NB_GROUP * 32 * l.bits / 8;
}

/* A matrix of weights, [rows, columns], packed. */
typedef struct nb_matrix {
    uint32_t type;
    uint32_t rows, columns;
    size_t group_bytes; /* nb_group_bytes(type, columns) */
    uint8_t *data;
    const int32_t *order; /* [columns]: column i is multiplied with number order[i] of a vector; NULL: with number i */
    /* [n_scales]: products are multiplied by them, each for an equal part of the rows; NULL: by none */
    float *scales;
    uint32_t n_scales;
    const struct nb_matrix *outliers; /* weights that replace those of some columns (models/outliers.h), or NULL */
    /* the tensor of the file that it came from (the first, if there are several), and its first row in that */
    uint32_t tensor, first;
} nb_matrix;

/* The type whose kernels multiply matrices of this type: itself, or one whose layout differs in the codebook only. */
uint32_t nb_kernel_type(uint32_t type);
const int8_t *nb_codebook_of(uint32_t type); /* of its layout */

uint32_t nb_group_rows(uint32_t type);                    /* NB_GROUP, or 1: as in the file */
uint64_t nb_group_bytes(uint32_t type, uint64_t columns); /* the caller checked the shape */
uint64_t nb_matrix_bytes(uint32_t type, uint64_t rows, uint64_t columns);

/* Packs rows of the file into the group that begins with row `first`: as many rows as a group has, or as the matrix has
 * left. rows may lie at any address. */
void nb_matrix_pack(nb_matrix *m, uint32_t first, const uint8_t *rows);

/* Rows [first, first + rows) as a matrix that shares the data. first is a multiple of nb_group_rows. */
nb_matrix nb_matrix_view(const nb_matrix *m, uint32_t first, uint32_t rows);

/* One row -> F32[columns], bit for bit what the type's dequantizer (traits.h) makes of the file's row. */
void nb_matrix_row(const nb_matrix *m, uint32_t row, float *out);

#endif
