/* How weights lie in memory once loaded. Types without a kernel of their own keep the file's rows. The others are
 * interleaved by groups of four rows, so that a vector register holds the same columns of four rows and its lanes
 * sum up to four outputs without ever being added across. A group is read strictly in order; for each 32 columns it
 * has a tile:
 *
 *     half d[4]; half m[4] (with a minimum)                       plain types: what scales the tile
 *     uint8_t s[4], z[4] | int8_t s[2][4] | uint8_t sz[2][4]      K types: Q4_K, Q5_K | Q3_K, Q6_K | Q2_K
 *     int8_t s[4]                                                 IQ4_XS, which counts as a K type
 *     nothing                                                     NF4 and FP4
 *     uint8_t bit[16]                                             3 and 5 bits
 *     uint8_t pair[2][16]                                         2, 3 and 6 bits
 *     uint8_t half[4][4 rows][4]                                  4, 5 and 6 bits
 *     uint8_t whole[8][4 rows][4]                                 8 bits
 *
 * and the K types begin each 256 columns with half d[4], half m[4] (with a minimum) of the four rows, NF4 and FP4
 * each 64 with float d[4]. s and z are the scale and the minimum of 32 columns, or of 16; those of fewer bits are
 * taken out of the file's packing.
 *
 * A weight's code is an unsigned number of `bits` bits (of Q8_0 the file's number plus 128). Let v[2j] be the 16
 * codes [4 rows][4] of columns 4j ... 4j+3 of a tile, and v[2j+1] those of 16 columns further. The low four bits of
 * v[2j] are the low halves of half[j], those of v[2j+1] the high ones. Above them (or, in types of less than four
 * bits, from bit 0 on) two bits of v[i] are bits 2 (i % 4) and up of pair[i / 4], and above these one bit is bit i
 * of bit[]. v[i] of 8 bits is whole[i]. With a codebook, the code is the place of a number in that.
 *
 * Masking the 16-bit lanes of v with 0x00ff and 0xff00, or of half with 0x000f and so on, yields columns 4j and
 * 4j+2, and 4j+1 and 4j+3; so all types take the same 16-bit activations (activations.h: Q16).
 *
 * Only the 6-bit scales grow, by two bits each: Q4_K by 2.8 %, Q5_K by 2.3 %, Q3_K by 3.6 %, IQ4_XS by 1.5 %. */
#ifndef NB_PACKING_H
#define NB_PACKING_H

#include "../types/types.h"

#include <stdbool.h>

enum { NB_GROUP = 4 }; /* rows of a group */

typedef struct nb_layout {
    uint32_t bits;    /* of a code; 0: the type keeps the file's rows */
    uint32_t columns; /* that one scale serves: 16 or 32 */
    uint32_t tiles;   /* that one d serves: 1, or 8 of a K type, or 2 of NF4 and FP4 */
    uint32_t scales;  /* bytes of a tile's scales */
    bool minimum;     /* w = d s code + m z, m negative in the K types; else w = d s (code - zero) */
    int32_t zero;
    const int8_t *codebook; /* 16 numbers: w = d s codebook[code]; kernels multiply them plus zero, unsigned */
    const float *numbers;   /* 16 of them, -1 ... 1: w = d numbers[code]; kernels round them to 1 / NB_NUMBER_UNITS */
} nb_layout;

/* So that 16 products with 16-bit activations fit 32 bits: 4095 * 32767 * 16 < 2^31. */
enum { NB_NUMBER_UNITS = 4095 };

/* The types that are packed. */
#define NB_PACKED_TYPES(X) \
    X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q8_0) X(Q2_K) X(Q3_K) X(Q4_K) X(Q5_K) X(Q6_K) X(IQ4_NL) X(IQ4_XS) X(NF4) X(FP4)

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
    case NB_TYPE_NF4: return (nb_layout){.bits = 4, .columns = 16, .tiles = 2, .scales = 0, .numbers = nb_nf4_codebook};
    case NB_TYPE_FP4: return (nb_layout){.bits = 4, .columns = 16, .tiles = 2, .scales = 0, .numbers = nb_fp4_codebook};
    default: return (nb_layout){0};
    }
}

/* Bytes: of what precedes the first of `tiles` tiles, of a tile. */
static inline uint32_t nb_layout_head(nb_layout l) {
    return l.tiles == 1 ? 0 : l.minimum || l.numbers ? 16 : 8;
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
    const int32_t *order; /* [columns]: which number of a vector meets column i; NULL: the i-th */
    /* [n_scales]: products are multiplied by them, each for an equal part of the rows; NULL: by none */
    float *scales;
    uint32_t n_scales;
    const struct nb_matrix
        *outliers; /* weights in the place of its own, of some columns (models/outliers.h); or NULL */
    /* which tensor of the file it came from (of several: the first), and its first row in that */
    uint32_t tensor, first;
} nb_matrix;

uint32_t nb_group_rows(uint32_t type);                    /* NB_GROUP, or 1: as in the file */
uint64_t nb_group_bytes(uint32_t type, uint64_t columns); /* the caller checked the shape */
uint64_t nb_matrix_bytes(uint32_t type, uint64_t rows, uint64_t columns);

/* Rows of the file -> the group that begins with row first; as many rows as a group has, or as the matrix has left.
 * rows may lie at any address. */
void nb_matrix_pack(nb_matrix *m, uint32_t first, const uint8_t *rows);

/* Rows [first, first + rows) as a matrix of their own: of the same bytes. Both are whole groups. */
nb_matrix nb_matrix_part(const nb_matrix *m, uint32_t first, uint32_t rows);

/* One row -> F32[columns], bit for bit what the type's dequantizer (traits.h) makes of the file's row. */
void nb_matrix_row(const nb_matrix *m, uint32_t row, float *out);

#endif
