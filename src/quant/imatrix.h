/* Reads the file of an importance matrix, which says how much each column of a weight matrix matters: the mean of the
 * squares of the inputs that the column was multiplied with, over a calibration text. Both formats of llama.cpp
 * (tools/imatrix) are read, little-endian:
 *
 *   legacy .dat   i32 entries; for each: i32 length, name, i32 calls, i32 n, f32 [n], which are calls times the mean;
 *                 then, in newer files: i32 chunks, i32 length, the data set's name.
 *   GGUF          general.type = "imatrix"; for each tensor NAME.in_sum2 [columns, matrices], the sums of squares, and
 *                 NAME.counts [1, matrices], the number of vectors in each sum. Experts have a matrix each, other
 *                 tensors one.
 *
 * calibrate/collector.c writes them. */
#ifndef NB_IMATRIX_H
#define NB_IMATRIX_H

#include "../base/error.h"
#include "../base/text.h"

typedef struct nb_imatrix_entry {
    nb_text name;      /* of the tensor, such as "blk.0.attn_q.weight" */
    uint64_t n;        /* columns times matrices */
    float *importance; /* [matrices, columns], each >= 0 and finite; all 1 for an expert that got no token */
} nb_imatrix_entry;

typedef struct nb_imatrix {
    nb_imatrix_entry *entries; /* in the order of their names */
    uint32_t n_entries;
    uint32_t chunks;  /* windows of text that it was collected over; 0: the file does not say */
    nb_text data_set; /* the name of the text, as the file gives it; may be empty */
    uint8_t *memory;  /* owned: numbers from its start on, names at its end */
} nb_imatrix;

/* bytes[size]: the whole file, which is not needed afterwards. An error, with *out NULL: it is not an importance
 * matrix, or a size, a count or a number in it is wrong. */
int32_t nb_imatrix_read(const uint8_t *bytes, size_t size, nb_imatrix **out, nb_error *err);
void nb_imatrix_free(nb_imatrix *m); /* NULL is fine */

/* Finds a tensor of the model. 1: *importance is [matrices, columns], whose row i is for matrix i
 * (nb_encoding.importance). 0: the file lacks the tensor. NB_ERR_ARGUMENT: the tensor has another size there, so the
 * file is of another model. */
int32_t nb_imatrix_find(const nb_imatrix *m, nb_text tensor, uint64_t columns, uint64_t matrices,
                        const float **importance, nb_error *err);

#endif
