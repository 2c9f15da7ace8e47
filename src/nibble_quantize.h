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
 * so that the caller can report progress and stop. One quantizer serves all matrices that share their inputs. AWQ and
 * SmoothQuant come before that: they make the weights easier to quantize.
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

/* Where the caller writes what was observed; zeros at first. The Hessian is symmetric. It may be a sum or a mean:
 * a positive factor changes no result. After nb_quantizer_prepare only its lower triangle, with the diagonal, is still
 * the Hessian. */
float *nb_quantizer_mean(nb_quantizer *quantizer);    /* [columns], of |x| */
float *nb_quantizer_largest(nb_quantizer *quantizer); /* [columns], of |x| */

/* [columns, columns]. The first call takes its memory; NULL: there is none. Without a Hessian rows can be rounded to
 * nearest. */
float *nb_quantizer_hessian(nb_quantizer *quantizer);

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
                                 2025), and groups stay side by side. Scales of GGUF blocks are chosen when a group is
                                 entered; those of codes when the first of 128 columns is, if groups divide them */
};

typedef struct nb_gptq_settings {
    float damping;  /* of the mean of H's diagonal, added to the diagonal: 0.01 to 0.1 is usual */
    uint32_t order; /* NB_ORDER_... */
    uint32_t group; /* of NB_ORDER_GROUP_AWARE: the group size of nb_code_format, or the weights in a GGUF type's block
                       (nb_quantizer_block); other orders leave it 0 */
} nb_gptq_settings;

/* Begins. It may be called again with other settings. Between such calls leave the Hessian alone, or write all of it
 * anew: half of its memory is working space. Columns that were never seen (a diagonal of 0) are rounded to nearest:
 * their error costs nothing, and nothing can make up for it. A Hessian that is not finite or has a negative diagonal is
 * an error that names the column. */
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
    NB_ROWS_NEAREST = 2 /* no error feedback: rounding to nearest with the Hessian's diagonal as importance. It needs
                           nb_quantizer_prepare, and no factor */
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
    NB_FORMAT_GPTQ = 0,       /* AutoGPTQ's first format, whose zero points are stored less 1 (gptq) */
    NB_FORMAT_GPTQ_V2 = 1,    /* its second, whose zero points are stored as they are (gptq_v2) */
    NB_FORMAT_COMPRESSED = 2, /* compressed-tensors' pack-quantized */
    NB_FORMAT_AWQ = 3,        /* AWQ's "gemm" */
    NB_FORMAT_INT8 = 4        /* compressed-tensors' int-quantized: 8 bits, symmetric, a scale for each row */
};

/* w = scale (code - zero), scales in binary16, but for NB_FORMAT_INT8. */
typedef struct nb_code_format {
    uint32_t format;    /* NB_FORMAT_... */
    uint32_t bits;      /* 2, 3, 4 or 8 */
    uint32_t group;     /* columns of a group, a multiple of 32; 0: whole rows */
    uint32_t symmetric; /* 1: all zero points are 2^(bits - 1) */
    float search; /* 0: scales serve the range of a group. Else the range is shrunk by up to 80 %, where the sum of
                           |error|^search is least: 2 is the mean squared error, GPTQModel proposes 2.4 */
    uint32_t scale_type; /* of NB_FORMAT_INT8: NB_TYPE_F32 (0), NB_TYPE_F16 (1) or NB_TYPE_BF16 (30) */
} nb_code_format;

/* Rows of weights -> codes [rows, columns], scales [rows, groups], zeros [rows, groups], and what they
 * stand for: dequantized [rows, columns] in F32 (NULL: not wanted). Columns are in the order of the weights. flags:
 * NB_ROWS_NEAREST, as of nb_quantizer_rows; its importance changes nothing here. */
int32_t nb_quantizer_codes(nb_quantizer *quantizer, const nb_code_format *format, uint32_t flags, uint32_t source_type,
                           const void *weights, uint32_t first_row, uint32_t rows, uint8_t *codes, void *scales,
                           uint8_t *zeros, float *dequantized, nb_error *err);

/* Which group each column is of: groups [columns] of 32 bits. Returns 1 if a format must store it, 0 if columns of a
 * group lie side by side in order, or a code. */
int32_t nb_quantizer_groups(nb_quantizer *quantizer, const nb_code_format *format, int32_t *groups, nb_error *err);

enum {
    /* GPTQ: qweight  u32 [columns bits / 32, rows];  compressed: weight_packed  u32 [rows, columns bits / 32], without
     * 3 bits;  AWQ: qweight  u32 [columns, rows / 8], only 4 bits;  INT8: weight  i8 [rows, columns] */
    NB_PART_CODES = 0,
    /* GPTQ: qzeros  u32 [groups, rows bits / 32];  compressed: weight_zero_point  u32 [rows bits / 32, groups];  AWQ:
     * qzeros  u32 [groups, rows / 8] */
    NB_PART_ZEROS = 1,
    /* GPTQ and AWQ: scales  f16 [groups, rows];  compressed: weight_scale  f16 [rows, groups];  INT8: weight_scale
     * [rows, 1] of scale_type */
    NB_PART_SCALES = 2
};

/* Bytes of a part of a matrix; 0: the format has no such matrix (rows must be a multiple of 32). */
double nb_quantizer_part_bytes(const nb_code_format *format, uint32_t part, uint32_t rows, uint32_t columns);

/* All rows' codes, scales or zeros, as nb_quantizer_codes wrote them -> the tensor's bytes. */
int32_t nb_quantizer_pack(const nb_code_format *format, uint32_t part, const void *values, uint32_t rows,
                          uint32_t columns, void *out, nb_error *err);

/* ---- AWQ (Lin et al. 2024) and SmoothQuant (Xiao et al. 2023): scales of columns ----------------------------- */

/* The columns of matrices are multiplied with scales, and the outputs of the tensor before them divided by these:
 * W x = (W diag(s)) (diag(1/s) x). The way of a group of matrices that share their input:
 *
 *   nb_quantizer_fold tells which tensor absorbs 1/s, or that none can. nb_quantizer_floats makes F32 of the weights of
 *   all of the group, one matrix after the other. nb_quantizer_awq, for each step, or nb_quantizer_smooth finds the
 *   scales. nb_quantizer_fold_columns multiplies the weights, and those of matrices that read the same input and are
 *   not quantized (a router); nb_quantizer_fold_rows divides the absorbing tensor and its bias. nb_quantizer_clip clips
 *   what may be clipped. Then any function of this header quantizes the weights, as F32.
 *
 * The observations must be of the inputs as they were before. For GPTQ after this a quantizer needs those of x / s. */

/* Rows of weights of a type -> out [rows, columns]. first_row is only for messages. */
int32_t nb_quantizer_floats(nb_quantizer *quantizer, uint32_t source_type, const void *weights, uint32_t first_row,
                            uint32_t rows, float *out, nb_error *err);

/* What a matrix's columns may be multiplied with: by its name in GGUF, such as blk.0.attn_output.weight. */
typedef struct nb_fold_rule {
    uint32_t is_norm; /* 1: a vector absorbs 1/s; 0: rows of a matrix do */
    uint32_t clips;   /* 1: the weights may be clipped; 0: they are queries or keys */
    uint32_t absorber_bytes;
    char absorber[52]; /* the tensor of the same layer that absorbs 1/s: of these names, with a comma between them, the
                          first that the layer has. Its bias is divided, too. Where several matrices are merged in it
                          (attn_qkv; ffn_up with the gate), its last rows are meant */
} nb_fold_rule;

/* is_gated: 1 if the feed-forward block of the layer has a gate. Returns 1, or 0 if nothing can absorb 1/s. */
int32_t nb_quantizer_fold(const char *name, size_t name_bytes, uint32_t is_gated, nb_fold_rule *rule);

typedef struct nb_awq_settings {
    uint32_t type;      /* if bits is 0: the rows will be blocks of this GGUF type, */
    uint32_t flags;     /* made with these flags: NB_ROWS_PLAINLY or NB_ROWS_BEST */
    uint32_t bits;      /* else codes of 2 to 8 bits with scales in binary16 */
    uint32_t group;     /* columns that share a scale, 0: whole rows */
    uint32_t symmetric; /* as nb_code_format has it */
    uint32_t plain;     /* 1: scales are of activations alone, mean|x|^r; 0: as autoawq, of weights, too */
    uint32_t heads;     /* for attn_output: how many heads its columns are, and how many value heads there are. Heads */
    uint32_t kv_heads;  /* that share a value head share scales. Else 0, 0 */
} nb_awq_settings;

enum { NB_AWQ_STEPS = 21 };

typedef struct nb_awq_found {
    double ratio; /* r; -1: all scales are 1 */
    double error; /* of the outputs: tr(E H E^T) */
    double plain; /* the same without scales */
} nb_awq_found;

/* Step 0 ... NB_AWQ_STEPS - 1 of the search, in this order: scales [columns] and found have the best until then.
 * weights [rows, columns]. It uses the Hessian and the means of |x|. */
int32_t nb_quantizer_awq(nb_quantizer *quantizer, const nb_awq_settings *settings, const float *weights, uint32_t rows,
                         uint32_t step, float *scales, nb_awq_found *found, nb_error *err);

/* Clips weights [rows, columns] that were multiplied with scales [columns] (NULL: with none), group by group, to 55 ...
 * 100 % of the range, where the error of the outputs is least. */
int32_t nb_quantizer_clip(nb_quantizer *quantizer, const nb_awq_settings *settings, const float *scales, float *weights,
                          uint32_t rows, nb_error *err);

/* SmoothQuant's scales: max|x|^alpha / max|w|^(1 - alpha). It uses the maxima of |x|. heads, kv_heads: as above. */
int32_t nb_quantizer_smooth(nb_quantizer *quantizer, float alpha, uint32_t heads, uint32_t kv_heads,
                            const float *weights, uint32_t rows, float *scales, nb_error *err);

/* weights [rows, columns] times scales [columns]. */
void nb_quantizer_fold_columns(const nb_quantizer *quantizer, float *weights, uint32_t rows, const float *scales);

/* The absorbing tensor [any, columns of its own; 1 of a vector], from row `first`, divided by the scales. */
int32_t nb_quantizer_fold_rows(const nb_quantizer *quantizer, float *weights, uint32_t first, uint32_t columns,
                               uint32_t heads, uint32_t kv_heads, const float *scales, nb_error *err);

/* A folder keeps the type of the tensors that absorb scales: F32, F16 or BF16. Some of its norms are stored less 1.
 *
 * Makes the scales of an absorbing norm [n] such that the file holds norm / scales exactly: s' = w / (what the file has
 * of w / s, plus `less`). Without this a norm in BF16 would be off by up to 0.4 %. Scales that would change by more
 * than a factor of 2 stay as they are. */
int32_t nb_quantizer_fit_scales(uint32_t type, float less, const float *norm, uint32_t n, float *scales, nb_error *err);

/* values [n] less `less` -> numbers of the type. One that the type does not hold is an error. */
int32_t nb_quantizer_narrow(uint32_t type, float less, const float *values, uint32_t n, void *out, nb_error *err);

/* ---- W8A8: activations of 8 bits, too -------------------------------------------------------------------------- */

/* Which range static activations get. Numbers beyond it are clipped, and the others have finer steps. */
enum {
    NB_RANGE_MIN_MAX = 0,       /* that of all numbers */
    NB_RANGE_MOVING = 1,        /* the ends of pieces of the text, averaged: end += 0.01 (end of the piece - end) */
    NB_RANGE_PERCENTILE = 2,    /* as narrow as it gets with that share of the numbers inside */
    NB_RANGE_SQUARED_ERROR = 3, /* the least mean square of what rounding and clipping change */
    NB_RANGE_DIVERGENCE = 4     /* the least KL divergence of the rounded numbers' distribution from theirs */
};

typedef struct nb_input_settings {
    double percentile;   /* of NB_RANGE_PERCENTILE: above 0, at most 100 */
    uint32_t ranges;     /* NB_RANGE_... */
    uint32_t symmetric;  /* 1: the zero point is 0 */
    uint32_t scale_type; /* NB_TYPE_F32, NB_TYPE_F16 or NB_TYPE_BF16: what the scale is rounded to */
    uint32_t nothing;    /* so that the size is a multiple of 8 */
} nb_input_settings;

/* x = scale (code - zero) with codes from -128 to 127. */
typedef struct nb_input_found {
    double clipped; /* the share of the numbers that are beyond the range */
    float low, high;
    float scale; /* input_scale in compressed-tensors' folders */
    int32_t zero;
} nb_input_found;

/* observed: what nb_walk_range gave, NB_RANGE_BYTES bytes, aligned to 8. */
int32_t nb_quantizer_input(const void *observed, const nb_input_settings *settings, nb_input_found *found,
                           nb_error *err);

/* ---- LLM.int8() (Dettmers et al. 2022) ------------------------------------------------------------------------- */

/* The columns whose largest |x| reached the threshold (6): list [columns]. Returns how many, or a code. */
int32_t nb_quantizer_outliers(const nb_quantizer *quantizer, float threshold, uint32_t *list, nb_error *err);

/* LLM.int8()'s parts of rows of weights: blocks of Q8_0, which are 0 in the n columns of the list, and whose scale is
 * that of the row, the largest of the other |w| / 127; kept [rows, n], the weights of the list in binary16; values
 * [rows, columns], what both stand for. first_row: for messages. */
int32_t nb_quantizer_split(nb_quantizer *quantizer, uint32_t source_type, const void *weights, uint32_t first_row,
                           uint32_t rows, const uint32_t *list, uint32_t n, void *blocks, uint16_t *kept, float *values,
                           nb_error *err);

/* ---- bitsandbytes' folders: to nearest, without calibration ------------------------------------------------------ */

/* n weights of a matrix, row after row, of source_type F32, F16 or BF16 -> codes of type NB_TYPE_NF4 or NB_TYPE_FP4
 * [n / 2, rounded up], two a byte, the first in the upper half, and the largest |w| of each block [n / block, rounded
 * up]. They begin a block, and only the last ones of the matrix may end within one. block: a power of two, 32 to 4096.
 * first: the number of the first weight, for messages. */
int32_t nb_bnb_blocks(uint32_t type, uint32_t block, uint32_t source_type, const void *weights, double first,
                      uint32_t n, uint8_t *codes, float *absmax, nb_error *err);

/* Double quantization: absmax [n], of a whole matrix -> codes [n] of 8 bits, nested [n / 256, rounded up], *offset. */
int32_t nb_bnb_nested(const float *absmax, uint32_t n, uint8_t *codes, float *nested, float *offset, nb_error *err);

/* What codes stand for: of NB_TYPE_NF4 and NB_TYPE_FP4 map [16]; of NB_TYPE_I8, those of nb_bnb_nested, map [256].
 * Returns how many. */
int32_t nb_bnb_map(uint32_t type, float *map, nb_error *err);

/* LLM.int8(): rows of weights -> codes [rows, columns] and the largest |w| of each [rows]: w = code largest / 127. */
int32_t nb_bnb_rows(uint32_t source_type, const void *weights, double first, uint32_t rows, uint32_t columns,
                    int8_t *codes, float *largest, nb_error *err);

/* ---- which type each matrix gets, under a budget --------------------------------------------------------------- */

/* Rounds rows to nearest, and tells what that loses: the sum of importance (w - q)^2, which is the diagonal of
 * tr(E H E^T). It has no Hessian, so that matrices of any size can be measured. */
typedef struct nb_rounder nb_rounder;

/* pool: NULL is fine; else it must outlive the rounder. */
nb_rounder *nb_rounder_new(nb_pool *pool, nb_error *err);
void nb_rounder_free(nb_rounder *rounder); /* NULL is fine */

/* The file of an importance matrix (llama.cpp's imatrix, .dat or GGUF). The bytes are copied. */
int32_t nb_rounder_importance(nb_rounder *rounder, const uint8_t *bytes, size_t n, nb_error *err);

/* The tensor at hand, of so many matrices. Returns 1 if the importance matrix has it, else 0: its columns then count
 * alike. */
int32_t nb_rounder_tensor(nb_rounder *rounder, const char *name, size_t name_bytes, uint32_t columns, uint32_t matrices,
                          nb_error *err);

/* 1 if the tensor at hand can become this type: its rows are whole blocks, and the types of about two bits have an
 * importance. */
int32_t nb_rounder_takes(const nb_rounder *rounder, uint32_t type);

/* Rows of the tensor's matrix of this number -> blocks of a type at `out` (NULL: not wanted). Adds what they lose to
 * *loss, which is not finite then if the type does not hold the weights. flags: NB_ROWS_PLAINLY or NB_ROWS_BEST.
 * first_row is only for messages. */
int32_t nb_rounder_rows(nb_rounder *rounder, uint32_t matrix, uint32_t type, uint32_t flags, uint32_t source_type,
                        const void *weights, uint32_t first_row, uint32_t rows, void *out, double *loss, nb_error *err);

/* Chooses one of so many types for each of n tensors, so that the sum of losses is least and that of bytes at most
 * `budget`. bytes, losses: [n, kinds]; a loss that is not finite: the tensor cannot have the type. choice: [n]. It is
 * an error that says the smallest sum if the budget is too small. */
int32_t nb_mix_choose(uint32_t n, uint32_t kinds, const double *bytes, const double *losses, double budget,
                      uint32_t *choice, nb_error *err);

/* ---- grids that no file format has ----------------------------------------------------------------------------- */

/* Weights are rounded to a grid and stay floating-point numbers, so that any engine tells what the grid costs. */
enum {
    NB_SIMULATE_UNIFORM = 0, /* w = s (q - z), s in binary16, and z in as many bits as a code */
    NB_SIMULATE_LOG = 1,     /* 0 and signed powers of two; the largest power in 8 bits, of weights in F16 at most 15 */
    NB_SIMULATE_CODEBOOK = 2 /* 2^bits numbers in binary16 that fit the weights best (Lloyd-Max) */
};

typedef struct nb_simulation {
    uint32_t grid;       /* NB_SIMULATE_... */
    uint32_t bits;       /* of a code, 2 to 8 */
    uint32_t group;      /* columns that share s and z, the largest power, or a codebook; 0: whole rows */
    uint32_t whole;      /* 1: all of a matrix shares it */
    uint32_t symmetric;  /* 1: z is the middle of the codes */
    uint32_t ranges;     /* NB_RANGE_..., of a uniform grid: weights beyond the range are clipped */
    uint32_t stochastic; /* 1: rounds up with the probability of the fraction (Gupta et al. 2015) */
    uint32_t seed;       /* for that: the same seed gives the same codes */
    double percentile;   /* of NB_RANGE_PERCENTILE: above 0, at most 100 */
} nb_simulation;

/* Bits that a matrix would have, with its scales, zeros, powers and codebooks. It is an error if there is no such grid,
 * or if groups do not divide a row. */
int32_t nb_simulate_bits(const nb_simulation *how, uint32_t rows, uint32_t columns, double *bits, nb_error *err);

/* Rounds rows of F32 or F16 where they lie. pool: NULL is fine. If the whole matrix shares a grid, these are all its
 * rows. first_row is for messages, and for stochastic rounding. tensor: any number, for stochastic rounding that
 * differs from tensor to tensor. Adds to *clipped how many weights lay outside the range that was chosen. A weight that
 * is not finite, or too large for a scale or an entry in binary16, is an error that names its row. After an error the
 * weights are as they were, unless memory ended while codebooks were fitted. */
int32_t nb_simulate_rows(nb_pool *pool, const nb_simulation *how, uint32_t tensor, uint32_t type, void *weights,
                         uint32_t first_row, uint32_t rows, uint32_t columns, double *clipped, nb_error *err);

/* ---- models of integers ---------------------------------------------------------------------------------------- */

/* Takes the bytes of a Llama's GGUF, as nb_loader does, and gives those of the GGUF that nibble_integer.h runs
 * (docs/integer.md). */
typedef struct nb_integer_maker nb_integer_maker;

nb_integer_maker *nb_integer_maker_new(nb_error *err);
uint8_t *nb_integer_maker_space(nb_integer_maker *maker, size_t *capacity); /* 0: it has the whole file */
int32_t nb_integer_maker_commit(nb_integer_maker *maker, size_t n, nb_error *err);
/* The bytes that are ready; they are good until the next nb_integer_maker_commit, and are not given again. */
const uint8_t *nb_integer_maker_take(nb_integer_maker *maker, size_t *size);
int32_t nb_integer_maker_end(const nb_integer_maker *maker, nb_error *err); /* an error if bytes are missing */
void nb_integer_maker_free(nb_integer_maker *maker);                        /* NULL is fine */

#pragma GCC visibility pop

#endif
