/* How weights lie in memory once loaded. Most types keep the file's rows. The 4-bit and 8-bit ones with blocks of 32
 * are interleaved, so that a vector register holds the same columns of four rows and its lanes sum up to four outputs
 * without ever being added across. For 32 columns of four rows there is a tile:
 *
 *     Q4_0, Q4_1   { half d[4]; half m[4] (Q4_1 only); uint8_t q[4][4 rows][4] }
 *                  the low halves of q[j][r] are columns 4j ... 4j+3 of row r, the high ones columns 16+4j ... 19+4j
 *     Q8_0         { half d[4]; int8_t q[8][2][4 rows][2] }
 *                  q[j][0][r] are columns 4j and 4j+2 of row r, q[j][1][r] columns 4j+1 and 4j+3
 *
 * A group is eight rows: for each 32 columns the tile of its first four rows, then that of the other four. So a product
 * with one vector, which takes eight rows at a time, reads memory strictly in order.
 * The Q8_0 order is the one in which masking a 4-bit vector's 16-bit lanes with 0x000f and 0x0f00 yields columns, so
 * both types take the same 16-bit activations (activations.h: Q16). Nothing grows: a group has the bytes of eight rows
 * in the file. The last group is filled up with zeros. */
#ifndef NB_PACKING_H
#define NB_PACKING_H

#include "types.h"

enum { NB_GROUP = 8, NB_TILE = 4 }; /* rows of a group, and of a tile in it */

typedef struct nb_packing {
    uint32_t rows; /* in a group: 1 (as in the file) or NB_GROUP */
    /* `rows` consecutive rows of a file -> one group */
    void (*pack)(const uint8_t *rows, uint8_t *group, size_t columns);
    /* row r of a group -> F32[columns] */
    void (*unpack)(const uint8_t *group, uint32_t r, float *out, size_t columns);
} nb_packing;

const nb_packing *nb_packing_of(uint32_t type); /* never NULL for a known type */

/* A matrix of weights, [rows, columns], packed. */
typedef struct nb_matrix {
    uint32_t type;
    uint32_t rows, columns;
    size_t group_bytes; /* of one group of nb_packing_of(type)->rows rows */
    uint8_t *data;
} nb_matrix;

uint64_t nb_matrix_bytes(uint32_t type, uint64_t rows, uint64_t columns); /* packed; the caller checked the shape */
void nb_matrix_row(const nb_matrix *m, uint32_t row, float *out);          /* one row -> F32[columns] */

#endif
