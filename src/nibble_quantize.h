/* nibble's quantizer: calibrated quantization of matrices. It is a WebAssembly module of its own (and one more with
 * threads), which is fetched only where a model is quantized with calibration. It knows no model and no file format:
 * it takes the weights of one matrix and what was observed of the matrix's inputs.
 *
 *   nb_quantizer  what was observed of the inputs x of a matrix, or of several that share them: the Hessian
 *                 H = sum x x^T over the calibration tokens, the means of |x| and the maxima of |x|. For a weight error
 *                 E = W - Q the squared error of the outputs over the calibration text is tr(E H E^T).
 *
 * The way of the data: the caller writes the observations to where nb_quantizer_hessian, _mean and _largest say.
 * nb_quantizer_prepare checks the Hessian and chooses the order of the columns, and nb_quantizer_factor, repeated until
 * it returns 0, factors it. Then nb_quantizer_rows makes GGUF blocks of rows of weights, or nb_quantizer_codes makes
 * codes and scales, which nb_quantizer_pack puts into the tensors of a format. Both take any number of rows at a time,
 * so that the caller can report progress and stop. One quantizer serves all matrices that share their inputs.
 *
 * For the same bytes the results are the same on every device and for every number of threads.
 *
 * The rules of nibble.h hold, and its errors; nb_alloc, nb_free and the pool's functions are there too. */
#ifndef NIBBLE_QUANTIZE_H
#define NIBBLE_QUANTIZE_H

#include "nibble.h"

#pragma GCC visibility push(default)

typedef struct nb_quantizer nb_quantizer;

/* columns: the length of the matrix's rows, a multiple of 32. pool: NULL is fine; else it must outlive the
 * quantizer. */
nb_quantizer *nb_quantizer_new(nb_pool *pool, uint32_t columns, nb_error *err);
void nb_quantizer_free(nb_quantizer *quantizer); /* NULL is fine */

/* Where the caller writes what was observed; zeros at first. The Hessian is symmetric; any factor may be in it, as in
 * means. After nb_quantizer_prepare only its lower triangle, with the diagonal, is still the Hessian. */
float *nb_quantizer_hessian(nb_quantizer *quantizer); /* [columns, columns] */
float *nb_quantizer_mean(nb_quantizer *quantizer);    /* [columns], of |x| */
float *nb_quantizer_largest(nb_quantizer *quantizer); /* [columns], of |x| */

/* ---- GPTQ (Frantar et al. 2023) ---------------------------------------------------------------------------- */

/* In which order the columns are quantized. The error of a column is made up for by the columns that come later, so
 * those with large inputs should come first. */
enum {
    NB_ORDER_NATURAL = 0,    /* as they lie */
    NB_ORDER_ACTIVATION = 1, /* falling diagonal of H (act-order, desc_act): groups are of columns that follow each
                                 other in this order, so a format needs a group index for each column */
    NB_ORDER_STATIC = 2,     /* the same order, but groups stay those of columns side by side. Their scales are chosen
                                 from the weights as they were */
    NB_ORDER_GROUP_AWARE = 3 /* groups by their largest diagonal, and within a group falling diagonal (Gafni et al.
                                 2025): scales are chosen when a group is entered, and groups stay side by side */
};

typedef struct nb_gptq_settings {
    float damping;  /* of the mean of H's diagonal, added to the diagonal: 0.01 to 0.1 is usual */
    uint32_t order; /* NB_ORDER_... */
    uint32_t group; /* of NB_ORDER_GROUP_AWARE: the group size of nb_code_format, or the weights in a GGUF type's block
                       (nb_quantizer_block); other orders leave it 0 */
} nb_gptq_settings;

/* Begins. It may be called again with other settings; the Hessian must not be written again in between, or as a whole.
 * Columns that were never seen (a diagonal of 0) are rounded to nearest: their error costs nothing, and nothing can make
 * up for it. A Hessian that is not finite or has a negative diagonal is an error that names the column. */
int32_t nb_quantizer_prepare(nb_quantizer *quantizer, const nb_gptq_settings *settings, nb_error *err);

/* One more step of the factorization. Returns how many are left, or a code. If the Hessian is still singular after
 * damping, the damping becomes ten times as large, and the steps begin again. */
int32_t nb_quantizer_factor(nb_quantizer *quantizer, nb_error *err);

/* The damping with which it succeeded. */
float nb_quantizer_damping(const nb_quantizer *quantizer);

/* Weights in a block of a GGUF type, and bytes; 0 if nibble does not write the type. */
uint32_t nb_quantizer_block(uint32_t type);
uint32_t nb_quantizer_block_bytes(uint32_t type);

/* 1 if error feedback works for the GGUF type, 0 if it is only encoded with the Hessian's diagonal as importance: the
 * types of vector codebooks (IQ1, IQ2, IQ3) and of ternary groups (TQ1_0) are. */
int32_t nb_quantizer_feeds(uint32_t type);

enum {
    NB_ROWS_PLAINLY = 0,
    NB_ROWS_BEST = 1,   /* scales by the wider search than llama.cpp's */
    NB_ROWS_NEAREST = 2 /* no error feedback: rounding to nearest with the Hessian's diagonal as importance */
};

/* Rows of weights of a type (F32, F16, BF16, or any other that nibble dequantizes) -> rows of blocks of a GGUF type, at
 * `out`, which is aligned to 4 bytes. Scales are chosen by the type's encoder when a block is entered, for the weights
 * as they are then; each code is the nearest one under these scales, and its error is fed forward. first_row is only
 * for messages. */
int32_t nb_quantizer_rows(nb_quantizer *quantizer, uint32_t type, uint32_t flags, uint32_t source_type,
                          const void *weights, uint32_t first_row, uint32_t rows, void *out, nb_error *err);

/* tr(E H E^T) of rows of weights and what was made of them, of any two types. */
double nb_quantizer_error(nb_quantizer *quantizer, uint32_t source_type, const void *weights, uint32_t type,
                          const void *blocks, uint32_t rows, nb_error *err);

/* ---- codes with scales and zero points, as folders have them ------------------------------------------------- */

enum {
    NB_FORMAT_GPTQ = 0,      /* AutoGPTQ's first format, whose zero points are stored less 1 (gptq) */
    NB_FORMAT_GPTQ_V2 = 1,   /* its second, whose zero points are stored as they are (gptq_v2) */
    NB_FORMAT_COMPRESSED = 2 /* compressed-tensors' pack-quantized */
};

/* w = scale (code - zero), scales in binary16. */
typedef struct nb_code_format {
    uint32_t format;    /* NB_FORMAT_... */
    uint32_t bits;      /* 2, 3, 4 or 8 */
    uint32_t group;     /* columns of a group, a multiple of 32; 0: whole rows */
    uint32_t symmetric; /* 1: all zero points are 2^(bits - 1) */
    float search; /* 0: scales serve the range of a group. Else the range is shrunk by up to 80 %, where the sum of
                           |error|^search is least: 2 is the mean squared error, GPTQModel proposes 2.4 */
} nb_code_format;

/* Rows of weights -> codes [rows, columns], scales [rows, groups] in binary16, zeros [rows, groups], and what they stand
 * for: dequantized [rows, columns] in F32 (NULL: not wanted). Columns are in the order of the weights. */
int32_t nb_quantizer_codes(nb_quantizer *quantizer, const nb_code_format *format, uint32_t source_type,
                           const void *weights, uint32_t first_row, uint32_t rows, uint8_t *codes, uint16_t *scales,
                           uint8_t *zeros, float *dequantized, nb_error *err);

/* Which group each column is of: groups [columns] of 32 bits. Returns 1 if a format must store it, 0 if columns of a
 * group lie side by side in order, or a code. */
int32_t nb_quantizer_groups(nb_quantizer *quantizer, const nb_code_format *format, int32_t *groups, nb_error *err);

enum {
    NB_PART_CODES = 0, /* GPTQ: qweight  u32 [columns bits / 32, rows];  compressed: weight_packed  u32 [rows, columns
                           bits / 32], without 3 bits */
    NB_PART_ZEROS = 1, /* GPTQ: qzeros  u32 [groups, rows bits / 32];  compressed: weight_zero_point  u32 [rows bits /
                           32, groups] */
    NB_PART_SCALES = 2 /* GPTQ: scales  f16 [groups, rows];  compressed: weight_scale  f16 [rows, groups] */
};

/* Bytes of a part of a matrix; 0: the format has no such matrix (rows must be a multiple of 32). */
double nb_quantizer_part_bytes(const nb_code_format *format, uint32_t part, uint32_t rows, uint32_t columns);

/* All rows' codes, scales or zeros, as nb_quantizer_codes wrote them -> the tensor's bytes. */
int32_t nb_quantizer_pack(const nb_code_format *format, uint32_t part, const void *values, uint32_t rows,
                          uint32_t columns, void *out, nb_error *err);

#pragma GCC visibility pop

#endif
